//! `frostline rules check`: all mistakes and warnings about a rule file before it goes live.

use std::path::{Path, PathBuf};

use clap::Args;

use super::super::output::{BOLD, DIM, GREEN, RED, YELLOW};
use super::super::{Common, Failed, output};
use super::StationFiles;
use super::source;
use crate::backtest::{self, Input};
use crate::config::Config;
use crate::publishing::{Known, Live, by_id, unsent, warnings};
use crate::rules::{Conditions, Definition, Mistake, Rule, RuleFile};

const EXAMPLES: &str = "\
Examples:
  frostline rules check rules.toml
  frostline rules check rules.toml --stations ghcnd-stations.txt --data 2016.csv.gz
  frostline rules check rules.toml --live                with the station table and observations of the broker
  frostline rules check rules.toml --json --lenient      warnings do not fail the check

The exit code is 1 if anything was found. A file with a mistake cannot be
used; a warning is about a rule that is probably a mistake: wrong unit, never
or always true, a station that is unknown, does not report that, is excluded
by filter.where, or is far away, or an address whose channel is not
configured. If no channel is configured at all, a warning on stderr says so,
which does not fail the check.";

/// Find all mistakes in a rule file; the exit code is 1 if there are any
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CheckArguments {
    /// Check this rule file: TOML, or JSON lines
    file: PathBuf,
    #[command(flatten)]
    stations: StationFiles,
    /// Read from these observations which station reports which element: by_year CSV or JSON lines (may be repeated)
    #[arg(long, value_name = "FILE")]
    data: Vec<PathBuf>,
    /// Read stations and observations from the broker's topics
    #[arg(long, conflicts_with_all = ["stations", "data"])]
    live: bool,
    /// Exit with 0 if there are only warnings
    #[arg(long)]
    lenient: bool,
}

pub(super) async fn check(common: &Common, arguments: &CheckArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    let file = &arguments.file;
    let text = source::read_rule_file(file)?;
    let live = if arguments.live { Some(Live::connect(&config).await?) } else { None };
    // Subscribers may live in the topic only.
    let published = live.as_ref().map(Live::published).transpose()?.unwrap_or_default();
    let subscribers = published.subscribers;
    let rules = match RuleFile::parse(&text, &mut Conditions::default(), &|id| subscribers.contains_key(id)) {
        Ok(rules) => rules,
        Err(mistakes) => {
            mistakes.iter().try_for_each(|mistake| print(common, file, mistake, true))?;
            if common.json {
                let name = file.display().to_string();
                output::json(
                    &serde_json::json!({ "file": name, "mistakes": mistakes.len(), "warnings": 0 }),
                )?;
            }
            return Err(Failed::Mistakes);
        }
    };
    let known = known(&config, arguments, live.as_ref())?.with_config(&config);
    let warnings = warnings(&rules, &known);
    warnings.iter().try_for_each(|warning| print(common, file, warning, false))?;
    if !common.json {
        unheard(&rules).iter().chain(&crops(&rules)).for_each(|note| output::note(note));
    }
    let has_own = rules.rules.iter().any(|(definition, _)| definition.email.is_some());
    if let Some(reason) = unsent(&config, &rules.subscribers, has_own) {
        // This concerns the configuration, not the file, so it does not fail the check.
        output::note(&format!("{YELLOW}warning{YELLOW:#}  {reason}"));
    }
    let (count, name) = (rules.rules.len(), file.display().to_string());
    if count == 0 {
        output::note(&format!("{YELLOW}warning{YELLOW:#}  {name} has no rule, so it warns nobody"));
    }
    if common.json {
        output::json(
            &serde_json::json!({ "file": name, "rules": count, "mistakes": 0, "warnings": warnings.len() }),
        )?;
    } else if warnings.is_empty() {
        output::line(&format!(
            "{GREEN}ok{GREEN:#}  {BOLD}{name}{BOLD:#}: {}",
            output::counted(count as u64, "rule")
        ))?;
    }
    if warnings.is_empty() || arguments.lenient { Ok(()) } else { Err(Failed::Mistakes) }
}

fn known(config: &Config, arguments: &CheckArguments, live: Option<&Live<'_>>) -> Result<Known, Failed> {
    if let Some(live) = live {
        return Ok(Known {
            table: Some(by_id(live.stations()?)),
            reporting: Some(live.reporting()?),
            ..Known::default()
        });
    }
    let stations = arguments.stations.read()?;
    let reporting = if arguments.data.is_empty() {
        None
    } else {
        let setting = source::setting(config, stations.as_deref())?;
        Some(backtest::reporting(&Input::Files(&arguments.data, &source::read_file), &setting)?)
    };
    Ok(Known { table: stations.map(by_id), reporting, ..Known::default() })
}

/// Prints one finding.
pub(super) fn print(common: &Common, file: &Path, found: &Mistake, is_mistake: bool) -> Result<(), Failed> {
    let name = file.display().to_string();
    let (level, colour) = if is_mistake { ("mistake", RED) } else { ("warning", YELLOW) };
    if common.json {
        let (line, column) = (found.position.line, found.position.column);
        return Ok(output::json(&serde_json::json!({
            "file": name, "line": line, "column": column, "level": level, "message": found.message
        }))?);
    }
    Ok(output::line(&format!("{colour}{level}{colour:#}  {BOLD}{name}{BOLD:#}:{found}"))?)
}

/// The conditions that crops stand for.
fn crops(file: &RuleFile) -> Vec<String> {
    let note = |(definition, rule): &(Definition, Rule)| {
        let (id, when) = (&definition.id, rule.when.text());
        rule.crop.as_ref().map(|crop| format!("{DIM}rule {id} fires if {when}: {crop}{DIM:#}"))
    };
    file.rules.iter().filter_map(note).collect()
}

/// Which rules notify nobody, if there are some: their alerts are for programs that read the topic.
fn unheard(file: &RuleFile) -> Option<String> {
    let nobody = |definition: &Definition| definition.subscribers.is_empty() && definition.email.is_none();
    let ids: Vec<&str> = file
        .rules
        .iter()
        .filter(|(definition, _)| nobody(definition))
        .map(|(definition, _)| definition.id.as_str())
        .collect();
    match ids.as_slice() {
        [] => None,
        [id] => Some(format!(
            "{DIM}rule {id} has no subscribers: its alerts are written, and nobody is notified{DIM:#}"
        )),
        [first, ..] => Some(format!(
            "{DIM}{} rules have no subscribers (the first is {first}): their alerts are written, and nobody is \
             notified{DIM:#}",
            ids.len()
        )),
    }
}
