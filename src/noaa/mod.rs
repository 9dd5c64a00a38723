//! GHCN-Daily: the lines, stations and observations of NOAA's daily weather data.
//!
//! Everything here is a pure function on plain values: no clock, no thread, no file. The layer reads NOAA's files and
//! the values of topics, and writes the documents of `noaa-json`:
//!
//! | type | meaning |
//! | --- | --- |
//! | [`Reading`] | one line of a `by_year` file: one element of one station on one day |
//! | [`Observation`] | all readings of one station and day, written out as JSON |
//! | [`ObservationView`] | an observation read back from a topic |
//! | [`KnownStations`] | reads many observations, and each station's text once |
//! | [`Station`] | one line of the station inventory, with names from [`Codes`] |
//! | [`HourlyList`] | the list of hourly stations; with [`IcaoIndex`] it finds the station of a METAR |
//! | [`RecentDays`] | the last days of every station, for charts and maps |
//! | [`StationId`], [`Date`], [`Element`] | the small values that make up keys; all are `Copy` |
//!
//! # Units
//!
//! NOAA stores whole numbers, and the element decides their unit: temperatures are in tenths of a degree Celsius,
//! precipitation in tenths of a millimetre, wind speeds in tenths of a metre per second; snow is in whole
//! millimetres. A value stays NOAA's integer until it is written to a document, so nothing is rounded in between.
//! [`Element::scale`] and [`Element::unit`] hold the table.
//!
//! # Source
//!
//! The formats follow NOAA's GHCN-Daily readme, version 3.24. The data: Menne, M. J. et al. (2012),
//! Global Historical Climatology Network - Daily (GHCN-Daily), version 3, NOAA National Climatic Data
//! Center, <https://doi.org/10.7289/V5D21VHZ>.

mod codes;
mod compat;
mod csv_fields;
mod date;
mod documents;
mod element;
mod element_description;
mod element_value;
mod hourly_list;
mod json;
mod known_stations;
mod number;
mod observation;
mod parse;
mod plain_length;
mod reading;
mod reading_error;
mod recent;
mod scan;
mod short_number;
mod station;
mod station_id;
mod station_line;
mod station_search;
mod text_forms;
mod view;
mod view_error;

pub use codes::{Codes, CodesError};
pub use compat::Compat;
pub use csv_fields::csv_fields;
pub use date::Date;
pub(crate) use documents::{KeptObservation, Meta, ObservationDocument, PartialStation, add_elements};
pub use element::{Element, Scale};
pub use element_value::ElementValue;
pub use hourly_list::{HourlyList, IcaoIndex};
pub use known_stations::KnownStations;
pub use observation::{DecodeError, Observation};
pub use parse::check_json;
pub use reading::{Line, Reading};
pub use reading_error::ReadingError;
pub use recent::{RECENT_DAYS, RecentDay, RecentDays, RecentStation};
pub use station::{Location, MISSING_ELEVATION, Station};
pub use station_id::StationId;
pub use station_line::StationError;
pub use station_search::{NameMatch, StationSearch};
pub(crate) use text_forms::{IsoDate, IsoDay, IsoTime};
pub use view::{ElementList, ObservationView, StationView};
pub use view_error::ViewError;

/// The first 40 characters of a text from outside, for an error message: the input may have any length and contain
/// any bytes.
fn shorten(text: &[u8]) -> String {
    const CHARS_MAX: usize = 40;
    // A character has at most 4 bytes, so this prefix is enough and the rest is not read.
    let prefix = &text[..text.len().min(4 * CHARS_MAX + 4)];
    let readable = String::from_utf8_lossy(prefix);
    let mut short: String = readable.chars().take(CHARS_MAX).flat_map(char::escape_debug).collect();
    if readable.chars().count() > CHARS_MAX {
        short.push('…');
    }
    short
}
