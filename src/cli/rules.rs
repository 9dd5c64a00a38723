//! `frostline rules`: for people who own rules.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::output::{BOLD, GREEN, RED};
use super::{Common, Failed, output};
use crate::rules::{FILE_BYTES_MAX, RuleSet};

const EXAMPLES: &str = "\
Examples:
  frostline rules check rules.toml           every mistake with its line and column
  frostline rules check rules.toml --json";

/// Check rules before they go live
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RulesArguments {
    #[command(subcommand)]
    command: RulesCommand,
}

#[derive(Subcommand)]
enum RulesCommand {
    /// Find all mistakes in a rule file; exit code 1 where there are any
    #[command(after_help = EXAMPLES)]
    Check {
        /// The rule file
        file: PathBuf,
    },
}

pub(super) fn rules(common: &Common, arguments: &RulesArguments) -> Result<(), Failed> {
    match &arguments.command {
        RulesCommand::Check { file } => check(common, file),
    }
}

/// Reads a rule file.
pub(super) fn read_rule_file(path: &Path) -> Result<String, Failed> {
    let failed = |reason: String| Failed::Usage(anyhow::anyhow!("{}: {reason}", path.display()));
    let bytes =
        std::fs::metadata(path).map_err(|error| failed(format!("the rules cannot be read: {error}")))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(failed(format!("the file has {bytes} bytes, the limit is {FILE_BYTES_MAX}")));
    }
    std::fs::read_to_string(path).map_err(|error| failed(format!("the rules cannot be read: {error}")))
}

fn check(common: &Common, file: &Path) -> Result<(), Failed> {
    let text = read_rule_file(file)?;
    match RuleSet::parse(&text) {
        Ok(rules) => {
            let (count, name) = (rules.all().len(), file.display().to_string());
            if common.json {
                output::json(&serde_json::json!({ "file": name, "rules": count, "mistakes": 0 }))?;
            } else {
                output::line(&format!("{GREEN}ok{GREEN:#}  {BOLD}{name}{BOLD:#}: {count} rules"))?;
            }
            Ok(())
        }
        Err(mistakes) => {
            let name = file.display().to_string();
            for mistake in &mistakes {
                if common.json {
                    let (line, column) = (mistake.position.line, mistake.position.column);
                    output::json(&serde_json::json!({
                        "file": name, "line": line, "column": column, "message": mistake.message
                    }))?;
                } else {
                    output::line(&format!("{RED}mistake{RED:#}  {BOLD}{name}{BOLD:#}:{mistake}"))?;
                }
            }
            if common.json {
                output::json(&serde_json::json!({ "file": name, "mistakes": mistakes.len() }))?;
            }
            Err(Failed::Mistakes)
        }
    }
}
