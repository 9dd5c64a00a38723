//! The weather at a place and a moment: seasons, days, slow changes, and nights that are clear or cloudy.
//!
//! A day runs from the morning's minimum at 6 to the next one at 30 o'clock by the local sun, with its maximum at 15.
//! The three values are random, and the curve between them is fixed: half a cosine up, then cooling that slows down.
//! Clear nights cool much more than cloudy ones, so some of them have frost. Any moment can be computed without the
//! earlier ones.

use super::climate::{Climate, season};
use super::random::{Random, hash, smooth, swing};
use super::real::RealPlace;
use crate::hourly::Hour;
use crate::noaa::{Location, StationId};

const HOUR: f64 = 3_600.0;
const DAY: f64 = 86_400.0;
/// Days of a year, on average since 1970.
const YEAR_DAYS: f64 = 365.242_5;
/// The hours of minimum and maximum by the local sun.
const MORNING: f64 = 6.0;
const AFTERNOON: f64 = 15.0;

/// A place with its own weather.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place {
    key: u64,
    pub(crate) location: Location,
    pub(crate) elevation_m: f64,
    pub(super) climate: Climate,
}

/// Measured values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Weather {
    pub(crate) temperature_c: f64,
    pub(crate) dew_point_c: f64,
    pub(crate) wind_m_s: f64,
    /// Wind direction, in tens of degrees, 1 to 36.
    pub(crate) wind_tens: u32,
    /// 0 to 8.
    pub(crate) cloud_oktas: u8,
    pub(crate) pressure_hpa: f64,
}

impl Place {
    /// A place whose weather depends on the seed and a name.
    pub(super) fn new(
        seed: u64,
        name: &str,
        (location, elevation_m): (Location, f64),
        climate: Climate,
    ) -> Self {
        Self { key: seed ^ hash(name.as_bytes()), location, elevation_m, climate }
    }

    /// A real place with weather from the seed.
    pub(crate) fn real(seed: u64, place: &RealPlace) -> Self {
        let station = &place.station;
        let position = (station.location, station.elevation.unwrap_or_default());
        Self::new(seed, station.id.as_str(), position, place.climate)
    }

    /// The same place with air that is this many K colder.
    pub(crate) fn colder(mut self, kelvin: f64) -> Self {
        self.climate.mean_c -= kelvin;
        self
    }

    /// A place without a station, with the usual climate of its latitude.
    pub(crate) fn unnamed(seed: u64, location: Location) -> Self {
        const HEIGHT_M: f64 = 100.0;
        const WET_DAYS: f64 = 0.3;
        let name = format!("{:.1},{:.1}", location.lat, location.lon);
        let mut random = Random::new(seed, hash(name.as_bytes()), 0);
        let climate = Climate::of(location.lat, HEIGHT_M, WET_DAYS, &mut random);
        Self::new(seed, &name, (location, HEIGHT_M), climate)
    }

    /// The weather at a time, in seconds since 1970.
    pub(crate) fn weather(&self, time: i64) -> Weather {
        let time = time as f64;
        let temperature_c = self.temperature_at(time);
        let cover = self.cover_at(time);
        let dryness = 4.0 + 8.0 * smooth(self.key ^ 11, time / (1.5 * DAY));
        let (_, hour) = self.sun_clock(time);
        let by_day = if (9.0..19.0).contains(&hour) { 1.5 } else { 0.0 };
        let wind_m_s = 0.5 + by_day + 4.0 * cover * smooth(self.key ^ 12, time / (5.0 * HOUR));
        Weather {
            temperature_c,
            dew_point_c: (self.base(time) - dryness).min(temperature_c - 0.2),
            wind_m_s,
            wind_tens: 1 + (35.0 * smooth(self.key ^ 13, time / (9.0 * HOUR))) as u32,
            cloud_oktas: (8.0 * cover).round() as u8,
            pressure_hpa: 1_015.0 + 14.0 * swing(self.key ^ 14, time / (2.5 * DAY)),
        }
    }

    /// The weather as a station reports it, to a tenth.
    pub(crate) fn hour(&self, station: StationId, time: i64) -> Hour {
        let tenths = |value: f64| (value * 10.0).round() / 10.0;
        let weather = self.weather(time);
        Hour {
            dew_point_c: Some(tenths(weather.dew_point_c)),
            wind_m_s: Some(tenths(weather.wind_m_s)),
            ..Hour::new(station, time, tenths(weather.temperature_c))
        }
    }

    /// Air temperature, in °C.
    pub(crate) fn temperature_c(&self, time: i64) -> f64 {
        self.temperature_at(time as f64)
    }

