//! Counts of the stages of this process: sums for summaries, counters for metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::record::unix_ms;
use crate::{Counter, Counts, NamedCounts, StageId};

/// The name of the single metric of counts; its labels are the stage and the kind of count.
const METRIC: &str = "frostline_stage_total";

/// Longest commit that the histogram distinguishes, in microseconds.
const COMMIT_MICROSECONDS_MAX: u64 = 120_000_000;

/// Sums of all committed counts, by stage. Updated once per commit, never per record.
pub struct Totals {
    /// Of all stages of the topology, the engine's own first.
    counters: Vec<Counter>,
    stages: Mutex<BTreeMap<StageId, StageTotals>>,
    /// Durations in microseconds.
    commits: Mutex<Histogram<u32>>,
    started: Instant,
    /// In milliseconds since 1970; 0 for not yet.
    first_record_at_ms: AtomicI64,
    last_commit_at_ms: AtomicI64,
}

struct StageTotals {
    counts: Counts,
    /// One handle per kind, looked up once.
    counters: Vec<(Counter, metrics::Counter)>,
}

impl StageTotals {
    fn new(stage: StageId, counters: &[Counter]) -> Self {
        let counter = |kind: &Counter| {
            (*kind, metrics::counter!(METRIC, "stage" => stage.as_str(), "kind" => kind.name()))
        };
        Self { counts: Counts::default(), counters: counters.iter().map(counter).collect() }
    }
}

impl Totals {
    /// Starts with zero counts, and starts the clock of the summary. `counters`: those of all stages.
    pub fn new(counters: Vec<Counter>) -> Self {
        metrics::describe_counter!(METRIC, "Records processed and results, by stage and kind");
        let commits = Histogram::new_with_max(COMMIT_MICROSECONDS_MAX, 2);
        Self {
            counters,
            stages: Mutex::default(),
            commits: Mutex::new(commits.expect("constant bounds that the histogram accepts")),
            started: Instant::now(),
            first_record_at_ms: AtomicI64::new(0),
            last_commit_at_ms: AtomicI64::new(0),
        }
    }

    /// Records when a record was first read, in milliseconds since 1970.
    pub fn first_record(&self, now_ms: i64) {
        let _ = self.first_record_at_ms.compare_exchange(0, now_ms, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Records how long a successful commit took.
    pub fn committed_in(&self, time: Duration) {
        let microseconds = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.commits.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(microseconds);
        self.last_commit_at_ms.store(unix_ms(), Ordering::Relaxed);
    }

    /// Adds what a task has committed.
    pub fn add(&self, stage: StageId, counts: &Counts) {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        let totals = stages.entry(stage).or_insert_with(|| StageTotals::new(stage, &self.counters));
        totals.counts += *counts;
        for (kind, counter) in totals.counters.iter().filter(|(kind, _)| counts[*kind] > 0) {
            counter.increment(counts[*kind]);
        }
    }

    /// The counts of one stage.
    pub fn of(&self, stage: StageId) -> Counts {
        let stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        stages.get(&stage).map(|totals| totals.counts).unwrap_or_default()
    }

    /// The counters, the engine's own first.
    pub fn counters(&self) -> &[Counter] {
        &self.counters
    }

    /// The sums over all stages. `sources`: the stages whose input no other stage of this process writes.
    pub fn summary(&self, sources: &[StageId]) -> Summary {
        let stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = Counts::default();
        stages.values().for_each(|stage| counts += stage.counts);
        // Records written by one stage are read by another; only the first stages' records come from outside.
        let read = |stage: &StageId| stages.get(stage).map(|stage| stage.counts[Counter::RECORDS_IN]);
        counts[Counter::RECORDS_IN] = sources.iter().filter_map(read).sum();
        let seconds = (self.started.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0;
        let counts = NamedCounts { counts, counters: self.counters.clone() };
        Summary { counts, seconds, timing: self.timing() }
    }

    fn timing(&self) -> Timing {
        let commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        let quantile_ms = |quantile| commits.value_at_quantile(quantile) as f64 / 1_000.0;
        let at_ms = |at: &AtomicI64| Some(at.load(Ordering::Relaxed)).filter(|at| *at > 0);
        Timing {
            first_record_at_ms: at_ms(&self.first_record_at_ms),
            last_commit_at_ms: at_ms(&self.last_commit_at_ms),
            commits: commits.len(),
            commit_p50_ms: quantile_ms(0.5),
            commit_p99_ms: quantile_ms(0.99),
        }
    }
}

/// The results of a run, as printed at its end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Sums over all stages; `records_in` counts only what came from outside.
    #[serde(flatten)]
    pub counts: NamedCounts,
    /// Time since the start, in seconds.
    pub seconds: f64,
    /// When the work was done and how long commits took.
    #[serde(flatten)]
    pub timing: Timing,
}

/// Times of a run. Instants are in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// When the first record was read; null if none came.
    pub first_record_at_ms: Option<i64>,
    /// When the last commit ended; null if there was none.
    pub last_commit_at_ms: Option<i64>,
    /// How many commits there were.
    pub commits: u64,
    /// Median duration of a commit, in milliseconds.
    pub commit_p50_ms: f64,
    /// 99th percentile of the duration of a commit, in milliseconds.
    pub commit_p99_ms: f64,
}
