//! `frostline rules apply` and `remove`: changes to the rules' topic, shown before they are made.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;

use super::super::output::{BOLD, DIM, GREEN, RED, YELLOW};
use super::super::reset::{self, Since};
use super::super::{Common, Failed, output};
use super::check::print;
use super::source;
use crate::publishing::{Change, Live, Outcome, Plan, PublishError, READS_A_FILE, Turn, plan, plan_removal};
use crate::rules::Key;

const APPLY_EXAMPLES: &str = "\
Examples:
  frostline rules apply rules.toml               shows the difference, asks, publishes
  frostline rules apply rules.toml --dry-run     shows the difference only
  frostline rules apply rules.toml --yes --json
  frostline rules apply rules.toml --judge-since 2026-11-01     while the alert stage is stopped

The file is the complete list of rules: published rules that are not in it are
removed. Subscribers are replaced and removed in the same way, unless the file
has no [[subscriber]].";

/// Publish a rule file to the topic noaa-rules; all processes follow within a second
#[derive(Args)]
#[command(after_help = APPLY_EXAMPLES)]
pub(super) struct ApplyArguments {
    /// Publish this rule file: TOML, or JSON lines
    file: PathBuf,
    /// Skip the question
    #[arg(long)]
    yes: bool,
    /// Show the differences, and change nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Also set the alert stage back to this day, or to `earliest`, as `frostline reset` does: at its next start new
    /// rules judge the records since then. Refused while the stage runs
    #[arg(long, value_name = "DATE")]
    judge_since: Option<Since>,
}

const REMOVE_EXAMPLES: &str = "\
Examples:
  frostline rules remove scottsdale-frost phoenix-heat
  frostline rules remove --subscriber saguaro-farm --yes";

/// Remove published rules, or subscribers that no rule names
#[derive(Args)]
#[command(after_help = REMOVE_EXAMPLES)]
pub(super) struct RemoveArguments {
    /// Remove the rules with these ids
    #[arg(required_unless_present = "subscriber")]
    rules: Vec<String>,
    /// Remove this subscriber (may be repeated)
    #[arg(long, value_name = "ID")]
    subscriber: Vec<String>,
    /// Skip the question
    #[arg(long)]
    yes: bool,
}

pub(super) async fn apply(common: &Common, arguments: &ApplyArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    let (text, name) = (source::read_rule_file(&arguments.file)?, arguments.file.display());
    let live = Live::connect(&config).await?;
    let prepare = |since| reset::prepare(&config, live.admin(), since, arguments.dry_run);
    let reset = arguments.judge_since.map(prepare).transpose()?;
    let spinner = output::spinner();
    spinner.set_message("reading the published rules and the newest observations");
    let turn = (!arguments.dry_run).then(|| live.turn()).transpose()?;
    let plan = plan(&config, &live, &text);
    spinner.finish_and_clear();
    let plan = match plan {
        Ok(plan) => plan,
        Err(error) => {
            if let PublishError::Mistakes(mistakes) = &error {
                mistakes.iter().try_for_each(|mistake| print(common, &arguments.file, mistake, true))?;
            }
            return Err(error.into());
        }
    };
    for warning in &plan.warnings {
        output::note(&format!("{YELLOW}warning{YELLOW:#}  {name}:{warning}"));
    }
    for left_alone in &plan.left_alone {
        output::note(&format!("{YELLOW}unchanged{YELLOW:#}  {left_alone}"));
    }
    if config.alert.rule_file().is_some() {
        output::note(&format!("{YELLOW}note{YELLOW:#}  {READS_A_FILE}"));
    }
    let goes_on = make(common, &plan, turn, arguments.yes)?;
    match reset {
        Some(plan) if goes_on => reset::judge_again(common, live.admin(), &plan, arguments.dry_run),
        _ => Ok(()),
    }
}

pub(super) async fn remove(common: &Common, arguments: &RemoveArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    let live = Live::connect(&config).await?;
    let rules = arguments.rules.iter().map(|id| Key::Rule(id.clone()));
    let keys = rules.chain(arguments.subscriber.iter().map(|id| Key::Subscriber(id.clone())));
    let turn = live.turn()?;
    let plan = plan_removal(&live, keys.collect())?;
    make(common, &plan, Some(turn), arguments.yes).map(drop)
}

/// Shows changes; with a turn it also asks, and publishes them. `false` if the answer was no.
fn make(common: &Common, plan: &Plan, turn: Option<Turn>, yes: bool) -> Result<bool, Failed> {
    let (mut outcome, changes) = (plan.outcome(), &plan.changes);
    changes.iter().try_for_each(|change| show(common, change))?;
    if let Some(turn) = turn.filter(|_| !changes.is_empty()) {
        let question = format!("Publish {}? [y/N]", output::counted(changes.len() as u64, "change"));
        if !yes && !output::confirmed(&question)? && std::io::stdin().is_terminal() {
            output::line("nothing was published")?;
            return Ok(false);
        }
        if !yes && !std::io::stdin().is_terminal() {
            let advice = "nothing was published: use --yes to publish without a question";
            return Err(Failed::Usage(anyhow::anyhow!(advice)));
        }
        let bar = output::bar(changes.len() as u64, "{wide_bar} {pos}/{len} records  {eta} left");
        plan.publish(&turn, &mut || bar.inc(1))?;
        bar.finish_and_clear();
        outcome.published = true;
    }
    if common.json {
        output::json(&outcome)?;
        return Ok(true);
    }
    let Outcome { added, changed, removed, unchanged, published } = outcome;
    let end = match (published, changes.is_empty()) {
        (true, _) => ", published",
        (false, true) => ": nothing to do",
        (false, false) => ", nothing was published",
    };
    output::line(&format!(
        "{added} added, {changed} changed, {removed} removed, {unchanged} unchanged{end}"
    ))?;
    Ok(true)
}

fn show(common: &Common, change: &Change) -> Result<(), Failed> {
    if common.json {
        return Ok(output::json(&change.as_json())?);
    }
    let (sign, colour) = match change.word() {
        "removed" => ('-', RED),
        "added" => ('+', GREEN),
        _ => ('~', YELLOW),
    };
    let version = change.version().map_or_else(String::new, |version| format!(" {DIM}v{version}{DIM:#}"));
    let details = change.details.join("  ");
    Ok(output::line(&format!("{colour}{sign} {}{colour:#}{version}  {BOLD}{details}{BOLD:#}", change.key))?)
}
