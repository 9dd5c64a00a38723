//! Brings the stores of newly assigned partitions to the end of their changelog.
//!
//! # The restore protocol
//!
//! 1. Each store says how far it has the changelog (an offset in the same batch as the state, so the two
//!    never disagree). A store that is new or was deleted says nothing: the changelog is read whole.
//! 2. The changelog partitions are read from there, committed records only, to the end that the client
//!    reports for each partition; offsets are never compared with an end, since the last ones may be
//!    transaction markers.
//! 3. Changes are written in batches, each with the offset behind it. A crash in between is no harm: the next
//!    restore goes on from the last batch.
//! 4. Only then the partition's first record is processed.
//!
//! A partition that is taken away meanwhile is simply no longer written to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::failure::Failure;
use super::task::Task;
use crate::kafka::{ClientSettings, Polled, Reader, StartAt};
use crate::record::Record;
use crate::state::Change;

/// Changes written to a store at a time.
const BATCH_CHANGES: usize = 1_000;
/// How long a step may keep its thread from the neighbours.
const STEP_TIME: Duration = Duration::from_millis(20);

/// The restore of partitions that were assigned together.
pub(super) struct Restore {
    reader: Reader,
    open: BTreeMap<i32, Restoring>,
    started: Instant,
    records: u64,
}

struct Restoring {
    task: Rc<RefCell<Task>>,
    changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    next_offset: i64,
}

impl Restore {
    /// Starts reading the changelog for these tasks.
    pub(super) fn start(
        settings: &ClientSettings,
        changelog: &str,
        tasks: Vec<(i32, Rc<RefCell<Task>>)>,
    ) -> Result<Self, Failure> {
        let mut starts = Vec::with_capacity(tasks.len());
        let mut open = BTreeMap::new();
        for (partition, task) in tasks {
            let next_offset = task.borrow().changelog_offset();
            let start = if next_offset < 0 { StartAt::Beginning } else { StartAt::Offset(next_offset) };
            starts.push((partition, start));
            open.insert(partition, Restoring { task, changes: Vec::new(), next_offset });
        }
        let reader = Reader::new(settings, changelog, &starts)?;
        Ok(Self { reader, open, started: Instant::now(), records: 0 })
    }

    /// Forgets a partition that was taken away, or is opened again.
    pub(super) fn forget(&mut self, partition: i32) {
        self.open.remove(&partition);
    }

    /// Whether all partitions have been restored.
    pub(super) fn is_done(&self) -> bool {
        self.open.is_empty()
    }

    /// Records read so far, and the time since the start.
    pub(super) fn progress(&self) -> (u64, Duration) {
        (self.records, self.started.elapsed())
    }

    /// Reads for a short while; returns the partitions that have reached their end.
    pub(super) fn step(&mut self) -> Result<Vec<i32>, Failure> {
        let deadline = Instant::now() + STEP_TIME;
        let mut finished = Vec::new();
        while Instant::now() < deadline && !self.is_done() {
            let Self { reader, open, records, .. } = self;
            let outcome = reader.poll(Duration::from_millis(1), |polled| match polled {
                Polled::Record(record) => {
                    *records += 1;
                    open.get_mut(&record.partition).map_or(Ok(()), |restoring| restoring.add(&record))
                }
                Polled::EndOfPartition { partition } => {
                    let Some(mut restoring) = open.remove(&partition) else { return Ok(()) };
                    restoring.write()?;
                    finished.push(partition);
                    Ok(())
                }
            })?;
            outcome.transpose()?;
        }
        Ok(finished)
    }
}

impl Restoring {
    fn add(&mut self, record: &Record<'_>) -> Result<(), Failure> {
        if let Some(key) = record.key {
            self.changes.push((key.to_vec(), record.value.map(<[u8]>::to_vec)));
        }
        self.next_offset = record.offset + 1;
        if self.changes.len() >= BATCH_CHANGES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), Failure> {
        let changes: Vec<Change<'_>> =
            self.changes.iter().map(|(key, value)| Change { key, value: value.as_deref() }).collect();
        if !changes.is_empty() {
            self.task.borrow_mut().restore(&changes, self.next_offset)?;
        }
        self.changes.clear();
        Ok(())
    }
}
