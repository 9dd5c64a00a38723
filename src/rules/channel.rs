//! The channels for messages.
//!
//! [`CHANNELS`] has all facts about each channel; everything that lists channels reads it there.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plain_words::one_of;
use super::problem::{Problems, check_email, check_id};
use super::subscriber::Subscriber;

/// A way to reach somebody.
// Stored messages have the position of a variant: a new one goes to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// E-mail.
    Email,
    /// SMS through an HTTP gateway.
    Sms,
    /// HTTP, to an address in the operator's configuration.
    Webhook,
    /// The Alertmanager in the operator's configuration.
    Alertmanager,
    /// A push message to phones.
    Ntfy,
}

/// The facts about a channel, except how it sends.
pub struct ChannelDescriptor {
    /// The channel.
    pub channel: Channel,
    /// Its name in records, metrics and `--channel`.
    pub name: &'static str,
    /// Its section in `[notify]`.
    pub section: &'static str,
    /// Whether there are several sections with names, of which a subscriber names one.
    pub is_named: bool,
    /// What a subscriber needs for it; `None` if it has no subscribers.
    pub field: Option<AddressField>,
    /// Whether people read it, so that quiet hours and rates apply.
    pub is_for_people: bool,
    /// Whether several alerts are sent as one message, and a message waits for the previous one, so that the end of
    /// an event never arrives before its beginning.
    pub gathers: bool,
}

/// The field of a subscriber for a channel.
pub struct AddressField {
    /// Its name in rule files.
    pub name: &'static str,
    /// Reads a subscriber's value.
    pub of: fn(&Subscriber) -> Option<&str>,
    /// Reports what is wrong with a value.
    pub(super) check: fn(&str, &mut Problems),
}

/// All channels, in the order of [`Channel`].
pub const CHANNELS: [ChannelDescriptor; 5] = [
    ChannelDescriptor {
        channel: Channel::Email,
        name: "email",
        section: "email",
        is_named: false,
        field: Some(AddressField {
            name: "email",
            of: |subscriber| Some(&subscriber.email.as_ref()?.0),
            check: check_email,
        }),
        is_for_people: true,
        gathers: true,
    },
    ChannelDescriptor {
        channel: Channel::Sms,
        name: "sms",
        section: "sms",
        is_named: false,
        field: Some(AddressField {
            name: "phone",
            of: |subscriber| Some(&subscriber.phone.as_ref()?.0),
            check: check_phone,
        }),
        is_for_people: true,
        gathers: true,
    },
    ChannelDescriptor {
        channel: Channel::Webhook,
        name: "webhook",
        section: "webhooks",
        is_named: true,
        field: Some(AddressField {
            name: "webhook",
            of: |subscriber| subscriber.webhook.as_deref(),
            check: |name, problems| check_id("webhook", name, problems),
        }),
        is_for_people: false,
        // Its key is the alert's id.
        gathers: false,
    },
    ChannelDescriptor {
        channel: Channel::Alertmanager,
        name: "alertmanager",
        section: "alertmanager",
        is_named: false,
        field: None,
        is_for_people: false,
        gathers: true,
    },
    ChannelDescriptor {
        channel: Channel::Ntfy,
        name: "ntfy",
        section: "ntfy",
        is_named: false,
        field: Some(AddressField {
            name: "ntfy",
            of: |subscriber| Some(&subscriber.ntfy.as_ref()?.0),
            check: check_topic,
        }),
        is_for_people: true,
        gathers: true,
    },
];

impl Channel {
    /// All channels.
    pub fn all() -> impl Iterator<Item = Self> {
        CHANNELS.iter().map(|descriptor| descriptor.channel)
    }

    /// The facts about the channel.
    pub const fn descriptor(self) -> &'static ChannelDescriptor {
        const TABLE: &[ChannelDescriptor] = &CHANNELS;
        &TABLE[self as usize]
    }

    /// Its name in records and metrics.
    pub fn as_str(self) -> &'static str {
        self.descriptor().name
    }

    /// Its section of the configuration, in readable form; the section with this name if there are several.
    pub fn section(self, name: &str) -> String {
        let ChannelDescriptor { section, is_named, .. } = self.descriptor();
        if *is_named { format!("[notify.{section}.{name}]") } else { format!("[notify.{section}]") }
    }

    /// The sections of all channels, for a sentence.
    pub fn sections() -> String {
        one_of(&Self::all().map(|channel| channel.section("NAME")).collect::<Vec<_>>())
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The fields for channels.
pub(super) fn address_fields() -> impl Iterator<Item = &'static AddressField> {
    Channel::all().filter_map(|channel| channel.descriptor().field.as_ref())
}

fn check_phone(phone: &str, problems: &mut Problems) {
    let digits = phone.strip_prefix('+').unwrap_or_default();
    if !(7..=15).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // Like addresses, numbers are not repeated.
        problems.add("phone", 0, "phone: expected a number with its country, as in +15551234567");
    }
}

fn check_topic(topic: &str, problems: &mut Problems) {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !(1..=64).contains(&topic.len()) || !topic.chars().all(is_plain) {
        problems.add("ntfy", 0, "ntfy: expected a topic of 1 to 64 letters, digits, `-` or `_`");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_each_channel_at_its_place() {
        // serde knows all variants of the enum.
        let known = serde_json::from_str::<Channel>("\"?\"").unwrap_err().to_string();
        let named: Vec<&str> = known.split('`').skip(3).step_by(2).collect();
        assert_eq!(named, CHANNELS.map(|channel| channel.name), "{known}");
        for channel in Channel::all() {
            assert_eq!(channel.descriptor().channel, channel);
            assert_eq!(serde_json::to_value(channel).unwrap(), channel.as_str());
        }
        // What stored messages have.
        assert_eq!(postcard::to_allocvec(&[Channel::Email, Channel::Ntfy]).unwrap(), [0, 4]);
        let expected =
            "[notify.email], [notify.sms], [notify.webhooks.NAME], [notify.alertmanager] or [notify.ntfy]";
        assert_eq!(Channel::sections(), expected);
    }
}
