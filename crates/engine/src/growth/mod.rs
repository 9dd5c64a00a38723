//! Growing: more partitions for a topic that is in use, without forgetting anything.
//!
//! With another number of partitions, most keys belong to another partition, so the state of the stages that read the
//! topic must move with them. That happens while the stages are stopped, in steps that may be repeated: after any
//! crash, the same growth started again finds what is left to do.
//!
//! 1. **Refuse** while a stage that reads or writes the topic runs or has not read all of it: an older record of a
//!    key would be in another partition than a newer one. Refuse also if the state is not in the partitions of its
//!    keys.
//! 2. **Changelogs** grow. From here on no stage starts, because its changelog has more partitions than its source.
//! 3. **State moves**, partition by partition, in transactions within the changelog. State directories are caches of
//!    changelogs: they continue from where they are, and find tombstones for the entries that have left.
//! 4. **The topic** grows. A note next to the offsets of its groups says so, so still no stage starts.
//! 5. **Offsets**: new partitions are read from their beginning, and records written in the meantime go to their new
//!    place. From here on stages start again.
//!
//! | dies | then |
//! |---|---|
//! | before 2 | nothing has happened |
//! | between 2 and 5 | stages refuse to start, and name the growth to finish |
//!
//! Stop all other producers of the topic as well: a producer learns of new partitions minutes later
//! (`topic.metadata.refresh.interval.ms`), and until then writes records to the old partitions of their keys.

mod hand_over;
mod plan;
mod read;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use self::plan::{MovingState, Plan, Reading};
use self::state::{Survey, move_partition, survey};
use crate::fault::{Sabotage, is_sabotaged, refusal};
use crate::kafka::{ClientSettings, KafkaError, OffsetCommit, TransactionSettings};
use crate::link::{Admin, GroupOffsets, Producer};
use crate::{EngineSettings, StageId, Topology};

/// How many times a transactional id is registered before that counts as failed.
const TRIES: u32 = 5;

/// Why a topic does not grow.
#[derive(Debug, thiserror::Error)]
pub enum GrowthError {
    /// It cannot grow. This attempt has changed nothing.
    #[error("{0}")]
    Refused(String),
    /// Stages that must be stopped are running.
    #[error("{0}")]
    Running(String),
    /// Stages have not read everything yet.
    #[error("{0}")]
    Behind(String),
    /// Kafka does not answer, or refuses something. The same growth can be started again.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

/// A topic that grows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrownTopic {
    /// Its name in Kafka.
    pub name: String,
    /// The number of partitions that it has.
    pub from: i32,
    /// The number of partitions that it gets.
    pub to: i32,
}

/// One step of the work. Steps are taken in order; each may be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrowthStep {
    /// More partitions for the changelog of a stage.
    GrowChangelog(StageId),
    /// Moves the state of one partition of a stage to the new partitions of its keys.
    MoveState(StageId, i32),
    /// More partitions for the topic itself.
    GrowTopic,
    /// Sets where the groups start in new partitions, and moves records that were written in the meantime.
    HandOver,
}

impl fmt::Display for GrowthStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GrowChangelog(stage) => write!(f, "adding partitions to the changelog of {stage}"),
            Self::MoveState(stage, partition) => {
                write!(f, "moving the state of {stage}, partition {partition}")
            }
            Self::GrowTopic => f.write_str("adding partitions to the topic"),
            Self::HandOver => f.write_str("setting offsets of new partitions"),
        }
    }
}

/// The growth of one topic, step by step. Start with [`begin`](Self::begin).
pub struct Growth {
    plan: Plan,
    clients: ClientSettings,
    admin: Admin,
    transaction: TransactionSettings,
    producer: Option<Producer>,
    /// The topic, then changelogs.
    topics: Vec<GrownTopic>,
    surveys: BTreeMap<StageId, Survey>,
}

impl Growth {
    /// Checks whether a topic of the topology, named as in Kafka, can get this many partitions now. Changes nothing.
    ///
    /// # Errors
    /// See [`GrowthError`].
    pub fn begin(
        settings: &EngineSettings,
        topology: &Topology,
        topic: &str,
        partitions: i32,
    ) -> Result<Self, GrowthError> {
        if let Some(reason) = refusal(&settings.kafka.namespace) {
            return Err(GrowthError::Refused(reason));
        }
        let plan = Plan::new(topology, topic, partitions)?;
        let clients = ClientSettings::new(&settings.kafka)?;
        let admin = Admin::new(&clients)?;
        let topics = look_up(&admin, topology, &plan)?;
        let mut growth = Self {
            plan,
            clients,
            admin,
            transaction: TransactionSettings {
                transactional_id: topology.growth_transactional_id(),
                timeout_ms: u64::try_from(settings.transaction_timeout.as_millis()).unwrap_or(u64::MAX),
            },
            producer: None,
            topics,
            surveys: BTreeMap::new(),
        };
        if !growth.is_grown() {
            growth.check_at_rest()?;
        }
        growth.check_caught_up()?;
        if growth.plan.states().next().is_some() {
            // A transaction that an earlier attempt left open would hide the end of a changelog.
            growth.make_producer()?;
        }
        for state in growth.plan.states() {
            growth.survey(state)?;
        }
        // The survey took a while, so check again.
        growth.check_caught_up()?;
        Ok(growth)
    }

