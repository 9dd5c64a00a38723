//! Alertmanager, through its v2 API.
//!
//! Alertmanager's alerts are states, not events: alerts with the same labels are the same alert. So an alert and the
//! one that ends it have the same labels, and `endsAt` says when it is over: at once if it is resolved, withdrawn or
//! stale; otherwise when it would become stale, so that it cannot stand indefinitely if its end is lost.

use std::time::Duration;

use frostline_engine::record::{DAY_MS, unix_ms};
use serde_json::{Value, json};

use super::http::Target;
use super::{Attempt, TEST_RULE};
use crate::config::{AlertmanagerConfig, SecretText};
use crate::stages::{Message, Notice};

/// An alert of a rule without episodes is about one day: it stands for this long after it was sent.
const LONE_DAY_MS: i64 = DAY_MS;
/// How long a test alert stands.
const TEST_MS: i64 = 60_000;
/// How long an episode stands without further alerts.
const EPISODE_MS: i64 = 30 * DAY_MS;

pub(super) struct Alertmanager {
    target: Target,
    user: String,
    password: SecretText,
}

impl Alertmanager {
    /// # Errors
    /// What is wrong with the configuration.
    pub(super) fn new(config: &AlertmanagerConfig, timeout: Duration) -> Result<Self, String> {
        let target = Target::new(&config.url, config.allow_private, timeout)
            .and_then(|target| target.below("/api/v2/alerts"))
            .map_err(|reason| format!("notify.alertmanager.url: {reason}"))?;
        let password =
            config.password.resolve().map_err(|reason| format!("notify.alertmanager.password: {reason}"))?;
        Ok(Self { target, user: config.user.clone(), password })
    }

    /// Sends all alerts of a message.
    pub(super) async fn send(&self, message: &Message) -> Attempt {
        let now_ms = unix_ms();
        let alerts: Vec<Value> = message.notices.iter().map(|told| alert(&told.notice, now_ms)).collect();
        let mut request = self.target.post();
        if !self.user.is_empty() {
            request = request.basic_auth(&self.user, Some(self.password.as_str()));
        }
        let request = request.header("Content-Type", "application/json");
        self.target.send(request.body(Value::from(alerts).to_string())).await
    }
}

fn alert(notice: &Notice, now_ms: i64) -> Value {
    let time =
        |ms: i64| jiff::Timestamp::from_millisecond(ms).map(|time| time.to_string()).unwrap_or_default();
    let ends_ms = match (notice.ends(), &notice.episode) {
        (true, _) => now_ms,
        (false, _) if notice.rule_id == TEST_RULE => now_ms + TEST_MS,
        (false, Some(_)) => now_ms + EPISODE_MS,
        (false, None) => now_ms + LONE_DAY_MS,
    };
    let mut alert = json!({
        "labels": {
            "alertname": notice.rule_id,
            "station": notice.station,
            "severity": notice.severity,
            "event": notice.thread(),
        },
        "annotations": {
            "summary": notice.message,
            "description": format!("{} ({})", notice.when, notice.transition.as_str()),
            "station_name": notice.station_name.as_deref().unwrap_or_default(),
            "date": notice.date,
            "alert_id": notice.alert_id,
        },
        "endsAt": time(ends_ms),
    });
    if !notice.ends() {
        alert["startsAt"] = time(now_ms).into();
    }
    alert
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::samples::told;
    use crate::rules::Transition;

    #[test]
    fn what_ends_an_alert_has_its_labels() {
        let mut fired = told("frost", "X").notice;
        fired.episode = Some("frost/USW00003192/2016-02-24".into());
        let mut resolved = fired.clone();
        resolved.transition = Transition::Resolved;
        resolved.alert_id = "frost/USW00003192/2016-02-27/resolved".into();
        let (fired, resolved) = (alert(&fired, 0), alert(&resolved, 0));
        assert_eq!(fired["labels"], resolved["labels"]);
        assert_eq!(resolved["endsAt"], "1970-01-01T00:00:00Z");
        assert_eq!(fired["endsAt"], "1970-01-31T00:00:00Z");
        assert!(resolved.get("startsAt").is_none());
    }
}
