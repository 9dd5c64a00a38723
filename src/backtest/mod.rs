//! The alerts that rules would have caused: the stages' own processors over history, without a broker.
//!
//! Lines or documents go through *lanes*, each with a processor of each stage, on a few threads. A lane is like a
//! partition without a topic: lines of files are distributed over lanes by station, and partitions of a topic stay as
//! they are. So the code is the same that runs live, and each record meets the same earlier records.

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

/// The inputs of a backtest, besides rules and history.
#[derive(Clone)]
pub struct Setting {
    /// How lines become observations.
    pub assemble: AssembleSettings,
    /// The limits of a record.
    pub limits: Limits,
    /// The station table; `None` accepts every station, of which only the id is known.
    pub stations: Option<Arc<StationIndex>>,
    /// The live filter, if the alert stage reads filtered observations.
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

/// Reads all of `input` under `rules`, and counts the alerts. `each_alert` gets every alert's value; across stations
/// the order is undefined.
///
/// # Errors
/// The input cannot be read.
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
/// The input cannot be read.
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

/// Calls `visit` with every observation; those of one station are in order. Returns the counts of assemble.
///
/// # Errors
/// The input cannot be read.
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

/// Finds out which station reports which element, for rules that ask for the nearest station.
///
/// # Errors
/// The input cannot be read.
pub fn reporting(input: &Input<'_>, setting: &Setting) -> anyhow::Result<Reporting> {
    let reporting = Mutex::new(Reporting::default());
    visit_observations(input, setting, &|value| {
        if let Ok(view) = ObservationView::parse(value) {
            reporting.lock().unwrap_or_else(PoisonError::into_inner).take(&view);
        }
    })?;
    Ok(reporting.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Runs all lanes until the input has been read; `end` takes the result from each.
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
