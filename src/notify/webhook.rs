//! Webhooks: an alert as signed JSON.
//!
//! The signature is HMAC-SHA256 over the time in the header, a point, and the body, so that a receiver can refuse what
//! somebody else has sent, or has sent before. The key of idempotency is the alert's id: a receiver that has seen it can
//! drop the second copy. Where several subscribers share a webhook, each of them is a copy; the body says whose.

use std::time::Duration;

use frostline_engine::record::unix_ms;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use super::Attempt;
use super::http::{self, Target};
use crate::config::{WebhookConfig, resolve_secret};
use crate::stages::Message;

pub(super) struct Webhook {
    target: Target,
    secret: String,
}

impl Webhook {
    /// # Errors
    /// What is wrong with the configuration.
    pub(super) fn new(name: &str, config: &WebhookConfig, timeout: Duration) -> Result<Self, String> {
        let key = format!("notify.webhooks.{name}");
        let target = Target::new(&config.url, config.allow_private, timeout)
            .map_err(|reason| format!("{key}.url: {reason}"))?;
        let secret = resolve_secret(&config.secret).map_err(|reason| format!("{key}.secret: {reason}"))?;
        Ok(Self { target, secret })
    }

    /// Sends one alert.
    pub(super) async fn send(&self, message: &Message) -> Attempt {
        let Some(told) = message.notices.first() else { return Attempt::ill("nothing to send".into()) };
        let body = json!({
            "message_id": message.id,
            "recipient": message.recipient,
            "alert": told.notice,
        });
        let (body, seconds) = (body.to_string(), unix_ms() / 1_000);
        let request = self.target.client.post(self.target.url.clone());
        let request = request
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", &told.notice.alert_id)
            .header("Frostline-Timestamp", seconds)
            .header("Frostline-Signature", format!("v1={}", sign(&self.secret, seconds, &body)));
        http::send(request.body(body)).await
    }
}

fn sign(secret: &str, seconds: i64, body: &str) -> String {
    // A key of any length is taken.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(format!("{seconds}.{body}").as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_what_others_compute() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key
        let expected = "a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03";
        assert_eq!(sign("key", 1_700_000_000, r#"{"a":1}"#), expected);
    }
}
