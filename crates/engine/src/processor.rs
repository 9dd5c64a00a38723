//! The heart of a stage: from a record, and state, to records.

use std::sync::Arc;

use crate::collector::Collector;
use crate::counters::{Counter, Counts};
use crate::record::{Record, day_at};
use crate::store::{StateError, Store};
use crate::topology::StageId;

/// Gives a task a turn at once; callable from any thread.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Everything a processor works with besides the record: state, outputs and the time.
pub struct Context<'a> {
    /// The task's state.
    pub store: &'a mut Store,
    /// Collects outputs and dead letters.
    pub collector: &'a mut Collector,
    /// Counts for metrics and summaries.
    pub counts: &'a mut Counts,
    /// The wall clock, in milliseconds since 1970. It is far ahead of the records while a backlog is read, and another
    /// one when a record is processed again after a crash: what an output says should come from timestamps of records.
    pub now_ms: i64,
    /// Set while records are read again only to rebuild open work, which happens only to processors with a
    /// [`rewind_offset`](Processor::rewind_offset). Their outputs were written before, so nothing may be emitted,
    /// counted or stored; only `reject` and `skip` do nothing by themselves.
    pub muted: bool,
    /// The stage, for dead letters.
    pub stage: StageId,
}

impl<'a> Context<'a> {
    /// The context at a given time, in milliseconds since 1970. It is not muted.
    pub fn new(
        stage: StageId,
        now_ms: i64,
        store: &'a mut Store,
        collector: &'a mut Collector,
        counts: &'a mut Counts,
    ) -> Self {
        Self { store, collector, counts, now_ms, muted: false, stage }
    }

    /// Writes the record to the dead letters. The reason is a plain sentence that says what is wrong.
    pub fn reject(&mut self, record: &Record<'_>, reason: &str) {
        self.reject_part(record, record.value, reason);
    }

    /// As [`reject`](Self::reject), for a part of the record's value.
    pub fn reject_part(&mut self, record: &Record<'_>, value: Option<&[u8]>, reason: &str) {
        if !self.muted && self.collector.dead_letter(self.stage, record, value, reason) {
            self.counts[Counter::DEAD_LETTERS] += 1;
        }
    }

    /// Counts a record that was skipped without reading it.
    pub fn skip_unread(&mut self) {
        if !self.muted {
            self.counts[Counter::SKIPPED_UNREAD] += 1;
        }
    }

    /// The day of a record's timestamp, for the store. A timestamp further in the future than tomorrow counts as
    /// tomorrow, because it must not make all remembered entries look old.
    pub fn record_day(&self, timestamp_ms: i64) -> u32 {
        day_at(timestamp_ms, self.now_ms)
    }

    /// Counts a record that needs no work and is no mistake, such as a tombstone or a header line.
    pub fn skip(&mut self) {
        if !self.muted {
            self.counts[Counter::SKIPPED] += 1;
        }
    }
}

/// Processes the records of one partition.
///
/// A record that cannot be processed is not an error: it becomes a dead letter. Errors are failures of the store;
/// after one, the task is closed without a commit and opened again. A record on which [`process`](Self::process)
/// panics becomes a dead letter too, and what it had emitted and stored is taken back; after many such records in a row
/// the task is closed and opened again, because they are not the cause.
///
/// # Time
///
/// Three clocks matter. The *timestamps of records* are the clock for windows and sums: a replay gives the same answers.
/// Keep the newest one yourself, in the store if it must survive a restart. [`turn`](Self::turn) comes repeatedly,
/// with or without records, and is the place for work by the *wall clock*, such as a report that something is missing.
/// [`punctuate`](Self::punctuate) comes once in each *silence of the whole partition*, never while records come: it is
/// not the punctuation of Kafka Streams.
pub trait Processor {
    /// Processes one record, muted or not.
    fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError>;

    /// After how many milliseconds without a record [`punctuate`](Self::punctuate) is called; `None` for never.
    fn idle_ms(&self) -> Option<u64> {
        None
    }

    /// Called once when the partition has been read to its end and no record has come for [`idle_ms`](Self::idle_ms);
    /// again only after another record.
    fn punctuate(&mut self, _context: &mut Context<'_>) -> Result<(), StateError> {
        Ok(())
    }

    /// Called in each turn of the task, for work that depends on time, or on results from outside: after each batch of
    /// records, so hundreds of times a second under load; without records every 2 seconds, and every 100 ms while
    /// [`is_waiting`](Self::is_waiting). Look rarely into a large store: remember when you last did.
    fn turn(&mut self, _context: &mut Context<'_>) -> Result<(), StateError> {
        Ok(())
    }

    /// Whether [`turn`](Self::turn) may have work soon although no record comes.
    fn is_waiting(&self) -> bool {
        false
    }

    /// Hands over the means to get a turn at once.
    fn wake_by(&mut self, _wake: Wake) {}

    /// A commit of everything up to now begins.
    fn sealed(&mut self) {}

    /// Everything up to the last [`sealed`](Self::sealed) has been committed.
    fn committed(&mut self) {}

    /// The task takes no more records and will end: from now on nothing may leave the process.
    fn stop(&mut self) {}

    /// How many items have left the process, have no known outcome yet, and are worth a short wait.
    fn on_its_way(&self) -> usize {
        0
    }

    /// The first offset whose record is still needed to rebuild work that is open in memory; `None` if nothing is
    /// open.
    fn rewind_offset(&self) -> Option<i64> {
        None
    }
}
