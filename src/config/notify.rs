//! How people are told: mail, SMS, webhooks, Alertmanager.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Config, ConfigError, is_reference, topic, within};
use crate::stages::DeliverSettings;

/// How people are told. Nobody is, unless a channel is configured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotifyConfig {
    /// For how long alerts to the same recipient are gathered into one message, in milliseconds.
    pub group_wait_ms: u64,
    /// Alerts on days longer ago than this many are recorded, and nobody is told.
    pub max_age_days: u32,
    /// How often a server that works may put a message off before it becomes a dead letter.
    pub attempts_max: u32,
    /// The delay after the first failure, in milliseconds; it doubles with each further one.
    pub retry_first_ms: u64,
    /// The longest delay between two attempts, in milliseconds.
    pub retry_max_ms: u64,
    /// After how many hours a message becomes a dead letter whose server does not work.
    pub give_up_hours: u32,
    /// Most messages within an hour to one recipient on one channel.
    pub per_hour: u16,
    /// How long a server may take to answer, in milliseconds.
    pub timeout_ms: u64,
    /// Most messages that are being sent to one server at the same time.
    pub concurrency: usize,
    /// Where people can change what they are told; mails say so.
    pub manage_url: String,
    /// The mail server.
    pub email: Option<EmailConfig>,
    /// The gateway for SMS.
    pub sms: Option<SmsConfig>,
    /// Addresses that subscribers name.
    pub webhooks: BTreeMap<String, WebhookConfig>,
    /// An Alertmanager that gets every alert.
    pub alertmanager: Option<AlertmanagerConfig>,
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
        }
    }
}

/// How a mail server is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// In clear at first, then TLS, or not at all. Port 587.
    #[default]
    Starttls,
    /// TLS from the beginning. Port 465.
    Tls,
    /// In clear: on loopback only.
    None,
}

/// The mail server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmailConfig {
    /// `HOST` or `HOST:PORT`; an IPv6 address with a port is `[ADDRESS]:PORT`.
    pub server: String,
    /// How it is spoken to.
    pub tls: MailTls,
    /// A PEM file with the authority that has signed the server's certificate, where the system does not know it.
    pub ca: Option<PathBuf>,
    /// The sender, as in `Frostline <frost@example.org>`.
    pub from: String,
    /// The user to authenticate as; empty: nobody.
    pub user: String,
    /// The password. A reference to a secret.
    pub password: String,
    /// Where people unsubscribe, a `mailto:` or `https:` address; by default a mail to the sender.
    pub unsubscribe: String,
    /// The subject, with the fields of [`SUBJECT_FIELDS`] in braces.
    pub subject: String,
}

impl Default for EmailConfig {
    fn default() -> Self {
        Self {
            server: String::new(),
            tls: MailTls::default(),
            ca: None,
            from: String::new(),
            user: String::new(),
            password: String::new(),
            unsubscribe: String::new(),
            subject: "{message}".into(),
        }
    }
}

/// What a subject may speak of.
pub const SUBJECT_FIELDS: [&str; 7] =
    ["message", "rule", "station", "date", "severity", "transition", "count"];

/// A gateway that takes SMS as Twilio does: a form with `To`, `From` and `Body`, and basic authentication.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmsConfig {
    /// Where messages are posted.
    pub url: String,
    /// The account.
    pub user: String,
    /// Its token. A reference to a secret.
    pub password: String,
    /// The sender's number.
    pub from: String,
    /// Whether the gateway may be on this machine or in a private network, and without TLS.
    pub allow_private: bool,
}

/// An address for signed JSON.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where alerts are posted.
    pub url: String,
    /// The key of the signatures. A reference to a secret.
    pub secret: String,
    /// Whether it may be on this machine or in a private network, and without TLS.
    pub allow_private: bool,
}

/// An Alertmanager.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertmanagerConfig {
    /// Its address, without `/api/v2`.
    pub url: String,
    /// The user to authenticate as; empty: nobody.
    pub user: String,
    /// The password. A reference to a secret.
    pub password: String,
    /// Whether it may be on this machine or in a private network, and without TLS.
    pub allow_private: bool,
}

impl NotifyConfig {
    /// Whether anybody can be told.
    pub fn is_on(&self) -> bool {
        self.email.is_some() || self.sms.is_some() || !self.webhooks.is_empty() || self.alertmanager.is_some()
    }

