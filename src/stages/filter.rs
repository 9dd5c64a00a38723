//! filter: keeps the observations that match an expression, and says where each came from.

use std::io::Write;

use super::json::{RawObject, write_string};
use super::{Context, Limits, Processor, accepted_observation};
use crate::noaa::ObservationView;
use crate::record::Record;
use crate::rules::{Condition, Evaluator, Verdict};
use crate::state::StateError;

/// The processor. Stateless; a record without a key is accepted, and gets its station id as key.
pub struct Filter {
    condition: std::sync::Arc<Condition>,
    evaluator: Evaluator,
    limits: Limits,
}

impl Filter {
    /// A filter that keeps what satisfies `condition`.
    pub fn new(condition: std::sync::Arc<Condition>, limits: Limits) -> Self {
        Self { condition, evaluator: Evaluator::new(), limits }
    }
}

impl Processor for Filter {
    fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError> {
        let Some(view) = accepted_observation(record, &self.limits, context) else { return Ok(()) };
        match self.evaluator.evaluate(&self.condition, &view) {
            // An unknown state is not Arizona: what cannot be decided is not kept.
            Ok(Verdict::HoldsNot | Verdict::Unknown) => {}
            Ok(Verdict::Holds) => match record.value.map(RawObject::parse) {
                Some(Ok(object)) if !context.muted => {
                    context.counts.kept += 1;
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

/// Writes `_id` (the same for each copy of an observation, so that an index can use it) and `_meta` (where
/// the record was read), as the talk's consumer did.
pub(super) fn write_origin(out: &mut Vec<u8>, record: &Record<'_>, view: &ObservationView<'_>) {
    let key = record.key.map(String::from_utf8_lossy);
    out.extend_from_slice(b",\"_id\":");
    write_string(out, &format!("{}/{}", view.station.id, view.date));
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
