//! The log of one partition: records and markers of transactions, each with its own offset.

use std::collections::BTreeMap;

use super::{Refusal, Registered};
use crate::record::Header;

/// A record in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// In milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Its headers, in order.
    pub headers: Vec<Header>,
}

enum Entry {
    Record {
        stored: Stored,
        /// The transactional producer that wrote it.
        producer: Option<u64>,
        is_aborted: bool,
    },
    /// The end of a transaction; readers never see it.
    Marker,
}

/// What a reader finds at a position.
pub enum Found<'a> {
    /// The next committed record, at this offset.
    Record(i64, &'a Stored),
    /// Nothing more is committed before this offset.
    End(i64),
    /// The log has no such position: it was truncated, or it is the log of another topic.
    OutOfRange,
}

/// The last record of a producer.
struct Latest {
    epoch: u32,
    sequence: u32,
    offset: i64,
}

/// The log of one partition.
#[derive(Default)]
pub struct Log {
    start: i64,
    end: i64,
    entries: BTreeMap<i64, Entry>,
    /// Open transactions: the first offset that each producer wrote.
    open: BTreeMap<u64, i64>,
    latest: BTreeMap<u64, Latest>,
    /// Every record that was ever committed, by offset: what compaction removes stays here, for checks.
    history: BTreeMap<i64, Stored>,
}

impl Log {
    /// The first offset that is kept.
    pub fn start(&self) -> i64 {
        self.start
    }

    /// The high watermark: the offset of the next record.
    pub fn end(&self) -> i64 {
        self.end
    }

    /// The first offset of which it is not decided whether readers will see it; the end if there is none.
    pub fn last_stable(&self) -> i64 {
        self.open.values().copied().min().unwrap_or(self.end)
    }

    /// Appends a record of a producer's transaction, or of none. Returns its offset.
    pub fn append(&mut self, stored: Stored, producer: Option<u64>) -> i64 {
        let offset = self.end;
        match producer {
            Some(producer) => drop(self.open.entry(producer).or_insert(offset)),
            None => drop(self.history.insert(offset, stored.clone())),
        }
        self.entries.insert(offset, Entry::Record { stored, producer, is_aborted: false });
        self.end += 1;
        offset
    }

    /// Appends a record of a producer's transaction, unless the producer has sent that sequence number already. Returns its
    /// offset, or that of the producer's last record.
    ///
    /// # Errors
    /// [`Refusal::OutOfOrderSequence`] if it is not the next number.
    pub(super) fn append_numbered(
        &mut self,
        stored: Stored,
        producer: &Registered,
        sequence: u32,
    ) -> Result<i64, Refusal> {
        let next = match self.latest.get(&producer.number) {
            Some(latest) if latest.epoch == producer.epoch => {
                if sequence <= latest.sequence {
                    return Ok(latest.offset);
                }
                latest.sequence + 1
            }
            Some(_) => 0,
            // As a broker that remembers nothing of the producer.
            None => sequence,
        };
        if sequence != next {
            return Err(Refusal::OutOfOrderSequence);
        }
        let offset = self.append(stored, Some(producer.number));
        self.latest.insert(producer.number, Latest { epoch: producer.epoch, sequence, offset });
        Ok(offset)
    }

    /// Decides the open transaction of a producer, if it has one here, and appends its marker.
    pub fn end_transaction(&mut self, producer: u64, commit: bool) {
        let Some(first) = self.open.remove(&producer) else { return };
        for (offset, entry) in self.entries.range_mut(first..) {
            if let Entry::Record { stored, producer: Some(by), is_aborted } = entry
                && *by == producer
            {
                *is_aborted = !commit;
                if commit {
                    self.history.insert(*offset, stored.clone());
                }
            }
        }
        self.entries.insert(self.end, Entry::Marker);
        self.end += 1;
    }

