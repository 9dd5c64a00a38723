//! What a stage needs to run: topics, processor, state, clients. Made once at the start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::status::Board;
use super::totals::Totals;
use crate::config::{Config, Guarantee, OffsetReset, TopicPlan, topic};
use crate::kafka::{ClientSettings, GroupSettings, TransactionSettings};
use crate::stages::{Processor, Question, Recipe, StageName};
use crate::state::{Identity, StateDirectory, StateError, Store};

/// Kafka's own default of `delete.retention.ms`, for brokers that do not tell it.
const TOMBSTONES_KEPT_DEFAULT: Duration = Duration::from_secs(24 * 60 * 60);

/// What all stages of this process share.
pub(super) struct Common {
    pub(super) settings: ClientSettings,
    pub(super) state: StateDirectory,
    pub(super) totals: Arc<Totals>,
    pub(super) board: Arc<Board>,
    pub(super) recipe: Arc<Recipe>,
    pub(super) dead_letter_bytes_max: usize,
    /// The Kafka cluster's own id; empty where it tells none.
    pub(super) cluster: String,
    /// `runtime.group_instance_id`; empty where the state directory's own name is used.
    pub(super) configured_instance: String,
    /// What this process is called at its start.
    pub(super) instance: String,
    /// How long each changelog keeps tombstones, by its name in Kafka.
    pub(super) tombstones_kept: BTreeMap<String, Duration>,
    /// Where this process answers, for the others.
    pub(super) advertised: String,
    /// Whether the brokers can describe topics.
    pub(super) describes_topics: bool,
}

/// One stage of this process.
pub(super) struct StagePlan {
    pub(super) stage: StageName,
    /// Names in Kafka.
    pub(super) source: String,
    pub(super) sink: String,
    pub(super) dead_letters: String,
    /// Where state changes go; `None` for stages without state.
    pub(super) changelog: Option<String>,
    /// Largest record that the dead-letter topic takes, in bytes.
    pub(super) dead_letter_bytes_max: usize,
    pub(super) group: GroupSettings,
    pub(super) commit_interval: Duration,
    pub(super) shutdown_timeout: Duration,
    /// How long a partition that is given up waits for the outcome of what has left the process.
    pub(super) drain_patience: Duration,
    pub(super) restarts_max: u32,
    pub(super) workers: usize,
    pub(super) settings: ClientSettings,
    pub(super) state: StateDirectory,
    pub(super) totals: Arc<Totals>,
    pub(super) board: Arc<Board>,
    pub(super) remember_days: u32,
    /// The Kafka cluster's own id.
    cluster: String,
    /// Whether the brokers can describe topics.
    pub(super) describes_topics: bool,
    /// How long the changelog keeps tombstones.
    pub(super) tombstones_kept: Duration,
    /// What the transactional ids of the stage begin with; `None` without transactions.
    transactional_prefix: Option<String>,
    /// `runtime.group_instance_id`; empty where the state directory's own name is used.
    configured_instance: String,
    transaction_timeout_ms: u64,
    recipe: Arc<Recipe>,
}

impl StagePlan {
    pub(super) fn new(stage: StageName, config: &Config, common: &Common) -> Self {
        let Common { settings, state, totals, board, recipe, .. } = common;
        let TopicPlan { name: source, partitions, .. } = config.topic(config.source_of(stage));
        let changelog = stage.is_stateful().then(|| config.changelog(stage).name);
        let kept = changelog.as_ref().and_then(|changelog| common.tombstones_kept.get(changelog));
        Self {
            stage,
            sink: config.topic(config.sink_of(stage)).name,
            dead_letters: config.topic(topic::DEAD_LETTERS).name,
            tombstones_kept: kept.copied().unwrap_or(TOMBSTONES_KEPT_DEFAULT),
            changelog,
            describes_topics: common.describes_topics,
            dead_letter_bytes_max: common.dead_letter_bytes_max,
            group: GroupSettings {
                group: config.group(stage),
                topic: source.clone(),
                partitions,
                holds_lines: stage == StageName::Assemble,
                begins_at_end: config.runtime.auto_offset_reset == OffsetReset::Latest,
                session_timeout_ms: config.runtime.session_timeout_ms,
                group_instance_id: config.runtime.group_instance_id.clone(),
                advertised: common.advertised.clone(),
                instance: common.instance.clone(),
            },
            source,
            commit_interval: Duration::from_millis(config.runtime.commit_interval_ms),
            drain_patience: Duration::from_millis(
                (config.notify.timeout_ms + 500).min(config.runtime.shutdown_timeout_ms / 2),
            ),
            shutdown_timeout: Duration::from_millis(config.runtime.shutdown_timeout_ms),
            restarts_max: config.runtime.restarts_max,
            workers: config.workers(),
            settings: settings.clone(),
            state: state.clone(),
            totals: Arc::clone(totals),
            board: Arc::clone(board),
            remember_days: config.runtime.remember_days,
            cluster: common.cluster.clone(),
            transactional_prefix: (config.runtime.guarantee == Guarantee::ExactlyOnce)
                .then(|| format!("{}frostline-{stage}-", config.kafka.namespace)),
            configured_instance: common.configured_instance.clone(),
            transaction_timeout_ms: config.runtime.transaction_timeout_ms,
            recipe: Arc::clone(recipe),
        }
    }

    /// Makes the processor of one partition.
    pub(super) fn processor(&self) -> Box<dyn Processor> {
        self.recipe.processor(self.stage)
    }

    /// What the store of a task says of a key.
    pub(super) fn look_into(&self, store: &Store, question: &Question) -> Result<Vec<Value>, StateError> {
        question.answer(store, &self.recipe.rules)
    }

    /// Whose store a partition's is; for the ids see [`super::provenance`].
    pub(super) fn identity(&self, partition: i32, topic_ids: &str) -> Identity {
        let (stage, cluster) = (self.stage.to_string(), self.cluster.clone());
        Identity { stage, topic: self.source.clone(), partition, cluster, topic_ids: topic_ids.to_owned() }
    }

    /// What this process is called among those of the installation.
    ///
    /// # Errors
    /// [`StateError::Unusable`] where the state directory's name can neither be read nor written.
    pub(super) fn instance(&self) -> Result<String, StateError> {
        match self.configured_instance.as_str() {
            "" => self.state.instance(),
            name => Ok(name.to_owned()),
        }
    }

    /// Whether another name may be taken, where two processes have the same.
    pub(super) fn can_be_renamed(&self) -> bool {
        self.configured_instance.is_empty()
    }

    /// After how long a commit is abandoned: by then the brokers have ended its transaction, or each step of a
    /// plain commit has run into its own time-out.
    pub(super) fn commit_patience(&self) -> Duration {
        match &self.transactional_prefix {
            Some(_) => Duration::from_millis(self.transaction_timeout_ms) + Duration::from_secs(5),
            None => Duration::from_secs(90),
        }
    }

    /// How the producer of a worker takes part in transactions. Its id is made of what stays the same over
    /// restarts (the state directory's own name, the worker's number) and is nobody else's at the same time
    /// (the directory is locked; of a copied one see [`super::worker`]).
    ///
    /// # Errors
    /// As [`instance`](Self::instance).
    pub(super) fn transaction(&self, worker: usize) -> Result<Option<TransactionSettings>, StateError> {
        let Some(prefix) = &self.transactional_prefix else { return Ok(None) };
        let transactional_id = format!("{prefix}{}-{worker}", self.instance()?);
        Ok(Some(TransactionSettings { transactional_id, timeout_ms: self.transaction_timeout_ms }))
    }
}
