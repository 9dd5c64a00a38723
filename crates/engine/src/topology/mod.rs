//! A topology: the stages of an application and how topics tie them together, as a value.
//!
//! Whatever lists stages reads it from here: the engine that runs them, commands that make their topics, pages that show
//! them. It is checked when it is built, so that what cannot work is found before anything starts.

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

/// Names a stage: in groups, transactional ids, headers of dead letters, metrics and the state directory. Renaming one
/// makes it another stage, without offsets and state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StageId(&'static str);

impl StageId {
    /// Small letters, digits and hyphens; [`TopologyBuilder::build`] refuses others.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// As it stands in groups, transactional ids, headers and metrics.
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

/// A topic as it is to be in Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    /// The name in Kafka, namespace included.
    pub name: String,
    /// How many partitions it is made with; it may have more by now.
    pub partitions: i32,
    /// On how many brokers each record is kept; `None`: the broker's default.
    pub replication: Option<i32>,
    /// For how many days its records are kept; `None`: the broker's default, or for good where it is compacted.
    pub retention_days: Option<u32>,
    /// Whether only the newest record of each key is kept.
    pub is_compacted: bool,
    /// Its `delete.retention.ms`, where it differs from the broker's default.
    pub tombstones_kept: Option<Duration>,
    /// Largest record, in bytes, where it differs from the broker's default.
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

/// What comes from a source, as a rule. It decides how much is fetched ahead, how often, and by how many workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Traffic {
    /// Some tens of bytes, such as lines of text.
    Tiny,
    /// Some hundreds of bytes or more, such as documents.
    #[default]
    Usual,
    /// A few records a second at most, such as alerts: one worker takes them all.
    Few,
}

/// Makes the processor of one partition, on its worker's thread.
pub type ProcessorFactory = Arc<dyn Fn() -> Box<dyn Processor> + Send + Sync>;

/// A stage: a topic in, a processor, topics out. It has a consumer group of its own.
#[derive(Clone)]
pub struct Stage {
    /// Unique in the topology, and the same for good: offsets and state are found by it.
    pub id: StageId,
    /// What it reads. One task processes each partition.
    pub source: TopicPlan,
    /// Where [`Sink::Output`](crate::Sink::Output) goes.
    pub sink: TopicPlan,
    /// Where [`Sink::Named`](crate::Sink::Named) goes, by name.
    pub named_sinks: Vec<(&'static str, TopicPlan)>,
    /// Where changes of state go: compacted, with as many partitions as the source. `None` for a stage without state.
    pub changelog: Option<TopicPlan>,
    /// How its state moves where the source gets more partitions; `None`: it cannot.
    pub state_keys: Option<StateKeys>,
    /// What its processor counts beside the engine's own counters.
    pub counters: &'static [Counter],
    /// What comes from its source, as a rule.
    pub traffic: Traffic,
    /// Whether somebody waits for its outputs: one that has come at the end of its partition is committed at once, instead
    /// of at the next interval.
    pub is_awaited: bool,
    /// How long a partition that is given up waits for the outcome of what its processor has sent outside Kafka.
    pub drain: Duration,
    /// Headers that a dead letter keeps although the engine's own prefix marks them as replaceable.
    pub kept_headers: &'static [&'static str],
    /// The tables that must have been read before its first record, by name.
    pub needs: &'static [&'static str],
    /// Makes the processor of a partition: when it is assigned, and again after a failure.
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

    /// With state, whose changes go to `changelog`.
    #[must_use]
    pub fn stateful(self, changelog: TopicPlan) -> Self {
        Self { changelog: Some(changelog), ..self }
    }

    /// With state that can move to other partitions.
    #[must_use]
    pub fn movable(self, keys: StateKeys) -> Self {
        Self { state_keys: Some(keys), ..self }
    }

    /// With counters of its own.
    #[must_use]
    pub fn counting(self, counters: &'static [Counter]) -> Self {
        Self { counters, ..self }
    }

    /// With outputs that are committed as soon as they come; see [`is_awaited`](Self::is_awaited).
    #[must_use]
    pub fn awaited(self) -> Self {
        Self { is_awaited: true, ..self }
    }

    /// With tables that must have been read before its first record.
    #[must_use]
    pub fn needing(self, tables: &'static [&'static str]) -> Self {
        Self { needs: tables, ..self }
    }

    /// With a further topic to write to.
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

    /// Whether it writes what `other` reads.
    pub fn feeds(&self, other: &Self) -> bool {
        self.sinks().any(|sink| sink.name == other.source.name)
    }
}

