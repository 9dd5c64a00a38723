//! Configuration: `frostline.toml`, then `FROSTLINE_…` variables, then `--set` and flags; later ones win.
//!
//! Two steps: [`load`] reads and merges, then [`Config::validate`] checks that the values fit together. Unknown keys
//! in the file and in `--set` are errors. Nothing here connects to Kafka. The only files read are the configuration
//! file and files that secrets refer to.

mod admin;
mod body;
mod client_keys;
mod email;
mod follow;
mod load;
mod notify;
#[cfg(test)]
mod notify_tests;
mod secret;
mod section;
mod topics;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use frostline_engine::EngineSettings;

pub use frostline_engine::kafka::{
    OWNED_CLIENT_KEYS, SecretText, is_reference, is_sensitive, resolve_secret,
};
pub use frostline_engine::{Guarantee, KafkaSettings, OffsetReset};
use serde::{Deserialize, Serialize};

pub use admin::AdminConfig;
pub use body::{BODY_FIELDS, BodyField, BodyTemplate};
pub use email::{EmailConfig, MailTls, SUBJECT_FIELDS};
pub use follow::{FollowConfig, ForecastFollow, GhcnFollow, MetarFollow, StationFiles};
pub use load::{ConfigError, Overrides, load, settings_file};
pub use notify::{AlertmanagerConfig, NotifyConfig, NtfyConfig, SmsConfig, WebhookConfig};
pub use secret::{Secret, ServerUrl};
pub use section::check_url;
pub use topics::{TopicConfig, TopicPlan, topic};

use crate::noaa::Compat;
use crate::stages::{AssembleSettings, Limits, Validate};

/// All settings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How to reach Kafka.
    pub kafka: KafkaSettings,
    /// Names, partitions, replication and retention of topics, where they differ from the defaults.
    pub topics: BTreeMap<String, TopicConfig>,
    /// How the daemon runs.
    pub runtime: RuntimeConfig,
    /// The stage that turns lines into observations.
    pub assemble: AssembleConfig,
    /// The stage that keeps the observations that matter.
    pub filter: FilterConfig,
    /// The stage that writes alerts.
    pub alert: AlertConfig,
    /// The public services that the daemon follows.
    pub follow: FollowConfig,
    /// How people are notified.
    pub notify: NotifyConfig,
    /// HTTP for operators.
    pub admin: AdminConfig,
}

/// How the daemon runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuntimeConfig {
    /// What is guaranteed about outputs when a process dies.
    pub guarantee: Guarantee,
    /// Time between two commits, in milliseconds.
    pub commit_interval_ms: u64,
    /// Threads that process records, for all stages together; 0 for the number of cores.
    pub workers: usize,
    /// The daemon's data directory.
    pub state_dir: PathBuf,
    /// Which records are read completely: `all`, or `needed` for only those on which an output may depend.
    pub validate: Validate,
    /// Largest record value that is processed, in bytes; a larger record becomes a dead letter.
    pub value_bytes_max: usize,
    /// Where to start if a group has no committed offset.
    pub auto_offset_reset: OffsetReset,
    /// How long the group waits for a silent member, in milliseconds. Keep it longer than a group needs to find
    /// another coordinator when a broker dies (9 to 13 s): a member without contact to the group for this long gives
    /// up its partitions, and the group then waits for the same time again. Has no effect with `group.protocol =
    /// consumer`. See `benches/failover`.
    pub session_timeout_ms: u64,
    /// How many times within ten minutes a failed worker is restarted before the daemon ends.
    pub restarts_max: u32,
    /// Time limit for a shutdown, in milliseconds.
    pub shutdown_timeout_ms: u64,
    /// Time after which the brokers abort a transaction whose owner is silent, in milliseconds.
    pub transaction_timeout_ms: u64,
    /// Static membership: the name of this process in its groups, different for each process. After a restart within
    /// `session_timeout_ms` the process gets the same partitions back. Empty for dynamic membership.
    pub group_instance_id: String,
    /// How long a partition may stand still, in milliseconds, before the watchdog ends the daemon so that it is
    /// restarted.
    pub stall_timeout_ms: u64,
    /// How many days an observation or an alert is remembered after it was last written, by the timestamps of the
    /// records. After that, the same one counts as new.
    pub remember_days: u32,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            guarantee: Guarantee::default(),
            commit_interval_ms: 100,
            workers: 0,
            state_dir: "state".into(),
            validate: Validate::All,
            value_bytes_max: 1_000_000,
            auto_offset_reset: OffsetReset::Earliest,
            session_timeout_ms: 15_000,
            restarts_max: 10,
            shutdown_timeout_ms: 30_000,
            transaction_timeout_ms: 10_000,
            group_instance_id: String::new(),
            stall_timeout_ms: 120_000,
            remember_days: 400,
        }
    }
}

