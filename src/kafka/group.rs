//! The consumer of one stage in this process: a member of the stage's group.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::{Offset, TopicPartitionList};

use super::rebalance::Membership;
use super::{ClientSettings, KafkaError, PartitionQueue};

/// How long a question to the broker may take when partitions are opened again.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a member needs to know.
#[derive(Clone, Debug)]
pub struct GroupSettings {
    /// The group.
    pub group: String,
    /// The topic's name in Kafka.
    pub topic: String,
    /// Whether a partition without a committed offset is read from its end, not from its beginning.
    pub begins_at_end: bool,
    /// How long the group waits for a silent member, in milliseconds.
    pub session_timeout_ms: u64,
}

/// A partition that was given to this process.
pub struct Assigned {
    /// The partition.
    pub partition: i32,
    /// Its committed offset (the next to process), if the group has one.
    pub committed_offset: Option<i64>,
    /// Its records, from the rewind offset that was committed with it.
    pub queue: PartitionQueue,
}

/// What the group decided.
pub enum GroupEvent {
    /// These partitions are ours now.
    Assigned(Vec<Assigned>),
    /// These are ours, but the broker did not say where to begin: [`GroupConsumer::reopen`] them.
    AssignedUnread(Vec<i32>),
    /// These go: commit, and come back when that is done.
    Revoked(Vec<i32>),
    /// These are gone: forget them.
    Lost(Vec<i32>),
    /// The membership cannot go on.
    Failed(KafkaError),
}

/// The position of a partition, to be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetCommit {
    /// The partition.
    pub partition: i32,
    /// The next offset to process.
    pub next_offset: i64,
    /// Where reading must begin again to rebuild what is open, if anything is.
    pub rewind_offset: Option<i64>,
}

/// The consumer of one stage. Clones share it; it closes when the last clone and queue are gone.
#[derive(Clone)]
pub struct GroupConsumer {
    consumer: Arc<BaseConsumer<Membership>>,
    topic: Arc<str>,
}

impl GroupConsumer {
    /// Makes the member; it joins with [`subscribe`](Self::subscribe). `on_event` is called by the thread
    /// that polls.
    ///
    /// # Errors
    /// [`KafkaError::Settings`] where the client refuses its settings.
    pub fn new(
        settings: &ClientSettings,
        group: &GroupSettings,
        on_event: impl Fn(GroupEvent) + Send + Sync + 'static,
    ) -> Result<Self, KafkaError> {
        let topic: Arc<str> = group.topic.as_str().into();
        let mut config = settings.consumer();
        config
            .set("group.id", &group.group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            // An offset that is not in the log is an error that `reopen` resolves, and says so.
            .set("auto.offset.reset", "error")
            .set("session.timeout.ms", group.session_timeout_ms.to_string())
            .set("heartbeat.interval.ms", (group.session_timeout_ms / 10).max(100).to_string());
        let context = Membership::new(Arc::clone(&topic), group.begins_at_end, Box::new(on_event));
        let consumer: BaseConsumer<Membership> = config
            .create_with_context(context)
            .map_err(|error| KafkaError::of_client("making a consumer", &error))?;
        let consumer = Arc::new(consumer);
        consumer.context().belongs_to(&consumer);
        Ok(Self { consumer, topic })
    }

    /// Joins the group.
    pub fn subscribe(&self) -> Result<(), KafkaError> {
        self.consumer
            .subscribe(&[&self.topic])
            .map_err(|error| KafkaError::of_client(&format!("subscribing to {}", self.topic), &error))
    }

    /// Begins to leave the group: all partitions are revoked by the next polls.
    pub fn unsubscribe(&self) {
        self.consumer.unsubscribe();
    }

    /// Whether this member still has partitions.
    pub fn has_partitions(&self) -> bool {
        self.consumer.assignment().is_ok_and(|assignment| assignment.count() > 0)
    }

    /// Serves the main queue: rebalances, errors, statistics. Records never come this way.
    ///
    /// # Errors
    /// [`KafkaError::Fatal`] where the membership cannot go on. Passing errors are logged.
    pub fn poll(&self, timeout: Duration) -> Result<(), KafkaError> {
        match self.consumer.poll(timeout) {
            None | Some(Err(ClientError::PartitionEOF(_))) => Ok(()),
            Some(Ok(record)) => {
                use rdkafka::Message;
                let (partition, offset) = (record.partition(), record.offset());
                // All queues are split, so this is a bug; processing it would break the partition's order.
                Err(KafkaError::Fatal(format!(
                    "record {}/{partition}@{offset} came through the main queue",
                    self.topic
                )))
            }
            Some(Err(error)) => {
                if let Some((code, reason)) = self.consumer.client().fatal_error() {
                    return Err(KafkaError::Fatal(format!("consumer of {}: {code}: {reason}", self.topic)));
                }
                match KafkaError::of_client(&format!("consumer of {}", self.topic), &error) {
                    fatal @ KafkaError::Fatal(_) => Err(fatal),
                    passing => {
                        tracing::warn!(error = %passing, "kafka consumer");
                        Ok(())
                    }
                }
            }
        }
    }

    /// Commits positions, and waits for the answer.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] where the group is just rebalancing or the broker does not answer.
    pub fn commit(&self, positions: &[OffsetCommit]) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for position in positions {
            let failed = |error: ClientError| KafkaError::of_client("committing", &error);
            let mut entry = list.add_partition(&self.topic, position.partition);
            entry.set_offset(Offset::Offset(position.next_offset)).map_err(failed)?;
            entry.set_metadata(metadata(*position));
        }
        let what = format!("committing offsets of {}", self.topic);
        self.consumer.commit(&list, CommitMode::Sync).map_err(|error| KafkaError::of_client(&what, &error))
    }
}

