//! assemble: turns GHCN lines into observations, one for each station and date.
//!
//! The lines of one station-day are usually next to each other, but not always: some are split, and around a leap day
//! two dates interleave. So an observation *settles* when its partition has moved on by `settle_records` offsets
//! since its last line, or has been idle for `settle_ms`. A later line opens it again, and gives a new `revision` of
//! the whole observation if it changes anything.
//!
//! # Where state is kept
//!
//! Open observations are in memory only; the source topic is their changelog. Each commit includes the offset of the
//! first line that is still open ([`Processor::rewind_offset`]). After a restart the partition is read again from
//! there, with outputs muted up to the committed offset. That rebuilds the same open observations, because settling
//! depends on offsets only. The one exception is settling after idleness, and that settles everything, so nothing is
//! left to rebuild.
//!
//! *Emitted* observations are in the store: revision and readings of each (see `emitted.rs`). They distinguish a late
//! line (merge, next revision) from a repeated one (nothing new, a duplicate).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use frostline_engine::record::Record;
use frostline_engine::store::StateError;
use frostline_engine::{Context, Processor};

use super::emitted::{Emitted, Span};
use super::{Limits, StationIndex, accepted_value};
use crate::noaa::{Compat, Date, Element, Line, Observation, Reading, StationId};
use crate::stages::count;

/// The header with the lines from which an observation, or a revision of it, was made: `topic/partition@first-last`.
/// Lines of other observations may be among them.
pub const LINES_HEADER: &str = "frostline-lines";

/// The header of a line with its change of the archive, as in NOAA's daily differences: `insert`, `update` or
/// `delete`. A line without it is an insert or an update.
pub const CHANGE_HEADER: &str = "frostline-change";
/// The value of [`CHANGE_HEADER`] for a reading that is no longer in the archive.
pub const DELETE: &[u8] = b"delete";

/// Headers of lines and observations with more than their origin: dead letters keep them.
pub const KEPT_HEADERS: &[&str] = &[LINES_HEADER, CHANGE_HEADER];

/// The settings of assemble.
#[derive(Clone, Copy, Debug)]
pub struct AssembleSettings {
    /// An observation settles when its partition has moved on by this many offsets since its last line.
    pub settle_records: i64,
    /// It also settles when its partition has been idle for this long, in milliseconds.
    pub settle_ms: u64,
    /// Whether to write documents as the talk's script did.
    pub compat: Compat,
    /// Whether to keep readings that failed NOAA's quality control.
    pub keep_failed_quality: bool,
}

type Key = (StationId, Date);

/// An observation that may still get lines.
struct Open {
    first_offset: i64,
    last_offset: i64,
    /// Timestamp of the last line: that of the observation.
    timestamp_ms: i64,
    /// The station's JSON at the time of the first line, so that later changes of the table have no effect.
    station: String,
    observation: Observation,
    /// Set while all its lines were read again only to rebuild it (see [`Context::muted`]).
    is_rebuilt: bool,
    /// Elements whose newest reading failed quality control or was deleted: they are removed from an observation
    /// emitted before.
    withdrawn: Vec<Element>,
}

/// The processor of lines.
pub struct Assemble {
    settings: AssembleSettings,
    limits: Limits,
    stations: Arc<StationIndex>,
    open: HashMap<Key, Open, foldhash::fast::RandomState>,
    /// Each line's offset and observation, oldest first: the front settles next, unless a later line of the same
    /// observation is further back.
    waiting: VecDeque<(i64, Key)>,
    /// `topic/partition` of the lines, for the provenance of observations; empty before the first.
    place: String,
}

impl Assemble {
    /// Looks stations up in `stations`.
    pub fn new(settings: AssembleSettings, stations: Arc<StationIndex>, limits: Limits) -> Self {
        Self {
            settings,
            limits,
            stations,
            open: HashMap::default(),
            waiting: VecDeque::new(),
            place: String::new(),
        }
    }

    /// Parses a line, or rejects it. `None` also for header lines.
    fn reading(&self, value: &[u8], record: &Record<'_>, context: &mut Context<'_>) -> Option<Reading> {
        let reading = match Reading::parse(value) {
            Ok(Line::Reading(reading)) => reading,
            Ok(Line::Header) => {
                context.skip();
                return None;
            }
            Err(error) => {
                context.reject(record, &error.to_string());
                return None;
            }
        };
        let station = reading.station;
        let reason = match record.key {
            None => format!("no key: expected the station id {station}"),
            Some(key) if key != station.as_bytes() => {
                format!("key {:?}: expected the station id {station}", String::from_utf8_lossy(key))
            }
            Some(_) if super::is_ahead(context, reading.date, &self.limits) => {
                format!("the date {} is more than a day in the future", reading.date)
            }
            Some(_) => return Some(reading),
        };
        context.reject(record, &reason);
        None
    }

