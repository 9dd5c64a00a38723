//! `frostline topics grow`: more partitions for a topic that is in use.

use clap::Args;
use frostline_engine::growth::{Growth, GrowthError, GrowthStep};
use serde_json::json;

use super::super::output::{BOLD, GREEN};
use super::super::{Common, Failed, output};
use super::connect;
use crate::app;
use crate::config::Config;

pub(super) const EXAMPLES: &str = "\
Examples:
  frostline topics grow noaa-csv-raw --partitions 8
  frostline topics grow noaa-csv-raw noaa-json noaa-json-us-az --partitions 8 --yes

With more partitions most stations get another one, so the state of the stages
that read the topic moves with them, within their changelogs, which grow as
well. Before: stop everything that writes to the topic, let the stages read
all of it with `frostline run --until-caught-up`, and stop all daemons that
read or write it. After: set topics.NAME.partitions, and start them again. If
the command is interrupted, run it again: daemons refuse to start until it has
finished.";

#[derive(Args)]
pub(super) struct GrowArguments {
    /// Grow these topics, one after the other
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Give them this many partitions
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..=10_000))]
    partitions: i32,
    /// Skip the question
    #[arg(long)]
    yes: bool,
}

pub(super) async fn grow(common: &Common, config: &Config, arguments: &GrowArguments) -> Result<(), Failed> {
    connect(config).await?;
    ask(config, arguments).map_err(|error| failed(error, arguments))?;
    for (done, topic) in arguments.topics.iter().enumerate() {
        if let Err(error) = grow_one(common, config, &config.resolve_topic(topic), arguments.partitions).await
        {
            advise(config, &arguments.topics[..done], arguments.partitions);
            return Err(failed(error, arguments));
        }
    }
    advise(config, &arguments.topics, arguments.partitions);
    Ok(())
}

fn begin(config: &Config, topic: &str, partitions: i32) -> Result<Growth, Stopped> {
    let topology = app::outline(config).map_err(|error| Stopped::Other(error.into()))?;
    Ok(Growth::begin(&config.engine_settings(), &topology, topic, partitions)?)
}

/// Checks all topics, and asks once, before anything is changed.
fn ask(config: &Config, arguments: &GrowArguments) -> Result<(), Stopped> {
    let mut changed = Vec::new();
    for topic in &arguments.topics {
        let growth = begin(config, &config.resolve_topic(topic), arguments.partitions)?;
        let topics = growth.topics().iter().filter(|_| !growth.is_grown());
        changed.extend(topics.cloned());
    }
    for topic in &changed {
        output::note(&format!("{:<40} {} → {} partitions", topic.name, topic.from, topic.to));
    }
    let question = format!(
        "Add partitions to {}? They cannot be removed again. [y/N]",
        output::counted(changed.len() as u64, "topic")
    );
    let is_confirmed = changed.is_empty() || arguments.yes || {
        output::confirmed(&question).map_err(|error| Stopped::Other(error.into()))?
    };
    if !is_confirmed {
        let error = anyhow::anyhow!("nothing was changed: use --yes to add partitions without a question");
        return Err(Stopped::Other(Failed::Usage(error)));
    }
    Ok(())
}

/// Why it stopped.
enum Stopped {
    Growth(GrowthError),
    Other(Failed),
}

impl From<GrowthError> for Stopped {
    fn from(error: GrowthError) -> Self {
        Self::Growth(error)
    }
}

async fn grow_one(common: &Common, config: &Config, topic: &str, partitions: i32) -> Result<(), Stopped> {
    let mut growth = begin(config, topic, partitions)?;
    let topics = growth.topics().to_vec();
    let was_grown = growth.is_grown();
    let mut moved = 0;
    for step in growth.steps() {
        let outcome = growth.perform(&step).await;
        match outcome {
            // Daemons work with it already, so nothing is left to do.
            Err(GrowthError::Running(_)) if was_grown => {}
            Err(error) => return Err(error.into()),
            Ok(entries) if matches!(step, GrowthStep::MoveState(..)) => moved += entries,
            Ok(0) => {}
            Ok(records) => output::note(&format!(
                "moved {records} records that had been written to {topic} during the growth to their new partitions"
            )),
        }
        tracing::info!(topic, step = %step, "growing");
    }
    for topic in &topics {
        let status = if was_grown { "already has them" } else { "grown" };
        let line = if common.json {
            let row =
                json!({ "topic": topic.name, "from": topic.from, "partitions": topic.to, "status": status });
            output::json(&row)
        } else {
            let partitions = format!("{} partitions", topic.to);
            output::line(&format!(
                "{BOLD}{:<40}{BOLD:#} {partitions:<15} {GREEN}{status}{GREEN:#}",
                topic.name
            ))
        };
        line.map_err(|error| Stopped::Other(error.into()))?;
    }
    if moved > 0 {
        output::note(&format!("moved {} entries of state", output::grouped(moved)));
    }
    Ok(())
}

/// Adds what to do next.
fn failed(stopped: Stopped, arguments: &GrowArguments) -> Failed {
    let again =
        format!("frostline topics grow {} --partitions {}", arguments.topics.join(" "), arguments.partitions);
    match stopped {
        Stopped::Other(failed) => failed,
        Stopped::Growth(error) => match error {
            GrowthError::Refused(_) => Failed::Usage(error.into()),
            GrowthError::Running(reason) => Failed::Usage(anyhow::anyhow!(
                "{reason}: stop them, and run `{again}` again. A daemon that was killed, or has a \
                 runtime.group_instance_id, stays in its group for runtime.session_timeout_ms (with group.protocol = \
                 consumer for the brokers' group.consumer.session.timeout.ms)"
            )),
            GrowthError::Behind(reason) => Failed::Usage(anyhow::anyhow!(
                "{reason}: stop what writes to it, run `frostline run --until-caught-up`, stop all daemons, and run \
                 `{again}` again"
            )),
            GrowthError::Kafka(error) => {
                Failed::Working(anyhow::anyhow!("{error}: run `{again}` again to finish it"))
            }
        },
    }
}

/// Lists the settings that no longer fit these topics, which have grown.
fn advise(config: &Config, grown: &[String], partitions: i32) {
    let is_other = |name: &&String| {
        config
            .logical_name(&config.resolve_topic(name))
            .is_some_and(|logical| config.topic(logical).partitions != partitions)
    };
    let settings: Vec<String> = grown
        .iter()
        .filter(is_other)
        .filter_map(|name| config.logical_name(&config.resolve_topic(name)))
        .map(|logical| format!("topics.{logical}.partitions = {partitions}"))
        .collect();
    if !settings.is_empty() {
        output::note(&format!(
            "Set {} in the configuration of all daemons before they start.",
            settings.join(", ")
        ));
    }
}
