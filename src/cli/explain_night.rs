//! `frostline explain` for rules over hours and nights: the known values after each observation, and their effect.

use std::collections::BTreeMap;

use frostline_engine::kafka::StartAt;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::output::{BOLD, CYAN, DIM, GREEN, YELLOW};
use super::{Common, Failed, output};
use crate::config::{Config, topic};
use crate::hourly::iso_time;
use crate::noaa::{Date, StationId};
use crate::outlook::{Expected, Outcome, OutlookRecord};
use crate::publishing::Live;
use crate::rules::{Condition, Evaluator, MomentView, Place, Rule, Scope, Units, Verdict};
use crate::stages::moment_of;

/// The rule, station and night to explain.
pub(super) struct Asked<'a> {
    pub(super) rule: &'a Rule,
    pub(super) station: StationId,
    /// The night: the date of its evening.
    pub(super) night: Date,
    /// Units of the printed values.
    pub(super) units: Units,
    /// What the rule watches, in words.
    pub(super) place: String,
    /// When the rule was first published, in milliseconds since 1970; 0 if it is in a file.
    pub(super) created_ms: i64,
}

/// The known values after one observation.
struct Step {
    time: i64,
    moment: MomentView,
    expected: Option<Expected>,
    /// The verdict of the rule's condition, and of its parts.
    verdicts: Vec<(usize, String, &'static str)>,
    /// Whether the rule watches the station, as far as is known.
    is_watched: bool,
    /// Whether the condition as a whole holds.
    holds: bool,
    /// Whether the rule is active on this day.
    is_active: bool,
}

pub(super) async fn explain(common: &Common, config: &Config, asked: &Asked<'_>) -> Result<(), Failed> {
    let live = Live::connect(config).await?;
    let (mut steps, mut outcome) = (BTreeMap::new(), None::<Outcome>);
    let (evaluator, station, night) = (Evaluator::new(), asked.station, asked.night.to_string());
    live.read(&config.topic(topic::OUTLOOKS).name, StartAt::Beginning, &mut |record| {
        let Some(value) = record.value.filter(|_| record.key == Some(station.as_bytes())) else { return };
        let Ok(record) = serde_json::from_slice::<OutlookRecord<&RawValue>>(value) else { return };
        if record.date != night {
            return;
        }
        if record.outcome.is_some() {
            outcome = record.outcome;
        } else if let Ok(moment) = moment_of(&record) {
            steps.insert(record.time, judge(asked.rule, &evaluator, moment, record));
        }
    })?;
    let mut alerts: Vec<Value> = Vec::new();
    let prefix = format!("{}/{station}/{night}/", asked.rule.id);
    live.read(&config.topic(topic::ALERTS).name, StartAt::Beginning, &mut |record| {
        let alert = record.value.and_then(|value| serde_json::from_slice::<Value>(value).ok());
        alerts.extend(
            alert.filter(|alert| alert["alert_id"].as_str().is_some_and(|id| id.starts_with(&prefix))),
        );
    })?;
    let steps: Vec<Step> = steps.into_values().collect();
    if common.json {
        as_json(asked, &steps, outcome.as_ref(), &alerts)
    } else {
        print(asked, &steps, outcome.as_ref(), &alerts)
    }
}

fn judge(rule: &Rule, evaluator: &Evaluator, moment: MomentView, record: OutlookRecord<&RawValue>) -> Step {
    let judgement = rule.judge_moment(evaluator, &moment);
    Step {
        time: record.time,
        expected: record.expected,
        verdicts: verdicts(rule, evaluator, &moment),
        is_watched: rule.watches(evaluator, &moment.station),
        holds: judgement.as_ref().is_ok_and(|judgement| judgement.when == Verdict::Holds),
        is_active: judgement.is_ok_and(|judgement| judgement.is_active),
        moment,
    }
}

/// Why there is no alert about the night.
fn why_nothing(asked: &Asked<'_>, steps: &[Step], alerts: &[Value]) -> Option<String> {
    if steps.is_empty() || !alerts.is_empty() {
        return None;
    }
    // A rule near a point may have found its station after it was published.
    let is_unresolved = matches!(asked.rule.place, Place::Unresolved(_));
    if !is_unresolved && !steps.iter().any(|step| step.is_watched) {
        return Some(format!("the rule does not watch this station: {}", asked.place));
    }
    let Some(held) = steps.iter().find(|step| step.holds) else {
        return Some("the condition held at no observation".to_owned());
    };
    if !steps.iter().any(|step| step.holds && step.is_active) {
        return Some("the condition held, but the rule is not active on this day".to_owned());
    }
    let time = iso_time(held.time);
    if asked.created_ms / 1_000 > held.time {
        let published = iso_time(asked.created_ms / 1_000);
        return Some(format!(
            "the condition held from {time} on, but the rule was published later, at {published}: `frostline rules \
             backtest --topic noaa-hourly` shows what it would have done"
        ));
    }
    Some(format!(
        "the condition held from {time} on, but there is no alert: when that hour was judged, the rule watched no station \
         here (a rule near a point has none before its first report), or the stage watch has not read that far"
    ))
}

/// Each part of the rule's conditions, with its depth.
fn verdicts(rule: &Rule, evaluator: &Evaluator, moment: &MomentView) -> Vec<(usize, String, &'static str)> {
    let conditions = [Some(&rule.when), rule.clear.as_ref()];
    let parts = conditions.into_iter().flatten().flat_map(|condition| condition.clauses());
    let decided = |part: crate::rules::Clause| {
        // A part of a condition that compiles is a condition itself.
        let condition = Condition::compile(&part.text, Scope::Observation).ok()?;
        let verdict =
            evaluator.evaluate_moment(&condition, moment).map_or("fails", |verdict| match verdict {
                Verdict::Holds => "holds",
                Verdict::HoldsNot => "does not hold",
                Verdict::Unknown => "unknown",
            });
        Some((part.depth, part.text, verdict))
    };
    parts.filter_map(decided).collect()
}

fn as_json(
    asked: &Asked<'_>,
    steps: &[Step],
    outcome: Option<&Outcome>,
    alerts: &[Value],
) -> Result<(), Failed> {
    let ids: Vec<&Value> = alerts.iter().map(|alert| &alert["alert_id"]).collect();
    for step in steps {
        let clauses: Vec<Value> = step
            .verdicts
            .iter()
            .map(|(_, text, verdict)| json!({ "clause": text, "verdict": verdict }))
            .collect();
        output::json(&json!({
            "time": iso_time(step.time), "temperature_c": step.moment.hour.temperature_c, "expected": step.expected,
            "clauses": clauses
        }))?;
    }
    let night = asked.night.to_string();
    Ok(output::json(&json!({
        "night": night, "outcome": outcome, "alerts": ids, "why_nothing": why_nothing(asked, steps, alerts)
    }))?)
}

fn print(
    asked: &Asked<'_>,
    steps: &[Step],
    outcome: Option<&Outcome>,
    alerts: &[Value],
) -> Result<(), Failed> {
    let (rule, station, night) = (asked.rule, asked.station, asked.night);
    output::line(&format!("{BOLD}{}{BOLD:#} at {station}, night of {night}", rule.id))?;
    let mut before: Option<Vec<&str>> = None;
    for (at, step) in steps.iter().enumerate() {
        let verdicts: Vec<&str> = step.verdicts.iter().map(|(.., verdict)| *verdict).collect();
        let time = iso_time(step.time);
        let written = alerts.iter().filter(|alert| alert["moment"]["time"].as_i64() == Some(step.time));
        let written: Vec<&Value> = written.collect();
        // Hours without a change are left out; --json has all.
        if before.as_ref() == Some(&verdicts) && written.is_empty() && at + 1 < steps.len() {
            continue;
        }
        output::line(&format!("  {CYAN}{time}{CYAN:#}  {}", known(asked, step)))?;
        for (depth, text, verdict) in &step.verdicts {
            let text = output::clean(text);
            output::line(&format!("    {}{text}  {DIM}{verdict}{DIM:#}", "  ".repeat(*depth)))?;
        }
        for alert in written {
            let id = output::clean(alert["alert_id"].as_str().unwrap_or_default());
            output::line(&format!("    {GREEN}alert{GREEN:#}  {id}"))?;
        }
        before = Some(verdicts);
    }
    if let Some(reason) = why_nothing(asked, steps, alerts) {
        output::line(&format!("  {YELLOW}no alert{YELLOW:#}  {}", output::clean(&reason)))?;
    }
    match outcome {
        Some(outcome) => output::line(&format!(
            "  the lowest temperature was {} at {}; the longest gap between observations was {} minutes",
            asked.units.degrees(outcome.lowest_c),
            iso_time(outcome.lowest_at),
            outcome.longest_gap_minutes
        ))?,
        None if steps.is_empty() => {
            let topic = topic::OUTLOOKS;
            output::line(&format!("  unknown: {topic} has no record of this station and night"))?;
        }
        None => output::line("  the night has not ended, or no observation has come since")?,
    }
    Ok(())
}

/// The measured and expected values, and their sources.
fn known(asked: &Asked<'_>, step: &Step) -> String {
    let units = asked.units;
    let measured = units.degrees(step.moment.hour.temperature_c);
    let Some((expected, limit)) = step.expected.as_ref().zip(asked.rule.night_limit()) else {
        return measured;
    };
    let quantile = |probability| expected.distribution.quantile(probability);
    format!(
        "{measured}; {:.0} % for {} or less; lowest {} ({} to {}); from {}; learned from {} nights",
        expected.distribution.chance(limit) * 100.0,
        units.degrees(limit),
        units.degrees(quantile(0.5)),
        units.number(quantile(0.1)),
        units.number(quantile(0.9)),
        expected.inputs.join(", "),
        expected.nights
    )
}
