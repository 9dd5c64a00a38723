//! Everything that the stages of this process need to run: topics, processors, state, clients. Made once at the start.

use std::sync::Arc;
use std::time::Duration;

use super::record_limits::RecordLimits;
use super::status::Board;
use super::topic_limits::TopicLimits;
use super::totals::Totals;
use crate::kafka::{ChangelogSlot, ClientSettings, GroupSettings, TransactionSettings};
use crate::store::{Identity, StateDirectory, StateError, Store};
use crate::topology::TopicAdvice;
use crate::{
    Collector, EngineSettings, Guarantee, OffsetReset, Processor, Sink, Stage, StageId, Topology, Traffic,
};

/// What all stages of this process share.
pub(super) struct ProcessPlan {
    pub(super) settings: EngineSettings,
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

/// The name of a process among those of its installation: its own, which it has even after its disk was lost, or that of
/// its state directory.
///
/// # Errors
/// [`StateError::Unusable`] if the state directory's name can neither be read nor written.
pub(super) fn instance(settings: &EngineSettings, state: &StateDirectory) -> Result<String, StateError> {
    match settings.group_instance_id.as_str() {
        "" => state.instance(),
        name => Ok(name.to_owned()),
    }
}

impl ProcessPlan {
    /// The name of this process now; see [`instance`].
    ///
    /// # Errors
    /// As [`instance`].
    pub(super) fn instance(&self) -> Result<String, StateError> {
        instance(&self.settings, &self.state)
    }

    /// Whether this process may take another name if two processes have the same one.
    pub(super) fn can_be_renamed(&self) -> bool {
        self.settings.group_instance_id.is_empty()
    }

    fn is_transactional(&self) -> bool {
        self.settings.guarantee == Guarantee::ExactlyOnce
    }

    /// Time after which a commit is abandoned: by then the brokers have ended its transaction, or each step of a
    /// plain commit has reached its own time-out.
    pub(super) fn commit_patience(&self) -> Duration {
        match self.is_transactional() {
            true => self.settings.transaction_timeout + Duration::from_secs(5),
            false => Duration::from_secs(90),
        }
    }
}

/// One stage of this process.
pub(super) struct StagePlan {
    pub(super) process: Arc<ProcessPlan>,
    pub(super) stage: StageId,
    /// Its place in the topology.
    number: u16,
    /// Topic names as in Kafka.
    pub(super) source: String,
    pub(super) dead_letters: String,
    /// Where state changes go; `None` for stages without state.
    pub(super) changelog: Option<String>,
    /// The size limits of the records that the stage writes.
    pub(super) record_limits: RecordLimits,
    pub(super) group: GroupSettings,
    /// Whether outputs at the end of a partition are committed at once.
    pub(super) is_awaited: bool,
    /// How long a partition that is given up waits for the outcome of messages that have left the process.
    pub(super) drain_patience: Duration,
    /// How long the changelog keeps tombstones.
    pub(super) tombstones_kept: Duration,
    /// Advice about topics that do not fit.
    pub(super) topics_advice: TopicAdvice,
    /// The stage as declared in the topology.
    declared: Stage,
    /// Prefix of the transactional ids of the stage's own workers.
    transactional_prefix: String,
}

impl StagePlan {
    pub(super) fn new(stage: &Stage, topology: &Topology, process: &Arc<ProcessPlan>) -> Self {
        let settings = &process.settings;
        let changelog = stage.changelog.as_ref().map(|changelog| changelog.name.clone());
        let tombstones_kept = process.limits.tombstones_kept(changelog.as_deref().unwrap_or_default());
        let number = topology.stages().iter().position(|other| other.id == stage.id);
        Self {
            process: Arc::clone(process),
            stage: stage.id,
            number: number.and_then(|number| u16::try_from(number).ok()).unwrap_or(u16::MAX),
            source: stage.source.name.clone(),
            dead_letters: topology.dead_letters().name.clone(),
            record_limits: RecordLimits::new(
                stage,
                &topology.dead_letters().name,
                (&process.clients, process.describes_topics),
                &process.limits.record_bytes_max,
            ),
            group: GroupSettings {
                group: topology.group(stage.id),
                topic: stage.source.name.clone(),
                partitions: stage.source.partitions,
                traffic: stage.traffic,
                begins_at_end: settings.auto_offset_reset == OffsetReset::Latest,
                session_timeout: settings.session_timeout,
                group_instance_id: settings.group_instance_id.clone(),
                advertised: process.advertised.clone(),
                instance: process.instance.clone(),
            },
            is_awaited: stage.is_awaited,
            drain_patience: stage.drain.min(settings.shutdown_timeout / 2),
            tombstones_kept,
            changelog,
            topics_advice: topology.advice(),
            declared: stage.clone(),
            transactional_prefix: topology.transactional_prefix(stage.id),
        }
    }

