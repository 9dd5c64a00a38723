//! What rules would have told: the stages' own processors over history, without a broker.
//!
//! Lines or documents go through *lanes*, each with a processor of each stage, on a few threads. A lane is a partition in
//! all but the topic: the lines of files are spread over lanes by station, the partitions of a topic stay what they are.
//! So the code is the same that runs live, and each record meets the same before it.

mod input;
mod lane;
mod moments;
mod report;
mod stats;

use std::sync::{Arc, Mutex, PoisonError};

pub use input::{Feed, Input, ReadFile};
pub use moments::{MomentRule, MomentStats, run_moments};
pub use report::{Change, Curve, Difference, InWords, Page, Picture, curves};
pub use stats::{Longest, Month, RuleStats, Stats, Summary};

use crate::noaa::{Date, ObservationView};
use crate::rules::{Condition, Conditions, Published, Reporting};
use crate::stages::{AssembleSettings, Limits, StationIndex};
pub use lane::{Trace, Traced};

use frostline_engine::Counts;
use lane::Lane;

/// What a backtest works with, besides rules and input.
#[derive(Clone)]
pub struct Setting {
    /// How lines become observations.
    pub assemble: AssembleSettings,
    /// What a record may be.
    pub limits: Limits,
    /// The station table; `None` takes every station as it comes, and knows nothing of it but its id.
    pub stations: Option<Arc<StationIndex>>,
    /// What the live filter lets through, where the alert stage reads behind it.
    pub filter: Option<Arc<Condition>>,
    /// The first date that counts.
    pub from: Option<Date>,
    /// The last one.
    pub to: Option<Date>,
    /// How many lanes the lines of files are spread over.
    pub lanes: usize,
    /// The wall clock, in milliseconds since 1970.
    pub now_ms: i64,
}

/// Reads all of `input` under `rules`, and counts what they tell. `each_alert` gets every alert's value, in no order
/// across stations.
///
/// # Errors
/// Where the input cannot be read.
pub fn run(
    input: &Input<'_>,
    rules: &Published,
    setting: &Setting,
    each_alert: &(dyn Fn(&[u8]) + Sync),
) -> anyhow::Result<Stats> {
    let rule_set = Arc::new(rules.rule_set(&mut Conditions::default()));
    let alerting = || Lane::alerting(setting, Arc::clone(&rule_set), each_alert, None);
    let mut stats = Stats::new(rules);
    for lane in drive(input, setting, alerting, Lane::into_stats)? {
        stats.add(lane);
    }
    Ok(stats)
}

/// Follows one rule at one station through all of `input`.
///
/// # Errors
/// Where the input cannot be read.
pub fn trace(
    input: &Input<'_>,
    rules: &Published,
    setting: &Setting,
    trace: &Trace<'_>,
) -> anyhow::Result<()> {
    let rule_set = Arc::new(rules.rule_set(&mut Conditions::default()));
    let nobody: &(dyn Fn(&[u8]) + Sync) = &|_| ();
    let tracing = || Lane::alerting(setting, Arc::clone(&rule_set), nobody, Some(trace));
    drive(input, setting, tracing, drop).map(drop)
}

/// Calls `visit` with every observation; those of one station are in order. Returns what assemble has counted.
///
/// # Errors
/// Where the input cannot be read.
pub fn visit_observations(
    input: &Input<'_>,
    setting: &Setting,
    visit: &(dyn Fn(&[u8]) + Sync),
) -> anyhow::Result<Counts> {
    let one = Setting { lanes: 1, ..setting.clone() };
    let mut counts = Counts::default();
    for lane in drive(input, &one, || Lane::visiting(setting, visit), Lane::into_counts)? {
        counts += lane;
    }
    Ok(counts)
}

/// Learns who reports what, for rules that ask for the nearest station.
///
/// # Errors
/// Where the input cannot be read.
pub fn reporting(input: &Input<'_>, setting: &Setting) -> anyhow::Result<Reporting> {
    let reporting = Mutex::new(Reporting::default());
    visit_observations(input, setting, &|value| {
        if let Ok(view) = ObservationView::parse(value) {
            reporting.lock().unwrap_or_else(PoisonError::into_inner).take(&view);
        }
    })?;
    Ok(reporting.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Runs all lanes until the input has been read; `end` makes of each what is wanted.
fn drive<'a, R: Send>(
    input: &Input<'_>,
    setting: &Setting,
    make: impl Fn() -> Lane<'a> + Sync,
    end: impl Fn(Lane<'a>) -> R + Sync,
) -> anyhow::Result<Vec<R>> {
    let lanes = input.lanes(setting).max(1);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = lanes.min(if setting.lanes == 1 { 1 } else { cores });
    std::thread::scope(|scope| {
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..threads).map(|_| std::sync::mpsc::sync_channel::<input::Block>(4)).unzip();
        let (make, end) = (&make, &end);
        let running: Vec<_> = receivers
            .into_iter()
            .enumerate()
            .map(|(thread, receiver)| {
                scope.spawn(move || {
                    let mut own: Vec<Lane<'a>> = (thread..lanes).step_by(threads).map(|_| make()).collect();
                    receiver.iter().for_each(|block| own[block.lane / threads].take(&block));
                    own.iter_mut().for_each(Lane::finish);
                    own.into_iter().map(end).collect::<Vec<R>>()
                })
            })
            .collect();
        let read = input.read(setting, lanes, senders);
        let done: Option<Vec<Vec<R>>> = running.into_iter().map(|thread| thread.join().ok()).collect();
        read?;
        let done = done.ok_or_else(|| anyhow::anyhow!("a thread of the backtest panicked"))?;
        Ok(done.into_iter().flatten().collect())
    })
}
