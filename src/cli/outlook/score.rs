//! `frostline outlook score`: how good the outlooks and warnings of this installation were.

use std::collections::BTreeMap;

use clap::Args;
use frostline_engine::kafka::{ClientSettings, Reader, StartAt};
use frostline_engine::record::Record;
use serde::Deserialize;
use serde_json::json;

use super::super::output::BOLD;
use super::super::{Common, Failed, output, topics};
use super::clock::{Clock, chance};
use super::print::{Shown, print};
use crate::config::{Config, topic};
use crate::noaa::StationId;
use crate::outlook::{BacktestQuestion, OutlookRecord, Tally, WarningLog, WarningSums};
use crate::rules::Transition;

const EXAMPLES: &str = "\
Examples:
  frostline outlook score                              chances of 0 °C at 18:00, and the warnings of all rules
  frostline outlook score --limit=-2 --issued 21:00
  frostline outlook score --rule orchard-tonight --json

Reads what was written: the outlooks of noaa-outlooks and the alerts of noaa-json-alerts. A night is scored from a
station's third one on.";

/// Score what was said of nights, and the warnings that were sent
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ScoreArguments {
    /// Which outlook of a night counts: the last one before this local standard time
    #[arg(long, value_name = "HH:MM", default_value = "18:00")]
    issued: Clock,
    /// The limit, in °C
    #[arg(long, value_name = "°C", default_value_t = 0.0, allow_hyphen_values = true)]
    limit: f64,
    /// From which chance on a night counts as warned of, 0 to 1
    #[arg(long, value_name = "CHANCE", default_value_t = 0.3, value_parser = chance)]
    chance: f64,
    /// Only the warnings of this rule
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
}

pub(super) async fn score(common: &Common, arguments: &ScoreArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    for logical in [topic::OUTLOOKS, topic::ALERTS] {
        topics::check_exists(&config, &config.topic(logical).name).await?;
    }
    let question = BacktestQuestion { issued: arguments.issued.issued(), limit_c: arguments.limit, lag: 0 };
    let tallies = read_outlooks(&config, question)?;
    let warnings = read_warnings(&config, arguments.rule.as_deref())?;
    let shown = Shown { limit_c: arguments.limit, warn_from: arguments.chance, nights: false };
    for (station, tally) in tallies {
        let nights = tally.into_nights();
        if !nights.is_empty() {
            print(common, shown, station, &nights)?;
        }
    }
    for (rule, sums) in warnings {
        print_warnings(common, &rule, &sums)?;
    }
    Ok(())
}

/// Calls `visit` with each record of a topic that is there now.
fn read_topic(config: &Config, logical: &str, visit: &mut dyn FnMut(&[u8])) -> anyhow::Result<()> {
    let (plan, settings) = (config.topic(logical), ClientSettings::new(&config.kafka)?);
    let mut push = |record: &Record<'_>| {
        if let Some(value) = record.value {
            visit(value);
        }
    };
    Ok(Reader::read_to_end(&settings, &plan.name, plan.partitions, StartAt::Beginning, &mut push)?)
}

fn read_outlooks(config: &Config, question: BacktestQuestion) -> anyhow::Result<BTreeMap<StationId, Tally>> {
    #[derive(Deserialize)]
    struct Station {
        id: StationId,
    }
    let mut tallies = BTreeMap::new();
    read_topic(config, topic::OUTLOOKS, &mut |value| {
        let Ok(record) = serde_json::from_slice::<OutlookRecord<Station>>(value) else { return };
        let id = record.station.id;
        let tally = tallies.entry(id).or_insert_with(|| Tally::from_the_third(id, question));
        if let Some(outcome) = &record.outcome {
            tally.settle(outcome);
        }
        if let Some(expected) = &record.expected {
            tally.expect(expected, record.time);
        }
    })?;
    Ok(tallies)
}

fn read_warnings(config: &Config, rule: Option<&str>) -> anyhow::Result<BTreeMap<String, WarningSums>> {
    #[derive(Deserialize)]
    struct Moment {
        time: i64,
        night: Option<serde::de::IgnoredAny>,
    }
    #[derive(Deserialize)]
    struct Alert {
        rule_id: String,
        episode: String,
        transition: Transition,
        moment: Moment,
    }
    let mut logs = BTreeMap::<String, WarningLog>::new();
    read_topic(config, topic::ALERTS, &mut |value| {
        let Ok(alert) = serde_json::from_slice::<Alert>(value) else { return };
        if alert.moment.night.is_some() && rule.is_none_or(|rule| rule == alert.rule_id) {
            let log = logs.entry(alert.rule_id).or_default();
            log.take(&alert.episode, alert.transition.as_str(), alert.moment.time);
        }
    })?;
    Ok(logs.into_iter().map(|(rule, log)| (rule, log.sums())).collect())
}

fn print_warnings(common: &Common, rule: &str, sums: &WarningSums) -> Result<(), Failed> {
    if common.json {
        return Ok(output::json(&json!({ "rule": rule, "warnings": sums }))?);
    }
    output::line(&format!(
        "{BOLD}{rule}{BOLD:#}  {} nights warned of: {} came true, {} did not, {} unknown, {} open; {} frosts without a warning",
        sums.nights, sums.came_true, sums.false_alarms, sums.unknown, sums.open, sums.missed
    ))?;
    if let (Some(p10), Some(p50)) = (sums.lead_hours_p10, sums.lead_hours_p50) {
        output::line(&format!(
            "  lead time: {p50:.1} hours in the middle, at least {p10:.1} in nine of ten"
        ))?;
    }
    Ok(())
}
