//! filter: keeps the observations that match an expression, and records where each came from.

use std::io::Write;
use std::sync::Arc;

use frostline_engine::record::Record;
use frostline_engine::store::StateError;
use frostline_engine::{Context, Processor};
use memchr::memchr;
use memchr::memmem::Finder;

use super::json::{RawObject, write_string};
use super::{Limits, Validate, accepted_observation};
use crate::noaa::{KnownStations, ObservationView};
use crate::rules::{Condition, Evaluator, Verdict};
use crate::stages::count;

/// The processor of the filter. Stateless; a record without a key is accepted, and gets its station id as key.
pub struct Filter {
    condition: Arc<Condition>,
    evaluator: Evaluator,
    limits: Limits,
    known: KnownStations,
    /// Set with [`Validate::Needed`]: a value without this text cannot satisfy the condition.
    required: Option<Finder<'static>>,
}

impl Filter {
    /// A filter that keeps observations that satisfy `condition`.
    pub fn new(condition: Arc<Condition>, limits: Limits) -> Self {
        let required = condition.required_text().filter(|_| limits.validate == Validate::Needed);
        let required = required.map(|text| Finder::new(&format!("\"{text}\"")).into_owned());
        Self { condition, evaluator: Evaluator::new(), limits, known: KnownStations::default(), required }
    }

    /// Whether it is certain, without parsing the value, that the condition does not hold. Escapes allow several ways
    /// to write a text.
    fn is_needless(&self, value: &[u8]) -> bool {
        let lacks = |required: &Finder<'_>| required.find(value).is_none() && memchr(b'\\', value).is_none();
        self.required.as_ref().is_some_and(lacks)
    }
}

impl Processor for Filter {
    fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError> {
        if record.value.is_some_and(|value| !value.is_empty() && self.is_needless(value)) {
            context.skip_unread();
            return Ok(());
        }
        let Some(view) = accepted_observation(record, &self.limits, &mut self.known, context) else {
            return Ok(());
        };
        match self.evaluator.evaluate(&self.condition, &view) {
            // An unknown state is not Arizona: an undecided observation is not kept.
            Ok(Verdict::HoldsNot | Verdict::Unknown) => {}
            Ok(Verdict::Holds) => match record.value.map(RawObject::parse) {
                Some(Ok(object)) if !context.muted => {
                    context.counts[count::KEPT] += 1;
                    let key = view.station.id;
                    context.collector.emit(key.as_bytes(), record.timestamp_ms, |out| {
                        out.push(b'{');
                        object.write_fields(out, |key| !matches!(key, "_id" | "_meta"));
                        write_origin(out, record, &view);
                        out.push(b'}');
                    });
                }
                Some(Err(reason)) => context.reject(record, &reason),
                _ => {}
            },
            Err(reason) => context.reject(record, &format!("the filter cannot be evaluated: {reason}")),
        }
        Ok(())
    }
}

/// Writes `_id` (the same for each copy of an observation, so that an index can use it) and `_meta` (the place where
/// the record was read), like the talk's consumer.
fn write_origin(out: &mut Vec<u8>, record: &Record<'_>, view: &ObservationView) {
    write_meta(out, record, &format!("{}/{}", view.station.id, view.date));
}

/// Writes the given `_id`, and `_meta`.
pub(super) fn write_meta(out: &mut Vec<u8>, record: &Record<'_>, id: &str) {
    let key = record.key.map(String::from_utf8_lossy);
    out.extend_from_slice(b",\"_id\":");
    write_string(out, id);
    out.extend_from_slice(b",\"_meta\":{\"topic\":");
    write_string(out, record.topic);
    // Writing into a vector cannot fail.
    let _ = write!(out, ",\"partition\":{},\"offset\":{},\"key\":", record.partition, record.offset);
    match key {
        Some(key) => write_string(out, &key),
        None => out.extend_from_slice(b"null"),
    }
    let _ = write!(out, ",\"timestamp\":{}}}", record.timestamp_ms);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Scope;
    use crate::stages;
    use frostline_engine::Sink;
    use frostline_engine::driver::TestDriver;

    fn driver(validate: Validate) -> TestDriver {
        let condition =
            Condition::compile("station.country_code == 'US' && station.state_code == 'AZ'", Scope::Filter);
        let limits = Limits { validate, ..Limits::default() };
        TestDriver::new(stages::FILTER, Box::new(Filter::new(Arc::new(condition.unwrap()), limits)))
    }

    #[test]
    fn unread_records_are_those_that_cannot_be_kept() {
        let document = |code: &str, rest: &str| {
            format!(
                r#"{{"station":{{"id":"USC00020080","country_code":"US","state_code":"{code}"}},"date":"2016-02-24"{rest}}}"#
            )
        };
        let records = [
            document("AZ", ""),
            document("NM", ""),
            // The text stands elsewhere: it must be read, and is not kept.
            document("NM", r#","network":"AZ""#),
            // Written with an escape, it is the same text.
            document("\\u0041Z", ""),
            // Cut off: a dead letter where it is read.
            document("AZ", "")[..72].to_owned(),
            document("NM", "")[..72].to_owned(),
        ];
        let run = |validate| {
            let mut driver = driver(validate);
            for record in &records {
                driver.pipe("USC00020080", record).unwrap();
            }
            let written = driver.commit().unwrap();
            (
                written.iter().filter(|w| w.sink == Sink::Output).map(|w| w.text()).collect::<Vec<_>>(),
                driver.counts,
            )
        };
        let (kept, counts) = run(Validate::All);
        assert_eq!((kept.len(), counts[count::DEAD_LETTERS], counts[count::SKIPPED_UNREAD]), (2, 2, 0));
        let (kept_of_needed, counts) = run(Validate::Needed);
        assert_eq!(kept_of_needed, kept);
        // The second and the last lack the text; the last would have been a dead letter.
        assert_eq!((counts[count::DEAD_LETTERS], counts[count::SKIPPED_UNREAD]), (1, 2));
    }
}
