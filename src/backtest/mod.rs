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
pub use moments::{Forecasts, MomentRule, MomentStats, run_moments};
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
    /// The first date that counts. Rules see earlier days too, as they would in the stream, but their alerts do not
    /// count.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noaa::Compat;
    use crate::rules::{Definition, PublishedRule};

    fn frost() -> Published {
        let station = Some("USC00027716".to_owned());
        let definition =
            Definition { id: "r".into(), station, when: "TMIN <= 0.0".into(), ..Definition::default() };
        let rule = PublishedRule { version: 1, created_ms: 0, definition, nearest: None };
        Published { rules: [("r".to_owned(), rule)].into(), ..Published::default() }
    }

    /// A topic of lines, of which some take a reading back, gives the alerts that the stages write.
    #[test]
    fn a_reading_that_was_removed_is_taken_back() {
        let assemble = AssembleSettings {
            settle_records: 1,
            settle_ms: 1_000,
            compat: Compat::None,
            keep_failed_quality: false,
        };
        let setting = Setting {
            assemble,
            limits: Limits::default(),
            stations: None,
            filter: None,
            from: None,
            to: None,
            lanes: 1,
            now_ms: 1_795_824_000_000,
        };
        let summary = |lines: &[(&str, bool)]| {
            let push = |feed: &mut Feed<'_>| {
                for (line, is_deleted) in lines {
                    feed.push_of_partition(0, line.as_bytes(), *is_deleted);
                }
                Ok(())
            };
            let stats = run(&Input::Topic(1, &push), &frost(), &setting, &|_| ()).unwrap();
            let rule = &stats.rules["r"];
            (rule.fired, rule.retracted)
        };
        let (cold, warm) = ("USC00027716,20260105,TMIN,-50,,,7,", "USC00027716,20260106,TMIN,50,,,7,");
        assert_eq!(summary(&[(cold, false), (warm, false)]), (1, 0));
        assert_eq!(
            summary(&[(cold, false), (warm, false), (warm, false), (cold, true), (warm, false)]),
            (1, 1)
        );
        assert_eq!(summary(&[(cold, true), (warm, false)]), (0, 0), "what was removed before is nothing");
    }
}
