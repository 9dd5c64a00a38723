//! `frostline topics`: the topics of this installation.

use std::io::{BufRead, IsTerminal};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::output::{BOLD, DIM, GREEN, RED};
use super::{Common, Failed, output};
use crate::config::{Config, TopicPlan};
use crate::kafka::{Admin, ClientSettings, KafkaError, TopicState};

const EXAMPLES: &str = "\
Examples:
  frostline topics create                      make those that are missing
  frostline topics describe --json
  frostline topics delete --yes --set kafka.namespace=test.";

/// Make, look at or delete the topics
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TopicsArguments {
    #[command(subcommand)]
    command: TopicsCommand,
}

#[derive(Subcommand)]
enum TopicsCommand {
    /// Make the topics that are missing; exit code 1 where one that is there does not fit
    #[command(after_help = EXAMPLES)]
    Create,
    /// Show each topic with its partitions and records; exit code 1 where one is missing or does not fit
    #[command(after_help = EXAMPLES)]
    Describe,
    /// Delete all topics of this installation, with everything in them
    #[command(after_help = EXAMPLES)]
    Delete {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

pub(super) async fn topics(common: &Common, arguments: &TopicsArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    let admin = connect(&config).await?;
    match arguments.command {
        TopicsCommand::Create => create(common, &config, &admin).await,
        TopicsCommand::Describe => describe(common, &config, &admin).await,
        TopicsCommand::Delete { yes } => delete(common, &config, &admin, yes).await,
    }
}

/// Connects, after a bounded wait for the broker.
pub(super) async fn connect(config: &Config) -> Result<Admin, Failed> {
    let settings = ClientSettings::new(config)?;
    let probe = settings.clone();
    tokio::task::spawn_blocking(move || probe.check_reachable())
        .await
        .map_err(|error| Failed::Working(error.into()))??;
    Ok(Admin::new(&settings)?)
}

/// Connects, and makes sure that there is such a topic to write to.
pub(super) async fn check_exists(config: &Config, topic: &str) -> Result<(), Failed> {
    if connect(config).await?.partitions(topic)?.is_none() {
        let advice = "make the topics with `frostline topics create`";
        return Err(Failed::Usage(anyhow::anyhow!("no such topic: {topic}: {advice}")));
    }
    Ok(())
}

/// What happened to a topic, or how it is.
#[derive(Serialize)]
struct Row {
    topic: String,
    partitions: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    cleanup_policy: Option<String>,
    /// Offsets between start and end; includes transaction markers.
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<i64>,
    status: String,
}

async fn create(common: &Common, config: &Config, admin: &Admin) -> Result<(), Failed> {
    let mut is_sound = true;
    for plan in config.all_topics() {
        let is_new = admin.create(&plan).await?;
        let status = if is_new {
            "created".to_owned()
        } else {
            let found = admin.describe(&[&plan.name]).await?;
            found
                .into_iter()
                .flatten()
                .next()
                .map_or_else(|| "exists".to_owned(), |state| verdict(&plan, &state))
        };
        is_sound &= matches!(status.as_str(), "created" | "exists");
        let policy = plan.is_compacted.then(|| "compact".to_owned());
        print(
            common,
            &Row {
                topic: plan.name,
                partitions: plan.partitions,
                cleanup_policy: policy,
                records: None,
                status,
            },
        )?;
    }
    if is_sound { Ok(()) } else { Err(Failed::Mistakes) }
}

/// Whether a topic that is there fits its plan.
fn verdict(plan: &TopicPlan, state: &TopicState) -> String {
    if state.partitions != plan.partitions {
        return format!("has {} partitions, {} were expected", state.partitions, plan.partitions);
    }
    match state.cleanup_policy.as_deref() {
        Some(policy) if plan.is_compacted && policy != "compact" => {
            format!("cleanup.policy={policy}, compact was expected")
        }
        _ => "exists".to_owned(),
    }
}

async fn describe(common: &Common, config: &Config, admin: &Admin) -> Result<(), Failed> {
    let plans = config.all_topics();
    let names: Vec<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
    let mut is_sound = true;
    for (plan, state) in plans.iter().zip(admin.describe(&names).await?) {
        let row = match state {
            None => Row {
                topic: plan.name.clone(),
                partitions: 0,
                cleanup_policy: None,
                records: None,
                status: "missing".into(),
            },
            Some(state) => {
                let kept = admin.log_offsets(&plan.name)?;
                let records = kept.values().map(|offsets| offsets.end - offsets.start).sum();
                let status = match verdict(plan, &state).as_str() {
                    "exists" => "ok".to_owned(),
                    other => other.to_owned(),
                };
                Row {
                    topic: state.name,
                    partitions: state.partitions,
                    cleanup_policy: state.cleanup_policy,
                    records: Some(records),
                    status,
                }
            }
        };
        is_sound &= row.status == "ok";
        print(common, &row)?;
    }
    if is_sound { Ok(()) } else { Err(Failed::Mistakes) }
}

async fn delete(common: &Common, config: &Config, admin: &Admin, yes: bool) -> Result<(), Failed> {
    let plans = config.all_topics();
    if !yes && !confirmed(plans.len())? {
        return Err(Failed::Usage(anyhow::anyhow!(
            "nothing was deleted: say --yes to delete without a question"
        )));
    }
    for plan in plans {
        let was_there = admin.delete(&plan.name).await?;
        let status = if was_there { "deleted" } else { "missing" };
        let (topic, partitions) = (plan.name, plan.partitions);
        print(
            common,
            &Row { topic, partitions, cleanup_policy: None, records: None, status: status.into() },
        )?;
    }
    Ok(())
}

fn confirmed(count: usize) -> Result<bool, Failed> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    output::note(&format!("Delete {count} topics with everything in them? [y/N]"));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn print(common: &Common, row: &Row) -> Result<(), Failed> {
    if common.json {
        return Ok(output::json(row)?);
    }
    let colour =
        if matches!(row.status.as_str(), "ok" | "created" | "exists" | "deleted") { GREEN } else { RED };
    let records = row.records.map_or_else(String::new, |records| {
        format!("{:>14} records", output::grouped(records.unsigned_abs()))
    });
    let policy = row.cleanup_policy.as_deref().unwrap_or("");
    Ok(output::line(&format!(
        "{BOLD}{:<40}{BOLD:#} {:>4} partitions  {DIM}{policy:<8}{DIM:#}{records}  {colour}{}{colour:#}",
        row.topic, row.partitions, row.status
    ))?)
}

/// Makes all topics of an installation, quietly.
pub(super) async fn create_all(config: &Config, admin: &Admin) -> Result<(), KafkaError> {
    for plan in config.all_topics() {
        admin.create(&plan).await?;
    }
    Ok(())
}
