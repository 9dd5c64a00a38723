//! What each task of the process is doing: for the watchdog, the log and whoever asks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::record::unix_ms;
use crate::stages::StageName;

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Its store is being brought to the end of its changelog.
    Restoring = 0,
    /// It processes records, or waits for some.
    Running = 1,
}

/// One task's entry on the [`Board`]; written by its worker, read by anybody.
#[derive(Debug)]
pub(super) struct TaskStatus {
    stage: StageName,
    partition: i32,
    worker: usize,
    started: Instant,
    phase: AtomicU8,
    /// When it last had its turn, in milliseconds after `started`.
    beat_ms: AtomicU64,
    restored: AtomicU64,
    to_restore: AtomicU64,
    next_offset: AtomicI64,
    end_offset: AtomicI64,
    /// Everything that was written before this is processed, in milliseconds since 1970; 0: not known.
    fresh_ms: AtomicI64,
}

impl TaskStatus {
    /// The task has its turn.
    pub(super) fn beat(&self, phase: Phase) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.beat_ms.store(now, Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// How many changelog records have been read back, of how many (markers and gaps included).
    pub(super) fn restored(&self, records: u64, of: u64) {
        self.restored.store(records, Ordering::Relaxed);
        self.to_restore.store(of.max(records), Ordering::Relaxed);
        self.beat(Phase::Restoring);
    }

    /// A commit reached this input offset.
    pub(super) fn committed(&self, next_offset: i64) {
        self.next_offset.store(next_offset, Ordering::Relaxed);
    }

    /// Everything that was written before this, in milliseconds since 1970, is processed.
    pub(super) fn fresh_at(&self, ms: i64) {
        self.fresh_ms.fetch_max(ms, Ordering::Relaxed);
    }

    /// The end of the partition was seen there.
    pub(super) fn ends_at(&self, end_offset: i64) {
        self.end_offset.store(end_offset, Ordering::Relaxed);
    }

    /// For how long it has had no turn.
    fn silent_for(&self) -> Duration {
        let beat_ms = self.beat_ms.load(Ordering::Relaxed);
        self.started.elapsed().saturating_sub(Duration::from_millis(beat_ms))
    }

    fn snapshot(&self) -> TaskSnapshot {
        let known = |offset: &AtomicI64| Some(offset.load(Ordering::Relaxed)).filter(|offset| *offset >= 0);
        let restored = self.restored.load(Ordering::Relaxed);
        let phase = if self.phase.load(Ordering::Relaxed) == 0 { Phase::Restoring } else { Phase::Running };
        TaskSnapshot {
            stage: self.stage,
            partition: self.partition,
            worker: self.worker,
            phase,
            committed_offset: known(&self.next_offset),
            end_offset: known(&self.end_offset),
            restored_records: restored,
            restore_records: self.to_restore.load(Ordering::Relaxed),
            fresh_ms: Some(self.fresh_ms.load(Ordering::Relaxed)).filter(|ms| *ms > 0),
            silent_for: self.silent_for(),
        }
    }
}

/// What a task is doing at a moment.
#[derive(Clone, Debug, Serialize)]
pub struct TaskSnapshot {
    /// Its stage.
    pub stage: StageName,
    /// Its partition.
    pub partition: i32,
    /// The worker that hosts it.
    pub worker: usize,
    /// Where it stands.
    pub phase: Phase,
    /// The next input offset as of the last commit.
    pub committed_offset: Option<i64>,
    /// The end of the partition, as the last fetch told it.
    pub end_offset: Option<i64>,
    /// Changelog records read back so far.
    pub restored_records: u64,
    /// About how many there are to read back.
    pub restore_records: u64,
    /// Everything that was written before this, in milliseconds since 1970, is processed.
    #[serde(skip)]
    pub fresh_ms: Option<i64>,
    /// Since when it has had no turn.
    #[serde(skip)]
    pub silent_for: Duration,
}

impl TaskSnapshot {
    /// Offsets between the last commit and the end, markers of transactions included; `None` while unknown.
    pub fn lag(&self) -> Option<i64> {
        self.end_offset.zip(self.committed_offset).map(|(end, committed)| (end - committed).max(0))
    }

    /// How old what it works on is, in seconds; 0 when it has caught up, `None` while unknown.
    pub fn lag_seconds(&self) -> Option<f64> {
        match self.lag()? {
            0 => Some(0.0),
            _ => Some((unix_ms() - self.fresh_ms?).max(0) as f64 / 1_000.0),
        }
    }
}

/// The tasks of this process.
#[derive(Debug, Default)]
pub struct Board(Mutex<BTreeMap<(StageName, i32), Weak<TaskStatus>>>);

impl Board {
    /// Adds a task; it leaves the board when its entry is dropped.
    pub(super) fn register(&self, stage: StageName, partition: i32, worker: usize) -> Arc<TaskStatus> {
        let status = Arc::new(TaskStatus {
            stage,
            partition,
            worker,
            started: Instant::now(),
            phase: AtomicU8::new(Phase::Restoring as u8),
            beat_ms: AtomicU64::new(0),
            restored: AtomicU64::new(0),
            to_restore: AtomicU64::new(0),
            next_offset: AtomicI64::new(-1),
            end_offset: AtomicI64::new(-1),
            fresh_ms: AtomicI64::new(0),
        });
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|_, task| task.strong_count() > 0);
        tasks.insert((stage, partition), Arc::downgrade(&status));
        status
    }

    /// All tasks, by stage and partition.
    pub fn snapshot(&self) -> Vec<TaskSnapshot> {
        let tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.values().filter_map(Weak::upgrade).map(|task| task.snapshot()).collect()
    }

    /// A task that has had no turn for longer than `patience`: its thread hangs.
    pub fn stalled(&self, patience: Duration) -> Option<TaskSnapshot> {
        let tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stalled = tasks.values().filter_map(Weak::upgrade).find(|task| task.silent_for() > patience);
        stalled.map(|task| task.snapshot())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_without_a_turn_is_found_and_a_dropped_one_is_gone() {
        let board = Board::default();
        let task = board.register(StageName::Alert, 3, 0);
        task.restored(10, 40);
        assert!(board.stalled(Duration::from_secs(60)).is_none());
        std::thread::sleep(Duration::from_millis(30));
        let stalled = board.stalled(Duration::from_millis(20)).expect("no turn for 30 ms");
        assert_eq!((stalled.partition, stalled.phase), (3, Phase::Restoring));
        assert_eq!((stalled.restored_records, stalled.restore_records), (10, 40));
        task.beat(Phase::Running);
        assert!(board.stalled(Duration::from_millis(20)).is_none());
        drop(task);
        assert!(board.snapshot().is_empty());
    }
}
