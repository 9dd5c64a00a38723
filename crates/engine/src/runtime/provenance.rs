//! Decides whether the stores of newly assigned partitions can be trusted.
//!
//! A store is a cache of its changelog, and it may have been away: on a machine that was off, or in a directory that
//! was copied back. Before it is continued from its changelog offset, three conditions must hold; otherwise the store
//! is dropped and restored from the beginning.
//!
//! 1. It was made from *these* topics. A topic that was deleted and created again has another id, which is part of
//!    the store's [`Identity`](crate::store::Identity); offsets of the earlier topic mean nothing in the new one.
//! 2. Source and changelog have the same number of partitions. Otherwise keys have moved and their state has not: the
//!    stage ends with advice.
//! 3. It has seen every tombstone that the changelog may have lost. Kafka removes a tombstone some time
//!    (`delete.retention.ms`) after it was written; a store that was away for longer would keep the entry
//!    permanently. A changelog to which no other process has written is exempt, however old the store is.
//!
//! The age of a store is measured with this machine's clock, which may be wrong after a long time without power. So a
//! clock that was set back counts as too old, and a store is never noted as right at a later time than that of a
//! record in its changelog, whose time the brokers have accepted: a clock that is ahead, and is set right while the
//! process is away, would hide how long that was.
//!
//! One case remains: a machine was away for longer than tombstones are kept, its clock is behind by as much when it
//! comes back, and the changelog's partition has no record from the meantime. Nothing shows that time then. While the store is restored, a record that was written after the store
//! became too old has the same effect ([`super::restore`]).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::failure::Failure;
use super::partition_ranges::ranges;
use super::plan::StagePlan;
use super::task::Task;
use crate::fault::{ANY_TOPICS, Sabotage, is_sabotaged};
use crate::kafka::{KafkaError, TopicIdentity};
use crate::link::GroupConsumer;
use crate::record::unix_ms;
use crate::topology::TopicAdvice;

/// The ids of the topics that a stage's stores belong to at the moment; empty for a stage without state.
///
/// # Errors
/// [`KafkaError::Topic`] if the partition counts of source and changelog differ, or one of the topics is gone.
pub(super) fn topic_ids(plan: &StagePlan, consumer: &GroupConsumer) -> Result<String, Failure> {
    let Some(changelog) = &plan.changelog else { return Ok(String::new()) };
    if !plan.process.describes_topics {
        return Ok(TopicIdentity::of_this_process(plan.group.partitions).id);
    }
    let found = consumer.identify(&[&plan.source, changelog])?;
    let [source_found, changelog_found] = found.as_slice() else { return Ok(String::new()) };
    if source_found.partitions != changelog_found.partitions {
        let source = (plan.source.as_str(), source_found.partitions);
        let changelog = (changelog.as_str(), changelog_found.partitions);
        return Err(different_partitions(source, changelog, plan.topics_advice).into());
    }
    if is_sabotaged(Sabotage::EarlierTopics) {
        return Ok(ANY_TOPICS.to_owned());
    }
    Ok(format!("{}+{}", source_found.id, changelog_found.id))
}

/// The error that a changelog and its source have different partition counts: each a name in Kafka and a count.
pub(super) fn different_partitions(
    (source, source_partitions): (&str, i32),
    (changelog, changelog_partitions): (&str, i32),
    advice: TopicAdvice,
) -> KafkaError {
    if changelog_partitions > source_partitions {
        return KafkaError::Topic(format!(
            "topic {source} has {source_partitions} partitions, its changelog {changelog} has {changelog_partitions} partitions: \
             {source} is growing, and its state may be on its way. Run {} again, and then start again",
            advice.grow(source, changelog_partitions)
        ));
    }
    KafkaError::Topic(format!(
        "topic {source} has {source_partitions} partitions, its changelog {changelog} has {changelog_partitions} partitions: they \
         must be equal, because the state of a partition is in the changelog's partition of the same number. Where \
         partitions were added other than by {}, keys have moved and their state has not. Stop all processes, configure \
         {source_partitions} partitions for this topic and for those that follow it, delete the changelog (kafka-topics \
         --delete --topic {changelog}) and other topics with fewer partitions, {}, and start again: the stage begins \
         without memory, so records that come again are processed again",
        advice.grow(source, source_partitions),
        advice.make()
    ))
}

/// Drops the stores of those tasks that are too old for their changelog, whose partitions have these ends.
pub(super) fn drop_outdated(
    plan: &StagePlan,
    (changelog, ends): (&str, &BTreeMap<i32, i64>),
    tasks: &[(i32, Rc<RefCell<Task>>)],
) -> Result<(), Failure> {
    let now_ms = unix_ms();
    let is_old = |task: &Rc<RefCell<Task>>| task.borrow().is_outdated(now_ms);
    let old: Vec<&(i32, Rc<RefCell<Task>>)> = tasks.iter().filter(|(_, task)| is_old(task)).collect();
    if old.is_empty() || is_sabotaged(Sabotage::OldState) {
        return Ok(());
    }
    let mut dropped = Vec::new();
    for (partition, task) in old {
        let mut task = task.borrow_mut();
        // The last commit of the store's own process may have left a marker after its last record.
        let is_alone = ends.get(partition).is_some_and(|end| *end <= task.changelog_offset() + 1);
        if !is_alone {
            task.start_over()?;
            dropped.push(*partition);
        }
    }
    if !dropped.is_empty() {
        tracing::info!(
            stage = plan.stage.as_str(),
            partitions = ranges(dropped.into_iter()),
            changelog,
            "local state is older than the changelog keeps tombstones (delete.retention.ms): restored from the beginning"
        );
    }
    Ok(())
}
