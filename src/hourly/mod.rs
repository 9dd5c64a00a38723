//! Hourly observations: a station's measurements at one moment, the sun, and the nights in between.
//!
//! Everything here is a pure function on plain values. Temperatures are in degrees Celsius, wind in metres per
//! second, times in seconds since 1970, UTC. GHCN-Daily reports a night's lowest temperature a day or two later;
//! these observations report it while it happens.
//!
//! | type | what it is |
//! | --- | --- |
//! | [`Hour`] | one observation, and its document in `noaa-hourly` |
//! | [`Forecast`] | a service's forecast for a night, and its document in `noaa-forecasts` |
//! | [`Night`] | from an evening to the next morning at one longitude |
//! | [`sun`] | sunset and sunrise at a place |
//! | [`HourlyCsv`], [`Ghcnh`] | readers of files with one observation per line |
//! | [`Metar`], [`AwcCsv`] | readers of airports' reports |
//! | [`moisture`] | relative humidity and wet bulb from temperature and dew point |

mod awc;
mod csv;
mod forecast;
mod ghcnh;
mod hour;
mod metar;
mod metar_groups;
pub mod moisture;
mod night;
mod possible;
pub mod sun;

pub use awc::{AwcCsv, AwcReport};
pub use csv::HourlyCsv;
pub use forecast::Forecast;
pub(crate) use forecast::ForecastDocument;
pub use ghcnh::Ghcnh;
pub(crate) use hour::HourDocument;
pub use hour::{Hour, HourError};
pub use metar::Metar;
pub use night::{HOUR, Night, iso_time, parse_time, standard_offset, utc_time};
