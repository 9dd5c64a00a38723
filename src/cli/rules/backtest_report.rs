//! The output of `frostline rules backtest`.

use std::collections::BTreeSet;

use super::super::output::{BOLD, CYAN, DIM, GREEN, RED, YELLOW};
use super::super::{Common, Failed, output};
use crate::backtest::{Change, Difference, RuleStats, Stats};
use crate::rules::Published;

/// Most rules that are printed as text; --json prints all.
const SHOWN_MAX: usize = 40;

/// Prints an alert as one line.
pub(super) fn print_alert(common: &Common, alert: &serde_json::Value) -> std::io::Result<()> {
    let text = |name: &str| alert[name].as_str().unwrap_or_default();
    if common.json {
        return output::json(&serde_json::json!({
            "alert_id": text("alert_id"), "transition": text("transition"), "message": text("message")
        }));
    }
    output::line(&format!("{CYAN}{}{CYAN:#}  {}", text("alert_id"), text("message")))
}

/// Prints the rules, the differences and the sums.
pub(super) fn print(
    common: &Common,
    rules: &Published,
    stats: &Stats,
    differences: Option<&[Difference]>,
    seconds: f64,
) -> Result<(), Failed> {
    if common.json {
        for (id, rule) in &stats.rules {
            output::json(&serde_json::json!({ "rule": id, "result": rule }))?;
        }
        for difference in differences.into_iter().flatten() {
            output::json(&serde_json::json!({ "difference": difference }))?;
        }
        let mut summary =
            serde_json::to_value(stats.summary).map_err(|error| Failed::Working(error.into()))?;
        summary["seconds"] = ((seconds * 1_000.0).round() / 1_000.0).into();
        summary["messages"] = serde_json::json!(stats.messages);
        return Ok(output::json(&summary)?);
    }
    let mut by_fired: Vec<(&String, &RuleStats)> = stats.rules.iter().collect();
    by_fired.sort_by_key(|(_, rule)| std::cmp::Reverse(rule.fired));
    for (id, rule) in by_fired.iter().take(SHOWN_MAX) {
        print_rule(id, rule, rules)?;
    }
    if by_fired.len() > SHOWN_MAX {
        output::line(&format!(
            "{DIM}… and {} more rules: --json lists all{DIM:#}",
            by_fired.len() - SHOWN_MAX
        ))?;
    }
    let told = stats.messages.iter().filter(|(_, count)| **count > 0);
    for (subscriber, count) in told.take(SHOWN_MAX) {
        output::line(&format!("{subscriber:>28}  {BOLD}{}{BOLD:#} messages", output::grouped(*count)))?;
    }
    if let Some(differences) = differences {
        print_differences(differences)?;
    }
    print_summary(stats, seconds)
}

fn print_rule(id: &str, rule: &RuleStats, rules: &Published) -> Result<(), Failed> {
    let published = rules.rules.get(id);
    let place = published.map(crate::publishing::place).unwrap_or_default();
    let when = published.map(|rule| rule.definition.condition()).unwrap_or_default();
    output::line(&format!("{BOLD}{id}{BOLD:#}  {DIM}{place}{DIM:#}  {when}"))?;
    let mut facts = vec![format!("fired {}", output::grouped(rule.fired))];
    for (count, word) in [(rule.resolved, "resolved"), (rule.retracted, "retracted"), (rule.stale, "stale")] {
        if count > 0 {
            facts.push(format!("{word} {}", output::grouped(count)));
        }
    }
    if rule.stations > 1 {
        facts.push(format!("at {} stations", rule.stations));
    }
    if let Some(longest) = &rule.longest {
        facts.push(format!("longest {} days from {} at {}", longest.days, longest.since, longest.station));
    }
    output::line(&format!("  {}", facts.join(" · ")))?;
    if rule.outside_filter > 0 {
        let count = output::grouped(rule.outside_filter);
        output::line(&format!(
            "  {YELLOW}warning{YELLOW:#}  {count} of these come from stations that filter.where excludes: the daemon would not send them"
        ))?;
    }
    bars(rule)
}

/// The months of each year as one line of bars.
fn bars(rule: &RuleStats) -> Result<(), Failed> {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const YEARS_MAX: usize = 12;
    let most = rule.by_month.values().max().copied().unwrap_or(1).max(1);
    let years: BTreeSet<u16> = rule.by_month.keys().map(|(year, _)| *year).collect();
    for year in years.iter().rev().take(YEARS_MAX).rev() {
        let bar = |month: u8| match rule.by_month.get(&(*year, month)) {
            None | Some(0) => '·',
            Some(count) => BARS[usize::try_from((count * 8).div_ceil(most) - 1).unwrap_or(7).min(7)],
        };
        let row: Vec<String> = (1..=12).map(|month| bar(month).to_string()).collect();
        let sum: u64 = rule.by_month.range((*year, 1)..=(*year, 12)).map(|(_, count)| count).sum();
        let row = row.join(" ");
        output::line(&format!(
            "  {DIM}{year}{DIM:#}  {CYAN}{row}{CYAN:#}  {DIM}{} by month, J to D{DIM:#}",
            output::grouped(sum)
        ))?;
    }
    Ok(())
}

fn print_differences(differences: &[Difference]) -> Result<(), Failed> {
    for Difference { rule, change, fired_before, fired, gained, lost } in differences {
        let (sign, colour) = match change {
            Change::Added => ('+', GREEN),
            Change::Removed => ('-', RED),
            Change::Changed => ('~', YELLOW),
        };
        output::line(&format!(
            "{colour}{sign} {rule}{colour:#}  fired {fired_before} → {fired}, {gained} alerts gained, {lost} lost"
        ))?;
    }
    if differences.is_empty() {
        output::line("the same alerts under both sets of rules")?;
    }
    Ok(())
}

fn print_summary(stats: &Stats, seconds: f64) -> Result<(), Failed> {
    let summary = &stats.summary;
    let rows = [
        ("records in", summary.records_in),
        ("observations", summary.observations),
        ("dead letters", summary.dead_letters),
        ("rules", summary.rules as u64),
        ("that never fired", summary.silent_rules as u64),
        ("fired", summary.fired),
        ("resolved", summary.resolved),
        ("retracted", summary.retracted),
        ("stale", summary.stale),
    ];
    for (name, value) in rows {
        output::line(&format!("{name:>20}  {BOLD}{:>12}{BOLD:#}", output::grouped(value)))?;
    }
    if summary.rule_errors > 0 {
        output::line(&format!(
            "{:>20}  {BOLD}{:>12}{BOLD:#}",
            "rule errors",
            output::grouped(summary.rule_errors)
        ))?;
    }
    Ok(output::line(&format!("{:>20}  {BOLD}{seconds:>12.1}{BOLD:#}", "seconds"))?)
}
