//! Writes the reports of all stations, day by day.

use std::collections::VecDeque;
use std::fmt;

use super::climate::northern_season;
use super::hours::{self, Hours};
use super::moment::Place;
use super::oddity::{Line, Oddities};
use super::random::Random;
use super::real::real_places;
use super::report::report;
use super::station::{Synthetic, describe, invented_place, own_place, own_station};
use crate::noaa::{Compat, Date, Location, Observation, Reading, Station, StationId};

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

/// Writes one station and day after the other.
///
/// ```
/// use frostline::noaa::Date;
/// use frostline::synthetic::{Format, Generator, Places, Settings};
///
/// let start = Date::new(2024, 1, 1).expect("an existing day");
/// let places = Places::Invented(3);
/// let settings = Settings { seed: 1, places, start, days: 2, format: Format::Ghcn, oddities: false };
/// let mut generator = Generator::new(settings)?;
/// let mut lines = Vec::new();
/// while generator.append_next(&mut lines).is_some() {}
/// assert!(lines.windows(10).any(|text| text == b",20240102,"));
/// # Ok::<(), frostline::synthetic::SettingsError>(())
/// ```
pub struct Generator {
    settings: Settings,
    stations: Vec<Member>,
    /// Days since the start.
    day: u32,
    date: Date,
    /// The season of `date` in the north.
    season: f64,
    /// Index of the next station.
    next: usize,
    /// Memory that is reused for each station and day.
    readings: Vec<Reading>,
    observation: Option<Observation>,
    oddities: Option<Oddities>,
    /// With oddities: the lines of a day that are not appended yet.
    ready: VecDeque<Line>,
    /// Only for hours, which know no days.
    hours: Option<Hours>,
}

/// A station, with its JSON if documents are written.
struct Member {
    station: Synthetic,
    json: Box<str>,
}

impl Generator {
    /// A generator at the start of the first day. It takes about 90 bytes per station for lines, 350 for documents,
    /// and never more; with oddities also the lines of a day, or of two around a leap day.
    ///
    /// # Errors
    /// [`SettingsError`] if there is nothing to generate, or more than the formats can hold.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        let member = |number| {
            let json = match settings.format {
                Format::Ghcn | Format::Hours => Box::default(),
                Format::Json => settings.places.describe(settings.seed, number)?.to_json(Compat::None).into(),
            };
            let station = match settings.places {
                Places::Invented(_) => Synthetic::invented(settings.seed, number)?,
                Places::Real => Synthetic::real(settings.seed, number)?,
                Places::Near(location) => Synthetic::own(settings.seed, location)?,
            };
            Some(Member { station, json })
        };
        Ok(Self {
            settings,
            stations: (0..settings.places.count()).map_while(member).collect(),
            day: 0,
            date: settings.start,
            season: northern_season(settings.start),
            next: 0,
            readings: Vec::new(),
            observation: None,
            oddities: settings.oddities.then(|| Oddities::new(settings.seed)),
            ready: VecDeque::new(),
            hours: (settings.format == Format::Hours).then(|| Hours::new(&settings)),
        })
    }

    /// Appends the next station's report, and moves on. `None` after the last day.
    pub fn append_next(&mut self, out: &mut Vec<u8>) -> Option<Appended> {
        if let Some(hours) = &mut self.hours {
            return hours.append_next(out);
        }
        if self.oddities.is_none() {
            return self.append_station(out);
        }
        while self.ready.is_empty() {
            self.date()?;
            self.ready = self.next_day().into();
        }
        let line = self.ready.pop_front()?;
        out.extend_from_slice(line.text.as_bytes());
        out.push(b'\n');
        let has_failed = line.text.split(',').nth(5).is_some_and(|flag| !flag.is_empty());
        Some(Appended { station: line.station, records: 1, failed_quality: has_failed.into() })
    }

    /// The day that [`next_day`](Self::next_day) returns; `None` after the last one.
    pub fn date(&self) -> Option<Date> {
        (self.day < self.settings.days).then_some(self.date)
    }

    /// All lines of the next day, or the rest of it; empty after the last one. Oddities mix the lines of a leap day
    /// with those of the previous day, and both come at once.
    pub fn next_day(&mut self) -> Vec<Line> {
        let today = self.date;
        let stations = self.whole_day();
        let Some(mut oddities) = self.oddities.take() else { return stations.concat() };
        let lines = match self.date().filter(|date| (date.month(), date.day()) == (2, 29)) {
            _ if stations.is_empty() => Vec::new(),
            Some(leap_day) => oddities.mix_leap_day((today, stations), (leap_day, self.whole_day())),
            None => oddities.mix((today, stations)),
        };
        self.oddities = Some(oddities);
        lines
    }

    /// How many unusable lines there were so far because of oddities: each becomes a dead letter.
    pub fn bad_lines(&self) -> u64 {
        self.oddities.as_ref().map_or(0, |oddities| oddities.bad_lines)
    }

    /// The lines of each station on the present day.
    fn whole_day(&mut self) -> Vec<Vec<Line>> {
        let (today, mut bytes, mut stations) = (self.day, Vec::new(), Vec::new());
        while self.day == today
            && let Some(Appended { station, .. }) = self.append_station(&mut bytes)
        {
            let text = String::from_utf8_lossy(&bytes);
            stations.push(text.lines().map(|line| Line { station, text: line.to_owned() }).collect());
            bytes.clear();
        }
        stations
    }

    fn append_station(&mut self, out: &mut Vec<u8>) -> Option<Appended> {
        let date = self.date()?;
        let Member { station, json } = self.stations.get_mut(self.next)?;
        let mut random = Random::new(self.settings.seed, self.next as u64, u64::from(self.day));
        let weather = station.yesterday.advance(&station.climate, self.season, &mut random);
        report(station, date, &weather, &mut random, &mut self.readings);
        let failed = self.readings.iter().filter(|reading| reading.failed_quality()).count();
        let records = if self.settings.format == Format::Json {
            append_document(&self.readings, json, &mut self.observation, out)
        } else {
            append_lines(&self.readings, out)
        };
        let station = station.id;
        self.next += 1;
        if self.next == self.stations.len() {
            self.next = 0;
            self.day += 1;
            self.date = date.plus_days(1).unwrap_or(date);
            self.season = northern_season(self.date);
        }
        Some(Appended { station, records, failed_quality: failed as u64 })
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

    /// How many steps [`Generator::append_next`] takes without oddities.
    pub fn steps(&self) -> u64 {
        let station_days = self.places.count() * u64::from(self.days);
        if self.format == Format::Hours { hours::OF_DAY * station_days } else { station_days }
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

#[cfg(test)]
#[path = "generator_tests.rs"]
mod tests;
