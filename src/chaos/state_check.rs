//! State: the folded changelog, and every process's store that is at its end, must be what the input gives.

use std::collections::BTreeMap;

use frostline_engine::StageId;
use frostline_engine::fault::{ANY_TOPICS, Sabotage};
use frostline_engine::kafka::Admin;
use frostline_engine::store::{Identity, StateDirectory, StateError};

use super::entries::{self, Entries};
use super::fleet::Fleet;
use super::installation::checked_stages;
use super::process::Process;
use super::report::{Kind, Violations};
use super::topic_log::read;
use super::{ChaosError, Installation};

/// A changelog partition that was read to its end.
#[derive(Default)]
struct Folded {
    entries: Entries,
    /// The offset after the last record.
    next_offset: i64,
    /// The end of the log, markers included.
    log_end: i64,
}

/// Distinguishes the installation's topics from others with the same names.
struct Topics<'a> {
    cluster: &'a str,
    /// The ids of source and changelog, by stage.
    ids: &'a BTreeMap<StageId, String>,
}

/// Compares changelogs and stores with `expected`. Returns how many entries were compared.
pub(super) fn check(
    fleet: &mut Fleet<'_>,
    expected: &BTreeMap<(StageId, i32), Entries>,
) -> Result<u64, ChaosError> {
    let installation = fleet.installation;
    let earlier = installation.past().earlier.clone();
    let strange = Strange { earlier: &earlier, expected };
    let admin = Admin::new(&installation.settings)?;
    let cluster = admin.cluster_id();
    let mut topic_ids = BTreeMap::new();
    let mut folded = BTreeMap::new();
    for stage in checked_stages().filter(|stage| installation.stage(*stage).is_stateful()) {
        let changelog = installation.changelog(stage);
        let ids = admin.identify(&[&installation.source(stage), &changelog])?;
        let ids = ids.into_iter().map(|topic| topic.id).collect::<Vec<_>>().join("+");
        let is_any = installation.options.sabotage.contains(&Sabotage::EarlierTopics);
        topic_ids.insert(stage, if is_any { ANY_TOPICS.to_owned() } else { ids });
        let ends = admin.ends(&changelog)?;
        for (partition, mut found) in fold(installation, stage)? {
            found.log_end = ends.get(&partition).copied().unwrap_or_default();
            folded.insert((stage, partition), found);
        }
    }
    let mut compared = 0;
    let no_entries = Entries::new();
    for ((stage, partition), found) in &folded {
        let wanted = expected.get(&(*stage, *partition)).unwrap_or(&no_entries);
        compared += wanted.len() as u64;
        let what = format!("changelog of {stage}/{partition}");
        differences(&what, wanted, &found.entries, &strange.of(*stage), &mut fleet.violations);
    }
    let (processes, violations) = (&fleet.processes, &mut fleet.violations);
    for process in processes {
        let topics = Topics { cluster: &cluster, ids: &topic_ids };
        compared += check_process(installation, process, (&folded, &topics, &strange), violations);
    }
    Ok(compared)
}

/// Compares the stores in a process's state directory. Returns how many entries were compared.
fn check_process(
    installation: &Installation,
    process: &Process,
    (folded, topics, strange): (&BTreeMap<(StageId, i32), Folded>, &Topics<'_>, &Strange<'_>),
    violations: &mut Violations,
) -> u64 {
    // A process that died before its first start was complete has none.
    if !process.state_dir.join("store").is_dir() {
        return 0;
    }
    let number = process.number;
    let directory = match StateDirectory::open(&process.state_dir) {
        Ok(directory) => directory,
        Err(_) if process.is_damaged => return 0,
        Err(error) => {
            violations.add(Kind::State, format!("state of process {number}: {error}"));
            return 0;
        }
    };
    let mut compared = 0;
    for ((stage, partition), found) in folded {
        let topic = installation.source(*stage);
        let identity = Identity {
            stage: stage.to_string(),
            topic,
            partition: *partition,
            cluster: topics.cluster.to_owned(),
            topic_ids: topics.ids.get(stage).cloned().unwrap_or_default(),
        };
        let what = format!("store of {stage}/{partition} in process {number}");
        match read_store(&directory, &identity, found) {
            Ok(Found::Behind) => {}
            Ok(Found::Ahead(offset)) => {
                let log_end = found.log_end;
                violations
                    .add(Kind::State, format!("{what}: has {offset} of a changelog that ends at {log_end}"));
            }
            Ok(Found::Whole(entries)) => {
                compared += entries.len() as u64;
                differences(&what, &found.entries, &entries, &strange.of(*stage), violations);
            }
            // Damage that is noticed when it is read does no harm: the store is then rebuilt.
            Err(_) if process.is_damaged => {}
            Err(error) => violations.add(Kind::State, format!("{what}: {error}")),
        }
    }
    compared
}

