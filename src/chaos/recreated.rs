//! Topics are deleted and created again while a process is away. Its state directory belongs to the earlier topics,
//! and must not be trusted, although the new changelogs are long enough for its offsets.
//!
//! The first of all faults, because records written before it cannot be compared any more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use frostline_engine::kafka::{Admin, KafkaError};

use super::entries::{self, Entries};
use super::fleet::Fleet;
use super::installation::{all_stages, checked_stages};
use super::monitor::Place;
use super::past::Ends;
use super::topic_log::read;
use super::{Around, ChaosError, Installation};
use crate::stages;

/// How long a process alone may take to get all partitions.
const ALONE_MIN: Duration = Duration::from_secs(2);
const ALONE_PATIENCE: Duration = Duration::from_secs(20);
/// How long the brokers may take to forget topics and their offsets.
const DELETE_PATIENCE: Duration = Duration::from_secs(30);
/// How long the new changelogs may take to become as long as the earlier ones.
const OUTGROW_PATIENCE: Duration = Duration::from_secs(40);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Recreates the topics; `index`: the process that is away. Returns what happened, in words.
pub(super) fn recreate(
    fleet: &mut Fleet<'_>,
    around: &mut Around<'_>,
    index: usize,
) -> Result<String, ChaosError> {
    let installation = fleet.installation;
    let others: Vec<usize> = fleet.member_indices().into_iter().filter(|other| *other != index).collect();
    fleet.stop(&others)?;
    work_alone(fleet, around)?;
    around.pause(fleet)?;
    fleet.stop(&[index])?;
    note_earlier_state(installation)?;
    around.monitor.hold();
    around.readers.forget()?;
    let admin = Admin::new(&installation.settings)?;
    let before = changelog_ends(installation, &admin)?;
    make_again(fleet, &admin)?;
    installation.mailbox.clear();
    installation.publish_stations()?;
    around.readers.start(installation)?;
    around.monitor.release();
    if others.is_empty() {
        fleet.add_new()?;
    }
    fleet.start_again(&others)?;
    around.resume(true);
    let seconds = outgrow(fleet, &admin, &before)?.as_secs_f64();
    fleet.start_again(&[index])?;
    let number = fleet.processes[index].number;
    Ok(format!("process {number} was away while the others worked on the new topics for {seconds:.1} s"))
}

/// Lets the only running process get all partitions, so that its state directory has something of each.
fn work_alone(fleet: &mut Fleet<'_>, around: &Around<'_>) -> Result<(), ChaosError> {
    let then = around.monitor.watched().positions.clone();
    let deadline = Instant::now() + ALONE_PATIENCE;
    fleet.rest(ALONE_MIN)?;
    loop {
        let now = around.monitor.watched().positions.clone();
        let is_idle_or_moves = |place: &Place| match (then.get(place), now.get(place)) {
            (Some(then), Some(now)) => now.committed > then.committed || now.end == then.end,
            _ => true,
        };
        if now.keys().all(is_idle_or_moves) || Instant::now() > deadline {
            return Ok(());
        }
        fleet.rest(LOOK_INTERVAL)?;
    }
}

/// The content of the changelogs, to recognise it if it appears later.
fn note_earlier_state(installation: &Installation) -> Result<(), ChaosError> {
    for stage in checked_stages().filter(|stage| installation.stage(*stage).is_stateful()) {
        let mut entries = Entries::new();
        for kept in read(installation, &installation.changelog(stage))? {
            if let Some(key) = kept.key {
                entries::change(&mut entries, key, kept.value);
            }
        }
        installation.past().earlier.insert(stage, entries);
    }
    Ok(())
}

/// Deletes all topics, and creates them again.
fn make_again(fleet: &mut Fleet<'_>, admin: &Admin) -> Result<(), ChaosError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(ChaosError::files("starting a runtime"))?;
    let (installation, deadline) = (fleet.installation, Instant::now() + DELETE_PATIENCE);
    // The plain producer does not stop, and brokers may be set up to make its topic again by themselves.
    let plain = installation.plain_topic().name;
    let topics: Vec<_> = installation.topics().into_iter().filter(|plan| plan.name != plain).collect();
    for plan in &topics {
        runtime.block_on(admin.delete(&plan.name))?;
    }
    for plan in &topics {
        // A topic that is still being deleted exists.
        while !runtime.block_on(admin.create(plan))? {
            wait(fleet, deadline, &format!("topic {} is still there", plan.name))?;
        }
    }
    for stage in all_stages() {
        let (group, source) = (installation.topology.group(stage), installation.source(stage));
        let offsets = admin.group(&group)?;
        let partitions: Vec<i32> = (0..installation.partitions(&source)).collect();
        while !offsets.committed(&source, &partitions)?.is_empty() {
            wait(fleet, deadline, &format!("group {group} still has its offsets of {source}"))?;
        }
    }
    Ok(())
}

fn wait(fleet: &mut Fleet<'_>, deadline: Instant, what: &str) -> Result<(), ChaosError> {
    if Instant::now() > deadline {
        return Err(ChaosError::Broken(format!("{what} after {} s", DELETE_PATIENCE.as_secs())));
    }
    fleet.rest(LOOK_INTERVAL)
}

/// By the changelog's name.
type ChangelogEnds = BTreeMap<String, Ends>;

fn changelog_ends(installation: &Installation, admin: &Admin) -> Result<ChangelogEnds, KafkaError> {
    let changelogs =
        [stages::ASSEMBLE, stages::ALERT, stages::OUTLOOK].map(|stage| installation.changelog(stage));
    changelogs.into_iter().map(|changelog| Ok((changelog.clone(), admin.ends(&changelog)?))).collect()
}

/// Waits until the changelogs are longer than the earlier ones, so that old offsets are valid in them. Returns how
/// long that took.
fn outgrow(fleet: &mut Fleet<'_>, admin: &Admin, before: &ChangelogEnds) -> Result<Duration, ChaosError> {
    let start = Instant::now();
    loop {
        let now = changelog_ends(fleet.installation, admin)?;
        let end = |changelog: &str, partition: &i32| now.get(changelog).and_then(|ends| ends.get(partition));
        let is_longer = before.iter().all(|(changelog, ends)| {
            ends.iter().all(|(partition, earlier)| {
                end(changelog, partition).is_some_and(|now| now > earlier || *earlier == 0)
            })
        });
        if is_longer || start.elapsed() > OUTGROW_PATIENCE {
            return Ok(start.elapsed());
        }
        fleet.rest(LOOK_INTERVAL)?;
    }
}
