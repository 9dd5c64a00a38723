//! Which topics grow together, and which stages must be stopped for it.

use super::GrowthError;
use crate::kafka::OffsetCommit;
use crate::{StageId, StateKeys, Topology};

/// A topic that will grow, with the topics and stages around it.
pub(super) struct Plan {
    /// Its name in Kafka.
    pub(super) topic: String,
    /// The number of partitions that it gets.
    pub(super) partitions: i32,
    /// The stages that read it.
    pub(super) readers: Vec<Reading>,
    /// The stages that only write it, with their groups: their producers learn of new partitions late.
    pub(super) writers: Vec<(StageId, String)>,
}

/// A stage that reads the topic.
pub(super) struct Reading {
    pub(super) stage: StageId,
    pub(super) group: String,
    /// Its state; `None` if it has none.
    pub(super) state: Option<MovingState>,
}

/// The state of a stage.
#[derive(Clone)]
pub(super) struct MovingState {
    pub(super) stage: StageId,
    /// The changelog's name in Kafka.
    pub(super) changelog: String,
    pub(super) keys: StateKeys,
}

impl Plan {
    /// Makes the plan without asking Kafka.
    ///
    /// # Errors
    /// [`GrowthError::Refused`] if records of this topic must not change their partition.
    pub(super) fn new(topology: &Topology, topic: &str, partitions: i32) -> Result<Self, GrowthError> {
        let refused = |reason: String| Err(GrowthError::Refused(format!("{topic} cannot grow: {reason}")));
        if topology.tables().iter().any(|table| table.topic.name == topic) {
            return refused(
                "it is a table: the newest record of each key counts, and their order would be lost".into(),
            );
        }
        for stage in topology.stages() {
            if stage.changelog.as_ref().is_some_and(|changelog| changelog.name == topic) {
                let (source, stage) = (&stage.source.name, stage.id);
                return refused(format!(
                    "it is the changelog of {stage}, which grows together with {source}: name {source} instead"
                ));
            }
        }
        if !topology.topics().iter().any(|known| known.name == topic) {
            return refused("no stage of this installation reads or writes it".into());
        }
        let mut plan = Self { topic: topic.to_owned(), partitions, readers: Vec::new(), writers: Vec::new() };
        for stage in topology.stages() {
            let group = topology.group(stage.id);
            let writes = stage.sinks().chain([topology.dead_letters()]).any(|sink| sink.name == topic);
            if stage.source.name != topic {
                plan.writers.extend(writes.then_some((stage.id, group)));
                continue;
            }
            let state = match (&stage.changelog, stage.state_keys) {
                (None, _) => None,
                (Some(changelog), Some(keys)) => {
                    Some(MovingState { stage: stage.id, changelog: changelog.name.clone(), keys })
                }
                (Some(_), None) => {
                    return refused(format!(
                        "stage {} does not say how its state moves to other partitions",
                        stage.id
                    ));
                }
            };
            plan.readers.push(Reading { stage: stage.id, group, state });
        }
        Ok(plan)
    }

    /// A position in the topic while it grows.
    pub(super) fn growing(&self, partition: i32, next_offset: i64) -> OffsetCommit {
        OffsetCommit { grows_to: Some(self.partitions), ..OffsetCommit::new(partition, next_offset) }
    }

    /// The states of the stages that read the topic.
    pub(super) fn states(&self) -> impl Iterator<Item = &MovingState> {
        self.readers.iter().filter_map(|reader| reader.state.as_ref())
    }

    /// The stages that must be stopped, with their groups.
    pub(super) fn stages(&self) -> impl Iterator<Item = (StageId, &str)> {
        let readers = self.readers.iter().map(|reader| (reader.stage, reader.group.as_str()));
        readers.chain(self.writers.iter().map(|(stage, group)| (*stage, group.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, Owner, Processor, Record, Stage, StateError, Table, TopicPlan};

    struct Nothing;

    impl Processor for Nothing {
        fn process(&mut self, _: &Record<'_>, _: &mut Context<'_>) -> Result<(), StateError> {
            Ok(())
        }
    }

    impl Table for Nothing {
        fn take(&mut self, _: &Record<'_>) -> Result<(), StateError> {
            Ok(())
        }
    }

    fn topology() -> Topology {
        let stage = |id, source: &str, sink: &str| {
            Stage::new(StageId::new(id), TopicPlan::new(source, 5), TopicPlan::new(sink, 5), || Nothing)
        };
        let log = |name: &str| TopicPlan::compacted(name, 5);
        Topology::builder("app", "x.", TopicPlan::new("dead", 5))
            .stage(
                stage("a", "one", "two")
                    .stateful(log("a-log"))
                    .movable(StateKeys::of_keys(|key| Some(Owner::Key(key)))),
            )
            .stage(stage("b", "two", "three"))
            .stage(stage("c", "two", "four").stateful(log("c-log")))
            .table("prices", log("prices"), || Nothing)
            .build()
            .unwrap()
    }

    #[test]
    fn readers_and_writers_are_found() {
        let topology = topology();
        let plan = Plan::new(&topology, "one", 8).unwrap();
        let groups: Vec<(&str, &str)> = plan.stages().map(|(stage, group)| (stage.as_str(), group)).collect();
        assert_eq!(groups, [("a", "x.app-a")]);
        assert_eq!(plan.states().map(|state| state.changelog.as_str()).collect::<Vec<_>>(), ["a-log"]);
        let plan = Plan::new(&topology, "three", 8).unwrap();
        assert_eq!(plan.stages().map(|(stage, _)| stage.as_str()).collect::<Vec<_>>(), ["b"]);
        let plan = Plan::new(&topology, "dead", 8).unwrap();
        assert_eq!(plan.writers.len(), 3);
    }

    #[test]
    fn topics_whose_records_must_stay_are_refused() {
        let topology = topology();
        for (topic, reason) in [
            ("two", "stage c does not say how its state moves"),
            ("a-log", "changelog of a, which grows together with one"),
            ("prices", "it is a table"),
            ("five", "no stage"),
        ] {
            let error = Plan::new(&topology, topic, 8).err().unwrap().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
