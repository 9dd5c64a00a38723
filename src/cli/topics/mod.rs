//! `frostline topics`: manages the topics of this installation.

mod fit;
mod grow;
mod rights;

use clap::{Args, Subcommand};
use frostline_engine::kafka::{Admin, ClientSettings, KafkaError, Operation, Right, TopicDetails};
use serde::Serialize;

use fit::{Fit, Source};

use super::output::{BOLD, DIM, GREEN, RED, YELLOW};
use super::{Common, Failed, output};
use crate::config::{Config, TopicPlan};
use crate::contract;

const EXAMPLES: &str = "\
Examples:
  frostline topics create                      create the missing topics
  frostline topics describe --json
  frostline topics grow noaa-csv-raw --partitions 8
  frostline topics rights --daemon             the rights that the daemon needs on the brokers
  frostline topics delete --yes --set kafka.namespace=test.
  frostline topics asyncapi >asyncapi.json     describe topics and records for programs

Other commands than `grow` and `delete` never change topics that exist. How
long each keeps its records is set under [topics], as in --set
topics.noaa-json.retention_days=90";

/// Create, describe, grow or delete the topics
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TopicsArguments {
    #[command(subcommand)]
    command: TopicsCommand,
}

#[derive(Subcommand)]
enum TopicsCommand {
    /// Create the missing topics; the exit code is 1 if an existing one does not fit
    #[command(after_help = EXAMPLES)]
    Create,
    /// Show each topic with its partitions, replicas, retention and size; the exit code is 1 if one is missing or
    /// does not fit
    #[command(after_help = EXAMPLES)]
    Describe,
    /// Give a topic more partitions; the state of the stages that read it moves with its keys
    #[command(after_help = grow::EXAMPLES)]
    Grow(grow::GrowArguments),
    /// Print the rights that the client needs on the brokers, as commands of kafka-acls
    #[command(after_help = rights::EXAMPLES)]
    Rights(rights::RightsArguments),
    /// Print an AsyncAPI document of the topics, with JSON Schemas of their records; needs no broker
    #[command(after_help = EXAMPLES)]
    Asyncapi,
    /// Delete all topics of this installation, with everything in them
    #[command(after_help = EXAMPLES)]
    Delete {
        /// Skip the question
        #[arg(long)]
        yes: bool,
    },
}

pub(super) async fn topics(common: &Common, arguments: &TopicsArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    match &arguments.command {
        TopicsCommand::Rights(arguments) => rights::rights(common, &config, arguments),
        TopicsCommand::Asyncapi => asyncapi(&config),
        TopicsCommand::Create => create(common, &config, &connect(&config).await?).await,
        TopicsCommand::Describe => describe(common, &config, &connect(&config).await?).await,
        TopicsCommand::Grow(arguments) => grow::grow(common, &config, arguments).await,
        TopicsCommand::Delete { yes } => delete(common, &config, &connect(&config).await?, *yes).await,
    }
}

fn asyncapi(config: &Config) -> Result<(), Failed> {
    let document = contract::asyncapi(config).map_err(|error| Failed::Usage(error.into()))?;
    Ok(output::line(&format!("{document:#}"))?)
}

/// Connects, after a bounded wait for the broker.
pub(super) async fn connect(config: &Config) -> Result<Admin, Failed> {
    let settings = ClientSettings::new(&config.kafka)?;
    let probe = settings.clone();
    tokio::task::spawn_blocking(move || probe.check_reachable())
        .await
        .map_err(|error| Failed::Working(error.into()))??;
    Ok(Admin::new(&settings)?)
}

/// Connects, and makes sure that there is such a topic.
pub(super) async fn check_exists(config: &Config, topic: &str) -> Result<Admin, Failed> {
    let admin = connect(config).await?;
    if admin.partitions(topic)?.is_none() {
        let advice = "create the topics with `frostline topics create`";
        return Err(Failed::Usage(anyhow::anyhow!("no such topic: {topic}: {advice}")));
    }
    Ok(admin)
}

/// The same for a topic that will be written to: this client must be allowed to.
pub(super) async fn check_writable(config: &Config, topic: &str) -> Result<(), Failed> {
    let admin = check_exists(config, topic).await?;
    Ok(admin.check_rights("before the first record", &[Right::on_topic(Operation::Write, topic)])?)
}

/// The outcome for a topic, or its state.
#[derive(Serialize)]
struct Row {
    topic: String,
    partitions: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    replication: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cleanup_policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_ms: Option<i64>,
    /// Offsets between start and end. Transaction markers have offsets too, so there are fewer records.
    #[serde(skip_serializing_if = "Option::is_none")]
    offsets: Option<i64>,
    status: String,
    /// Differences from the configuration, and how to change them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differences: Vec<String>,
}

impl Row {
    fn bare(topic: String, partitions: i32, status: &str) -> Self {
        Self {
            topic,
            partitions,
            replication: None,
            cleanup_policy: None,
            retention_ms: None,
            offsets: None,
            status: status.to_owned(),
            differences: Vec::new(),
        }
    }

    /// An existing topic; `sound` is its status if nothing is wrong with it.
    fn of_topic(details: TopicDetails, fit: Fit, sound: &str) -> Self {
        let is_compacted = details.state.cleanup_policy.as_deref() == Some("compact");
        let status = if fit.faults.is_empty() { sound.to_owned() } else { fit.faults.join("; ") };
        Self {
            replication: Some(details.replication),
            cleanup_policy: details.state.cleanup_policy,
            retention_ms: details.retention_ms.filter(|_| !is_compacted),
            differences: fit.differences,
            ..Self::bare(details.state.name, details.state.partitions, &status)
        }
    }
}

