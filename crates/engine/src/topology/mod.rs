//! A topology: a value that lists the stages of an application and the topics that connect them.
//!
//! Everything that lists stages reads it from here: the engine that runs them, commands that create their topics,
//! pages that show them. It is checked when it is built, so that mistakes are found before anything starts.

mod advice;
mod builder;
mod state_keys;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

pub(crate) use self::advice::TopicAdvice;
pub use self::builder::TopologyBuilder;
pub use self::state_keys::{Owner, StateKeys};
use crate::counters::Counter;
use crate::processor::Processor;
use crate::record::DAY_MS;
use crate::source::{Source, SourceId};
use crate::table::TableSpec;

/// In the place of a stage's name: workers that stages share, in transactional ids.
const WORKERS: &str = "workers";

/// Names a stage in groups, transactional ids, headers of dead letters, metrics and the state directory. A renamed
/// stage is a new stage, without offsets and state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StageId(&'static str);

impl StageId {
    /// Lower-case letters, digits and hyphens; [`TopologyBuilder::build`] refuses others.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name as it appears in groups, transactional ids, headers and metrics.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for StageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

/// The intended form of a topic in Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    /// The name in Kafka, namespace included.
    pub name: String,
    /// How many partitions it is created with; it may have more by now.
    pub partitions: i32,
    /// The number of brokers that keep each record; `None` for the broker's default.
    pub replication: Option<i32>,
    /// For how many days its records are kept; `None` for the broker's default, or for no limit if it is compacted.
    pub retention_days: Option<u32>,
    /// Whether only the newest record of each key is kept.
    pub is_compacted: bool,
    /// Its `delete.retention.ms`, if it differs from the broker's default.
    pub tombstones_kept: Option<Duration>,
    /// Its largest record, in bytes, if it differs from the broker's default.
    pub record_bytes_max: Option<usize>,
}

impl TopicPlan {
    /// A topic with the broker's defaults.
    pub fn new(name: impl Into<String>, partitions: i32) -> Self {
        Self {
            name: name.into(),
            partitions,
            replication: None,
            retention_days: None,
            is_compacted: false,
            tombstones_kept: None,
            record_bytes_max: None,
        }
    }

    /// For how many milliseconds its records are kept; `None` as for `retention_days`.
    pub fn retention_ms(&self) -> Option<i64> {
        self.retention_days.map(|days| i64::from(days) * DAY_MS)
    }

    /// The same, keeping only the newest record of each key: for changelogs and tables.
    pub fn compacted(name: impl Into<String>, partitions: i32) -> Self {
        Self { is_compacted: true, ..Self::new(name, partitions) }
    }
}

/// The typical records of a source topic. They decide how much is fetched ahead, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Traffic {
    /// Some tens of bytes, such as lines of text.
    Tiny,
    /// Some hundreds of bytes or more, such as documents.
    #[default]
    Usual,
    /// A few records a second at most, such as alerts.
    Few,
}

/// Creates the processor of one partition, on its worker's thread.
pub type ProcessorFactory = Arc<dyn Fn() -> Box<dyn Processor> + Send + Sync>;

/// A stage: a source topic, a processor, sink topics. It has its own consumer group.
#[derive(Clone)]
pub struct Stage {
    /// Unique in the topology, and never to be changed: offsets and state are found by it.
    pub id: StageId,
    /// The topic that it reads. One task processes each partition.
    pub source: TopicPlan,
    /// The topic of [`Sink::Output`](crate::Sink::Output).
    pub sink: TopicPlan,
    /// The topics of [`Sink::Named`](crate::Sink::Named), by name.
    pub named_sinks: Vec<(&'static str, TopicPlan)>,
    /// The topic of its state changes: compacted, with as many partitions as the source. `None` for a stage without
    /// state.
    pub changelog: Option<TopicPlan>,
    /// How its state moves if the source gets more partitions; `None` if it cannot move.
    pub state_keys: Option<StateKeys>,
    /// The counters of its processor, in addition to the engine's own.
    pub counters: &'static [Counter],
    /// The typical records of its source.
    pub traffic: Traffic,
    /// Whether something waits for its outputs: an output at the end of its partition is then committed at once
    /// instead of at the next interval.
    pub is_awaited: bool,
    /// How long a partition that is given up waits for the outcome of messages that its processor has sent outside
    /// Kafka.
    pub drain: Duration,
    /// Headers that a dead letter keeps although their prefix is the engine's own.
    pub kept_headers: &'static [&'static str],
    /// The tables that must have been read before its first record, by name.
    pub needs: &'static [&'static str],
    /// Creates the processor of a partition: when it is assigned, and again after a failure.
    pub processor: ProcessorFactory,
}

