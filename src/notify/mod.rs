//! Sends messages: mail, SMS, webhooks, Alertmanager, ntfy.
//!
//! One thread with its own event loop, so that no partition ever waits for a server. Each server has a *lane*: a
//! limited number of messages at the same time, and a circuit breaker. A server that is dead or slow fills only its
//! own lane.
//!
//! Addresses and secrets are looked up only here, when a message is sent; servers' answers are repeated without them.

mod alertmanager;
mod circuit;
mod courier;
mod email;
mod http;
mod newest;
mod ntfy;
mod page;
mod sms;
mod smtp;
mod texts;
mod tls;
mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use self::alertmanager::Alertmanager;
pub use self::courier::Courier;
use self::email::{Email, To};
use self::ntfy::Ntfy;
use self::sms::Sms;
use self::webhook::Webhook;
use crate::config::NotifyConfig;
use crate::noaa::RecentDays;
use crate::rules::{Address, Channel, RuleSet, Subscriber};
use crate::stages::{Message, Reply, rule_address};

/// The rule of test messages.
pub const TEST_RULE: &str = "frostline-test";
/// Longest answer or reason that is kept, in characters.
const ANSWER_CHARS_MAX: usize = 200;

/// The outcome of an attempt.
struct Attempt {
    reply: Reply,
    /// The earliest next attempt, if the server has asked for one (`Retry-After`).
    retry_after: Option<Duration>,
}

impl Attempt {
    fn of(reply: Reply) -> Self {
        Self { reply, retry_after: None }
    }

    fn ill(reason: String) -> Self {
        Self::of(Reply::Down(reason))
    }

    fn refused(reason: String) -> Self {
        Self::of(Reply::Refused(reason))
    }

    /// Whether the cause is the server, so that other messages would fail as well.
    fn is_ill(&self) -> bool {
        matches!(self.reply, Reply::Down(_))
    }

    /// The server's answer, or the error.
    fn text_mut(&mut self) -> &mut String {
        let (Reply::Sent(text)
        | Reply::Again(text)
        | Reply::Down(text)
        | Reply::Refused(text)
        | Reply::Postponed { reason: text, .. }) = &mut self.reply;
        text
    }

    /// Makes the server's answer fit for logs and topics: one short line, without the address, which servers like to
    /// repeat.
    fn cleaned(mut self, addresses: &[&str]) -> Self {
        let text = self.text_mut();
        *text = clean(text, addresses);
        self
    }
}

/// Makes a text fit for logs; see [`Attempt::cleaned`].
fn clean(text: &str, addresses: &[&str]) -> String {
    let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    for address in addresses {
        // The address as it is, in the form of forms, with its domain in punycode, and a number without its plus.
        let escaped = address.replace('@', "%40").replace('+', "%2B");
        let ascii = email::ascii_form(address).unwrap_or_default();
        for form in [*address, &escaped, &ascii, address.trim_start_matches('+')] {
            text = without(&text, form);
        }
    }
    text.chars().take(ANSWER_CHARS_MAX).collect()
}

/// Replaces a text, ignoring case.
fn without(text: &str, secret: &str) -> String {
    let (small, secret) = (text.to_ascii_lowercase(), secret.to_ascii_lowercase());
    if secret.is_empty() {
        return text.to_owned();
    }
    let (mut clean, mut end) = (String::new(), 0);
    for (at, found) in small.match_indices(&secret) {
        clean.push_str(&text[end..at]);
        clean.push_str("(the address)");
        end = at + found.len();
    }
    clean + &text[end..]
}

/// The address, which must not be repeated; the name of a section may be.
fn private_address(subscriber: &Subscriber, channel: Channel) -> Option<&str> {
    let descriptor = channel.descriptor();
    (descriptor.field.as_ref()?.of)(subscriber).filter(|_| !descriptor.is_named)
}

/// Address, name, and the reason for a mail.
type MailTo = (Address, Option<String>, String);

/// All configured channels, and the source of addresses.
pub struct Sender {
    rules: Arc<RuleSet>,
    recent: Arc<RecentDays>,
    email: Option<Email>,
    sms: Option<Sms>,
    webhooks: BTreeMap<String, Webhook>,
    alertmanager: Option<Alertmanager>,
    ntfy: Option<Ntfy>,
    concurrency: usize,
}

impl Sender {
    /// Prepares the channels. Nothing connects yet.
    ///
    /// # Errors
    /// The key of the configuration, and what is wrong with its value: a secret that cannot be read, or an address
    /// that is not allowed.
    pub fn new(config: &NotifyConfig, rules: Arc<RuleSet>, recent: Arc<RecentDays>) -> Result<Self, String> {
        // Another part of the process may have chosen one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let timeout = Duration::from_millis(config.timeout_ms);
        let webhooks = config
            .webhooks
            .iter()
            .map(|(name, webhook)| Ok((name.clone(), Webhook::new(name, webhook, timeout)?)));
        Ok(Self {
            rules,
            recent,
            email: config.email.as_ref().map(|email| Email::new(email, config, timeout)).transpose()?,
            sms: config.sms.as_ref().map(|sms| Sms::new(sms, timeout)).transpose()?,
            webhooks: webhooks.collect::<Result<_, String>>()?,
            alertmanager: config.alertmanager.as_ref().map(|a| Alertmanager::new(a, timeout)).transpose()?,
            ntfy: config.ntfy.as_ref().map(|ntfy| Ntfy::new(ntfy, timeout)).transpose()?,
            concurrency: config.concurrency,
        })
    }

    /// Tries once to send a message.
    pub async fn send(&self, message: &Message) -> Reply {
        self.attempt(message).await.reply
    }

