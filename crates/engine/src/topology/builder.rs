//! Builds a topology, and refuses one that cannot work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Stage, Topology, TopologyError, WORKERS};
use crate::TopicPlan;
use crate::counters::Counter;
use crate::source::Source;
use crate::table::{Table, TableSpec};

/// Collects stages; [`build`](Self::build) checks them.
#[derive(Clone)]
pub struct TopologyBuilder(pub(super) Topology);

impl TopologyBuilder {
    /// Adds a stage.
    #[must_use]
    pub fn stage(mut self, stage: Stage) -> Self {
        self.0.stages.push(stage);
        self
    }

    /// Adds a table; `table` creates it, once for each engine.
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

    /// The compacted topic in which sources remember their positions, with a partition for each source.
    #[must_use]
    pub fn positions(mut self, topic: TopicPlan) -> Self {
        self.0.positions = Some(topic);
        self
    }

    /// Adds a source.
    #[must_use]
    pub fn source(mut self, source: Source) -> Self {
        self.0.sources.push(source);
        self
    }

    /// The application's command that creates its topics; messages refer to it.
    #[must_use]
    pub fn topics_made_by(mut self, command: &'static str) -> Self {
        self.0.advice.make = command;
        self
    }

    /// The application's command that gives topics more partitions; messages refer to it. It takes a topic and
    /// `--partitions N`.
    #[must_use]
    pub fn topics_grown_by(mut self, command: &'static str) -> Self {
        self.0.advice.grow = command;
        self
    }

    /// Checks the stages and sorts them, upstream first.
    ///
    /// # Errors
    /// [`TopologyError`] with the first mistake.
    pub fn build(mut self) -> Result<Topology, TopologyError> {
        self.0.stages.iter().try_for_each(check_stage)?;
        check_names(&self.0.stages)?;
        check_tables(&self.0)?;
        check_sources(&self.0)?;
        check_counters(&self.0.stages)?;
        self.0.stages = in_order(std::mem::take(&mut self.0.stages))?;
        Ok(self.0)
    }
}

/// Names become parts of groups, transactional ids and folders.
fn is_plain(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.chars().all(is_plain)
}

fn check_sources(topology: &Topology) -> Result<(), TopologyError> {
    let (mut ids, mut partitions) = (BTreeSet::new(), BTreeMap::new());
    for Source { id, partition, sinks, needs, .. } in &topology.sources {
        let wrong = |what: String| Err(TopologyError(format!("source {id}: {what}")));
        let Some(positions) = &topology.positions else {
            return wrong("there is no topic of positions".into());
        };
        let name = &positions.name;
        if !positions.is_compacted {
            return wrong(format!("the topic of positions {name} is not compacted: Kafka would delete them"));
        }
        if !is_plain(id.as_str()) {
            return wrong("its name must consist of lower-case letters, digits and hyphens".into());
        }
        if !ids.insert(id) {
            return wrong("another source has the same name".into());
        }
        if !(0..positions.partitions).contains(partition) {
            return wrong(format!("its partition is {partition}, {name} has {}", positions.partitions));
        }
        if let Some(other) = partitions.insert(partition, id) {
            return wrong(format!("its partition {partition} of {name} is that of source {other}"));
        }
        if let Some(missing) =
            needs.iter().find(|name| !topology.tables.iter().any(|table| table.name == **name))
        {
            return wrong(format!("it needs table {missing}, which is not in the topology"));
        }
        if sinks.iter().any(|(_, sink)| sink.name == *name) {
            return wrong(format!("it writes to {name}, which holds positions"));
        }
    }
    Ok(())
}

fn check_stage(stage: &Stage) -> Result<(), TopologyError> {
    let id = stage.id.as_str();
    let wrong = |what: String| Err(TopologyError(format!("stage {id}: {what}")));
    if !is_plain(id) {
        return wrong("its name must consist of lower-case letters, digits and hyphens".into());
    }
    if id == WORKERS {
        return wrong("the engine uses this name itself".into());
    }
    if stage.feeds(stage) {
        return wrong(format!("it writes to {}, which it also reads", stage.source.name));
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
            return Err(TopologyError(format!(
                "stage {}: it needs table {missing}, which is not in the topology",
                stage.id
            )));
        }
    }
    Ok(())
}

