//! The topics: their logical names, what Kafka calls them, partitions and cleanup.

use serde::{Deserialize, Serialize};

use super::{Config, ConfigError};
use crate::stages::StageName;

/// Logical names of topics; what Kafka calls them may differ.
pub mod topic {
    /// GHCN lines, keyed by station id.
    pub const CSV_RAW: &str = "noaa-csv-raw";
    /// JSON records with a `station_id`, or arrays of them.
    pub const RAW: &str = "noaa-raw";
    /// Enriched observations.
    pub const JSON: &str = "noaa-json";
    /// The observations that the filter kept.
    pub const JSON_US_AZ: &str = "noaa-json-us-az";
    /// Alerts.
    pub const ALERTS: &str = "noaa-json-alerts";
    /// What each recipient is told of each alert, keyed by recipient.
    pub const NOTICES: &str = "noaa-notices";
    /// What became of messages.
    pub const DELIVERIES: &str = "noaa-deliveries";
    /// Station metadata; compacted.
    pub const STATIONS: &str = "noaa-stations";
    /// Rules and subscribers; compacted.
    pub const RULES: &str = "noaa-rules";
    /// Records that could not be processed.
    pub const DEAD_LETTERS: &str = "noaa-dead-letters";

    /// All of them, upstream first.
    pub const ALL: [&str; 10] =
        [CSV_RAW, RAW, JSON, JSON_US_AZ, ALERTS, NOTICES, DELIVERIES, STATIONS, RULES, DEAD_LETTERS];
}

/// As in the talk.
const PARTITIONS: i32 = 5;

/// What `[topics]` says about one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicConfig {
    /// Its name in Kafka, taken as it stands, without the namespace.
    pub name: Option<String>,
    /// Its partitions.
    pub partitions: Option<i32>,
    /// Its replication factor; the broker's default where it is missing.
    pub replication: Option<i32>,
}

/// A topic as it shall be in Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    /// Its name in Kafka.
    pub name: String,
    /// Its partitions.
    pub partitions: i32,
    /// Its replication factor; `None`: the broker's default.
    pub replication: Option<i32>,
    /// Whether only the newest record of each key is kept.
    pub is_compacted: bool,
    /// Largest record, in bytes, where it differs from the broker's default.
    pub record_bytes_max: Option<usize>,
}

impl Config {
    /// The topic with this logical name.
    pub fn topic(&self, logical: &str) -> TopicPlan {
        let found = self.topics.get(logical).cloned().unwrap_or_default();
        let is_dead_letters = logical == topic::DEAD_LETTERS;
        TopicPlan {
            name: found.name.unwrap_or_else(|| format!("{}{logical}", self.kafka.namespace)),
            // One partition keeps all changes of rules in one order.
            partitions: found.partitions.unwrap_or(if logical == topic::RULES { 1 } else { PARTITIONS }),
            replication: found.replication,
            is_compacted: matches!(logical, topic::STATIONS | topic::RULES),
            // A dead letter is the original and its headers: larger than the largest original.
            record_bytes_max: is_dead_letters.then_some(self.runtime.value_bytes_max + 1_100_000),
        }
    }

    /// The changelog of a stateful stage: as many partitions as its source.
    pub fn changelog(&self, stage: StageName) -> TopicPlan {
        let logical = changelog_name(stage);
        let source = self.topic(self.source_of(stage));
        let found = self.topics.get(&logical).cloned().unwrap_or_default();
        TopicPlan {
            name: found.name.unwrap_or_else(|| format!("{}{logical}", self.kafka.namespace)),
            partitions: found.partitions.unwrap_or(source.partitions),
            replication: found.replication.or(source.replication),
            is_compacted: true,
            record_bytes_max: None,
        }
    }

    /// Every topic of this installation.
    pub fn all_topics(&self) -> Vec<TopicPlan> {
        let data = topic::ALL.iter().map(|logical| self.topic(logical));
        let stateful = StageName::ALL.into_iter().filter(|stage| stage.is_stateful());
        data.chain(stateful.map(|stage| self.changelog(stage))).collect()
    }

    /// What Kafka calls the topic that a user names: a logical name is resolved, any other stands as it is.
    pub fn resolve_topic(&self, name: &str) -> String {
        let changelog = StageName::ALL.into_iter().find(|stage| changelog_name(*stage) == name);
        match changelog {
            Some(stage) if stage.is_stateful() => self.changelog(stage).name,
            _ if topic::ALL.contains(&name) => self.topic(name).name,
            _ => name.to_owned(),
        }
    }
}

fn changelog_name(stage: StageName) -> String {
    format!("frostline-{stage}-changelog")
}

pub(super) fn validate(name: &str, config: &TopicConfig) -> Result<(), ConfigError> {
    let key = format!("topics.{name}");
    let is_changelog =
        StageName::ALL.into_iter().any(|stage| stage.is_stateful() && changelog_name(stage) == name);
    if !topic::ALL.contains(&name) && !is_changelog {
        let known = topic::ALL.join(", ");
        return Err(ConfigError::of_key(&key, format!("unknown topic: expected one of {known}")));
    }
    if config.partitions.is_some_and(|partitions| !(1..=10_000).contains(&partitions)) {
        return Err(ConfigError::of_key(&format!("{key}.partitions"), "expected 1 to 10000".into()));
    }
    if config.replication.is_some_and(|replication| !(1..=100).contains(&replication)) {
        return Err(ConfigError::of_key(&format!("{key}.replication"), "expected 1 to 100".into()));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_sound = |name: &String| !name.is_empty() && name.len() <= 249 && name.chars().all(plain);
    if config.name.as_ref().is_some_and(|name| !is_sound(name)) {
        let expected = "expected at most 249 letters, digits, `.`, `_` or `-`";
        return Err(ConfigError::of_key(&format!("{key}.name"), expected.into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_goes_before_all_names_but_those_given() {
        let mut config = Config::default();
        config.kafka.namespace = "test.".into();
        let given =
            TopicConfig { name: Some("weather.enriched".into()), partitions: Some(12), replication: None };
        config.topics.insert(topic::JSON.into(), given);
        assert_eq!(config.topic(topic::CSV_RAW).name, "test.noaa-csv-raw");
        assert_eq!(config.topic(topic::JSON).name, "weather.enriched");
        assert_eq!(config.group(StageName::Filter), "test.frostline-filter");
        assert_eq!(config.changelog(StageName::Assemble).name, "test.frostline-assemble-changelog");
        config.alert.source = topic::JSON.into();
        assert_eq!(config.changelog(StageName::Alert).partitions, 12);
        assert_eq!(config.resolve_topic("noaa-raw"), "test.noaa-raw");
        assert_eq!(config.resolve_topic("other"), "other");
    }
}
