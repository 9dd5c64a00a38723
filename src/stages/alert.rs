//! alert: evaluates the rules of the observation's station and writes each alert once.
//!
//! An alert's id is made of what it is about (rule, station, date, transition), so the same observation gives
//! the same id in any process at any time. Ids that were written are remembered in the task's store.

use std::io::Write;
use std::sync::Arc;

use super::filter::write_origin;
use super::json::{RawObject, write_string};
use super::{Context, Limits, Processor, Validate, accepted_observation};
use crate::noaa::{Element, ElementValue, ObservationView, StationId};
use crate::record::{Record, day_of};
use crate::rules::{Evaluator, Rule, RuleSet, Verdict};
use crate::state::StateError;

/// Store keys of remembered alert ids begin with this byte; the id follows.
const ID_KEY: u8 = b'a';

/// The only transition of a rule without a life cycle: each matching day fires.
const TRANSITION: &str = "fired";

/// The processor.
pub struct Alert {
    rules: Arc<RuleSet>,
    evaluator: Evaluator,
    limits: Limits,
}

impl Alert {
    /// Evaluates `rules`.
    pub fn new(rules: Arc<RuleSet>, limits: Limits) -> Self {
        Self { rules, evaluator: Evaluator::new(), limits }
    }

    /// Whether the value need not be read: no rule watches the station that the key names.
    fn is_needless(&self, record: &Record<'_>) -> bool {
        let station = || record.key.and_then(StationId::parse);
        self.limits.validate == Validate::Needed
            && record.value.is_some_and(|value| !value.is_empty())
            && station().is_some_and(|station| !self.rules.watches(station))
    }
}

impl Processor for Alert {
    fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError> {
        if self.is_needless(record) {
            context.skip_unread();
            return Ok(());
        }
        let Some(view) = accepted_observation(record, &self.limits, context) else { return Ok(()) };
        // The key chose the partition; only with the station's own key does the station always meet the same
        // memory of what was alerted before.
        let station = view.station.id;
        if record.key != Some(station.as_bytes()) {
            let key =
                record.key.map_or("no key".into(), |key| format!("key {:?}", String::from_utf8_lossy(key)));
            context.reject(record, &format!("{key}: expected the station id {station}"));
            return Ok(());
        }
        for rule in self.rules.of_station(station) {
            match self.evaluator.evaluate(&rule.when, &view) {
                Ok(Verdict::Holds) => fire(rule, record, &view, context)?,
                Ok(Verdict::HoldsNot | Verdict::Unknown) => {}
                // One rule's mistake must not keep the others from firing.
                Err(reason) => {
                    context.counts.rule_errors += 1;
                    tracing::debug!(rule = rule.id, reason, "rule cannot be evaluated");
                }
            }
        }
        Ok(())
    }
}

/// Writes the alert, unless its id was written before.
fn fire(
    rule: &Rule,
    record: &Record<'_>,
    view: &ObservationView<'_>,
    context: &mut Context<'_>,
) -> Result<(), StateError> {
    if context.muted {
        return Ok(());
    }
    let alert_id = format!("{}/{}/{}/{TRANSITION}", rule.id, view.station.id, view.date);
    let mut key = Vec::with_capacity(alert_id.len() + 1);
    key.push(ID_KEY);
    key.extend_from_slice(alert_id.as_bytes());
    if context.store.get(&key, day_of(record.timestamp_ms), |_| ())?.is_some() {
        context.counts.duplicates += 1;
        return Ok(());
    }
    let object = match record.value.map(RawObject::parse) {
        Some(Ok(object)) => object,
        Some(Err(reason)) => {
            context.reject(record, &reason);
            return Ok(());
        }
        None => return Ok(()),
    };
    context.counts.alerts += 1;
    context.collector.emit(view.station.id.as_bytes(), record.timestamp_ms, |out| {
        write_alert(out, &alert_id, rule, &object, record, view);
    });
    context.collector.header("alert-id", alert_id.as_bytes());
    context.store.put(&key, day_of(record.timestamp_ms), &[]);
    Ok(())
}