impl GroupConsumer {
    /// Reads assigned partitions again from their committed (or rewound) offsets: the way back after a task
    /// failed. What was fetched before is dropped by the client.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] where the broker does not answer, or a partition has just been taken away.
    pub fn reopen(&self, partitions: &[i32]) -> Result<Vec<Assigned>, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(&self.topic, *partition);
        }
        let what = format!("reading {} again", self.topic);
        let failed = |error: ClientError| KafkaError::of_client(&what, &error);
        let context = self.consumer.context();
        let mut assigned = context.split(&self.consumer, partitions)?;
        context.find_starts(&self.consumer, &mut list, &mut assigned)?;
        for one in &mut assigned {
            let element = list.find_partition(&self.topic, one.partition);
            let start = element.map_or(Offset::Beginning, |element| element.offset());
            let start = self.within_log(one, start)?;
            self.consumer.seek(&self.topic, one.partition, start, PATIENCE).map_err(failed)?;
        }
        Ok(assigned)
    }

    /// Checks a start against what the log still has; says what is gone, and where it goes on.
    fn within_log(&self, assigned: &mut Assigned, start: Offset) -> Result<Offset, KafkaError> {
        let Offset::Offset(offset) = start else { return Ok(start) };
        let (topic, partition) = (&*self.topic, assigned.partition);
        let what = format!("reading the ends of {topic}/{partition}");
        let (log_start, log_end) = self
            .consumer
            .fetch_watermarks(topic, partition, PATIENCE)
            .map_err(|error| KafkaError::of_client(&what, &error))?;
        let committed = assigned.committed_offset.unwrap_or(offset);
        if (log_start..=log_end).contains(&committed) {
            if offset < log_start {
                tracing::warn!(
                    topic,
                    partition,
                    offset,
                    log_start,
                    "lines of open observations are gone from the log"
                );
            }
            return Ok(Offset::Offset(offset.max(log_start)));
        }
        let begins_at_end = self.consumer.context().begins_at_end;
        tracing::error!(
            topic,
            partition,
            committed,
            log_start,
            log_end,
            "the committed offset is not in the log: records were deleted unread, or the topic was made anew; \
             going on at the {} (runtime.auto_offset_reset)",
            if begins_at_end { "end" } else { "beginning" }
        );
        let next = if begins_at_end { log_end } else { log_start };
        assigned.committed_offset = Some(next);
        Ok(Offset::Offset(next))
    }

    /// The end of a partition, asked of the broker.
    pub fn end_offset(&self, partition: i32) -> Result<i64, KafkaError> {
        let what = format!("reading the end of {}/{partition}", self.topic);
        let watermarks = self.consumer.fetch_watermarks(&self.topic, partition, PATIENCE);
        watermarks.map(|(_, end)| end).map_err(|error| KafkaError::of_client(&what, &error))
    }
}

/// What is committed beside an offset.
fn metadata(position: OffsetCommit) -> String {
    position.rewind_offset.map_or_else(String::new, |rewind| format!("rewind={rewind}"))
}

/// The rewind offset in committed metadata; others' words there are ignored.
pub(super) fn rewind_offset(metadata: &str) -> Option<i64> {
    metadata.strip_prefix("rewind=")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rewind_offset_travels_in_the_metadata() {
        let position = OffsetCommit { partition: 0, next_offset: 9, rewind_offset: Some(4) };
        assert_eq!(rewind_offset(&metadata(position)), Some(4));
        assert_eq!(rewind_offset(&metadata(OffsetCommit { rewind_offset: None, ..position })), None);
        assert_eq!(rewind_offset("somebody else's words"), None);
    }
}
