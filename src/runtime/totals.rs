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
        let sum = by_stage.entry(stage).or_default();
        sum.records_in += counts.records_in;
        sum.observations += counts.observations;
        sum.kept += counts.kept;
        sum.alerts += counts.alerts;
        sum.dead_letters += counts.dead_letters;
        sum.duplicates += counts.duplicates;
        sum.skipped += counts.skipped;
        sum.failed_quality += counts.failed_quality;
        sum.rule_errors += counts.rule_errors;
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
        let sum = |pick: fn(&Counts) -> u64| by_stage.values().map(pick).sum();
        Summary {
            records_in: sources.iter().filter_map(|stage| by_stage.get(stage)).map(|c| c.records_in).sum(),
            observations: sum(|counts| counts.observations),
            kept: sum(|counts| counts.kept),
            alerts: sum(|counts| counts.alerts),
            dead_letters: sum(|counts| counts.dead_letters),
            duplicates: sum(|counts| counts.duplicates),
            skipped: sum(|counts| counts.skipped),
            failed_quality: sum(|counts| counts.failed_quality),
            rule_errors: sum(|counts| counts.rule_errors),
            seconds: (self.started.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0,
        }
    }
}

/// What a run has done, as printed at its end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Records that entered from outside: those of the most upstream stages that ran.
    pub records_in: u64,
    /// Observations written.
    pub observations: u64,
    /// Observations that the filter kept.
    pub kept: u64,
    /// Alerts written.
    pub alerts: u64,
    /// Dead letters written, over all stages.
    pub dead_letters: u64,
    /// Alerts and observations that were known already.
    pub duplicates: u64,
    /// Tombstones and header lines.
    pub skipped: u64,
    /// Readings left out because they failed NOAA's quality control.
    pub failed_quality: u64,
    /// Evaluations of rules that failed.
    pub rule_errors: u64,
    /// Time since the start, in seconds.
    pub seconds: f64,
}
