//! All that happens in one partition of one stage. A plain struct: its actor only decides when.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::commit::Commit;
use super::failure::Failure;
use super::inspect::{Found, StateQuestion};
use super::plan::StagePlan;
use super::status::{Phase, TaskStatus};
use super::worker::Outbox;
use crate::kafka::{
    Assigned, ChangelogSlot, KafkaError, OffsetCommit, Outgoing, PartitionQueue, Producer, Row,
};
use crate::record::{DAY_MS, Record, day_of, unix_ms};
use crate::store::{Change, Checkpoint, Identity, StateError, Store};
use crate::{Collector, Context, Counter, Counts, HEADER_PREFIX, Output, OutputHeader, Processor, Sink};

/// More uncommitted changes than this are committed before the interval is over.
const CHANGES_MAX: usize = 5_000;

/// Outputs that may wait for a commit to end, in bytes, and changes that may come up meanwhile, before the task waits as
/// well.
const HELD_BYTES_MAX: usize = 4 << 20;
const HELD_CHANGES_MAX: usize = 4 * CHANGES_MAX;

/// While there is a backlog, outputs are handed to the producer in bunches: the client makes a batch of what it has, and
/// each costs as much as ten small records. Near the partition's end, and at a commit, they go at once.
const BUNCH_BYTES: usize = 64 << 10;
const BUNCH_TIME: Duration = Duration::from_millis(50);
/// So many rows before its end a partition has a backlog, though its queue be empty: it is so after each answer, until
/// the next one is there.
const BACKLOG_ROWS: i64 = 1_000;

/// A slice ends after this time: under 5,000 conditions a record, the rows that a queue gives at once take 150 ms, and
/// neighbours, commits and rebalances wait for each other's. Not sooner, since each partition has rules of its own to
/// bring into the processor's cache: with 5 ms, a thousand conditions a record take 8 % more time. It is looked at after
/// each so many rows.
const SLICE_TIME: Duration = Duration::from_millis(20);
const SLICE_LOOK_ROWS: u32 = 32;

/// How long a task may stay open whose lease has ended.
const FORGOTTEN_PATIENCE: Duration = Duration::from_secs(5);

/// Entries looked at in one commit while old ones are swept out.
const SWEEP_ENTRIES: usize = 1_000;

/// More panics in a row than this are a fault of the task, not of its records.
const PANICS_MAX: u32 = 20;

/// Room that a record's headers and framing may take beside key and value, in bytes.
const RECORD_OVERHEAD_BYTES: usize = 1_000;

/// What a slice of work came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slice {
    /// There may be more to do at once.
    Busy,
    /// There may be more, and enough has changed to commit first.
    CommitFirst,
    /// Nothing to do until the queue wakes the task, or the next tick.
    Waiting,
    /// The task was closed.
    Closed,
}

/// One partition of one stage, with its state.
pub(super) struct Task {
    plan: Arc<StagePlan>,
    pub(super) partition: i32,
    /// Whose the store is.
    identity: Identity,
    /// Gone once the task is closed: nothing can be taken any more.
    queue: Option<PartitionQueue>,
    processor: Box<dyn Processor>,
    store: Store,
    collector: Collector,
    counts: Counts,
    /// Next offset to process; unknown until the first record or the end of the partition is seen.
    next_offset: Option<i64>,
    /// Records below this were processed before; they are read only to rebuild what was open.
    muted_below: i64,
    /// As the group knows it.
    committed: Option<OffsetCommit>,
    /// What the commit under way will make of `committed`, and the counts that go with it.
    sealed: Option<(Option<OffsetCommit>, Counts)>,
    /// Set while the partition is being given up: nothing more is taken, what was taken is committed.
    is_stopped: bool,
    /// Since when the lease has ended without anybody having closed the task.
    ended_since: Option<Instant>,
    is_at_end: bool,
    last_taken_at: Instant,
    last_sent_at: Instant,
    panics_in_a_row: u32,
    /// Whether everything that was open has settled since the last record.
    is_settled: bool,
    /// The latest day of the records' own clock, and the one for which old entries have been swept out.
    stream_day: u32,
    swept_day: u32,
    pub(super) status: Arc<TaskStatus>,
    /// The oldest record since the last commit began, in milliseconds since 1970; and that of the commit under way.
    oldest_ms: Option<i64>,
    sealed_oldest_ms: Option<i64>,
    /// When the commit under way began, in milliseconds since 1970: the store is right as of then.
    sealed_at_ms: i64,
    latency: metrics::Histogram,
}