    /// Replaces secrets that stand here themselves; a reference tells where a secret is, not what it is.
    pub fn mask_secrets(&mut self) {
        let secrets = self.email.iter_mut().map(|email| &mut email.password);
        let secrets = secrets.chain(self.sms.iter_mut().map(|sms| &mut sms.password));
        let secrets = secrets.chain(self.webhooks.values_mut().map(|webhook| &mut webhook.secret));
        let secrets = secrets.chain(self.alertmanager.iter_mut().map(|found| &mut found.password));
        for secret in secrets.filter(|secret| !secret.is_empty() && !is_reference(secret)) {
            "***".clone_into(secret);
        }
        // Whoever knows the whole address of a server can often post to it.
        let urls = self.webhooks.values_mut().map(|webhook| &mut webhook.url);
        let urls = urls.chain(self.sms.iter_mut().map(|sms| &mut sms.url));
        let urls = urls.chain(self.alertmanager.iter_mut().map(|found| &mut found.url));
        for url in urls.filter(|url| !is_reference(url)) {
            let host = url.find("://").map_or(0, |at| at + 3);
            let host_end = url[host..].find(['/', '?', '#']).map(|at| host + at);
            if let Some(end) = host_end.filter(|end| &url[*end..] != "/") {
                url.replace_range(end.., "/***");
            }
        }
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
        if let Some(email) = &self.email {
            email.validate()?;
        }
        if let Some(sms) = &self.sms {
            checked_url("notify.sms.url", &sms.url, sms.allow_private)?;
            let is_sender = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | ' ');
            if sms.from.is_empty() || !sms.from.chars().all(is_sender) {
                return Err(wrong("notify.sms.from", "expected a number or a name of letters and digits"));
            }
        }
        for (name, webhook) in &self.webhooks {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if name.is_empty() || !name.chars().all(plain) {
                let expected = "expected a name of letters, digits, `-`, `_` or `.`";
                return Err(wrong(&format!("notify.webhooks.{name:?}"), expected));
            }
            checked_url(&format!("notify.webhooks.{name}.url"), &webhook.url, webhook.allow_private)?;
            if webhook.secret.is_empty() {
                let expected = "expected a key, as in \"${file:/run/secrets/webhook}\"";
                return Err(wrong(&format!("notify.webhooks.{name}.secret"), expected));
            }
        }
        match &self.alertmanager {
            Some(found) => checked_url("notify.alertmanager.url", &found.url, found.allow_private),
            None => Ok(()),
        }
    }
}

impl EmailConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        let parsed = self.host_and_port();
        let (host, _) = parsed.map_err(|reason| ConfigError::of_key("notify.email.server", reason))?;
        if self.tls == MailTls::None && !is_loopback(host) {
            let expected = "mail in clear is for a server on loopback: expected `starttls` or `tls`";
            return Err(wrong("notify.email.tls", expected));
        }
        let is_line = |text: &str| !text.chars().any(char::is_control);
        if !self.from.contains('@') || !is_line(&self.from) {
            let expected = "expected a sender, as in Frostline <frost@example.org>";
            return Err(wrong("notify.email.from", expected));
        }
        if !self.unsubscribe.is_empty() && !is_link(&self.unsubscribe) {
            return Err(wrong("notify.email.unsubscribe", "expected a mailto: or https: address"));
        }
        check_template("notify.email.subject", &self.subject)
    }

    /// The server's name or address, without brackets, and its port: the usual one where none is named.
    ///
    /// # Errors
    /// What was expected.
    pub fn host_and_port(&self) -> Result<(&str, u16), String> {
        let usual = match self.tls {
            MailTls::Starttls => 587,
            MailTls::Tls => 465,
            MailTls::None => 25,
        };
        let server = self.server.as_str();
        let (host, port) = if let Some(rest) = server.strip_prefix('[') {
            let (host, rest) =
                rest.split_once(']').ok_or("a bracket is not closed: expected [IPV6] or [IPV6]:PORT")?;
            if host.parse::<Ipv6Addr>().is_err() {
                return Err("expected an IPv6 address in the brackets, as in [fd00::25]:587".into());
            }
            let port = match rest {
                "" => None,
                rest => Some(rest.strip_prefix(':').ok_or("expected [IPV6] or [IPV6]:PORT")?),
            };
            (host, port)
        } else if server.parse::<Ipv6Addr>().is_ok() {
            // All of it is the address: a port needs brackets.
            (server, None)
        } else {
            server.split_once(':').map_or((server, None), |(host, port)| (host, Some(port)))
        };
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        if host.is_empty() || !host.chars().all(is_part) {
            return Err("expected HOST or HOST:PORT, as in smtp.example.org".into());
        }
        let port = port.map_or(Some(usual), |port| port.parse().ok().filter(|port| *port != 0));
        let port = port.ok_or(
            "expected a port from 1 to 65535 behind the colon (an IPv6 address with a port is written [ADDRESS]:PORT)",
        )?;
        Ok((host, port))
    }
}

