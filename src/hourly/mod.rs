//! Hourly observations: what a station's instruments showed at one moment, the sun, and the nights between.
//!
//! Everything here is a pure function on plain values. Temperatures are in degrees Celsius, wind in metres per second,
//! times in seconds since 1970, UTC. GHCN-Daily says how cold a night was a day or two later; these say it while it
//! happens.
//!
//! | type | what it is |
//! | --- | --- |
//! | [`Hour`] | one observation, and its document in `noaa-hourly` |
//! | [`Night`] | from an evening to the next morning at one longitude |
//! | [`sun`] | sunset and sunrise at a place |
//! | [`moisture`] | relative humidity and wet bulb from temperature and dew point |

mod hour;
pub mod moisture;
mod night;
pub mod sun;

pub use hour::{Hour, HourError};
pub use night::{HOUR, Night, iso_time, parse_time, standard_offset};
