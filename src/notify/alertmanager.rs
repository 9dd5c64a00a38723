//! Alertmanager, through its v2 API.
//!
//! Alertmanager's alerts are states, not events: alerts with the same labels are the same alert. So an alert and the
//! one that ends it have the same labels, and `endsAt` says when it is over: at once if it is resolved, withdrawn or
//! stale; otherwise when it would become stale, so that it cannot stand indefinitely if its end is lost.
//!
//! The severity is a label, for routing, and may have changed since the alert began. So an end is sent for each severity;
//! of one that Alertmanager never heard of it notifies nobody. An end lies a little in the past: one that is in the future
//! by Alertmanager's clock would not end what it knows.

use std::time::Duration;

use frostline_engine::record::{DAY_MS, unix_ms};
use serde_json::{Value, json};

use super::http::Target;
use super::{Attempt, TEST_RULE};
use crate::config::{AlertmanagerConfig, SecretText};
use crate::rules::Severity;
use crate::stages::{Message, Notice};

/// An alert about a night, or of a rule without `clear`, is about one day: it stands for this long after it was sent.
const LONE_DAY_MS: i64 = DAY_MS;
/// How long a test alert stands.
const TEST_MS: i64 = 60_000;
/// How long an episode stands without further alerts.
const EPISODE_MS: i64 = 30 * DAY_MS;
/// How far Alertmanager's clock may be behind.
const CLOCK_MS: i64 = 60_000;
const SEVERITIES: [Severity; 3] = [Severity::Info, Severity::Warning, Severity::Critical];

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
        let notices = message.notices.iter().map(|told| &told.notice);
        let alerts: Vec<Value> = notices.flat_map(|notice| alerts(notice, now_ms)).collect();
        let mut request = self.target.post();
        if !self.user.is_empty() {
            request = request.basic_auth(&self.user, Some(self.password.as_str()));
        }
        let request = request.header("Content-Type", "application/json");
        self.target.send(request.body(Value::from(alerts).to_string())).await
    }
}

fn alerts(notice: &Notice, now_ms: i64) -> Vec<Value> {
    match notice.ends() {
        true => SEVERITIES.into_iter().map(|severity| alert(notice, severity, now_ms)).collect(),
        false => vec![alert(notice, notice.severity, now_ms)],
    }
}

fn alert(notice: &Notice, severity: Severity, now_ms: i64) -> Value {
    let time =
        |ms: i64| jiff::Timestamp::from_millisecond(ms).map(|time| time.to_string()).unwrap_or_default();
    let ends_ms = match (notice.ends(), &notice.clear) {
        (true, _) => now_ms - CLOCK_MS,
        (false, _) if notice.rule_id == TEST_RULE => now_ms + TEST_MS,
        (false, Some(_)) => now_ms + EPISODE_MS,
        (false, None) => now_ms + LONE_DAY_MS,
    };
    let mut alert = json!({
        "labels": {
            "alertname": notice.rule_id,
            "station": notice.station,
            "severity": severity,
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
    fn what_ends_an_alert_has_its_labels_whatever_its_severity_was() {
        let mut fired = told("frost", "X").notice;
        fired.episode = Some("frost/USW00003192/2016-02-24".into());
        fired.clear = Some("TMIN > 12.0".into());
        let mut resolved = fired.clone();
        resolved.transition = Transition::Resolved;
        resolved.severity = Severity::Critical;
        resolved.alert_id = "frost/USW00003192/2016-02-27/resolved".into();
        let (fired, resolved) = (alerts(&fired, 0), alerts(&resolved, 60_000));
        assert_eq!((fired.len(), resolved.len()), (1, 3));
        assert!(resolved.iter().any(|resolved| resolved["labels"] == fired[0]["labels"]));
        assert_eq!(resolved[0]["endsAt"], "1970-01-01T00:00:00Z", "before now");
        assert_eq!(fired[0]["endsAt"], "1970-01-31T00:00:00Z");
        assert!(resolved[0].get("startsAt").is_none());
    }

    #[test]
    fn what_is_about_one_night_does_not_stand_for_a_month() {
        let mut expected = told("tonight", "X").notice;
        expected.transition = Transition::Expected;
        expected.episode = Some("tonight/USW00003192/2016-02-24".into());
        assert_eq!(alerts(&expected, 0)[0]["endsAt"], "1970-01-02T00:00:00Z");
    }

    #[test]
    fn an_end_that_is_withdrawn_begins_the_alert_again() {
        let mut again = told("frost", "X").notice;
        (again.transition, again.clear) = (Transition::Retracted, Some("TMIN > 12.0".into()));
        again.episode = Some("frost/USW00003192/2016-02-24".into());
        let mut retracts = |id: &str| {
            again.retracts = Some(format!("frost/USW00003192/{id}"));
            (
                alerts(&again, 60_000)[0]["endsAt"].as_str().unwrap().to_owned(),
                again.is_over(),
                again.goes_on(),
            )
        };
        for end in ["2016-02-27/resolved", "2016-02-27/resolved/2", "2016-02-27/stale"] {
            assert_eq!(retracts(end), ("1970-01-31T00:01:00Z".into(), false, true), "{end}");
        }
        assert_eq!(
            retracts("2016-02-25/fired"),
            ("1970-01-31T00:01:00Z".into(), true, false),
            "a repetition"
        );
        assert_eq!(retracts("2016-02-24/fired"), ("1970-01-01T00:00:00Z".into(), true, false), "the first");
    }
}
