//! The rebalance protocol on the client's side; `runtime::supervisor` has the other side.
//!
//! The group moves partitions cooperatively: only those that must move. librdkafka calls [`Membership`] from the
//! thread that polls the main queue, and waits for it.
//!
//! * **Assigned**: the committed offsets are read, each partition's queue is split off before fetching
//!   starts (later, records leak to the main queue), and the partitions are handed to the runtime.
//! * **Revoked**: the runtime is notified. It returns from the call only after it has stopped taking records,
//!   committed, and dropped the queues; then the partitions are given up. If that takes longer than
//!   `runtime.shutdown_timeout_ms`, they are given up as they are: their leases end, their uncommitted work never
//!   takes effect, and the next owner starts from the last commit.
//! * **Lost**: they belong to another process already. The runtime forgets them and commits nothing.
//!
//! Each assignment has a *lease* that ends here and at once: before the runtime is notified of a loss, and when the
//! wait for a revoke is over. A worker that was slow (waiting for a broker, or stopped by the system) finds its lease
//! ended, and neither takes records nor commits, even if it missed every notification.
//!
//! # Partitions that stay
//!
//! librdkafka pauses every partition before it calls [`Membership`], and resumes it at "the application's position"
//! when the call returns. That position cannot be trusted. In 2.12.1 the marker of a transaction moves it although
//! the marker belongs to a fetch that was discarded, and so do end-of-partition rows (librdkafka #4844); the records
//! before them are then never delivered. So each lease also knows the next offset that its worker must see, and all
//! partitions that stay are sought to it before they are resumed. Records that arrive twice because of this are
//! recognised by their offsets.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError, Weak};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::Notify;

use super::lease::Lease;
use super::lifeline::Lifeline;
use super::log_offsets::{all_read, log_offsets};
use super::{ClientSettings, KafkaError, OffsetCommit, PartitionQueue};

/// How long to wait for committed offsets: in that time a rebalance, or a worker, stands still.
const COMMITTED_PATIENCE: Duration = Duration::from_secs(3);

/// Why a process that reaches the brokers is not in its group.
pub(super) const NOT_JOINED: &str = "it has not joined, or has lost its place and is joining again";

/// A partition that was given to this process.
pub struct Assigned {
    /// The partition.
    pub partition: i32,
    /// The group's committed position, if it has one.
    pub committed: Option<OffsetCommit>,
    /// The next offset to process: the committed one, unless the log no longer has it.
    pub next_offset: i64,
    /// Its records, from the rewind offset in the committed metadata.
    pub queue: PartitionQueue,
}

/// A decision of the group.
pub enum GroupEvent {
    /// These partitions are assigned to this process.
    Assigned(Vec<Assigned>),
    /// These are assigned too, but the broker did not report where to start: [`reopen`](super::GroupConsumer::reopen)
    /// them.
    AssignedUnread(Vec<i32>),
    /// These are revoked: commit, and return when that is done.
    Revoked(Vec<i32>),
    /// These are lost: forget them.
    Lost(Vec<i32>),
    /// The membership cannot go on.
    Failed(KafkaError),
}

/// The callbacks that librdkafka makes when the group changes.
pub(super) struct Membership {
    on_event: Box<dyn Fn(GroupEvent) + Send + Sync>,
    topic: Arc<str>,
    /// Whether a partition without a committed offset is read from its end.
    begins_at_end: bool,
    /// Held while a callback answers the group.
    changing: Mutex<()>,
    /// The ends at which partitions without a committed offset begin: they move on, and a second look would leave out
    /// what came in between.
    ends: Mutex<HashMap<i32, i64>>,
    /// The lease of each partition of this process.
    leases: Mutex<HashMap<i32, Arc<Lease>>>,
    /// Wakes the worker of each partition. Kept as long as the client lives, because the client calls it.
    wakes: Mutex<HashMap<i32, Arc<Notify>>>,
    /// The consumer that this context belongs to, so that queues can keep it alive.
    consumer: OnceLock<Weak<BaseConsumer<Membership>>>,
    /// Whether the group counts this process among its members, as far as is known: true from an assignment, even an
    /// empty one, until a loss.
    is_member: AtomicBool,
    /// Whether the client has reported that it reaches no broker, and none has answered since then.
    are_brokers_away: AtomicBool,
    pub(super) lifeline: Lifeline,
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::client::log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.lifeline.reported(&error);
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.are_brokers_away.store(true, Ordering::Relaxed);
        }
        super::client::log_error("kafka consumer", &error, reason);
    }
}

impl ConsumerContext for Membership {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        cause: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let result = match cause {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.is_member.store(true, Ordering::Relaxed);
                self.are_brokers_away.store(false, Ordering::Relaxed);
                self.assign(consumer, partitions)
            }
            _ => self.revoke(consumer, partitions),
        };
        match result {
            Ok(()) => {}
            Err(KafkaError::Retry(reason)) => tracing::warn!(reason, "rebalance"),
            Err(error) => (self.on_event)(GroupEvent::Failed(error)),
        }
    }
}

