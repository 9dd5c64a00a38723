//! enrich: joins a JSON record, or each element of an array of them, with its station.

use std::sync::Arc;

use frostline_engine::record::Record;
use frostline_engine::store::StateError;
use frostline_engine::{Context, Processor};
use serde_json::value::RawValue;

use super::json::{RawObject, is_too_deep};
use super::{Limits, StationIndex, accepted_value};
use crate::noaa::{Date, StationId};
use crate::stages::count;

/// The processor of JSON records. Stateless; the key of the input does not matter, that of the output is the station
/// id.
pub struct Enrich {
    stations: Arc<StationIndex>,
    limits: Limits,
}

impl Enrich {
    /// Looks stations up in `stations`.
    pub fn new(stations: Arc<StationIndex>, limits: Limits) -> Self {
        Self { stations, limits }
    }

    fn enrich(&self, value: &[u8], record: &Record<'_>, context: &mut Context<'_>) -> Result<(), String> {
        let object = RawObject::parse(value)?;
        let id = object.text("station_id").ok_or("station_id is missing or not a string")?;
        let id = StationId::parse(id.as_bytes())
            .ok_or_else(|| format!("station_id {id:?} is not a GHCN-Daily station id"))?;
        let date = object.text("date").ok_or("date is missing or not a string")?;
        let date = Date::parse_iso(&date).ok_or_else(|| format!("date {date:?} is not a date"))?;
        if super::is_ahead(context, date, &self.limits) {
            return Err(format!("the date {date} is more than a day in the future"));
        }
        let station =
            self.stations.get(id).ok_or_else(|| format!("station {id} is not in the station table"))?;
        if !context.muted {
            context.counts[count::OBSERVATIONS] += 1;
            context.collector.emit(id.as_bytes(), record.timestamp_ms, |out| {
                out.extend_from_slice(b"{\"station\":");
                out.extend_from_slice(station.as_bytes());
                object.write_fields(out, |key| !matches!(key, "station" | "station_id"));
                out.push(b'}');
            });
        }
        Ok(())
    }
}

impl Processor for Enrich {
    fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError> {
        let Some(value) = accepted_value(record, &self.limits, context) else { return Ok(()) };
        let is_array = value.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        if !is_array {
            if let Err(reason) = self.enrich(value, record, context) {
                context.reject(record, &reason);
            }
            return Ok(());
        }
        if is_too_deep(value) {
            context.reject(record, "the JSON is nested too deeply");
            return Ok(());
        }
        let elements: Vec<&RawValue> = match serde_json::from_slice(value) {
            Ok(elements) => elements,
            Err(error) => {
                context.reject(record, &format!("not a JSON array: {error}"));
                return Ok(());
            }
        };
        // One bad element becomes one dead letter; the others are processed.
        for (index, element) in elements.iter().enumerate() {
            let element = element.get().as_bytes();
            if let Err(reason) = self.enrich(element, record, context) {
                context.reject_part(record, Some(element), &format!("element {index}: {reason}"));
            }
        }
        Ok(())
    }
}
