//! `frostline outlook score`: scores the outlooks and warnings of this installation.

use clap::Args;
use frostline_engine::kafka::StartAt;
use serde_json::json;

use super::super::output::BOLD;
use super::super::{Common, Failed, output, topics};
use super::print::print;
use super::scoring::Scoring;
use crate::config::{Config, topic};
use crate::outlook::{Issue, Ledger, ScoredNight, WarningSums};
use crate::publishing::Live;

const EXAMPLES: &str = "\
Examples:
  frostline outlook score                              chances of 0 °C at 18:00, and the warnings of all rules
  frostline outlook score --limit=-2 --issued 21:00
  frostline outlook score --rule orchard-tonight --json

Reads the outlooks of noaa-outlooks and the alerts of noaa-json-alerts. A
station's nights are scored from its third night on.";

/// Score outlooks of past nights, and the warnings that were sent
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ScoreArguments {
    #[command(flatten)]
    scoring: Scoring,
    /// Score only the warnings of this rule
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
}

pub(super) async fn score(common: &Common, arguments: &ScoreArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    for logical in [topic::OUTLOOKS, topic::ALERTS] {
        topics::check_exists(&config, &config.topic(logical).name).await?;
    }
    let ledger = read(&Live::connect(&config).await?, &config, arguments.scoring.issue(0))?;
    let shown = arguments.scoring.shown(false);
    let mut is_scored = false;
    for (station, tally) in ledger.stations() {
        let nights: Vec<ScoredNight> = tally.nights(shown.limit_c).collect();
        if !nights.is_empty() {
            if !is_scored {
                heading(common, &format!("Outlooks of each station, {}", arguments.scoring))?;
            }
            is_scored = true;
            print(common, shown, station, &nights)?;
        }
    }
    let chosen = |rule: &str| arguments.rule.as_deref().is_none_or(|wanted| wanted == rule);
    let mut warnings = ledger.warnings().filter(|(rule, _)| chosen(rule)).peekable();
    if warnings.peek().is_some() {
        heading(common, "Warnings of each rule, by its own limit")?;
    }
    for (rule, sums) in warnings {
        print_warnings(common, rule, &sums)?;
    }
    if !is_scored {
        output::note(
            "no night has been scored yet: the stages outlook and watch score a night when they have read its morning, from a \
             station's third night on; `frostline top` shows how much is left to read",
        );
    }
    Ok(())
}

fn heading(common: &Common, text: &str) -> Result<(), Failed> {
    if common.json { Ok(()) } else { Ok(output::line(&format!("{BOLD}{text}{BOLD:#}"))?) }
}

/// Reads all outlooks and alerts that are in the topics now.
fn read(live: &Live<'_>, config: &Config, issue: Issue) -> anyhow::Result<Ledger> {
    let mut ledger = Ledger::new(issue);
    let mut read = |logical: &str, take: fn(&mut Ledger, &[u8])| {
        live.read(&config.topic(logical).name, StartAt::Beginning, &mut |record| {
            if let Some(value) = record.value {
                take(&mut ledger, value);
            }
        })
    };
    read(topic::OUTLOOKS, Ledger::take_outlook)?;
    read(topic::ALERTS, Ledger::take_alert)?;
    Ok(ledger)
}

fn print_warnings(common: &Common, rule: &str, sums: &WarningSums) -> Result<(), Failed> {
    if common.json {
        return Ok(output::json(&json!({ "rule": rule, "warnings": sums }))?);
    }
    output::line(&format!(
        "{BOLD}{rule}{BOLD:#}  {} warned of: {} came true, {} did not, {} unknown, {} open; {} without a warning",
        output::counted(sums.nights as u64, "night"),
        sums.came_true,
        sums.false_alarms,
        sums.unknown,
        sums.open,
        output::counted(sums.missed as u64, "frost")
    ))?;
    if let (Some(p10), Some(p50)) = (sums.lead_hours_p10, sums.lead_hours_p50) {
        output::line(&format!(
            "  lead time: {p50:.1} hours (median), at least {p10:.1} hours in nine of ten"
        ))?;
    }
    Ok(())
}
