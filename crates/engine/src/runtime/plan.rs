//! Everything a stage needs to run: topics, processor, state, clients. Made once at the start.

use std::sync::Arc;
use std::time::Duration;

use super::record_limits::RecordLimits;
use super::status::Board;
use super::topic_limits::TopicLimits;
use super::totals::Totals;
use crate::kafka::{ClientSettings, GroupSettings, TransactionSettings};
use crate::store::{Identity, StateDirectory, StateError};
use crate::topology::TopicAdvice;
use crate::{
    Collector, EngineSettings, Guarantee, OffsetReset, Processor, Sink, Stage, StageId, Topology, Traffic,
};

/// Shared by all stages of this process.
pub(super) struct Common {
    pub(super) clients: ClientSettings,
    pub(super) state: StateDirectory,
    pub(super) totals: Arc<Totals>,
    pub(super) board: Arc<Board>,
    pub(super) limits: TopicLimits,
    /// The Kafka cluster's own id; empty if it has none.
    pub(super) cluster: String,
    /// The name of this process at its start.
    pub(super) instance: String,
    /// The address of this process, as `host:port`, for other processes.
    pub(super) advertised: String,
    /// Whether the brokers can describe topics.
    pub(super) describes_topics: bool,
}

/// One stage of this process.
pub(super) struct StagePlan {
    pub(super) stage: StageId,
    /// Topic names as in Kafka.
    pub(super) source: String,
    pub(super) dead_letters: String,
    /// Where state changes go; `None` for stages without state.
    pub(super) changelog: Option<String>,
    /// The size limits of the records that the stage writes.
    pub(super) record_limits: RecordLimits,
    pub(super) group: GroupSettings,
    pub(super) commit_interval: Duration,
    /// Whether outputs at the end of a partition are committed at once.
    pub(super) is_awaited: bool,
    pub(super) shutdown_timeout: Duration,
    /// How long a partition that is given up waits for the outcome of messages that have left the process.
    pub(super) drain_patience: Duration,
    pub(super) restarts_max: u32,
    pub(super) workers: usize,
    pub(super) clients: ClientSettings,
    pub(super) state: StateDirectory,
    pub(super) totals: Arc<Totals>,
    pub(super) board: Arc<Board>,
    pub(super) remember_days: u32,
    /// How long the changelog keeps tombstones.
    pub(super) tombstones_kept: Duration,
    /// Whether the brokers can describe topics.
    pub(super) describes_topics: bool,
    /// Advice about topics that do not fit.
    pub(super) topics_advice: TopicAdvice,
    /// The stage as declared in the topology.
    declared: Stage,
    /// The Kafka cluster's own id.
    cluster: String,
    /// Prefix of the stage's transactional ids; `None` without transactions.
    transactional_prefix: Option<String>,
    transaction_timeout: Duration,
    /// The name of this process in its groups; empty to use the state directory's own name.
    configured_instance: String,
}

/// How many workers a stage gets. Each has a thread, a producer and four threads of the client, so none is without
/// work.
fn workers(stage: &Stage, settings: &EngineSettings) -> usize {
    let useful = match stage.traffic {
        Traffic::Few => 1,
        Traffic::Tiny | Traffic::Usual => usize::try_from(stage.source.partitions).unwrap_or(1),
    };
    settings.workers.min(useful).max(1)
}

