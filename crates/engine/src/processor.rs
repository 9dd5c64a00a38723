//! The heart of a stage: a pure function from a record (and state) to records.

use std::sync::Arc;

use crate::collector::Collector;
use crate::counters::{Counter, Counts};
use crate::record::{DAY_MS, Record, day_of};
use crate::store::{StateError, Store};
use crate::topology::StageId;

/// Has a task given a turn at once, from any thread.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// What a processor works with besides the record: the task's state, its outputs, and what time it is.
pub struct Context<'a> {
    /// The task's state.
    pub store: &'a mut Store,
    /// Where outputs and dead letters are gathered.
    pub collector: &'a mut Collector,
    /// What has been done, for metrics and summaries.
    pub counts: &'a mut Counts,
    /// The wall clock, in milliseconds since 1970.
    pub now_ms: i64,
    /// Set while records are read again only to rebuild what was open (see [`Processor::rewind_offset`]):
    /// their outputs were written before, so nothing may be emitted, counted or stored.
    pub muted: bool,
    /// The stage, for dead letters.
    pub stage: StageId,
}

impl<'a> Context<'a> {
    /// What a stage works with at a time, in milliseconds since 1970. It is not muted.
    pub fn new(
        stage: StageId,
        now_ms: i64,
        store: &'a mut Store,
        collector: &'a mut Collector,
        counts: &'a mut Counts,
    ) -> Self {
        Self { store, collector, counts, now_ms, muted: false, stage }
    }

    /// Writes the record to the dead letters, with the reason in plain words.
    pub fn reject(&mut self, record: &Record<'_>, reason: &str) {
        self.reject_part(record, record.value, reason);
    }

    /// As [`reject`](Self::reject), for a part of the record's value.
    pub fn reject_part(&mut self, record: &Record<'_>, value: Option<&[u8]>, reason: &str) {
        if !self.muted && self.collector.dead_letter(self.stage, record, value, reason) {
            self.counts[Counter::DEAD_LETTERS] += 1;
        }
    }

    /// Counts a record that was passed over unread.
    pub fn skip_unread(&mut self) {
        if !self.muted {
            self.counts[Counter::SKIPPED_UNREAD] += 1;
        }
    }

    /// The day of a record's timestamp, for the store, as far as it can be believed: one from the future must not make
    /// everything that is remembered look old.
    pub fn record_day(&self, timestamp_ms: i64) -> u32 {
        day_of(timestamp_ms.min(self.now_ms + DAY_MS))
    }

    /// Counts a record that needs no work and is no mistake (a tombstone, a header line).
    pub fn skip(&mut self) {
        if !self.muted {
            self.counts[Counter::SKIPPED] += 1;
        }
    }
}

/// What is done with one record of one partition.
///
/// A record that cannot be processed is not an error: it goes to the dead letters. Errors are failures of
/// state, after which the task is closed without a commit and opened again.
pub trait Processor {
    /// Processes one record.
    fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError>;

    /// After how many milliseconds without a new record [`punctuate`](Self::punctuate) is called, if at all.
    fn idle_ms(&self) -> Option<u64> {
        None
    }

    /// Called when the partition has been read to its end and nothing came for [`idle_ms`](Self::idle_ms).
    fn punctuate(&mut self, _context: &mut Context<'_>) -> Result<(), StateError> {
        Ok(())
    }

    /// Called in each turn of the task, with or without records: for what time brings, and what comes from elsewhere.
    fn turn(&mut self, _context: &mut Context<'_>) -> Result<(), StateError> {
        Ok(())
    }

    /// Whether [`turn`](Self::turn) may have something to do soon, though no record comes.
    fn is_waiting(&self) -> bool {
        false
    }

    /// How the task is given a turn at once.
    fn wake_by(&mut self, _wake: Wake) {}

    /// A commit of everything until now begins.
    fn sealed(&mut self) {}

    /// Everything up to the last [`sealed`](Self::sealed) is committed.
    fn committed(&mut self) {}

    /// The task takes no more records and will end: nothing more may leave the process.
    fn stop(&mut self) {}

    /// How much has left the process whose outcome is not known yet, and worth a moment's wait.
    fn on_its_way(&self) -> usize {
        0
    }

    /// The first offset whose record is still needed to rebuild what is open in memory, if anything is.
    fn rewind_offset(&self) -> Option<i64> {
        None
    }
}
