//! The consumer of one stage in this process: a member of the stage's group.
//!
//! # The rebalance protocol, this side
//!
//! The group moves partitions cooperatively: only what must move does. librdkafka calls [`StageContext`] from
//! whichever thread polls the main queue, and waits for it.
//!
//! * **Assigned**: the committed offsets are read, each partition's queue is split off before fetching
//!   starts (later, records leak to the main queue), and the partitions are handed to the runtime.
//! * **Revoked**: the runtime is told and must come back from the call only when it has stopped taking
//!   records, committed, and dropped the queues; then the partitions are given up. If it does not come back,
//!   the group's own timeout ends the membership, and the next owner starts from the last commit.
//! * **Lost**: they belong to somebody else already. The runtime forgets them, and commits nothing.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::{ClientSettings, KafkaError, PartitionQueue};

/// Records taken from a partition's queue at a time.
const BATCH_RECORDS_MAX: usize = 1_024;
/// How long the committed offsets are waited for within a rebalance, for each of a few tries.
const COMMITTED_PATIENCE: Duration = Duration::from_secs(10);
const COMMITTED_TRIES: u32 = 3;

/// What a member needs to know.
#[derive(Clone, Debug)]
pub struct GroupSettings {
    /// The group.
    pub group: String,
    /// The topic's name in Kafka.
    pub topic: String,
    /// `earliest` or `latest`: where to begin without a committed offset.
    pub auto_offset_reset: &'static str,
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
    consumer: Arc<BaseConsumer<StageContext>>,
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
            .set("auto.offset.reset", group.auto_offset_reset)
            .set("session.timeout.ms", group.session_timeout_ms.to_string())
            .set("heartbeat.interval.ms", (group.session_timeout_ms / 10).max(100).to_string());
        let context = StageContext {
            on_event: Box::new(on_event),
            topic: Arc::clone(&topic),
            begins_at_end: group.auto_offset_reset == "latest",
            consumer: OnceLock::new(),
        };
        let consumer: BaseConsumer<StageContext> = config
            .create_with_context(context)
            .map_err(|error| KafkaError::of_client("making a consumer", &error))?;
        let consumer = Arc::new(consumer);
        let _ = consumer.context().consumer.set(Arc::downgrade(&consumer));
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
        let assigned = context.starts(&self.consumer, &mut list)?;
        for element in list.elements() {
            let start = match element.offset() {
                Offset::Offset(offset) => Offset::Offset(offset),
                _ if context.begins_at_end => Offset::End,
                _ => Offset::Beginning,
            };
            self.consumer
                .seek(&self.topic, element.partition(), start, COMMITTED_PATIENCE)
                .map_err(failed)?;
        }
        Ok(assigned)
    }

    /// The end of a partition, asked of the broker.
    pub fn end_offset(&self, partition: i32) -> Result<i64, KafkaError> {
        let what = format!("reading the end of {}/{partition}", self.topic);
        let watermarks = self.consumer.fetch_watermarks(&self.topic, partition, COMMITTED_PATIENCE);
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

struct StageContext {
    on_event: Box<dyn Fn(GroupEvent) + Send + Sync>,
    topic: Arc<str>,
    /// Whether a partition without a committed offset is read from its end.
    begins_at_end: bool,
    /// The consumer that this context belongs to, so that queues can keep it alive.
    consumer: OnceLock<Weak<BaseConsumer<StageContext>>>,
}

impl ClientContext for StageContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::client::log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        super::client::log_error("kafka consumer", &error, reason);
    }
}

impl ConsumerContext for StageContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        cause: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let result = match cause {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, partitions),
            _ => self.revoke(consumer, partitions),
        };
        if let Err(error) = result {
            (self.on_event)(GroupEvent::Failed(error));
        }
    }
}

impl StageContext {
    fn assign(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &mut TopicPartitionList,
    ) -> Result<(), KafkaError> {
        let failed = |error: ClientError| KafkaError::of_client(&format!("assigning {}", self.topic), &error);
        let assigned = self.starts(consumer, partitions);
        // Also without starting points the assignment must be taken, or the group waits for it.
        let assigned = match assigned {
            Ok(assigned) => assigned,
            Err(error) => {
                consumer.incremental_assign(partitions).map_err(failed)?;
                return Err(error);
            }
        };
        consumer.incremental_assign(partitions).map_err(failed)?;
        if !assigned.is_empty() {
            (self.on_event)(GroupEvent::Assigned(assigned));
        }
        Ok(())
    }

    /// Splits the queues, and sets each partition's start: the rewind offset, or the committed one.
    fn starts(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &mut TopicPartitionList,
    ) -> Result<Vec<Assigned>, KafkaError> {
        let numbers: Vec<i32> = partitions.elements().iter().map(|element| element.partition()).collect();
        if numbers.is_empty() {
            // A cooperative step may change nothing for this member.
            return Ok(Vec::new());
        }
        let owner = self.consumer.get().and_then(Weak::upgrade);
        let owner = owner.ok_or_else(|| KafkaError::Fatal("the consumer is closing".into()))?;
        let committed = committed(consumer, partitions, &self.topic)?;
        let mut assigned = Vec::with_capacity(numbers.len());
        for partition in numbers {
            let found = committed.find_partition(&self.topic, partition);
            let committed_offset = found.as_ref().and_then(|found| match found.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            });
            if let Some(offset) = committed_offset {
                let rewind = found.and_then(|found| rewind_offset(found.metadata()));
                let start = rewind.map_or(offset, |rewind| rewind.min(offset));
                partitions
                    .set_partition_offset(&self.topic, partition, Offset::Offset(start))
                    .map_err(|error| KafkaError::of_client("assigning", &error))?;
            }
            let owner: Arc<dyn Send + Sync> = owner.clone();
            let queue =
                PartitionQueue::split(consumer.client(), owner, &self.topic, partition, BATCH_RECORDS_MAX)
                    .ok_or_else(|| KafkaError::Fatal(format!("no queue for {}/{partition}", self.topic)))?;
            assigned.push(Assigned { partition, committed_offset, queue });
        }
        Ok(assigned)
    }

    fn revoke(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &TopicPartitionList,
    ) -> Result<(), KafkaError> {
        let numbers: Vec<i32> = partitions.elements().iter().map(|element| element.partition()).collect();
        if !numbers.is_empty() {
            let event = if consumer.assignment_lost() { GroupEvent::Lost } else { GroupEvent::Revoked };
            (self.on_event)(event(numbers));
        }
        consumer.incremental_unassign(partitions).map_err(|error| {
            KafkaError::of_client(&format!("giving up partitions of {}", self.topic), &error)
        })
    }
}

/// The committed offsets of these partitions, tried a few times: without them nothing may start.
fn committed(
    consumer: &BaseConsumer<StageContext>,
    partitions: &TopicPartitionList,
    topic: &str,
) -> Result<TopicPartitionList, KafkaError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match consumer.committed_offsets(partitions.clone(), COMMITTED_PATIENCE) {
            Ok(committed) => return Ok(committed),
            Err(error) if tries < COMMITTED_TRIES => {
                tracing::warn!(%error, topic, "committed offsets cannot be read yet");
            }
            Err(ClientError::OffsetFetch(RDKafkaErrorCode::OperationTimedOut)) => {
                return Err(KafkaError::Fatal(format!(
                    "the committed offsets of {topic} cannot be read in time"
                )));
            }
            Err(error) => return Err(KafkaError::of_client("reading committed offsets", &error)),
        }
    }
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
