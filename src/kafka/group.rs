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
//!
//! Each assignment has a *lease*, a flag that ends here and at once: before the runtime hears of a loss, and
//! when the wait for a revoke is over. A worker that was slow (waiting for a broker, or stopped by the
//! system) finds its lease ended, and neither takes records nor commits, even if it missed everything.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::{ClientSettings, KafkaError, PartitionQueue};

/// How long the committed offsets are waited for within a rebalance, for each of a few tries.
const COMMITTED_PATIENCE: Duration = Duration::from_secs(5);
const COMMITTED_TRIES: u32 = 2;

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
            // An offset that is not in the log is an error that `reopen` resolves, and says so.
            .set("auto.offset.reset", "error")
            .set("session.timeout.ms", group.session_timeout_ms.to_string())
            .set("heartbeat.interval.ms", (group.session_timeout_ms / 10).max(100).to_string());
        let context = StageContext {
            on_event: Box::new(on_event),
            topic: Arc::clone(&topic),
            begins_at_end: group.begins_at_end,
            leases: Mutex::default(),
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
        let mut assigned = context.split(&self.consumer, partitions)?;
        context.find_starts(&self.consumer, &mut list, &mut assigned)?;
        for one in &mut assigned {
            let element = list.find_partition(&self.topic, one.partition);
            let start = element.map_or(Offset::Beginning, |element| element.offset());
            let start = self.within_log(one, start)?;
            self.consumer.seek(&self.topic, one.partition, start, COMMITTED_PATIENCE).map_err(failed)?;
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
            .fetch_watermarks(topic, partition, COMMITTED_PATIENCE)
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
    /// The lease of each partition that is ours.
    leases: Mutex<HashMap<i32, Arc<AtomicBool>>>,
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
        let numbers: Vec<i32> = partitions.elements().iter().map(|element| element.partition()).collect();
        if numbers.is_empty() {
            // A cooperative step may change nothing for this member.
            return consumer.incremental_assign(partitions).map_err(failed);
        }
        let mut assigned = self.split(consumer, &numbers)?;
        let found = self.find_starts(consumer, partitions, &mut assigned);
        // Also without starting points the assignment must be taken, or the group waits for it.
        consumer.incremental_assign(partitions).map_err(failed)?;
        match found {
            Ok(()) => (self.on_event)(GroupEvent::Assigned(assigned)),
            Err(KafkaError::Retry(reason)) => {
                tracing::warn!(topic = &*self.topic, reason, "committed offsets cannot be read yet");
                (self.on_event)(GroupEvent::AssignedUnread(numbers));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Splits the queues off, each with a fresh lease; an older lease of the same partition ends.
    fn split(&self, consumer: &BaseConsumer<Self>, partitions: &[i32]) -> Result<Vec<Assigned>, KafkaError> {
        let owner = self.consumer.get().and_then(Weak::upgrade);
        let owner = owner.ok_or_else(|| KafkaError::Fatal("the consumer is closing".into()))?;
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let mut assigned = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let lease = Arc::new(AtomicBool::new(true));
            if let Some(older) = leases.insert(*partition, Arc::clone(&lease)) {
                older.store(false, Ordering::Release);
            }
            let owner: Arc<dyn Send + Sync> = owner.clone();
            let queue = PartitionQueue::split(consumer.client(), owner, &self.topic, *partition, lease)
                .ok_or_else(|| KafkaError::Fatal(format!("no queue for {}/{partition}", self.topic)))?;
            assigned.push(Assigned { partition: *partition, committed_offset: None, queue });
        }
        Ok(assigned)
    }

    /// Sets each partition's start: the rewind offset, the committed one, or an end of the log.
    fn find_starts(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &mut TopicPartitionList,
        assigned: &mut [Assigned],
    ) -> Result<(), KafkaError> {
        let committed = committed(consumer, partitions, &self.topic)?;
        let fresh = if self.begins_at_end { Offset::End } else { Offset::Beginning };
        for one in assigned {
            let found = committed.find_partition(&self.topic, one.partition);
            one.committed_offset = found.as_ref().and_then(|found| match found.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            });
            let rewind = found.and_then(|found| rewind_offset(found.metadata()));
            let start = one
                .committed_offset
                .map_or(fresh, |offset| Offset::Offset(rewind.map_or(offset, |rewind| rewind.min(offset))));
            partitions
                .set_partition_offset(&self.topic, one.partition, start)
                .map_err(|error| KafkaError::of_client("assigning", &error))?;
        }
        Ok(())
    }

    /// Ends the leases of partitions that are no longer ours.
    fn end_leases(&self, partitions: &[i32]) {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        for lease in partitions.iter().filter_map(|partition| leases.remove(partition)) {
            lease.store(false, Ordering::Release);
        }
    }

    fn revoke(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &TopicPartitionList,
    ) -> Result<(), KafkaError> {
        let numbers: Vec<i32> = partitions.elements().iter().map(|element| element.partition()).collect();
        if consumer.assignment_lost() {
            self.end_leases(&numbers);
            (self.on_event)(GroupEvent::Lost(numbers));
        } else if !numbers.is_empty() {
            (self.on_event)(GroupEvent::Revoked(numbers.clone()));
            self.end_leases(&numbers);
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
