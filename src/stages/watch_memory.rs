//! The store of the stage `watch`.

use std::cmp::Ordering;

use frostline_engine::fault::{Sabotage, is_sabotaged};
use frostline_engine::store::{StateError, Store};
use frostline_engine::{Context, Owner};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::memory;
use super::silence::Silence;
use crate::hourly::iso_time;
use crate::noaa::StationId;
use crate::rules::{Feed, HourWatch, NightWatch, Rule, RuleSet};

/// Store key of the partition's newest observation.
pub(super) const NOW_KEY: &[u8] = b"t";
/// Store keys of rules over nights begin with this byte; the rule's id, `/` and the station follow.
pub(super) const NIGHT_KEY: u8 = b'n';
/// The same for rules over hours.
const HOUR_KEY: u8 = b'h';
/// Precedes the values of entries.
const ENTRY_VERSION: u8 = 2;

/// A bug that `frostline chaos` plants: a task that starts has forgotten the alerts of the present nights.
pub const FORGOTTEN_NIGHTS: Sabotage = Sabotage::Processor("forgotten-nights");

/// Forgets all nights if that bug is planted. Called when a task starts.
pub(super) fn forget_as_planted(store: &mut Store) -> Result<(), StateError> {
    if !is_sabotaged(FORGOTTEN_NIGHTS) {
        return Ok(());
    }
    let mut nights = Vec::new();
    store.scan_prefix(&[NIGHT_KEY], |key, _| nights.push(key.to_vec()))?;
    nights.iter().for_each(|key| store.delete(key));
    Ok(())
}

/// Reads the state from the store.
pub(super) fn load(store: &Store, today: u32) -> Result<Silence, StateError> {
    let mut silence = Silence::default();
    let now = store.get(NOW_KEY, today, |value| value.try_into().map(i64::from_be_bytes).ok())?;
    silence.now = now.flatten().unwrap_or(i64::MIN);
    store.scan_prefix(&[NIGHT_KEY], |key, value| {
        if let Ok(Some(Entry { watch, .. })) = decode::<NightWatch>(value) {
            silence.list(key, watch.deadline());
        }
    })?;
    store.scan_prefix(&[HOUR_KEY], |key, value| {
        if let Ok(Some(Entry { watch, .. })) = decode::<HourWatch>(value) {
            silence.list(key, watch.deadline());
        }
    })?;
    Ok(silence)
}

pub(super) fn key_of(rule: &Rule, station: StationId) -> Vec<u8> {
    let kind = if rule.feed() == Feed::Night { NIGHT_KEY } else { HOUR_KEY };
    [&[kind], rule.id.as_bytes(), b"/", station.as_bytes()].concat()
}

/// The rule and the station of a store key.
pub(super) fn rule_and_station(key: &[u8]) -> Option<(&str, StationId)> {
    let text = std::str::from_utf8(key.get(1..)?).ok()?;
    let (rule, station) = text.rsplit_once('/')?;
    Some((rule, StationId::parse(station.as_bytes())?))
}

/// The state of a rule at a station.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry<T> {
    pub(super) watch: T,
    /// How far local standard time at the station is ahead of UTC, in seconds: for alerts about its silence. `None` if
    /// its place is unknown, and in entries of earlier versions.
    pub(super) offset: Option<i32>,
}

impl<T> Entry<T> {
    pub(super) fn new(watch: T) -> Self {
        Self { watch, offset: None }
    }
}

/// Earlier versions stored only the watch, with the version that all values of these stages had.
fn decode<T: DeserializeOwned>(stored: &[u8]) -> Result<Option<Entry<T>>, ()> {
    match memory::decode_as(ENTRY_VERSION, stored)? {
        Some(entry) => Ok(Some(entry)),
        None => Ok(memory::decode(stored)?.map(Entry::new)),
    }
}

