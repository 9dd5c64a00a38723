//! Nights: named by the date of their evening, between sunset and the next morning.

use super::sun::{Darkness, darkness};
use crate::noaa::Date;

/// Seconds of an hour.
pub const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// Outlooks for a night start at this local standard time of its evening, in seconds after midnight.
const OUTLOOKS_FROM: i64 = 15 * HOUR;
/// A night starts at this local standard time if the sun does not set; never before noon or after two.
const EVENING: i64 = 18 * HOUR;
/// If the sun does not rise, it counts as risen at this local standard time of the morning; never before two.
const SUNRISE: i64 = 6 * HOUR;
/// A night ends at this local standard time: the minimum of a clear night comes after sunrise, that of a front at any
/// time.
const MORNING: i64 = 9 * HOUR;

/// How far local standard time is ahead of UTC at a longitude, in seconds: whole hours, as in ideal time zones
/// without daylight saving.
pub fn standard_offset(longitude: f64) -> i64 {
    (longitude / 15.0).round() as i64 * HOUR
}

/// A night at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Night {
    /// The date of its evening, in local standard time.
    pub date: Date,
    /// The first time of outlooks for it, in seconds since 1970.
    pub outlooks_from: i64,
    /// Its start: sunset; 18:00 local standard time if the sun does not set or rise.
    pub begins: i64,
    /// Sunrise after it; 06:00 local standard time if the sun does not set or rise.
    pub sunrise: i64,
    /// Its end, inclusive: 09:00 local standard time.
    pub ends: i64,
}

impl Night {
    /// From the midnight before the evening to the end, in seconds.
    pub const LENGTH_FROM_MIDNIGHT: i64 = DAY + MORNING;

    /// The night whose evening is on `date`.
    pub fn of(date: Date, latitude: f64, longitude: f64) -> Self {
        let midnight = i64::from(date.days_since_1970()) * DAY - standard_offset(longitude);
        let (outlooks_from, ends) = (midnight + OUTLOOKS_FROM, midnight + DAY + MORNING);
        let (begins, sunrise) = match darkness(date.days_since_1970(), latitude, longitude) {
            Darkness::Night { sunset, sunrise } => (sunset, sunrise),
            Darkness::AlwaysDay | Darkness::AlwaysNight => (midnight + EVENING, midnight + DAY + SUNRISE),
        };
        // Far from the middle of a time zone the sun may set late; this keeps a night from being empty.
        let two = midnight + 26 * HOUR;
        let (begins, sunrise) = (begins.clamp(midnight + 12 * HOUR, two), sunrise.clamp(two, ends));
        Self { date, outlooks_from: outlooks_from.min(begins), begins, sunrise, ends }
    }

    /// The end of the night of `date`: 09:00 of a local standard time that is `offset` seconds ahead of UTC, in
    /// seconds since 1970.
    pub fn morning_after(date: Date, offset: i64) -> i64 {
        i64::from(date.days_since_1970()) * DAY + Self::LENGTH_FROM_MIDNIGHT - offset
    }

    /// The night of an observation at `time`, or the next one: the first night that has not ended before it.
    pub fn at(time: i64, latitude: f64, longitude: f64) -> Option<Self> {
        let local = time + standard_offset(longitude) - MORNING - 1;
        let day = i32::try_from(local.div_euclid(DAY)).ok()?;
        Some(Self::of(Date::from_days_since_1970(day)?, latitude, longitude))
    }

    /// Whether outlooks for it are issued at `time`.
    pub fn is_open(&self, time: i64) -> bool {
        (self.outlooks_from..=self.ends).contains(&time)
    }

    /// Whether an observation at `time` counts for its lowest temperature.
    pub fn contains(&self, time: i64) -> bool {
        (self.begins..=self.ends).contains(&time)
    }

    /// The seconds since 1970 of a local standard time, given in seconds after the midnight of its evening's date.
    pub fn local(&self, seconds: i64) -> i64 {
        self.ends - Self::LENGTH_FROM_MIDNIGHT + seconds
    }
}

/// `2026-11-28T17:53:00Z`.
pub fn iso_time(time: i64) -> String {
    jiff::Timestamp::from_second(time).map_or_else(|_| time.to_string(), |time| time.to_string())
}

/// Parses a time with its offset, such as `2026-11-28T17:53:00Z`, into seconds since 1970.
pub fn parse_time(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

/// As [`parse_time`]; a time without an offset, such as `2026-11-28T17:53:00`, is in UTC.
pub fn utc_time(text: &str) -> Option<i64> {
    // A date alone is not a time.
    text.get(10..).filter(|time| !time.is_empty())?;
    let civil = || text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    parse_time(text).or_else(|| Some(civil()?.timestamp().as_second()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str, latitude: f64, longitude: f64) -> Night {
        Night::at(parse_time(time).unwrap(), latitude, longitude).unwrap()
    }

    #[test]
    fn a_night_has_the_date_of_its_evening() {
        // Newark: local standard time is UTC-5.
        for (time, date) in [
            ("2013-01-01T23:00:00Z", "2013-01-01"),
            ("2013-01-02T13:59:00Z", "2013-01-01"),
            ("2013-01-02T14:00:00Z", "2013-01-01"),
            ("2013-01-02T14:00:01Z", "2013-01-02"),
        ] {
            assert_eq!(at(time, 40.68, -74.17).date.to_string(), date, "{time}");
        }
        let night = at("2013-01-01T23:00:00Z", 40.68, -74.17);
        assert_eq!(iso_time(night.ends), "2013-01-02T14:00:00Z");
        assert_eq!(iso_time(night.outlooks_from), "2013-01-01T20:00:00Z");
        assert!(iso_time(night.begins).starts_with("2013-01-01T21:"), "{}", iso_time(night.begins));
        assert_eq!(iso_time(night.local(18 * HOUR)), "2013-01-01T23:00:00Z");
    }

    #[test]
    fn daylight_saving_and_the_date_line_change_nothing() {
        // The clocks of New York change in the night of 2013-03-09.
        assert_eq!(
            at("2013-03-10T07:30:00Z", 40.68, -74.17).ends,
            at("2013-03-10T06:30:00Z", 40.68, -74.17).ends
        );
        // Fiji and the Aleutians, an hour apart on the sun and a day on the calendar.
        assert_eq!(at("2026-11-28T08:00:00Z", -17.7, 178.0).date.to_string(), "2026-11-28");
        assert_eq!(at("2026-11-28T08:00:00Z", 52.0, -177.0).date.to_string(), "2026-11-27");
    }

    #[test]
    fn each_time_has_one_night_and_it_is_never_empty() {
        for latitude in [-90.0, -67.0, -33.0, 0.0, 45.0, 66.0, 78.0] {
            for longitude in [-180.0, -97.4, 0.0, 7.4, 180.0] {
                for day in (0..366).step_by(5) {
                    let time = 1_767_225_600 + day * DAY + 3 * HOUR;
                    let night = Night::at(time, latitude, longitude).unwrap();
                    assert!(night.begins < night.sunrise && night.sunrise <= night.ends, "{night:?}");
                    assert!(night.outlooks_from <= night.begins && time <= night.ends, "{night:?}");
                    assert_eq!(
                        Night::at(night.ends + 1, latitude, longitude).unwrap().date.days_since_1970(),
                        night.date.days_since_1970() + 1
                    );
                }
            }
        }
    }
}