async fn create(common: &Common, config: &Config, admin: &Admin) -> Result<(), Failed> {
    let mut is_sound = true;
    // Sources come before their changelogs.
    for plan in config.all_topics() {
        let source = source(config, admin, &plan)?;
        let row = match admin.describe_in_detail(&[&plan.name]).await?.into_iter().flatten().next() {
            Some(details) => {
                let fit = fit::fit(&plan, &details, source.as_ref());
                Row::of_topic(details, fit, "exists")
            }
            None => make(admin, plan, source.as_ref()).await?,
        };
        is_sound &= matches!(row.status.as_str(), "created" | "exists");
        print(common, &row)?;
    }
    if is_sound { Ok(()) } else { Err(Failed::Mistakes) }
}

/// Creates a topic, but not a changelog that its source could not use.
async fn make(admin: &Admin, plan: TopicPlan, source: Option<&Source>) -> Result<Row, Failed> {
    if let Some(refusal) = source.and_then(|source| source.refusal(&plan)) {
        return Ok(Row::bare(plan.name, 0, &refusal));
    }
    // Another process may have just created it.
    let status = if admin.create(&plan).await? { "created" } else { "exists" };
    let row = Row::bare(plan.name.clone(), plan.partitions, status);
    Ok(Row {
        replication: plan.replication,
        cleanup_policy: plan.is_compacted.then(|| "compact".to_owned()),
        retention_ms: plan.retention_ms(),
        ..row
    })
}

/// The source of a changelog, as it is in Kafka; `None` for other topics.
fn source(config: &Config, admin: &Admin, plan: &TopicPlan) -> Result<Option<Source>, KafkaError> {
    fit::source_of_changelog(config, &plan.name, |source| admin.partitions(source))
}

async fn describe(common: &Common, config: &Config, admin: &Admin) -> Result<(), Failed> {
    let plans = config.all_topics();
    let names: Vec<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
    let mut is_sound = true;
    for (plan, found) in plans.iter().zip(admin.describe_in_detail(&names).await?) {
        let row = match found {
            None => Row::bare(plan.name.clone(), 0, "missing"),
            Some(details) => {
                let kept = admin.log_offsets(&plan.name)?;
                let offsets = kept.values().map(|offsets| offsets.end - offsets.start).sum();
                let fit = fit::fit(plan, &details, source(config, admin, plan)?.as_ref());
                Row { offsets: Some(offsets), ..Row::of_topic(details, fit, "ok") }
            }
        };
        is_sound &= row.status == "ok";
        print(common, &row)?;
    }
    if is_sound { Ok(()) } else { Err(Failed::Mistakes) }
}

async fn delete(common: &Common, config: &Config, admin: &Admin, yes: bool) -> Result<(), Failed> {
    let plans = config.all_topics();
    let question = format!("Delete {} with all records? [y/N]", output::counted(plans.len() as u64, "topic"));
    if !yes && !output::confirmed(&question)? {
        return Err(Failed::Usage(anyhow::anyhow!(
            "nothing was deleted: use --yes to delete without a question"
        )));
    }
    for plan in plans {
        let was_there = admin.delete(&plan.name).await?;
        let status = if was_there { "deleted" } else { "missing" };
        print(common, &Row::bare(plan.name, plan.partitions, status))?;
    }
    output::note(
        "The next start recognises state directories of these topics as outdated, and empties them.",
    );
    Ok(())
}

fn print(common: &Common, row: &Row) -> Result<(), Failed> {
    if common.json {
        return Ok(output::json(row)?);
    }
    let colour =
        if matches!(row.status.as_str(), "ok" | "created" | "exists" | "deleted") { GREEN } else { RED };
    let replicas =
        row.replication.map_or_else(String::new, |replication| format!(" × {replication} replicas"));
    let kept = match (row.cleanup_policy.as_deref(), row.retention_ms) {
        (Some("compact"), _) => "compact".to_owned(),
        (_, Some(retention)) => format!("kept for {}", fit::in_days(retention)),
        (policy, None) => policy.unwrap_or_default().to_owned(),
    };
    let size = row.offsets.map_or_else(String::new, |offsets| {
        format!("  up to {:>11} records", output::grouped(offsets.unsigned_abs()))
    });
    let partitions =
        format!("{}{replicas}", output::counted(row.partitions.unsigned_abs().into(), "partition"));
    output::line(&format!(
        "{BOLD}{:<40}{BOLD:#} {partitions:<27} {DIM}{kept:<17}{DIM:#}{size}  {colour}{}{colour:#}",
        row.topic, row.status
    ))?;
    for difference in &row.differences {
        output::line(&format!("    {YELLOW}differs{YELLOW:#}  {difference}"))?;
    }
    Ok(())
}

/// Creates all topics of an installation, without output.
pub(super) async fn create_all(config: &Config, admin: &Admin) -> Result<(), KafkaError> {
    create_each(config.all_topics(), admin).await
}

/// Creates these topics if they do not exist.
pub(super) async fn create_each(topics: Vec<TopicPlan>, admin: &Admin) -> Result<(), KafkaError> {
    for plan in topics {
        admin.create(&plan).await?;
    }
    Ok(())
}