    async fn attempt(&self, message: &Message) -> Attempt {
        let message = &texts::cleaned(message);
        let subscriber = message.recipient.subscriber(&self.rules);
        let subscriber = subscriber.as_deref();
        let mail_to = self.mail_to(message, subscriber);
        let addresses = mail_to.iter().map(|(Address(address), ..)| address.as_str());
        let addresses: Vec<&str> =
            addresses.chain(subscriber.and_then(|s| private_address(s, message.channel))).collect();
        self.attempt_to(message, subscriber, mail_to.as_ref()).await.cleaned(&addresses)
    }

    async fn attempt_to(
        &self,
        message: &Message,
        subscriber: Option<&Subscriber>,
        mail_to: Option<&MailTo>,
    ) -> Attempt {
        let gone = |what: &str| Attempt::refused(format!("{} no longer has {what}", message.recipient));
        match message.channel {
            Channel::Email => match (&self.email, mail_to) {
                (Some(email), Some((address, name, why))) => {
                    let units = subscriber.and_then(|subscriber| subscriber.units);
                    let timezone = subscriber.and_then(|subscriber| subscriber.timezone.as_deref());
                    let to = To { address, name: name.as_deref(), why, units, timezone };
                    email.send(message, &to, &self.recent).await
                }
                _ => gone("mail address"),
            },
            Channel::Sms => match (&self.sms, subscriber.and_then(|s| s.phone.as_ref())) {
                (Some(sms), Some(phone)) => sms.send(message, phone, subscriber.and_then(|s| s.units)).await,
                _ => gone("phone number"),
            },
            Channel::Webhook => match self.webhook_of(subscriber) {
                Some((_, webhook)) => webhook.send(message).await,
                None => gone("webhook"),
            },
            Channel::Alertmanager => match &self.alertmanager {
                Some(alertmanager) => alertmanager.send(message).await,
                None => gone("address"),
            },
            Channel::Ntfy => match (&self.ntfy, subscriber.and_then(|s| s.ntfy.as_ref())) {
                (Some(ntfy), Some(topic)) => ntfy.send(message, topic).await,
                _ => gone("ntfy topic"),
            },
        }
    }

    fn webhook_of(&self, subscriber: Option<&Subscriber>) -> Option<(&str, &Webhook)> {
        let name = subscriber?.webhook.as_deref()?;
        self.webhooks.get_key_value(name).map(|(name, webhook)| (name.as_str(), webhook))
    }

    /// The address, the name that goes with it, and the reason for this mail.
    fn mail_to(&self, message: &Message, subscriber: Option<&Subscriber>) -> Option<MailTo> {
        let mut rules: Vec<&str> = message.notices.iter().map(|told| told.notice.rule_id.as_str()).collect();
        rules.sort_unstable();
        rules.dedup();
        let named = format!("You receive this because you subscribe to {}", rules.join(", "));
        match subscriber {
            Some(found) => {
                let why = format!("{named} (subscriber {}).", found.id);
                Some((found.email.clone()?, found.name.clone(), why))
            }
            None => {
                let found = rules.iter().find_map(|rule| rule_address(&message.recipient, rule, &self.rules));
                Some((found?, None, format!("{named}, which names your address.")))
            }
        }
    }

    /// The server for a message: one for each section of the configuration.
    fn lane_of(&self, message: &Message) -> String {
        match message.channel {
            Channel::Webhook => {
                let subscriber = message.recipient.subscriber(&self.rules);
                let name = self.webhook_of(subscriber.as_deref()).map_or("", |(name, _)| name);
                format!("webhook {name}")
            }
            channel => channel.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_repeat_is_not_repeated() {
        let (mail, phone) = ("Anna@example.org", "+15551234567");
        let said =
            format!("{} <anna@EXAMPLE.org> To=%2B15551234567 15551234567 anna%40example.org", "x".repeat(50));
        let cleaned = clean(&said, &[mail, phone]);
        assert!(!cleaned.to_lowercase().contains("anna") && !cleaned.contains("5551234567"), "{cleaned}");
        let other_script = clean("550 <anna@xn--exmple-cua.org>", &["anna@exämple.org"]);
        assert!(!other_script.contains("anna"), "{other_script}");
        // The end is cut after it was cleaned, not before.
        let edge = format!("{}+15551234567", "x".repeat(ANSWER_CHARS_MAX - 5));
        assert!(!clean(&edge, &[phone]).contains("1555"));
    }
}

#[cfg(test)]
mod channel_tests;
#[cfg(test)]
mod template_tests;

#[cfg(test)]
mod samples {
    use crate::rules::{Channel, Severity, Transition};
    use crate::stages::{Message, Notice, Recipient, Told};

    pub(super) fn told(rule: &str, station_name: &str) -> Told {
        Told::of_notice(Notice {
            alert_id: format!("{rule}/USW00003192/2016-02-24/fired"),
            rule_id: rule.into(),
            transition: Transition::Fired,
            severity: Severity::Warning,
            station: "USW00003192".into(),
            station_name: Some(station_name.into()),
            date: "2016-02-24".into(),
            message: format!("TMIN 8.9 °C at {station_name} (USW00003192) on 2016-02-24: TMIN <= 10.0"),
            when: "TMIN <= 10.0".into(),
            clear: None,
            values: vec![("TMIN".into(), 8.9), ("TMAX".into(), 25.6)],
            episode: None,
            retracts: None,
            days: None,
        })
    }

    pub(super) fn message(notices: Vec<Told>) -> Message {
        Message::of_notices(Recipient::Subscriber("anna".into()), Channel::Email, notices)
    }
}
