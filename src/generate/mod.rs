//! Synthetic GHCN-Daily data of any size: stations, lines and enriched observations, made up in constant memory.
//!
//! [`Generator`] goes day by day through all stations and appends what each reports to a buffer, either as lines
//! of NOAA's `by_year` files or as the documents of `noaa-json`. The same [`Settings`] give the same bytes, on
//! every machine. None of the stations is real and none of the values is an observation; only the names of
//! countries and states are.
//!
//! The dice of a station and a day depend on the seed, on that station and on that day since the start. So more
//! days continue a shorter run, and more stations stand beside those of a smaller one.
//!
//! Unlike the [`demo`](../demo/index.html), which has every oddity of a real feed, this data is clean: every line
//! can be read, no station is unknown, no station-day is split. What a load needs is there: gaps, traces, and
//! readings that failed quality control.

mod generator;
mod random;
mod region;
mod report;
mod station;
mod weather;

pub use generator::{Format, Generator, Settings, SettingsError, StationDay};

use std::collections::BTreeMap;

use crate::noaa::Station;

/// The stations themselves.
pub fn stations(settings: &Settings) -> impl Iterator<Item = Station> {
    let Settings { seed, stations, .. } = *settings;
    (0..stations).map_while(move |number| station::describe(seed, number))
}

/// The inventory in the form of `ghcnd-stations.txt`, in chunks of whole lines.
pub fn inventory(settings: &Settings) -> impl Iterator<Item = String> {
    const CHUNK: u64 = 1_000;
    let Settings { seed, stations, .. } = *settings;
    (0..stations).step_by(CHUNK as usize).map(move |first| {
        let mut lines = String::new();
        for station in
            (first..stations.min(first + CHUNK)).map_while(|number| station::describe(seed, number))
        {
            station::inventory_line(&station, &mut lines);
        }
        lines
    })
}

/// The countries and states of the stations in the form of `ghcnd-countries.txt` and `ghcnd-states.txt`.
pub fn code_lists() -> (String, String) {
    let countries: BTreeMap<_, _> = region::REGIONS.iter().map(|r| (r.country_code, r.country)).collect();
    let states: BTreeMap<_, _> = region::REGIONS.iter().filter_map(|region| region.state).collect();
    let lines =
        |names: BTreeMap<&str, &str>| names.iter().map(|(code, name)| format!("{code} {name}\n")).collect();
    (lines(countries), lines(states))
}
