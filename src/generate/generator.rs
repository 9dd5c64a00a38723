//! Goes day by day through the stations and writes what each reports.

use std::fmt;

use super::random::Random;
use super::report::report;
use super::station::{Synthetic, describe};
use super::weather::northern_season;
use crate::noaa::{Compat, Date, Observation, Reading, StationId};

/// What to generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The same seed gives the same stations and the same weather.
    pub seed: u64,
    /// How many stations.
    pub stations: u64,
    /// The first day.
    pub start: Date,
    /// How many days.
    pub days: u32,
    /// What to write.
    pub format: Format,
}

/// The form of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lines of NOAA's `by_year` files, one an element: the values of topic `noaa-csv-raw`.
    Ghcn,
    /// Enriched observations, one document a line: the values of topic `noaa-json`. Readings that failed quality
    /// control are left out, as the `assemble` stage does unless told otherwise.
    Json,
}

/// Why settings cannot be generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingsError {
    /// More stations than have an id, or none.
    Stations,
    /// No day, or the days go past the year 9999.
    Days,
}

/// What was appended for one station and day: none, one or more whole lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StationDay {
    /// The station, which is the key of its Kafka records.
    pub station: StationId,
    /// Lines of either form.
    pub records: u64,
    /// Readings that failed quality control: with a flag in a GHCN line, left out of a document.
    pub failed_quality: u64,
}

/// Writes one station and day after the other.
///
/// ```
/// use frostline::generate::{Format, Generator, Settings};
/// use frostline::noaa::Date;
///
/// let start = Date::new(2024, 1, 1).expect("an existing day");
/// let mut generator = Generator::new(Settings { seed: 1, stations: 3, start, days: 2, format: Format::Ghcn })?;
/// let mut lines = Vec::new();
/// while generator.append_next(&mut lines).is_some() {}
/// assert!(lines.windows(10).any(|text| text == b",20240102,"));
/// # Ok::<(), frostline::generate::SettingsError>(())
/// ```
pub struct Generator {
    settings: Settings,
    stations: Vec<Member>,
    /// Days since the start.
    day: u32,
    date: Date,
    /// The season of `date` in the north.
    season: f64,
    /// Index of the station that is next.
    next: usize,
    /// Memory that each station and day uses again.
    readings: Vec<Reading>,
    observation: Option<Observation>,
}

/// A station, with its JSON where documents are written.
struct Member {
    station: Synthetic,
    json: Box<str>,
}

impl Generator {
    /// A generator that stands before the first day. It holds some 90 bytes a station for lines, 350 for
    /// documents, and never more.
    ///
    /// # Errors
    /// [`SettingsError`] where there is nothing to generate, or more than the formats can hold.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        let member = |number| {
            let json = match settings.format {
                Format::Ghcn => Box::default(),
                Format::Json => describe(settings.seed, number)?.to_json(Compat::None).into_boxed_str(),
            };
            Some(Member { station: Synthetic::new(settings.seed, number)?, json })
        };
        Ok(Self {
            settings,
            stations: (0..settings.stations).map_while(member).collect(),
            day: 0,
            date: settings.start,
            season: northern_season(settings.start),
            next: 0,
            readings: Vec::new(),
            observation: None,
        })
    }

    /// Appends what the next station reports, and moves on. `None` after the last day.
    pub fn append_next(&mut self, out: &mut Vec<u8>) -> Option<StationDay> {
        if self.next == self.stations.len() {
            self.next = 0;
            self.day = (self.day + 1).min(self.settings.days);
            if self.day < self.settings.days {
                self.date = Date::from_days_since_1970(self.date.days_since_1970() + 1)?;
                self.season = northern_season(self.date);
            }
        }
        if self.day == self.settings.days {
            return None;
        }
        let number = self.next;
        self.next += 1;
        let Member { station, json } = self.stations.get_mut(number)?;
        let mut random = Random::new(self.settings.seed, number as u64, u64::from(self.day));
        let weather = station.yesterday.advance(&station.climate, self.season, &mut random);
        report(station, self.date, &weather, &mut random, &mut self.readings);
        let failed = self.readings.iter().filter(|reading| reading.failed_quality()).count();
        let records = match self.settings.format {
            Format::Ghcn => append_lines(&self.readings, out),
            Format::Json => append_document(&self.readings, json, &mut self.observation, out),
        };
        Some(StationDay { station: station.id, records, failed_quality: failed as u64 })
    }
}

fn append_lines(readings: &[Reading], out: &mut Vec<u8>) -> u64 {
    for reading in readings {
        reading.to_line_into(out);
        out.push(b'\n');
    }
    readings.len() as u64
}

fn append_document(
    readings: &[Reading],
    station_json: &str,
    observation: &mut Option<Observation>,
    out: &mut Vec<u8>,
) -> u64 {
    let Some(first) = readings.first() else { return 0 };
    let observation = observation.get_or_insert_with(|| Observation::new(first.station, first.date));
    observation.restart(first.station, first.date);
    for reading in readings.iter().filter(|reading| !reading.failed_quality()) {
        observation.insert(reading.element, reading.value);
    }
    if observation.readings().is_empty() {
        return 0;
    }
    observation.to_json_into(station_json, Compat::None, 1, out);
    out.push(b'\n');
    1
}

impl Settings {
    /// Whether they can be generated.
    ///
    /// # Errors
    /// What is too much, or missing.
    pub fn check(&self) -> Result<(), SettingsError> {
        if self.stations == 0 || self.stations > Synthetic::COUNT_MAX {
            return Err(SettingsError::Stations);
        }
        if self.last_day().is_some() { Ok(()) } else { Err(SettingsError::Days) }
    }

    /// The last day; `None` where there is none, or the calendar ends before.
    pub fn last_day(&self) -> Option<Date> {
        let after_start = i32::try_from(self.days.checked_sub(1)?).ok()?;
        Date::from_days_since_1970(self.start.days_since_1970().checked_add(after_start)?)
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stations => write!(f, "the number of stations: expected 1 to {}", Synthetic::COUNT_MAX),
            Self::Days => f.write_str("the number of days: expected 1 or more, ending by 9999-12-31"),
        }
    }
}

impl std::error::Error for SettingsError {}

#[cfg(test)]
#[path = "generator_tests.rs"]
mod tests;
