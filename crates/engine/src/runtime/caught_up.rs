//! `--until-caught-up`: waits until everything that was there at the start has been processed.
//!
//! Stage by stage, upstream first: take the end offsets of its source (for the first stage at the start, for the
//! others when the previous stages have finished), and watch the *group's* committed offsets until they have reached
//! those ends in every partition with nothing left open. It asks the group, not this process, so that several
//! processes that share the work all wait for all of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::failure::Failure;
use crate::kafka::{Admin, ClientSettings, GroupOffsets, OffsetCommit};
use crate::{Stage, StageId, Topology};

const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How often to check all partitions, even if the one that is furthest behind is not done: the client compares each
/// with each, which took an eighth of the CPU time of a thousand partitions at ten times a second.
const LOOK_AT_ALL_INTERVAL: Duration = Duration::from_secs(1);

/// Reports progress: called with the stage and how many records it is behind.
pub(super) type OnProgress<'a> = &'a mut dyn FnMut(StageId, i64);

/// Returns when all these stages, given upstream first, have caught up.
pub(super) async fn wait(
    topology: &Topology,
    clients: &ClientSettings,
    stages: &[StageId],
    on_progress: OnProgress<'_>,
) -> Result<(), Failure> {
    let stages: Vec<&Stage> = stages.iter().filter_map(|stage| topology.stage(*stage)).collect();
    let mut admin = Some(Admin::new(clients)?);
    let mut first_ends = BTreeMap::new();
    for stage in &stages {
        let source = stage.source.name.clone();
        first_ends.insert(stage.id, blocking(&mut admin, move |admin| admin.ends(&source)).await?);
    }
    for (index, stage) in stages.iter().enumerate() {
        let source = stage.source.name.clone();
        let ends = if stages[..index].iter().any(|upstream| upstream.feeds(stage)) {
            let asked = source.clone();
            blocking(&mut admin, move |admin| admin.ends(&asked)).await?
        } else {
            first_ends.remove(&stage.id).unwrap_or_default()
        };
        let mut group = match &admin {
            Some(admin) => Some(admin.group(&topology.group(stage.id))?),
            None => None,
        };
        wait_for_group(stage.id, &mut group, (&source, &ends), on_progress).await?;
    }
    Ok(())
}

/// Returns when the group has reached `ends`.
async fn wait_for_group(
    stage: StageId,
    group: &mut Option<GroupOffsets>,
    (source, ends): (&str, &BTreeMap<i32, i64>),
    on_progress: OnProgress<'_>,
) -> Result<(), Failure> {
    let mut looked_at_all = Instant::now();
    // While this partition is behind, no group has caught up, so it is enough to ask for this one.
    let mut furthest: Option<i32> = None;
    loop {
        let one = furthest.filter(|_| looked_at_all.elapsed() < LOOK_AT_ALL_INTERVAL);
        let asked = one.map_or_else(|| ends.keys().copied().collect(), |partition| vec![partition]);
        match behind(group, (source, ends), asked).await {
            Ok(found) if one.is_some() => {
                if found.iter().all(|(_, left)| *left == 0) {
                    furthest = None;
                    continue;
                }
            }
            Ok(found) => {
                looked_at_all = Instant::now();
                on_progress(stage, found.iter().map(|(_, left)| left).sum());
                let most = found.into_iter().max_by_key(|(_, left)| *left).filter(|(_, left)| *left > 0);
                let Some((partition, _)) = most else { return Ok(()) };
                furthest = Some(partition);
            }
            // Wait for a broker that is away.
            Err(failure) if failure.is_passing() => {
                tracing::warn!(stage = stage.as_str(), error = %failure, "cannot read how far the group is");
                tokio::time::sleep(9 * LOOK_INTERVAL).await;
            }
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// How many records the group is behind `ends` in the `asked` partitions; at least 1 if anything is open.
async fn behind(
    group: &mut Option<GroupOffsets>,
    (source, ends): (&str, &BTreeMap<i32, i64>),
    asked: Vec<i32>,
) -> Result<Vec<(i32, i64)>, Failure> {
    let (topic, partitions) = (source.to_owned(), asked.clone());
    let committed = blocking(group, move |group| group.committed(&topic, &partitions)).await?;
    let committed: BTreeMap<i32, OffsetCommit> =
        committed.into_iter().map(|commit| (commit.partition, commit)).collect();
    let left = |partition| {
        let end = ends.get(&partition).copied().unwrap_or_default();
        (partition, partition_behind(committed.get(&partition), end))
    };
    Ok(asked.into_iter().map(left).collect())
}

fn partition_behind(committed: Option<&OffsetCommit>, end: i64) -> i64 {
    match committed {
        // An empty partition has nothing to commit until a member has seen its end.
        None => end.max(1),
        Some(committed) => {
            // Only open work that began before the end counts: on a live topic something is always open.
            let open = i64::from(committed.rewind_offset.is_some_and(|rewind| rewind < end));
            (end - committed.next_offset).max(open)
        }
    }
}

/// Runs a blocking call off this thread, which is the System's: rebalances wait for it.
async fn blocking<C, R>(
    client: &mut Option<C>,
    call: impl FnOnce(&C) -> Result<R, crate::kafka::KafkaError> + Send + 'static,
) -> Result<R, Failure>
where
    C: Send + 'static,
    R: Send + 'static,
{
    let Some(taken) = client.take() else { return Err(Failure::Panic("an earlier look at Kafka".into())) };
    let joined = tokio::task::spawn_blocking(move || {
        let result = call(&taken);
        (taken, result)
    })
    .await;
    let Ok((taken, result)) = joined else { return Err(Failure::Panic("a look at Kafka".into())) };
    *client = Some(taken);
    Ok(result?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_observations_count_as_behind() {
        let at =
            |next_offset, rewind_offset| OffsetCommit { rewind_offset, ..OffsetCommit::new(0, next_offset) };
        assert_eq!(partition_behind(None, 0), 1);
        assert_eq!(partition_behind(None, 7), 7);
        assert_eq!(partition_behind(Some(&at(5, None)), 7), 2);
        assert_eq!(partition_behind(Some(&at(7, Some(3))), 7), 1);
        assert_eq!(partition_behind(Some(&at(9, Some(8))), 7), 0);
        assert_eq!(partition_behind(Some(&at(7, None)), 7), 0);
        assert_eq!(partition_behind(Some(&at(9, None)), 7), 0);
    }
}