impl StagePlan {
    pub(super) fn new(
        stage: &Stage,
        topology: &Topology,
        settings: &EngineSettings,
        common: &Common,
    ) -> Self {
        let changelog = stage.changelog.as_ref().map(|changelog| changelog.name.clone());
        let tombstones_kept = common.limits.tombstones_kept(changelog.as_deref().unwrap_or_default());
        let is_transactional = settings.guarantee == Guarantee::ExactlyOnce;
        Self {
            stage: stage.id,
            source: stage.source.name.clone(),
            dead_letters: topology.dead_letters().name.clone(),
            record_limits: RecordLimits::new(
                stage,
                &topology.dead_letters().name,
                (&common.clients, common.describes_topics),
                &common.limits.record_bytes_max,
            ),
            group: GroupSettings {
                group: topology.group(stage.id),
                topic: stage.source.name.clone(),
                partitions: stage.source.partitions,
                traffic: stage.traffic,
                begins_at_end: settings.auto_offset_reset == OffsetReset::Latest,
                session_timeout: settings.session_timeout,
                group_instance_id: settings.group_instance_id.clone(),
                advertised: common.advertised.clone(),
                instance: common.instance.clone(),
            },
            commit_interval: settings.commit_interval,
            is_awaited: stage.is_awaited,
            drain_patience: stage.drain.min(settings.shutdown_timeout / 2),
            shutdown_timeout: settings.shutdown_timeout,
            restarts_max: settings.restarts_max,
            workers: workers(stage, settings),
            clients: common.clients.clone(),
            state: common.state.clone(),
            totals: Arc::clone(&common.totals),
            board: Arc::clone(&common.board),
            remember_days: settings.remember_days,
            tombstones_kept,
            changelog,
            describes_topics: common.describes_topics,
            topics_advice: topology.advice(),
            declared: stage.clone(),
            cluster: common.cluster.clone(),
            transactional_prefix: is_transactional.then(|| topology.transactional_prefix(stage.id)),
            transaction_timeout: settings.transaction_timeout,
            configured_instance: settings.group_instance_id.clone(),
        }
    }

    /// Makes the processor of one partition.
    pub(super) fn processor(&self) -> Box<dyn Processor> {
        (self.declared.processor)()
    }

    /// Makes the collector of one partition.
    pub(super) fn collector(&self) -> Collector {
        Collector::keeping(self.declared.kept_headers)
    }

    /// The name in Kafka of one of the stage's topics; `None` for a sink that the topology does not name.
    pub(super) fn sink(&self, sink: Sink) -> Option<&str> {
        let stage = &self.declared;
        match sink {
            Sink::Output => Some(&stage.sink.name),
            Sink::DeadLetters => Some(&self.dead_letters),
            Sink::Named(name) => {
                let found = stage.named_sinks.iter().find(|(known, _)| *known == name);
                found.map(|(_, topic)| topic.name.as_str())
            }
        }
    }

    /// Identifies the store of a partition; for the ids see [`super::provenance`].
    pub(super) fn identity(&self, partition: i32, topic_ids: &str) -> Identity {
        let (stage, cluster) = (self.stage.to_string(), self.cluster.clone());
        Identity { stage, topic: self.source.clone(), partition, cluster, topic_ids: topic_ids.to_owned() }
    }

    /// The name of this process among those of the installation.
    ///
    /// # Errors
    /// [`StateError::Unusable`] if the state directory's name can neither be read nor written.
    pub(super) fn instance(&self) -> Result<String, StateError> {
        match self.configured_instance.as_str() {
            "" => self.state.instance(),
            name => Ok(name.to_owned()),
        }
    }

    /// Whether this process may take another name if two processes have the same one.
    pub(super) fn can_be_renamed(&self) -> bool {
        self.configured_instance.is_empty()
    }

    /// Time after which a commit is abandoned: by then the brokers have ended its transaction, or each step of a
    /// plain commit has reached its own time-out.
    pub(super) fn commit_patience(&self) -> Duration {
        match &self.transactional_prefix {
            Some(_) => self.transaction_timeout + Duration::from_secs(5),
            None => Duration::from_secs(90),
        }
    }

    /// How the producer of a worker takes part in transactions. Its id consists of parts that stay the same over
    /// restarts (the state directory's own name, the worker's number), and no other process has the same id at the
    /// same time, because the directory is locked. For a copied directory see [`super::worker`].
    ///
    /// # Errors
    /// As [`instance`](Self::instance).
    pub(super) fn transaction(&self, worker: usize) -> Result<Option<TransactionSettings>, StateError> {
        let Some(prefix) = &self.transactional_prefix else { return Ok(None) };
        let transactional_id = format!("{prefix}{}-{worker}", self.instance()?);
        let timeout_ms = u64::try_from(self.transaction_timeout.as_millis()).unwrap_or(u64::MAX);
        Ok(Some(TransactionSettings { transactional_id, timeout_ms }))
    }
}
