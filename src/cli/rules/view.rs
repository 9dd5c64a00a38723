//! `frostline rules list`, `show` and `export`: show the published rules.

use clap::Args;
use serde::Serialize;

use super::super::output::{BOLD, DIM, RED, YELLOW};
use super::super::{Common, Failed, output};
use crate::config::Config;
use crate::publishing::{Live, READS_A_FILE, place};
use crate::rules::{Conditions, Definition, Published, Subscriber};

const LIST_EXAMPLES: &str = "\
Examples:
  frostline rules list
  frostline rules list --json";

/// List the published rules, and quarantined rules with the reason
#[derive(Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(super) struct ListArguments {}

const SHOW_EXAMPLES: &str = "\
Examples:
  frostline rules show scottsdale-frost";

/// Show one published rule
#[derive(Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub(super) struct ShowArguments {
    /// Show the rule with this id
    id: String,
}

const EXPORT_EXAMPLES: &str = "\
Examples:
  frostline rules export > rules.toml            change it, then `frostline rules apply rules.toml`
  frostline rules export --json > rules.jsonl    the same as JSON lines, which `apply` also reads";

/// Write all published rules and subscribers as a rule file, addresses included
#[derive(Args)]
#[command(after_help = EXPORT_EXAMPLES)]
pub(super) struct ExportArguments {}

/// Everything that is published and valid.
async fn published(config: &Config) -> Result<Published, Failed> {
    let mut published = Live::connect(config).await?.published()?;
    published.quarantine_broken(&mut Conditions::default());
    Ok(published)
}

pub(super) async fn list(common: &Common, _arguments: &ListArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    let published = published(&config).await?;
    if config.alert.rule_file().is_some() {
        output::note(&format!("{YELLOW}note{YELLOW:#}  {READS_A_FILE}"));
    }
    for (id, rule) in &published.rules {
        if common.json {
            let Definition { subscribers, severity, .. } = &rule.definition;
            let when = rule.definition.condition();
            let (version, place, severity) = (rule.version, place(rule), severity.unwrap_or_default());
            output::json(&serde_json::json!({
                "id": id, "version": version, "place": place, "when": when, "severity": severity,
                "subscribers": subscribers
            }))?;
        } else {
            let (version, place, when) = (rule.version, place(rule), rule.definition.condition());
            output::line(&format!("{BOLD}{id:<28}{BOLD:#} {DIM}v{version:<4}{DIM:#} {place}  {when}"))?;
        }
    }
    for (key, quarantine) in &published.quarantined {
        if common.json {
            output::json(&serde_json::json!({ "quarantined": key.encode(), "reason": quarantine.reason() }))?;
        } else {
            output::line(&format!("{RED}quarantined{RED:#}  {BOLD}{key}{BOLD:#}: {}", quarantine.reason()))?;
        }
    }
    if !common.json {
        let rules = output::counted(published.rules.len() as u64, "rule");
        let subscribers = output::counted(published.subscribers.len() as u64, "subscriber");
        let quarantined = published.quarantined.len();
        output::line(&format!("{rules}, {subscribers}, {quarantined} quarantined"))?;
    }
    Ok(())
}

pub(super) async fn show(common: &Common, arguments: &ShowArguments) -> Result<(), Failed> {
    let published = published(&common.load(&[])?).await?;
    let id = &arguments.id;
    let Some(rule) = published.rules.get(id) else {
        let quarantined = published.quarantined.get(&crate::rules::Key::Rule(id.clone()));
        let reason = match quarantined {
            Some(quarantine) => format!("rule `{id}` is quarantined: {}", quarantine.reason()),
            None => format!("no published rule `{id}`: see `frostline rules list`"),
        };
        return Err(Failed::Working(anyhow::anyhow!(reason)));
    };
    if common.json {
        return Ok(output::json(&serde_json::json!({
            "version": rule.version, "rule": rule.definition, "nearest": rule.nearest
        }))?);
    }
    output::line(&format!("{DIM}# version {}, {}{DIM:#}", rule.version, place(rule)))?;
    let file = File { subscriber: Vec::new(), rule: vec![&rule.definition] };
    let text = toml::to_string(&file).map_err(|error| Failed::Working(error.into()))?;
    Ok(output::line(text.trim_end())?)
}

#[derive(Serialize)]
struct File<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriber: Vec<&'a Subscriber>,
    rule: Vec<&'a Definition>,
}

pub(super) async fn export(common: &Common, _arguments: &ExportArguments) -> Result<(), Failed> {
    let published = published(&common.load(&[])?).await?;
    for (key, quarantine) in &published.quarantined {
        output::note(&format!("left out: {key} is quarantined: {}", quarantine.reason()));
    }
    if common.json {
        for subscriber in published.subscribers.values() {
            output::json(&serde_json::json!({ "subscriber": subscriber }))?;
        }
        for rule in published.rules.values() {
            output::json(&serde_json::json!({ "rule": rule.definition }))?;
        }
        return Ok(());
    }
    let file = File {
        subscriber: published.subscribers.values().collect(),
        rule: published.rules.values().map(|rule| &rule.definition).collect(),
    };
    let text = toml::to_string(&file).map_err(|error| Failed::Working(error.into()))?;
    Ok(output::line(text.trim_end())?)
}