    /// The topics that grow together: the topic first, then the changelogs of the stages that read it. Topics that
    /// have all their partitions already were grown by an earlier attempt.
    pub fn topics(&self) -> &[GrownTopic] {
        &self.topics
    }

    /// Whether the topic and its changelogs have all their partitions, so that at most offsets are left to do.
    pub fn is_grown(&self) -> bool {
        self.topics.iter().all(|topic| topic.from == topic.to)
    }

    /// The remaining steps, in order.
    pub fn steps(&self) -> Vec<GrowthStep> {
        if self.is_grown() {
            return vec![GrowthStep::HandOver];
        }
        let mut steps: Vec<GrowthStep> =
            self.plan.states().map(|state| GrowthStep::GrowChangelog(state.stage)).collect();
        for state in self.plan.states() {
            steps.extend(
                (0..self.plan.partitions).map(|partition| GrowthStep::MoveState(state.stage, partition)),
            );
        }
        steps.extend([GrowthStep::GrowTopic, GrowthStep::HandOver]);
        steps
    }

    /// Takes a step. Returns how many entries of state, or records, were moved.
    ///
    /// # Errors
    /// See [`GrowthError`]; call [`begin`](Self::begin) again then.
    pub async fn perform(&mut self, step: &GrowthStep) -> Result<u64, GrowthError> {
        let (topic, to) = (self.plan.topic.clone(), self.plan.partitions);
        match step {
            GrowthStep::GrowChangelog(stage) => {
                let Some(state) = self.state(*stage) else { return Ok(0) };
                self.check_at_rest()?;
                self.check_caught_up()?;
                self.add_partitions(&state.changelog, to).await?;
                // Stages that start from now on refuse; those that started just before are seen here.
                self.check_at_rest()?;
                Ok(0)
            }
            GrowthStep::MoveState(..) if is_sabotaged(Sabotage::GrowWithoutState) => Ok(0),
            GrowthStep::MoveState(stage, partition) => {
                let Some(state) = self.state(*stage) else { return Ok(0) };
                if !self.surveys.contains_key(stage) {
                    let survey = self.survey(&state)?;
                    self.surveys.insert(*stage, survey);
                }
                self.make_producer()?;
                let (Some(producer), Some(survey)) = (&self.producer, self.surveys.get(stage)) else {
                    return Ok(0);
                };
                producer.wait_for_partitions(&state.changelog, to)?;
                move_partition(&self.clients, producer, &state, survey, (*partition, to))
            }
            GrowthStep::GrowTopic => {
                self.check_at_rest()?;
                hand_over::mark(&self.admin, &self.plan, true)?;
                self.add_partitions(&topic, to).await.map(|()| 0)
            }
            GrowthStep::HandOver => {
                self.check_at_rest()?;
                self.make_producer()?;
                let Some(producer) = &self.producer else { return Ok(0) };
                producer.wait_for_partitions(&topic, to)?;
                hand_over::hand_over(&self.clients, &self.admin, producer, &self.plan)
            }
        }
    }

    fn state(&self, stage: StageId) -> Option<MovingState> {
        self.plan.states().find(|state| state.stage == stage).cloned()
    }

    fn survey(&self, state: &MovingState) -> Result<Survey, GrowthError> {
        let counts = (self.topics[0].from, self.plan.partitions);
        let found = self.admin.partitions(&state.changelog)?.unwrap_or_default();
        survey(&self.clients, state, found, counts)
    }

    async fn add_partitions(&self, topic: &str, partitions: i32) -> Result<(), GrowthError> {
        if self.admin.partitions(topic)? == Some(partitions) {
            return Ok(());
        }
        Ok(self.admin.add_partitions(topic, partitions).await?)
    }

    /// Registers the transactional id, which ends any transaction that an earlier attempt left open.
    fn make_producer(&mut self) -> Result<(), GrowthError> {
        if self.producer.is_some() {
            return Ok(());
        }
        let producer = Producer::new(&self.clients, Some(&self.transaction))?;
        let mut ready = producer.ready();
        for _ in 1..TRIES {
            if !matches!(ready, Err(KafkaError::Retry(_))) {
                break;
            }
            ready = producer.ready();
        }
        ready?;
        self.producer = Some(producer);
        Ok(())
    }

    /// Refuses while groups have members.
    fn check_at_rest(&self) -> Result<(), GrowthError> {
        let mut running = Vec::new();
        for (stage, group) in self.plan.stages() {
            let members = self.admin.count_members(group)?;
            if members > 0 {
                running.push(format!("{stage} (group {group}, {members} members)"));
            }
        }
        if running.is_empty() {
            return Ok(());
        }
        Err(GrowthError::Running(format!(
            "stages that read or write {} are running; stop them first: {}",
            self.plan.topic,
            running.join(", ")
        )))
    }

