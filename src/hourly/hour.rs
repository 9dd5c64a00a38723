//! One observation, and its document in `noaa-hourly`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::night::{iso_time, parse_time};
use crate::noaa::{IsoTime, StationId};

/// The range of plausible air temperatures, in °C: slightly beyond the world's records.
const TEMPERATURE_C: (f64, f64) = (-95.0, 60.0);
/// The same for the dew point.
const DEW_POINT_C: (f64, f64) = (-110.0, 40.0);
/// How far a dew point may be above the temperature, in K: both are rounded.
const SUPERSATURATION_K: f64 = 1.0;
/// Strongest wind, in m/s.
const WIND_M_S: (f64, f64) = (0.0, 120.0);
/// Pressure at the station or at sea level, in hPa.
const PRESSURE_HPA: (f64, f64) = (450.0, 1_100.0);
/// A completely covered sky, in eighths.
const OKTAS_MAX: u8 = 8;
/// Longest text of a field, in bytes.
const TEXT_BYTES_MAX: usize = 1_000;

/// The measurements of a station at one moment.
///
/// As JSON it is the value of a record in `noaa-hourly`, with the station id as key.
#[derive(Clone, Debug, PartialEq)]
pub struct Hour {
    /// The station, by its GHCN id.
    pub station: StationId,
    /// When it was observed, in seconds since 1970.
    pub time: i64,
    /// Air temperature, in °C. Always present, because an observation without it says nothing about frost.
    pub temperature_c: f64,
    /// Dew point, in °C.
    pub dew_point_c: Option<f64>,
    /// Mean wind, in m/s.
    pub wind_m_s: Option<f64>,
    /// Pressure, in hPa.
    pub pressure_hpa: Option<f64>,
    /// Cloud cover, 0 to 8 eighths.
    pub cloud_oktas: Option<u8>,
    /// Present weather as the source writes it: `-RA`, `FG`.
    pub weather: Option<String>,
    /// The source: `hourly-csv`, `ghcnh`, `metar`.
    pub source: Option<String>,
    /// The text it was read from, if that has more information than the fields.
    pub raw: Option<String>,
}

/// Why a text is not an observation, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HourError(pub String);

/// An hourly observation: what the instruments of a station showed at one time.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "HourlyObservation")]
pub(crate) struct HourDocument {
    /// The station.
    #[schemars(with = "StationId")]
    station_id: String,
    /// The time of the observation.
    #[schemars(with = "IsoTime")]
    time: String,
    /// Air temperature in °C.
    #[schemars(range(min = -95, max = 60))]
    temperature_c: f64,
    /// Dew point in °C.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dew_point_c: Option<f64>,
    /// Mean wind in m/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wind_m_s: Option<f64>,
    /// Pressure in hPa, at the station or at sea level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pressure_hpa: Option<f64>,
    /// Eighths of the sky that are covered, 0 to 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cloud_oktas: Option<u8>,
    /// Present weather as the source writes it: `-RA`, `FG`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weather: Option<String>,
    /// The source of the observation: `hourly-csv`, `ghcnh`, `metar`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// The text that the observation was read from, if it has more than the fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
}

