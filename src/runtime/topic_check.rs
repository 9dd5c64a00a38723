//! Looks at the topics before anything starts: all there, and changelogs that fit their sources.

use std::collections::BTreeMap;
use std::time::Duration;

use super::daemon::{RunOptions, StartError};
use super::provenance::different_partitions;
use crate::config::{Config, TopicPlan, topic};
use crate::kafka::{Admin, KafkaError, TopicState};

/// What the topics allow.
pub(super) struct TopicLimits {
    /// The largest record that the dead-letter topic takes.
    pub(super) dead_letter_bytes_max: usize,
    /// How long each changelog keeps tombstones, by its name in Kafka; those of which the broker does not tell it are
    /// missing.
    pub(super) tombstones_kept: BTreeMap<String, Duration>,
}

/// Refuses to start on topics that are missing or do not fit together.
pub(super) async fn check_topics(
    admin: &Admin,
    config: &Config,
    options: &RunOptions,
) -> Result<TopicLimits, StartError> {
    let mut plans: Vec<TopicPlan> = vec![config.topic(topic::DEAD_LETTERS)];
    if options.needs_rules() && config.alert.rule_file().is_none() {
        plans.push(config.topic(topic::RULES));
    }
    for stage in &options.stages {
        plans.push(config.topic(config.source_of(*stage)));
        plans.push(config.topic(config.sink_of(*stage)));
        if stage.is_stateful() {
            plans.push(config.changelog(*stage));
        }
    }
    let states = look_up(admin, &plans, options).await?;
    let state = |name: &str| states.iter().find(|state| state.name == name);
    if let Some(rules) = state(&config.topic(topic::RULES).name) {
        check_compacted(rules, "rules")?;
    }
    for stage in options.stages.iter().filter(|stage| stage.is_stateful()) {
        let source = config.topic(config.source_of(*stage)).name;
        let changelog = config.changelog(*stage).name;
        if let (Some(source), Some(changelog)) = (state(&source), state(&changelog)) {
            check_changelog(source, changelog)?;
        }
    }
    let known = state(&config.topic(topic::DEAD_LETTERS).name).and_then(|state| state.record_bytes_max);
    // Kafka's own default, where the broker does not tell.
    let kept = states.iter().filter_map(|state| Some((state.name.clone(), state.tombstones_kept?)));
    Ok(TopicLimits { dead_letter_bytes_max: known.unwrap_or(1_048_588), tombstones_kept: kept.collect() })
}

async fn look_up(
    admin: &Admin,
    plans: &[TopicPlan],
    options: &RunOptions,
) -> Result<Vec<TopicState>, StartError> {
    let mut names: Vec<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let found = if options.describe_topics {
        admin.describe(&names).await?
    } else {
        let bare = |name: &str, partitions| TopicState {
            name: name.to_owned(),
            partitions,
            cleanup_policy: None,
            record_bytes_max: None,
            tombstones_kept: None,
        };
        let mut found = Vec::new();
        for name in &names {
            found.push(admin.partitions(name)?.map(|partitions| bare(name, partitions)));
        }
        found
    };
    let missing: Vec<&str> =
        names.iter().zip(&found).filter(|(_, state)| state.is_none()).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        let message =
            format!("no such topic: {}: make them with `frostline topics create`", missing.join(", "));
        return Err(KafkaError::Topic(message).into());
    }
    Ok(found.into_iter().flatten().collect())
}

fn check_changelog(source: &TopicState, changelog: &TopicState) -> Result<(), KafkaError> {
    if source.partitions != changelog.partitions {
        return Err(different_partitions(
            (&source.name, source.partitions),
            (&changelog.name, changelog.partitions),
        ));
    }
    check_compacted(changelog, "state")
}

/// Refuses a topic from which Kafka deletes what is still needed.
fn check_compacted(topic: &TopicState, holds: &str) -> Result<(), KafkaError> {
    let name = &topic.name;
    match topic.cleanup_policy.as_deref() {
        None | Some("compact") => Ok(()),
        Some(other) => Err(KafkaError::Topic(format!(
            "topic {name} has cleanup.policy={other}: Kafka would delete {holds}. Set it to compact: \
             kafka-configs --alter --topic {name} --add-config cleanup.policy=compact"
        ))),
    }
}