impl Task {
    /// Opens the task: its store, and where its work begins. The group's committed offset is the authority;
    /// the store only tells how much of the changelog it has.
    ///
    /// # Errors
    /// [`Failure::State`] where the store cannot be opened.
    pub(super) fn open(
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
            queue: Some(queue),
            processor,
            store,
            collector: plan.collector(),
            counts: Counts::default(),
            next_offset: None,
            muted_below: next_offset,
            committed,
            ended_since: None,
            sealed: None,
            is_stopped: false,
            is_at_end: false,
            last_taken_at: Instant::now(),
            last_sent_at: Instant::now(),
            panics_in_a_row: 0,
            is_settled: false,
            stream_day: 0,
            swept_day: 0,
            status,
            oldest_ms: None,
            sealed_oldest_ms: None,
            sealed_at_ms: 0,
            latency: metrics::histogram!("frostline_latency_seconds", "stage" => plan.stage.as_str()),
        })
    }

    /// What wakes the task; `None` once it is closed.
    pub(super) fn wake(&self) -> Option<Arc<tokio::sync::Notify>> {
        self.queue.as_ref().map(PartitionQueue::wake)
    }

    /// Whether time itself may bring work: something is open that settles when nothing comes.
    pub(super) fn is_waiting_to_settle(&self) -> bool {
        self.processor.is_waiting() || self.processor.idle_ms().is_some() && !self.is_settled
    }

    /// Where the changelog must be read from: behind what the store has.
    pub(super) fn changelog_offset(&self) -> i64 {
        self.store.checkpoint().changelog_offset
    }

    /// Applies a change read from the changelog, before the task runs.
    pub(super) fn restore(&mut self, change: Change<'_>, changelog_offset: i64) -> Result<(), StateError> {
        let checkpoint = Checkpoint { changelog_offset, ..self.store.checkpoint() };
        self.store.restore(&[change], checkpoint)
    }

    /// Whether the store is too old to be read on from where it is; see [`Store::is_outdated`].
    pub(super) fn is_outdated(&self, now_ms: i64) -> bool {
        self.store.is_outdated(now_ms, self.plan.tombstones_kept)
    }

    /// Until when the store may be read on from where it is, in milliseconds since 1970; one without anything in it,
    /// always.
    pub(super) fn believed_until_ms(&self) -> i64 {
        self.store.believed_until_ms(self.plan.tombstones_kept)
    }

    /// Empties the store, before it is restored.
    pub(super) fn start_over(&mut self) -> Result<(), StateError> {
        let store = std::mem::replace(&mut self.store, Store::in_memory());
        self.store = emptied(&self.plan, store, &self.identity)?;
        Ok(())
    }

    /// The store has all of its changelog, as of `at_ms`.
    pub(super) fn restored(&mut self, at_ms: i64) {
        self.store.confirm(at_ms);
    }

    /// The error that the store does not fit its changelog.
    pub(super) fn outdated(&self, reason: String) -> StateError {
        StateError::Outdated { store: self.identity.tree_name(), reason }
    }

    /// Processes a batch and sends what it gave. Bounded, so that neighbours and timers live.
    pub(super) fn run_slice(&mut self, outbox: &Outbox) -> Result<Slice, Failure> {
        self.status.beat(Phase::Running);
        self.heal_if_forgotten()?;
        let Some(mut queue) = self.queue.take() else { return Ok(Slice::Closed) };
        let now_ms = unix_ms();
        if self.is_stopped || outbox.is_committing() && self.holds_enough() {
            self.queue = Some(queue);
            if self.is_stopped {
                self.processor_turn(now_ms)?;
            }
            return Ok(Slice::Waiting);
        }
        let taken = match self.take_rows(&mut queue, now_ms) {
            // After an assign or a seek the first call finds only the mark that separates old from new.
            Ok(0) => self.take_rows(&mut queue, now_ms),
            taken => taken,
        };
        let end = queue.end();
        if let Some(end) = end {
            self.status.ends_at(end);
        }
        self.queue = Some(queue);
        let taken = taken?;
        match taken {
            0 => self.punctuate_if_idle(now_ms)?,
            _ => self.last_taken_at = Instant::now(),
        }
        if self.is_at_end {
            self.status.fresh_at(now_ms);
        }
        self.processor_turn(now_ms)?;
        if self.is_bunch(taken, end) && !outbox.is_held() {
            self.send_outputs(&outbox.producer)?;
        }
        let is_filling = self.store.fill()?;
        Ok(match taken {
            0 if is_filling => Slice::Busy,
            0 => Slice::Waiting,
            _ if self.store.changed() > CHANGES_MAX => Slice::CommitFirst,
            _ => Slice::Busy,
        })
    }

    /// Whether the outputs are worth a batch, or nothing is worth waiting for.
    fn is_bunch(&self, taken: usize, end: Option<i64>) -> bool {
        let behind = end.zip(self.next_offset).map_or(0, |(end, next_offset)| end - next_offset);
        let is_last = taken == 0 && behind < BACKLOG_ROWS;
        is_last || self.collector.bytes() > BUNCH_BYTES || self.last_sent_at.elapsed() > BUNCH_TIME
    }

    /// Processes what the queue has, for one slice. Returns how many rows that were.
    fn take_rows(&mut self, queue: &mut PartitionQueue, now_ms: i64) -> Result<usize, Failure> {
        let (mut failure, mut rows, begun) = (None, 0_u32, Instant::now());
        let taken = queue.consume(&mut |row| {
            if let Err(error) = self.row(row, now_ms) {
                failure = Some(error);
                return ControlFlow::Break(());
            }
            rows += 1;
            let is_long = rows.is_multiple_of(SLICE_LOOK_ROWS) && begun.elapsed() > SLICE_TIME;
            if is_long { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        failure.map_or(Ok(taken), Err)
    }

    /// A task whose lease has ended is closed within moments, unless the partition was lost and came back while
    /// it was just being opened: then this is what opens it again.
    fn heal_if_forgotten(&mut self) -> Result<(), Failure> {
        if self.queue.is_none() || self.is_ours() {
            self.ended_since = None;
            return Ok(());
        }
        let since = *self.ended_since.get_or_insert_with(Instant::now);
        if since.elapsed() < FORGOTTEN_PATIENCE {
            return Ok(());
        }
        let what =
            format!("partition {} of {} changed hands while it was opened", self.partition, self.plan.source);
        Err(KafkaError::Fenced(what).into())
    }

    /// Whether so much waits for the commit under way that the task should wait too.
    fn holds_enough(&self) -> bool {
        self.collector.bytes() > HELD_BYTES_MAX || self.store.changed() > HELD_CHANGES_MAX
    }

    fn row(&mut self, row: Row<'_>, now_ms: i64) -> Result<(), Failure> {
        match row {
            Row::Record(record) => self.process(record, now_ms),
            Row::EndOfPartition { offset, .. } => {
                self.is_at_end = true;
                if self.next_offset.is_none() {
                    let (stage, partition) = (self.plan.stage.as_str(), self.partition);
                    tracing::debug!(
                        stage,
                        partition,
                        offset,
                        muted_below = self.muted_below,
                        "nothing to read yet"
                    );
                }
                // The last offsets may be transaction markers, which are never delivered.
                self.next_offset = Some(self.next_offset.map_or(offset, |next| next.max(offset)));
                Ok(())
            }
            Row::Error(error) => Err(error.into()),
        }
    }

    fn process(&mut self, record: &Record<'_>, now_ms: i64) -> Result<(), Failure> {
        // An offset may come twice around a change of leader; gaps upward are normal.
        if self.next_offset.is_some_and(|next| record.offset < next) {
            return Ok(());
        }
        let muted = record.offset < self.muted_below;
        self.counts[Counter::RECORDS_IN] += u64::from(!muted);
        let mut context = Context {
            store: &mut self.store,
            collector: &mut self.collector,
            counts: &mut self.counts,
            now_ms,
            muted,
            stage: self.plan.stage,
        };
        // A record that brings the processor down is one dead letter, not a dead partition. But where one
        // after the other does, it is not the records.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.processor.process(record, &mut context)));
        match outcome {
            Ok(result) => {
                result?;
                self.panics_in_a_row = 0;
            }
            Err(_) => {
                context.reject(record, "the processor panicked on this record");
                self.panics_in_a_row += 1;
            }
        }
        if self.panics_in_a_row > PANICS_MAX {
            let place = format!("{}/{}@{}", record.topic, record.partition, record.offset);
            return Err(Failure::Panic(format!(
                "stage {} at {place}, as on all records before,",
                self.plan.stage
            )));
        }
        if self.next_offset.is_none() {
            let (stage, partition, offset) = (self.plan.stage.as_str(), self.partition, record.offset);
            tracing::debug!(stage, partition, offset, muted_below = self.muted_below, "first record");
            self.plan.totals.first_record(now_ms);
        }
        self.next_offset = Some(record.offset + 1);
        if !muted && self.oldest_ms.is_none_or(|oldest| record.timestamp_ms < oldest) {
            self.oldest_ms = Some(record.timestamp_ms);
        }
        // A timestamp from the future must not make everything old.
        self.stream_day = self.stream_day.max(day_of(record.timestamp_ms.min(now_ms + DAY_MS)));
        self.is_at_end = false;
        self.is_settled = false;
        Ok(())
    }

    fn punctuate_if_idle(&mut self, now_ms: i64) -> Result<(), Failure> {
        let Some(idle_ms) = self.processor.idle_ms() else { return Ok(()) };
        let is_due = self.is_at_end && self.last_taken_at.elapsed() >= Duration::from_millis(idle_ms);
        if !is_due || self.is_settled {
            return Ok(());
        }
        self.with_processor(now_ms, |processor, context| processor.punctuate(context))?;
        self.is_settled = true;
        Ok(())
    }

    fn processor_turn(&mut self, now_ms: i64) -> Result<(), Failure> {
        self.with_processor(now_ms, |processor, context| processor.turn(context))
    }

    /// Lets the processor work without a record.
    fn with_processor(
        &mut self,
        now_ms: i64,
        work: impl FnOnce(&mut dyn Processor, &mut Context<'_>) -> Result<(), StateError>,
    ) -> Result<(), Failure> {
        let mut context = Context {
            store: &mut self.store,
            collector: &mut self.collector,
            counts: &mut self.counts,
            now_ms,
            muted: false,
            stage: self.plan.stage,
        };
        Ok(work(&mut *self.processor, &mut context)?)
    }

    fn send_outputs(&mut self, producer: &Producer) -> Result<(), Failure> {
        for output in self.collector.outputs() {
            if output.sink == Sink::DeadLetters {
                send_dead_letter(&self.plan, &output, producer)?;
                continue;
            }
            let Some(topic) = self.plan.sink(output.sink) else {
                let what = format!(
                    "stage {} has no sink {:?}: name it in the topology",
                    self.plan.stage, output.sink
                );
                return Err(KafkaError::Fatal(what).into());
            };
            producer.send(&outgoing(topic, &output, output.value))?;
        }
        self.collector.clear();
        self.last_sent_at = Instant::now();
        Ok(())
    }

    /// Whether the task is open and its lease has not ended.
    pub(super) fn is_ours(&self) -> bool {
        self.queue.as_ref().is_some_and(PartitionQueue::is_ours)
    }

    /// Whether there is anything to commit; always so when anything was sent since the last commit.
    pub(super) fn has_changed(&self) -> bool {
        self.store.changed() > 0 || self.position().is_some_and(|position| Some(position) != self.committed)
    }

    /// The position to commit; `None` while it is unknown, or what was open is still being rebuilt.
    fn position(&self) -> Option<OffsetCommit> {
        let next_offset = self.next_offset.filter(|next| *next >= self.muted_below)?;
        let rewind_offset = self.processor.rewind_offset().filter(|rewind| *rewind < next_offset);
        Some(OffsetCommit { partition: self.partition, next_offset, rewind_offset })
    }

    /// First step of a commit: sends what was held back, and adds changes and position to the commit.
    pub(super) fn seal(&mut self, commit: &mut Commit) -> Result<(), Failure> {
        self.send_outputs(&commit.producer)?;
        if self.stream_day > self.swept_day && self.store.expire(self.stream_day, SWEEP_ENTRIES)? {
            self.swept_day = self.stream_day;
        }
        let position = self.position();
        commit.positions.extend(position);
        commit.changes.push((self.partition, self.store.seal()));
        self.processor.sealed();
        commit.ownerships.extend(self.queue.as_ref().map(PartitionQueue::ownership));
        self.sealed_oldest_ms = self.oldest_ms.take();
        self.sealed_at_ms = unix_ms();
        self.sealed = Some((position, std::mem::take(&mut self.counts)));
        Ok(())
    }

    /// Last step, when Kafka has it: state and offsets into the store, in one batch.
    pub(super) fn committed(&mut self, producer: &Producer) -> Result<(), Failure> {
        let Some((position, counts)) = self.sealed.take() else { return Ok(()) };
        let before = self.store.checkpoint();
        let input_offset = position.map_or(before.input_offset, |position| position.next_offset);
        let changelog_offset = producer
            .changelog_offset(ChangelogSlot(self.partition))
            .map_or(before.changelog_offset, |offset| offset.max(before.changelog_offset));
        // Another task may have the store by now; the changelog brings it what this one leaves out.
        if self.is_ours() {
            self.store.commit(Checkpoint { input_offset, changelog_offset, at_ms: self.sealed_at_ms })?;
            self.processor.committed();
        }
        self.committed = position.or(self.committed);
        self.status.committed(input_offset);
        if let Some(oldest_ms) = self.sealed_oldest_ms.take() {
            self.status.fresh_at(oldest_ms);
            self.latency.record((unix_ms() - oldest_ms).max(0) as f64 / 1_000.0);
        }
        self.plan.totals.add(self.plan.stage, &counts);
        Ok(())
    }

    /// Takes no more records, but stays until what was taken is committed.
    pub(super) fn stop_taking(&mut self) {
        self.is_stopped = true;
        self.processor.stop();
    }

    /// Whether something that has left the process may still come back with its outcome.
    pub(super) fn is_draining(&self) -> bool {
        self.is_stopped && self.is_ours() && self.processor.on_its_way() > 0
    }

    /// Looks for what it remembers of a key.
    pub(super) fn inspect(&self, question: &StateQuestion) -> Result<Found, Failure> {
        let (partition, committed) = (self.partition, self.store.checkpoint().input_offset);
        let committed_offset = Some(committed).filter(|offset| *offset >= 0);
        let entries = (question.look)(&self.store)?;
        Ok(Found { partition, committed_offset, entries })
    }

    /// Has the task look at its queue at once.
    pub(super) fn wake_up(&self) {
        if let Some(wake) = self.wake() {
            wake.notify_one();
        }
    }

    /// Takes no more records. What is not committed is dropped with the task.
    pub(super) fn close(&mut self) {
        self.processor.stop();
        self.queue = None;
    }
}

/// The store of a task with nothing in it.
fn emptied(plan: &StagePlan, store: Store, identity: &Identity) -> Result<Store, StateError> {
    drop(store);
    plan.state.drop_store(&identity.tree_name())?;
    plan.state.store(identity, plan.remember_days)
}

fn outgoing<'a>(topic: &'a str, output: &Output<'a>, value: Option<&'a [u8]>) -> Outgoing<'a> {
    Outgoing {
        topic,
        partition: None,
        key: output.key,
        value,
        timestamp_ms: output.timestamp_ms,
        headers: output.headers,
        changelog: None,
    }
}

/// Sends a dead letter. One that is larger than the topic takes is cut, and says so: the original stays
/// where its headers point, and the stream goes on.
fn send_dead_letter(plan: &StagePlan, output: &Output<'_>, producer: &Producer) -> Result<(), Failure> {
    let header_bytes = |headers: &[OutputHeader]| -> usize {
        headers.iter().map(|(n, v)| n.len() + v.as_ref().map_or(0, Vec::len) + 8).sum()
    };
    let limit = plan.dead_letter_bytes_max.saturating_sub(RECORD_OVERHEAD_BYTES);
    let (key_bytes, value_bytes) = (output.key.map_or(0, <[u8]>::len), output.value.map_or(0, <[u8]>::len));
    if header_bytes(output.headers) + key_bytes + value_bytes <= limit {
        return Ok(producer.send(&outgoing(&plan.dead_letters, output, output.value))?);
    }
    // Our own headers always fit; the original ones, the key and the value go as far as there is room.
    let mut headers: Vec<OutputHeader> =
        output.headers.iter().filter(|(name, _)| name.starts_with(HEADER_PREFIX)).cloned().collect();
    let sizes = format!("key {key_bytes}, value {value_bytes}, headers {}", header_bytes(output.headers));
    headers.push(("frostline-cut-from-bytes".into(), Some(sizes.into_bytes())));
    let room = limit.saturating_sub(header_bytes(&headers));
    let key = output.key.filter(|key| key.len() <= room / 2);
    let room = room - key.map_or(0, <[u8]>::len);
    let value = output.value.map(|value| &value[..value.len().min(room)]);
    let record = Outgoing { headers: &headers, key, ..outgoing(&plan.dead_letters, output, value) };
    Ok(producer.send(&record)?)
}
