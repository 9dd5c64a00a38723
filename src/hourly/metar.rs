//! METAR and SPECI: the text in which airports report their weather.
//!
//! ```text
//! METAR KSFO 310456Z 28011KT 10SM SCT110 BKN180 11/06 A3001 RMK AO2 SLP161 T01110056 $
//! ```
//!
//! Station and time come first, then groups for wind, visibility, weather, clouds, temperature and pressure. Missing
//! or damaged groups are skipped. A trend (`TEMPO`, `BECMG`) is a forecast and is not read. American remarks have the
//! temperature in tenths; otherwise it is in whole degrees. A METAR has the day of the month but not the month.

use super::metar_groups as groups;
use super::possible::without_impossible;
use super::{Hour, HourError};
use crate::noaa::{Date, StationId};

const DAY: i64 = 86_400;
/// How far a METAR's own time may be from the given date.
const DISTANCE_MAX: i64 = 3 * DAY;
/// How far whole degrees may differ from the tenths in the remarks, in K; otherwise one of them is damaged, and the
/// whole degrees count.
const ROUNDING_K: f64 = 1.0;

/// The content of a METAR.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metar {
    /// The station's ICAO id.
    pub icao: String,
    /// Day of the month, hour and minute, in UTC.
    pub clock: Option<(u8, u8, u8)>,
    /// The station sent no observation.
    pub is_nil: bool,
    /// Air temperature, in °C.
    pub temperature_c: Option<f64>,
    /// Dew point, in °C.
    pub dew_point_c: Option<f64>,
    /// Mean wind, in m/s.
    pub wind_m_s: Option<f64>,
    /// Pressure reduced to sea level, in hPa.
    pub pressure_hpa: Option<f64>,
    /// The greatest cover of a layer of clouds, 0 to 8 eighths.
    pub cloud_oktas: Option<u8>,
    /// Present weather, as written: `-RA BR`.
    pub weather: Option<String>,
}

#[derive(PartialEq)]
enum Part {
    Body,
    Trend,
    Remarks,
}

impl Metar {
    /// Reads a METAR, with or without `METAR` or `SPECI` before it.
    ///
    /// # Errors
    /// The text does not begin with a station, or its time is impossible.
    pub fn parse(text: &str) -> Result<Self, HourError> {
        let is_mark = |token: &&str| matches!(*token, "METAR" | "SPECI" | "COR" | "AUTO");
        let mut tokens = text.split_ascii_whitespace().skip_while(is_mark).peekable();
        let icao = tokens.next().unwrap_or_default();
        if !is_icao(icao) {
            let found: String = text.chars().take(40).collect();
            return Err(HourError(format!("{found:?}: a METAR begins with an ICAO id, as in KSFO")));
        }
        let mut metar = Self { icao: icao.to_owned(), ..Self::default() };
        if let Some(time) = tokens.peek().filter(|token| groups::is_time(token)) {
            let clock = groups::clock(time);
            let clock = clock.ok_or_else(|| HourError(format!("{time:?}: no such day and time")))?;
            metar.clock = Some(clock);
            tokens.next();
        }
        metar.read_groups(tokens);
        Ok(metar)
    }

    fn read_groups<'a>(&mut self, tokens: impl Iterator<Item = &'a str>) {
        let (mut part, mut whole, mut tenths) = (Part::Body, None, None);
        for token in tokens.map(|token| token.trim_end_matches('=')) {
            match token {
                "RMK" => part = Part::Remarks,
                "TEMPO" | "BECMG" | "INTER" | "NOSIG" if part == Part::Body => part = Part::Trend,
                "NIL" if part == Part::Body => self.is_nil = true,
                _ if part == Part::Trend => {}
                _ => {
                    tenths = tenths.or_else(|| groups::tenths(token));
                    if part == Part::Body {
                        whole = whole.or_else(|| groups::temperature(token));
                        self.take(token);
                    }
                }
            }
        }
        let (temperature, dew_point) = whole.unwrap_or_default();
        let (finer_temperature, finer_dew_point) = tenths.unwrap_or_default();
        self.temperature_c = finer(temperature, finer_temperature);
        self.dew_point_c = finer(dew_point, finer_dew_point);
    }

    /// Reads a group other than the temperature.
    fn take(&mut self, token: &str) {
        self.wind_m_s = self.wind_m_s.or_else(|| groups::wind_m_s(token));
        self.pressure_hpa = self.pressure_hpa.or_else(|| groups::pressure_hpa(token));
        self.cloud_oktas = self.cloud_oktas.max(groups::cloud_oktas(token));
        if groups::is_weather(token) {
            let weather = self.weather.get_or_insert_default();
            if !weather.is_empty() {
                weather.push(' ');
            }
            weather.push_str(token);
        }
    }

    /// The time of observation, in seconds since 1970: the month is that of the nearest such day to `near`. `None`
    /// without a day and time, or if that is more than three days away.
    pub fn time(&self, near: i64) -> Option<i64> {
        let (day, hour, minute) = self.clock?;
        let seconds = i64::from(hour) * 3_600 + i64::from(minute) * 60;
        let midnight = near - near.rem_euclid(DAY);
        let days = (-4..=4).map(|days| midnight + days * DAY);
        days.filter(|midnight| {
            let date = i32::try_from(midnight / DAY).ok().and_then(Date::from_days_since_1970);
            date.is_some_and(|date| date.day() == day)
        })
        .map(|midnight| midnight + seconds)
        .find(|time| (time - near).abs() <= DISTANCE_MAX)
    }

    /// The observation of a station; `None` without a temperature.
    ///
    /// # Errors
    /// A temperature that is not possible on earth; other such values are left out.
    pub fn hour(&self, station: StationId, time: i64, raw: &str) -> Result<Option<Hour>, HourError> {
        let Some(temperature) = self.temperature_c.filter(|_| !self.is_nil) else { return Ok(None) };
        let hour = Hour {
            dew_point_c: self.dew_point_c,
            wind_m_s: self.wind_m_s,
            pressure_hpa: self.pressure_hpa,
            cloud_oktas: self.cloud_oktas,
            weather: self.weather.clone(),
            source: Some("metar".to_owned()),
            raw: Some(raw.to_owned()),
            ..Hour::new(station, time, temperature)
        };
        without_impossible(hour).map(Some)
    }

    /// Whether a text looks like a METAR: it is marked as one, or begins with station and time.
    pub fn is_likely(text: &str) -> bool {
        let mut tokens = text.split_ascii_whitespace();
        match (tokens.next(), tokens.next()) {
            (Some("METAR" | "SPECI"), Some(_)) => true,
            (Some(icao), Some(time)) => is_icao(icao) && groups::is_time(time),
            _ => false,
        }
    }
}

/// Four capital letters or digits, the first a letter: `KSFO`, `K3L4`.
fn is_icao(token: &str) -> bool {
    let bytes = token.as_bytes();
    bytes.len() == 4
        && bytes[0].is_ascii_uppercase()
        && bytes.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// The tenths, if they agree with the whole degrees.
fn finer(whole: Option<f64>, tenths: Option<f64>) -> Option<f64> {
    tenths.filter(|tenths| whole.is_none_or(|whole| (whole - tenths).abs() <= ROUNDING_K)).or(whole)
}

#[cfg(test)]
#[path = "metar_tests.rs"]
mod tests;
