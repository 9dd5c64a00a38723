//! The format of the alert stage's state.

use frostline_engine::store::Store;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::noaa::{Date, StationId};
use crate::rules::{Episodes, LoneDay};

/// Store keys of episodes begin with this byte; the rule's id, `/` and the station follow.
pub(super) const EPISODES_KEY: u8 = b'e';
/// Store keys of days that have fired begin with this byte; the rule's id, `/`, station and date follow.
const LONE_DAY_KEY: u8 = b'a';

/// A task's state for a rule at a station, for inspection.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// The state of a rule with episodes.
    pub episodes: Option<Episodes>,
    /// The state of a rule without episodes, for one day.
    pub lone_day: Option<LoneDay>,
}

impl Remembered {
    /// Reads a task's store. An entry that cannot be read counts as missing.
    pub fn read(store: &Store, rule: &str, station: StationId, date: Date, today: u32) -> Self {
        let episodes = store.get(&episodes_key(rule, station), today, decode::<Episodes>);
        let lone_day = store.get(&lone_day_key(rule, station, date), today, decode::<LoneDay>);
        Self {
            episodes: episodes.ok().flatten().and_then(Result::ok).flatten(),
            lone_day: lone_day.ok().flatten().and_then(Result::ok).flatten(),
        }
    }
}

/// The store key of a rule's episodes at a station.
pub(super) fn episodes_key(rule: &str, station: StationId) -> Vec<u8> {
    [&[EPISODES_KEY], rule.as_bytes(), b"/", station.as_bytes()].concat()
}

/// The station in a store key of episodes: the key of its observations.
pub(super) fn episodes_station(key: &[u8]) -> Option<&[u8]> {
    let (_, rest) = key.split_first().filter(|(first, _)| **first == EPISODES_KEY)?;
    let (rule, station) = rest.split_last_chunk::<11>()?;
    rule.ends_with(b"/").then_some(station)
}

/// The rule and the station of a store key.
pub(super) fn rule_and_station(key: &[u8]) -> Option<(&str, StationId)> {
    let text = std::str::from_utf8(key.get(1..)?).ok()?;
    let (rule, station) = text.rsplit_once('/')?;
    Some((rule, StationId::parse(station.as_bytes())?))
}
/// The store key of a day that has fired alone.
pub(super) fn lone_day_key(rule: &str, station: StationId, date: Date) -> Vec<u8> {
    [&lone_day_prefix(rule, station)[..], &date.to_be_bytes()].concat()
}

/// Prefix of the store keys of all such days.
pub(super) fn lone_day_prefix(rule: &str, station: StationId) -> Vec<u8> {
    [&[LONE_DAY_KEY], rule.as_bytes(), b"/", station.as_bytes()].concat()
}

/// The station in a store key of such a day: the key of its observations.
pub(super) fn lone_day_station(key: &[u8]) -> Option<&[u8]> {
    let (_, rest) = key.split_first().filter(|(first, _)| **first == LONE_DAY_KEY)?;
    let (rest, _date) = rest.split_last_chunk::<4>()?;
    let (rule, station) = rest.split_last_chunk::<11>()?;
    rule.ends_with(b"/").then_some(station)
}

/// Precedes each value. A different one was written by another version, whose state is not understood: it counts as
/// missing, not as damage that no changelog could repair.
const VERSION: u8 = 1;

/// Writes a value.
pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    encode_as(VERSION, value)
}

/// The same for a value with a version of its own.
pub(super) fn encode_as(version: u8, value: &impl Serialize) -> Vec<u8> {
    // Plain numbers and bytes into a vector: this cannot fail.
    postcard::to_extend(value, vec![version]).unwrap_or_default()
}

/// Reads a value; `Ok(None)` if another version wrote it.
pub(super) fn decode<T: DeserializeOwned>(stored: &[u8]) -> Result<Option<T>, ()> {
    decode_as(VERSION, stored)
}

/// The same for a value with a version of its own.
pub(super) fn decode_as<T: DeserializeOwned>(version: u8, stored: &[u8]) -> Result<Option<T>, ()> {
    match stored.split_first() {
        Some((found, value)) if *found == version => postcard::from_bytes(value).map(Some).map_err(drop),
        _ => Ok(None),
    }
}
