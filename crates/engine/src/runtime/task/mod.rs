//! All the work of one partition of one stage. A plain struct: its actor only decides when it works.
//!
//! Its [`Life`] is described in `life.rs`; one slice of work is in `slice.rs`, the handling of outputs in
//! `outputs.rs`, its part of a commit in `sealing.rs`.

mod life;
mod outputs;
mod sealing;
mod slice;

use std::sync::Arc;

use tokio::time::Instant;

use self::life::Life;
use self::sealing::SealedWork;
pub(super) use self::slice::Slice;
use super::failure::Failure;
use super::message::Place;
use super::plan::StagePlan;
use super::question::{Found, StateQuestion};
use super::status::TaskStatus;
use crate::kafka::OffsetCommit;
use crate::link::{Assigned, PartitionQueue};
use crate::store::{Change, Checkpoint, Identity, StateError, Store};
use crate::{Collector, Counts, Processor};

/// One partition of one stage, with its state.
pub(in crate::runtime) struct Task {
    plan: Arc<StagePlan>,
    pub(in crate::runtime) partition: i32,
    /// Identifies the store.
    identity: Identity,
    life: Life<PartitionQueue>,
    processor: Box<dyn Processor>,
    store: Store,
    collector: Collector,
    counts: Counts,
    /// Next offset to process; unknown until the first record or the end of the partition is seen.
    next_offset: Option<i64>,
    /// Records before this offset were processed before; they are read only to rebuild open work.
    muted_below: i64,
    /// Set after the partition was set back: records before this were processed before, and their dead letters were
    /// written.
    again_below: Option<i64>,
    /// The committed position, as the group knows it.
    committed: Option<OffsetCommit>,
    /// The state after the commit that is under way, if there is one.
    sealed: Option<SealedWork>,
    /// Since when the lease has ended without the task having been closed.
    ended_since: Option<Instant>,
    /// Whether the last row was the end of the partition.
    is_at_end: bool,
    last_taken_at: Instant,
    last_sent_at: Instant,
    /// Whether outputs have been sent since the last commit began.
    has_sent: bool,
    /// Records in a row on which the processor has panicked.
    panics_in_a_row: u32,
    /// Whether all open work has settled since the last record.
    is_settled: bool,
    /// The latest day of the records' own clock, and the day for which old entries were last deleted.
    stream_day: u32,
    swept_day: u32,
    pub(in crate::runtime) status: Arc<TaskStatus>,
    /// Timestamp of the oldest record since the last commit began, in milliseconds since 1970.
    oldest_ms: Option<i64>,
    latency: metrics::Histogram,
}

impl Task {
    /// Opens the task: its store, and the position where its work starts. The group's committed offset is the
    /// authority; the store only knows how much of the changelog it has.
    ///
    /// # Errors
    /// [`Failure::State`] if the store cannot be opened.
    pub(in crate::runtime) fn open(
        plan: &Arc<StagePlan>,
        worker: usize,
        topic_ids: &str,
        assigned: Assigned,
    ) -> Result<Self, Failure> {
        let Assigned { partition, committed, next_offset, queue } = assigned;
        let identity = plan.identity(partition, topic_ids);
        let mut store = plan.store(&identity)?;
        if committed.is_none() && store.checkpoint().input_offset >= 0 {
            // The group has no offset although this store has seen commits. The changelog has the truth.
            let (stage, source, group) = (plan.stage.as_str(), plan.source.as_str(), &plan.group.group);
            tracing::warn!(
                stage,
                group,
                source,
                partition,
                "the committed offset of this partition is gone (deleted, or expired after \
                 offsets.retention.minutes): reading it again from where runtime.auto_offset_reset says, and \
                 restoring its state from its changelog"
            );
            store = emptied(plan, store, &identity)?;
        }
        let status = plan.process.board.opened(plan.stage, partition, worker);
        // Known from the beginning, so that a task which never commits shows lag.
        status.committed(next_offset);
        let (mut processor, wake) = (plan.processor(), queue.wake());
        processor.wake_by(Arc::new(move || wake.notify_one()));
        Ok(Self {
            plan: Arc::clone(plan),
            partition,
            identity,
            life: Life::Running(queue),
            processor,
            store,
            collector: plan.collector(),
            counts: Counts::default(),
            next_offset: None,
            muted_below: next_offset,
            // Offsets of a log that has lost its records, or that is another one, mean nothing.
            again_below: committed
                .filter(|committed| committed.next_offset == next_offset)
                .and_then(|committed| committed.again_below),
            committed,
            ended_since: None,
            sealed: None,
            is_at_end: false,
            last_taken_at: Instant::now(),
            last_sent_at: Instant::now(),
            has_sent: false,
            panics_in_a_row: 0,
            is_settled: false,
            stream_day: 0,
            swept_day: 0,
            status,
            oldest_ms: None,
            latency: metrics::histogram!("frostline_latency_seconds", "stage" => plan.stage.as_str()),
        })
    }

