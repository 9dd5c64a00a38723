//! The state of each task of the process, for the watchdog, the log and status pages.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::snapshot::{Phase, TaskSnapshot};
use crate::StageId;
use crate::fault::{Sabotage, is_sabotaged};

/// A task without a turn for this long no longer watches the end of its partition.
const UNWATCHED_AFTER: Duration = Duration::from_secs(5);
/// More than this is a backlog. A few records fit into the client's queues.
const BACKLOG_RECORDS: i64 = 1_000;

/// One task's entry on the [`Board`]; written by its worker, read by anybody.
#[derive(Debug)]
pub(super) struct TaskStatus {
    stage: StageId,
    partition: i32,
    worker: usize,
    started: Instant,
    phase: AtomicU8,
    /// When it last had its turn, in milliseconds since `started`.
    beat_ms: AtomicU64,
    /// Why its worker failed last, and since when: until it runs again.
    failure: Mutex<Option<(Instant, String)>>,
    restored: AtomicU64,
    to_restore: AtomicU64,
    next_offset: AtomicI64,
    end_offset: AtomicI64,
    /// Everything written before this moment has been processed, in milliseconds since 1970; 0 if unknown.
    fresh_ms: AtomicI64,
}

impl TaskStatus {
    fn new(stage: StageId, partition: i32, worker: usize) -> Self {
        Self {
            stage,
            partition,
            worker,
            started: Instant::now(),
            phase: AtomicU8::new(Phase::Assigned as u8),
            beat_ms: AtomicU64::new(0),
            failure: Mutex::new(None),
            restored: AtomicU64::new(0),
            to_restore: AtomicU64::new(0),
            next_offset: AtomicI64::new(-1),
            end_offset: AtomicI64::new(-1),
            fresh_ms: AtomicI64::new(0),
        }
    }

    /// Records that the task has its turn.
    pub(super) fn beat(&self, phase: Phase) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.beat_ms.store(now, Ordering::Relaxed);
        let before = self.phase.swap(phase as u8, Ordering::Relaxed);
        if phase == Phase::Running && before != phase as u8 {
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// Records that its worker has failed. The age is that of the first failure since it last ran.
    fn failed(&self, reason: &str) {
        self.beat(Phase::Failed);
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let since = failure.take().map_or_else(Instant::now, |(since, _)| since);
        *failure = Some((since, reason.to_owned()));
    }

    /// How many changelog records have been read back, and of how many (markers and gaps included).
    pub(super) fn restored(&self, records: u64, of: u64) {
        self.restored.store(records, Ordering::Relaxed);
        self.to_restore.store(of.max(records), Ordering::Relaxed);
        self.beat(Phase::Restoring);
    }

    /// Records that a commit has reached this input offset.
    pub(super) fn committed(&self, next_offset: i64) {
        self.next_offset.store(next_offset, Ordering::Relaxed);
    }

    /// Records that everything written before this moment, in milliseconds since 1970, has been processed.
    pub(super) fn fresh_at(&self, ms: i64) {
        self.fresh_ms.fetch_max(ms, Ordering::Relaxed);
    }

    /// Records that the end of the partition was seen at this offset.
    pub(super) fn ends_at(&self, end_offset: i64) {
        self.end_offset.store(end_offset, Ordering::Relaxed);
    }

    /// How long it has had no turn.
    fn silent_for(&self) -> Duration {
        let beat_ms = self.beat_ms.load(Ordering::Relaxed);
        self.started.elapsed().saturating_sub(Duration::from_millis(beat_ms))
    }

    fn snapshot(&self) -> TaskSnapshot {
        let known = |offset: &AtomicI64| Some(offset.load(Ordering::Relaxed)).filter(|offset| *offset >= 0);
        let restored = self.restored.load(Ordering::Relaxed);
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (failed_for, failure) = failure.map(|(since, reason)| (since.elapsed(), reason)).unzip();
        TaskSnapshot {
            stage: self.stage,
            partition: self.partition,
            worker: self.worker,
            phase: Phase::of(self.phase.load(Ordering::Relaxed)),
            failure,
            failed_for,
            committed_offset: known(&self.next_offset),
            end_offset: known(&self.end_offset),
            restored_records: restored,
            restore_records: self.to_restore.load(Ordering::Relaxed),
            fresh_ms: Some(self.fresh_ms.load(Ordering::Relaxed)).filter(|ms| *ms > 0),
            silent_for: self.silent_for(),
        }
    }
}

const STATE_GONE: &str = "the state directory was removed while this process uses it: nothing is lost, but the \
                          next start restores all state from its changelogs; restart at a convenient time";

/// The partitions that the groups have assigned to this process, and whether the groups can be reached.
#[derive(Debug, Default)]
pub struct Board {
    tasks: Mutex<BTreeMap<(StageId, i32), Arc<TaskStatus>>>,
    /// Why a stage is not in its group at the moment, and since when; `None` if it is.
    absences: Mutex<BTreeMap<StageId, Option<(Instant, String)>>>,
    /// Whether the state directory was removed while this process uses it.
    is_state_gone: AtomicBool,
    is_stopping: AtomicBool,
}

impl Board {
    /// The group has assigned a partition to this process.
    pub(super) fn assigned(&self, stage: StageId, partition: i32, worker: usize) {
        let status = Arc::new(TaskStatus::new(stage, partition, worker));
        lock(&self.tasks).insert((stage, partition), status);
    }

