//! The stages' processors: pure functions from a record (and state) to records. No clock, no thread, no client, no
//! disk; the engine and its [`TestDriver`](frostline_engine::driver::TestDriver) run the same code.
//!
//! ```text
//! noaa-csv-raw ─► assemble ─► noaa-json ─► filter ─► noaa-json-us-az ─► alert ─► noaa-json-alerts
//! noaa-raw ─────► enrich ──┘
//!
//! noaa-hourly ─► outlook ─► noaa-outlooks ─► watch ─► noaa-json-alerts
//!
//! noaa-json-alerts ─► notify ─► noaa-notices ─► deliver ─► people, noaa-deliveries
//! ```

pub mod count;

mod alert;
mod alert_record;
mod assemble;
mod calendar;
mod day_alert;
mod day_words;
mod deliver;
mod emitted;
mod enrich;
mod filter;
mod inspect;
mod json;
mod memory;
mod moment;
mod moment_alert;
mod notice;
mod notify;
mod outlook;
mod rule_errors;
mod segment;
mod silence;
mod state_keys;
mod station_index;
mod station_texts;
mod watch;
mod watch_memory;
mod words;

use frostline_engine::record::DAY_MS;
use frostline_engine::{Context, Record, StageId};
use serde::{Deserialize, Serialize};

pub use alert::Alert;
pub use assemble::{
    Assemble, AssembleSettings, CHANGE_HEADER, DELETE, KEPT_HEADERS, LINES_HEADER, is_deleted,
};
pub(crate) use day_alert::DayAlertDocument;
pub(crate) use deliver::OutcomeRecord;
pub use deliver::{Attempts, Deliver, DeliverSettings, Message, Outlet, Parcel, Reply, Told, rule_address};
pub use enrich::Enrich;
pub use filter::Filter;
pub use inspect::Question;
pub use memory::Remembered;
pub use moment::{Moment, NightFacts};
pub(crate) use moment_alert::MomentAlertDocument;
pub use notice::{Addressed, Notice, Recipient};
pub use notify::Notify;
pub use outlook::Outlook;
pub use segment::{GSM_UNITS_MAX, fits_one_sms, plain_sms};
pub use state_keys::{ALERT_STATE, ASSEMBLE_STATE, DELIVER_STATE, OUTLOOK_STATE, WATCH_STATE};
pub use station_index::StationIndex;
pub use watch::{Watch, moment_of};
pub use watch_memory::FORGOTTEN_NIGHTS;
pub use words::{LIKELY, Occasion, Speech};

use crate::noaa::{Date, KnownStations, ObservationView};

/// GHCN lines into observations.
pub const ASSEMBLE: StageId = StageId::new("assemble");
/// JSON records joined with their station.
pub const ENRICH: StageId = StageId::new("enrich");
/// Keeps the observations that matter.
pub const FILTER: StageId = StageId::new("filter");
/// Hourly observations into outlooks on the coming night.
pub const OUTLOOK: StageId = StageId::new("outlook");
/// Evaluates rules over hours and nights, and writes alerts.
pub const WATCH: StageId = StageId::new("watch");
/// Evaluates rules over days and writes alerts.
pub const ALERT: StageId = StageId::new("alert");
/// Alerts into notices, one for each recipient.
pub const NOTIFY: StageId = StageId::new("notify");
/// Notices into messages that reach people.
pub const DELIVER: StageId = StageId::new("deliver");

/// The stages from days to alerts. They write to Kafka only.
pub const TO_ALERTS: [StageId; 4] = [ASSEMBLE, ENRICH, FILTER, ALERT];
/// The stages from hours to alerts. They write to Kafka only.
pub const TONIGHT: [StageId; 2] = [OUTLOOK, WATCH];
/// The stages from alerts to people.
pub const TO_PEOPLE: [StageId; 2] = [NOTIFY, DELIVER];

/// Longest key that is processed: station ids are far shorter, and keys are repeated in outputs.
const KEY_BYTES_MAX: usize = 1_000;

/// Which records are read completely.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Validate {
    /// All records: whatever is wrong with a record, it becomes a dead letter.
    #[default]
    All,
    /// Records on which an output may depend. The others are skipped without reading them, and counted as such:
    /// records of a station without rules, or values without a text that the filter needs.
    Needed,
}

/// The limits of a processor.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Which records are read completely.
    pub validate: Validate,
    /// Largest value of a record, in bytes.
    pub value_bytes_max: usize,
    /// How far a date may be ahead of the clock, in days.
    pub days_ahead_max: i32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { validate: Validate::All, value_bytes_max: 1_000_000, days_ahead_max: 1 }
    }
}

/// Whether the date is further ahead of the clock than `limits` allow.
fn is_ahead(context: &Context<'_>, date: Date, limits: &Limits) -> bool {
    let today = context.now_ms.div_euclid(DAY_MS);
    i64::from(date.days_since_1970()) > today + i64::from(limits.days_ahead_max)
}

/// Checks that all stages share; `None` if the record was skipped or rejected.
fn accepted_value<'a>(record: &Record<'a>, limits: &Limits, context: &mut Context<'_>) -> Option<&'a [u8]> {
    match record.value {
        None => context.skip(),
        Some([]) => context.reject(record, "the value is empty"),
        Some(_) if record.key.is_some_and(|key| key.len() > KEY_BYTES_MAX) => {
            context.reject(record, &format!("the key has more than {KEY_BYTES_MAX} bytes"));
        }
        Some(value) if value.len() > limits.value_bytes_max => {
            let reason = format!(
                "the value has {} bytes; the limit is {} (runtime.value_bytes_max)",
                value.len(),
                limits.value_bytes_max
            );
            context.reject(record, &reason);
        }
        Some(value) => return Some(value),
    }
    None
}

/// Parses an enriched observation, or rejects the record. Inlined: a view is large, and would be copied.
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
        Ok(view) if is_ahead(context, view.date, limits) => {
            context.reject(record, &format!("the date {} is more than a day in the future", view.date));
        }
        Ok(view) => return Some(view),
    }
    None
}
