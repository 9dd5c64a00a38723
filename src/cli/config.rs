//! `frostline config`: what is set, and whether it can be.

use clap::{Args, Subcommand};

use super::output::{BOLD, GREEN};
use super::{Common, Failed, output};
use crate::config::{Config, is_sensitive};
use crate::rules::{Condition, Scope};

const EXAMPLES: &str = "\
Examples:
  frostline config check --config frostline.toml
  frostline config show --set kafka.namespace=test.     what results from file, environment and flags";

/// Check or show the configuration
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ConfigArguments {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Find mistakes in the configuration and in the files that it names; exit code 2 where there are any
    #[command(after_help = EXAMPLES)]
    Check,
    /// Print the configuration that results, secrets masked
    #[command(after_help = EXAMPLES)]
    Show,
}

pub(super) fn config(common: &Common, arguments: &ConfigArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    match arguments.command {
        ConfigCommand::Check => check(common, &config),
        ConfigCommand::Show => show(common, config),
    }
}

fn check(common: &Common, config: &Config) -> Result<(), Failed> {
    Condition::compile(&config.filter.expression, Scope::Filter)
        .map_err(|error| Failed::Usage(anyhow::anyhow!("filter.where: {}", error.message)))?;
    for (key, value) in &config.kafka.client {
        crate::config::resolve_secret(value)
            .map_err(|reason| Failed::Usage(anyhow::anyhow!("kafka.client.\"{key}\": {reason}")))?;
    }
    let path = &config.alert.rules;
    let rules = match config.alert.rule_file().filter(|path| path.exists()) {
        Some(path) => Some(super::rules::source::rule_file(path)?.rules.len()),
        None => None,
    };
    if common.json {
        return Ok(output::json(&serde_json::json!({ "ok": true, "rules": rules }))?);
    }
    let file = match (&common.config, rules) {
        (_, Some(rules)) => format!("{rules} rules in {}", path.display()),
        (_, None) if config.alert.rule_file().is_none() => "rules in their topic".to_owned(),
        (_, None) => format!("no rule file at {} yet: the alert stage needs one", path.display()),
    };
    Ok(output::line(&format!("{GREEN}ok{GREEN:#}  brokers {BOLD}{}{BOLD:#}, {file}", config.kafka.brokers))?)
}

fn show(common: &Common, mut config: Config) -> Result<(), Failed> {
    if !config.admin.token.is_empty() && !config.admin.token.starts_with("${") {
        "***".clone_into(&mut config.admin.token);
    }
    for (key, value) in &mut config.kafka.client {
        // A reference tells where the secret is, not what it is.
        if is_sensitive(key) && !value.starts_with("${") {
            "***".clone_into(value);
        }
    }
    if common.json {
        return Ok(output::json(&config)?);
    }
    let text = toml::to_string_pretty(&config).map_err(|error| Failed::Working(error.into()))?;
    Ok(output::line(text.trim_end())?)
}
