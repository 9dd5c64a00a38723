//! Writes the reports of all stations, day by day.

use std::collections::VecDeque;

use super::climate::northern_season;
use super::hours::Hours;
use super::oddity::{Line, Oddities};
use super::random::Random;
use super::report::report;
use super::settings::{Appended, Format, Places, Settings, SettingsError};
use super::station::Synthetic;
use crate::noaa::{Compat, Date, Observation, Reading};

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

#[cfg(test)]
#[path = "generator_tests.rs"]
mod tests;
