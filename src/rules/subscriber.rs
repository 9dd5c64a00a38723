//! Subscribers: addresses, and hours in which messages wait.

use std::fmt;

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::severity::Severity;
use super::units::Units;

/// A person or service that alerts go to. Rules name its id, so that an address can change without them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Subscriber {
    /// Unique among the subscribers.
    pub id: String,
    /// The name to use in e-mails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The e-mail address. Never logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<Address>,
    /// The number for SMS, such as `+15551234567`. Never logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<Address>,
    /// The name of a webhook in the operator's configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// The ntfy topic. Anybody who knows it can read its messages, so it is never logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ntfy: Option<Address>,
    /// The units of messages. If absent, °F for rules whose condition is in °F, and metric units for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<Units>,
    /// Whether to send a message in the morning if a warning did not come true.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all_clear: bool,
    /// The time zone for quiet hours and for times in messages, as in `America/Phoenix`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// The hours in which e-mails, SMS and push messages wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet: Option<QuietHours>,
    /// The most messages an hour on each channel. Excess messages are held back and sent as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_hour: Option<u16>,
}

/// The hours of the day in which e-mails, SMS and push messages wait, unless an alert is severe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// The beginning, as in `22:00`.
    pub from: String,
    /// The end, as in `06:30`; on the next day if it is earlier than `from`.
    pub to: String,
    /// The lowest severity that is sent in these hours.
    #[serde(default = "critical", skip_serializing_if = "is_critical")]
    pub pass: Severity,
}

fn critical() -> Severity {
    Severity::Critical
}

fn is_critical(severity: &Severity) -> bool {
    *severity == Severity::Critical
}

/// An address. Only its owner sees it: it is not in logs, and not in messages about mistakes.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Address(pub String);

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(an address)")
    }
}

impl Subscriber {
    /// Alerts of at least this severity are sent at any time, without an hourly limit.
    pub fn passes(&self, severity: Severity) -> bool {
        severity >= self.quiet.as_ref().map_or(Severity::Critical, |quiet| quiet.pass)
    }

    /// The end of the quiet hours at `now_ms`, in milliseconds since 1970; `None` outside of them, and if an alert of
    /// this `severity` bypasses them.
    pub fn quiet_until_ms(&self, now_ms: i64, severity: Severity) -> Option<i64> {
        let quiet = self.quiet.as_ref().filter(|quiet| severity < quiet.pass)?;
        let zone = TimeZone::get(self.timezone.as_deref()?).ok()?;
        let (from, to) = (minute_of_day(&quiet.from)?, minute_of_day(&quiet.to)?);
        let now = jiff::Timestamp::from_millisecond(now_ms).ok()?.to_zoned(zone);
        let minute = i16::from(now.hour()) * 60 + i16::from(now.minute());
        let (is_quiet, ends_tomorrow) = match from < to {
            true => ((from..to).contains(&minute), false),
            false => (minute >= from || minute < to, minute >= from),
        };
        if !is_quiet {
            return None;
        }
        let day = if ends_tomorrow { now.date().tomorrow().ok()? } else { now.date() };
        let end = day.at(i8::try_from(to / 60).ok()?, i8::try_from(to % 60).ok()?, 0, 0);
        // If a change of clocks skips the end, the moment after it counts.
        let end = end.to_zoned(now.time_zone().clone()).ok()?.timestamp().as_millisecond();
        Some(end.max(now_ms + 60_000))
    }
}

pub(super) fn minute_of_day(text: &str) -> Option<i16> {
    let [h1, h2, b':', m1, m2] = *text.as_bytes() else { return None };
    let two = |tens: u8, ones: u8| {
        let is_number = tens.is_ascii_digit() && ones.is_ascii_digit();
        is_number.then(|| i16::from(tens - b'0') * 10 + i16::from(ones - b'0'))
    };
    let (hour, minute) = (two(h1, h2)?, two(m1, m2)?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anna() -> Subscriber {
        Subscriber {
            id: "anna".into(),
            email: Some(Address("anna@example.org".into())),
            timezone: Some("America/Phoenix".into()),
            quiet: Some(QuietHours { from: "22:00".into(), to: "06:00".into(), pass: Severity::Critical }),
            ..Subscriber::default()
        }
    }

    fn at(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn quiet_hours_are_those_of_the_subscribers_clock() {
        let anna = anna();
        let until = |now: &str, severity| anna.quiet_until_ms(at(now), severity);
        // 23:30 in Phoenix, which is seven hours behind.
        assert_eq!(until("2026-01-10T06:30:00Z", Severity::Warning), Some(at("2026-01-10T13:00:00Z")));
        assert_eq!(until("2026-01-10T12:59:00Z", Severity::Warning), Some(at("2026-01-10T13:00:00Z")));
        assert_eq!(until("2026-01-10T13:00:00Z", Severity::Warning), None);
        assert_eq!(until("2026-01-10T06:30:00Z", Severity::Critical), None);
        let mut vienna = anna.clone();
        vienna.timezone = Some("Europe/Vienna".into());
        vienna.quiet =
            Some(QuietHours { from: "01:00".into(), to: "02:30".into(), pass: Severity::Critical });
        // The night in which 02:30 does not exist.
        let end = vienna.quiet_until_ms(at("2026-03-29T00:30:00Z"), Severity::Info).unwrap();
        assert!((at("2026-03-29T01:00:00Z")..=at("2026-03-29T01:30:00Z")).contains(&end), "{end}");
    }
}