impl Hour {
    /// An observation with only a temperature.
    pub fn new(station: StationId, time: i64, temperature_c: f64) -> Self {
        Self {
            station,
            time,
            temperature_c,
            dew_point_c: None,
            wind_m_s: None,
            pressure_hpa: None,
            cloud_oktas: None,
            weather: None,
            source: None,
            raw: None,
        }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// Invalid JSON, an invalid time or station, or a temperature out of bounds.
    pub fn parse(value: &[u8]) -> Result<Self, HourError> {
        let document: HourDocument = serde_json::from_slice(value)
            .map_err(|error| HourError(format!("not an hourly observation: {error}")))?;
        let station = StationId::parse(document.station_id.as_bytes()).ok_or_else(|| {
            HourError(format!("station_id {:?}: expected a GHCN-Daily id", short(&document.station_id)))
        })?;
        let time = parse_time(&document.time).ok_or_else(|| {
            let found = short(&document.time);
            HourError(format!("time {found:?}: expected a time in UTC, such as 2026-11-28T17:53:00Z"))
        })?;
        let mut hour = Self {
            station,
            time,
            temperature_c: document.temperature_c,
            dew_point_c: document.dew_point_c,
            wind_m_s: document.wind_m_s,
            pressure_hpa: document.pressure_hpa,
            cloud_oktas: document.cloud_oktas,
            weather: document.weather,
            source: document.source,
            raw: document.raw,
        };
        hour.check()?;
        Ok(hour)
    }

    /// Checks that the temperature is possible on earth, and removes other impossible values: a broken wind gauge
    /// does not discredit the thermometer.
    ///
    /// # Errors
    /// A temperature out of bounds, or a text that is too long.
    pub fn check(&mut self) -> Result<(), HourError> {
        let (low, high) = TEMPERATURE_C;
        if !is_within(self.temperature_c, TEMPERATURE_C) {
            return Err(HourError(format!("temperature_c {}: expected {low} to {high}", self.temperature_c)));
        }
        let ceiling = self.temperature_c + SUPERSATURATION_K;
        self.dew_point_c.take_if(|dew_point| !is_within(*dew_point, DEW_POINT_C) || *dew_point > ceiling);
        self.wind_m_s.take_if(|wind| !is_within(*wind, WIND_M_S));
        self.pressure_hpa.take_if(|pressure| !is_within(*pressure, PRESSURE_HPA));
        self.cloud_oktas.take_if(|oktas| *oktas > OKTAS_MAX);
        let texts = [("weather", &self.weather), ("source", &self.source), ("raw", &self.raw)];
        let is_long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.len() > TEXT_BYTES_MAX);
        match texts.into_iter().find(|(_, text)| is_long(text)) {
            Some((name, _)) => Err(HourError(format!("{name} has more than {TEXT_BYTES_MAX} bytes"))),
            None => Ok(()),
        }
    }

    /// The document.
    pub fn to_json(&self) -> String {
        let document = HourDocument {
            station_id: self.station.to_string(),
            time: iso_time(self.time),
            temperature_c: self.temperature_c,
            dew_point_c: self.dew_point_c,
            wind_m_s: self.wind_m_s,
            pressure_hpa: self.pressure_hpa,
            cloud_oktas: self.cloud_oktas,
            weather: self.weather.clone(),
            source: self.source.clone(),
            raw: self.raw.clone(),
        };
        // Strings and numbers within bounds: this cannot fail.
        serde_json::to_string(&document).unwrap_or_default()
    }

    /// Relative humidity, in percent, if the dew point is known.
    pub fn humidity_percent(&self) -> Option<f64> {
        self.dew_point_c.map(|dew_point| super::moisture::humidity_percent(self.temperature_c, dew_point))
    }

    /// Wet-bulb temperature at this pressure, in °C, if the dew point is known.
    pub fn wet_bulb_c(&self, pressure_hpa: f64) -> Option<f64> {
        let temperature = self.temperature_c;
        self.dew_point_c.map(|dew_point| super::moisture::wet_bulb_c(temperature, dew_point, pressure_hpa))
    }
}

fn is_within(value: f64, (min, max): (f64, f64)) -> bool {
    (min..=max).contains(&value)
}

/// The first characters of a text from outside.
fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_comes_back_as_it_was() {
        let text = r#"{"station_id":"USW00014734","time":"2013-01-01T06:00:00Z","temperature_c":3.9,"dew_point_c":-3.3,"wind_m_s":4.6}"#;
        let hour = Hour::parse(text.as_bytes()).unwrap();
        assert_eq!(hour.to_json(), text);
        assert_eq!(hour.time, 1_357_020_000);
    }

    #[test]
    fn an_impossible_temperature_is_refused_and_other_values_are_left_out() {
        let parse = |rest: &str| {
            let text = format!(r#"{{"station_id":"USW00014734","time":"2013-01-01T06:00:00Z",{rest}}}"#);
            Hour::parse(text.as_bytes()).map_err(|error| error.to_string())
        };
        for (rest, name) in [
            (r#""temperature_c":99.9"#, "temperature_c"),
            (r#""temperature_c":1e999"#, "not an hourly"),
            (r#""dew_point_c":1.0"#, "temperature_c"),
        ] {
            let error = parse(rest).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
        let plain = parse(r#""temperature_c":1.0"#).unwrap();
        for rest in [
            r#""dew_point_c":9.0"#,
            r#""dew_point_c":1806.0"#,
            r#""wind_m_s":468.7"#,
            r#""pressure_hpa":29.92"#,
            r#""cloud_oktas":9"#,
        ] {
            assert_eq!(parse(&format!(r#""temperature_c":1.0,{rest}"#)).unwrap(), plain, "{rest}");
        }
        let late = r#"{"station_id":"USW00014734","time":"yesterday","temperature_c":1.0}"#;
        assert!(Hour::parse(late.as_bytes()).unwrap_err().0.contains("yesterday"));
    }
}
