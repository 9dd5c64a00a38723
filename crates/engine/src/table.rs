//! Tables: compacted topics that every process reads whole before its first record and follows from then on, such as
//! rules, prices, or what is known about each sensor.
//!
//! A stage says which tables it needs ([`Stage::needing`](crate::Stage::needing)); the engine has read them to their end
//! before it processes the stage's first record. Only one thread writes to a table, processors on all workers read it: so a
//! table keeps what it has read in something that both share, such as an `Arc<RwLock<…>>`.

use std::sync::Arc;
use std::time::Duration;

use crate::TopicPlan;
use crate::kafka::{StartAt, TopicIdentity};
use crate::record::Record;
use crate::store::{StateDirectory, StateError};

/// What a table can open at its start.
pub struct Opening<'a> {
    /// This process's state directory, for tables that keep a copy on disk.
    pub state: &'a StateDirectory,
    /// The topic's name in Kafka.
    pub topic: &'a str,
    /// Which topic that is just now, and its partitions.
    pub identity: &'a TopicIdentity,
    /// The Kafka cluster's id; empty where it has none.
    pub cluster: &'a str,
    /// How long the topic keeps tombstones: a copy that is older has missed some ([`Store::is_outdated`]).
    ///
    /// [`Store::is_outdated`]: crate::Store::is_outdated
    pub tombstones_kept: Duration,
}

/// See the module's description. All calls come from one thread, in the order of each partition's offsets.
pub trait Table: Send {
    /// Called once, before anything is read. Returns where each partition begins, from 0 on: at the beginning, unless the
    /// table has a copy of its own.
    ///
    /// # Errors
    /// Where the copy cannot be read; the engine does not start then.
    fn open(&mut self, opening: &Opening<'_>) -> Result<Vec<StartAt>, StateError> {
        Ok((0..opening.identity.partitions).map(|_| StartAt::Beginning).collect())
    }

    /// Takes a record. One without a value removes its key. A record that cannot be used is the table's to report.
    ///
    /// # Errors
    /// Where a copy of its own cannot be written.
    fn take(&mut self, record: &Record<'_>) -> Result<(), StateError>;

    /// Nothing more is there just now: all that was taken should count.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    fn settle(&mut self) -> Result<(), StateError> {
        Ok(())
    }

    /// Called once, when the topic has been read to its end for the first time.
    ///
    /// # Errors
    /// Why no stage can work with the table as it is, and what to do: the engine does not start then.
    fn loaded(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// A table of a topology.
#[derive(Clone)]
pub struct TableSpec {
    /// What stages call it.
    pub name: &'static str,
    /// Its topic.
    pub topic: TopicPlan,
    /// Makes the table, once for each engine.
    pub table: Arc<dyn Fn() -> Box<dyn Table> + Send + Sync>,
}
