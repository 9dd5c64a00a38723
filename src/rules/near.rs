//! A point that a rule is near to, and the station that was found for it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Problems;
use crate::noaa::StationId;

/// Default distance limit of a station, in kilometres.
const MAX_KM: f64 = 100.0;

/// A point on the earth, and how far away a station may be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Near {
    /// Latitude in degrees, north positive.
    pub lat: f64,
    /// Longitude in degrees, east positive.
    pub lon: f64,
    /// Metres above sea level, to show how much higher or lower the station is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elevation: Option<f64>,
    /// How far away the station may be, in kilometres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_km: Option<f64>,
}

impl Near {
    /// How far away a station may be, in kilometres.
    pub fn max_km(&self) -> f64 {
        self.max_km.unwrap_or(MAX_KM)
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        let mut within = |name: &str, value: f64, min: f64, max: f64| {
            if !(min..=max).contains(&value) {
                problems.add("near", 0, format!("{name} = {value}: expected {min} to {max}"));
            }
        };
        within("lat", self.lat, -90.0, 90.0);
        within("lon", self.lon, -180.0, 180.0);
        within("max_km", self.max_km.unwrap_or(1.0), 0.1, 20_000.0);
        within("elevation", self.elevation.unwrap_or(0.0), -500.0, 9_000.0);
    }
}

/// The station that was found for the point of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "NearestStation")]
pub struct Nearest {
    /// The id of the station.
    pub station: StationId,
    /// The name of the station.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The distance in kilometres.
    pub km: f64,
    /// How many metres the station is higher than the point; absent if an elevation is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub higher_by_m: Option<f64>,
}
