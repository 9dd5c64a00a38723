//! A rule in its written form, in a file or in a record of the rules' topic.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::active::ActiveDefinition;
use super::near::Near;
use super::severity::Severity;
use super::subscriber::Address;

/// A rule, as in a rule file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Rule")]
pub struct Definition {
    /// The id, unique among the rules.
    pub id: String,
    /// The ids of the subscribers that get its alerts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscribers: Vec<String>,
    /// An e-mail address, instead of a subscriber.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<Address>,
    /// The station that the rule watches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub station: Option<String>,
    /// A point. The rule watches the nearest station that reports the elements of its condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub near: Option<Near>,
    /// A condition over `station`. The rule watches all stations that meet it.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub stations: Option<String>,
    /// The condition on which the rule fires. Absent if `crop` stands for it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub when: String,
    /// A crop that stands for a condition over the coming night, such as `peach`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<String>,
    /// The growth stage of the crop, as in `full bloom`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// With `crop`: the chance, 0 to 1, from which on the rule fires.
    #[schemars(range(min = 0, max = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
    /// The condition that ends an episode. A rule without it judges each day alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clear: Option<String>,
    /// How many reported days in a row must match before the rule fires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_days: Option<u16>,
    /// After how many days an episode that lasts fires again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat_days: Option<u16>,
    /// How urgent its alerts are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// The text of its alerts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The part of the year in which the rule may fire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<ActiveDefinition>,
}