/// The stage that turns lines into observations.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AssembleConfig {
    /// An observation settles when its partition has moved on by this many records since its last line.
    pub settle_records: u32,
    /// It also settles when its partition has been idle for this long, in milliseconds.
    pub settle_ms: u64,
    /// Set to `rally` to write documents exactly as the talk's script did, including its mistakes.
    pub compat: Compat,
    /// Whether to keep readings that failed NOAA's quality control.
    pub keep_failed_quality: bool,
}

impl Default for AssembleConfig {
    fn default() -> Self {
        Self { settle_records: 10_000, settle_ms: 1_000, compat: Compat::None, keep_failed_quality: false }
    }
}

/// The stage that keeps the observations that matter.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FilterConfig {
    /// The topic that it reads: `noaa-json`.
    pub source: String,
    /// A CEL expression over the observation: observations that satisfy it are kept.
    #[serde(rename = "where")]
    pub expression: String,
}

impl Default for FilterConfig {
    fn default() -> Self {
        Self {
            source: topic::JSON.into(),
            expression: "station.country_code == 'US' && station.state_code == 'AZ'".into(),
        }
    }
}

/// The stage that writes alerts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertConfig {
    /// The topic that it reads: `noaa-json-us-az`, or `noaa-json` to bypass the filter.
    pub source: String,
    /// The rule file, or `topic` to follow the topic `noaa-rules`. A relative path in a configuration file is relative to
    /// that file.
    pub rules: PathBuf,
}

/// The value of `alert.rules` for rules in their topic.
const RULES_IN_TOPIC: &str = "topic";

impl AlertConfig {
    /// The rule file; `None` for rules in their topic.
    pub fn rule_file(&self) -> Option<&Path> {
        (self.rules != Path::new(RULES_IN_TOPIC)).then_some(&self.rules)
    }
}

impl Default for AlertConfig {
    fn default() -> Self {
        Self { source: topic::JSON_US_AZ.into(), rules: "rules.toml".into() }
    }
}

impl Config {
    /// The engine's settings.
    pub fn engine_settings(&self) -> EngineSettings {
        let runtime = &self.runtime;
        EngineSettings {
            kafka: self.kafka.clone(),
            guarantee: runtime.guarantee,
            commit_interval: Duration::from_millis(runtime.commit_interval_ms),
            workers: self.workers(),
            state_dir: runtime.state_dir.clone(),
            auto_offset_reset: runtime.auto_offset_reset,
            session_timeout: Duration::from_millis(runtime.session_timeout_ms),
            restarts_max: runtime.restarts_max,
            shutdown_timeout: Duration::from_millis(runtime.shutdown_timeout_ms),
            transaction_timeout: Duration::from_millis(runtime.transaction_timeout_ms),
            group_instance_id: runtime.group_instance_id.clone(),
            stall_timeout: Duration::from_millis(runtime.stall_timeout_ms),
            remember_days: runtime.remember_days,
        }
    }

    /// The sender of CAP messages; empty: nobody answers for them.
    pub fn cap_sender(&self) -> &str {
        if self.admin.cap_sender.is_empty() { &self.follow.contact } else { &self.admin.cap_sender }
    }

    /// Workers, for all stages together.
    pub fn workers(&self) -> usize {
        match self.runtime.workers {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            workers => workers,
        }
    }

    /// The settings of assemble.
    pub fn assemble_settings(&self) -> AssembleSettings {
        AssembleSettings {
            settle_records: self.assemble.settle_records.into(),
            settle_ms: self.assemble.settle_ms,
            compat: self.assemble.compat,
            keep_failed_quality: self.assemble.keep_failed_quality,
        }
    }

    /// The limits of a record.
    pub fn limits(&self) -> Limits {
        let (validate, value_bytes_max) = (self.runtime.validate, self.runtime.value_bytes_max);
        Limits { validate, value_bytes_max, ..Limits::default() }
    }

