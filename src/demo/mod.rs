//! Weather without Kafka or downloads: real stations, invented observations.
//!
//! [`STATIONS`] is a table of real places, and [`Generator`] writes what they might have reported, day by
//! day, as lines of GHCN-Daily's `by_year` files. None of the values is an observation; the lines only have
//! the format, the units and the oddities of the real ones, so that a demo or a test meets them all.
//!
//! What is odd on purpose, with rough numbers for a year of all stations:
//!
//! | oddity | how often |
//! |---|---|
//! | absurd value that failed quality control (Q-flag `I`, `S` or `X`) | 50 |
//! | the false frost of Seligman, `USC00027716`, on 15 June: −4.4 °C with Q-flag `S` | 1 |
//! | trace of precipitation: value 0 with M-flag `T` | 600 |
//! | the day of a station split by another station's lines | 20 |
//! | 28 and 29 February alternating element by element | a third of the stations, in leap years |
//! | OBS-TIME filled, e.g. `0700` | cooperative stations (`USC…`), temperatures and rain |
//! | no TMIN, no temperature, or nothing at all that day | by network: see the `network` module |
//! | the same line twice in a row | 10 |
//! | a station that no inventory knows, [`UNKNOWN_STATION`] | 5 |
//! | lines that nobody can read: cut short, 30 February, `abc` as the value | 5 |
//!
//! The last two rows are what [`Generator::bad_lines`] counts.

mod day;
mod generator;
mod hours;
mod network;
mod oddity;
mod station;
mod weather;

pub use day::CivilDay;
pub use generator::{Generator, Line};
pub use hours::{DemoHour, hours_before, hours_of_frost, hours_station};
pub use oddity::UNKNOWN_STATION;
pub use station::{Climate, DemoStation, STATIONS};
