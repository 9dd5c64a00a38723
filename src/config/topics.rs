//! The topics: logical names, names in Kafka, partitions and cleanup.

pub use frostline_engine::TopicPlan;
use serde::{Deserialize, Serialize};

use super::{Config, ConfigError};

/// Logical names of topics; their names in Kafka may differ.
pub mod topic {
    /// GHCN lines, keyed by station id.
    pub const CSV_RAW: &str = "noaa-csv-raw";
    /// JSON records with a `station_id`, or arrays of them.
    pub const RAW: &str = "noaa-raw";
    /// Enriched observations.
    pub const JSON: &str = "noaa-json";
    /// Hourly observations, keyed by station id.
    pub const HOURLY: &str = "noaa-hourly";
    /// Forecasts of the coming night, keyed by station id.
    pub const FORECASTS: &str = "noaa-forecasts";
    /// How cold the coming night becomes, computed with each hourly observation.
    pub const OUTLOOKS: &str = "noaa-outlooks";
    /// The observations that the filter keeps.
    pub const JSON_US_AZ: &str = "noaa-json-us-az";
    /// Alerts.
    pub const ALERTS: &str = "noaa-json-alerts";
    /// One notice per alert and recipient, keyed by recipient.
    pub const NOTICES: &str = "noaa-notices";
    /// The outcomes of messages.
    pub const DELIVERIES: &str = "noaa-deliveries";
    /// Station metadata; compacted.
    pub const STATIONS: &str = "noaa-stations";
    /// Rules and subscribers; compacted.
    pub const RULES: &str = "noaa-rules";
    /// Records that could not be processed.
    pub const DEAD_LETTERS: &str = "noaa-dead-letters";

    /// The state of `assemble`; compacted.
    pub const ASSEMBLE_CHANGELOG: &str = "frostline-assemble-changelog";
    /// The state of `alert`; compacted.
    pub const ALERT_CHANGELOG: &str = "frostline-alert-changelog";
    /// The nights so far and the models of `outlook`; compacted.
    pub const OUTLOOK_CHANGELOG: &str = "frostline-outlook-changelog";
    /// The warnings of `watch`; compacted.
    pub const WATCH_CHANGELOG: &str = "frostline-watch-changelog";
    /// The state of `deliver`; compacted.
    pub const DELIVER_CHANGELOG: &str = "frostline-deliver-changelog";

    /// The positions of sources; compacted, with a partition for each source.
    pub const POSITIONS: &str = "frostline-positions";

    /// All topics, upstream first; changelogs and positions come last.
    pub const ALL: [&str; 19] = [
        CSV_RAW,
        RAW,
        JSON,
        JSON_US_AZ,
        HOURLY,
        FORECASTS,
        OUTLOOKS,
        ALERTS,
        NOTICES,
        DELIVERIES,
        STATIONS,
        RULES,
        DEAD_LETTERS,
        ASSEMBLE_CHANGELOG,
        ALERT_CHANGELOG,
        OUTLOOK_CHANGELOG,
        WATCH_CHANGELOG,
        DELIVER_CHANGELOG,
        POSITIONS,
    ];
}

/// As in the talk.
const PARTITIONS: i32 = 5;

/// One partition for each source that there may ever be.
const POSITIONS_PARTITIONS: i32 = 8;

/// Retention of lines and observations: long enough to rebuild everything downstream from them.
const DATA_DAYS: u32 = 30;
/// Retention of records that people look up later: as long as alerts are remembered (`runtime.remember_days`).
const RECORD_DAYS: u32 = 400;

/// Kafka's value for the brokers' own default.
const BROKER_DEFAULT: i32 = -1;

/// Settings of one topic that differ from its defaults (listed at the end of this page).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicConfig {
    /// Its name in Kafka, used unchanged, without the namespace.
    pub name: Option<String>,
    /// Its number of partitions.
    pub partitions: Option<i32>,
    /// Its replication factor; -1 or unset for the brokers' default.
    pub replication: Option<i32>,
    /// How many days Kafka keeps its records. Compacted topics do not have this: they keep the newest record of each
    /// key.
    pub retention_days: Option<u32>,
}

