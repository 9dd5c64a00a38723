//! The numbers of an alert about an hour or a night: a part of its record and its notices, from which sentences are
//! made in any units and time zone.

use serde::{Deserialize, Serialize};

use crate::outlook::Observed;

/// Numbers of an alert about an hour or a night.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// When it was observed, in seconds since 1970.
    pub time: i64,
    /// How far local standard time at the station is ahead of UTC, in seconds: for subscribers without a time zone.
    pub offset: i32,
    /// The measured values; empty if an alert is about silence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
    /// Set for a rule over nights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub night: Option<NightFacts>,
    /// Set for a rule with a crop: the meaning of the limit, in a sentence with its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<String>,
}

/// Numbers about a night. Temperatures in °C, times in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NightFacts {
    /// The rule's limit, in °C.
    pub limit_c: f64,
    /// When the night ends.
    pub ends: i64,
    /// The chance that the night gets as cold as the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
    /// Quantiles of the night's lowest temperature: cold side, median, warm side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p10_c: Option<f64>,
    /// See `p10_c`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_c: Option<f64>,
    /// See `p10_c`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90_c: Option<f64>,
    /// When the lowest is expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowest_at: Option<i64>,
    /// When the limit is expected to be crossed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crossing_at: Option<i64>,
    /// If this alert reports an earlier crossing: the time that the last alert expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crossing_before: Option<i64>,
    /// The lowest temperature reported so far in this night.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowest_so_far_c: Option<f64>,
    /// How many of the rule's last warnings at this station are settled.
    #[serde(default)]
    pub warnings: u8,
    /// How many of these settled warnings came true.
    #[serde(default)]
    pub came_true: u8,
    /// How many nights the station's model has learned from.
    #[serde(default)]
    pub nights_learnt: u32,
    /// The inputs of the outlook.
    #[serde(default)]
    pub inputs: Vec<String>,
}
