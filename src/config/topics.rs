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

/// How long lines and observations are kept: long enough to build everything downstream from them once more.
const DATA_DAYS: u32 = 30;
/// How long is kept what people come back to: as long as alerts are remembered (`runtime.remember_days`).
const RECORD_DAYS: u32 = 400;

/// What Kafka calls the brokers' own default.
const BROKER_DEFAULT: i32 = -1;

/// What `[topics]` says about one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicConfig {
    /// Its name in Kafka, taken as it stands, without the namespace.
    pub name: Option<String>,
    /// Its partitions.
    pub partitions: Option<i32>,
    /// Its replication factor; the brokers' default where it is missing, or -1.
    pub replication: Option<i32>,
    /// For how many days Kafka keeps its records. Compacted topics keep the newest record of each key, and have none.
    pub retention_days: Option<u32>,
}

impl TopicPlan {
    /// Its `retention.ms`.
    pub fn retention_ms(&self) -> Option<i64> {
        self.retention_days.map(|days| i64::from(days) * 86_400_000)
    }
}

/// A topic as it is to be in Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    /// Its name in Kafka.
    pub name: String,
    /// Its partitions.
    pub partitions: i32,
    /// Its replication factor; `None`: the brokers' default.
    pub replication: Option<i32>,
    /// For how many days its records are kept; `None` where it is compacted.
    pub retention_days: Option<u32>,
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
        let is_compacted = is_compacted(logical);
        TopicPlan {
            name: found.name.unwrap_or_else(|| format!("{}{logical}", self.kafka.namespace)),
            // One partition keeps all changes of rules in one order.
            partitions: found.partitions.unwrap_or(if logical == topic::RULES { 1 } else { PARTITIONS }),
            replication: found.replication.filter(|replication| *replication != BROKER_DEFAULT),
            retention_days: (!is_compacted)
                .then(|| found.retention_days.unwrap_or_else(|| retention_days(logical))),
            is_compacted,
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
            replication: match found.replication {
                None => source.replication,
                own => own.filter(|replication| *replication != BROKER_DEFAULT),
            },
            retention_days: None,
            is_compacted: true,
            record_bytes_max: None,
        }
    }

    /// Every topic of this installation; changelogs come last.
    pub fn all_topics(&self) -> Vec<TopicPlan> {
        self.named_topics().into_iter().map(|(_, plan)| plan).collect()
    }

    /// The logical name and the plan of every topic.
    fn named_topics(&self) -> Vec<(String, TopicPlan)> {
        let data = topic::ALL.iter().map(|logical| ((*logical).to_owned(), self.topic(logical)));
        let changelogs = self.changelogs().into_iter();
        data.chain(changelogs.map(|(stage, plan)| (changelog_name(stage), plan))).collect()
    }

    /// The changelogs of all stages that have one.
    pub fn changelogs(&self) -> Vec<(StageName, TopicPlan)> {
        let stateful = StageName::ALL.into_iter().filter(|stage| stage.is_stateful());
        stateful.map(|stage| (stage, self.changelog(stage))).collect()
    }

    /// Writes out what `[topics]` leaves to the defaults, so that it is seen.
    pub fn spell_out_topics(&mut self) {
        let spelled_out = |plan: TopicPlan| TopicConfig {
            name: Some(plan.name),
            partitions: Some(plan.partitions),
            replication: Some(plan.replication.unwrap_or(BROKER_DEFAULT)),
            retention_days: plan.retention_days,
        };
        let topics = self.named_topics().into_iter().map(|(name, plan)| (name, spelled_out(plan)));
        self.topics = topics.collect();
    }

    /// The logical name of the topic that Kafka knows by this one.
    pub fn logical_name(&self, name: &str) -> Option<String> {
        self.named_topics().into_iter().find(|(_, plan)| plan.name == name).map(|(logical, _)| logical)
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

fn is_compacted(logical: &str) -> bool {
    matches!(logical, topic::STATIONS | topic::RULES)
}

/// Where the configuration says nothing.
fn retention_days(logical: &str) -> u32 {
    match logical {
        topic::ALERTS | topic::NOTICES | topic::DELIVERIES | topic::DEAD_LETTERS => RECORD_DAYS,
        _ => DATA_DAYS,
    }
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
    let is_factor = |replication| replication == BROKER_DEFAULT || (1..=100).contains(&replication);
    if config.replication.is_some_and(|replication| !is_factor(replication)) {
        let expected = "expected 1 to 100, or -1 for the brokers' default";
        return Err(ConfigError::of_key(&format!("{key}.replication"), expected.into()));
    }
    validate_retention(name, is_changelog, config.retention_days)
        .map_err(|expected| ConfigError::of_key(&format!("{key}.retention_days"), expected.into()))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_sound = |name: &String| !name.is_empty() && name.len() <= 249 && name.chars().all(plain);
    if config.name.as_ref().is_some_and(|name| !is_sound(name)) {
        let expected = "expected at most 249 letters, digits, `.`, `_` or `-`";
        return Err(ConfigError::of_key(&format!("{key}.name"), expected.into()));
    }
    Ok(())
}

fn validate_retention(name: &str, is_changelog: bool, days: Option<u32>) -> Result<(), &'static str> {
    match days {
        Some(_) if is_changelog || is_compacted(name) => {
            Err("the topic is compacted: the newest record of each key stays for good")
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
        assert!(config.changelogs().iter().all(|(_, plan)| plan.retention_days.is_none()));
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
        assert_eq!(config.changelog(StageName::Assemble).replication, Some(3));
        config.spell_out_topics();
        assert_eq!(config.topics.len(), 13);
        assert_eq!(config.topics[topic::JSON].replication, Some(BROKER_DEFAULT));
        config.validate().unwrap();
        assert_eq!(config.all_topics(), plans);
        assert_eq!(config.logical_name("test.noaa-json").as_deref(), Some(topic::JSON));
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
        assert_eq!(config.group(StageName::Filter), "test.frostline-filter");
        assert_eq!(config.changelog(StageName::Assemble).name, "test.frostline-assemble-changelog");
        config.alert.source = topic::JSON.into();
        assert_eq!(config.changelog(StageName::Alert).partitions, 12);
        assert_eq!(config.resolve_topic("noaa-raw"), "test.noaa-raw");
        assert_eq!(config.resolve_topic("other"), "other");
    }
}