impl Config {
    /// The topic with this logical name.
    pub fn topic(&self, logical: &str) -> TopicPlan {
        let found = self.topics.get(logical).cloned().unwrap_or_default();
        // A changelog has as many partitions as the topic whose records made the state and, unless configured
        // otherwise, as many replicas.
        let source = self.source_of_changelog(logical).map(|source| self.topic(source));
        let default_partitions = match &source {
            Some(source) => source.partitions,
            // One partition keeps all changes of rules in one order.
            None if logical == topic::RULES => 1,
            None if logical == topic::POSITIONS => POSITIONS_PARTITIONS,
            None => PARTITIONS,
        };
        let replication = match (found.replication, &source) {
            (None, Some(source)) => source.replication,
            (own, _) => own.filter(|replication| *replication != BROKER_DEFAULT),
        };
        let is_compacted = is_compacted(logical);
        TopicPlan {
            name: found.name.unwrap_or_else(|| format!("{}{logical}", self.kafka.namespace)),
            partitions: found.partitions.unwrap_or(default_partitions),
            replication,
            retention_days: (!is_compacted)
                .then(|| found.retention_days.unwrap_or_else(|| retention_days(logical))),
            is_compacted,
            tombstones_kept: None,
            // A dead letter is the original with its headers, so it may be larger than the largest original.
            record_bytes_max: (logical == topic::DEAD_LETTERS)
                .then_some(self.runtime.value_bytes_max + 1_100_000),
        }
    }

    /// The logical name of the topic whose records this changelog's state was made from; `None` for any other topic.
    pub fn source_of_changelog(&self, logical: &str) -> Option<&str> {
        match logical {
            topic::ASSEMBLE_CHANGELOG => Some(topic::CSV_RAW),
            topic::ALERT_CHANGELOG => Some(&self.alert.source),
            topic::OUTLOOK_CHANGELOG => Some(topic::HOURLY),
            topic::WATCH_CHANGELOG => Some(topic::OUTLOOKS),
            topic::DELIVER_CHANGELOG => Some(topic::NOTICES),
            _ => None,
        }
    }

    /// Every topic of this installation; changelogs come last.
    pub fn all_topics(&self) -> Vec<TopicPlan> {
        topic::ALL.iter().map(|logical| self.topic(logical)).collect()
    }

    /// Writes out the defaults of `[topics]`, so that they are visible.
    pub fn spell_out_topics(&mut self) {
        let spelled_out = |plan: TopicPlan| TopicConfig {
            name: Some(plan.name),
            partitions: Some(plan.partitions),
            replication: Some(plan.replication.unwrap_or(BROKER_DEFAULT)),
            retention_days: plan.retention_days,
        };
        let topics = topic::ALL.iter().map(|name| ((*name).to_owned(), spelled_out(self.topic(name))));
        self.topics = topics.collect();
    }

    /// The logical name of the topic with this name in Kafka.
    pub fn logical_name(&self, name: &str) -> Option<&'static str> {
        topic::ALL.into_iter().find(|logical| self.topic(logical).name == name)
    }

    /// The name in Kafka of the topic that a user names: a logical name is resolved, any other is used unchanged.
    pub fn resolve_topic(&self, name: &str) -> String {
        if topic::ALL.contains(&name) { self.topic(name).name } else { name.to_owned() }
    }
}

fn is_compacted(logical: &str) -> bool {
    matches!(
        logical,
        topic::STATIONS
            | topic::RULES
            | topic::ASSEMBLE_CHANGELOG
            | topic::ALERT_CHANGELOG
            | topic::OUTLOOK_CHANGELOG
            | topic::WATCH_CHANGELOG
            | topic::DELIVER_CHANGELOG
            | topic::POSITIONS
    )
}

/// Defaults of a topic.
fn retention_days(logical: &str) -> u32 {
    match logical {
        topic::FORECASTS
        | topic::OUTLOOKS
        | topic::ALERTS
        | topic::NOTICES
        | topic::DELIVERIES
        | topic::DEAD_LETTERS => RECORD_DAYS,
        _ => DATA_DAYS,
    }
}

