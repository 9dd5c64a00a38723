//! The model: the stages' own processors, fed the records that are in the topics, without threads, crashes
//! or a broker. What it writes is what must be there.
//!
//! Each stage is fed what its source topic holds at the end, not what the model of the stage before it wrote.
//! So a mistake is told once, at the stage that made it, and `_meta`, which names real offsets, fits.

use std::collections::BTreeMap;
use std::sync::Arc;

use frostline_engine::driver::{TestDriver, Written};
use frostline_engine::{Sink, StageId, StartError, Topology};

use super::compare::Item;
use super::topic_log::{Kept, mark, origin};
use super::{ChaosError, Installation, feed};
use crate::app::{self, Ingredients};
use crate::rules::RuleSet;

/// The entries of a store, in key order.
pub(super) type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// What a stage must have written.
#[derive(Default)]
pub(super) struct Expected {
    pub(super) outputs: Vec<Item>,
    pub(super) dead_letters: Vec<Item>,
    /// By partition of the source.
    pub(super) stores: BTreeMap<i32, Entries>,
}

/// What the processors are made of.
pub(super) struct Model {
    partitions: i32,
    topology: Topology,
}

impl Model {
    pub(super) fn new(installation: &Installation) -> Result<Self, ChaosError> {
        let config = &installation.config;
        let rules = RuleSet::parse(&feed::rules())
            .map_err(|mistakes| ChaosError::Broken(format!("the rules: {mistakes:?}")))?;
        let broken = |error: StartError| ChaosError::Broken(error.to_string());
        let ingredients = Ingredients::new(config, Arc::new(rules), None).map_err(broken)?;
        let partitions = installation.options.partitions;
        feed::stations(partitions).iter().for_each(|station| ingredients.stations.insert(station));
        Ok(Self { partitions, topology: app::topology(config, &ingredients).map_err(broken)? })
    }

    /// What `stage` makes of the records of its source.
    pub(super) fn run(&self, stage: StageId, topic: &str, source: &[Kept]) -> Result<Expected, ChaosError> {
        let declared = self.topology.stage(stage);
        let declared = declared.ok_or_else(|| ChaosError::Broken(format!("there is no stage {stage}")))?;
        let mut expected = Expected::default();
        for partition in 0..self.partitions {
            let mut driver = TestDriver::of_stage(declared);
            for record in source.iter().filter(|record| record.partition == partition) {
                let record_of_topic = record.record(topic);
                // By then it had been written.
                driver.now_ms = driver.now_ms.max(record_of_topic.timestamp_ms);
                driver.pipe_record(&record_of_topic)?;
                // Committed one by one, so that each output is known by the record that caused it.
                for written in driver.commit()? {
                    expected.add(&written, &format!("{topic}/{partition}@{}", record.offset));
                }
            }
            let mut entries = Entries::new();
            driver.store.scan(|key, value| drop(entries.insert(key.to_vec(), value.to_vec())))?;
            expected.stores.insert(partition, entries);
        }
        Ok(expected)
    }
}

impl Expected {
    fn add(&mut self, written: &Written, cause: &str) {
        let timestamp_ms = Some(written.timestamp_ms);
        let mark = mark(written.key.as_deref(), written.value.as_deref(), timestamp_ms, &written.headers);
        let place = cause.to_owned();
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
