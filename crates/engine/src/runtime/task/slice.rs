//! One slice of a task's work: some records within a limited time, so that other tasks, timers and commits get their
//! turn.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::time::Instant;

use super::Task;
use super::life::Life;
use crate::kafka::{KafkaError, Row};
use crate::link::PartitionQueue;
use crate::record::{Record, day_at, unix_ms};
use crate::runtime::failure::Failure;
use crate::runtime::snapshot::Phase;
use crate::runtime::worker::Outbox;
use crate::store::StateError;
use crate::{Context, Counter, Processor};

/// With more uncommitted changes than this, commit before the interval is over.
const CHANGES_MAX: usize = 5_000;

/// Limits for outputs that wait for a commit to end, in bytes, and for changes in the meantime; beyond them the task
/// waits too.
const HELD_BYTES_MAX: usize = 4 << 20;
const HELD_CHANGES_MAX: usize = 4 * CHANGES_MAX;

/// While there is a backlog, outputs are handed to the producer in bunches, because the client makes a batch of what
/// it has, and each batch costs as much as ten small records. Near the partition's end and at a commit, they are
/// handed over at once.
const BUNCH_BYTES: usize = 64 << 10;
const BUNCH_TIME: Duration = Duration::from_millis(50);
/// A partition has a backlog if at least this many rows are left, even if its queue is empty: the queue is empty
/// after each answer until the next one arrives.
const BACKLOG_ROWS: i64 = 1_000;

/// Longest slice. With 5,000 conditions per record, one full batch takes 150 ms, during which other partitions,
/// commits and rebalances wait. Not shorter, because each partition must bring its own rules into the CPU's cache:
/// with 5 ms, a thousand conditions per record take 8 % more time. The time is checked after this many rows.
const SLICE_TIME: Duration = Duration::from_millis(20);
const SLICE_LOOK_ROWS: u32 = 32;

/// How long a task may stay open after its lease has ended.
const FORGOTTEN_PATIENCE: Duration = Duration::from_secs(5);

/// More panics in a row than this are a fault of the task, not of its records.
const PANICS_MAX: u32 = 20;

/// The result of a slice of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtime) enum Slice {
    /// There may be more to do now.
    Busy,
    /// There may be more to do, but enough has changed to commit first.
    CommitFirst,
    /// Nothing to do now, an awaited output has been sent, and no task of the worker has a backlog.
    CommitThenWait,
    /// Nothing to do until the queue wakes the task or the next tick.
    Waiting,
    /// The task is closed.
    Closed,
}

impl Task {
    /// Processes a batch and sends the results. Bounded, so that other tasks and timers get their turn.
    pub(in crate::runtime) fn run_slice(&mut self, outbox: &Outbox) -> Result<Slice, Failure> {
        self.status.beat(Phase::Running);
        self.heal_if_forgotten()?;
        let now_ms = unix_ms();
        let mut queue = match std::mem::replace(&mut self.life, Life::Closed) {
            Life::Closed => return Ok(Slice::Closed),
            Life::Running(queue) if outbox.is_committing() && self.holds_enough() => {
                self.life = Life::Running(queue);
                return Ok(Slice::Waiting);
            }
            Life::Running(queue) => queue,
            draining @ Life::Draining(_) => {
                self.life = draining;
                self.processor_turn(now_ms)?;
                return Ok(Slice::Waiting);
            }
        };
        let taken = match self.take_rows(&mut queue, now_ms) {
            // After an assign or a seek the first call finds only the mark that separates old from new records.
            Ok(0) => self.take_rows(&mut queue, now_ms),
            taken => taken,
        };
        let end = queue.end();
        if let Some(end) = end {
            self.status.ends_at(end);
        }
        self.life = Life::Running(queue);
        let taken = taken?;
        match taken {
            0 => self.punctuate_if_idle(now_ms)?,
            _ => self.last_taken_at = Instant::now(),
        }
        if taken > 0 && self.has_backlog(end) {
            outbox.saw_backlog(self.last_taken_at);
        }
        if self.is_at_end {
            self.status.fresh_at(now_ms);
        }
        self.processor_turn(now_ms)?;
        let is_last = taken == 0 && !self.has_backlog(end);
        if self.is_bunch(is_last) && !outbox.is_held() {
            self.send_outputs(&outbox.producer)?;
        }
        let is_filling = self.store.fill()?;
        let is_awaited = self.plan.is_awaited && self.has_sent && is_last && !outbox.has_backlog();
        Ok(match taken {
            0 if is_filling => Slice::Busy,
            0 if is_awaited => Slice::CommitThenWait,
            0 => Slice::Waiting,
            _ if self.store.changed() > CHANGES_MAX => Slice::CommitFirst,
            _ => Slice::Busy,
        })
    }