impl Membership {
    /// The polling thread calls `on_event`.
    pub(super) fn new(
        settings: &ClientSettings,
        topic: Arc<str>,
        begins_at_end: bool,
        on_event: Box<dyn Fn(GroupEvent) + Send + Sync>,
    ) -> Self {
        Self {
            on_event,
            topic,
            begins_at_end,
            changing: Mutex::default(),
            ends: Mutex::default(),
            leases: Mutex::default(),
            wakes: Mutex::default(),
            consumer: OnceLock::new(),
            is_member: AtomicBool::new(false),
            are_brokers_away: AtomicBool::new(false),
            lifeline: settings.lifeline(),
        }
    }

    /// Gives the context its consumer; call it once, right after the consumer was created.
    pub(super) fn belongs_to(&self, consumer: &Arc<BaseConsumer<Self>>) {
        let _ = self.consumer.set(Arc::downgrade(consumer));
    }

    /// Why this process is not in its group, as far as is known.
    pub(super) fn absence(&self) -> Option<&'static str> {
        if self.are_brokers_away.load(Ordering::Relaxed) {
            Some("no broker answers")
        } else if !self.is_member.load(Ordering::Relaxed) {
            Some(NOT_JOINED)
        } else {
            None
        }
    }

    /// Records whether the group counts this process among its members, according to the client.
    pub(super) fn is_known_as_member(&self, is_member: bool) {
        self.is_member.store(is_member, Ordering::Relaxed);
    }

    /// Records that a broker has answered.
    pub(super) fn brokers_are_back(&self) {
        self.are_brokers_away.store(false, Ordering::Relaxed);
    }

    fn assign(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &mut TopicPartitionList,
    ) -> Result<(), KafkaError> {
        let failed = |error: ClientError| KafkaError::of_client(&format!("assigning {}", self.topic), &error);
        let numbers: Vec<i32> = partitions.elements().iter().map(|element| element.partition()).collect();
        if numbers.is_empty() {
            // A cooperative step may change nothing for this member.
            self.seek_those_that_stay(consumer, &[]);
            return consumer.incremental_assign(partitions).map_err(failed);
        }
        self.seek_those_that_stay(consumer, &numbers);
        let mut assigned = self.split(consumer, &numbers)?;
        let found = self.find_starts(consumer, partitions, &mut assigned);
        // Without starting points the assignment must be accepted too, or the group waits for it.
        consumer.incremental_assign(partitions).map_err(failed)?;
        match found {
            Ok(()) => (self.on_event)(GroupEvent::Assigned(assigned)),
            Err(KafkaError::Retry(reason)) => {
                tracing::warn!(
                    topic = &*self.topic,
                    reason,
                    "committed offsets cannot be read yet: a broker is busy, or the transaction of a former owner is \
                     still open (should this go on for minutes, look for it with kafka-transactions find-hanging)"
                );
                (self.on_event)(GroupEvent::AssignedUnread(numbers));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Splits the queues, each with a new lease; an older lease of the same partition ends.
    pub(super) fn split(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &[i32],
    ) -> Result<Vec<Assigned>, KafkaError> {
        let owner = self.consumer.get().and_then(Weak::upgrade);
        let owner = owner.ok_or_else(|| KafkaError::Fatal("the consumer is closing".into()))?;
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let mut assigned = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let lease = Arc::new(Lease::new());
            if let Some(older) = leases.insert(*partition, Arc::clone(&lease)) {
                older.end();
            }
            let owner: Arc<dyn Send + Sync> = owner.clone();
            let wake = {
                let mut wakes = self.wakes.lock().unwrap_or_else(PoisonError::into_inner);
                Arc::clone(wakes.entry(*partition).or_default())
            };
            let queue =
                PartitionQueue::split(consumer.client(), owner, &self.topic, *partition, (lease, wake))
                    .ok_or_else(|| KafkaError::Fatal(format!("no queue for {}/{partition}", self.topic)))?;
            assigned.push(Assigned { partition: *partition, committed: None, next_offset: 0, queue });
        }
        Ok(assigned)
    }

    /// Sets each partition's start: the rewind offset, the committed one, or an end of the log.
    pub(super) fn find_starts(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &mut TopicPartitionList,
        assigned: &mut [Assigned],
    ) -> Result<(), KafkaError> {
        // The brokers answer only after open transactions on these partitions have ended.
        let committed = consumer.committed_offsets(partitions.clone(), COMMITTED_PATIENCE).and_then(all_read);
        let committed =
            committed.map_err(|error| KafkaError::of_client("reading committed offsets", &error))?;
        let numbers: Vec<i32> = assigned.iter().map(|one| one.partition).collect();
        let kept = log_offsets(consumer, &self.topic, &numbers, COMMITTED_PATIENCE).map_err(|error| {
            KafkaError::of_client(&format!("reading where the log of {} begins and ends", self.topic), &error)
        })?;
        for one in assigned {
            let partition = one.partition;
            let found = committed.find_partition(&self.topic, partition);
            one.committed = found.as_ref().and_then(|found| match found.offset() {
                Offset::Offset(next_offset) => {
                    Some(OffsetCommit::read(partition, next_offset, found.metadata()))
                }
                _ => None,
            });
            let kept = kept.get(&partition).cloned().unwrap_or_default();
            let start = match one.committed {
                Some(committed) => {
                    self.ends.lock().unwrap_or_else(PoisonError::into_inner).remove(&partition);
                    self.within_log(&kept, committed, one)
                }
                None => {
                    one.next_offset = self.fresh_start(partition, &kept);
                    one.next_offset
                }
            };
            one.queue.begins_at(start);
            partitions
                .set_partition_offset(&self.topic, one.partition, Offset::Offset(start))
                .map_err(|error| KafkaError::of_client("assigning", &error))?;
        }
        Ok(())
    }

    /// The start of a partition without a committed offset. A number, because for "the beginning" the client would
    /// ask the broker later, and again after each pause.
    fn fresh_start(&self, partition: i32, kept: &Range<i64>) -> i64 {
        if !self.begins_at_end {
            return kept.start;
        }
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let end = ends.entry(partition).or_insert(kept.end);
        // One that is not in the log is of an earlier topic.
        *end = if kept.contains(end) { *end } else { kept.end };
        *end
    }

    /// Keeps callbacks from answering the group, unless one is doing so now. The client would take a call of `assign` or
    /// `unassign` by another thread for the answer of a callback that still waits for a commit.
    pub(super) fn hold_still(&self) -> Option<MutexGuard<'_, ()>> {
        match self.changing.try_lock() {
            Ok(held) => Some(held),
            Err(TryLockError::Poisoned(held)) => Some(held.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Where reading starts, checked against the log. Logs which records are gone and where reading continues.
    fn within_log(&self, kept: &Range<i64>, committed: OffsetCommit, assigned: &mut Assigned) -> i64 {
        let (topic, partition, log_start, log_end) = (&*self.topic, assigned.partition, kept.start, kept.end);
        let next = committed.next_offset;
        if (log_start..=log_end).contains(&next) {
            assigned.next_offset = next;
            let start = committed.rewind_offset.unwrap_or(next).min(next);
            if start < log_start {
                tracing::warn!(
                    topic,
                    partition,
                    start,
                    log_start,
                    "records from which open work is rebuilt are gone from the log"
                );
            }
            return start.max(log_start);
        }
        assigned.next_offset = self.fresh_start(partition, kept);
        let place = if self.begins_at_end { "end" } else { "beginning" };
        tracing::error!(
            topic,
            partition,
            committed = next,
            log_start,
            log_end,
            "the committed offset is not in the log: records were deleted unread, or the topic was deleted and created again; \
             going on at its {place} (runtime.auto_offset_reset)"
        );
        assigned.next_offset
    }

    /// Ends the leases of partitions that are no longer ours.
    fn end_leases(&self, partitions: &[i32]) {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        for lease in partitions.iter().filter_map(|partition| leases.remove(partition)) {
            lease.end();
        }
    }

    /// Which of these partitions are still ours.
    pub(super) fn still_ours(&self, partitions: &[i32]) -> Vec<i32> {
        let leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        partitions.iter().copied().filter(|partition| leases.contains_key(partition)).collect()
    }

    /// Moves every partition except those in `others` to its worker's position; see the module's description.
    fn seek_those_that_stay(&self, consumer: &BaseConsumer<Self>, others: &[i32]) {
        // Locked until the end: a worker that opens a partition at the same time must seek after this.
        let leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let known = leases.iter().filter_map(|(partition, lease)| Some((*partition, lease.next_offset()?)));
        for (partition, offset) in known.filter(|(partition, _)| !others.contains(partition)) {
            if let Err(error) =
                consumer.seek(&self.topic, partition, Offset::Offset(offset), COMMITTED_PATIENCE)
            {
                // A partition whose fetching has not started yet begins at its start anyway.
                tracing::debug!(topic = &*self.topic, partition, offset, %error, "cannot seek");
            }
        }
    }

    fn revoke(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &TopicPartitionList,
    ) -> Result<(), KafkaError> {
        let numbers: Vec<i32> = partitions.elements().iter().map(|element| element.partition()).collect();
        if consumer.assignment_lost() {
            self.is_member.store(false, Ordering::Relaxed);
            self.end_leases(&numbers);
            (self.on_event)(GroupEvent::Lost(numbers.clone()));
        } else if !numbers.is_empty() {
            (self.on_event)(GroupEvent::Revoked(numbers.clone()));
            self.end_leases(&numbers);
        }
        self.seek_those_that_stay(consumer, &numbers);
        consumer.incremental_unassign(partitions).map_err(|error| {
            KafkaError::of_client(&format!("giving up partitions of {}", self.topic), &error)
        })
    }
}
