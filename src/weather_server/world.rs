//! The world: its stations, and the truth about their weather.

use super::report::{Report, hour_tenths, minute, reports_of_hour};
use super::times::{DAY, HOUR};
use crate::hourly::{Hour, Metar};
use crate::noaa::{Date, Location, StationId};
use crate::synthetic::Place;
use crate::synthetic::random::mix;
use crate::synthetic::{WorldStation, world_stations};

/// Within this distance in degrees of latitude and longitude, a place has the weather of the nearest station.
const NEAR_DEGREES: f64 = 0.5;
/// The hour at which cooperative stations are read, by local standard time.
pub(super) const READING_HOUR: i64 = 7;

/// A world derived from a seed and a number of stations, for all times. Everything here is the truth without faults.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    seed: u64,
    stations: Vec<WorldStation>,
}

impl World {
    /// A world with this many stations, 1 to [`STATIONS_MAX`](super::STATIONS_MAX).
    pub fn new(seed: u64, count: usize) -> Self {
        Self { seed, stations: world_stations(seed, count) }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Its stations.
    pub fn stations(&self) -> &[WorldStation] {
        &self.stations
    }

    /// The reports that a station observes from one time until before another, by time; in seconds since 1970.
    ///
    /// Empty for unknown stations and for cooperative ones, which send no METARs.
    pub fn reports(&self, station: StationId, from: i64, to: i64) -> Vec<Report> {
        let Some((index, station)) = self.find(station) else { return Vec::new() };
        let (place, key) = (self.place(index), self.key(index));
        let hours = from.div_euclid(HOUR)..=to.div_euclid(HOUR);
        hours
            .flat_map(|hour| reports_of_hour(station, &place, key, hour))
            .filter(|report| (from..to).contains(&report.observed))
            .collect()
    }

    /// The same as hourly observations: the final data of a reader. Their `raw` is the text of the METAR without the
    /// word `METAR` before it.
    pub fn hours(&self, station: StationId, from: i64, to: i64) -> Vec<Hour> {
        self.reports(station, from, to).iter().filter_map(|report| hour_of(station, report)).collect()
    }

    /// The lowest temperature, in tenths of a degree Celsius, of the reports of a station's hours in this time.
    /// `None` without an hour in it.
    pub fn minimum(&self, station: StationId, from: i64, to: i64) -> Option<i32> {
        let (index, _) = self.find(station)?;
        self.extremes(index, from, to).map(|(low, _)| low)
    }

    /// Lowest and highest temperature, in tenths, of the station's hours from one time until before another.
    pub(super) fn extremes(&self, index: usize, from: i64, to: i64) -> Option<(i32, i32)> {
        let (station, place) = (&self.stations[index], self.place(index));
        let minute = minute(station, self.key(index));
        let first =
            (from - minute * 60).div_euclid(HOUR) + i64::from((from - minute * 60).rem_euclid(HOUR) > 0);
        let hours = (first..).take_while(|hour| hour * HOUR + minute * 60 < to);
        hours.fold(None, |found, hour| {
            let tenths = hour_tenths(station, &place, minute, hour);
            let (low, high) = found.unwrap_or((tenths, tenths));
            Some((low.min(tenths), high.max(tenths)))
        })
    }

    /// The 24 hours that a station assigns to a date: from local midnight to midnight, or until 07:00 of the date.
    pub(super) fn booked(&self, index: usize, date: Date) -> (i64, i64) {
        let station = &self.stations[index];
        let midnight = i64::from(date.days_since_1970()) * DAY - station.utc_offset;
        let begins = if station.is_cooperative() { midnight + READING_HOUR * HOUR - DAY } else { midnight };
        (begins, begins + DAY)
    }

    /// A station and its number.
    pub(super) fn find(&self, id: StationId) -> Option<(usize, &WorldStation)> {
        self.stations.iter().enumerate().find(|(_, station)| station.id() == id)
    }

    /// The seed of random numbers for a station.
    pub(super) fn key(&self, index: usize) -> u64 {
        mix(&[self.seed, index as u64])
    }

    /// The place of a station.
    pub(super) fn place(&self, index: usize) -> Place {
        self.stations[index].place(self.seed)
    }

    /// The place whose weather is forecast for a location: the nearest station's, or an invented one if there is none
    /// near.
    pub(super) fn place_near(&self, location: Location) -> Place {
        let distance = |station: &WorldStation| {
            let Location { lat, lon } = station.location();
            (lat - location.lat).abs().max((lon - location.lon).abs())
        };
        let nearest = (0..self.stations.len())
            .map(|index| (index, distance(&self.stations[index])))
            .min_by(|a, b| a.1.total_cmp(&b.1));
        match nearest {
            Some((index, degrees)) if degrees <= NEAR_DEGREES => self.place(index),
            _ => Place::unnamed(self.seed, location),
        }
    }
}

/// The observation of a report; `None` if it has no temperature.
pub(super) fn hour_of(station: StationId, report: &Report) -> Option<Hour> {
    let text = report.text();
    let hour = Metar::parse(&text).ok()?.hour(station, report.observed, &text);
    hour.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hourly::parse_time;

    const START: &str = "2026-11-28T00:00:00Z";

    #[test]
    fn reports_read_back_as_what_was_observed() {
        let world = World::new(1, 12);
        let start = parse_time(START).unwrap();
        for station in world.stations() {
            let reports = world.reports(station.id(), start, start + 20 * DAY);
            assert_eq!(reports.is_empty(), station.is_cooperative());
            for report in &reports {
                let hour = hour_of(station.id(), report).unwrap();
                let near = |found: Option<f64>, tenths: Option<i32>| {
                    (found.unwrap() - f64::from(tenths.unwrap()) / 10.0).abs() < 0.05
                };
                assert!(near(Some(hour.temperature_c), report.temperature), "{report:?} {hour:?}");
                assert!(near(hour.dew_point_c, report.dew_point), "{report:?} {hour:?}");
                let metar = Metar::parse(&report.text()).unwrap();
                assert_eq!(metar.time(report.observed), Some(report.observed));
                assert_eq!(Some(&metar.icao), station.station.icao.as_ref());
            }
        }
    }

    #[test]
    fn american_reports_come_before_the_full_hour() {
        let world = World::new(1, 12);
        let start = parse_time(START).unwrap();
        let station = &world.stations()[0];
        let reports = world.reports(station.id(), start, start + 10 * DAY);
        let minutes: Vec<i64> = reports.iter().map(|report| report.observed.rem_euclid(HOUR) / 60).collect();
        assert_eq!(minutes.iter().filter(|minute| (51..=56).contains(*minute)).count(), 240);
        assert!(minutes.iter().any(|minute| *minute < 40), "there are SPECIs");
        let text = |hour: usize| {
            reports.iter().find(|one| one.observed / HOUR % 24 == hour as i64 && one.six_hours.is_some())
        };
        assert!(text(5).is_some_and(|report| report.text().contains(" T")), "{reports:?}");
        // Local midnight is 07 UTC in Arizona.
        let midnights = reports.iter().filter(|report| report.day.is_some());
        assert!(midnights.map(|report| report.observed / HOUR % 24).all(|hour| hour == 6));
        assert_eq!(reports.iter().filter(|report| report.day.is_some()).count(), 10);
    }

    #[test]
    fn the_same_seed_makes_the_same_world() {
        let start = parse_time(START).unwrap();
        let hours = |seed: u64| {
            let world = World::new(seed, 3);
            world.hours(world.stations()[0].id(), start, start + DAY)
        };
        assert_eq!(hours(1), hours(1));
        assert_ne!(hours(1), hours(2));
    }

    #[test]
    fn the_minimum_is_that_of_the_hours() {
        let world = World::new(1, 3);
        let (start, id) = (parse_time(START).unwrap(), world.stations()[0].id());
        let hours = world.reports(id, start, start + DAY);
        let lowest = hours
            .iter()
            .filter(|one| one.kind == super::super::Kind::Metar)
            .filter_map(|one| one.temperature)
            .min();
        assert_eq!(world.minimum(id, start, start + DAY), lowest);
        assert_eq!(world.minimum(id, start, start), None);
    }
}
