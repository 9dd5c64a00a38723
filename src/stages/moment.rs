//! The numbers of an alert about an hour or a night: a part of its record and its notices, from which sentences are
//! made in any units and time zone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::outlook::Observed;

/// The numbers of an alert about an hour or a night.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    /// The time of the observation, in seconds since 1970.
    pub time: i64,
    /// How far local standard time at the station is ahead of UTC, in seconds.
    pub offset: i32,
    /// The observation; absent if the station is silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
    /// Numbers about the night, for rules over nights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub night: Option<NightFacts>,
    /// The meaning of the limit in a sentence with its source, for rules that name a crop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<String>,
}

/// Numbers about a night. Temperatures are in °C, times in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NightFacts {
    /// The limit of the rule in °C.
    pub limit_c: f64,
    /// The end of the night, in seconds since 1970.
    pub ends: i64,
    /// The chance that the night reaches the limit, 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
    /// The lowest temperature of the night is below this one, in °C, with a chance of 10 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p10_c: Option<f64>,
    /// The same with a chance of 50 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_c: Option<f64>,
    /// The same with a chance of 90 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90_c: Option<f64>,
    /// The time at which the lowest temperature is expected, or was reported; in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowest_at: Option<i64>,
    /// The time at which the limit is expected to be reached, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crossing_at: Option<i64>,
    /// The time that the last alert expected for that, if it has changed since; in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crossing_before: Option<i64>,
    /// The lowest temperature reported so far in this night, in °C.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowest_so_far_c: Option<f64>,
    /// The number of the rule's last warnings at this station whose nights are over.
    #[serde(default)]
    pub warnings: u8,
    /// The number of these warnings that came true.
    #[serde(default)]
    pub came_true: u8,
    /// The number of nights that the station's model has learnt from.
    #[serde(default)]
    pub nights_learnt: u32,
    /// The inputs of the outlook.
    #[serde(default)]
    pub inputs: Vec<String>,
}
