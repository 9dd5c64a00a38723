//! How people are notified: timing, and the sections of all channels.
//!
//! A new channel needs its section here, and its arm in `NotifyConfig::sections`, for which the compiler asks.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::body::{BodyTemplate, JSON_TYPE};
use super::section::{Section, is_link, wrong};
use super::{Config, ConfigError, EmailConfig, Secret, ServerUrl, topic, within};
use crate::rules::Channel;
use crate::stages::DeliverSettings;

/// How people are notified. Without a channel, no messages are sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotifyConfig {
    /// How long alerts to the same recipient are collected into one message, in milliseconds.
    pub group_wait_ms: u64,
    /// Alerts for days more than this many days ago are written, but not sent.
    pub max_age_days: u32,
    /// How many times a working server may defer a message before the message becomes a dead letter.
    pub attempts_max: u32,
    /// The delay after the first failure, in milliseconds; it doubles with each further one.
    pub retry_first_ms: u64,
    /// The longest delay between two attempts, in milliseconds.
    pub retry_max_ms: u64,
    /// After this many hours in which its server does not work, a message becomes a dead letter. Hours in which nobody
    /// tries do not count: quiet ones, and those without a daemon.
    pub give_up_hours: u32,
    /// Most mails, most SMS and most pushes per hour to one recipient, unless the subscriber has another limit.
    pub per_hour: u16,
    /// Time limit for one answer of a server, in milliseconds. A whole attempt to send a mail may take four times
    /// that, at most 2 minutes.
    pub timeout_ms: u64,
    /// Most messages sent to one server at the same time.
    pub concurrency: usize,
    /// The address where people can change their notifications, `https:` or `mailto:`; mails name it.
    pub manage_url: String,
    /// The mail server.
    pub email: Option<EmailConfig>,
    /// The gateway for SMS.
    pub sms: Option<SmsConfig>,
    /// Webhooks, by the names that subscribers use.
    pub webhooks: BTreeMap<String, WebhookConfig>,
    /// An Alertmanager that gets every alert.
    pub alertmanager: Option<AlertmanagerConfig>,
    /// A server that pushes to phones.
    pub ntfy: Option<NtfyConfig>,
}

impl Default for NotifyConfig {
    fn default() -> Self {
        Self {
            group_wait_ms: 10_000,
            max_age_days: 3,
            attempts_max: 20,
            retry_first_ms: 2_000,
            retry_max_ms: 1_800_000,
            give_up_hours: 24,
            per_hour: 20,
            timeout_ms: 10_000,
            concurrency: 8,
            manage_url: String::new(),
            email: None,
            sms: None,
            webhooks: BTreeMap::new(),
            alertmanager: None,
            ntfy: None,
        }
    }
}

/// A gateway that accepts SMS as Twilio does: a form with `To`, `From` and `Body`, and basic authentication.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmsConfig {
    /// The address to which messages are posted.
    pub url: ServerUrl,
    /// The user name for authentication.
    pub user: String,
    /// The token or password for authentication.
    pub password: Secret,
    /// The sender: a number, or a name of letters and digits.
    pub from: String,
    /// Whether the gateway may be on this machine or in a private network, and without TLS.
    pub allow_private: bool,
}

/// An address to which each alert is posted, as signed JSON or as a template. Subscribers refer to it by NAME.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// The address to which alerts are posted.
    pub url: ServerUrl,
    /// The key of the signatures; optional if `body` is set.
    pub secret: Secret,
    /// The body, with the fields of [`super::BODY_FIELDS`] in braces; empty for JSON with the whole alert.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// The content type of the body; empty for JSON.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub content_type: String,
    /// Whether it may be on this machine or in a private network, and without TLS.
    pub allow_private: bool,
}

/// An Alertmanager, which gets every alert.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertmanagerConfig {
    /// Its address, without `/api/v2`.
    pub url: ServerUrl,
    /// The user for authentication; empty for no authentication.
    pub user: String,
    /// The password for authentication.
    pub password: Secret,
    /// Whether it may be on this machine or in a private network, and without TLS.
    pub allow_private: bool,
}

/// An ntfy server, which pushes messages to the phones that subscribe to a topic.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NtfyConfig {
    /// Its address, without a topic.
    pub url: ServerUrl,
    /// The access token; empty if anyone who knows a topic's name may use it.
    pub token: Secret,
    /// Whether it may be on this machine or in a private network, and without TLS.
    pub allow_private: bool,
}

