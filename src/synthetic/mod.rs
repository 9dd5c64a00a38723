//! Synthetic weather: stations and their observations, by days and at any moment, derived from a seed.
//!
//! [`Generator`] goes day by day through all stations and appends their reports to a buffer, either as lines of
//! NOAA's `by_year` files or as the documents of `noaa-json`: data of any size, in constant memory. The same
//! [`Settings`] give the same bytes on every machine. The weather server and the hours of the demo compute the
//! weather at a moment instead, independently of earlier moments. Both kinds of weather have the same climates,
//! seasons and random numbers.
//!
//! No value is an observation. Invented stations do not exist; only the names of their countries and states are real.
//! The [`real_places`] have ids, names and positions from NOAA's inventory, and climates that are a guess.
//!
//! The random numbers of a station and a day depend on the seed, on that station and on that day since the start. So
//! more days extend a shorter run, and more stations extend a smaller one.
//!
//! A place of one's own, [`Places::Near`], has one station there, with the usual climate of its latitude.
//!
//! Some irregularities are always there: gaps, traces, and readings that failed quality control.
//! [`Settings::oddities`] adds those of real files, for demos and tests. A year of the real places has approximately:
//!
//! | oddity | how often |
//! |---|---|
//! | the false frost of Seligman, `USC00027716`, on 15 June: −4.4 °C with Q-flag `S` | 1 |
//! | the lines of a station and day split by another station's lines | 20 |
//! | 28 and 29 February alternating line by line | a third of the stations, in leap years |
//! | the same line twice in a row | 10 |
//! | a station that no inventory knows, [`UNKNOWN_STATION`] | 5 |
//! | unreadable lines: truncated, 30 February, `abc` as the value | 5 |
//!
//! [`Generator::bad_lines`] counts the last two rows.

mod climate;
mod day;
mod generator;
mod hours;
mod moment;
mod oddity;
pub(crate) mod random;
mod real;
mod region;
mod report;
mod settings;
mod station;
mod world_station;

pub use generator::Generator;
pub(crate) use moment::{Place, Weather};
pub use oddity::{Line, UNKNOWN_STATION};
pub use real::{RealPlace, real_places};
pub use settings::{Appended, Format, Places, Settings, SettingsError};
pub(crate) use world_station::world_stations;
pub use world_station::{STATIONS_MAX, WorldStation};

use std::collections::BTreeMap;

use crate::noaa::Station;

/// The stations of the table.
pub fn stations(settings: &Settings) -> impl Iterator<Item = Station> {
    let Settings { seed, places, .. } = *settings;
    (0..places.count()).map_while(move |number| places.describe(seed, number))
}

/// The inventory in the form of `ghcnd-stations.txt`, in chunks of whole lines.
pub fn inventory(settings: &Settings) -> impl Iterator<Item = String> {
    const CHUNK: u64 = 1_000;
    let Settings { seed, places, .. } = *settings;
    (0..places.count()).step_by(CHUNK as usize).map(move |first| {
        let stations = (first..first + CHUNK).map_while(|number| places.describe(seed, number));
        stations.map(|station| station.to_line() + "\n").collect()
    })
}

/// The countries and states of all places, invented and real, in the form of `ghcnd-countries.txt` and
/// `ghcnd-states.txt`.
pub fn code_lists() -> (String, String) {
    let (mut countries, mut states) = (BTreeMap::new(), BTreeMap::new());
    for region in region::REGIONS {
        countries.insert(region.country_code, region.country);
        states.extend(region.state);
    }
    countries.insert(station::OWN_COUNTRY.0, station::OWN_COUNTRY.1);
    for RealPlace { station, .. } in real_places() {
        countries.insert(&station.country_code, &station.country);
        states.extend(station.state_code.as_deref().zip(station.state.as_deref()));
    }
    (code_lines(countries), code_lines(states))
}

/// A line for each code and its name.
pub(crate) fn code_lines<'a>(names: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    names.into_iter().map(|(code, name)| format!("{code} {name}\n")).collect()
}
