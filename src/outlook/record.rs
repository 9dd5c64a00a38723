//! The value of a record in `noaa-outlooks`: a station's present values, the outlook on its night, the outcome of a
//! night.

use serde::{Deserialize, Serialize};

use super::distribution::Distribution;
use super::guidance::Guide;
use crate::hourly::{Hour, Night};
use crate::noaa::Date;

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

/// A night's bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NightBounds {
    /// The date of its evening, local standard time.
    pub date: String,
    /// Sunset.
    #[serde(with = "iso")]
    pub begins: i64,
    /// Sunrise.
    #[serde(with = "iso")]
    pub sunrise: i64,
    /// 09:00 local standard time.
    #[serde(with = "iso")]
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

/// The outlook on a night.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// The night.
    pub night: NightBounds,
    /// The distribution of its lowest temperature.
    #[serde(flatten)]
    pub distribution: Distribution,
    /// When its lowest temperature is expected, or was.
    #[serde(with = "iso")]
    pub lowest_at: i64,
    /// The observed temperature, in °C: the start of the curve.
    pub temperature_c: f64,
    /// The expected temperature hour by hour, for quantiles of the night's lowest.
    pub curve: Vec<CurvePoint>,
    /// How many nights of this station the model has learned from.
    pub nights: u32,
    /// Its inputs, besides the season and the previous day.
    pub inputs: Vec<String>,
    /// The forecast that it uses, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Guide>,
}

/// A point of the expected curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The time.
    #[serde(with = "iso")]
    pub time: i64,
    /// Cold side of the band, in °C.
    pub p10_c: f64,
    /// Middle, in °C.
    pub p50_c: f64,
    /// Warm side of the band, in °C.
    pub p90_c: f64,
}

/// The outcome of a night.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The night.
    pub night: NightBounds,
    /// Its lowest reported temperature, in °C.
    pub lowest_c: f64,
    /// When that was observed.
    #[serde(with = "iso")]
    pub lowest_at: i64,
    /// The longest time without an observation, in minutes.
    pub longest_gap_minutes: i64,
    /// Whether that is short enough to be sure that it was not colder.
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

/// The measured values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Air temperature, in °C.
    pub temperature_c: f64,
    /// Dew point, in °C.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dew_point_c: Option<f64>,
    /// Wet bulb, in °C.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wet_bulb_c: Option<f64>,
    /// Relative humidity, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub humidity_percent: Option<f64>,
    /// Mean wind, in m/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wind_m_s: Option<f64>,
}

impl Observed {
    /// The values of an observation, and derived ones to a tenth.
    pub fn of(hour: &Hour) -> Self {
        let tenths = |value: f64| (value * 10.0).round() / 10.0;
        Self {
            temperature_c: hour.temperature_c,
            dew_point_c: hour.dew_point_c,
            wet_bulb_c: hour.wet_bulb_c().map(tenths),
            humidity_percent: hour.humidity_percent().map(f64::round),
            wind_m_s: hour.wind_m_s,
        }
    }
}

/// A record of `noaa-outlooks`, keyed by station id. `station` is the station as in observations.
///
/// A record with `observed` comes with each observation; it has `expected` from the afternoon to the end of the
/// night. A record with `outcome` comes with the first observation after a night.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutlookRecord<S> {
    /// The station.
    pub station: S,
    /// The time of observation: an outlook uses no later data.
    #[serde(with = "iso")]
    pub time: i64,
    /// The present or coming night: the date of its evening.
    pub date: String,
    /// 1, or more if an observation was corrected, or a late one changed something.
    pub revision: u32,
    /// The measured values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
    /// The outlook on the night.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
    /// The outcome of a night.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The place of the observation: topic, partition and offset.
    #[serde(rename = "_meta", default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<serde_json::Value>,
}