pub(super) fn validate(name: &str, config: &TopicConfig) -> Result<(), ConfigError> {
    let key = format!("topics.{name}");
    if !topic::ALL.contains(&name) {
        let known = topic::ALL.join(", ");
        return Err(ConfigError::of_key(&key, format!("unknown topic: expected one of {known}")));
    }
    if config.partitions.is_some_and(|partitions| !(1..=10_000).contains(&partitions)) {
        return Err(ConfigError::of_key(&format!("{key}.partitions"), "expected 1 to 10000".into()));
    }
    let is_factor = |replication| replication == BROKER_DEFAULT || (1..=100).contains(&replication);
    if config.replication.is_some_and(|replication| !is_factor(replication)) {
        let expected = "expected 1 to 100, or -1 for the brokers' default";
        return Err(ConfigError::of_key(&format!("{key}.replication"), expected.into()));
    }
    validate_retention(name, config.retention_days)
        .map_err(|expected| ConfigError::of_key(&format!("{key}.retention_days"), expected.into()))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_sound = |name: &String| !name.is_empty() && name.len() <= 249 && name.chars().all(plain);
    if config.name.as_ref().is_some_and(|name| !is_sound(name)) {
        let expected = "expected at most 249 letters, digits, `.`, `_` or `-`";
        return Err(ConfigError::of_key(&format!("{key}.name"), expected.into()));
    }
    Ok(())
}

fn validate_retention(name: &str, days: Option<u32>) -> Result<(), &'static str> {
    match days {
        Some(_) if is_compacted(name) => {
            Err("the topic is compacted: it always keeps the newest record of each key")
        }
        Some(days) if !(1..=36_500).contains(&days) => Err("expected 1 to 36500"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_keep_their_records_for_as_long_as_they_are_needed() {
        let mut config = Config::default();
        let days = |config: &Config, logical: &str| config.topic(logical).retention_days;
        assert_eq!(days(&config, topic::CSV_RAW), Some(30));
        assert_eq!(days(&config, topic::JSON), Some(30));
        for logical in [topic::ALERTS, topic::NOTICES, topic::DELIVERIES, topic::DEAD_LETTERS] {
            assert_eq!(days(&config, logical), Some(400), "{logical}");
        }
        assert_eq!((days(&config, topic::RULES), days(&config, topic::STATIONS)), (None, None));
        assert_eq!(days(&config, topic::ALERT_CHANGELOG), None);
        let own = TopicConfig { retention_days: Some(7), ..TopicConfig::default() };
        config.topics.insert(topic::JSON.into(), own.clone());
        assert_eq!(config.topic(topic::JSON).retention_ms(), Some(604_800_000));
        config.validate().unwrap();
        config.topics.insert(topic::RULES.into(), own);
        assert!(config.validate().unwrap_err().to_string().contains("topics.noaa-rules.retention_days"));
        let never = TopicConfig { retention_days: Some(0), ..TopicConfig::default() };
        config.topics = [(topic::JSON.to_owned(), never)].into();
        assert!(config.validate().unwrap_err().to_string().contains("1 to 36500"));
    }

    #[test]
    fn what_is_spelled_out_means_the_same() {
        let mut config = Config::default();
        config.kafka.namespace = "test.".into();
        let wide = TopicConfig { partitions: Some(8), replication: Some(3), ..TopicConfig::default() };
        config.topics.insert(topic::CSV_RAW.into(), wide);
        let plans = config.all_topics();
        assert_eq!(config.topic(topic::ASSEMBLE_CHANGELOG).replication, Some(3));
        config.spell_out_topics();
        assert_eq!(config.topics.len(), topic::ALL.len());
        assert_eq!(config.topics[topic::JSON].replication, Some(BROKER_DEFAULT));
        config.validate().unwrap();
        assert_eq!(config.all_topics(), plans);
        assert_eq!(config.logical_name("test.noaa-json"), Some(topic::JSON));
    }

    #[test]
    fn the_namespace_goes_before_all_names_but_those_given() {
        let mut config = Config::default();
        config.kafka.namespace = "test.".into();
        let given = TopicConfig {
            name: Some("weather.enriched".into()),
            partitions: Some(12),
            ..TopicConfig::default()
        };
        config.topics.insert(topic::JSON.into(), given);
        assert_eq!(config.topic(topic::CSV_RAW).name, "test.noaa-csv-raw");
        assert_eq!(config.topic(topic::JSON).name, "weather.enriched");
        assert_eq!(config.topic(topic::ASSEMBLE_CHANGELOG).name, "test.frostline-assemble-changelog");
        config.alert.source = topic::JSON.into();
        assert_eq!(config.topic(topic::ALERT_CHANGELOG).partitions, 12);
        assert_eq!(config.resolve_topic("noaa-raw"), "test.noaa-raw");
        assert_eq!(config.resolve_topic("other"), "other");
    }
}
