//! `frostline config`: checks and shows the configuration.

use std::sync::Arc;

use std::time::Duration;

use clap::{Args, Subcommand};
use frostline_engine::kafka::{ClientSettings, GroupProtocol, GroupSettings, TransactionSettings};
use frostline_engine::{StartError, Traffic};

use super::output::{BOLD, GREEN, YELLOW};
use super::{Common, Failed, output};
use crate::app;
use crate::config::{Config, is_reference, is_sensitive, settings_file, topic};
use crate::notify::Sender;
use crate::publishing::unsent;
use crate::rules::{Channel, Condition, RuleFile, Scope};
use crate::stages;

const EXAMPLES: &str = "\
Examples:
  frostline config check --config frostline.toml
  frostline config show --set kafka.namespace=test.     the result of file, environment and flags";

/// Advice for users of the group protocol `consumer`.
const BROKERS_SESSION: &str = "\
runtime.session_timeout_ms has no effect with group.protocol = consumer: how long the groups wait for a daemon that died \
is a setting of the brokers (group.consumer.session.timeout.ms, 45 s by default)";

/// Check or show the configuration
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ConfigArguments {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Find mistakes in the configuration and in the files that it names; exit code 2 if there are any
    #[command(after_help = EXAMPLES)]
    Check,
    /// Print the resulting configuration, with secrets masked, and the resulting settings of every topic
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
    check_client(config)?;
    super::admin::check(config)?;
    // Including its secrets and files.
    Sender::new(&config.notify, Arc::default(), Arc::default())
        .map_err(|reason| Failed::Usage(anyhow::anyhow!(reason)))?;
    let path = &config.alert.rules;
    let file = config.alert.rule_file().filter(|path| path.exists());
    if file.is_none() && config.alert.rule_file().is_some() && *path != Config::default().alert.rules {
        let reason = format!("alert.rules: there is no rule file at {}", path.display());
        return Err(Failed::Usage(anyhow::anyhow!(reason)));
    }
    let file = file.map(super::rules::source::rule_file).transpose()?;
    if let Some(file) = file.as_ref().filter(|_| config.notify.is_on()) {
        check_subscribers(config, file)?;
    }
    let warning = file.as_ref().and_then(|file| {
        let has_own = file.rules.iter().any(|(definition, _)| definition.email.is_some());
        unsent(config, &file.subscribers, has_own)
    });
    let rules = file.map(|file| file.rules.len());
    let protocol = ClientSettings::new(&config.kafka)?.group_protocol();
    let note = (protocol == GroupProtocol::Consumer).then_some(BROKERS_SESSION);
    if common.json {
        let warnings: Vec<String> = warning.into_iter().collect();
        return Ok(output::json(
            &serde_json::json!({ "ok": true, "rules": rules, "warnings": warnings, "note": note }),
        )?);
    }
    if let Some(note) = note {
        output::note(&format!("{BOLD}note:{BOLD:#} {note}"));
    }
    if let Some(reason) = warning {
        output::note(&format!("{YELLOW}warning{YELLOW:#}  {reason}"));
    }
    let settings = match settings_file(common.config.as_deref()) {
        Some(file) => file.display().to_string(),
        None => "defaults (no frostline.toml here; --config FILE names another)".to_owned(),
    };
    let file = match rules {
        Some(rules) => format!("{} in {}", output::counted(rules as u64, "rule"), path.display()),
        None if config.alert.rule_file().is_none() => "rules in their topic".to_owned(),
        None => format!("no rule file at {} yet: the alert stage needs one", path.display()),
    };
    Ok(output::line(&format!(
        "{GREEN}ok{GREEN:#}  {settings}: brokers {BOLD}{}{BOLD:#} (not contacted), {file}",
        config.kafka.brokers
    ))?)
}

/// Whether Kafka's client accepts `[kafka.client]`, and its secrets can be read. No broker is asked.
pub(super) fn check_client(config: &Config) -> Result<(), StartError> {
    let outline = app::outline(config)?;
    let group = GroupSettings {
        group: outline.group(stages::ASSEMBLE),
        topic: config.topic(topic::CSV_RAW).name,
        partitions: config.topic(topic::CSV_RAW).partitions,
        traffic: Traffic::Tiny,
        begins_at_end: false,
        session_timeout: Duration::from_millis(config.runtime.session_timeout_ms),
        group_instance_id: config.runtime.group_instance_id.clone(),
        advertised: String::new(),
        instance: String::new(),
    };
    let transaction = TransactionSettings {
        transactional_id: outline.group(stages::ASSEMBLE),
        timeout_ms: config.runtime.transaction_timeout_ms,
    };
    Ok(ClientSettings::new(&config.kafka)?.check(&group, &transaction)?)
}

/// Checks that every subscriber whom the rules name has a configured channel.
fn check_subscribers(config: &Config, file: &RuleFile) -> Result<(), Failed> {
    let (settings, name) = (config.deliver_settings(), config.alert.rules.display());
    for subscriber in &file.subscribers {
        let reachable = settings.channels_of(subscriber);
        reachable.map_err(|reason| Failed::Usage(anyhow::anyhow!("{name}: {reason}")))?;
    }
    let with_email = file.rules.iter().find(|(definition, _)| definition.email.is_some());
    match with_email.filter(|_| !settings.has(Channel::Email)) {
        Some((rule, _)) => Err(Failed::Usage(anyhow::anyhow!(
            "{name}: rule `{}` names an e-mail address, but [notify.email] is not configured",
            rule.id
        ))),
        None => Ok(()),
    }
}

fn show(common: &Common, mut config: Config) -> Result<(), Failed> {
    config.spell_out_topics();
    for (key, value) in &mut config.kafka.client {
        // A reference says where the secret is, but not what it is.
        if is_sensitive(key) && !is_reference(value) {
            "***".clone_into(value);
        }
    }
    if common.json {
        return Ok(output::json(&config)?);
    }
    let text = toml::to_string_pretty(&config).map_err(|error| Failed::Working(error.into()))?;
    Ok(output::line(text.trim_end())?)
}
