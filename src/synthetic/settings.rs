//! What to generate: the places, the days and the format.

use std::fmt;

use super::moment::Place;
use super::real::real_places;
use super::station::{Synthetic, describe, invented_place, own_place, own_station};
use crate::noaa::{Date, Location, Station, StationId};

/// Hours of a day.
const HOURS_OF_DAY: u64 = 24;

/// What to generate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The same seed gives the same stations and the same weather.
    pub seed: u64,
    /// The stations.
    pub places: Places,
    /// The first day.
    pub start: Date,
    /// How many days.
    pub days: u32,
    /// What to write.
    pub format: Format,
    /// Whether to add errors as in real files: see the [table](super).
    pub oddities: bool,
}

/// The places of the weather.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Places {
    /// This many places drawn from the seed.
    Invented(u64),
    /// The [`real_places`].
    Real,
    /// One invented station at this place.
    Near(Location),
}

/// The format of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lines of NOAA's `by_year` files, one per element: the values of topic `noaa-csv-raw`.
    Ghcn,
    /// Enriched observations, one document per line: the values of topic `noaa-json`. Readings that failed quality
    /// control are left out, as by the `assemble` stage with its default settings.
    Json,
    /// Hourly observations, one document per line: the values of topic `noaa-hourly`. Days are in UTC.
    Hours,
}

/// Why settings are not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingsError {
    /// More stations than there are ids, or none.
    Stations,
    /// No day, or the days go past the year 9999.
    Days,
    /// Oddities of documents; only lines have them.
    Oddities,
}

/// The output for one station: none, one or more complete lines of a day. With oddities, and of hours, it is one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The station, which is the key of its Kafka records.
    pub station: StationId,
    /// Lines of either form.
    pub records: u64,
    /// Readings that failed quality control: with a flag in a GHCN line, left out of a document.
    pub failed_quality: u64,
}

impl Places {
    /// How many there are.
    pub fn count(self) -> u64 {
        match self {
            Self::Invented(count) => count,
            Self::Real => real_places().len() as u64,
            Self::Near(_) => 1,
        }
    }

    /// The inventory's data of the place with this number. `None` past the last.
    pub(super) fn describe(self, seed: u64, number: u64) -> Option<Station> {
        match self {
            Self::Invented(count) => describe(seed, number).filter(|_| number < count),
            Self::Real => real_places().get(usize::try_from(number).ok()?).map(|place| place.station.clone()),
            Self::Near(location) => own_station(location).filter(|_| number == 0),
        }
    }

    /// The station with this number, and its weather at any moment. `None` past the last.
    pub(super) fn with_weather(self, seed: u64, number: u64) -> Option<(StationId, Place)> {
        Some(match self {
            Self::Invented(count) => invented_place(seed, number).filter(|_| number < count)?,
            Self::Real => {
                let place = real_places().get(usize::try_from(number).ok()?)?;
                (place.station.id, Place::real(seed, place))
            }
            Self::Near(location) => own_place(seed, location)?,
        })
    }
}

impl Settings {
    /// Checks the settings.
    ///
    /// # Errors
    /// What is too large or missing.
    pub fn check(&self) -> Result<(), SettingsError> {
        if !(1..=Synthetic::COUNT_MAX).contains(&self.places.count()) {
            return Err(SettingsError::Stations);
        }
        if self.oddities && self.format != Format::Ghcn {
            return Err(SettingsError::Oddities);
        }
        if self.last_day().is_some() { Ok(()) } else { Err(SettingsError::Days) }
    }

    /// How many steps [`Generator::append_next`](super::Generator::append_next) takes without oddities.
    pub fn steps(&self) -> u64 {
        let station_days = self.places.count() * u64::from(self.days);
        if self.format == Format::Hours { HOURS_OF_DAY * station_days } else { station_days }
    }

    /// The last day; `None` if there is none, or the calendar ends before it.
    pub fn last_day(&self) -> Option<Date> {
        self.start.plus_days(i32::try_from(self.days.checked_sub(1)?).ok()?)
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stations => write!(f, "the number of stations: expected 1 to {}", Synthetic::COUNT_MAX),
            Self::Days => f.write_str("the number of days: expected 1 or more, ending by 9999-12-31"),
            Self::Oddities => f.write_str("oddities are only possible in lines, not in documents"),
        }
    }
}

impl std::error::Error for SettingsError {}
