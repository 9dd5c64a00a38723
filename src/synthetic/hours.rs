//! Hourly observations of all stations, in the order of time: no station is silent while others go on.

use super::moment::Place;
use super::settings::{Appended, Settings};
use crate::hourly::HOUR;
use crate::noaa::StationId;

/// Seconds of a day.
const DAY: i64 = 24 * HOUR;

/// Writes one station and hour after the other, as the values of topic `noaa-hourly`.
pub(super) struct Hours {
    stations: Vec<(StationId, Place)>,
    /// The present hour, in seconds since 1970.
    time: i64,
    /// The hour after the last one.
    end: i64,
    /// Index of the next station.
    next: usize,
}

impl Hours {
    /// At the first hour of the first day, in UTC. The settings have been checked.
    pub(super) fn new(settings: &Settings) -> Self {
        let Settings { seed, places, start, days, .. } = *settings;
        let time = i64::from(start.days_since_1970()) * DAY;
        let stations = (0..places.count()).map_while(|number| places.with_weather(seed, number));
        Self { stations: stations.collect(), time, end: time + i64::from(days) * DAY, next: 0 }
    }

    /// Appends the next station's observation, and moves on. `None` after the last hour.
    pub(super) fn append_next(&mut self, out: &mut Vec<u8>) -> Option<Appended> {
        let (station, place) = self.stations.get(self.next).filter(|_| self.time < self.end)?;
        out.extend_from_slice(place.hour(*station, self.time).to_json().as_bytes());
        out.push(b'\n');
        let station = *station;
        self.next += 1;
        if self.next == self.stations.len() {
            (self.next, self.time) = (0, self.time + HOUR);
        }
        Some(Appended { station, records: 1, failed_quality: 0 })
    }
}
