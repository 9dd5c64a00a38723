//! `--until-caught-up`: when has everything been processed that was there at the start?
//!
//! Stage by stage, upstream first: the end offsets of its source are taken (for the first stage at the
//! start, for the others when the stages before have finished), and the *group's* committed offsets are
//! watched until they have reached them in every partition with nothing left open. The group is asked, not
//! this process, so that several processes that share the work all wait for all of it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::failure::Failure;
use crate::config::Config;
use crate::kafka::{Admin, ClientSettings, GroupOffsets, OffsetCommit};
use crate::stages::StageName;

const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What is still to be done, for progress: called with the stage, and how many records it is behind.
pub(super) type OnProgress<'a> = &'a mut dyn FnMut(StageName, i64);

/// Returns when all stages have caught up.
pub(super) async fn wait(
    config: &Config,
    settings: &ClientSettings,
    stages: &[StageName],
    on_progress: OnProgress<'_>,
) -> Result<(), Failure> {
    let mut admin = Some(Admin::new(settings)?);
    let mut first_ends = BTreeMap::new();
    for stage in stages {
        let source = config.topic(config.source_of(*stage)).name;
        first_ends.insert(*stage, blocking(&mut admin, move |admin| admin.ends(&source)).await?);
    }
    for (index, stage) in stages.iter().enumerate() {
        let source = config.topic(config.source_of(*stage)).name;
        let is_fed =
            stages[..index].iter().any(|upstream| config.sink_of(*upstream) == config.source_of(*stage));
        let ends = if is_fed {
            let asked = source.clone();
            blocking(&mut admin, move |admin| admin.ends(&asked)).await?
        } else {
            first_ends.remove(stage).unwrap_or_default()
        };
        let mut group = match &admin {
            Some(admin) => Some(admin.group(&config.group(*stage))?),
            None => None,
        };
        loop {
            match behind(&mut group, &source, &ends).await {
                Ok(left) => {
                    on_progress(*stage, left);
                    if left == 0 {
                        break;
                    }
                }
                // A broker that is away is waited for.
                Err(failure) if failure.is_passing() => {
                    tracing::warn!(stage = stage.as_str(), error = %failure, "cannot see how far the group is");
                    tokio::time::sleep(10 * LOOK_INTERVAL).await;
                    continue;
                }
                Err(failure) => return Err(failure),
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
    Ok(())
}

/// How many records the group is behind `ends`; at least 1 while anything is open.
async fn behind(
    group: &mut Option<GroupOffsets>,
    source: &str,
    ends: &BTreeMap<i32, i64>,
) -> Result<i64, Failure> {
    let partitions = i32::try_from(ends.len()).unwrap_or(i32::MAX);
    let asked = source.to_owned();
    let committed = blocking(group, move |group| group.committed(&asked, partitions)).await?;
    let found = |partition: i32| committed.iter().find(|commit| commit.partition == partition);
    Ok(ends.iter().map(|(partition, end)| partition_behind(found(*partition), *end)).sum())
}

fn partition_behind(committed: Option<&OffsetCommit>, end: i64) -> i64 {
    match committed {
        // An empty partition has nothing to commit until a member has seen its end.
        None => end.max(1),
        Some(committed) => {
            // Only what began before the end counts: on a live topic something is always open.
            let open = i64::from(committed.rewind_offset.is_some_and(|rewind| rewind < end));
            (end - committed.next_offset).max(open)
        }
    }
}

/// Runs a call that blocks off this thread, which is the System's: rebalances wait for that.
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
        let at = |next_offset, rewind_offset| OffsetCommit { partition: 0, next_offset, rewind_offset };
        assert_eq!(partition_behind(None, 0), 1);
        assert_eq!(partition_behind(None, 7), 7);
        assert_eq!(partition_behind(Some(&at(5, None)), 7), 2);
        assert_eq!(partition_behind(Some(&at(7, Some(3))), 7), 1);
        assert_eq!(partition_behind(Some(&at(9, Some(8))), 7), 0);
        assert_eq!(partition_behind(Some(&at(7, None)), 7), 0);
        assert_eq!(partition_behind(Some(&at(9, None)), 7), 0);
    }
}