    /// Checks that values are valid and fit together.
    ///
    /// # Errors
    /// The first wrong setting, by its key, with the expected form.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |key: &str, message: String| Err(ConfigError::of_key(key, message));
        if self.kafka.brokers.split(',').any(|broker| !is_host_and_port(broker.trim())) {
            return wrong(
                "kafka.brokers",
                format!("{:?}: expected HOST:PORT, or several with commas", self.kafka.brokers),
            );
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !self.kafka.namespace.chars().all(plain) || self.kafka.namespace.len() > 100 {
            return wrong("kafka.namespace", "expected at most 100 letters, digits, `.`, `_` or `-`".into());
        }
        for key in self.kafka.client.keys() {
            if let Some((_, reason)) = OWNED_CLIENT_KEYS.iter().find(|(owned, _)| owned == key) {
                return wrong(
                    &format!("kafka.client.\"{key}\""),
                    format!("frostline sets this setting itself: {reason}"),
                );
            }
        }
        for (name, config) in &self.topics {
            topics::validate(name, config)?;
        }
        for (key, source) in [("filter.source", &self.filter.source), ("alert.source", &self.alert.source)] {
            if source != topic::JSON && source != topic::JSON_US_AZ {
                let expected = format!("expected `{}` or `{}`", topic::JSON, topic::JSON_US_AZ);
                return wrong(key, format!("{source:?}: {expected} (rename topics under [topics])"));
            }
        }
        if self.filter.source == topic::JSON_US_AZ {
            return wrong("filter.source", format!("the filter writes to `{}`", topic::JSON_US_AZ));
        }
        self.admin.validate()?;
        self.follow.validate()?;
        self.notify.validate()?;
        within("kafka.connect_timeout_ms", self.kafka.connect_timeout_ms, 100, 600_000)?;
        within("runtime.commit_interval_ms", self.runtime.commit_interval_ms, 5, 60_000)?;
        within("runtime.workers", self.runtime.workers as u64, 0, 256)?;
        within("runtime.value_bytes_max", self.runtime.value_bytes_max as u64, 1, 100_000_000)?;
        within("runtime.session_timeout_ms", self.runtime.session_timeout_ms, 1_000, 1_800_000)?;
        // A revoke waits this long, and the group's own limit (max.poll.interval.ms) is 300 s.
        within("runtime.shutdown_timeout_ms", self.runtime.shutdown_timeout_ms, 100, 240_000)?;
        within("runtime.transaction_timeout_ms", self.runtime.transaction_timeout_ms, 2_000, 900_000)?;
        if self.runtime.transaction_timeout_ms < 4 * self.runtime.commit_interval_ms {
            return wrong(
                "runtime.transaction_timeout_ms",
                "expected at least four times runtime.commit_interval_ms, or transactions end before their commit"
                    .into(),
            );
        }
        if !self.runtime.group_instance_id.chars().all(plain) {
            return wrong("runtime.group_instance_id", "expected letters, digits, `.`, `_` or `-`".into());
        }
        within("runtime.stall_timeout_ms", self.runtime.stall_timeout_ms, 10_000, 86_400_000)?;
        if self.runtime.stall_timeout_ms < 2 * self.runtime.transaction_timeout_ms {
            return wrong(
                "runtime.stall_timeout_ms",
                "expected at least twice runtime.transaction_timeout_ms, for which a commit may wait".into(),
            );
        }
        within("runtime.remember_days", self.runtime.remember_days.into(), 1, 36_500)?;
        within("assemble.settle_records", self.assemble.settle_records.into(), 1, 10_000_000)?;
        within("assemble.settle_ms", self.assemble.settle_ms, 1, 3_600_000)
    }
}

fn within(key: &str, value: u64, min: u64, max: u64) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::of_key(key, format!("{value}: expected a number from {min} to {max}")))
}

fn is_host_and_port(broker: &str) -> bool {
    broker.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && !host.contains(|c: char| c.is_whitespace() || c == '/')
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        Config::default().validate().unwrap();
    }

    #[test]
    fn settings_that_cannot_be_are_named() {
        let error = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(error(|c| c.kafka.brokers = "localhost".into()).contains("kafka.brokers"));
        assert!(error(|c| c.kafka.namespace = "a b".into()).contains("kafka.namespace"));
        assert!(error(|c| c.runtime.commit_interval_ms = 0).contains("runtime.commit_interval_ms"));
        assert!(error(|c| c.alert.source = "elsewhere".into()).contains("alert.source"));
        let owned = error(|c| {
            c.kafka.client.insert("group.id".into(), "x".into());
        });
        assert!(owned.contains("group.id"), "{owned}");
        let unknown = error(|c| {
            c.topics.insert("noaa-jsn".into(), TopicConfig::default());
        });
        assert!(unknown.contains("noaa-jsn"), "{unknown}");
    }
}