    /// Partitions are given up.
    pub(super) fn released(&self, stage: StageId, partitions: &[i32]) {
        let mut tasks = lock(&self.tasks);
        partitions.iter().for_each(|partition| drop(tasks.remove(&(stage, *partition))));
    }

    /// The stage has ended.
    pub(super) fn ended(&self, stage: StageId) {
        lock(&self.tasks).retain(|(of, _), _| *of != stage);
        lock(&self.absences).remove(&stage);
    }

    /// A worker opens a partition: returns its entry, or an unlisted one if the partition has just been given up.
    pub(super) fn opened(&self, stage: StageId, partition: i32, worker: usize) -> Arc<TaskStatus> {
        let known = lock(&self.tasks).get(&(stage, partition)).cloned();
        let status = known.unwrap_or_else(|| Arc::new(TaskStatus::new(stage, partition, worker)));
        status.restored(0, 0);
        status
    }

    /// The worker of these partitions has failed and closed them.
    pub(super) fn failed<'a>(
        &self,
        stage: StageId,
        partitions: impl IntoIterator<Item = &'a i32>,
        reason: &str,
    ) {
        let tasks = lock(&self.tasks);
        let failed = partitions.into_iter().filter_map(|partition| tasks.get(&(stage, *partition)));
        failed.for_each(|task| task.failed(reason));
    }

    /// Records whether the stage is in its group, or why not.
    pub(super) fn membership(&self, stage: StageId, absence: Option<&str>) {
        let mut absences = lock(&self.absences);
        let known = absences.entry(stage).or_default();
        match (absence, &mut *known) {
            (None, known) => *known = None,
            (Some(reason), Some((_, before))) => reason.clone_into(before),
            (Some(reason), known) => *known = Some((Instant::now(), reason.to_owned())),
        }
    }

