//! One slice of a task's work: some records, bounded in time, so that neighbours, timers and commits live.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::Task;
use super::life::Life;
use crate::kafka::{KafkaError, PartitionQueue, Row};
use crate::record::{DAY_MS, Record, day_of, unix_ms};
use crate::runtime::failure::Failure;
use crate::runtime::status::Phase;
use crate::runtime::worker::Outbox;
use crate::store::StateError;
use crate::{Context, Counter, Processor};

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

/// More panics in a row than this are a fault of the task, not of its records.
const PANICS_MAX: u32 = 20;

/// What a slice of work came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtime) enum Slice {
    /// There may be more to do at once.
    Busy,
    /// There may be more, and enough has changed to commit first.
    CommitFirst,
    /// Nothing to do just now, and somebody waits for what has been sent.
    CommitThenWait,
    /// Nothing to do until the queue wakes the task, or the next tick.
    Waiting,
    /// The task was closed.
    Closed,
}

impl Task {
    /// Processes a batch and sends what it gave. Bounded, so that neighbours and timers live.
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
            // After an assign or a seek the first call finds only the mark that separates old from new.
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
        if self.is_at_end {
            self.status.fresh_at(now_ms);
        }
        self.processor_turn(now_ms)?;
        let is_last = taken == 0 && !self.has_backlog(end);
        if self.is_bunch(is_last) && !outbox.is_held() {
            self.send_outputs(&outbox.producer)?;
        }
        let is_filling = self.store.fill()?;
        let is_awaited = self.plan.is_awaited && self.has_sent && is_last;
        Ok(match taken {
            0 if is_filling => Slice::Busy,
            0 if is_awaited => Slice::CommitThenWait,
            0 => Slice::Waiting,
            _ if self.store.changed() > CHANGES_MAX => Slice::CommitFirst,
            _ => Slice::Busy,
        })
    }

    /// Whether much is left to read, though the queue be empty just now.
    fn has_backlog(&self, end: Option<i64>) -> bool {
        end.zip(self.next_offset).is_some_and(|(end, next_offset)| end - next_offset >= BACKLOG_ROWS)
    }

    /// Whether the outputs are worth a batch, or nothing is worth waiting for.
    fn is_bunch(&self, is_last: bool) -> bool {
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
        self.collector.drop_dead_letters(self.again_below.is_some_and(|end| record.offset < end));
        // A record that brings the processor down is one dead letter, not a dead partition. But where one
        // after the other does, it is not the records.
        let has_panicked = self.with_processor(now_ms, muted, |processor, context| {
            let outcome = catch_unwind(AssertUnwindSafe(|| processor.process(record, context)));
            if outcome.is_err() {
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
        self.with_processor(now_ms, false, |processor, context| processor.punctuate(context))?;
        self.is_settled = true;
        Ok(())
    }

    fn processor_turn(&mut self, now_ms: i64) -> Result<(), Failure> {
        self.with_processor(now_ms, false, |processor, context| processor.turn(context))
    }

    /// Lets the processor work.
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
