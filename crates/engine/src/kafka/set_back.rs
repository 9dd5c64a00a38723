//! Sets a group's offsets back from outside, so that its stage reads records again.
//!
//! Brokers accept such a commit only while the group has no members, a check that also holds against a process that
//! joins at this very moment. A transaction of a dead process may still hold offsets of the group; the brokers let
//! the later commit win, whatever the outcome of that transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer};

use super::group::offset_list;
use super::log_offsets::offsets_at;
use super::{Admin, GroupOffsets, KafkaError, OffsetCommit};

const PATIENCE: Duration = Duration::from_secs(20);

impl Admin {
    /// For each partition, the first offset whose record has this timestamp (in milliseconds since 1970) or a later
    /// one; partitions without such a record are missing.
    ///
    /// # Errors
    /// [`KafkaError::Topic`] if the topic does not exist, [`KafkaError::Retry`] if no broker answers.
    pub fn offsets_at(&self, topic: &str, timestamp_ms: i64) -> Result<BTreeMap<i32, i64>, KafkaError> {
        let partitions = self
            .partitions(topic)?
            .ok_or_else(|| KafkaError::Topic(format!("topic {topic} does not exist")))?;
        let partitions: Vec<i32> = (0..partitions).collect();
        let what = format!("looking up offsets of {topic} by time");
        self.ask(&what, |consumer| offsets_at(consumer, topic, &partitions, (timestamp_ms, PATIENCE)))
    }
}

impl GroupOffsets {
    /// Commits positions for a group without members; a task that starts continues from there.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] if the group has members, or no broker answers.
    pub fn commit(&self, topic: &str, positions: &[OffsetCommit]) -> Result<(), KafkaError> {
        let list = offset_list(topic, positions)?;
        self.consumer.commit(&list, CommitMode::Sync).map_err(|error| {
            KafkaError::of_client_with(&format!("committing offsets of {topic}"), &self.rights(topic), &error)
        })
    }
}