impl Config {
    /// How messages are made, timed and given up.
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
            has_email: notify.email.is_some(),
            has_sms: notify.sms.is_some(),
            webhooks: notify.webhooks.keys().cloned().collect(),
        }
    }
}

fn wrong(key: &str, message: &str) -> ConfigError {
    ConfigError::of_key(key, message.to_owned())
}

/// An address that people follow.
fn is_link(text: &str) -> bool {
    let is_plain = !text.chars().any(|c| c.is_control() || matches!(c, '<' | '>' | '"' | ' '));
    is_plain && (text.starts_with("https://") || text.starts_with("mailto:"))
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn checked_url(key: &str, url: &str, allow_private: bool) -> Result<(), ConfigError> {
    // A reference is looked at when it is resolved.
    let checked = if is_reference(url) { Ok(()) } else { check_url(url, allow_private) };
    checked.map_err(|message| ConfigError::of_key(key, message))
}

/// Checks an address that something is posted to.
///
/// # Errors
/// What was expected, without the address, which may be a secret.
pub fn check_url(url: &str, allow_private: bool) -> Result<(), String> {
    let rest = match url.split_once("://") {
        Some(("https", rest)) => rest,
        Some(("http", rest)) if allow_private => rest,
        Some(("http", _)) => {
            return Err("expected https:// (http:// is for private networks: set allow_private)".into());
        }
        _ => return Err("expected an address that begins with https://".into()),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.contains('@') || url.chars().any(|c| c.is_control() || c == ' ') {
        return Err("expected https://HOST/PATH, without a user or password in it".into());
    }
    if is_loopback(authority.rsplit_once(':').map_or(authority, |(host, _)| host)) && !allow_private {
        return Err("it is on this machine: set allow_private if that is meant".into());
    }
    Ok(())
}

fn check_template(key: &str, text: &str) -> Result<(), ConfigError> {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(wrong(key, "expected one line of text"));
    }
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('{') {
        let Some((field, after)) = after.split_once('}') else {
            return Err(wrong(key, "a brace is not closed"));
        };
        if !SUBJECT_FIELDS.contains(&field) {
            let known = SUBJECT_FIELDS.join("}, {");
            let message = format!("unknown field {{{field}}}: expected {{{known}}}");
            return Err(ConfigError::of_key(key, message));
        }
        rest = after;
    }
    Ok(())
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
        let mut config: NotifyConfig = toml::from_str(text).unwrap();
        config.mask_secrets();
        let shown = toml::to_string(&config).unwrap();
        assert!(!shown.contains("SECRET"), "{shown}");
        for url in ["sms.example.org/***", "hooks.example.org/***", "alerts.example.org/***"] {
            assert!(shown.contains(&format!("\"https://{url}\"")), "{url}: {shown}");
        }
        assert!(shown.contains("${file:/run/secrets/url}"), "{shown}");
        let mut plain: NotifyConfig =
            toml::from_str("[alertmanager]\nurl = \"https://alerts.example.org:9093/\"").unwrap();
        plain.mask_secrets();
        assert_eq!(plain.alertmanager.unwrap().url, "https://alerts.example.org:9093/");
    }

    #[test]
    fn ports_follow_from_tls() {
        let email = |more: &str| -> EmailConfig {
            toml::from_str(&format!("server = \"mail.example.org{more}\nfrom = \"a@b.c\"")).unwrap()
        };
        assert_eq!(email("\"").host_and_port(), Ok(("mail.example.org", 587)));
        assert_eq!(email("\"\ntls = \"tls\"").host_and_port(), Ok(("mail.example.org", 465)));
        assert_eq!(email(":2525\"").host_and_port(), Ok(("mail.example.org", 2525)));
    }

    #[test]
    fn ipv6_addresses_are_hosts() {
        let email = |server: &str| EmailConfig { server: server.into(), ..EmailConfig::default() };
        for (server, expected) in [
            ("[::1]:2525", ("::1", 2525)),
            ("[fd00::25]", ("fd00::25", 587)),
            ("fd00::25", ("fd00::25", 587)),
            ("::1", ("::1", 587)),
            ("127.0.0.1:25", ("127.0.0.1", 25)),
        ] {
            assert_eq!(email(server).host_and_port(), Ok(expected), "{server}");
        }
        for server in [
            "",
            ":25",
            "a:0",
            "a:x",
            "a:65536",
            "a b",
            "[::1",
            "[a]:25",
            "[::1]25",
            "a:b:c",
            "fd00::x:25",
            "[127.0.0.1]",
        ] {
            assert!(email(server).host_and_port().is_err(), "{server}");
        }
        let in_clear = EmailConfig { tls: MailTls::None, from: "a@b.c".into(), ..email("[::1]:2525") };
        in_clear.validate().unwrap();
    }
}