/// Why a topology cannot work.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct TopologyError(String);

/// See the module's description.
#[derive(Clone)]
pub struct Topology {
    application: &'static str,
    namespace: String,
    dead_letters: TopicPlan,
    advice: TopicAdvice,
    tables: Vec<TableSpec>,
    /// Where sources remember their positions.
    positions: Option<TopicPlan>,
    sources: Vec<Source>,
    /// Upstream first.
    stages: Vec<Stage>,
}

impl Topology {
    /// Begins a topology. `application` names it in groups, transactional ids and stores; `namespace` goes before those
    /// names as it stands, so that several installations may share a cluster. Names of topics are taken as they are.
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

    /// The stage that somebody names.
    ///
    /// # Errors
    /// [`TopologyError`] with the names that there are.
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

    /// The tables that these stages need, and the sources where they are polled.
    pub fn tables_of(&self, stages: &[StageId], polls_sources: bool) -> impl Iterator<Item = &TableSpec> {
        let stages = stages.iter().filter_map(|stage| self.stage(*stage)).flat_map(|stage| stage.needs);
        let sources = self.sources.iter().filter(|_| polls_sources).flat_map(|source| source.needs);
        let needs: BTreeSet<&str> = stages.chain(sources).copied().collect();
        self.tables.iter().filter(move |table| needs.contains(table.name))
    }

    /// The topic in which sources remember their positions; `None` where there are no sources.
    pub fn positions(&self) -> Option<&TopicPlan> {
        self.positions.as_ref().filter(|_| !self.sources.is_empty())
    }

    /// The sources, in the order in which they were added. Whether a process polls them is decided where it starts.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The consumer group that shares the sources out.
    pub fn source_group(&self) -> String {
        format!("{}{}-sources", self.namespace, self.application)
    }

    /// The transactional id of a source: of whoever polls it.
    pub(crate) fn source_transactional_id(&self, source: SourceId) -> String {
        format!("{}{}-source-{source}", self.namespace, self.application)
    }

    /// Where records go that cannot be processed.
    pub fn dead_letters(&self) -> &TopicPlan {
        &self.dead_letters
    }

    /// The consumer group of a stage.
    pub fn group(&self, stage: StageId) -> String {
        format!("{}{}-{stage}", self.namespace, self.application)
    }

    /// What the transactional ids of a stage begin with.
    pub(crate) fn transactional_prefix(&self, stage: StageId) -> String {
        format!("{}{}-{stage}-", self.namespace, self.application)
    }

    /// What messages advise about topics.
    pub(crate) fn advice(&self) -> TopicAdvice {
        self.advice
    }

    /// The transactional id under which topics of the installation grow: one at a time.
    pub(crate) fn growth_transactional_id(&self) -> String {
        format!("{}{}-growth", self.namespace, self.application)
    }

    /// Put before all names of groups.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Every topic, each once: those of stages and sources upstream first, then tables, dead letters, changelogs and
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

    /// The counters of all stages, the engine's own first, each once.
    pub fn counters(&self) -> Vec<Counter> {
        let mut counters = Counter::ENGINE.to_vec();
        for counter in self.stages.iter().flat_map(|stage| stage.counters) {
            if !counters.contains(counter) {
                counters.push(*counter);
            }
        }
        counters
    }

    /// Those of `chosen` whose source none of the others writes.
    pub fn first_of(&self, chosen: &[StageId]) -> Vec<StageId> {
        let stages = || self.stages.iter().filter(|stage| chosen.contains(&stage.id));
        stages().filter(|stage| !stages().any(|other| other.feeds(stage))).map(|stage| stage.id).collect()
    }
}
