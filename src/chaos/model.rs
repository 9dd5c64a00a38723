//! The model: the stages' own processors, fed the records that are in the topics, without threads, crashes
//! or a broker. What it writes is what must be there.
//!
//! Each stage is fed what its source topic holds at the end, not what the model of the stage before it wrote.
//! So a mistake is told once, at the stage that made it, and `_meta`, which names real offsets, fits.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::compare::Item;
use super::topic_log::{Kept, mark, origin};
use super::{ChaosError, Installation, feed};
use crate::rules::{Condition, RuleSet, Scope};
use crate::stages::driver::{TestDriver, Written};
use crate::stages::{Recipe, Sink, StageName, StationIndex};

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
    recipe: Recipe,
}

impl Model {
    pub(super) fn new(installation: &Installation) -> Result<Self, ChaosError> {
        let config = &installation.config;
        let filter = Condition::compile(&config.filter.expression, Scope::Filter)
            .map_err(|error| ChaosError::Broken(format!("the filter: {}", error.message)))?;
        let rules = RuleSet::parse(&feed::rules())
            .map_err(|mistakes| ChaosError::Broken(format!("the rules: {mistakes:?}")))?;
        let stations = StationIndex::new(config.assemble.compat);
        let partitions = installation.options.partitions;
        feed::stations(partitions).iter().for_each(|station| stations.insert(station));
        let recipe = Recipe {
            assemble: config.assemble_settings(),
            limits: config.limits(),
            stations: Arc::new(stations),
            filter: Arc::new(filter),
            rules: Arc::new(rules),
            delivering: None,
        };
        Ok(Self { partitions, recipe })
    }

    /// What `stage` makes of the records of its source.
    pub(super) fn run(&self, stage: StageName, topic: &str, source: &[Kept]) -> Result<Expected, ChaosError> {
        let mut expected = Expected::default();
        for partition in 0..self.partitions {
            let mut driver = TestDriver::new(stage, self.recipe.processor(stage));
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
            Sink::Output => {
                let key = written.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
                self.outputs.push(Item { key: key.into_owned(), mark, place });
            }
            Sink::DeadLetters => {
                self.dead_letters.push(Item { key: origin(&written.headers), mark, place });
            }
        }
    }
}
