//! What the stages of this process have done: sums for summaries, counters for metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;

use crate::stages::{Counts, StageName};

/// The name of the one metric of counts; labels say which stage and what was counted.
const METRIC: &str = "frostline_stage_total";

/// Sums of all committed counts, by stage. Updated once a commit, never a record.
pub struct Totals {
    by_stage: Mutex<BTreeMap<StageName, Counts>>,
    started: Instant,
}

impl Default for Totals {
    fn default() -> Self {
        Self::new()
    }
}

impl Totals {
    /// Nothing has been done yet; the clock of the summary starts.
    pub fn new() -> Self {
        metrics::describe_counter!(METRIC, "What the stages have done, by stage and kind");
        Self { by_stage: Mutex::default(), started: Instant::now() }
    }

    /// Adds what a task has committed.
    pub fn add(&self, stage: StageName, counts: &Counts) {
        let mut by_stage = self.by_stage.lock().unwrap_or_else(PoisonError::into_inner);
        *by_stage.entry(stage).or_default() += *counts;
        drop(by_stage);
        for (kind, count) in counts.named().into_iter().filter(|(_, count)| *count > 0) {
            metrics::counter!(METRIC, "stage" => stage.as_str(), "kind" => kind).increment(count);
        }
    }

    /// The counts of one stage.
    pub fn of(&self, stage: StageName) -> Counts {
        let by_stage = self.by_stage.lock().unwrap_or_else(PoisonError::into_inner);
        by_stage.get(&stage).copied().unwrap_or_default()
    }

    /// The sums over all stages. `sources`: the stages whose input no other stage of this process writes.
    pub fn summary(&self, sources: &[StageName]) -> Summary {
        let by_stage = self.by_stage.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = Counts::default();
        by_stage.values().for_each(|stage| counts += *stage);
        // What one stage writes another reads; from outside came only what the first ones read.
        counts.records_in =
            sources.iter().filter_map(|stage| by_stage.get(stage)).map(|counts| counts.records_in).sum();
        let seconds = (self.started.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0;
        Summary { counts, seconds }
    }
}

/// What a run has done, as printed at its end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Sums over all stages; `records_in` counts only what came from outside.
    #[serde(flatten)]
    pub counts: Counts,
    /// Time since the start, in seconds.
    pub seconds: f64,
}