    /// Whether many records are left to read, even if the queue is empty at the moment.
    fn has_backlog(&self, end: Option<i64>) -> bool {
        end.zip(self.next_offset).is_some_and(|(end, next_offset)| end - next_offset >= BACKLOG_ROWS)
    }

    /// Whether the outputs are enough for a batch, or waiting brings nothing.
    fn is_bunch(&self, is_last: bool) -> bool {
        is_last || self.collector.bytes() > BUNCH_BYTES || self.last_sent_at.elapsed() > BUNCH_TIME
    }

    /// Processes the queue for one slice. Returns how many rows that were.
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

    /// A task whose lease has ended is closed within moments, unless the partition was lost and came back while it
    /// was being opened: then this opens it again.
    fn heal_if_forgotten(&mut self) -> Result<(), Failure> {
        if self.life.queue().is_none() || self.is_ours() {
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

    /// Whether so much waits for the commit under way that the task must wait too.
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
        // Around a change of leader an offset may come twice; gaps upward are normal.
        if self.next_offset.is_some_and(|next| record.offset < next) {
            return Ok(());
        }
        let muted = record.offset < self.muted_below;
        self.counts[Counter::RECORDS_IN] += u64::from(!muted);
        self.collector.drop_dead_letters(self.again_below.is_some_and(|end| record.offset < end));
        // A record that makes the processor panic becomes one dead letter, not a dead partition, and has no other
        // effect. But if many records in a row do, the records are not the cause.
        let has_panicked = self.with_processor(now_ms, muted, |processor, context| {
            context.store.mark();
            let mark = context.collector.mark();
            let outcome = catch_unwind(AssertUnwindSafe(|| processor.process(record, context)));
            if outcome.is_err() {
                context.store.take_back();
                context.collector.take_back(mark);
                context.reject(record, "the processor panicked on this record");
            }
            outcome.map_or(Ok(true), |result| result.map(|()| false))
        })?;
        self.panics_in_a_row = if has_panicked { self.panics_in_a_row + 1 } else { 0 };
        self.collector.drop_dead_letters(false);
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
            self.plan.process.totals.first_record(now_ms);
        }
        self.next_offset = Some(record.offset + 1);
        if !muted && self.oldest_ms.is_none_or(|oldest| record.timestamp_ms < oldest) {
            self.oldest_ms = Some(record.timestamp_ms);
        }
        self.stream_day = self.stream_day.max(day_at(record.timestamp_ms, now_ms));
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
        self.with_processor(now_ms, false, |processor, context| processor.punctuate(context))?;
        self.is_settled = true;
        Ok(())
    }

    fn processor_turn(&mut self, now_ms: i64) -> Result<(), Failure> {
        self.with_processor(now_ms, false, |processor, context| processor.turn(context))
    }

    /// Calls the processor.
    fn with_processor<R>(
        &mut self,
        now_ms: i64,
        muted: bool,
        work: impl FnOnce(&mut dyn Processor, &mut Context<'_>) -> Result<R, StateError>,
    ) -> Result<R, Failure> {
        let Self { processor, store, collector, counts, plan, .. } = self;
        let mut context = Context { muted, ..Context::new(plan.stage, now_ms, store, collector, counts) };
        Ok(work(&mut **processor, &mut context)?)
    }
}
