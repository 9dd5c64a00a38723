//! Brings the stores of newly assigned partitions to the end of their changelog.
//!
//! # The restore protocol
//!
//! 1. The committed input offsets were read before, and are stable (the group answers only when no transaction on
//!    them is open). So everything that led to them is in the changelog already, below its high watermark.
//! 2. Each store knows how far it has the changelog (an offset in the same batch as the state, so the two never
//!    disagree). A store that is new or was deleted has no offset: the changelog is read from its beginning.
//! 3. The changelog is read from there, committed records only, until the client reports the end of the partition *at
//!    or after the high watermark*. The end alone is not enough: it is that of the last stable offset. A committed
//!    transaction can lack its marker for a moment, and a former owner's transaction can stay open until it times
//!    out, with newer commits after it. Ends are always reported by the client and never computed, because the last
//!    offsets may be markers. Nor is the high watermark of a new leader enough: until its followers have caught up, it
//!    can be lower than what was committed under the leader before. A broker reports the end of a log (ListOffsets)
//!    only when that is over, so that is asked first, and is the least to reach.
//! 4. Changes wait in memory, and reach the disk while the task already works (see `store::tree`). A crash in between
//!    does no harm: the next restore reads from the offset on the disk.
//! 5. Only then is the partition's first record processed.
//!
//! If a partition is taken away during the restore, it is simply not written to any more. If a changelog ends before
//! the offset in the store, it was created again: the store is dropped.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::failure::Failure;
use super::message::Place;
use super::plan::StagePlan;
use super::task::Task;
use crate::StageId;
use crate::fault::{Point, Sabotage, is_sabotaged, reach};
use crate::kafka::{Polled, StartAt};
use crate::link::Reader;
use crate::record::{Record, unix_ms};
use crate::store::{Change, StateError};

/// Rows per poll.
const BATCH_ROWS: usize = 1_000;
/// How long one step may occupy its thread.
const STEP_TIME: Duration = Duration::from_millis(20);
/// How often progress is logged.
const TELL_INTERVAL: Duration = Duration::from_secs(5);

/// The restore of partitions that were assigned together.
pub(super) struct Restore {
    stage: StageId,
    worker: usize,
    changelog: String,
    reader: Reader,
    open: BTreeMap<i32, Restoring>,
    started: Instant,
    /// The same, in milliseconds since 1970.
    started_ms: i64,
    told: Instant,
    records: u64,
}

struct Restoring {
    task: Rc<RefCell<Task>>,
    start_offset: i64,
    next_offset: i64,
    records: u64,
    /// Until when the store could be trusted, in milliseconds since 1970; see [`super::provenance`].
    believed_until_ms: i64,
    /// The latest timestamp of a record that was read, in milliseconds since 1970.
    newest_ms: i64,
    /// The end of the log before anything was read.
    least_offset: i64,
    /// The offset to reach: the high watermark when the first end was seen.
    target_offset: Option<i64>,
}

impl Restore {
    /// Starts reading the changelog for these tasks; its partitions have had these ends since it was known what is
    /// committed.
    pub(super) fn start(
        plan: &StagePlan,
        worker: usize,
        (changelog, ends): (&str, &BTreeMap<i32, i64>),
        tasks: Vec<(i32, Rc<RefCell<Task>>)>,
    ) -> Result<Self, Failure> {
        let mut starts = Vec::with_capacity(tasks.len());
        let mut open = BTreeMap::new();
        for (partition, task) in tasks {
            let (start_offset, believed_until_ms) = {
                let task = task.borrow();
                (task.changelog_offset().max(0), task.believed_until_ms())
            };
            // A number even for the beginning: for "the beginning" the client asks a broker, and waits half a second
            // between tries.
            starts.push((partition, StartAt::Offset(start_offset)));
            let next_offset = start_offset;
            open.insert(
                partition,
                Restoring {
                    task,
                    start_offset,
                    next_offset,
                    records: 0,
                    believed_until_ms,
                    newest_ms: 0,
                    least_offset: ends.get(&partition).copied().unwrap_or(0),
                    target_offset: None,
                },
            );
        }
        let reader = Reader::new(&plan.process.clients, changelog, &starts)?;
        let (stage, started, started_ms) = (plan.stage, Instant::now(), unix_ms());
        let changelog = changelog.to_owned();
        Ok(Self { stage, worker, changelog, reader, open, started, started_ms, told: started, records: 0 })
    }

    /// Forgets a partition that was taken away or is opened again.
    pub(super) fn forget(&mut self, (stage, partition): Place) {
        if stage == self.stage {
            self.open.remove(&partition);
        }
    }

    /// Whether all partitions have been restored.
    pub(super) fn is_done(&self) -> bool {
        self.open.is_empty()
    }

    /// The stage and its partitions that are not restored yet.
    pub(super) fn left(&self) -> (StageId, Vec<i32>) {
        (self.stage, self.open.keys().copied().collect())
    }

    /// Stops the restore, finished or not.
    pub(super) fn end(self) {
        self.reader.close();
    }

