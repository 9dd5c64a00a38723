//! Tables are compacted topics that every process reads completely before its first record and then follows, such as
//! rules, prices, or facts about each sensor.
//!
//! A stage declares the tables it needs ([`Stage::needing`](crate::Stage::needing)); the engine reads them to their
//! end before it processes the stage's first record. Only one thread writes to a table, and processors on all workers
//! read it. So a table keeps its content in something that both share, such as an `Arc<RwLock<…>>`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::TopicPlan;
use crate::kafka::{StartAt, TopicIdentity};
use crate::record::Record;
use crate::store::{StateDirectory, StateError};

/// What a table may use at its start; [`TableCopy`](crate::TableCopy) keeps a copy on disk.
pub struct Opening<'a> {
    /// This process's state directory, for tables that keep a copy on disk.
    pub state: &'a StateDirectory,
    /// The topic's name in Kafka.
    pub topic: &'a str,
    /// The identity of that topic at the moment, and its partitions.
    pub identity: &'a TopicIdentity,
    /// Where its partitions end at the moment; a partition without an answer is missing.
    pub ends: &'a BTreeMap<i32, i64>,
    /// The Kafka cluster's id; empty if it has none.
    pub cluster: &'a str,
    /// How long the topic keeps tombstones: a copy that is older has missed some ([`Store::is_outdated`]).
    ///
    /// [`Store::is_outdated`]: crate::Store::is_outdated
    pub tombstones_kept: Duration,
}

/// A table. All calls come from one thread, in the order of each partition's offsets.
pub trait Table: Send {
    /// Called once, before anything is read. Returns the start offset of each partition, counted from 0: the
    /// beginning, unless the table has a copy of its own.
    ///
    /// # Errors
    /// The copy cannot be read; the engine does not start then.
    fn open(&mut self, opening: &Opening<'_>) -> Result<Vec<StartAt>, StateError> {
        Ok((0..opening.identity.partitions).map(|_| StartAt::Beginning).collect())
    }

    /// Takes a record. A record without a value removes its key. The table itself reports a record that it cannot
    /// use.
    ///
    /// # Errors
    /// Its own copy cannot be written.
    fn take(&mut self, record: &Record<'_>) -> Result<(), StateError>;

    /// A partition, counted from 0, has been read to its present end: there is nothing left before this offset.
    fn reached_end(&mut self, partition: i32, offset: i64) {
        let _ = (partition, offset);
    }

    /// No more records are there at the moment: everything taken so far must take effect.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    fn settle(&mut self) -> Result<(), StateError> {
        Ok(())
    }

    /// Called once, when the topic has been read to its end for the first time.
    ///
    /// # Errors
    /// Why no stage can work with the table in this state, and what to do; the engine does not start then.
    fn loaded(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// A table of a topology.
#[derive(Clone)]
pub struct TableSpec {
    /// The name by which stages refer to it.
    pub name: &'static str,
    /// Its topic.
    pub topic: TopicPlan,
    /// Creates the table, once for each engine.
    pub table: Arc<dyn Fn() -> Box<dyn Table> + Send + Sync>,
}
