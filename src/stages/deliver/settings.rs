//! How messages are collected, timed and given up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::notice::{Notice, Recipient};
use super::message::Message;
use crate::rules::{Address, Channel, RuleSet, Severity, Subscriber};

/// One hour, in milliseconds.
pub(super) const HOUR_MS: i64 = 3_600_000;
/// Longest delay after a failure of the server, in milliseconds: as long as a circuit stays open.
const DOWN_MAX_MS: i64 = 120_000;

/// The settings of deliver.
#[derive(Clone, Debug)]
pub struct DeliverSettings {
    /// The topic of the notices, for dead letters.
    pub source: String,
    /// How long notices to the same recipient are collected, in milliseconds.
    pub group_wait_ms: i64,
    /// Alerts for days more than this many days ago are not sent.
    pub max_age_days: i64,
    /// How many times a working server may defer a message.
    pub attempts_max: u32,
    /// The delay after the first failure, in milliseconds; it doubles with each further one.
    pub retry_first_ms: i64,
    /// The longest delay, in milliseconds.
    pub retry_max_ms: i64,
    /// A message is given up after this time if its server does not work, in milliseconds.
    pub give_up_ms: i64,
    /// Most messages per hour to one recipient on one channel, unless the subscriber has another limit.
    pub per_hour: u16,
    /// The configured channels, with the names of their sections.
    pub channels: BTreeMap<Channel, BTreeSet<String>>,
}

impl DeliverSettings {
    /// Whether the operator has configured this channel.
    pub fn has(&self, channel: Channel) -> bool {
        self.channels.contains_key(&channel)
    }

    /// The channels to a recipient.
    ///
    /// # Errors
    /// Why there are none, and what to do.
    pub(super) fn channels(
        &self,
        recipient: &Recipient,
        notice: &Notice,
        rules: &RuleSet,
    ) -> Result<Vec<Channel>, String> {
        match recipient {
            Recipient::Alertmanager => Ok(vec![Channel::Alertmanager]),
            Recipient::Address(_) if rule_address(recipient, &notice.rule_id, rules).is_none() => {
                Err(format!(
                    "rule `{}` no longer names this address, and it is not stored anywhere else",
                    notice.rule_id
                ))
            }
            Recipient::Address(_) if !self.has(Channel::Email) => {
                Err("no mail server is configured: add [notify.email]".to_owned())
            }
            Recipient::Address(_) => Ok(vec![Channel::Email]),
            Recipient::Subscriber(id) => match rules.subscriber(id) {
                None => Err(format!("no subscriber `{id}`: publish it with `frostline rules apply`")),
                Some(subscriber) => self.channels_of(&subscriber),
            },
        }
    }

    /// The channels of a subscriber that are configured here.
    ///
    /// # Errors
    /// Why there are none.
    pub fn channels_of(&self, subscriber: &Subscriber) -> Result<Vec<Channel>, String> {
        let (channels, missing) = self.channels_and_missing(subscriber);
        if channels.is_empty() {
            let missing: Vec<String> = missing.into_iter().map(|(_, section)| section).collect();
            let missing = missing.join(" or ");
            let id = &subscriber.id;
            return Err(format!(
                "no channel of subscriber `{id}` is configured: add {missing} to the configuration, or remove the subscriber"
            ));
        }
        Ok(channels)
    }