    /// Reads for a short time, or until nothing comes. Adds the partitions that have reached their end, and returns
    /// whether anything came.
    pub(super) fn step(&mut self, finished: &mut Vec<Place>) -> Result<bool, Failure> {
        let deadline = Instant::now() + STEP_TIME;
        let mut rows = 0;
        while Instant::now() < deadline && !self.is_done() {
            let (read, ends) = self.read()?;
            if read == 0 {
                break;
            }
            rows += read;
            for (partition, end_offset) in ends {
                if self.has_reached_end(partition, end_offset)? {
                    finished.push((self.stage, partition));
                }
            }
        }
        for (partition, restoring) in &self.open {
            restoring.show_progress(self.reader.high_watermark(*partition));
        }
        self.tell();
        Ok(rows > 0)
    }

    /// Applies a batch; returns how many rows it had, and the ends that came with it.
    fn read(&mut self) -> Result<(usize, Vec<(i32, i64)>), Failure> {
        let Self { reader, open, records, changelog, .. } = self;
        let (mut ends, mut outcome) = (Vec::new(), Ok(()));
        let before = *records;
        let read = reader.read(Duration::from_millis(1), BATCH_ROWS, &mut |polled| match polled {
            // Partitions that have reached their end are still read here, but their tasks already work.
            Polled::Record(record) => {
                if let Some(restoring) = open.get_mut(&record.partition).filter(|_| outcome.is_ok()) {
                    *records += 1;
                    outcome = restoring.take(&record, changelog);
                }
            }
            Polled::EndOfPartition { partition, offset } => ends.push((partition, offset)),
        })?;
        if *records > before {
            reach(Point::InRestore);
        }
        outcome?;
        Ok((read, ends))
    }

    fn has_reached_end(&mut self, partition: i32, end_offset: i64) -> Result<bool, Failure> {
        let high_watermark = self.reader.high_watermark(partition).unwrap_or(end_offset);
        let Some(restoring) = self.open.get_mut(&partition) else { return Ok(false) };
        if end_offset < restoring.start_offset {
            return Err(restoring.made_anew(end_offset).into());
        }
        let least_offset = restoring.least_offset;
        let target_offset = *restoring.target_offset.get_or_insert(high_watermark.max(least_offset));
        if end_offset < target_offset {
            let changelog = &self.changelog;
            tracing::info!(
                changelog,
                partition,
                end_offset,
                target_offset,
                "waiting for an open transaction"
            );
            return Ok(false);
        }
        if let Some(restored) = self.open.remove(&partition) {
            restored.task.borrow_mut().restored(self.started_ms.min(restored.newest_ms));
        }
        Ok(true)
    }

    /// Logs progress from time to time and at the end.
    fn tell(&mut self) {
        let (stage, worker, records) = (self.stage.as_str(), self.worker, self.records);
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let per_second = (records as f64 / seconds) as u64;
        if self.is_done() {
            metrics::histogram!("frostline_restore_seconds", "stage" => stage).record(seconds);
            tracing::info!(stage, worker, records, per_second, time = ?self.started.elapsed(), "state restored");
        } else if self.told.elapsed() >= TELL_INTERVAL {
            self.told = Instant::now();
            let left: u64 = self.open.values().map(Restoring::left).sum();
            let seconds_left = left / per_second.max(1);
            let partitions = self.open.len();
            tracing::info!(
                stage,
                worker,
                partitions,
                records,
                per_second,
                left,
                seconds_left,
                "restoring state"
            );
        }
    }
}

impl Restoring {
    fn take(&mut self, record: &Record<'_>, changelog: &str) -> Result<(), Failure> {
        if record.offset < self.start_offset {
            return Err(self.made_anew(record.offset).into());
        }
        if record.timestamp_ms > self.believed_until_ms {
            if is_sabotaged(Sabotage::OldState) {
                return Ok(());
            }
            return Err(self.missed_tombstones(record).into());
        }
        let unreadable = |reason: &str| StateError::Changelog {
            place: format!("{changelog}/{}@{}", record.partition, record.offset),
            reason: reason.to_owned(),
        };
        let key = record.key.filter(|key| key.first().is_some_and(u8::is_ascii_lowercase));
        let key = key.ok_or_else(|| unreadable("its key is not a state-store key"))?;
        if record.value.is_some_and(|value| value.len() < 4) {
            return Err(unreadable("its value is too short").into());
        }
        self.next_offset = record.offset + 1;
        self.records += 1;
        self.newest_ms = self.newest_ms.max(record.timestamp_ms);
        Ok(self.task.borrow_mut().restore(Change { key, value: record.value }, self.next_offset)?)
    }

    /// The changelog was deleted and created again since the store was written.
    fn made_anew(&self, found_offset: i64) -> StateError {
        self.task.borrow().outdated(format!(
            "it has the changelog up to offset {}, where the topic now has {found_offset}: the topic was created again or truncated",
            self.start_offset
        ))
    }

    /// By this machine's clock the store was young enough, but not by the changelog's own records.
    fn missed_tombstones(&self, record: &Record<'_>) -> StateError {
        self.task.borrow().outdated(format!(
            "offset {} of its changelog was written so late that tombstones may have been removed before this \
             store saw them; check the clock of this machine",
            record.offset
        ))
    }

    /// About how many records are left to read.
    fn left(&self) -> u64 {
        let end = self.target_offset.unwrap_or(self.next_offset);
        u64::try_from(end - self.next_offset).unwrap_or(0)
    }

    fn show_progress(&self, high_watermark: Option<i64>) {
        let end = high_watermark.unwrap_or(self.next_offset);
        let of = u64::try_from(end - self.start_offset).unwrap_or(0);
        self.task.borrow().status.restored(self.records, of);
    }
}
