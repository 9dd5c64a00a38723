//! The stages' processors: pure functions from a record (and state) to records. No clock, no thread, no
//! client, no disk; the runtime and [`driver::TestDriver`] run the very same code.
//!
//! ```text
//! noaa-csv-raw ─► assemble ─► noaa-json ─► filter ─► noaa-json-us-az ─► alert ─► noaa-json-alerts
//! noaa-raw ─────► enrich ──┘
//!
//! noaa-json-alerts ─► notify ─► noaa-notices ─► deliver ─► people, noaa-deliveries
//! ```

pub mod driver;

mod alert;
mod alert_record;
mod assemble;
mod calendar;
mod collector;
mod counts;
mod deliver;
mod emitted;
mod enrich;
mod filter;
mod inspect;
mod json;
mod memory;
mod notice;
mod notify;
mod recipe;
mod station_index;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use alert::Alert;
pub use assemble::{Assemble, AssembleSettings, LINES_HEADER};
pub use collector::{Collector, HEADER_PREFIX, Output, OutputHeader, RETRIED_HEADER, Sink};
pub use counts::Counts;
pub use deliver::{
    Channel, Deliver, DeliverSettings, Message, Outlet, Parcel, Reply, Told, Wake, rule_address,
};
pub use enrich::Enrich;
pub use filter::Filter;
pub use inspect::Question;
pub use memory::Remembered;
pub use notice::{Addressed, Notice, Recipient};
pub use notify::Notify;
pub use recipe::{Delivering, Recipe};
pub use station_index::StationIndex;

use crate::noaa::{Date, KnownStations, ObservationView};
use crate::record::{DAY_MS, Record, day_of};
use crate::state::{StateError, Store};

/// The stages, in the order in which records flow through them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StageName {
    /// GHCN lines into observations.
    Assemble,
    /// JSON records joined with their station.
    Enrich,
    /// Keeps the observations that matter.
    Filter,
    /// Evaluates rules and writes alerts.
    Alert,
    /// Alerts into notices, one for each recipient.
    Notify,
    /// Notices into messages that reach people.
    Deliver,
}

impl StageName {
    /// All stages, upstream first.
    pub const ALL: [Self; 6] =
        [Self::Assemble, Self::Enrich, Self::Filter, Self::Alert, Self::Notify, Self::Deliver];

    /// The stages that lead to alerts. They write to Kafka alone.
    pub const TO_ALERTS: [Self; 4] = [Self::Assemble, Self::Enrich, Self::Filter, Self::Alert];

    /// The name as written in configuration, groups and headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Assemble => "assemble",
            Self::Enrich => "enrich",
            Self::Filter => "filter",
            Self::Alert => "alert",
            Self::Notify => "notify",
            Self::Deliver => "deliver",
        }
    }

    /// Whether the stage keeps state that its changelog must carry.
    pub fn is_stateful(self) -> bool {
        matches!(self, Self::Assemble | Self::Alert | Self::Deliver)
    }
}

impl fmt::Display for StageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for StageName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|stage| stage.as_str()).collect();
            format!("unknown stage `{text}`: expected one of {}", names.join(", "))
        })
    }
}

/// Longest key that is processed: no station id is near it, and keys are repeated in outputs.
const KEY_BYTES_MAX: usize = 1_000;

/// Which records are read whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Validate {
    /// All: whatever is wrong with a record, it becomes a dead letter.
    #[default]
    All,
    /// Those on which an output may depend. The others are passed over unread, and counted as such: a station
    /// without rules, or a value that lacks a text which the filter asks for.
    Needed,
}

/// What a processor accepts.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Which records are read whole.
    pub validate: Validate,
    /// Largest value of a record, in bytes.
    pub value_bytes_max: usize,
    /// How far a date may lie ahead of the clock, in days.
    pub days_ahead_max: i32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { validate: Validate::All, value_bytes_max: 1_000_000, days_ahead_max: 1 }
    }
}

/// What a processor works with besides the record: the task's state, its outputs, and what time it is.
pub struct Context<'a> {
    /// The task's state.
    pub store: &'a mut Store,
    /// Where outputs and dead letters are gathered.
    pub collector: &'a mut Collector,
    /// What has been done, for metrics and summaries.
    pub counts: &'a mut Counts,
    /// The wall clock, in milliseconds since 1970.
    pub now_ms: i64,
    /// Set while records are read again only to rebuild what was open (see [`Processor::rewind_offset`]):
    /// their outputs were written before, so nothing may be emitted, counted or stored.
    pub muted: bool,
    /// The stage, for dead letters.
    pub stage: StageName,
}