    /// Adds a reading to its observation, opening it if necessary. `false` if the station is unknown.
    fn add(&mut self, reading: &Reading, record: &Record<'_>, muted: bool) -> bool {
        let key = (reading.station, reading.date);
        let is_withdrawn =
            reading.failed_quality() && !self.settings.keep_failed_quality || is_deleted(record);
        let open = match self.open.entry(key) {
            std::collections::hash_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::hash_map::Entry::Vacant(vacant) => {
                let Some(station) = self.stations.get(reading.station) else { return false };
                vacant.insert(Open {
                    first_offset: record.offset,
                    last_offset: record.offset,
                    timestamp_ms: record.timestamp_ms,
                    station,
                    observation: Observation::new(reading.station, reading.date),
                    is_rebuilt: true,
                    withdrawn: Vec::new(),
                })
            }
        };
        open.last_offset = record.offset;
        open.timestamp_ms = record.timestamp_ms;
        open.is_rebuilt &= muted;
        if is_withdrawn {
            open.observation.remove(reading.element);
            open.withdrawn.push(reading.element);
        } else {
            open.withdrawn.retain(|element| *element != reading.element);
            open.observation.insert(reading.element, reading.value);
        }
        // Neighbouring lines of one observation share an entry.
        match self.waiting.back_mut() {
            Some((offset, last)) if *last == key => *offset = record.offset,
            _ => self.waiting.push_back((record.offset, key)),
        }
        true
    }

    /// Settles observations that have waited long enough when the partition is at `offset`.
    fn settle_due(&mut self, offset: i64, context: &mut Context<'_>) -> Result<(), StateError> {
        while let Some((last, key)) = self.waiting.front().copied() {
            if last + self.settings.settle_records > offset {
                break;
            }
            self.waiting.pop_front();
            self.settle(last, key, context)?;
        }
        Ok(())
    }

    /// Settles one observation, if `last` is still the offset of its last line.
    fn settle(&mut self, last: i64, key: Key, context: &mut Context<'_>) -> Result<(), StateError> {
        if self.open.get(&key).is_none_or(|open| open.last_offset != last) {
            return Ok(());
        }
        let Some(open) = self.open.remove(&key) else { return Ok(()) };
        emit(open, self.settings.compat, &self.place, context)
    }
}

impl Processor for Assemble {
    fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError> {
        if self.place.is_empty() {
            self.place = format!("{}/{}", record.topic, record.partition);
        }
        // Nothing settles while muted: the first record after that settles everything that is due, and the store
        // knows what was emitted before. So it does not matter if `settle_records` was different then.
        if !context.muted {
            self.settle_due(record.offset, context)?;
        }
        let Some(value) = accepted_value(record, &self.limits, context) else { return Ok(()) };
        let Some(reading) = self.reading(value, record, context) else { return Ok(()) };
        if !self.add(&reading, record, context.muted) {
            let reason = format!("station {} is not in the station table", reading.station);
            context.reject(record, &reason);
        } else if reading.failed_quality() && !self.settings.keep_failed_quality && !context.muted {
            context.counts[count::FAILED_QUALITY] += 1;
        }
        Ok(())
    }

    fn idle_ms(&self) -> Option<u64> {
        Some(self.settings.settle_ms)
    }

    fn punctuate(&mut self, context: &mut Context<'_>) -> Result<(), StateError> {
        while let Some((last, key)) = self.waiting.pop_front() {
            self.settle(last, key, context)?;
        }
        Ok(())
    }

    fn rewind_offset(&self) -> Option<i64> {
        self.open.values().map(|open| open.first_offset).min()
    }
}

/// Whether the reading was removed from the archive.
pub fn is_deleted(record: &Record<'_>) -> bool {
    let mut is_deleted = false;
    record.headers.visit(&mut |name, value| is_deleted |= name == CHANGE_HEADER && value == Some(DELETE));
    is_deleted
}

/// Merges a settled observation with the emitted one, and emits it if that changes anything.
fn emit(open: Open, compat: Compat, place: &str, context: &mut Context<'_>) -> Result<(), StateError> {
    let (station, date) = (open.observation.station(), open.observation.date());
    let today = context.record_day(open.timestamp_ms);
    let span = Span::read(context.store, station, date, today)?;
    let before = span.emitted(date, context.store)?;
    let (mut merged, mut changed, revision) = match before {
        None => (open.observation, true, 1),
        Some(before) => {
            let (mut merged, mut changed) = (before.observation, false);
            for (element, value) in open.observation.readings() {
                changed |= merged.insert(*element, *value);
            }
            (merged, changed, before.revision + 1)
        }
    };
    for element in &open.withdrawn {
        changed |= merged.remove(*element);
    }
    if !changed {
        context.counts[count::DUPLICATES] += u64::from(!open.is_rebuilt);
        return Ok(());
    }
    if revision == 1 && merged.readings().is_empty() {
        // All its readings failed quality control or were deleted.
        return Ok(());
    }
    context.counts[count::OBSERVATIONS] += 1;
    context.collector.emit(station.as_bytes(), open.timestamp_ms, |out| {
        merged.to_json_into(&open.station, compat, revision, out);
    });
    span.remember(&Emitted { revision, observation: merged }, context.store);
    let lines = format!("{place}@{}-{}", open.first_offset, open.last_offset);
    context.collector.header(LINES_HEADER, lines.as_bytes());
    Ok(())
}