/// How complete a store is.
enum Found {
    Behind,
    Ahead(i64),
    Whole(Entries),
}

/// The last value of each key.
fn fold(installation: &Installation, stage: StageId) -> Result<BTreeMap<i32, Folded>, ChaosError> {
    let changelog = installation.changelog(stage);
    let mut folded: BTreeMap<i32, Folded> =
        (0..installation.partitions(&changelog)).map(|partition| (partition, Folded::default())).collect();
    for kept in read(installation, &changelog)? {
        let (Some(found), Some(key)) = (folded.get_mut(&kept.partition), kept.key) else { continue };
        entries::change(&mut found.entries, key, kept.value);
        found.next_offset = kept.offset + 1;
    }
    Ok(folded)
}

/// The entries of a store that has its changelog to the end. A store that is behind belongs to a process that had
/// given the partition up: it would be restored before it is used.
fn read_store(
    directory: &StateDirectory,
    identity: &Identity,
    changelog: &Folded,
) -> Result<Found, StateError> {
    let mut store = directory.store(identity, u32::MAX)?;
    let offset = store.checkpoint().changelog_offset;
    if offset > changelog.log_end {
        return Ok(Found::Ahead(offset));
    }
    if changelog.next_offset == 0 || offset < changelog.next_offset {
        return Ok(Found::Behind);
    }
    Ok(Found::Whole(entries::of_store(&mut store)?))
}

/// Possible origins of unexpected entries.
struct Strange<'a> {
    /// State made from topics that have been deleted since.
    earlier: &'a BTreeMap<StageId, Entries>,
    /// The expected state of each partition.
    expected: &'a BTreeMap<(StageId, i32), Entries>,
}

impl Strange<'_> {
    /// The meaning of an unexpected entry with this key and value in a stage.
    fn of(&self, stage: StageId) -> impl Fn(&[u8], &[u8]) -> Kind {
        let earlier = self.earlier.get(&stage);
        let partitions = self.expected.iter().filter(move |((of, _), _)| *of == stage);
        move |key, value| {
            if earlier.and_then(|entries| entries.get(key)).is_some_and(|earlier| earlier == value) {
                Kind::EarlierTopics
            } else if partitions.clone().any(|(_, entries)| entries.contains_key(key)) {
                Kind::Misplaced
            } else {
                Kind::State
            }
        }
    }
}

fn differences(
    what: &str,
    wanted: &Entries,
    found: &Entries,
    strange: &dyn Fn(&[u8], &[u8]) -> Kind,
    violations: &mut Violations,
) {
    let text = |key: &[u8]| String::from_utf8_lossy(key).escape_debug().to_string();
    for (key, value) in wanted {
        match found.get(key) {
            None => violations.add(Kind::State, format!("{what}: {} is missing", text(key))),
            Some(other) if other != value => {
                violations.add(Kind::State, format!("{what}: {} has another value", text(key)));
            }
            Some(_) => {}
        }
    }
    for (key, value) in found.iter().filter(|(key, _)| !wanted.contains_key(*key)) {
        violations.add(strange(key, value), format!("{what}: {} should not be there", text(key)));
    }
}
