//! Checks the topics before anything starts: all exist, and changelogs fit their sources.

use super::provenance::different_partitions;
use super::start::RunOptions;
use super::topic_limits::TopicLimits;
use crate::kafka::{Admin, KafkaError, Operation, Right, TopicState};
use crate::{Stage, Topology};

/// Refuses to start if topics are missing or do not fit together.
pub(super) async fn check_topics(
    admin: &Admin,
    topology: &Topology,
    options: &RunOptions,
) -> Result<TopicLimits, KafkaError> {
    let stages: Vec<&Stage> = options.stages.iter().filter_map(|stage| topology.stage(*stage)).collect();
    let mut names: Vec<&str> = vec![&topology.dead_letters().name];
    for stage in &stages {
        names.push(&stage.source.name);
        names.push(&stage.sink.name);
        names.extend(stage.named_sinks.iter().map(|(_, topic)| topic.name.as_str()));
        names.extend(stage.changelog.as_ref().map(|changelog| changelog.name.as_str()));
    }
    let tables: Vec<&str> = topology
        .tables_of(&options.stages, options.polls_sources)
        .map(|table| table.topic.name.as_str())
        .collect();
    names.extend(&tables);
    if let Some(positions) = topology.positions().filter(|_| options.polls_sources) {
        names.push(&positions.name);
        let sinks = topology.sources().iter().flat_map(|source| &source.sinks);
        names.extend(sinks.map(|(_, sink)| sink.name.as_str()));
    }
    let states = look_up(admin, names, options.describe_topics, topology).await?;
    let state = |name: &str| states.iter().find(|state| state.name == name);
    for table in tables.into_iter().filter_map(state) {
        check_compacted(table, "a table")?;
    }
    if let Some(positions) = topology.positions().and_then(|positions| state(&positions.name)) {
        check_compacted(positions, "the positions of sources")?;
    }
    for stage in stages {
        let changelog = stage.changelog.as_ref().and_then(|changelog| state(&changelog.name));
        if let Some((source, changelog)) = state(&stage.source.name).zip(changelog) {
            check_changelog(source, changelog, topology)?;
        }
    }
    if options.describe_topics {
        admin.check_rights("looking at the topics", &rights(topology, options))?;
        for stage in options.stages.iter().filter_map(|stage| topology.stage(*stage)) {
            let partitions = state(&stage.source.name).map_or(0, |source| source.partitions);
            check_grown(admin, topology, stage, partitions)?;
        }
    }
    Ok(TopicLimits::new(&states))
}

/// What stages, tables and sources do with their topics.
fn rights(topology: &Topology, options: &RunOptions) -> Vec<Right> {
    let stages = options.stages.iter().filter_map(|stage| topology.stage(*stage));
    let mut rights = vec![Right::on_topic(Operation::Write, &topology.dead_letters().name)];
    let mut add = |operation, topic: &str| rights.push(Right::on_topic(operation, topic));
    for stage in stages {
        add(Operation::Read, &stage.source.name);
        stage.sinks().for_each(|sink| add(Operation::Write, &sink.name));
        if let Some(changelog) = &stage.changelog {
            add(Operation::Read, &changelog.name);
            add(Operation::Write, &changelog.name);
        }
    }
    for table in topology.tables_of(&options.stages, options.polls_sources) {
        add(Operation::Read, &table.topic.name);
    }
    if let Some(positions) = topology.positions().filter(|_| options.polls_sources) {
        add(Operation::Read, &positions.name);
        add(Operation::Write, &positions.name);
        let sinks = topology.sources().iter().flat_map(|source| &source.sinks);
        sinks.for_each(|(_, sink)| add(Operation::Write, &sink.name));
    }
    rights
}

async fn look_up(
    admin: &Admin,
    mut names: Vec<&str>,
    describe_topics: bool,
    topology: &Topology,
) -> Result<Vec<TopicState>, KafkaError> {
    names.sort_unstable();
    names.dedup();
    let found = if describe_topics {
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
        let message = format!("no such topic: {}: {}", missing.join(", "), topology.advice().make());
        return Err(KafkaError::Topic(message));
    }
    Ok(found.into_iter().flatten().collect())
}

fn check_changelog(
    source: &TopicState,
    changelog: &TopicState,
    topology: &Topology,
) -> Result<(), KafkaError> {
    if source.partitions != changelog.partitions {
        return Err(different_partitions(
            (&source.name, source.partitions),
            (&changelog.name, changelog.partitions),
            topology.advice(),
        ));
    }
    check_compacted(changelog, "state")
}

/// Refuses a source that has its new partitions already but whose growth was interrupted before its offsets were set.
/// What other processes are committing at the moment does not matter.
fn check_grown(admin: &Admin, topology: &Topology, stage: &Stage, partitions: i32) -> Result<(), KafkaError> {
    let partitions: Vec<i32> = (0..partitions).collect();
    let (group, topic) = (topology.group(stage.id), &stage.source.name);
    let committed = admin.group_at_once(&group)?.committed(topic, &partitions)?;
    match committed.iter().find_map(|commit| commit.grows_to) {
        None => Ok(()),
        Some(partitions) => Err(KafkaError::Topic(format!(
            "topic {topic} is growing to {partitions} partitions, and where stage {} begins in them is not set yet. Run {} again, \
             and then start again",
            stage.id,
            topology.advice().grow(topic, partitions)
        ))),
    }
}

/// Refuses a topic from which Kafka deletes records that are still needed.
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