    pub(in crate::runtime) fn place(&self) -> Place {
        (self.plan.stage, self.partition)
    }

    /// The notification that wakes the task; `None` once it is closed.
    pub(in crate::runtime) fn wake(&self) -> Option<Arc<tokio::sync::Notify>> {
        self.life.queue().map(PartitionQueue::wake)
    }

    /// Whether work may become due without records: something is open that settles when no record comes.
    pub(in crate::runtime) fn is_waiting_to_settle(&self) -> bool {
        self.processor.is_waiting() || self.processor.idle_ms().is_some() && !self.is_settled
    }

    /// The changelog offset to restore from: after what the store has.
    pub(in crate::runtime) fn changelog_offset(&self) -> i64 {
        self.store.checkpoint().changelog_offset
    }

    /// Applies a change read from the changelog, before the task runs.
    pub(in crate::runtime) fn restore(
        &mut self,
        change: Change<'_>,
        changelog_offset: i64,
    ) -> Result<(), StateError> {
        let checkpoint = Checkpoint { changelog_offset, ..self.store.checkpoint() };
        self.store.restore(&[change], checkpoint)
    }

    /// Whether the store is too old to continue from its offset; see [`Store::is_outdated`].
    pub(in crate::runtime) fn is_outdated(&self, now_ms: i64) -> bool {
        self.store.is_outdated(now_ms, self.plan.tombstones_kept)
    }

    /// Until when the store can be continued from its offset, in milliseconds since 1970; unlimited for an empty
    /// store.
    pub(in crate::runtime) fn believed_until_ms(&self) -> i64 {
        self.store.believed_until_ms(self.plan.tombstones_kept)
    }

    /// Empties the store, before it is restored.
    pub(in crate::runtime) fn start_over(&mut self) -> Result<(), StateError> {
        let store = std::mem::replace(&mut self.store, Store::in_memory());
        self.store = emptied(&self.plan, store, &self.identity)?;
        Ok(())
    }

    /// Records that the store has all of its changelog, as of `at_ms` or of what it knew before.
    pub(in crate::runtime) fn restored(&mut self, at_ms: i64) {
        self.store.confirm(at_ms.max(self.store.checkpoint().at_ms));
    }

    /// The error that the store does not fit its changelog.
    pub(in crate::runtime) fn outdated(&self, reason: String) -> StateError {
        StateError::Outdated { store: self.identity.tree_name(), reason }
    }

    /// Whether the task is open and its lease has not ended.
    pub(in crate::runtime) fn is_ours(&self) -> bool {
        self.life.queue().is_some_and(PartitionQueue::is_ours)
    }

    /// Takes no more records, but stays until those taken are committed.
    pub(in crate::runtime) fn stop_taking(&mut self) {
        self.life.drain();
        self.processor.stop();
    }

    /// Whether messages that have left the process may still come back with their outcome.
    pub(in crate::runtime) fn is_draining(&self) -> bool {
        self.life.is_draining() && self.is_ours() && self.processor.on_its_way() > 0
    }

    /// Reads the entries of a key from its store.
    pub(in crate::runtime) fn inspect(&self, question: &StateQuestion) -> Result<Found, Failure> {
        let (partition, committed) = (self.partition, self.store.checkpoint().input_offset);
        let committed_offset = Some(committed).filter(|offset| *offset >= 0);
        let entries = (question.look)(&self.store)?;
        Ok(Found { partition, committed_offset, entries })
    }

    /// Whether outputs wait until the commit under way has ended.
    pub(in crate::runtime) fn holds_outputs(&self) -> bool {
        self.collector.bytes() > 0
    }

    /// Whether its outputs are awaited.
    pub(in crate::runtime) fn is_awaited(&self) -> bool {
        self.plan.is_awaited
    }

    /// Makes the task check its queue at once.
    pub(in crate::runtime) fn wake_up(&self) {
        if let Some(wake) = self.wake() {
            wake.notify_one();
        }
    }

    /// Takes no more records. Uncommitted work is dropped with the task.
    pub(in crate::runtime) fn close(&mut self) {
        self.processor.stop();
        self.life.close();
    }
}

/// An empty store for the task.
fn emptied(plan: &StagePlan, store: Store, identity: &Identity) -> Result<Store, StateError> {
    drop(store);
    plan.process.state.drop_store(&identity.tree_name())?;
    plan.store(identity)
}
