//! The value of an alert: the observation, and the alert's own fields.

use std::io::Write;

use frostline_engine::record::Record;

use super::filter::write_meta;
use super::json::{RawObject, write_string};
use crate::noaa::{Date, Element, ElementValue, ObservationView, StationId};
use crate::rules::{Event, Rule, Subject, Transition, Units};

/// The origin of an alert.
pub(super) enum Cause<'a> {
    /// The observation that was read: of the alert's own day or, if it was late, of another.
    Observation,
    /// The station was silent for too long; an observation of another station moved the calendar on.
    Silence {
        /// The silent station.
        station: StationId,
        /// Its name; empty if unknown.
        name: &'a str,
    },
}

impl Cause<'_> {
    /// The station that the alert is about.
    pub(super) fn station(&self, view: &ObservationView) -> StationId {
        match self {
            Self::Observation => view.station.id,
            Self::Silence { station, .. } => *station,
        }
    }
}

/// The parts of an alert.
pub(super) struct AlertRecord<'a> {
    pub(super) alert_id: &'a str,
    /// The id of the alert that is withdrawn.
    pub(super) retracts: Option<&'a str>,
    pub(super) rule: &'a Rule,
    pub(super) event: &'a Event,
    /// The id of the event.
    pub(super) date: Date,
    pub(super) cause: &'a Cause<'a>,
    /// The observation that was read.
    pub(super) object: &'a RawObject<'a>,
    pub(super) record: &'a Record<'a>,
    pub(super) view: &'a ObservationView,
}

/// Fields of the alert itself: where the observation has one of that name, the alert's wins.
pub(super) const OWN_FIELDS: [&str; 16] = [
    "_id",
    "_meta",
    "email",
    "subscribers",
    "alert_id",
    "rule_id",
    "rule_version",
    "transition",
    "severity",
    "episode",
    "days",
    "retracts",
    "value",
    "when",
    "clear",
    "message",
];

