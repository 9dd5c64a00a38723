//! Who observes what: the networks behind GHCN-Daily report different elements, with different gaps.
//!
//! | network | elements | gaps |
//! |---|---|---|
//! | US airports, `USW…` | TMAX TMIN PRCP AWND WSF2, TAVG if it has a WMO number | rare |
//! | US cooperative observers, `USC…` | TMAX TMIN TOBS PRCP SNOW SNWD | no TMIN on 7 %, TMAX on 5 % |
//! | volunteers with a rain gauge, `US1…` and `CA1…` | PRCP SNOW SNWD | never a temperature |
//! | the rest of the world | TMAX TMIN PRCP TAVG, SNWD if snow lies | no TMIN on 15 %, no TMAX on 10 % |

use super::weather::{Weather, normal};
use super::{CivilDay, DemoStation};
use std::fmt;

/// One row of a `by_year` file, without station and date. The flags are empty strings if not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) element: &'static str,
    pub(super) value: i32,
    pub(super) measurement_flag: &'static str,
    pub(super) quality_flag: &'static str,
    source_flag: &'static str,
    /// Hours and minutes, local time.
    observed_at: &'static str,
}

impl Reading {
    pub(super) fn new(element: &'static str, value: i32, source_flag: &'static str) -> Self {
        Self { element, value, measurement_flag: "", quality_flag: "", source_flag, observed_at: "" }
    }

    /// The row as the file has it, without a line end.
    pub(super) fn to_line(&self, station: &DemoStation, day: CivilDay) -> String {
        format!("{},{day},{self}", station.id)
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { element, value, measurement_flag, quality_flag, source_flag, observed_at } = self;
        write!(f, "{element},{value},{measurement_flag},{quality_flag},{source_flag},{observed_at}")
    }
}

/// The readings that `station` reports of this weather. Empty if it is silent that day.
pub(super) fn report(station: &DemoStation, weather: &Weather, rng: &mut fastrand::Rng) -> Vec<Reading> {
    match station.id.get(..3) {
        Some("USW") => airport(station, weather, rng),
        Some("USC") => cooperative(station, weather, rng),
        Some("US1" | "CA1") => volunteer(weather, rng),
        _ => foreign(station, weather, rng),
    }
}

fn airport(station: &DemoStation, weather: &Weather, rng: &mut fastrand::Rng) -> Vec<Reading> {
    let wind = 1.2 + 1.6 * normal(rng).abs();
    let gust = wind * 1.8 + 2.0 * rng.f64();
    let mut out = vec![
        Reading::new("TMAX", tenths(weather.max_c), "W"),
        Reading::new("TMIN", tenths(weather.min_c), "W"),
        precipitation(weather, "W", rng),
        Reading::new("AWND", tenths(wind), "W"),
        Reading::new("WSF2", tenths(gust), "W"),
    ];
    if station.wmo_id.is_some() {
        out.push(average(weather, rng));
    }
    if rng.f64() < 0.003 {
        out.retain(|r| r.element != "TMIN");
    }
    out
}

fn cooperative(station: &DemoStation, weather: &Weather, rng: &mut fastrand::Rng) -> Vec<Reading> {
    if rng.f64() < 0.01 {
        return Vec::new();
    }
    let observed_at = observation_time(station);
    let morning = observed_at < "1200";
    let at_observation = if morning { weather.min_c + 0.8 } else { weather.max_c - 1.5 };
    let gap = rng.f64();
    let mut out = Vec::with_capacity(7);
    if gap >= 0.04 {
        out.push(Reading::new("TMAX", tenths(weather.max_c), "7"));
        if gap >= 0.06 {
            out.push(Reading::new("TMIN", tenths(weather.min_c), "7"));
        }
        out.push(Reading::new("TOBS", tenths(at_observation), "7"));
    }
    out.push(precipitation(weather, "7", rng));
    // Snow is measured once a day without saying when.
    out.iter_mut().for_each(|r| r.observed_at = observed_at);
    out.push(Reading::new("SNOW", whole(weather.fresh_snow_mm), "7"));
    out.push(Reading::new("SNWD", whole(weather.snow_depth_mm), "7"));
    out
}

fn volunteer(weather: &Weather, rng: &mut fastrand::Rng) -> Vec<Reading> {
    if rng.f64() < 0.08 {
        return Vec::new();
    }
    vec![
        precipitation(weather, "N", rng),
        Reading::new("SNOW", whole(weather.fresh_snow_mm), "N"),
        Reading::new("SNWD", whole(weather.snow_depth_mm), "N"),
    ]
}

