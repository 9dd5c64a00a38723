//! What is known about a task at a moment.

use std::time::Duration;

use serde::Serialize;

use crate::StageId;
use crate::record::unix_ms;

/// The phase of the task of an assigned partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Its store is being brought to the end of its changelog.
    Restoring = 0,
    /// It is processing records or waiting for some.
    Running = 1,
    /// The group has assigned it to this process; its worker has not opened it yet.
    Assigned = 2,
    /// Its worker has failed and closed it; it will be opened again after a delay.
    Failed = 3,
}

impl Phase {
    pub(super) fn of(number: u8) -> Self {
        [Self::Restoring, Self::Running, Self::Assigned]
            .into_iter()
            .find(|phase| *phase as u8 == number)
            .unwrap_or(Self::Failed)
    }
}

/// The state of a task at a moment.
#[derive(Clone, Debug, Serialize)]
pub struct TaskSnapshot {
    /// The stage whose source it reads.
    pub stage: StageId,
    /// Its partition of the stage's source.
    pub partition: i32,
    /// Numbered from 0 in this process.
    pub worker: usize,
    /// What it does at the moment, or waits for.
    pub phase: Phase,
    /// Why its worker failed last; `None` while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// How long it has not run since the first failure; `None` while it runs.
    #[serde(skip)]
    pub failed_for: Option<Duration>,
    /// The next input offset as of the last commit; `None` while unknown.
    pub committed_offset: Option<i64>,
    /// The end of the partition as of the last fetch; `None` while unknown.
    pub end_offset: Option<i64>,
    /// Changelog records read back so far.
    pub restored_records: u64,
    /// About how many there are to read back.
    pub restore_records: u64,
    /// Everything written before this moment, in milliseconds since 1970, has been processed.
    #[serde(skip)]
    pub fresh_ms: Option<i64>,
    /// How long it has had no turn.
    #[serde(skip)]
    pub silent_for: Duration,
}

impl TaskSnapshot {
    /// Offsets between the last commit and the end, markers of transactions included; `None` while unknown.
    pub fn lag(&self) -> Option<i64> {
        self.end_offset.zip(self.committed_offset).map(|(end, committed)| (end - committed).max(0))
    }

    /// The age of the records that it works on, in seconds; 0 when it has caught up, `None` while unknown.
    pub fn lag_seconds(&self) -> Option<f64> {
        match self.lag()? {
            0 => Some(0.0),
            _ => Some((unix_ms() - self.fresh_ms?).max(0) as f64 / 1_000.0),
        }
    }
}
