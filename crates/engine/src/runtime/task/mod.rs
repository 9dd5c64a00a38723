//! All that happens in one partition of one stage. A plain struct: its actor only decides when.
//!
//! Where its [`Life`] stands is described in `life.rs`; one slice of work is in `slice.rs`, what becomes of outputs in `outputs.rs`,
//! its part of a commit in `sealing.rs`.

mod life;
mod outputs;
mod sealing;
mod slice;

use std::sync::Arc;
use std::time::Instant;

use self::life::Life;
use self::sealing::SealedWork;
pub(super) use self::slice::Slice;
use super::failure::Failure;
use super::inspect::{Found, StateQuestion};
use super::plan::StagePlan;
use super::status::TaskStatus;
use crate::kafka::{Assigned, OffsetCommit, PartitionQueue};
use crate::store::{Change, Checkpoint, Identity, StateError, Store};
use crate::{Collector, Counts, Processor};

/// One partition of one stage, with its state.
pub(in crate::runtime) struct Task {
    plan: Arc<StagePlan>,
    pub(in crate::runtime) partition: i32,
    /// Whose the store is.
    identity: Identity,
    life: Life<PartitionQueue>,
    processor: Box<dyn Processor>,
    store: Store,
    collector: Collector,
    counts: Counts,
    /// Next offset to process; unknown until the first record or the end of the partition is seen.
    next_offset: Option<i64>,
    /// Records below this were processed before; they are read only to rebuild what was open.
    muted_below: i64,
    /// After the partition was set back: records below this were processed before, and their dead letters were written.
    again_below: Option<i64>,
    /// As the group knows it.
    committed: Option<OffsetCommit>,
    /// What the commit under way, if there is one, will make of the task.
    sealed: Option<SealedWork>,
    /// Since when the lease has ended without anybody having closed the task.
    ended_since: Option<Instant>,
    /// Whether nothing was behind the last row.
    is_at_end: bool,
    last_taken_at: Instant,
    last_sent_at: Instant,
    /// Whether outputs have been sent since the last commit began.
    has_sent: bool,
    /// Records in a row on which the processor has panicked.
    panics_in_a_row: u32,
    /// Whether everything that was open has settled since the last record.
    is_settled: bool,
    /// The latest day of the records' own clock, and the one for which old entries have been swept out.
    stream_day: u32,
    swept_day: u32,
    pub(in crate::runtime) status: Arc<TaskStatus>,
    /// The oldest record since the last commit began, in milliseconds since 1970.
    oldest_ms: Option<i64>,
    latency: metrics::Histogram,
}

impl Task {
    /// Opens the task: its store, and where its work begins. The group's committed offset is the authority;
    /// the store only says how much of the changelog it has.
    ///
    /// # Errors
    /// [`Failure::State`] where the store cannot be opened.
    pub(in crate::runtime) fn open(
        plan: &Arc<StagePlan>,
        worker: usize,
        topic_ids: &str,
        assigned: Assigned,
    ) -> Result<Self, Failure> {
        let Assigned { partition, committed, next_offset, queue } = assigned;
        let identity = plan.identity(partition, topic_ids);
        let mut store = plan.state.store(&identity, plan.remember_days)?;
        if committed.is_none() && store.checkpoint().input_offset >= 0 {
            // The group knows nothing of what this store has seen committed. What the changelog says is the truth.
            let (stage, source, group) = (plan.stage.as_str(), plan.source.as_str(), &plan.group.group);
            tracing::warn!(
                stage,
                group,
                source,
                partition,
                "the committed offset of this partition is gone (deleted, or expired after offsets.retention.minutes): it \
                 is read again from where runtime.auto_offset_reset says, and its state is restored from its changelog"
            );
            store = emptied(plan, store, &identity)?;
        }
        let status = plan.board.opened(plan.stage, partition, worker);
        // Known from the beginning, so that one which never commits is seen to lag.
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
            // Offsets of a log that has lost its records, or is another one, say nothing.
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

    /// What wakes the task; `None` once it is closed.
    pub(in crate::runtime) fn wake(&self) -> Option<Arc<tokio::sync::Notify>> {
        self.life.queue().map(PartitionQueue::wake)
    }

    /// Whether time itself may bring work: something is open that settles when nothing comes.
    pub(in crate::runtime) fn is_waiting_to_settle(&self) -> bool {
        self.processor.is_waiting() || self.processor.idle_ms().is_some() && !self.is_settled
    }

    /// Where the changelog must be read from: behind what the store has.
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

    /// Whether the store is too old to be read on from where it is; see [`Store::is_outdated`].
    pub(in crate::runtime) fn is_outdated(&self, now_ms: i64) -> bool {
        self.store.is_outdated(now_ms, self.plan.tombstones_kept)
    }

    /// Until when the store may be read on from where it is, in milliseconds since 1970; one without anything in it,
    /// always.
    pub(in crate::runtime) fn believed_until_ms(&self) -> i64 {
        self.store.believed_until_ms(self.plan.tombstones_kept)
    }

    /// Empties the store, before it is restored.
    pub(in crate::runtime) fn start_over(&mut self) -> Result<(), StateError> {
        let store = std::mem::replace(&mut self.store, Store::in_memory());
        self.store = emptied(&self.plan, store, &self.identity)?;
        Ok(())
    }

    /// The store has all of its changelog, as of `at_ms`.
    pub(in crate::runtime) fn restored(&mut self, at_ms: i64) {
        self.store.confirm(at_ms);
    }

    /// The error that the store does not fit its changelog.
    pub(in crate::runtime) fn outdated(&self, reason: String) -> StateError {
        StateError::Outdated { store: self.identity.tree_name(), reason }
    }

    /// Whether the task is open and its lease has not ended.
    pub(in crate::runtime) fn is_ours(&self) -> bool {
        self.life.queue().is_some_and(PartitionQueue::is_ours)
    }

    /// Takes no more records, but stays until what was taken is committed.
    pub(in crate::runtime) fn stop_taking(&mut self) {
        self.life.drain();
        self.processor.stop();
    }

    /// Whether something that has left the process may still come back with its outcome.
    pub(in crate::runtime) fn is_draining(&self) -> bool {
        self.life.is_draining() && self.is_ours() && self.processor.on_its_way() > 0
    }

    /// Looks for what it remembers of a key.
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

    /// Has the task look at its queue at once.
    pub(in crate::runtime) fn wake_up(&self) {
        if let Some(wake) = self.wake() {
            wake.notify_one();
        }
    }

    /// Takes no more records. What is not committed is dropped with the task.
    pub(in crate::runtime) fn close(&mut self) {
        self.processor.stop();
        self.life.close();
    }
}

/// The store of a task with nothing in it.
fn emptied(plan: &StagePlan, store: Store, identity: &Identity) -> Result<Store, StateError> {
    drop(store);
    plan.state.drop_store(&identity.tree_name())?;
    plan.state.store(identity, plan.remember_days)
}