impl Context<'_> {
    /// Writes the record to the dead letters, with the reason in plain words.
    pub fn reject(&mut self, record: &Record<'_>, reason: &str) {
        self.reject_part(record, record.value, reason);
    }

    /// As [`reject`](Self::reject), for a part of the record's value.
    pub fn reject_part(&mut self, record: &Record<'_>, value: Option<&[u8]>, reason: &str) {
        if !self.muted {
            self.counts.dead_letters += 1;
            self.collector.dead_letter(self.stage, record, value, reason);
        }
    }

    /// Counts a record that was passed over unread (see [`Validate::Needed`]).
    pub fn skip_unread(&mut self) {
        if !self.muted {
            self.counts.skipped_unread += 1;
        }
    }

    /// Counts a record that needs no work and is no mistake (a tombstone, a header line).
    pub fn skip(&mut self) {
        if !self.muted {
            self.counts.skipped += 1;
        }
    }

    /// The day of a record's timestamp, for the store, as far as it can be believed: one from the future must not make
    /// everything that is remembered look old.
    pub fn record_day(&self, timestamp_ms: i64) -> u32 {
        day_of(timestamp_ms.min(self.now_ms + DAY_MS))
    }

    /// Whether the date lies further ahead of the clock than `limits` allow.
    pub fn is_ahead(&self, date: Date, limits: &Limits) -> bool {
        let today = self.now_ms.div_euclid(DAY_MS);
        i64::from(date.days_since_1970()) > today + i64::from(limits.days_ahead_max)
    }
}

/// The heart of a stage: what is done with one record of one partition.
///
/// A record that cannot be processed is not an error: it goes to the dead letters. Errors are failures of
/// state, after which the task is closed without a commit and opened again.
pub trait Processor {
    /// Processes one record.
    fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError>;

    /// After how many milliseconds without a new record [`punctuate`](Self::punctuate) is called, if at all.
    fn idle_ms(&self) -> Option<u64> {
        None
    }

    /// Called when the partition has been read to its end and nothing came for [`idle_ms`](Self::idle_ms).
    fn punctuate(&mut self, _context: &mut Context<'_>) -> Result<(), StateError> {
        Ok(())
    }

    /// Called in each turn of the task, with or without records: for what time brings, and what comes from elsewhere.
    fn turn(&mut self, _context: &mut Context<'_>) -> Result<(), StateError> {
        Ok(())
    }

    /// Whether [`turn`](Self::turn) may have something to do soon, though no record comes.
    fn is_waiting(&self) -> bool {
        false
    }

    /// How the task is given a turn at once.
    fn wake_by(&mut self, _wake: Wake) {}

    /// A commit of everything until now begins.
    fn sealed(&mut self) {}

    /// Everything up to the last [`sealed`](Self::sealed) is committed.
    fn committed(&mut self) {}

    /// The task takes no more records and will end: nothing more shall leave the process.
    fn stop(&mut self) {}

    /// How much has left the process whose outcome is not known yet, and worth a moment's wait.
    fn on_its_way(&self) -> usize {
        0
    }

    /// The first offset whose record is still needed to rebuild what is open in memory, if anything is.
    fn rewind_offset(&self) -> Option<i64> {
        None
    }
}

/// The checks that all stages share: `None` means that the record was skipped or rejected.
fn accepted_value<'a>(record: &Record<'a>, limits: &Limits, context: &mut Context<'_>) -> Option<&'a [u8]> {
    match record.value {
        None => context.skip(),
        Some([]) => context.reject(record, "the value is empty"),
        Some(_) if record.key.is_some_and(|key| key.len() > KEY_BYTES_MAX) => {
            context.reject(record, &format!("the key has more than {KEY_BYTES_MAX} bytes"));
        }
        Some(value) if value.len() > limits.value_bytes_max => {
            let reason = format!(
                "the value has {} bytes, the limit is {} (runtime.value_bytes_max)",
                value.len(),
                limits.value_bytes_max
            );
            context.reject(record, &reason);
        }
        Some(value) => return Some(value),
    }
    None
}

/// Reads an enriched observation, or rejects the record. Inlined: a view is large, and would be copied.
#[inline(always)]
fn accepted_observation(
    record: &Record<'_>,
    limits: &Limits,
    known: &mut KnownStations,
    context: &mut Context<'_>,
) -> Option<ObservationView> {
    let value = accepted_value(record, limits, context)?;
    match known.parse(value) {
        Err(error) => context.reject(record, &error.to_string()),
        Ok(view) if context.is_ahead(view.date, limits) => {
            context.reject(record, &format!("the date {} lies more than a day ahead", view.date));
        }
        Ok(view) => return Some(view),
    }
    None
}
