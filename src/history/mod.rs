//! Files of weather history, in all formats and compressions that NOAA and its users have, read record by record.
//!
//! | format | content | result |
//! |---|---|---|
//! | by_year CSV | one element of one station-day per line, with or without a header | the line |
//! | `.dly` | a month of one element of one station per line, in fixed columns | a by_year line for each day |
//! | station CSV | a day of one station per line, with a column for each element | a by_year line for each element |
//! | hourly CSV | one hourly observation per line: `ghcn_id,time_utc,temp_c,…` | a document of `noaa-hourly` |
//! | GHCNh | NOAA's hourly data, pipe-separated | a document of `noaa-hourly` |
//! | METARs | text with a time before it, or the CSV of aviationweather.gov | a document of `noaa-hourly` |
//! | JSON lines | one object per line | the object |
//! | JSON array | objects between brackets | each object |
//!
//! Compressed with gzip, bzip2, zstd or xz, recognised by the first bytes, whatever the file's name; `-` is standard
//! input. [`DaySorter`] sorts records by day with little memory.

mod array;
mod day_sorter;
mod dly;
mod documents;
mod form;
mod gunzip;
mod hourly_line;
mod hourly_lines;
mod item;
mod line;
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
pub use item::{Bad, Flow, Given, Item};
pub use open::{is_stdin, open};
pub use plan::{OnBad, OnRecord, Order, Place, Plan, Watch};
pub use read_settings::{Expected, ReadSettings};
pub use reader::{kind_of, read, read_in};
pub use selection::{Selection, date_of, is_hourly, station_of, time_of};
pub use units::Units;
