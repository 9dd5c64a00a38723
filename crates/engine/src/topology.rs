//! A topology: the stages of an application and how topics tie them together, as a value.
//!
//! Whatever lists stages reads it from here: the engine that runs them, commands that make their topics, pages that show
//! them. It is checked when it is built, so that what cannot work is found before anything starts.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::counters::Counter;
use crate::processor::Processor;
use crate::record::DAY_MS;
use crate::table::{Table, TableSpec};

/// Names a stage: in groups, transactional ids, headers of dead letters, metrics and the state directory. Renaming one
/// makes it another stage, without offsets and state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StageId(&'static str);

impl StageId {
    /// Small letters, digits and hyphens; [`TopologyBuilder::build`] refuses others.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name.
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
    /// Its name in Kafka, namespace included.
    pub name: String,
    /// Its partitions.
    pub partitions: i32,
    /// Its replication factor; `None`: the broker's default.
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

    /// Its `retention.ms`.
    pub fn retention_ms(&self) -> Option<i64> {
        self.retention_days.map(|days| i64::from(days) * DAY_MS)
    }

    /// The same, keeping only the newest record of each key: for changelogs and tables.
    pub fn compacted(name: impl Into<String>, partitions: i32) -> Self {
        Self { is_compacted: true, ..Self::new(name, partitions) }
    }
}

/// How large the records of a source are, as a rule. It decides how much is fetched ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordSize {
    /// Some tens of bytes, such as lines of text.
    Tiny,
    /// Some hundreds of bytes or more, such as documents.
    #[default]
    Usual,
}

/// Makes the processor of one partition, on its worker's thread.
pub type ProcessorFactory = Arc<dyn Fn() -> Box<dyn Processor> + Send + Sync>;

