//! The document of an alert of a rule over days, as a type: for its JSON Schema only. `alert_record.rs` writes it.

use schemars::JsonSchema;
use serde_json::Value;

use crate::noaa::{IsoDay, Meta, PartialStation, add_elements};
use crate::rules::{Severity, Transition};

/// An alert of a rule over days. It has the fields of the observation too, if it is about the day of that observation.
#[derive(JsonSchema)]
#[schemars(rename = "DayAlert", transform = add_elements, extend("not" = { "required": ["moment"] }))]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct DayAlertDocument {
    /// The station.
    station: PartialStation,
    /// The day that the alert is about, in the station's own time.
    #[schemars(with = "IsoDay")]
    date: String,
    /// `STATION/DATE`.
    #[serde(rename = "_id")]
    id: String,
    /// Where the observation was read that led to the alert.
    #[serde(rename = "_meta")]
    meta: Meta,
    /// The e-mail address that the rule names.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// The id of the alert, the same however often it is made: `RULE/STATION/DATE/TRANSITION`, with a number after it if
    /// the day has more than one of a kind.
    alert_id: String,
    /// The id of the rule.
    rule_id: String,
    /// What has happened.
    transition: Transition,
    /// How urgent the alert is. Absent if the rule has no severity: then it is a `warning`.
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<Severity>,
    /// The id of the alert that this one withdraws.
    #[serde(skip_serializing_if = "Option::is_none")]
    retracts: Option<String>,
    /// The alerts of one episode have this in common: `RULE/STATION/FIRST-DAY`. Absent if the rule has no episodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    episode: Option<String>,
    /// The condition of the rule.
    when: String,
    /// The condition that ends an episode.
    #[serde(skip_serializing_if = "Option::is_none")]
    clear: Option<String>,
    /// The alert in one readable line.
    message: String,
    /// The version of the published rule. Absent if the rule comes from a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule_version: Option<u32>,
    /// The day of the episode, counted from 1. Absent if the rule has no episodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<i32>,
    /// The ids of the subscribers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscribers: Vec<String>,
    /// The values of the elements in the condition: a number, an object if there are several, or null if the alert is about
    /// another day than the observation.
    #[schemars(extend("type" = ["number", "object", "null"]))]
    value: Value,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::alert_record::OWN_FIELDS;

    #[test]
    fn each_field_of_an_alert_is_described() {
        let schema = schemars::schema_for!(DayAlertDocument);
        let properties = schema.get("properties").and_then(Value::as_object).unwrap();
        for field in OWN_FIELDS {
            assert!(properties.contains_key(field), "{field}");
        }
    }
}
