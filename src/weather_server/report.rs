//! The reports of airports: a METAR at the end of every hour, and sometimes a SPECI.

use super::times::utc_parts;
use crate::synthetic::WorldStation;
use crate::synthetic::random::{between, chance};
use crate::synthetic::{Place, Weather};

pub(super) const HOUR: i64 = 3_600;
const KNOTS_PER_M_S: f64 = 1.943_844;
const INCHES_PER_HPA: f64 = 0.029_53;
/// Share of hours with a SPECI.
const SPECI_SHARE: f64 = 0.08;

/// Whether a report is the one of the hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The report of the hour.
    Metar,
    /// A report in between, after a change of the weather.
    Speci,
}

/// One report of a station. Temperatures are in tenths of a degree Celsius; a fault may remove or change them.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The station's ICAO id.
    pub icao: String,
    /// When it was observed, in seconds since 1970.
    pub observed: i64,
    /// When it appears in the cache, in seconds since 1970.
    pub published: i64,
    /// METAR or SPECI.
    pub kind: Kind,
    /// Whether it replaces an earlier one.
    pub is_correction: bool,
    /// Air temperature.
    pub temperature: Option<i32>,
    /// Dew point.
    pub dew_point: Option<i32>,
    /// Mean wind, in knots.
    pub wind_knots: u32,
    /// Wind direction, in tens of degrees.
    pub wind_tens: u32,
    /// Cloud cover, in eighths.
    pub cloud_oktas: u8,
    /// Pressure, in hPa.
    pub pressure_hpa: f64,
    /// Highest and lowest temperature of the last 6 hours, at 00, 06, 12 and 18 UTC.
    pub six_hours: Option<(i32, i32)>,
    /// The same of 24 hours, at local midnight.
    pub day: Option<(i32, i32)>,
    /// Whether the text has the American form.
    pub is_american: bool,
}

/// The temperature in the report of an hour; hours are counted from 1970.
pub(super) fn hour_tenths(station: &WorldStation, place: &Place, minute: i64, hour: i64) -> i32 {
    shown_tenths(station, place.temperature_c(hour * HOUR + minute * 60))
}

/// In tenths; only American reports are more precise than whole degrees.
fn shown_tenths(station: &WorldStation, celsius: f64) -> i32 {
    if station.is_american() { (celsius * 10.0).round() as i32 } else { celsius.round() as i32 * 10 }
}

/// The minute of the hour at which a station observes.
pub(super) fn minute(station: &WorldStation, key: u64) -> i64 {
    if station.is_american() { between(51, 57, &[key, 1]) } else { 50 }
}

/// The reports of one hour, by time. The key is the seed mixed with the station's number.
pub(super) fn reports_of_hour(station: &WorldStation, place: &Place, key: u64, hour: i64) -> Vec<Report> {
    let Some(icao) = &station.station.icao else { return Vec::new() };
    let bits = hour.cast_unsigned();
    let make = |kind: Kind, minute: i64| {
        let observed = hour * HOUR + minute * 60;
        let delay = between(60, 300, &[key, bits, kind as u64]);
        let weather = place.weather(observed);
        plain(station, icao, weather, kind, (observed, observed + delay))
    };
    let minute = minute(station, key);
    let mut reports = Vec::new();
    if chance(SPECI_SHARE, &[key, bits, 2]) {
        reports.push(make(Kind::Speci, between(12, 36, &[key, bits, 3])));
    }
    let mut routine = make(Kind::Metar, minute);
    let extremes = |hours: i64| {
        let tenths = (hour - hours + 1..=hour).map(|hour| hour_tenths(station, place, minute, hour));
        tenths.fold((i32::MIN, i32::MAX), |(high, low), one| (high.max(one), low.min(one)))
    };
    if station.is_american() && (hour + 1) % 6 == 0 {
        routine.six_hours = Some(extremes(6));
    }
    if station.is_american() && ((hour + 1) * HOUR + station.utc_offset).rem_euclid(24 * HOUR) == 0 {
        routine.day = Some(extremes(24));
    }
    reports.push(routine);
    reports
}