impl AlertRecord<'_> {
    /// Appends the value.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        self.write_observation(out);
        let (station, rule) = (self.cause.station(self.view), self.rule);
        write_meta(out, self.record, &format!("{station}/{}", self.date));
        let mut field = |name: &str, text: &str| {
            // Writing into a vector cannot fail.
            let _ = write!(out, ",\"{name}\":");
            write_string(out, text);
        };
        // Only the address that the rule itself names, as in the talk. Addresses of subscribers stay out of records,
        // and are looked up when a message is sent.
        if let Some(email) = &rule.email {
            field("email", &email.0);
        }
        field("alert_id", self.alert_id);
        field("rule_id", &rule.id);
        field("transition", self.event.transition.as_str());
        if let Some(severity) = rule.severity {
            field("severity", severity.as_str());
        }
        if let Some(retracts) = self.retracts {
            field("retracts", retracts);
        }
        if rule.has_episodes() {
            let since = Date::from_days_since_1970(self.event.since).unwrap_or(self.date);
            field("episode", &format!("{}/{station}/{since}", rule.id));
        }
        field("when", rule.when.text());
        if let Some(clear) = &rule.clear {
            field("clear", clear.text());
        }
        field("message", &self.message());
        if rule.version > 0 {
            let _ = write!(out, ",\"rule_version\":{}", rule.version);
        }
        if rule.has_episodes() {
            let _ = write!(out, ",\"days\":{}", self.days());
        }
        if !rule.subscribers.is_empty() {
            out.extend_from_slice(b",\"subscribers\":");
            // Strings into a vector cannot fail.
            let _ = serde_json::to_writer(
                &mut *out,
                &rule.subscribers.iter().map(|id| &**id).collect::<Vec<_>>(),
            );
        }
        out.extend_from_slice(b",\"value\":");
        self.write_value(out);
        out.push(b'}');
    }

    /// Whether the observation that was read is that of the alert's day.
    fn is_about_the_observation(&self) -> bool {
        matches!(self.cause, Cause::Observation) && self.date == self.view.date
    }

    /// The observation; if another one was read, only station and day are known.
    fn write_observation(&self, out: &mut Vec<u8>) {
        if self.is_about_the_observation() {
            return self.object.write_fields(out, |key| !OWN_FIELDS.contains(&key));
        }
        out.extend_from_slice(b"\"station\":");
        match self.cause {
            Cause::Observation => {
                out.extend_from_slice(self.object.raw("station").unwrap_or("null").as_bytes())
            }
            Cause::Silence { station, name } => {
                let _ = write!(out, "{{\"id\":\"{station}\"");
                if !name.is_empty() {
                    out.extend_from_slice(b",\"name\":");
                    write_string(out, name);
                }
                out.push(b'}');
            }
        }
        let _ = write!(out, ",\"date\":\"{}T00:00:00\"", self.date);
    }

    /// The value that the condition used: a number, an object for several elements, null if the values of the day are
    /// not available.
    fn write_value(&self, out: &mut Vec<u8>) {
        let values = self.values();
        let _ = match values.as_slice() {
            _ if !self.is_about_the_observation() => write!(out, "null"),
            [(_, value)] => write!(out, "{value}"),
            values => {
                let parts: Vec<String> =
                    values.iter().map(|(element, value)| format!("\"{element}\":{value}")).collect();
                write!(out, "{{{}}}", parts.join(","))
            }
        };
    }

    fn values(&self) -> Vec<(Element, ElementValue)> {
        let elements = self.rule.when.elements();
        elements.filter_map(|element| Some((element, self.view.element(element)?))).collect()
    }

    /// Which day of the episode this is; the one on which it fired is 1.
    fn days(&self) -> i32 {
        self.event.day - self.event.since + 1
    }

    /// One readable line: `TMIN 8.9 °C at SCOTTSDALE MUNI AP (USW00003192) on 2016-02-24: TMIN <= 10.0`.
    fn message(&self) -> String {
        let (rule, date) = (self.rule, self.date);
        let (when, days) = (rule.when.text(), self.days());
        let place = self.place();
        match self.event.transition {
            Transition::Fired => {
                let text = match &rule.message {
                    Some(template) if self.is_about_the_observation() => {
                        let severity = rule.severity.unwrap_or_default().as_str();
                        template.render(&Subject { rule: &rule.id, when, severity, date, days }, self.view)
                    }
                    _ if days > 1 => format!("{} at {place} on {date}: {when}, day {days}", self.measured()),
                    _ => format!("{} at {place} on {date}: {when}", self.measured()),
                };
                match self.event.silent_from.and_then(Date::from_days_since_1970) {
                    Some(last) => format!("{text} (first alert since the station fell silent after {last})"),
                    None => text,
                }
            }
            Transition::Resolved => {
                let clear = rule.clear.as_ref().map_or("", |clear| clear.text());
                format!("{} at {place} on {date}: over ({clear}) on day {days}", self.measured())
            }
            Transition::Stale => format!(
                "No report from {place} up to {date}: whether {when} still holds on day {days} is unknown"
            ),
            Transition::Retracted => {
                let what = self.retracts.unwrap_or_default();
                let withdrawn = match self.event.of {
                    Transition::Fired => format!("Withdrawn: {what}"),
                    _ => format!("Not over: {what} is withdrawn"),
                };
                format!("{withdrawn}. Newer data for {place} no longer supports it")
            }
            // Alerts about nights have another form.
            Transition::Expected | Transition::Confirmed | Transition::Averted | Transition::Withdrawn => {
                format!("{} at {place} on {date}: {when}", self.measured())
            }
        }
    }

    fn place(&self) -> String {
        let (station, name) = match self.cause {
            Cause::Observation => {
                (self.view.station.id, self.view.station.name.as_deref().unwrap_or_default())
            }
            Cause::Silence { station, name } => (*station, *name),
        };
        if name.is_empty() { station.to_string() } else { format!("{name} ({station})") }
    }

    /// The values that the condition used, with their units.
    fn measured(&self) -> String {
        if !self.is_about_the_observation() {
            return "Known from a late report:".into();
        }
        // The units of the rule's own limits.
        let units = Units::of_condition(self.rule.when.text());
        let with_unit = |(element, value): &(Element, ElementValue)| match (element.unit(), units) {
            (Some(_), Some(units)) => format!("{element} {}", units.measured(*element, value.as_f64())),
            (Some(unit), None) => format!("{element} {value} {unit}"),
            (None, _) => format!("{element} {value}"),
        };
        self.values().iter().map(with_unit).collect::<Vec<_>>().join(", ")
    }
}