impl Default for NtfyConfig {
    fn default() -> Self {
        Self { url: "https://ntfy.sh".into(), token: Secret::default(), allow_private: false }
    }
}

/// A section that occurs at most once.
fn only(section: Option<&impl Section>) -> Vec<(&str, &dyn Section)> {
    section.map(|section| ("", section as &dyn Section)).into_iter().collect()
}

impl NotifyConfig {
    /// The configured sections of a channel, each with the name that subscribers use; the name is empty if a channel
    /// has only one section.
    fn sections(&self, channel: Channel) -> Vec<(&str, &dyn Section)> {
        match channel {
            Channel::Email => only(self.email.as_ref()),
            Channel::Sms => only(self.sms.as_ref()),
            Channel::Webhook => {
                let webhooks = self.webhooks.iter();
                webhooks.map(|(name, webhook)| (name.as_str(), webhook as &dyn Section)).collect()
            }
            Channel::Alertmanager => only(self.alertmanager.as_ref()),
            Channel::Ntfy => only(self.ntfy.as_ref()),
        }
    }

    /// The configured channels, with the names of their sections.
    pub fn configured(&self) -> BTreeMap<Channel, BTreeSet<String>> {
        let names = |channel| self.sections(channel).iter().map(|(name, _)| (*name).to_owned()).collect();
        let all = Channel::all().map(|channel| (channel, names(channel)));
        all.filter(|(_, names): &(_, BTreeSet<String>)| !names.is_empty()).collect()
    }

    /// Whether any channel is configured.
    pub fn is_on(&self) -> bool {
        !self.configured().is_empty()
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        within("notify.group_wait_ms", self.group_wait_ms, 0, 3_600_000)?;
        within("notify.max_age_days", self.max_age_days.into(), 0, 1_000_000)?;
        within("notify.attempts_max", self.attempts_max.into(), 1, 1_000)?;
        within("notify.retry_first_ms", self.retry_first_ms, 10, 3_600_000)?;
        within("notify.retry_max_ms", self.retry_max_ms, self.retry_first_ms, 86_400_000)?;
        within("notify.give_up_hours", self.give_up_hours.into(), 1, 10_000)?;
        within("notify.per_hour", self.per_hour.into(), 1, 10_000)?;
        within("notify.timeout_ms", self.timeout_ms, 100, 60_000)?;
        within("notify.concurrency", self.concurrency as u64, 1, 1_000)?;
        if !self.manage_url.is_empty() && !is_link(&self.manage_url) {
            return Err(wrong("notify.manage_url", "expected a https: or mailto: address"));
        }
        for channel in Channel::all() {
            for (name, section) in self.sections(channel) {
                let of_channel = channel.descriptor();
                let key = match of_channel.is_named {
                    true => format!("notify.{}.{name}", of_channel.section),
                    false => format!("notify.{}", of_channel.section),
                };
                if of_channel.is_named && !is_plain_name(name) {
                    let expected = "expected a name of letters, digits, `-`, `_` or `.`";
                    return Err(wrong(&format!("notify.{}.{name:?}", of_channel.section), expected));
                }
                section.validate(&key)?;
            }
        }
        Ok(())
    }
}

impl Section for SmsConfig {
    fn validate(&self, key: &str) -> Result<(), ConfigError> {
        self.url.check(&format!("{key}.url"), self.allow_private)?;
        let is_sender = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | ' ');
        if self.from.is_empty() || !self.from.chars().all(is_sender) {
            return Err(wrong(&format!("{key}.from"), "expected a number or a name of letters and digits"));
        }
        Ok(())
    }
}

impl Section for WebhookConfig {
    fn validate(&self, key: &str) -> Result<(), ConfigError> {
        self.url.check(&format!("{key}.url"), self.allow_private)?;
        if self.body.is_empty() && self.secret.is_empty() {
            let expected = "expected a key, such as \"${file:/run/secrets/webhook}\", or its own body";
            return Err(wrong(&format!("{key}.secret"), expected));
        }
        if self.body.is_empty() && !self.content_type.is_empty() {
            let expected = "without a body it is always application/json: set body too";
            return Err(wrong(&format!("{key}.content_type"), expected));
        }
        self.template().map(drop).map_err(|reason| ConfigError::of_key(&format!("{key}.body"), reason))
    }
}

impl WebhookConfig {
    /// The content type of its body.
    pub fn content_type(&self) -> &str {
        if self.content_type.is_empty() { JSON_TYPE } else { &self.content_type }
    }

