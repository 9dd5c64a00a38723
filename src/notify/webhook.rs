//! Webhooks: an alert as signed JSON, or in the form of the operator's template.
//!
//! The signature is HMAC-SHA256 over the time in the header, a full stop, and the body, so a receiver can refuse
//! forged and replayed requests. The idempotency key is the alert's id: a receiver that has seen it can drop the
//! second copy. If several subscribers share a webhook, each gets a copy; the body names the subscriber.
//!
//! A custom body lets alerts reach receivers with their own formats: chats such as Slack, Discord, Teams and
//! Telegram. They identify senders by the secret in the address, so they need no signature.

use std::time::Duration;

use frostline_engine::record::unix_ms;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use super::Attempt;
use super::http::Target;
use crate::config::{BodyField, BodyTemplate, SecretText, WebhookConfig};
use crate::printable::at_most;
use crate::stages::{Message, Notice};

/// Most characters of a field: chats accept about 2,000 in a message.
const FIELD_CHARS_MAX: usize = 1_500;

pub(super) struct Webhook {
    target: Target,
    secret: SecretText,
    template: Option<BodyTemplate>,
    content_type: String,
}

impl Webhook {
    /// # Errors
    /// What is wrong with the configuration.
    pub(super) fn new(name: &str, config: &WebhookConfig, timeout: Duration) -> Result<Self, String> {
        let key = format!("notify.webhooks.{name}");
        let target = Target::new(&config.url, config.allow_private, timeout)
            .map_err(|reason| format!("{key}.url: {reason}"))?;
        let secret = config.secret.resolve().map_err(|reason| format!("{key}.secret: {reason}"))?;
        let template = config.template().map_err(|reason| format!("{key}.body: {reason}"))?;
        Ok(Self { target, secret, template, content_type: with_charset(config.content_type()) })
    }

    /// Sends one alert.
    pub(super) async fn send(&self, message: &Message) -> Attempt {
        let Some(told) = message.notices.first() else { return Attempt::ill("nothing to send".into()) };
        let notice = &told.notice;
        let body = match &self.template {
            Some(template) => template.render(|field| value(field, message, notice)),
            None => json!({ "message_id": message.id, "recipient": message.recipient, "alert": notice })
                .to_string(),
        };
        let mut request = self.target.post();
        if !self.secret.is_empty() {
            let seconds = unix_ms() / 1_000;
            request = request
                .header("Frostline-Timestamp", seconds)
                .header("Frostline-Signature", format!("v1={}", sign(&self.secret, seconds, &body)));
        }
        let request =
            request.header("Content-Type", &self.content_type).header("Idempotency-Key", &notice.alert_id);
        self.target.send(request.body(body)).await
    }
}

/// Names the encoding of plain text: without it a receiver may read ° as two characters. JSON and forms are always
/// UTF-8.
fn with_charset(content_type: &str) -> String {
    let lower = content_type.to_ascii_lowercase();
    let is_text = lower.trim_start().starts_with("text/") && !lower.contains("charset");
    if is_text { format!("{content_type}; charset=utf-8") } else { content_type.to_owned() }
}

/// The value of a template's field.
fn value(field: BodyField, message: &Message, notice: &Notice) -> String {
    let text = match field {
        BodyField::Text => notice.message.clone(),
        BodyField::Rule => notice.rule_id.clone(),
        BodyField::Severity => notice.severity.as_str().to_owned(),
        BodyField::Transition => notice.transition.as_str().to_owned(),
        BodyField::Station => notice.station.clone(),
        BodyField::StationName => notice.station_name.clone().unwrap_or_else(|| notice.station.clone()),
        BodyField::Date => notice.date.clone(),
        BodyField::When => notice.when.clone(),
        BodyField::Values => {
            let values = notice.values.iter().map(|(name, value)| format!("{name} {value:?}"));
            values.collect::<Vec<_>>().join(", ")
        }
        BodyField::AlertId => notice.alert_id.clone(),
        BodyField::MessageId => message.id.clone(),
        BodyField::Recipient => message.recipient.to_string(),
    };
    at_most(&text, FIELD_CHARS_MAX).into_owned()
}

fn sign(secret: &str, seconds: i64, body: &str) -> String {
    // A key of any length is accepted.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(format!("{seconds}.{body}").as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_names_its_encoding() {
        assert_eq!(with_charset("text/plain"), "text/plain; charset=utf-8");
        for stays in ["text/plain; Charset=us-ascii", "application/json"] {
            assert_eq!(with_charset(stays), stays);
        }
    }

    #[test]
    fn the_signature_is_what_others_compute() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key
        let expected = "a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03";
        assert_eq!(sign("key", 1_700_000_000, r#"{"a":1}"#), expected);
    }
}