    /// Refuses if a stage has records left to read. A resumed attempt moves unread records at its end.
    fn check_caught_up(&self) -> Result<(), GrowthError> {
        let is_untouched = self.topics[1..].iter().all(|changelog| changelog.from == self.topics[0].from);
        if self.is_grown() {
            return Ok(());
        }
        let kept = self.admin.log_offsets(&self.plan.topic)?;
        let mut behind = Vec::new();
        for reader in &self.plan.readers {
            let Reading { stage, group, state } = reader;
            let committed = committed_of(&self.admin.group(group)?, &self.plan.topic, self.topics[0].from)?;
            if state.is_none() && committed.is_empty() {
                // The stage has never worked, so it has no state.
                continue;
            }
            let (mut left, mut open) = (0, 0);
            for (partition, range) in &kept {
                let commit = committed.get(partition);
                let next = commit.map_or(range.start, |commit| commit.next_offset.max(range.start));
                left += range.end - next;
                let rewind = commit.and_then(|commit| commit.rewind_offset);
                open += i64::from(rewind.is_some_and(|rewind| rewind < range.end));
            }
            if open > 0 || left > 0 && is_untouched {
                behind.push(format!(
                    "{stage} has {left} records left, and {open} partitions with unfinished work"
                ));
            }
        }
        if behind.is_empty() {
            return Ok(());
        }
        Err(GrowthError::Behind(format!(
            "{} has not been read to its end: {}",
            self.plan.topic,
            behind.join("; ")
        )))
    }
}

/// The committed offsets of a group, by partition.
fn committed_of(
    group: &GroupOffsets,
    topic: &str,
    partitions: i32,
) -> Result<BTreeMap<i32, OffsetCommit>, KafkaError> {
    let partitions: Vec<i32> = (0..partitions).collect();
    let committed = group.committed(topic, &partitions)?;
    Ok(committed.into_iter().map(|commit| (commit.partition, commit)).collect())
}

/// The topics as they are, if the planned growth is possible.
fn look_up(admin: &Admin, topology: &Topology, plan: &Plan) -> Result<Vec<GrownTopic>, GrowthError> {
    let to = plan.partitions;
    let mut topics = Vec::new();
    for name in [&plan.topic].into_iter().chain(plan.states().map(|state| &state.changelog)) {
        let from = admin.partitions(name)?.ok_or_else(|| {
            GrowthError::Refused(format!("no such topic: {name}: {}", topology.advice().make()))
        })?;
        topics.push(GrownTopic { name: name.clone(), from, to });
    }
    let (source, from) = (&plan.topic, topics[0].from);
    let refused = |reason: String| Err(GrowthError::Refused(reason));
    if from > to {
        return refused(format!("{source} has {from} partitions, and Kafka cannot remove any"));
    }
    let others: BTreeSet<i32> = topics[1..].iter().map(|changelog| changelog.from).collect();
    let other = others.into_iter().find(|other| *other != from && *other != to);
    match other {
        Some(other) if other > from => refused(format!(
            "{source} is growing to {other} partitions: finish that first with {}",
            topology.advice().grow(source, other)
        )),
        _ if topics[1..].iter().any(|changelog| changelog.from < from) => {
            let changelog = topics[1..].iter().find(|changelog| changelog.from < from).unwrap_or(&topics[0]);
            refused(format!(
                "{source} has {from} partitions, its changelog {} has {}: partitions were added without the state, and \
                 since then keys may have state in two partitions, which cannot be merged",
                changelog.name, changelog.from
            ))
        }
        _ => Ok(topics),
    }
}

/// Whether the state of a stage shows that records of one key go where [`partition_of_key`] says, so that a record
/// that was in another partition before its topic grew belongs there now. Reads the stage's changelog; `false` if the
/// stage has no state or its changelog is empty.
///
/// # Errors
/// [`GrowthError::Kafka`] if Kafka does not answer.
///
/// [`partition_of_key`]: crate::kafka::partition_of_key
pub fn is_placed_by_key(
    clients: &ClientSettings,
    topology: &Topology,
    stage: StageId,
) -> Result<bool, GrowthError> {
    let Some(stage) = topology.stage(stage) else { return Ok(false) };
    let Ok(plan) = Plan::new(topology, &stage.source.name, 1) else { return Ok(false) };
    let Some(state) = plan.states().find(|state| state.stage == stage.id) else { return Ok(false) };
    let partitions = Admin::new(clients)?.partitions(&state.changelog)?.unwrap_or_default();
    match survey(clients, state, partitions, (partitions, partitions)) {
        Ok(survey) => Ok(survey.of_keys > 0),
        Err(GrowthError::Kafka(error)) => Err(error.into()),
        Err(_) => Ok(false),
    }
}