    /// What a reader with `isolation.level=read_committed` finds next.
    pub fn read(&self, position: i64) -> Found<'_> {
        if position < self.start || position > self.end {
            return Found::OutOfRange;
        }
        let stable = self.last_stable().max(position);
        let committed = self.entries.range(position..stable).find_map(|(offset, entry)| match entry {
            Entry::Record { stored, is_aborted: false, .. } => Some((*offset, stored)),
            _ => None,
        });
        committed.map_or(Found::End(stable), |(offset, stored)| Found::Record(offset, stored))
    }

    /// All committed records that were ever there, compacted or not, by offset.
    pub fn history(&self) -> impl Iterator<Item = (i64, &Stored)> {
        self.history.iter().map(|(offset, stored)| (*offset, stored))
    }

    /// Keeps only the newest record of each key, as Kafka's cleaner does with all but the newest part of a log:
    /// markers and what was aborted go, and so do tombstones written before `tombstones_before_ms`. The last record
    /// before the last stable offset stays.
    pub fn compact(&mut self, tombstones_before_ms: i64) {
        let stable = self.last_stable();
        let mut newest: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        let committed = |entry: &Entry| matches!(entry, Entry::Record { is_aborted: false, .. });
        for (offset, entry) in self.entries.range(..stable).filter(|(_, entry)| committed(entry)) {
            if let Entry::Record { stored: Stored { key: Some(key), .. }, .. } = entry {
                newest.insert(key.clone(), *offset);
            }
        }
        let last = newest.values().copied().max();
        self.entries.retain(|offset, entry| {
            if *offset >= stable || Some(*offset) == last {
                return true;
            }
            match entry {
                Entry::Record { stored, is_aborted: false, .. } => {
                    let is_newest = stored.key.as_ref().is_none_or(|key| newest.get(key) == Some(offset));
                    let is_gone = stored.value.is_none() && stored.timestamp_ms < tombstones_before_ms;
                    is_newest && !is_gone
                }
                _ => false,
            }
        });
    }

    /// Deletes what is before an offset, as retention does.
    pub fn truncate(&mut self, start: i64) {
        self.start = start.clamp(self.start, self.last_stable());
        self.entries = self.entries.split_off(&self.start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: Option<&str>) -> Stored {
        let bytes = |text: &str| text.as_bytes().to_vec();
        Stored { key: Some(bytes(key)), value: value.map(bytes), timestamp_ms: 5, headers: Vec::new() }
    }

    fn visible(log: &Log) -> Vec<i64> {
        let (mut position, mut found) = (log.start(), Vec::new());
        while let Found::Record(offset, _) = log.read(position) {
            found.push(offset);
            position = offset + 1;
        }
        found
    }

    #[test]
    fn readers_see_what_is_committed_up_to_the_first_open_transaction() {
        let mut log = Log::default();
        log.append(record("a", Some("1")), None);
        log.append(record("b", Some("1")), Some(7));
        log.append(record("c", Some("1")), Some(8));
        log.append(record("d", Some("1")), None);
        assert_eq!((visible(&log), log.last_stable(), log.end()), (vec![0], 1, 4));
        log.end_transaction(8, true);
        assert_eq!(visible(&log), [0], "an earlier transaction is open");
        log.end_transaction(7, false);
        assert_eq!((visible(&log), log.last_stable()), (vec![0, 2, 3], 6));
        assert!(matches!(log.read(4), Found::End(6)), "the last two are markers");
        assert!(matches!(log.read(7), Found::OutOfRange));
        log.end_transaction(7, true);
        assert_eq!(log.end(), 6, "nothing is open, so there is no marker");
    }

    #[test]
    fn a_sequence_number_is_appended_once() {
        let mut log = Log::default();
        let producer = |epoch| Registered { id: "id".to_owned(), number: 7, epoch };
        let mut send = |epoch, sequence| log.append_numbered(record("a", None), &producer(epoch), sequence);
        assert_eq!(send(1, 4), Ok(0), "the broker knows nothing of the producer");
        assert_eq!((send(1, 5), send(1, 5), send(1, 4)), (Ok(1), Ok(1), Ok(1)));
        assert_eq!(send(1, 7), Err(Refusal::OutOfOrderSequence));
        assert_eq!((send(2, 6), send(2, 0)), (Err(Refusal::OutOfOrderSequence), Ok(2)));
    }

    #[test]
    fn compaction_keeps_the_newest_of_each_key_and_young_tombstones() {
        let mut log = Log::default();
        for (key, value) in
            [("a", Some("1")), ("a", Some("2")), ("b", Some("1")), ("b", None), ("c", Some("1"))]
        {
            log.append(record(key, value), None);
        }
        log.compact(5);
        assert_eq!(visible(&log), [1, 3, 4]);
        log.compact(6);
        assert_eq!(visible(&log), [1, 4], "the tombstone is old enough");
        assert_eq!(log.history().count(), 5);
        log.truncate(2);
        assert!(matches!(log.read(1), Found::OutOfRange) && visible(&log) == [4]);
    }
}