    /// Whether the stage may share its workers with others. What has left the process, such as mail, cannot be taken
    /// back, so a stage that waits for its outcome must not be stopped by the failure of another one.
    pub(super) fn shares_workers(&self) -> bool {
        self.declared.drain.is_zero()
    }

    /// Which of so many shared workers takes the first partition: the stages begin with different ones.
    pub(super) fn first_worker(&self, workers: usize) -> usize {
        usize::from(self.number) % workers.max(1)
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
        let (stage, cluster) = (self.stage.to_string(), self.process.cluster.clone());
        Identity { stage, topic: self.source.clone(), partition, cluster, topic_ids: topic_ids.to_owned() }
    }

    /// Opens a store.
    ///
    /// # Errors
    /// See [`StateError`].
    pub(super) fn store(&self, identity: &Identity) -> Result<Store, StateError> {
        self.process.state.store(identity, self.process.settings.remember_days)
    }

    /// Under which the offsets of a partition's changelog are remembered.
    pub(super) fn slot(&self, partition: i32) -> ChangelogSlot {
        ChangelogSlot { changelog: self.number, partition }
    }
}

/// What some workers need: those that stages share, or those of one stage.
pub(super) struct WorkersPlan {
    pub(super) process: Arc<ProcessPlan>,
    /// The stages that they work for.
    stages: Vec<Arc<StagePlan>>,
    /// How many there are.
    pub(super) count: usize,
    /// Prefix of their transactional ids.
    transactional_prefix: String,
}

impl WorkersPlan {
    /// Workers for those of the stages that may share them. Each has a thread, a producer and four threads of the
    /// client, so there are no more than the partitions of a topic.
    pub(super) fn shared(process: &Arc<ProcessPlan>, topology: &Topology, stages: &[Arc<StagePlan>]) -> Self {
        let stages: Vec<_> = stages.iter().filter(|stage| stage.shares_workers()).cloned().collect();
        let useful = stages.iter().map(|stage| useful(&stage.declared)).max().unwrap_or_default();
        Self {
            process: Arc::clone(process),
            count: process.settings.workers.max(1).min(useful),
            stages,
            transactional_prefix: topology.worker_transactional_prefix(),
        }
    }

    /// Workers of one stage.
    pub(super) fn of(stage: &Arc<StagePlan>) -> Self {
        let process = Arc::clone(&stage.process);
        Self {
            count: process.settings.workers.max(1).min(useful(&stage.declared)),
            process,
            stages: vec![Arc::clone(stage)],
            transactional_prefix: stage.transactional_prefix.clone(),
        }
    }

    /// Largest batch of several records, in bytes.
    pub(super) fn batch_bytes(&self) -> usize {
        let batches = self.stages.iter().map(|stage| {
            stage.record_limits.look_again_where_outdated();
            stage.record_limits.batch_bytes()
        });
        batches.min().unwrap_or(usize::MAX)
    }

    /// How the producer of a worker takes part in transactions; `None` without them. Its id consists of parts that
    /// stay the same over restarts (the state directory's own name, the worker's number), and no other process has
    /// the same id at the same time, because the directory is locked. For a copied directory see [`super::worker`].
    ///
    /// # Errors
    /// As [`ProcessPlan::instance`].
    pub(super) fn transaction(&self, worker: usize) -> Result<Option<TransactionSettings>, StateError> {
        if !self.process.is_transactional() {
            return Ok(None);
        }
        let transactional_id = format!("{}{}-{worker}", self.transactional_prefix, self.process.instance()?);
        let timeout_ms =
            u64::try_from(self.process.settings.transaction_timeout.as_millis()).unwrap_or(u64::MAX);
        Ok(Some(TransactionSettings { transactional_id, timeout_ms }))
    }
}

/// How many workers a stage can use.
fn useful(stage: &Stage) -> usize {
    match stage.traffic {
        Traffic::Few => 1,
        Traffic::Tiny | Traffic::Usual => usize::try_from(stage.source.partitions).unwrap_or(1).max(1),
    }
}
