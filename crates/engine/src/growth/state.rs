//! Moves entries of state to the partitions of their keys, within the changelog.
//!
//! An entry moves in one transaction: a copy to its new partition, a tombstone to the old one. So it is in exactly
//! one of them at any time, and a repetition after a crash finds only the entries that have not moved yet.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::GrowthError;
use super::plan::MovingState;
use super::read::{WHOLE, read};
use crate::Owner;
use crate::kafka::{ClientSettings, KafkaError, Outgoing, partition_of_key};
use crate::link::Producer;
use crate::record::Record;

/// Entries per transaction.
const CHUNK: usize = 2_000;
/// Each value begins with its day.
const DAY_BYTES: usize = 4;

/// The result of reading all partitions of a changelog.
#[derive(Default)]
pub(super) struct Survey {
    /// The entries that belong to a partition as a whole, as every partition will have them.
    shared: BTreeMap<Vec<u8>, Vec<u8>>,
    /// How many records hold entries that belong to a key.
    pub(super) of_keys: u64,
}

/// Surveys a changelog of a source that grows from `from` to `to` partitions.
///
/// # Errors
/// [`GrowthError::Refused`] if an entry cannot move, or is not in the partition of its key.
pub(super) fn survey(
    clients: &ClientSettings,
    state: &MovingState,
    partitions: i32,
    (from, to): (i32, i32),
) -> Result<Survey, GrowthError> {
    let (mut misplaced, mut immovable, mut of_keys) = (HashSet::new(), HashSet::new(), 0);
    let mut own: HashMap<(i32, Vec<u8>), Vec<u8>> = HashMap::new();
    let whole: Vec<_> = (0..partitions).map(|partition| (partition, WHOLE)).collect();
    read(clients, &state.changelog, &whole, &mut |record| {
        let Some(key) = record.key else { return Ok(()) };
        let (place, partition) = ((record.partition, key.to_vec()), record.partition);
        let is_there = record.value.is_some();
        match (state.keys.owner)(key) {
            Some(Owner::Key(owner)) => {
                let is_right = [from, to].iter().any(|count| partition_of_key(owner, *count) == partition);
                note(&mut misplaced, place, is_there && !is_right);
                of_keys += u64::from(is_there);
            }
            Some(Owner::Partition) => match record.value {
                Some(value) => drop(own.insert(place, checked(state, record, value)?)),
                None => drop(own.remove(&place)),
            },
            None => note(&mut immovable, place, is_there),
        }
        Ok(())
    })?;
    let (stage, changelog) = (state.stage, &state.changelog);
    if !misplaced.is_empty() {
        return Err(GrowthError::Refused(format!(
            "{} entries of {changelog} are not in the partition of their key: the records that stage {stage} reads are \
             written by a producer with another partitioner (murmur2 was expected, as `partitioner=murmur2_random` of \
             librdkafka and the default of Java), so the new partitions of their keys are unknown",
            misplaced.len()
        )));
    }
    if !immovable.is_empty() {
        let (count, what) = (immovable.len(), state.keys.immovable);
        return Err(GrowthError::Refused(format!(
            "{count} entries of {changelog} cannot move to another partition: {what}"
        )));
    }
    let mut shared = BTreeMap::new();
    for ((_, key), value) in own {
        let best = match shared.remove(&key) {
            Some(other) => merged(state, value, other),
            None => value,
        };
        shared.insert(key, best);
    }
    Ok(Survey { shared, of_keys })
}

/// Records or removes a present entry.
fn note(set: &mut HashSet<(i32, Vec<u8>)>, place: (i32, Vec<u8>), holds: bool) {
    if holds {
        set.insert(place);
    } else {
        set.remove(&place);
    }
}

fn checked(state: &MovingState, record: &Record<'_>, value: &[u8]) -> Result<Vec<u8>, GrowthError> {
    if value.len() >= DAY_BYTES {
        return Ok(value.to_vec());
    }
    let place = format!("{}/{}@{}", state.changelog, record.partition, record.offset);
    Err(GrowthError::Refused(format!("{place} is damaged: its value is too short")))
}

/// The greater of two values, under the later of their days.
fn merged(state: &MovingState, one: Vec<u8>, other: Vec<u8>) -> Vec<u8> {
    let day = (&one[..DAY_BYTES]).max(&other[..DAY_BYTES]).to_vec();
    let is_greater = (state.keys.compare)(&one[DAY_BYTES..], &other[DAY_BYTES..]) == Ordering::Greater;
    let kept = if is_greater { one } else { other };
    [&day, &kept[DAY_BYTES..]].concat()
}

/// Moves the entries of one partition that belong elsewhere among `to` partitions, and writes the entries that all
/// partitions have. Returns how many have moved.
pub(super) fn move_partition(
    clients: &ClientSettings,
    producer: &Producer,
    state: &MovingState,
    survey: &Survey,
    (partition, to): (i32, i32),
) -> Result<u64, GrowthError> {
    let mut moving: BTreeMap<Vec<u8>, (i32, Vec<u8>)> = BTreeMap::new();
    let mut own: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    read(clients, &state.changelog, &[(partition, WHOLE)], &mut |record| {
        let Some(key) = record.key else { return Ok(()) };
        match ((state.keys.owner)(key), record.value) {
            (Some(Owner::Key(owner)), Some(value)) => {
                let place = partition_of_key(owner, to);
                if place != partition {
                    moving.insert(key.to_vec(), (place, value.to_vec()));
                }
            }
            (Some(Owner::Partition), Some(value)) => drop(own.insert(key.to_vec(), value.to_vec())),
            (_, None) => {
                moving.remove(key);
                own.remove(key);
            }
            // The survey found none that cannot move.
            (None, Some(_)) => {}
        }
        Ok(())
    })?;
    let send = |partition: i32, key: &[u8], value: Option<&[u8]>| {
        let to_log =
            Outgoing { partition: Some(partition), value, ..Outgoing::keyed(&state.changelog, key, b"") };
        producer.send(&to_log)
    };
    let mut in_transaction = 0;
    let mut commit_when = |is_due: &dyn Fn(usize) -> bool, more: usize| -> Result<(), KafkaError> {
        in_transaction += more;
        if is_due(in_transaction) {
            in_transaction = 0;
            producer.commit()?;
        }
        Ok(())
    };
    for (key, (place, value)) in &moving {
        send(*place, key, Some(value))?;
        send(partition, key, None)?;
        commit_when(&|count| count >= CHUNK, 1)?;
    }
    for (key, value) in survey.shared.iter().filter(|(key, value)| own.get(*key) != Some(value)) {
        send(partition, key, Some(value))?;
        commit_when(&|_| false, 1)?;
    }
    commit_when(&|count| count > 0, 0)?;
    Ok(moving.len() as u64)
}
