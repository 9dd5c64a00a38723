//! The value of a record in `noaa-outlooks`: a station's present values, the outlook on its night, the outcome of a
//! night.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::distribution::Distribution;
use crate::hourly::{Hour, Night};
use crate::noaa::{Date, IsoDate, IsoTime};

/// Seconds since 1970 as `2026-11-28T17:53:00Z`.
pub(super) mod iso {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::hourly::{iso_time, parse_time};

    pub(in crate::outlook) fn serialize<S: Serializer>(time: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&iso_time(*time))
    }

    pub(in crate::outlook) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<i64, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_time(&text)
            .ok_or_else(|| serde::de::Error::custom("expected a time such as 2026-11-28T17:53:00Z"))
    }
}

/// The bounds of a night.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NightBounds {
    /// The date of its evening in local standard time.
    #[schemars(with = "IsoDate")]
    pub date: String,
    /// Sunset.
    #[serde(with = "iso")]
    #[schemars(with = "IsoTime")]
    pub begins: i64,
    /// Sunrise.
    #[serde(with = "iso")]
    #[schemars(with = "IsoTime")]
    pub sunrise: i64,
    /// The end of the night: 09:00 local standard time.
    #[serde(with = "iso")]
    #[schemars(with = "IsoTime")]
    pub ends: i64,
}

impl NightBounds {
    pub(super) fn of(night: &Night) -> Self {
        Self { date: night.date.to_string(), begins: night.begins, sunrise: night.sunrise, ends: night.ends }
    }

    /// Midnight before its evening, local standard time, in seconds since 1970.
    pub fn midnight(&self) -> i64 {
        self.ends - crate::hourly::Night::LENGTH_FROM_MIDNIGHT
    }

    /// The date.
    pub fn date(&self) -> Option<Date> {
        Date::parse_iso(&self.date)
    }
}

/// The outlook for a night.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Expected {
    /// The night.
    pub night: NightBounds,
    /// The distribution of the night's lowest temperature.
    #[serde(flatten)]
    pub distribution: Distribution,
    /// The time at which the lowest temperature is expected, or was observed if it is over.
    #[serde(with = "iso")]
    #[schemars(with = "IsoTime")]
    pub lowest_at: i64,
    /// The observed air temperature in °C, at which the curve begins.
    pub temperature_c: f64,
    /// The expected temperature, hour by hour.
    pub curve: Vec<CurvePoint>,
    /// The number of nights of this station that the model has learnt from.
    pub nights: u32,
    /// The inputs of the outlook, besides the season and the day before.
    pub inputs: Vec<String>,
    /// The forecast that the outlook includes, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Guide>,
}

/// The contribution of a forecast to an outlook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Guide {
    /// The service that made it.
    pub source: String,
    /// The time at which the service made it.
    #[serde(with = "iso")]
    #[schemars(with = "crate::noaa::IsoTime")]
    pub issued: i64,
    /// The forecast lowest temperature of the night in °C.
    pub lowest_c: f64,
    /// How much warmer the station was than its forecasts on average, in K.
    pub bias_k: f64,
    /// The number of nights behind `bias_k`.
    pub nights: u32,
    /// The weight of the forecast; the model has the rest.
    #[schemars(range(min = 0, max = 1))]
    pub weight: f64,
}

/// A point of the expected curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CurvePoint {
    /// The time.
    #[serde(with = "iso")]
    #[schemars(with = "IsoTime")]
    pub time: i64,
    /// The temperature in °C that is undercut with a chance of 10 %.
    pub p10_c: f64,
    /// The same for 50 %.
    pub p50_c: f64,
    /// The same for 90 %.
    pub p90_c: f64,
}

/// How a night went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// The night.
    pub night: NightBounds,
    /// The lowest reported temperature in °C.
    pub lowest_c: f64,
    /// The time of that report.
    #[serde(with = "iso")]
    #[schemars(with = "IsoTime")]
    pub lowest_at: i64,
    /// The longest time without an observation, in minutes.
    #[schemars(range(min = 0))]
    pub longest_gap_minutes: i64,
    /// Whether that gap is so short that the night cannot have been colder than reported.
    pub is_complete: bool,
}

impl Outcome {
    pub(super) fn new(night: &Night, lowest_c: f64, lowest_at: i64, gap: i64, is_complete: bool) -> Self {
        Self {
            night: NightBounds::of(night),
            lowest_c,
            lowest_at,
            longest_gap_minutes: gap / 60,
            is_complete,
        }
    }
}

/// The values that a station's instruments show.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Observed {
    /// Air temperature in °C.
    pub temperature_c: f64,
    /// Dew point in °C.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dew_point_c: Option<f64>,
    /// Wet-bulb temperature in °C, calculated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wet_bulb_c: Option<f64>,
    /// Relative humidity in percent, calculated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub humidity_percent: Option<f64>,
    /// Mean wind in m/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wind_m_s: Option<f64>,
}

impl Observed {
    /// The values of an observation, and derived ones to a tenth, at the usual pressure of the station.
    pub fn of(hour: &Hour, pressure_hpa: f64) -> Self {
        let tenths = |value: f64| (value * 10.0).round() / 10.0;
        Self {
            temperature_c: hour.temperature_c,
            dew_point_c: hour.dew_point_c,
            wet_bulb_c: hour.wet_bulb_c(pressure_hpa).map(tenths),
            humidity_percent: hour.humidity_percent().map(f64::round),
            wind_m_s: hour.wind_m_s,
        }
    }
}

/// What a station shows, what is expected of its night, and how a night went.
///
/// A record with `observed` follows each hourly observation; it has `expected` from the afternoon to the end of the night. A
/// record with `outcome` follows the first observation after a night.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Outlook")]
pub struct OutlookRecord<S> {
    /// The station.
    pub station: S,
    /// The time of the observation. The outlook uses nothing that came later.
    #[serde(with = "iso")]
    #[schemars(with = "IsoTime")]
    pub time: i64,
    /// The current or coming night, named by the date of its evening.
    #[schemars(with = "IsoDate")]
    pub date: String,
    /// 1; more after an observation was corrected, or a late one changed something.
    #[schemars(range(min = 1))]
    pub revision: u32,
    /// The observation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
    /// The outlook for the night.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
    /// The outcome of a night.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Where the observation was read.
    #[serde(rename = "_meta", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::noaa::Meta>")]
    pub meta: Option<serde_json::Value>,
}