impl Stage {
    /// A stage without state.
    pub fn new<P: Processor + 'static>(
        id: StageId,
        source: TopicPlan,
        sink: TopicPlan,
        processor: impl Fn() -> P + Send + Sync + 'static,
    ) -> Self {
        Self {
            id,
            source,
            sink,
            named_sinks: Vec::new(),
            changelog: None,
            state_keys: None,
            counters: &[],
            traffic: Traffic::Usual,
            is_awaited: false,
            drain: Duration::ZERO,
            kept_headers: &[],
            needs: &[],
            processor: Arc::new(move || Box::new(processor())),
        }
    }

    /// Adds state whose changes go to `changelog`.
    #[must_use]
    pub fn stateful(self, changelog: TopicPlan) -> Self {
        Self { changelog: Some(changelog), ..self }
    }

    /// Adds state that can move to other partitions.
    #[must_use]
    pub fn movable(self, keys: StateKeys) -> Self {
        Self { state_keys: Some(keys), ..self }
    }

    /// Adds counters.
    #[must_use]
    pub fn counting(self, counters: &'static [Counter]) -> Self {
        Self { counters, ..self }
    }

    /// Commits outputs as soon as they are written; see [`is_awaited`](Self::is_awaited).
    #[must_use]
    pub fn awaited(self) -> Self {
        Self { is_awaited: true, ..self }
    }

    /// Adds tables that must have been read before its first record.
    #[must_use]
    pub fn needing(self, tables: &'static [&'static str]) -> Self {
        Self { needs: tables, ..self }
    }

    /// Adds a further topic to write to.
    #[must_use]
    pub fn named_sink(mut self, name: &'static str, topic: TopicPlan) -> Self {
        self.named_sinks.push((name, topic));
        self
    }

    /// Whether it keeps state.
    pub fn is_stateful(&self) -> bool {
        self.changelog.is_some()
    }

    pub(crate) fn sinks(&self) -> impl Iterator<Item = &TopicPlan> {
        std::iter::once(&self.sink).chain(self.named_sinks.iter().map(|(_, topic)| topic))
    }

    /// Whether it writes to the source of `other`.
    pub fn feeds(&self, other: &Self) -> bool {
        self.sinks().any(|sink| sink.name == other.source.name)
    }
}

/// Why a topology cannot work.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct TopologyError(String);

/// The stages, tables and sources of an application; see the module's description.
#[derive(Clone)]
pub struct Topology {
    application: &'static str,
    namespace: String,
    dead_letters: TopicPlan,
    advice: TopicAdvice,
    tables: Vec<TableSpec>,
    /// The topic of the positions of sources.
    positions: Option<TopicPlan>,
    sources: Vec<Source>,
    /// Upstream first.
    stages: Vec<Stage>,
}

impl Topology {
    /// Starts a topology. `application` names it in groups, transactional ids and stores. `namespace` precedes those
    /// names exactly as written, so that several installations may share a cluster. Names of topics are used
    /// unchanged.
    pub fn builder(
        application: &'static str,
        namespace: impl Into<String>,
        dead_letters: TopicPlan,
    ) -> TopologyBuilder {
        let namespace = namespace.into();
        TopologyBuilder(Self {
            application,
            namespace,
            dead_letters,
            advice: TopicAdvice::default(),
            tables: Vec::new(),
            positions: None,
            sources: Vec::new(),
            stages: Vec::new(),
        })
    }