    /// The process is leaving its groups, and will take on nothing more.
    pub(super) fn stops(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Records whether the state directory still exists; logs a change.
    pub(super) fn state_is_there(&self, is_there: bool) {
        let was_gone = self.is_state_gone.swap(!is_there, Ordering::Relaxed);
        if !is_there && !was_gone {
            tracing::error!("{STATE_GONE}");
        }
    }

    /// All partitions, by stage and number.
    pub fn snapshot(&self) -> Vec<TaskSnapshot> {
        lock(&self.tasks).values().map(|task| task.snapshot()).collect()
    }

    /// A task that has had no turn for longer than `patience`, so its thread hangs. A failed task waits for its next
    /// try and does not count.
    pub fn stalled(&self, patience: Duration) -> Option<TaskSnapshot> {
        let tasks = lock(&self.tasks);
        let stalled = tasks.values().find(|task| {
            task.phase.load(Ordering::Relaxed) != Phase::Failed as u8 && task.silent_for() > patience
        });
        stalled.map(|task| task.snapshot())
    }

    /// The partitions of a stage whose end no task watches, because their tasks do not run or have had no turn for a
    /// while.
    pub(super) fn unwatched(&self, stage: StageId) -> Vec<i32> {
        let tasks = lock(&self.tasks);
        let own = tasks.range((stage, i32::MIN)..=(stage, i32::MAX));
        let is_unwatched = |task: &TaskStatus| {
            task.phase.load(Ordering::Relaxed) != Phase::Running as u8 || task.silent_for() > UNWATCHED_AFTER
        };
        own.filter(|(_, task)| is_unwatched(task)).map(|((_, partition), _)| *partition).collect()
    }

    /// Whether a partition of a stage has more than a few records to read, or may have.
    pub(super) fn has_backlog(&self, stage: StageId) -> bool {
        let tasks = lock(&self.tasks);
        let mut own = tasks.range((stage, i32::MIN)..=(stage, i32::MAX));
        own.any(|(_, task)| task.snapshot().lag().is_none_or(|lag| lag > BACKLOG_RECORDS))
    }

    /// Records the ends of partitions of a stage, as the brokers report them.
    pub(super) fn ends_at(&self, stage: StageId, ends: &BTreeMap<i32, i64>) {
        let tasks = lock(&self.tasks);
        for (partition, end) in ends {
            if let Some(task) = tasks.get(&(stage, *partition)) {
                task.ends_at(*end);
            }
        }
    }

    /// Why this process is not ready, in sentences; empty when it is ready. Ready means: it is not stopping, every stage
    /// is in its group, and each of its partitions is restored and has had its turn within `patience`.
    pub fn unready(&self, patience: Duration) -> Vec<String> {
        let mut reasons = Vec::new();
        if is_sabotaged(Sabotage::BlindReadiness) {
            return reasons;
        }
        if self.is_stopping.load(Ordering::Relaxed) {
            reasons.push("it is stopping".to_owned());
        }
        for (stage, absence) in &*lock(&self.absences) {
            if let Some((since, reason)) = absence {
                let seconds = since.elapsed().as_secs();
                reasons.push(format!("stage {stage} has not been in its group for {seconds} s: {reason}"));
            }
        }
        if self.is_state_gone.load(Ordering::Relaxed) {
            reasons.push(STATE_GONE.to_owned());
        }
        let tasks = self.snapshot();
        let restoring = tasks.iter().filter(|task| task.phase == Phase::Restoring).count();
        if restoring > 0 {
            reasons.push(format!("{restoring} partitions are being restored"));
        }
        let waiting = tasks.iter().filter(|task| task.phase == Phase::Assigned).count();
        if waiting > 0 {
            reasons.push(format!("{waiting} partitions wait for their worker"));
        }
        let mut failures: BTreeMap<(StageId, &str), (usize, u64)> = BTreeMap::new();
        for task in &tasks {
            if let (Some(reason), Some(age)) = (&task.failure, task.failed_for) {
                let (count, seconds) = failures.entry((task.stage, reason)).or_default();
                (*count, *seconds) = (*count + 1, (*seconds).max(age.as_secs()));
            }
        }
        for ((stage, reason), (count, seconds)) in failures {
            reasons.push(format!("stage {stage}: {count} partitions not working for {seconds} s: {reason}"));
        }
        let is_silent = |task: &&TaskSnapshot| task.phase != Phase::Failed && task.silent_for > patience;
        for task in tasks.iter().filter(is_silent) {
            reasons.push(format!("stage {} has not moved in partition {}", task.stage, task.partition));
        }
        reasons
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGE: StageId = StageId::new("filter");
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_task_without_a_turn_is_found_and_one_that_was_given_up_is_gone() {
        let board = Board::default();
        board.assigned(STAGE, 3, 0);
        let task = board.opened(STAGE, 3, 0);
        task.restored(10, 40);
        assert!(board.stalled(Duration::from_secs(60)).is_none());
        std::thread::sleep(Duration::from_millis(30));
        let stalled = board.stalled(Duration::from_millis(20)).expect("no turn for 30 ms");
        assert_eq!((stalled.partition, stalled.phase), (3, Phase::Restoring));
        assert_eq!((stalled.restored_records, stalled.restore_records), (10, 40));
        task.beat(Phase::Running);
        assert!(board.stalled(Duration::from_millis(20)).is_none());
        board.state_is_there(false);
        assert!(board.unready(SECOND).join("").contains("state directory was removed"));
        board.state_is_there(true);
        board.released(STAGE, &[3]);
        board.opened(STAGE, 3, 0);
        assert!(board.snapshot().is_empty(), "it was given up before its worker opened it");
    }

    #[test]
    fn a_process_is_ready_when_it_is_in_its_groups_and_all_that_it_was_given_works() {
        let board = Board::default();
        let unready = || board.unready(SECOND).join("; ");
        board.membership(STAGE, Some("it has not joined yet"));
        assert!(unready().contains("stage filter has not been in its group"), "{}", unready());
        board.membership(STAGE, None);
        assert_eq!(unready(), "");
        board.assigned(STAGE, 0, 0);
        assert!(unready().contains("1 partitions wait for their worker"), "{}", unready());
        let task = board.opened(STAGE, 0, 0);
        assert!(unready().contains("being restored"), "{}", unready());
        task.beat(Phase::Running);
        assert_eq!(unready(), "");
        board.failed(STAGE, &[0], "the broker is away");
        assert!(unready().contains("1 partitions not working for 0 s: the broker is away"), "{}", unready());
        assert_eq!(board.unwatched(STAGE), [0]);
        board.opened(STAGE, 0, 0);
        assert!(unready().contains("the broker is away"), "until it runs again: {}", unready());
        task.beat(Phase::Running);
        assert_eq!(unready(), "");
        assert!(board.unwatched(STAGE).is_empty());
        board.stops();
        board.ended(STAGE);
        assert_eq!(unready(), "it is stopping");
    }
}