    fn temperature_at(&self, time: f64) -> f64 {
        let (day, hour) = self.sun_clock(time);
        let maximum = self.maximum(day);
        let course = if hour < AFTERNOON {
            let minimum = self.minimum(day - 1.0);
            let share = (hour - MORNING) / (AFTERNOON - MORNING);
            minimum + (maximum - minimum) * (1.0 - (std::f64::consts::PI * share).cos()) / 2.0
        } else {
            let share = (1.0 - (-(hour - AFTERNOON) / 5.0).exp()) / (1.0 - (-3.0_f64).exp());
            maximum + (self.minimum(day) - maximum) * share
        };
        course + 0.35 * swing(self.key ^ 1, time / (0.6 * HOUR))
    }

    /// The number of the day that began at 6 by the local sun, and the hour in it, 6 to 30.
    fn sun_clock(&self, time: f64) -> (f64, f64) {
        let hours = (time + self.location.lon * 240.0) / HOUR - MORNING;
        let day = (hours / 24.0).floor();
        (day, hours - 24.0 * day + MORNING)
    }

    /// The time of an hour of a day, the opposite of [`Place::sun_clock`].
    fn time_of(&self, day: f64, hour: f64) -> f64 {
        (day * 24.0 + hour) * HOUR - self.location.lon * 240.0
    }

    fn maximum(&self, day: f64) -> f64 {
        let at = self.time_of(day, AFTERNOON);
        self.base(at) + self.climate.day_range_c * (0.1 + 0.35 * (1.0 - self.cover_at(at)))
    }

    /// The minimum of the night after a day.
    fn minimum(&self, day: f64) -> f64 {
        let clear = 1.0 - self.cover_at(self.time_of(day, 26.0));
        self.base(self.time_of(day, 24.0 + MORNING)) - self.climate.day_range_c * (0.07 + 0.57 * clear)
    }

    /// The mean without the time of day.
    fn base(&self, time: f64) -> f64 {
        self.climate.mean_c
            + self.climate.swing_c * season(1.0 + (time / DAY).rem_euclid(YEAR_DAYS))
            + 5.0 * swing(self.key ^ 2, time / (4.0 * DAY))
            + 1.5 * swing(self.key ^ 3, time / (1.1 * DAY))
    }

    /// The cloud cover: mostly nearly clear or nearly covered, and more in rainy places.
    fn cover_at(&self, time: f64) -> f64 {
        let usual = 0.35 + 0.7 * self.climate.wet_days;
        (usual + 0.95 * swing(self.key ^ 4, time / (0.7 * DAY))).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lat: f64, lon: f64) -> Place {
        let climate = Climate::of(lat, 400.0, 0.13, &mut Random::new(1, 0, 0));
        Place::new(1, "somewhere", (Location { lat, lon }, 400.0), climate)
    }

    fn arizona() -> Place {
        at(33.5, -112.0)
    }

    #[test]
    fn there_is_frost_in_some_winter_nights_and_none_in_july() {
        let place = arizona();
        let minima = |first_day: i64, days: i64| -> Vec<f64> {
            let hours = |day: i64| (0..24).map(move |hour| (day * 24 + hour) * 3_600);
            let coldest = |day| hours(day).map(|time| place.temperature_c(time)).fold(f64::MAX, f64::min);
            (first_day..first_day + days).map(coldest).collect()
        };
        // 2026-11-15 and 2026-07-01.
        let winter = minima(20_772, 90);
        let frosts = winter.iter().filter(|minimum| **minimum <= 0.0).count();
        assert!((5..70).contains(&frosts), "{frosts} of 90 nights: {winter:?}");
        assert!(minima(20_635, 31).iter().all(|minimum| *minimum > 10.0));
    }

    #[test]
    fn the_course_has_no_jumps_and_possible_values() {
        let place = arizona();
        let mut before = place.temperature_c(0);
        for minute in 1..20_000 {
            let now = place.weather(minute * 60);
            assert!((now.temperature_c - before).abs() < 0.2, "{minute}: {before} {}", now.temperature_c);
            assert!(now.dew_point_c < now.temperature_c && now.cloud_oktas <= 8 && now.wind_tens <= 36);
            before = now.temperature_c;
        }
    }

    #[test]
    fn places_differ_and_the_south_has_its_winter_in_july() {
        let south = at(-34.0, -71.0);
        let mean = |place: Place, day: i64| {
            (0..720).map(|hour| place.temperature_c(day * 86_400 + hour * 3_600)).sum::<f64>() / 720.0
        };
        assert!(mean(south, 20_635) + 5.0 < mean(south, 20_454));
        assert!(mean(arizona(), 20_635) > mean(arizona(), 20_454) + 5.0);
    }
}