/// A stage: a topic in, a processor, topics out. It has a consumer group of its own.
#[derive(Clone)]
pub struct Stage {
    /// Its name.
    pub id: StageId,
    /// What it reads. One task processes each partition.
    pub source: TopicPlan,
    /// Where [`Sink::Output`](crate::Sink::Output) goes.
    pub sink: TopicPlan,
    /// Where [`Sink::Named`](crate::Sink::Named) goes, by name.
    pub named_sinks: Vec<(&'static str, TopicPlan)>,
    /// Where changes of state go: compacted, with as many partitions as the source. `None` for a stage without state.
    pub changelog: Option<TopicPlan>,
    /// What its processor counts beside the engine's own counters.
    pub counters: &'static [Counter],
    /// See [`RecordSize`].
    pub records: RecordSize,
    /// How long a partition that is given up waits for the outcome of what its processor has sent outside Kafka.
    pub drain: Duration,
    /// Headers that a dead letter keeps although the engine's own prefix marks them as replaceable.
    pub kept_headers: &'static [&'static str],
    /// The tables that must have been read before its first record, by name.
    pub needs: &'static [&'static str],
    /// See [`ProcessorFactory`].
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
            counters: &[],
            records: RecordSize::Usual,
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

    /// With counters of its own.
    #[must_use]
    pub fn counting(self, counters: &'static [Counter]) -> Self {
        Self { counters, ..self }
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

    fn sinks(&self) -> impl Iterator<Item = &TopicPlan> {
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
    /// See [`TopologyBuilder::topics_made_by`].
    topics_command: &'static str,
    tables: Vec<TableSpec>,
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
        let topics_command = "";
        TopologyBuilder(Self {
            application,
            namespace,
            dead_letters,
            topics_command,
            tables: Vec::new(),
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

    /// The tables.
    pub fn tables(&self) -> &[TableSpec] {
        &self.tables
    }

    /// The tables that these stages need.
    pub fn tables_of(&self, stages: &[StageId]) -> impl Iterator<Item = &TableSpec> {
        let needs: BTreeSet<&str> = stages
            .iter()
            .filter_map(|stage| self.stage(*stage))
            .flat_map(|stage| stage.needs)
            .copied()
            .collect();
        self.tables.iter().filter(move |table| needs.contains(table.name))
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

    /// What to do about topics that are missing, as the end of a sentence.
    pub(crate) fn advice(&self) -> String {
        match self.topics_command {
            "" => "make them before the engine starts (Topology::topics lists them)".to_owned(),
            command => format!("make them with `{command}`"),
        }
    }

    /// Put before all names of groups.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Every topic, each once: sources and sinks upstream first, then tables, dead letters and changelogs.
    pub fn topics(&self) -> Vec<TopicPlan> {
        let data = self.stages.iter().flat_map(|stage| std::iter::once(&stage.source).chain(stage.sinks()));
        let changelogs = self.stages.iter().filter_map(|stage| stage.changelog.as_ref());
        let mut seen = BTreeSet::new();
        let tables = self.tables.iter().map(|table| &table.topic);
        let all = data.chain(tables).chain([&self.dead_letters]).chain(changelogs);
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

/// Collects stages; [`build`](Self::build) checks them.
#[derive(Clone)]
pub struct TopologyBuilder(Topology);

impl TopologyBuilder {
    /// Adds a stage.
    #[must_use]
    pub fn stage(mut self, stage: Stage) -> Self {
        self.0.stages.push(stage);
        self
    }

    /// Adds a table; `table` makes it, once for each engine.
    #[must_use]
    pub fn table<T: Table + 'static>(
        mut self,
        name: &'static str,
        topic: TopicPlan,
        table: impl Fn() -> T + Send + Sync + 'static,
    ) -> Self {
        self.0.tables.push(TableSpec { name, topic, table: Arc::new(move || Box::new(table())) });
        self
    }

    /// The command of the application that makes its topics, for messages that advise it.
    #[must_use]
    pub fn topics_made_by(mut self, command: &'static str) -> Self {
        self.0.topics_command = command;
        self
    }

    /// Checks the stages and puts them in order, upstream first.
    ///
    /// # Errors
    /// [`TopologyError`] with the first thing that cannot work.
    pub fn build(mut self) -> Result<Topology, TopologyError> {
        self.0.stages.iter().try_for_each(check_stage)?;
        check_names(&self.0.stages)?;
        check_tables(&self.0)?;
        check_counters(&self.0.stages)?;
        self.0.stages = in_order(std::mem::take(&mut self.0.stages))?;
        Ok(self.0)
    }
}

fn check_stage(stage: &Stage) -> Result<(), TopologyError> {
    let id = stage.id.as_str();
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let wrong = |what: String| Err(TopologyError(format!("stage {id}: {what}")));
    if id.is_empty() || !id.chars().all(is_plain) {
        return wrong("its name must be of small letters, digits and hyphens".into());
    }
    if stage.feeds(stage) {
        return wrong(format!("it writes {}, which it reads", stage.source.name));
    }
    let Some(changelog) = &stage.changelog else { return Ok(()) };
    if changelog.partitions != stage.source.partitions {
        return wrong(format!(
            "its changelog {} has {} partitions, its source {} has {}: they must be equal",
            changelog.name, changelog.partitions, stage.source.name, stage.source.partitions
        ));
    }
    if !changelog.is_compacted {
        return wrong(format!("its changelog {} is not compacted: Kafka would delete state", changelog.name));
    }
    Ok(())
}

fn check_names(stages: &[Stage]) -> Result<(), TopologyError> {
    let (mut ids, mut changelogs) = (BTreeSet::new(), BTreeMap::new());
    for stage in stages {
        if !ids.insert(stage.id) {
            return Err(TopologyError(format!("two stages are called {}", stage.id)));
        }
        let Some(changelog) = &stage.changelog else { continue };
        if let Some(other) = changelogs.insert(&changelog.name, stage.id) {
            let name = &changelog.name;
            return Err(TopologyError(format!("stages {other} and {} share the changelog {name}", stage.id)));
        }
    }
    let is_written = |name: &str| stages.iter().flat_map(Stage::sinks).any(|sink| sink.name == name);
    match changelogs.keys().find(|name| is_written(name)) {
        Some(name) => Err(TopologyError(format!("the changelog {name} is also a sink"))),
        None => Ok(()),
    }
}

fn check_tables(topology: &Topology) -> Result<(), TopologyError> {
    for table in &topology.tables {
        if !table.topic.is_compacted {
            let message = format!("table {}: its topic {} is not compacted", table.name, table.topic.name);
            return Err(TopologyError(message));
        }
    }
    for stage in &topology.stages {
        let is_missing = |name: &&&str| !topology.tables.iter().any(|table| table.name == **name);
        if let Some(missing) = stage.needs.iter().find(is_missing) {
            return Err(TopologyError(format!("stage {}: there is no table {missing}", stage.id)));
        }
    }
    Ok(())
}

/// Two names for one place, or one name for two, would mix what is counted.
fn check_counters(stages: &[Stage]) -> Result<(), TopologyError> {
    let mut known: Vec<Counter> = Counter::ENGINE.to_vec();
    for counter in stages.iter().flat_map(|stage| stage.counters) {
        let other = known.iter().find(|other| {
            other.place() == counter.place() && other.name() != counter.name()
                || other.place() != counter.place() && other.name() == counter.name()
        });
        if let Some(other) = other {
            let (one, two) = (other.name(), counter.name());
            let message = format!("counters `{one}` and `{two}` have one place, or one name and two places");
            return Err(TopologyError(message));
        }
        known.push(*counter);
    }
    Ok(())
}

/// Upstream first; stages that do not feed each other stay in the order in which they were added.
fn in_order(mut left: Vec<Stage>) -> Result<Vec<Stage>, TopologyError> {
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let is_first = |stage: &Stage| !left.iter().any(|other| other.id != stage.id && other.feeds(stage));
        let Some(index) = left.iter().position(is_first) else {
            let names: Vec<Cow<'static, str>> = left.iter().map(|stage| stage.id.as_str().into()).collect();
            return Err(TopologyError(format!("stages {} feed each other in a circle", names.join(", "))));
        };
        ordered.push(left.remove(index));
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, Record, StateError};

    struct Nothing;

    impl Processor for Nothing {
        fn process(&mut self, _: &Record<'_>, _: &mut Context<'_>) -> Result<(), StateError> {
            Ok(())
        }
    }

    fn stage(id: &'static str, source: &str, sink: &str) -> Stage {
        let (source, sink) = (TopicPlan::new(source, 5), TopicPlan::new(sink, 5));
        Stage::new(StageId::new(id), source, sink, || Nothing)
    }

    fn build(stages: impl IntoIterator<Item = Stage>) -> Result<Topology, String> {
        let builder = Topology::builder("app", "test.", TopicPlan::new("dead", 5));
        let built = stages.into_iter().fold(builder, TopologyBuilder::stage).build();
        built.map_err(|error| error.to_string())
    }

    #[test]
    fn stages_are_put_in_order_and_know_their_names() {
        let topology =
            build([stage("c", "two", "three"), stage("b", "one", "two"), stage("a", "x", "one")]).unwrap();
        let order: Vec<&str> = topology.stages().iter().map(|stage| stage.id.as_str()).collect();
        assert_eq!(order, ["a", "b", "c"]);
        assert_eq!(topology.group(StageId::new("b")), "test.app-b");
        let names: Vec<String> = topology.topics().into_iter().map(|topic| topic.name).collect();
        assert_eq!(names, ["x", "one", "two", "three", "dead"]);
        let [b, c] = [StageId::new("b"), StageId::new("c")];
        assert_eq!(topology.first_of(&[c, b]), [b]);
        assert!(topology.find("d").err().expect("unknown").to_string().contains("expected one of a, b, c"));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        const WORDS: &[Counter] = &[Counter::new(0, "words", "")];
        const LINES: &[Counter] = &[Counter::new(0, "lines", "")];
        let log = |partitions| TopicPlan::compacted("log", partitions);
        let refused = |stages: Vec<Stage>| build(stages).err().expect("refused");
        for (stages, reason) in [
            (vec![stage("a", "x", "y"), stage("a", "y", "z")], "two stages are called a"),
            (vec![stage("A b", "x", "y")], "small letters"),
            (vec![stage("a", "x", "x")], "which it reads"),
            (vec![stage("a", "x", "y"), stage("b", "y", "x")], "in a circle"),
            (vec![stage("a", "x", "y").stateful(log(3))], "must be equal"),
            (vec![stage("a", "x", "y").stateful(TopicPlan::new("log", 5))], "not compacted"),
            (
                vec![stage("a", "x", "y").stateful(log(5)), stage("b", "y", "z").stateful(log(5))],
                "share the changelog",
            ),
            (vec![stage("a", "x", "log").stateful(log(5))], "also a sink"),
            (vec![stage("a", "x", "y").needing(&["prices"])], "there is no table prices"),
            (vec![stage("a", "x", "y").counting(WORDS), stage("b", "y", "z").counting(LINES)], "counters"),
        ] {
            let found = refused(stages);
            assert!(found.contains(reason), "{found}");
        }
    }
}