    /// The same, and for each channel that is not configured the subscriber's field and the missing section.
    pub fn channels_and_missing(
        &self,
        subscriber: &Subscriber,
    ) -> (Vec<Channel>, Vec<(&'static str, String)>) {
        let (mut channels, mut missing) = (Vec::new(), Vec::new());
        for channel in Channel::all() {
            let descriptor = channel.descriptor();
            let Some(field) = &descriptor.field else { continue };
            let Some(address) = (field.of)(subscriber) else { continue };
            let section = if descriptor.is_named { address } else { "" };
            if self.channels.get(&channel).is_some_and(|names| names.contains(section)) {
                channels.push(channel);
            } else {
                missing.push((field.name, channel.section(section)));
            }
        }
        (channels, missing)
    }

    /// Why an alert is not sent, if it is too old.
    pub(super) fn too_old(&self, notice: &Notice, now_ms: i64) -> Option<String> {
        let days = notice.age_days(now_ms);
        let limit = self.max_age_days;
        (days > limit).then(|| {
            format!("the alert is for a day {days} days ago; alerts older than {limit} days are not sent (notify.max_age_days)")
        })
    }

    /// When a message may be sent at the earliest, if not now: because of quiet hours, or messages sent recently.
    pub(super) fn hold_until_ms(
        &self,
        message: &Message,
        subscriber: Option<&Arc<Subscriber>>,
        sent_times: &[i64],
        now_ms: i64,
    ) -> Option<i64> {
        if !message.channel.descriptor().is_for_people {
            return None;
        }
        let passes =
            subscriber.map_or(message.urgency() == Severity::Critical, |s| s.passes(message.urgency()));
        if passes {
            return None;
        }
        let quiet = Self::quiet_until_ms(message, subscriber, now_ms);
        let per_hour = subscriber.and_then(|subscriber| subscriber.per_hour).unwrap_or(self.per_hour);
        let index = sent_times.len().checked_sub(per_hour.into());
        let rate = index.and_then(|index| sent_times.get(index)).map(|oldest| oldest + HOUR_MS);
        quiet.max(rate.filter(|until| *until > now_ms))
    }

    /// When quiet hours end, if they hold a message back.
    pub(super) fn quiet_until_ms(
        message: &Message,
        subscriber: Option<&Arc<Subscriber>>,
        now_ms: i64,
    ) -> Option<i64> {
        subscriber
            .filter(|_| message.channel.descriptor().is_for_people)
            .and_then(|subscriber| subscriber.quiet_until_ms(now_ms, message.urgency()))
    }

    /// The delay before the next attempt: growing, with jitter. A server that asks for a longer delay gets it, up to
    /// the longest allowed; one that asks for less does not, because that would use up the attempts. One that is down
    /// is protected by its circuit already, so a message, and what waits behind it, goes out soon after it is back.
    pub(super) fn retry_delay_ms(&self, attempts: u32, is_down: bool, asked_ms: i64) -> i64 {
        let longest_ms = if is_down { self.retry_max_ms.min(DOWN_MAX_MS) } else { self.retry_max_ms };
        let doubled = self.retry_first_ms.saturating_mul(1 << attempts.saturating_sub(1).min(30));
        let asked_ms = asked_ms.min(self.retry_max_ms);
        // All were given the same time, so they are spread over the quarter after it.
        let asked_ms = if asked_ms > 0 { asked_ms + fastrand::i64(0..=asked_ms / 4) } else { 0 };
        jittered_ms(doubled.min(longest_ms)).max(asked_ms)
    }

    /// The clock that gave a message its time may have been ahead. Whatever holds the message is looked at again when it
    /// is due.
    pub(super) fn bring_forward(&self, message: &mut Message, now_ms: i64) {
        let wait_ms = if message.is_closed() { self.retry_max_ms } else { self.group_wait_ms };
        if message.due_ms > now_ms + wait_ms {
            message.go_on_at(now_ms + wait_ms);
        }
    }

    /// Whether to give a message up.
    pub(super) fn is_hopeless(&self, message: &Message, now_ms: i64) -> bool {
        message.refusals >= self.attempts_max || now_ms - message.since_ms > self.give_up_ms
    }
}

/// Up to a quarter more or less, so that all messages do not reach a recovering server at once.
pub(super) fn jittered_ms(delay_ms: i64) -> i64 {
    delay_ms / 4 * 3 + fastrand::i64(0..=(delay_ms / 2).max(1))
}

/// The address that a rule names, if it is still the same.
pub fn rule_address(recipient: &Recipient, rule_id: &str, rules: &RuleSet) -> Option<Address> {
    let address = rules.get(rule_id)?.email.clone()?;
    (Recipient::of_address(&address) == *recipient).then_some(address)
}
