//! Sunset and sunrise at a place, to a minute or two, which is enough for the start of a night.
//!
//! After NOAA's solar calculator (Spencer's series for declination and equation of time); the sun's upper edge on a level
//! horizon with refraction, zenith 90.833°.

const DAY_SECONDS: f64 = 86_400.0;
const ZENITH_DEGREES: f64 = 90.833;

/// The course of the sun from one local noon to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Darkness {
    /// It sets and rises again, at these seconds since 1970.
    Night {
        /// Sunset of the evening.
        sunset: i64,
        /// Sunrise of the next morning.
        sunrise: i64,
    },
    /// It does not set: polar day.
    AlwaysDay,
    /// It does not rise: polar night.
    AlwaysNight,
}

/// The night whose evening is on the day with this number (days since 1970, by the local sun) at a place.
pub fn darkness(day: i32, latitude: f64, longitude: f64) -> Darkness {
    match (half_day_seconds(day, latitude), half_day_seconds(day.saturating_add(1), latitude)) {
        (Half::Seconds(before), Half::Seconds(after)) => Darkness::Night {
            sunset: (noon(day, longitude) + before) as i64,
            sunrise: (noon(day.saturating_add(1), longitude) - after) as i64,
        },
        (Half::AlwaysDay, _) | (_, Half::AlwaysDay) => Darkness::AlwaysDay,
        _ => Darkness::AlwaysNight,
    }
}

enum Half {
    Seconds(f64),
    AlwaysDay,
    AlwaysNight,
}

/// How long the sun is up before and after noon.
fn half_day_seconds(day: i32, latitude: f64) -> Half {
    let (latitude, declination) = (latitude.clamp(-90.0, 90.0).to_radians(), declination(angle(day)));
    let cosine = ZENITH_DEGREES.to_radians().cos() / (latitude.cos() * declination.cos())
        - latitude.tan() * declination.tan();
    if cosine.is_nan() || cosine > 1.0 {
        return Half::AlwaysNight;
    }
    if cosine < -1.0 {
        return Half::AlwaysDay;
    }
    Half::Seconds(cosine.acos().to_degrees() / 360.0 * DAY_SECONDS)
}

/// The time of solar noon, in seconds since 1970.
fn noon(day: i32, longitude: f64) -> f64 {
    (f64::from(day) + 0.5 - longitude / 360.0) * DAY_SECONDS - equation_of_time_seconds(angle(day))
}

/// How far the earth has moved around the sun since New Year, in radians.
fn angle(day: i32) -> f64 {
    // 1970-01-01 was the first day of a year; leap days cause a drift of less than a day.
    let day_of_year = (f64::from(day) + 0.5).rem_euclid(365.242_5);
    std::f64::consts::TAU * day_of_year / 365.242_5
}

fn declination(angle: f64) -> f64 {
    0.006_918 - 0.399_912 * angle.cos() + 0.070_257 * angle.sin() - 0.006_758 * (2.0 * angle).cos()
        + 0.000_907 * (2.0 * angle).sin()
        - 0.002_697 * (3.0 * angle).cos()
        + 0.001_48 * (3.0 * angle).sin()
}

fn equation_of_time_seconds(angle: f64) -> f64 {
    let minutes = 229.18
        * (0.000_075 + 0.001_868 * angle.cos()
            - 0.032_077 * angle.sin()
            - 0.014_615 * (2.0 * angle).cos()
            - 0.040_849 * (2.0 * angle).sin());
    minutes * 60.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hourly::parse_time;
    use crate::noaa::Date;

    fn day(text: &str) -> i32 {
        Date::parse_iso(text).unwrap().days_since_1970()
    }

    #[test]
    fn sunset_and_sunrise_agree_with_almanacs() {
        // Phoenix: sunset 17:21 and sunrise 07:13 MST; Newark: 20:31 and 05:26 EDT.
        for (date, latitude, longitude, set, rise) in [
            ("2026-11-28", 33.43, -112.0, "2026-11-29T00:21:00Z", "2026-11-29T14:12:00Z"),
            ("2013-06-21", 40.68, -74.17, "2013-06-22T00:32:00Z", "2013-06-22T09:26:00Z"),
        ] {
            let Darkness::Night { sunset, sunrise } = darkness(day(date), latitude, longitude) else {
                panic!("{date} has a night")
            };
            assert!(
                (sunset - parse_time(set).unwrap()).abs() < 180,
                "{date} {}",
                crate::hourly::iso_time(sunset)
            );
            assert!((sunrise - parse_time(rise).unwrap()).abs() < 180, "{date}");
        }
    }

    #[test]
    fn at_the_poles_it_does_neither() {
        assert_eq!(darkness(day("2026-06-21"), 78.2, 15.6), Darkness::AlwaysDay);
        assert_eq!(darkness(day("2026-12-21"), 78.2, 15.6), Darkness::AlwaysNight);
        assert_eq!(darkness(day("2026-06-21"), -90.0, 0.0), Darkness::AlwaysNight);
    }
}