/// Two names for one place, or one name for two places, would mix up counts.
fn check_counters(stages: &[Stage]) -> Result<(), TopologyError> {
    let mut known: Vec<Counter> = Counter::ENGINE.to_vec();
    for counter in stages.iter().flat_map(|stage| stage.counters) {
        let other = known.iter().find(|other| {
            other.place() == counter.place() && other.name() != counter.name()
                || other.place() != counter.place() && other.name() == counter.name()
        });
        if let Some(other) = other {
            let (one, two) = (other.name(), counter.name());
            let message = format!(
                "counters `{one}` and `{two}` have the same place, or the same name and different places"
            );
            return Err(TopologyError(message));
        }
        known.push(*counter);
    }
    Ok(())
}

/// Upstream first; stages that do not feed each other keep the order in which they were added.
fn in_order(mut left: Vec<Stage>) -> Result<Vec<Stage>, TopologyError> {
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let is_first = |stage: &Stage| !left.iter().any(|other| other.id != stage.id && other.feeds(stage));
        let Some(index) = left.iter().position(is_first) else {
            let names: Vec<&str> = left.iter().map(|stage| stage.id.as_str()).collect();
            return Err(TopologyError(format!("stages {} feed each other in a circle", names.join(", "))));
        };
        ordered.push(left.remove(index));
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::{
        Batch, Context, PollError, Poller, Position, Processor, Record, SourceId, StageId, StateError,
    };

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
    fn sources_that_cannot_work_are_refused() {
        struct Silent;
        impl Poller for Silent {
            fn poll(&mut self, _: &Position, _: i64) -> Result<Batch, PollError> {
                Ok(Batch::default())
            }
        }
        let source = |id, partition| Source {
            id: SourceId::new(id),
            partition,
            sinks: vec![("lines", TopicPlan::new("lines", 5))],
            interval: Duration::from_secs(60),
            late_after: Duration::from_secs(600),
            needs: &[],
            poller: Arc::new(|| Box::new(Silent)),
        };
        let build = |positions: TopicPlan, sources: Vec<Source>| {
            let builder = Topology::builder("app", "test.", TopicPlan::new("dead", 5)).positions(positions);
            let built = sources.into_iter().fold(builder, TopologyBuilder::source).build();
            built.map_err(|error| error.to_string())
        };
        let positions = || TopicPlan::compacted("positions", 2);
        let topology = build(positions(), vec![source("a", 0), source("b", 1)]).unwrap();
        let names: Vec<String> = topology.topics().into_iter().map(|topic| topic.name).collect();
        assert_eq!(names, ["lines", "dead", "positions"]);
        assert_eq!(topology.source_group(), "test.app-sources");
        let refused = |positions, sources| build(positions, sources).err().expect("refused");
        for (positions, sources, reason) in [
            (positions(), vec![source("a", 0), source("a", 1)], "another source has the same name"),
            (positions(), vec![source("a", 0), source("b", 0)], "that of source a"),
            (positions(), vec![source("a", 2)], "positions has 2"),
            (positions(), vec![source("A", 0)], "lower-case letters"),
            (TopicPlan::new("positions", 2), vec![source("a", 0)], "not compacted"),
            (TopicPlan::compacted("lines", 2), vec![source("a", 0)], "which holds positions"),
        ] {
            let found = refused(positions, sources);
            assert!(found.contains(reason), "{found}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused() {
        const WORDS: &[Counter] = &[Counter::new(0, "words", "")];
        const LINES: &[Counter] = &[Counter::new(0, "lines", "")];
        let log = |partitions| TopicPlan::compacted("log", partitions);
        let refused = |stages: Vec<Stage>| build(stages).err().expect("refused");
        for (stages, reason) in [
            (vec![stage("a", "x", "y"), stage("a", "y", "z")], "two stages are called a"),
            (vec![stage("A b", "x", "y")], "lower-case letters"),
            (vec![stage("workers", "x", "y")], "uses this name itself"),
            (vec![stage("a", "x", "x")], "which it also reads"),
            (vec![stage("a", "x", "y"), stage("b", "y", "x")], "in a circle"),
            (vec![stage("a", "x", "y").stateful(log(3))], "must be equal"),
            (vec![stage("a", "x", "y").stateful(TopicPlan::new("log", 5))], "not compacted"),
            (
                vec![stage("a", "x", "y").stateful(log(5)), stage("b", "y", "z").stateful(log(5))],
                "share the changelog",
            ),
            (vec![stage("a", "x", "log").stateful(log(5))], "also a sink"),
            (vec![stage("a", "x", "y").needing(&["prices"])], "it needs table prices"),
            (vec![stage("a", "x", "y").counting(WORDS), stage("b", "y", "z").counting(LINES)], "counters"),
        ] {
            let found = refused(stages);
            assert!(found.contains(reason), "{found}");
        }
    }
}
