//! A station's values at a moment, and the outlook on its night: the input of rules about hours and nights.

use std::rc::Rc;

use crate::noaa::{Date, StationView};
use crate::outlook::Distribution;

/// The median of a night.
const MEDIAN: f64 = 0.5;

/// The newest values of a station.
#[derive(Clone, Debug, PartialEq)]
pub struct MomentView {
    /// The station's place.
    pub station: Rc<StationView>,
    /// The night: the date of its evening, in the station's own time.
    pub date: Date,
    /// The measured values.
    pub hour: HourValues,
    /// The distribution of the night's lowest temperature; `None` while too little is known.
    pub night: Option<Distribution>,
}

/// The measured values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HourValues {
    /// Air temperature, in °C: `T`.
    pub temperature_c: f64,
    /// Dew point, in °C: `TD`.
    pub dew_point_c: Option<f64>,
    /// Wet-bulb temperature, in °C: `WETBULB`.
    pub wet_bulb_c: Option<f64>,
    /// Mean wind, in m/s: `WIND`.
    pub wind_m_s: Option<f64>,
    /// Relative humidity, 0 to 100: `RH`.
    pub humidity_percent: Option<f64>,
}

/// A name of an hour's value in conditions and messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HourName {
    /// `T`
    Temperature,
    /// `TD`
    DewPoint,
    /// `WETBULB`
    WetBulb,
    /// `WIND`
    Wind,
    /// `RH`
    Humidity,
}

impl HourName {
    const ALL: [Self; 5] = [Self::Temperature, Self::DewPoint, Self::WetBulb, Self::Wind, Self::Humidity];

    pub(in crate::rules) fn as_str(self) -> &'static str {
        match self {
            Self::Temperature => "T",
            Self::DewPoint => "TD",
            Self::WetBulb => "WETBULB",
            Self::Wind => "WIND",
            Self::Humidity => "RH",
        }
    }

    pub(in crate::rules) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }

    /// The value; `None` if it was not reported.
    pub(in crate::rules) fn of(self, hour: &HourValues) -> Option<f64> {
        match self {
            Self::Temperature => Some(hour.temperature_c),
            Self::DewPoint => hour.dew_point_c,
            Self::WetBulb => hour.wet_bulb_c,
            Self::Wind => hour.wind_m_s,
            Self::Humidity => hour.humidity_percent,
        }
    }
}

/// A field of `night`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rules) enum NightField {
    /// The expected lowest temperature (median), in °C.
    Min,
    /// The night gets as cold as this with a chance of 10 %, in °C.
    P10,
    /// The same with a chance of 90 %.
    P90,
}

impl NightField {
    pub(in crate::rules) const ALL: [Self; 3] = [Self::Min, Self::P10, Self::P90];

    pub(in crate::rules) fn as_str(self) -> &'static str {
        match self {
            Self::Min => "min",
            Self::P10 => "p10",
            Self::P90 => "p90",
        }
    }

    pub(in crate::rules) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }

    pub(in crate::rules) fn of(self, night: &Distribution) -> f64 {
        night.quantile(match self {
            Self::Min => MEDIAN,
            Self::P10 => 0.1,
            Self::P90 => 0.9,
        })
    }
}

#[cfg(test)]
#[path = "moment_tests.rs"]
mod tests;
