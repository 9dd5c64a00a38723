//! How far a partition's observations are, and which alerts become stale when no more observations come.
//!
//! Kept in memory, and read from the store when a task starts: the time under its own key, the deadlines from their
//! entries. So what becomes stale, and with which record, does not depend on restarts.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Times in seconds since 1970, by store key.
#[derive(Default)]
pub(super) struct Silence {
    /// The time of the newest observation of the partition.
    pub(super) now: i64,
    deadlines: BinaryHeap<Reverse<(i64, Vec<u8>)>>,
    /// The time of each entry in `deadlines` that counts, by store key.
    listed: HashMap<Vec<u8>, i64, foldhash::fast::RandomState>,
}

impl Silence {
    /// Schedules a check of an entry after `deadline`. Later reports are considered then.
    pub(super) fn list(&mut self, key: &[u8], deadline: Option<i64>) {
        let Some(deadline) = deadline else { return };
        match self.listed.get_mut(key) {
            Some(listed) if *listed <= deadline => return,
            Some(listed) => *listed = deadline,
            None => drop(self.listed.insert(key.to_vec(), deadline)),
        }
        self.deadlines.push(Reverse((deadline, key.to_vec())));
    }

    /// Whether an entry is due by `now`.
    pub(super) fn has_due(&self, now: i64) -> bool {
        self.deadlines.peek().is_some_and(|Reverse((deadline, _))| *deadline < now)
    }

    /// The next entry that is due by `now`, and its time in the list. It is removed from the list.
    pub(super) fn next_due(&mut self, now: i64) -> Option<(i64, Vec<u8>)> {
        while self.has_due(now) {
            let Reverse((deadline, key)) = self.deadlines.pop()?;
            if self.listed.get(&key) == Some(&deadline) {
                self.listed.remove(&key);
                return Some((deadline, key));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_looked_at_once_its_moment_has_passed() {
        let mut silence = Silence::default();
        silence.list(b"a", Some(10));
        silence.list(b"a", Some(20));
        silence.list(b"b", Some(15));
        silence.list(b"b", Some(5));
        silence.list(b"c", None);
        assert!(!silence.has_due(5));
        assert_eq!(silence.next_due(6), Some((5, b"b".to_vec())));
        assert_eq!(silence.next_due(16), Some((10, b"a".to_vec())));
        assert_eq!(silence.next_due(100), None);
    }
}
