//! The model: the stages' own processors, fed with the records in the topics, without threads, crashes or a broker.
//! Its output is the expected content.
//!
//! Each stage is fed with the final content of its source topic, not with the output of the model of the stage before
//! it. So a mistake is reported once, at the stage that made it, and `_meta`, which contains real offsets, matches.

use std::collections::BTreeMap;
use std::sync::Arc;

use frostline_engine::driver::{TestDriver, Written};
use frostline_engine::kafka::partition_of_key;
use frostline_engine::store::{Change, Checkpoint};
use frostline_engine::{Owner, Sink, Source, Stage, StageId, StartError, StateKeys, Topology};

use super::compare::Item;
use super::entries::{self, Entries};
use super::past::{Ends, Grown};
use super::topic_log::{Kept, mark, origin};
use super::{ChaosError, Installation};
use crate::app::{self, Ingredients};
use crate::rules::RuleSet;

/// Each value of a store begins with its day.
const DAY_BYTES: usize = 4;

/// The expected output of a stage.
#[derive(Default)]
pub(super) struct Expected {
    pub(super) outputs: Vec<Item>,
    pub(super) dead_letters: Vec<Item>,
    /// Alerts by transition.
    pub(super) transitions: BTreeMap<String, u64>,
    /// By partition of the source.
    pub(super) stores: BTreeMap<i32, Entries>,
}

/// The inputs of the processors.
pub(super) struct Model {
    partitions: i32,
    topology: Topology,
}

impl Model {
    pub(super) fn new(installation: &Installation) -> Result<Self, ChaosError> {
        let config = &installation.config;
        let rules = RuleSet::parse(&installation.rules())
            .map_err(|mistakes| ChaosError::Broken(format!("the rules: {mistakes:?}")))?;
        let broken = |error: StartError| ChaosError::Broken(error.to_string());
        let ingredients = Ingredients::new(config, Arc::new(rules), None).map_err(broken)?;
        let partitions = installation.options.partitions;
        installation.stations().iter().for_each(|station| ingredients.stations.insert(station));
        Ok(Self { partitions, topology: app::topology(config, &ingredients).map_err(broken)? })
    }

    /// The sources of the daemons, with the stations that they know.
    pub(super) fn sources(&self) -> &[Source] {
        self.topology.sources()
    }

    /// The output of `stage` for the records of its source, which has grown this many times.
    pub(super) fn run(
        &self,
        stage: StageId,
        topic: &str,
        source: &[Kept],
        growths: &[Grown],
    ) -> Result<Expected, ChaosError> {
        let declared = self.topology.stage(stage);
        let declared = declared.ok_or_else(|| ChaosError::Broken(format!("there is no stage {stage}")))?;
        let mut expected = Expected::default();
        expected.stores.extend((0..self.partitions).map(|partition| (partition, Entries::new())));
        let mut begins = Ends::new();
        for growth in growths {
            expected.work(declared, (topic, source), &begins, &growth.ends)?;
            expected.stores = moved(std::mem::take(&mut expected.stores), declared, growth.partitions);
            begins.clone_from(&growth.ends);
        }
        expected.work(declared, (topic, source), &begins, &Ends::new())?;
        Ok(expected)
    }
}

/// The expected state after its topic has this many partitions: entries of a key move with its records, and entries
/// of whole partitions are in each of them.
fn moved(stores: BTreeMap<i32, Entries>, stage: &Stage, partitions: i32) -> BTreeMap<i32, Entries> {
    let mut moved: BTreeMap<i32, Entries> =
        (0..partitions).map(|partition| (partition, Entries::new())).collect();
    let Some(keys) = stage.state_keys else { return moved };
    let mut shared = Entries::new();
    for (key, value) in stores.into_values().flatten() {
        match (keys.owner)(&key) {
            Some(Owner::Key(owner)) => {
                moved.entry(partition_of_key(owner, partitions)).or_default().insert(key, value);
            }
            _ => {
                let kept = match shared.remove(&key) {
                    Some(other) => latest(keys, value, other),
                    None => value,
                };
                shared.insert(key, kept);
            }
        }
    }
    moved.values_mut().for_each(|entries| entries.extend(shared.clone()));
    moved
}

/// The greater of two values, under the later of their days.
fn latest(keys: StateKeys, one: Vec<u8>, other: Vec<u8>) -> Vec<u8> {
    let (one_day, one_value) = one.split_at(DAY_BYTES.min(one.len()));
    let (other_day, other_value) = other.split_at(DAY_BYTES.min(other.len()));
    let is_greater = (keys.compare)(one_value, other_value).is_gt();
    [one_day.max(other_day), if is_greater { one_value } else { other_value }].concat()
}

impl Expected {
    /// The output of a stage for the records from `begins` on and below `ends`, for partitions that are listed there.
    fn work(
        &mut self,
        stage: &Stage,
        (topic, source): (&str, &[Kept]),
        begins: &Ends,
        ends: &Ends,
    ) -> Result<(), ChaosError> {
        for (partition, entries) in std::mem::take(&mut self.stores) {
            let mut driver = TestDriver::of_stage(stage);
            let changes = entries.iter().map(|(key, value)| Change { key, value: Some(value) });
            driver.store.restore(&changes.collect::<Vec<_>>(), Checkpoint::NONE)?;
            let begin = begins.get(&partition).copied().unwrap_or_default();
            let end = ends.get(&partition).copied().unwrap_or(i64::MAX);
            let own = source.iter().filter(|record| record.partition == partition);
            for record in own.filter(|record| (begin..end).contains(&record.offset)) {
                let record_of_topic = record.record(topic);
                // By then it had been written.
                driver.now_ms = driver.now_ms.max(record_of_topic.timestamp_ms);
                driver.pipe_record(&record_of_topic)?;
                // Committed one by one, so that each output is linked to the record that caused it.
                for written in driver.commit()? {
                    self.add(&written, &format!("{topic}/{partition}@{}", record.offset));
                }
            }
            self.stores.insert(partition, entries::of_store(&mut driver.store)?);
        }
        Ok(())
    }

    fn add(&mut self, written: &Written, cause: &str) {
        let timestamp_ms = Some(written.timestamp_ms);
        let mark = mark(written.key.as_deref(), written.value.as_deref(), timestamp_ms, &written.headers);
        let place = cause.to_owned();
        // rule/station/date/transition
        if let Some(transition) = written.header("alert-id").split('/').nth(3) {
            *self.transitions.entry(transition.to_owned()).or_default() += 1;
        }
        match written.sink {
            Sink::Output | Sink::Named(_) => {
                let key = written.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
                self.outputs.push(Item { key: key.into_owned(), mark, place });
            }
            Sink::DeadLetters => {
                self.dead_letters.push(Item { key: origin(&written.headers), mark, place });
            }
        }
    }
}