    /// The template of its body, if it has one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn template(&self) -> Result<Option<BodyTemplate>, String> {
        let is_own = !self.body.is_empty();
        is_own.then(|| BodyTemplate::parse(&self.body, self.content_type())).transpose()
    }
}

impl Section for AlertmanagerConfig {
    fn validate(&self, key: &str) -> Result<(), ConfigError> {
        self.url.check(&format!("{key}.url"), self.allow_private)
    }
}

impl Section for NtfyConfig {
    fn validate(&self, key: &str) -> Result<(), ConfigError> {
        self.url.check(&format!("{key}.url"), self.allow_private)
    }
}

impl Config {
    /// How messages are collected, timed and given up.
    pub fn deliver_settings(&self) -> DeliverSettings {
        let notify = &self.notify;
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        DeliverSettings {
            source: self.topic(topic::NOTICES).name,
            group_wait_ms: ms(notify.group_wait_ms),
            max_age_days: notify.max_age_days.into(),
            attempts_max: notify.attempts_max,
            retry_first_ms: ms(notify.retry_first_ms),
            retry_max_ms: ms(notify.retry_max_ms),
            give_up_ms: i64::from(notify.give_up_hours) * 3_600_000,
            per_hour: notify.per_hour,
            channels: notify.configured(),
        }
    }
}

fn is_plain_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let config: NotifyConfig = toml::from_str(text).unwrap();
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_is_told_by_its_key() {
        let mail = |more: &str| format!("[email]\nserver = \"smtp.example.org\"\nfrom = \"a@b.c\"\n{more}");
        assert!(error(&mail("tls = \"none\"")).contains("loopback"));
        assert!(error(&mail("subject = \"{message} {statoin}\"")).contains("{statoin}"));
        assert!(error("manage_url = \"javascript:alert(1)\"").contains("https"));
        assert!(
            error("[webhooks.\"my barn\"]\nurl = \"https://a.b/\"\nsecret = \"s\"")
                .contains("name of letters")
        );
        assert!(error(&mail("unsubscribe = \"javascript:x\"")).contains("mailto"));
        let hook =
            |url: &str, more: &str| format!("[webhooks.barn]\nurl = \"{url}\"\nsecret = \"s\"\n{more}");
        assert!(error(&hook("http://example.org/", "")).contains("https"));
        assert!(error(&hook("https://127.0.0.1/", "")).contains("allow_private"));
        assert!(error(&hook("https://user:pass@example.org/", "")).contains("without a user"));
        assert!(error(&hook("https://example.org/", "[alertmanager]\nurl = \"ftp://x\"")).contains("https"));
        let good = hook("http://127.0.0.1:9/x", "allow_private = true");
        toml::from_str::<NotifyConfig>(&good).unwrap().validate().unwrap();
    }

    #[test]
    fn only_the_hosts_of_servers_are_shown() {
        let text = "[sms]\nurl = \"https://sms.example.org/Accounts/AC-SECRET/Messages\"\n\
            [webhooks.barn]\nurl = \"https://hooks.example.org?key=SECRET\"\n\
            [webhooks.field]\nurl = \"${file:/run/secrets/url}\"\n\
            [alertmanager]\nurl = \"https://alerts.example.org/tenant/SECRET\"\npassword = \"SECRET\"";
        let config: NotifyConfig = toml::from_str(text).unwrap();
        let shown = toml::to_string(&config).unwrap();
        assert!(!shown.contains("SECRET"), "{shown}");
        for url in ["sms.example.org/***", "hooks.example.org/***", "alerts.example.org/***"] {
            assert!(shown.contains(&format!("\"https://{url}\"")), "{url}: {shown}");
        }
        assert!(shown.contains("${file:/run/secrets/url}"), "{shown}");
    }
    #[test]
    fn a_webhook_with_a_body_of_its_own_needs_no_key() {
        let hook = |more: &str| format!("[webhooks.barn]\nurl = \"https://example.org/\"\n{more}");
        assert!(error(&hook("")).contains("notify.webhooks.barn.secret"));
        assert!(
            error(&hook("body = '{\"text\": \"{txt}\"}'"))
                .contains("notify.webhooks.barn.body: unknown field")
        );
        assert!(error(&hook("body = '{\"text\": {text}}'")).contains("valid JSON"));
        assert!(error(&hook("secret = \"s\"\ncontent_type = \"text/plain\"")).contains("set body too"));
        let good: NotifyConfig = toml::from_str(&hook("body = '{\"text\": \"{text}\"}'")).unwrap();
        good.validate().unwrap();
    }
}