    /// The stages, upstream first.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// A stage by its name.
    pub fn stage(&self, id: StageId) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.id == id)
    }

    /// The stage with a name that a user has entered.
    ///
    /// # Errors
    /// [`TopologyError`] with the names that exist.
    pub fn find(&self, name: &str) -> Result<&Stage, TopologyError> {
        self.stages.iter().find(|stage| stage.id.as_str() == name).ok_or_else(|| {
            let names: Vec<&str> = self.stages.iter().map(|stage| stage.id.as_str()).collect();
            TopologyError(format!("unknown stage `{name}`: expected one of {}", names.join(", ")))
        })
    }

    /// The tables, in the order in which they were added.
    pub fn tables(&self) -> &[TableSpec] {
        &self.tables
    }

    /// The tables that these stages need, and the sources if this process polls them.
    pub fn tables_of(&self, stages: &[StageId], polls_sources: bool) -> impl Iterator<Item = &TableSpec> {
        let stages = stages.iter().filter_map(|stage| self.stage(*stage)).flat_map(|stage| stage.needs);
        let sources = self.sources.iter().filter(|_| polls_sources).flat_map(|source| source.needs);
        let needs: BTreeSet<&str> = stages.chain(sources).copied().collect();
        self.tables.iter().filter(move |table| needs.contains(table.name))
    }

    /// The topic of the positions of sources; `None` if there are no sources.
    pub fn positions(&self) -> Option<&TopicPlan> {
        self.positions.as_ref().filter(|_| !self.sources.is_empty())
    }

    /// The sources, in the order in which they were added. The options of a start decide whether a process polls
    /// them.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The consumer group that divides the sources among processes.
    pub fn source_group(&self) -> String {
        format!("{}{}-sources", self.namespace, self.application)
    }

    /// The transactional id of a source, used by the process that polls it.
    pub(crate) fn source_transactional_id(&self, source: SourceId) -> String {
        format!("{}{}-source-{source}", self.namespace, self.application)
    }

    /// The topic for records that cannot be processed.
    pub fn dead_letters(&self) -> &TopicPlan {
        &self.dead_letters
    }

    /// The consumer group of a stage.
    pub fn group(&self, stage: StageId) -> String {
        format!("{}{}-{stage}", self.namespace, self.application)
    }

    /// Prefix of the transactional ids of a stage.
    pub(crate) fn transactional_prefix(&self, stage: StageId) -> String {
        format!("{}{}-{stage}-", self.namespace, self.application)
    }

    /// Prefix of the transactional ids of the workers that stages share. No stage has this name.
    pub(crate) fn worker_transactional_prefix(&self) -> String {
        format!("{}{}-{WORKERS}-", self.namespace, self.application)
    }

    /// The advice about topics in messages.
    pub(crate) fn advice(&self) -> TopicAdvice {
        self.advice
    }

    /// The transactional id used for growing topics of the installation, one at a time.
    pub(crate) fn growth_transactional_id(&self) -> String {
        format!("{}{}-growth", self.namespace, self.application)
    }

    /// Prefix of all group names.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Every topic, once each: those of stages and sources upstream first, then tables, dead letters, changelogs and
    /// positions.
    pub fn topics(&self) -> Vec<TopicPlan> {
        let data = self.stages.iter().flat_map(|stage| std::iter::once(&stage.source).chain(stage.sinks()));
        let changelogs = self.stages.iter().filter_map(|stage| stage.changelog.as_ref());
        let fetched = self.sources.iter().flat_map(|source| source.sinks.iter().map(|(_, topic)| topic));
        let mut seen = BTreeSet::new();
        let tables = self.tables.iter().map(|table| &table.topic);
        let all = data.chain(fetched).chain(tables).chain([&self.dead_letters]).chain(changelogs);
        let all = all.chain(self.positions());
        all.filter(|topic| seen.insert(topic.name.clone())).cloned().collect()
    }

    /// The counters of all stages, once each, the engine's own first.
    pub fn counters(&self) -> Vec<Counter> {
        let mut counters = Counter::ENGINE.to_vec();
        for counter in self.stages.iter().flat_map(|stage| stage.counters) {
            if !counters.contains(counter) {
                counters.push(*counter);
            }
        }
        counters
    }

    /// The stages of `chosen` whose source none of the other chosen stages writes.
    pub fn first_of(&self, chosen: &[StageId]) -> Vec<StageId> {
        let stages = || self.stages.iter().filter(|stage| chosen.contains(&stage.id));
        stages().filter(|stage| !stages().any(|other| other.feeds(stage))).map(|stage| stage.id).collect()
    }
}
