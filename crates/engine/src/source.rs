//! Sources fetch records from outside Kafka, for instance from a public service that is polled once a minute.
//!
//! A [`Poller`] turns an answer and the remembered [`Position`] into records and changes of the position. The engine
//! writes both in one transaction, so readers of committed records see each record once, whatever crashes.
//!
//! # The protocol
//!
//! The positions of all sources are in one compacted topic, with a partition for each source. The processes that may
//! poll form a consumer group of that topic: the process that is assigned a partition polls that source, and no other
//! process does. The group elects the process, notices when it dies, and moves the partition; records of the topic
//! are read only at the start.
//!
//! 1. The new owner registers the source's transactional id. That fences the previous owner and ends a transaction
//!    that it may have left open, so nothing of the previous owner can be committed after this.
//! 2. It reads the position: the newest record of each key, to the end of the partition.
//! 3. It polls. Records and changes of the position are one transaction. If the poll fails, nothing is written. The
//!    time of the newest data is among the changes, so that a source that is late stays late with its next owner.
//! 4. After a failure of Kafka it starts again at 1: the position shows the transaction's outcome.
//!
//! If the owner is killed between the answer and the commit, the next owner fetches the same answer again and makes
//! the same records from it. A process that was stopped until the group gave its partition away is fenced at its next
//! commit. Two owners can poll at the same time for a moment, which costs the service one request; only one owner's
//! records count.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::TopicPlan;

/// Names a source: in its transactional id, in metrics and on pages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(&'static str);

impl SourceId {
    /// Lower-case letters, digits and hyphens; [`TopologyBuilder::build`](crate::TopologyBuilder::build) refuses
    /// others.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name as it appears in transactional ids, metrics and logs.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for SourceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

/// Creates the poller of a source, on the thread that polls.
pub type PollerFactory = Arc<dyn Fn() -> Box<dyn Poller> + Send + Sync>;

/// A source of a topology.
#[derive(Clone)]
pub struct Source {
    /// Unique in the topology. A renamed source keeps its position, but does not fence an owner under the old name.
    pub id: SourceId,
    /// Its partition of the topic of positions. It must never change, because the position is stored there.
    pub partition: i32,
    /// The topics for its records, by the names that its poller uses.
    pub sinks: Vec<(&'static str, TopicPlan)>,
    /// Pause from the end of one poll to the start of the next, unless a poll says otherwise.
    pub interval: Duration,
    /// A source is late if its newest data are older than this.
    pub late_after: Duration,
    /// The tables that must have been read before its first poll, by name.
    pub needs: &'static [&'static str],
    /// Creates the poller: at the start, and again after a poller has panicked.
    pub poller: PollerFactory,
}

/// The position of a source: a map from bytes to bytes, committed together with its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position(BTreeMap<Vec<u8>, Vec<u8>>);

impl Position {
    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.0.get(key).map(Vec::as_slice)
    }

    /// All entries, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    /// The keys, in order.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it is empty, as before the first poll.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Applies a change; `None` removes the key.
    pub fn apply(&mut self, key: &[u8], value: Option<&[u8]>) {
        match value {
            Some(value) => drop(self.0.insert(key.to_vec(), value.to_vec())),
            None => drop(self.0.remove(key)),
        }
    }
}

/// A record from a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRecord {
    /// The name of one of the source's sinks.
    pub sink: &'static str,
    /// The key, which decides the partition.
    pub key: Vec<u8>,
    /// The value, in the form that readers of the topic expect.
    pub value: Vec<u8>,
    /// Header names and values, for instance the kind of change that a record is.
    pub headers: Vec<(&'static str, Vec<u8>)>,
    /// The timestamp in milliseconds since 1970.
    pub timestamp_ms: i64,
}

/// The result of one poll: written as a whole, or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Records, in the order in which they are written.
    pub records: Vec<SourceRecord>,
    /// Changes of the position; `None` removes a key.
    pub changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// When to poll again, if not after the source's interval; zero if there is more to fetch at once.
    pub next_in: Option<Duration>,
    /// The time of the newest data that the source has had so far, in milliseconds since 1970. It decides whether the
    /// source is late.
    pub newest_ms: Option<i64>,
    /// The part of the answer that cannot be used, in a sentence; it is logged once, and shown.
    pub remark: Option<String>,
}

impl Batch {
    /// Adds a record without headers.
    pub fn emit(
        &mut self,
        sink: &'static str,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
        timestamp_ms: i64,
    ) {
        self.records.push(SourceRecord {
            sink,
            key: key.into(),
            value: value.into(),
            headers: Vec::new(),
            timestamp_ms,
        });
    }

    /// Sets a value of the position.
    pub fn set(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), Some(value.into())));
    }

    /// Removes a value from the position.
    pub fn remove(&mut self, key: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), None));
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.changes.is_empty()
    }
}

/// Why a poll failed. The reason is shown and logged, and the source is polled again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct PollError {
    /// What happened and what to do, in a sentence. Never contains a secret.
    pub reason: String,
    /// When to retry, if the service says so; otherwise after a growing delay.
    pub retry_in: Option<Duration>,
}

impl PollError {
    /// An error without a retry time.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), retry_in: None }
    }

    /// The reason, and when the next attempt is if the service says so.
    pub fn with_time(&self) -> String {
        match self.retry_in.map(|wait| wait.as_secs().max(1)) {
            None => self.reason.clone(),
            Some(seconds @ 0..120) => format!("{}; next attempt in {seconds} s", self.reason),
            Some(seconds @ 120..7_200) => format!("{}; next attempt in {} min", self.reason, seconds / 60),
            Some(seconds) => format!("{}; next attempt in {} h", self.reason, seconds / 3_600),
        }
    }
}

/// Polls a service. Called on a thread of its own, one call at a time. It may block, but for at most a minute.
pub trait Poller: Send {
    /// Fetches everything new since `position`. The result must depend only on the answers and the position: the same
    /// answers at the same position give the same records, with the same keys and values.
    ///
    /// # Errors
    /// Nothing is written, and the position stays.
    fn poll(&mut self, position: &Position, now_ms: i64) -> Result<Batch, PollError>;
}