/// Fields of the alert itself: where the observation has one of that name, the alert's wins.
const OWN_FIELDS: [&str; 9] =
    ["_id", "_meta", "email", "alert_id", "rule_id", "transition", "value", "when", "message"];

fn write_alert(
    out: &mut Vec<u8>,
    alert_id: &str,
    rule: &Rule,
    object: &RawObject<'_>,
    record: &Record<'_>,
    view: &ObservationView<'_>,
) {
    out.push(b'{');
    object.write_fields(out, |key| !OWN_FIELDS.contains(&key));
    write_origin(out, record, view);
    let mut field = |name: &str, text: &str| {
        out.push(b',');
        write_string(out, name);
        out.push(b':');
        write_string(out, text);
    };
    if let Some(email) = &rule.email {
        field("email", email);
    }
    field("alert_id", alert_id);
    field("rule_id", &rule.id);
    field("transition", TRANSITION);
    field("when", rule.when.text());
    field("message", &message(rule, view));
    out.extend_from_slice(b",\"value\":");
    write_value(out, rule, view);
    out.push(b'}');
}

/// What the condition looked at: a number, or an object where it looked at several elements.
fn write_value(out: &mut Vec<u8>, rule: &Rule, view: &ObservationView<'_>) {
    let values = values(rule, view);
    // Writing into a vector cannot fail.
    let _ = match values.as_slice() {
        [(_, value)] => write!(out, "{value}"),
        values => {
            let parts: Vec<String> =
                values.iter().map(|(element, value)| format!("\"{element}\":{value}")).collect();
            write!(out, "{{{}}}", parts.join(","))
        }
    };
}

fn values(rule: &Rule, view: &ObservationView<'_>) -> Vec<(Element, ElementValue)> {
    rule.when.elements().filter_map(|element| Some((element, view.element(element)?))).collect()
}

/// One readable line: `TMIN 8.9 °C at SCOTTSDALE MUNI AP (USW00003192) on 2016-02-24: TMIN <= 10.0`.
fn message(rule: &Rule, view: &ObservationView<'_>) -> String {
    let measured: Vec<String> = values(rule, view)
        .iter()
        .map(|(element, value)| match element.unit() {
            Some(unit) => format!("{element} {value} {unit}"),
            None => format!("{element} {value}"),
        })
        .collect();
    let place = match &view.station.name {
        Some(name) => format!("{name} ({})", view.station.id),
        None => view.station.id.to_string(),
    };
    format!("{} at {place} on {}: {}", measured.join(", "), view.date, rule.when.text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::StageName;
    use crate::stages::driver::TestDriver;

    #[test]
    fn unread_records_are_those_of_stations_without_rules() {
        let rules = "[[rule]]\nid = \"r\"\nstation = \"USC00020080\"\nwhen = \"TMIN <= 10.0\"\n";
        let rules = Arc::new(RuleSet::parse(rules).unwrap());
        for (validate, dead_letters, skipped_unread) in [(Validate::All, 3, 0), (Validate::Needed, 2, 2)] {
            let limits = Limits { validate, ..Limits::default() };
            let mut driver =
                TestDriver::new(StageName::Alert, Box::new(Alert::new(Arc::clone(&rules), limits)));
            let document =
                |id: &str| format!(r#"{{"station":{{"id":"{id}"}},"date":"2016-02-24","TMIN":5.0}}"#);
            driver.pipe("USC00020080", &document("USC00020080")).unwrap();
            driver.pipe("USC00029999", &document("USC00029999")).unwrap();
            // Broken, without rules; broken, with them; under a key that is no station id.
            driver.pipe("USC00029999", "{").unwrap();
            driver.pipe("USC00020080", "{").unwrap();
            driver.pipe("ajo", &document("USC00020080")).unwrap();
            assert_eq!(driver.counts.alerts, 1, "{validate:?}");
            let counts = driver.counts;
            assert_eq!(
                (counts.dead_letters, counts.skipped_unread),
                (dead_letters, skipped_unread),
                "{validate:?}"
            );
        }
    }
}