/// An entry, with the day under which to write it again.
pub(super) fn read<T: DeserializeOwned>(
    store: &Store,
    key: &[u8],
    today: u32,
) -> Result<Option<(Entry<T>, u32)>, StateError> {
    let (found, day) = store.get_for_update(key, today, decode::<T>)?;
    let found = found.transpose().map_err(|()| {
        store.corrupted(&format!("the entry {:?} cannot be read", String::from_utf8_lossy(key)))
    })?;
    Ok(found.flatten().map(|found| (found, day)))
}

pub(super) fn read_or<T: DeserializeOwned>(
    store: &Store,
    key: &[u8],
    today: u32,
    new: impl FnOnce() -> T,
) -> Result<(Entry<T>, u32), StateError> {
    Ok(read(store, key, today)?.unwrap_or_else(|| (Entry::new(new()), today)))
}

pub(super) fn write<T: Serialize>(
    entry: &Entry<T>,
    day: u32,
    key: &[u8],
    has_changed: bool,
    context: &mut Context<'_>,
) {
    if has_changed {
        context.store.put(key, day, &memory::encode_as(ENTRY_VERSION, entry));
    }
}

/// The state of a station, for inspection: the night or the hours of each rule.
pub(super) fn remembered(
    store: &Store,
    rules: &RuleSet,
    station: StationId,
) -> Result<Vec<serde_json::Value>, StateError> {
    let mut found = Vec::new();
    let mut rules = rules.all();
    rules.retain(|rule| rule.feed() != Feed::Day);
    rules.sort_by(|left, right| left.id.cmp(&right.id));
    for rule in rules {
        store.scan_committed(&key_of(&rule, station), |key, value| {
            if key[0] == NIGHT_KEY
                && let Ok(Some(Entry { watch, .. })) = decode::<NightWatch>(value)
            {
                found.push(json!({
                    "kind": "night", "rule": &*rule.id, "night": watch.night().map(|date| date.to_string()),
                    "in_words": watch.describe(), "heard": iso_time(watch.heard()),
                    "warnings": watch.track().warnings(), "came_true": watch.track().came_true(),
                }));
            } else if key[0] == HOUR_KEY
                && let Ok(Some(Entry { watch, .. })) = decode::<HourWatch>(value)
            {
                let stands = watch.deadline().is_some();
                found.push(json!({
                    "kind": "hours", "rule": &*rule.id, "stands": stands, "heard": iso_time(watch.heard()),
                }));
            }
        })?;
    }
    Ok(found)
}

/// The owner of an entry of the store.
pub(super) fn owner(key: &[u8]) -> Option<Owner<'_>> {
    if key == NOW_KEY {
        return Some(Owner::Partition);
    }
    let at = key.iter().rposition(|byte| *byte == b'/')?;
    let is_known = [NIGHT_KEY, HOUR_KEY].contains(&key[0]) && rule_and_station(key).is_some();
    is_known.then_some(Owner::Key(&key[at + 1..]))
}

/// Which of two partitions' newest observations is the later one.
pub(super) fn compare(left: &[u8], right: &[u8]) -> Ordering {
    let time = |value: &[u8]| value.try_into().map(i64::from_be_bytes).unwrap_or(i64::MIN);
    time(left).cmp(&time(right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Identity;

    #[test]
    fn entries_of_earlier_versions_are_read() {
        let watch = NightWatch::new(Identity { fingerprint: 1, incarnation: 2, place: 3 });
        let earlier = memory::encode(&watch);
        assert_eq!(decode::<NightWatch>(&earlier), Ok(Some(Entry::new(watch.clone()))));
        let entry = Entry { watch, offset: Some(-25_200) };
        assert_eq!(decode(&memory::encode_as(ENTRY_VERSION, &entry)), Ok(Some(entry)));
        assert_eq!(decode::<NightWatch>(&[9, 9]), Ok(None), "a later version");
        assert_eq!(decode::<NightWatch>(&earlier[..3]), Err(()));
    }
}