fn foreign(station: &DemoStation, weather: &Weather, rng: &mut fastrand::Rng) -> Vec<Reading> {
    let source = source_flag(station);
    let mut out = Vec::with_capacity(6);
    if rng.f64() >= 0.10 {
        out.push(Reading::new("TMAX", tenths(weather.max_c), source));
    }
    if rng.f64() >= 0.15 {
        out.push(Reading::new("TMIN", tenths(weather.min_c), source));
    }
    out.push(precipitation(weather, source, rng));
    out.push(average(weather, rng));
    if whole(weather.snow_depth_mm) > 0 {
        out.push(Reading::new("SNWD", whole(weather.snow_depth_mm), source));
    }
    out
}

/// A cooperative observer keeps to one hour; most read in the morning.
fn observation_time(station: &DemoStation) -> &'static str {
    match station.id.as_bytes().last() {
        Some(b'0' | b'5') => "0800",
        Some(b'9') => "1700",
        _ => "0700",
    }
}

fn source_flag(station: &DemoStation) -> &'static str {
    match station.id.get(..2) {
        Some("AS") => "a",
        Some("CA") => "C",
        Some("EI" | "FI" | "IC") => "E",
        _ => "S",
    }
}

/// The mean of hourly values, which lies a little off the middle of the extremes.
fn average(weather: &Weather, rng: &mut fastrand::Rng) -> Reading {
    let middle = f64::midpoint(weather.max_c, weather.min_c);
    let mean = middle + (weather.max_c - weather.min_c) * 0.2 * (rng.f64() - 0.5);
    Reading { measurement_flag: "H", ..Reading::new("TAVG", tenths(mean), "S") }
}

/// A trace, too little to measure, is 0 with M-flag `T`: a few drops on a dry day.
fn precipitation(weather: &Weather, source: &'static str, rng: &mut fastrand::Rng) -> Reading {
    let value = tenths(weather.water_mm);
    let trace = value == 0 && (weather.water_mm > 0.0 || rng.f64() < 0.03);
    Reading { measurement_flag: if trace { "T" } else { "" }, ..Reading::new("PRCP", value, source) }
}

fn tenths(value: f64) -> i32 {
    whole(value * 10.0)
}

fn whole(value: f64) -> i32 {
    value.round() as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::STATIONS;

    const COLD: Weather =
        Weather { max_c: 3.12, min_c: -4.37, water_mm: 1.2, fresh_snow_mm: 12.0, snow_depth_mm: 40.0 };

    fn lines(id: &str) -> Vec<Vec<String>> {
        let station = STATIONS.iter().find(|s| s.id == id).expect("a station of the table");
        let day = CivilDay::new(2024, 2, 15).expect("an existing day");
        let mut rng = fastrand::Rng::with_seed(1);
        let mut one_day =
            || report(station, &COLD, &mut rng).iter().map(|r| r.to_line(station, day)).collect();
        (0..400).map(|_| one_day()).collect()
    }

    #[test]
    fn an_airport_writes_tenths() {
        let days = lines("USW00003192");
        assert!(days[0].contains(&"USW00003192,20240215,TMIN,-44,,,W,".to_owned()));
        assert!(days[0].contains(&"USW00003192,20240215,PRCP,12,,,W,".to_owned()));
        assert!(!days.concat().iter().any(|line| line.contains("TAVG")));
    }

    #[test]
    fn a_cooperative_observer_writes_the_hour_and_has_gaps() {
        let days = lines("USC00027716");
        assert!(days.concat().contains(&"USC00027716,20240215,TMIN,-44,,,7,0700".to_owned()));
        assert!(days.concat().contains(&"USC00027716,20240215,SNOW,12,,,7,".to_owned()));
        let without = days.iter().filter(|day| !day.iter().any(|line| line.contains("TMIN"))).count();
        assert!((5..80).contains(&without), "{without} of 400 days without TMIN");
    }

    #[test]
    fn a_volunteer_has_no_thermometer() {
        let all = lines("CA1QC000039").concat();
        assert!(all.contains(&"CA1QC000039,20240215,SNWD,40,,,N,".to_owned()));
        assert!(!all.iter().any(|line| line.contains(",T")));
    }

    #[test]
    fn a_foreign_station_gives_an_average_of_hours() {
        let all = lines("ASN00066062").concat();
        assert!(all.contains(&"ASN00066062,20240215,TMAX,31,,,a,".to_owned()));
        assert!(all.iter().any(|line| line.contains(",TAVG,") && line.ends_with(",H,,S,")));
    }
}
