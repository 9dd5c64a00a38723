//! Hours before, in and after one night with frost, at the demo's main station: invented like the rest.

use super::DemoStation;

/// The station.
const STATION: &str = "USW00003192";
/// Midnight before the first day, 1 November 2024 in Arizona, in seconds since 1970.
const BEGIN: i64 = 1_730_444_400;
/// Days before the night of frost: the model learns from them.
const DAYS: i64 = 45;
const HOUR: i64 = 3_600;

/// What the station shows in an hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DemoHour {
    /// Seconds since 1970.
    pub time: i64,
    /// In °C.
    pub temperature_c: f64,
    /// In °C.
    pub dew_point_c: f64,
    /// In m/s.
    pub wind_m_s: f64,
}

/// The station of the hours.
pub fn hours_station() -> Option<&'static DemoStation> {
    super::STATIONS.iter().find(|station| station.id == STATION)
}

/// All hours up to noon of the day before the frost.
pub fn hours_before() -> impl Iterator<Item = DemoHour> {
    (0..DAYS * 24 + 13).map(hour)
}

/// From then to the next noon: an evening, a night with frost, a morning.
pub fn hours_of_frost() -> impl Iterator<Item = DemoHour> {
    (DAYS * 24 + 13..(DAYS + 1) * 24 + 13).map(hour)
}

/// The hour of this number.
fn hour(number: i64) -> DemoHour {
    let (day, of_day) = (number.div_euclid(24), number.rem_euclid(24) as f64);
    // Cold, dry air comes on the last day.
    let is_cold = number >= DAYS * 24 + 12;
    let wander = 2.5 * (day as f64 * 0.9).sin() + 1.5 * (day as f64 * 2.3).cos();
    let mean = if is_cold { 5.6 } else { 13.0 + wander };
    // Warmest at three, coldest at six.
    let part = if (6.0..15.0).contains(&of_day) {
        -((of_day - 6.0) / 9.0 * std::f64::consts::PI).cos()
    } else {
        let since = if of_day >= 15.0 { of_day - 15.0 } else { of_day + 9.0 };
        (since / 15.0 * std::f64::consts::PI).cos()
    };
    let tenths = |value: f64| (value * 10.0).round() / 10.0;
    let temperature_c = tenths(mean + 8.0 * part + 0.3 * (number as f64 * 1.7).sin());
    let dew_point_c = tenths(if is_cold { -9.0 } else { 1.0 + 0.5 * wander }.min(temperature_c));
    let wind_m_s = tenths(1.2 + (1.0 + part) * if is_cold { 0.6 } else { 1.4 });
    DemoHour { time: BEGIN + number * HOUR, temperature_c, dew_point_c, wind_m_s }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_night_has_frost() {
        let lowest = |hours: &mut dyn Iterator<Item = DemoHour>| {
            hours.map(|hour| hour.temperature_c).fold(f64::INFINITY, f64::min)
        };
        assert!(lowest(&mut hours_before()) > 0.5, "{}", lowest(&mut hours_before()));
        let frost = lowest(&mut hours_of_frost());
        assert!((-4.0..-2.0).contains(&frost), "{frost}");
        assert!(hours_before().chain(hours_of_frost()).all(|hour| hour.dew_point_c <= hour.temperature_c));
        assert!(hours_station().is_some());
    }
}