fn plain(station: &WorldStation, icao: &str, weather: Weather, kind: Kind, times: (i64, i64)) -> Report {
    let knots = (weather.wind_m_s * KNOTS_PER_M_S).round() as u32;
    Report {
        icao: icao.to_owned(),
        observed: times.0,
        published: times.1,
        kind,
        is_correction: false,
        temperature: Some(shown_tenths(station, weather.temperature_c)),
        dew_point: Some(shown_tenths(station, weather.dew_point_c)),
        wind_knots: knots,
        wind_tens: if knots == 0 { 0 } else { weather.wind_tens },
        cloud_oktas: weather.cloud_oktas,
        pressure_hpa: (weather.pressure_hpa * 10.0).round() / 10.0,
        six_hours: None,
        day: None,
        is_american: station.is_american(),
    }
}

impl Report {
    /// The text, without `METAR` or `SPECI` before it.
    pub fn text(&self) -> String {
        let (day, hour, minute) = utc_parts(self.observed);
        let correction = if self.is_correction { " COR" } else { "" };
        let (wind, knots) = (self.wind_tens * 10, self.wind_knots);
        let head = format!("{} {day:02}{hour:02}{minute:02}Z{correction} {wind:03}{knots:02}KT", self.icao);
        let temperatures = self.whole_degrees();
        let (cover, height) = self.sky();
        if !self.is_american {
            let sky = if cover == "CLR" { "CAVOK".to_owned() } else { format!("9999 {cover}{height}") };
            return format!("{head} {sky} {temperatures} Q{:04.0} NOSIG", self.pressure_hpa);
        }
        let visibility = if self.kind == Kind::Speci { "2SM BR" } else { "10SM" };
        let inches = self.altimeter_inches() * 100.0;
        let sea_level = (self.pressure_hpa * 10.0).round() as i64 % 1_000;
        format!(
            "{head} {visibility} {cover}{height} {temperatures} A{inches:04.0} RMK AO2 SLP{sea_level:03}{}",
            self.remarks()
        )
    }

    /// The altimeter setting, in inches of mercury, to hundredths.
    pub(super) fn altimeter_inches(&self) -> f64 {
        (self.pressure_hpa * INCHES_PER_HPA * 100.0).round() / 100.0
    }

    /// The cover of the one layer and its height in hundreds of feet; no height under a clear sky.
    pub(super) fn sky(&self) -> (&'static str, &'static str) {
        match self.cloud_oktas {
            0 => ("CLR", ""),
            1..=2 => ("FEW", "250"),
            3..=4 => ("SCT", "110"),
            5..=7 => ("BKN", "060"),
            _ => ("OVC", "030"),
        }
    }

    fn whole_degrees(&self) -> String {
        let whole = |tenths: Option<i32>| match tenths {
            // Half a degree is rounded towards the warm side.
            Some(tenths) if tenths < 0 => format!("M{:02}", (4 - tenths) / 10),
            Some(tenths) => format!("{:02}", (tenths + 5) / 10),
            None => "M".to_owned(),
        };
        format!("{}/{}", whole(self.temperature), whole(self.dew_point))
    }

    fn remarks(&self) -> String {
        let signed = |tenths: i32| format!("{}{:03}", i32::from(tenths < 0), tenths.abs());
        let mut text = String::new();
        if let (Some(temperature), Some(dew_point)) = (self.temperature, self.dew_point) {
            text.push_str(&format!(" T{}{}", signed(temperature), signed(dew_point)));
        }
        if let Some((high, low)) = self.six_hours {
            text.push_str(&format!(" 1{} 2{}", signed(high), signed(low)));
        }
        if let Some((high, low)) = self.day {
            text.push_str(&format!(" 4{}{}", signed(high), signed(low)));
        }
        text
    }
}
