//! The calendar of a partition: its newest date, and the episodes that become stale when it moves on.
//!
//! Kept in memory, and read from the store when a task starts: the date under its own key, the episodes from their
//! entries. So which episodes become stale, and on which record, does not depend on restarts.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};

use frostline_engine::store::{StateError, Store};

use super::memory::{self, EPISODES_KEY};
use crate::rules::Episodes;

/// The store key of the newest date.
const TODAY_KEY: &[u8] = b"t";
/// The calendar of a partition; see the module's description.
pub(super) struct Calendar {
    /// The newest date of the partition, in days since 1970.
    today: i32,
    /// The day of its entry in the store, which never decreases.
    written_day: u32,
    /// The days on which silence would make an episode stale, or earlier ones, with its store key. Later reports are
    /// considered when the day has come.
    deadlines: BinaryHeap<Reverse<(i32, Vec<u8>)>>,
    /// The day of each episode's entry in `deadlines` that counts, by store key.
    listed: HashMap<Vec<u8>, i32, foldhash::fast::RandomState>,
}

impl Calendar {
    /// Reads the calendar from the store.
    pub(super) fn load(store: &Store, today: u32) -> Result<Self, StateError> {
        let read = |value: &[u8]| value.try_into().map(i32::from_be_bytes).ok();
        let (newest, written_day) = store.get_for_update(TODAY_KEY, today, read)?;
        let mut calendar = Self {
            today: newest.flatten().unwrap_or(i32::MIN),
            written_day,
            deadlines: BinaryHeap::new(),
            listed: HashMap::default(),
        };
        let mut unreadable = None;
        store.scan_prefix(&[EPISODES_KEY], |key, value| match memory::decode(value) {
            Ok(Some(episodes)) => calendar.list(key, &episodes),
            Ok(None) => {}
            Err(()) => unreadable = Some(String::from_utf8_lossy(key).into_owned()),
        })?;
        match unreadable {
            Some(key) => Err(store.corrupted(&format!("the episodes {key:?} cannot be read"))),
            None => Ok(calendar),
        }
    }

    /// The newest date of the partition, in days since 1970.
    pub(super) fn today(&self) -> i32 {
        self.today
    }

    /// Moves on to a day that is newer than all before.
    pub(super) fn advance(&mut self, day: i32, store: &mut Store, record_day: u32) {
        self.today = day;
        self.written_day = self.written_day.max(record_day);
        store.put(TODAY_KEY, self.written_day, &day.to_be_bytes());
    }

    /// Whether there are episodes to check on this day.
    pub(super) fn has_due(&self, day: i32) -> bool {
        self.deadlines.peek().is_some_and(|Reverse((deadline, _))| *deadline < day)
    }

    /// Lists an episode that cannot be judged now again, for the next day.
    pub(super) fn put_off(&mut self, key: Vec<u8>) {
        self.listed.insert(key.clone(), self.today);
        self.deadlines.push(Reverse((self.today, key)));
    }

    /// Schedules a check of an episode for the day when its station may have become silent.
    pub(super) fn list(&mut self, key: &[u8], episodes: &Episodes) {
        let Some(deadline) = episodes.deadline() else { return };
        match self.listed.get_mut(key) {
            // If there is a later day, it is found when the earlier one has come.
            Some(listed) if *listed <= deadline => return,
            Some(listed) => *listed = deadline,
            None => drop(self.listed.insert(key.to_vec(), deadline)),
        }
        self.deadlines.push(Reverse((deadline, key.to_vec())));
    }

    /// The next episode to check, if its day has come, with that day. It is removed from the list.
    pub(super) fn next_due(&mut self) -> Option<(i32, Vec<u8>)> {
        while self.deadlines.peek().is_some_and(|Reverse((deadline, _))| *deadline < self.today) {
            let Reverse((deadline, key)) = self.deadlines.pop()?;
            if self.listed.get(&key) == Some(&deadline) {
                self.listed.remove(&key);
                return Some((deadline, key));
            }
        }
        None
    }
}

/// Whether a store key is that of the newest date.
pub(super) fn is_calendar(key: &[u8]) -> bool {
    key == TODAY_KEY
}

/// Which of two newest dates, as their entries have them, is later.
pub(super) fn compare(one: &[u8], other: &[u8]) -> Ordering {
    let day = |value: &[u8]| value.try_into().map(i32::from_be_bytes).ok();
    day(one).cmp(&day(other))
}
