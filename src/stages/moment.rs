//! What an alert about an hour or a night says in numbers: a part of its record and of its notices, from which sentences are
//! made in anybody's units and time zone.

use serde::{Deserialize, Serialize};

use crate::outlook::Observed;

/// Numbers of an alert about an hour or a night.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// When it was observed, in seconds since 1970.
    pub time: i64,
    /// Local standard time is so far ahead of UTC at the station, in seconds: for who says no time zone.
    pub offset: i32,
    /// What the instruments showed; nothing where an alert is about silence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
    /// Of a rule over nights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub night: Option<NightFacts>,
    /// Of a rule that names a crop: what the limit means, in a sentence with its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<String>,
}

/// Numbers about a night. Temperatures in °C, times in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NightFacts {
    /// The rule's limit.
    pub limit_c: f64,
    /// When the night ends.
    pub ends: i64,
    /// The chance that the night gets as cold as the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
    /// Quantiles of the night's lowest: cold side, middle, warm side.
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
    /// When the last alert expected that, where this one says that it moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crossing_before: Option<i64>,
    /// The lowest that was reported in this night.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowest_so_far_c: Option<f64>,
    /// How many of the last warnings of the rule at this station are settled,
    #[serde(default)]
    pub warnings: u8,
    /// and how many of them came true.
    #[serde(default)]
    pub came_true: u8,
    /// From how many nights the station's model has learnt.
    #[serde(default)]
    pub nights_learnt: u32,
    /// What the outlook was made from.
    #[serde(default)]
    pub inputs: Vec<String>,
}
