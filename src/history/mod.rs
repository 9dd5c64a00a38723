//! Files of weather history: whatever form and packing NOAA and people keep them in, read record by record.
//!
//! | form | what it is | what comes of it |
//! |---|---|---|
//! | by_year CSV | one element of one station-day a line, with or without a header | the line |
//! | `.dly` | a month of one element of one station a line, in fixed columns | a by_year line for each day |
//! | station CSV | a day of one station a line, with a column for each element | a by_year line for each element |
//! | hourly CSV | an hourly observation a line: `ghcn_id,time_utc,temp_c,…` | a document of `noaa-hourly` |
//! | GHCNh | NOAA's hourly data, pipe-separated | a document of `noaa-hourly` |
//! | METARs | text with a time before it, or the CSV of aviationweather.gov | a document of `noaa-hourly` |
//! | JSON lines | one object a line | the object |
//! | JSON array | objects between brackets | each object |
//!
//! Packed with gzip, bzip2, zstd or xz, recognised by their first bytes, whatever the name says; `-` is standard
//! input. [`DaySorter`] puts records in the order of their days with little memory.

mod array;
mod day_sorter;
mod dly;
mod documents;
mod form;
mod gunzip;
mod hourly_lines;
mod metar_lines;
mod open;
mod plan;
mod read_settings;
mod reader;
mod selection;
mod station_csv;
mod units;

pub use day_sorter::DaySorter;
pub use documents::{DayBook, FindStation, OnDocument};
pub use form::{Form, Kind};
pub use open::{is_stdin, open};
pub use plan::{OnBad, OnRecord, Order, Place, Plan, Watch};
pub use read_settings::{Expected, ReadSettings};
pub use reader::{Bad, Flow, Given, Item, kind_of, read, read_in};
pub use selection::{Selection, date_of, is_hourly, station_of, time_of};
pub use units::Units;
