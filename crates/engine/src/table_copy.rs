//! A table's own copy on disk, so that a restart reads only new records.
//!
//! The copy has one store for each partition. A store that may have missed a tombstone, which its topic no longer has,
//! is dropped, and the partition is read again from its beginning. That is so if the partition has records which the
//! store lacks, and the newest one that it has is older than tombstones are kept, by the time of that record: what the
//! store lacks was written later, however late this process reads it. One case remains: at the start this machine's
//! clock is behind by as much.
//!
//! A copy that cannot be written, for instance because the disk is full, is given up until the next start, which
//! continues from where it is. The table itself goes on in memory.

use crate::kafka::StartAt;
use crate::record::{Record, unix_ms};
use crate::store::{Change, Checkpoint, Identity, StateDirectory, Store};
use crate::{Opening, StateError};

/// Small batches: the memory that sled takes for large ones stays with the process (measured: 30 MB).
const BATCH_CHANGES: usize = 100;
/// Limits how far sled falls behind when a table is read for the first time: unwritten data takes up to 100 MB of
/// memory (measured with 128,024 stations).
const FLUSH_RECORDS: u32 = 5_000;

/// The copy; see the module's description.
pub struct TableCopy {
    state: StateDirectory,
    /// Empty after the copy was given up.
    parts: Vec<Part>,
    taken: u32,
}

/// One partition of the topic.
struct Part {
    store: Store,
    pending: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Everything before this offset is in the store or pending.
    next_offset: i64,
    /// The time of the newest record, in milliseconds since 1970.
    newest_ms: i64,
}

impl TableCopy {
    /// Opens the copy, whose stores are called `name`, and gives its entries to `load`. Also returns where to start
    /// reading each partition.
    ///
    /// # Errors
    /// A store cannot be read or written; one that is damaged is dropped instead.
    pub fn open(
        opening: &Opening<'_>,
        name: &str,
        load: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(Self, Vec<StartAt>), StateError> {
        let mut parts = Vec::new();
        for partition in 0..opening.identity.partitions {
            let identity = Identity {
                stage: name.to_owned(),
                topic: opening.topic.to_owned(),
                partition,
                cluster: opening.cluster.to_owned(),
                topic_ids: opening.identity.id.clone(),
            };
            parts.push(Part::open(opening, &identity, load)?);
        }
        let start = |part: &Part| match part.next_offset {
            ..0 => StartAt::Beginning,
            next_offset => StartAt::Offset(next_offset),
        };
        let starts = parts.iter().map(start).collect();
        Ok((Self { state: opening.state.clone(), parts, taken: 0 }, starts))
    }

    /// Takes what a record says into the entry under `key`; without a value, the entry is removed.
    pub fn take(&mut self, record: &Record<'_>, key: Vec<u8>, value: Option<Vec<u8>>) {
        let Some(part) = self.part(record.partition) else { return };
        part.has_read(record);
        part.pending.push((key, value));
        let mut written = if part.pending.len() >= BATCH_CHANGES { part.write() } else { Ok(()) };
        self.taken += 1;
        if self.taken.is_multiple_of(FLUSH_RECORDS) {
            written = written.and_then(|()| self.state.flush());
        }
        self.give_up_after(written);
    }

    /// Passes over a record that cannot be used.
    pub fn skip(&mut self, record: &Record<'_>) {
        if let Some(part) = self.part(record.partition) {
            part.has_read(record);
        }
    }

    /// A partition has been read to its present end: there is nothing left before this offset, not even a marker of a
    /// transaction.
    pub fn reached_end(&mut self, partition: i32, offset: i64) {
        if let Some(part) = self.part(partition) {
            part.next_offset = part.next_offset.max(offset);
        }
    }

    /// Writes everything taken so far.
    pub fn settle(&mut self) {
        let written = self.parts.iter_mut().try_for_each(Part::settle);
        self.give_up_after(written);
    }

    fn give_up_after(&mut self, written: Result<(), StateError>) {
        if let Err(error) = written {
            tracing::warn!(%error, "the copy of a table stays as it is until the next start; the table goes on in memory");
            self.parts.clear();
        }
    }

    fn part(&mut self, partition: i32) -> Option<&mut Part> {
        self.parts.get_mut(usize::try_from(partition).ok()?)
    }
}

impl Part {
    fn open(
        opening: &Opening<'_>,
        identity: &Identity,
        load: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Self, StateError> {
        let state = opening.state;
        let loaded = state.store(identity, u32::MAX).and_then(|mut store| {
            let end = opening.ends.get(&identity.partition).copied().unwrap_or(i64::MAX);
            let has_missed = store.checkpoint().changelog_offset < end;
            if has_missed && store.is_outdated(unix_ms(), opening.tombstones_kept) {
                let (store, reason) = (identity.tree_name(), "its topic may have lost tombstones".to_owned());
                return Err(StateError::Outdated { store, reason });
            }
            store.scan(load).map(|()| store)
        });
        let store = match loaded {
            Err(unusable @ (StateError::Corrupted { .. } | StateError::Outdated { .. })) => {
                tracing::warn!(reason = %unusable, "reading a table again from its topic");
                state.drop_store(&identity.tree_name())?;
                state.store(identity, u32::MAX)?
            }
            loaded => loaded?,
        };
        let Checkpoint { changelog_offset, at_ms, .. } = store.checkpoint();
        Ok(Self { store, pending: Vec::new(), next_offset: changelog_offset, newest_ms: at_ms })
    }

    fn has_read(&mut self, record: &Record<'_>) {
        self.next_offset = record.offset + 1;
        // The producer's clock may be ahead.
        self.newest_ms = self.newest_ms.max(record.timestamp_ms.min(unix_ms()));
    }

    fn settle(&mut self) -> Result<(), StateError> {
        let is_known = self.next_offset <= self.store.checkpoint().changelog_offset.max(0);
        if self.pending.is_empty() && is_known { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<(), StateError> {
        let changes: Vec<Change<'_>> =
            self.pending.iter().map(|(key, value)| Change { key, value: value.as_deref() }).collect();
        let checkpoint =
            Checkpoint { changelog_offset: self.next_offset, at_ms: self.newest_ms, ..Checkpoint::NONE };
        self.store.write(&changes, checkpoint)?;
        self.pending.clear();
        Ok(())
    }
}
