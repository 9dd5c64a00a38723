//! A forecast of a station's coming night, and its document in `noaa-forecasts`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::HourError;
use super::night::{iso_time, parse_time};
use crate::noaa::{Date, IsoDate, IsoTime, StationId};

/// The range of plausible lowest temperatures, in °C.
const LOWEST_C: std::ops::RangeInclusive<f64> = -95.0..=60.0;
/// Marks a forecast in a topic that also has observations.
const MARK: &[u8] = b"\"forecast\":";

/// A service's forecast for a night at a station's place.
///
/// As JSON it is the value of a record in `noaa-forecasts`, with the station id as key. The same record goes to
/// `noaa-hourly`, so that the stage that makes outlooks reads it in one order with the observations.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// The station, by its GHCN id.
    pub station: StationId,
    /// The service: `nws`, `met-norway`.
    pub source: String,
    /// When it was made, in seconds since 1970.
    pub issued: i64,
    /// The night, by the date of its evening.
    pub night: Date,
    /// The lowest temperature of the night, in °C.
    pub lowest_c: f64,
}

/// A forecast of the coming night at a station.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Forecast")]
pub(crate) struct ForecastDocument {
    /// The station.
    #[schemars(with = "StationId")]
    station_id: String,
    /// The forecast.
    forecast: ForecastBody,
}

/// What a weather service forecasts for one night.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct ForecastBody {
    /// The service: `nws`, `met-norway`.
    #[schemars(regex(pattern = "^[a-z0-9-]{1,30}$"))]
    source: String,
    /// The time at which the service made the forecast.
    #[schemars(with = "IsoTime")]
    issued: String,
    /// The night, named by the date of its evening in local standard time.
    #[schemars(with = "IsoDate")]
    night: String,
    /// The lowest air temperature of the night in °C.
    #[schemars(range(min = -95, max = 60))]
    lowest_c: f64,
}

impl Forecast {
    /// Whether a record's value is a forecast, and not an observation.
    pub fn is_one(value: &[u8]) -> bool {
        memchr::memmem::find(value, MARK).is_some()
    }

    /// Reads a document.
    ///
    /// # Errors
    /// Invalid JSON, an invalid station, time, date or source, or a temperature out of bounds.
    pub fn parse(value: &[u8]) -> Result<Self, HourError> {
        let wrong = |what: String| HourError(format!("not a forecast: {what}"));
        let document: ForecastDocument =
            serde_json::from_slice(value).map_err(|error| wrong(error.to_string()))?;
        let ForecastDocument { station_id, forecast: ForecastBody { source, issued, night, lowest_c } } =
            document;
        let station = StationId::parse(station_id.as_bytes());
        let station = station.ok_or_else(|| wrong("station_id: expected a GHCN-Daily id".into()))?;
        let issued = parse_time(&issued);
        let issued = issued
            .ok_or_else(|| wrong("issued: expected a time in UTC, such as 2026-11-28T17:53:00Z".into()))?;
        let night = Date::parse_iso(&night);
        let night = night.ok_or_else(|| wrong("night: expected a date, such as 2026-11-28".into()))?;
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if source.is_empty() || source.len() > 30 || !source.chars().all(is_plain) {
            return Err(wrong("source: expected at most 30 lower-case letters, digits or hyphens".into()));
        }
        if !LOWEST_C.contains(&lowest_c) {
            return Err(wrong(format!(
                "lowest_c {lowest_c}: expected {} to {}",
                LOWEST_C.start(),
                LOWEST_C.end()
            )));
        }
        Ok(Self { station, source, issued, night, lowest_c })
    }

    /// The document.
    pub fn to_json(&self) -> String {
        let document = ForecastDocument {
            station_id: self.station.to_string(),
            forecast: ForecastBody {
                source: self.source.clone(),
                issued: iso_time(self.issued),
                night: self.night.to_string(),
                lowest_c: (self.lowest_c * 100.0).round() / 100.0,
            },
        };
        // Serialising strings and numbers cannot fail.
        serde_json::to_string(&document).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forecast_is_read_as_it_was_written() {
        let forecast = Forecast {
            station: StationId::parse(b"USW00014734").unwrap(),
            source: "nws".into(),
            issued: 1_764_330_000,
            night: Date::new(2025, 11, 28).unwrap(),
            lowest_c: -1.67,
        };
        let text = forecast.to_json();
        assert!(Forecast::is_one(text.as_bytes()));
        assert_eq!(Forecast::parse(text.as_bytes()), Ok(forecast));
        assert!(!Forecast::is_one(br#"{"station_id":"USW00014734","raw":"a \"forecast\": no"}"#));
        for (from, to) in
            [("-1.67", "-167"), ("\"nws\"", "\"N W\""), ("2025-11-28\"", "soon\""), ("USW", "??")]
        {
            let wrong = text.replace(from, to);
            assert!(Forecast::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
