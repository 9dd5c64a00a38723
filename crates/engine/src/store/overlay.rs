//! One task's key/value store: committed entries under an overlay of uncommitted changes.
//!
//! Reads see the overlay first. A commit *seals* the overlay: its changes go to Kafka while the task continues with a
//! new overlay. Only when Kafka has them are they written to disk, in one atomic step with the [`Checkpoint`]. So the
//! disk never has anything that the changelog lacks, and state never disagrees with its own offsets. An abort only
//! drops the overlay and the sealed changes.
//!
//! Each value begins with the day on which it was written, by the clock of the records. After `remember_days` the
//! entry counts as expired, wherever in the log that happens; [`Store::expire`] deletes it some time later, and the
//! changelog gets a tombstone. So as long as timestamps do not go back by days, a task's answers do not depend on the
//! moment of the deletion.
//!
//! An entry's day never decreases: a record with an old timestamp must not make newer data under the same key expire.
//! To change an entry, code reads it first: [`Store::get_for_update`] returns the day to write it under, so
//! [`Store::put`] needs no read of its own. Entries that must never expire have no such day: see [`Store::keep`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::changes::{Changes, Sealed};
use super::committed::Committed;
use super::tree::{RESERVED, Tree};
use super::{Change, Checkpoint, StateError};

/// The day of entries that never expire.
const NEVER: u32 = u32::MAX;

/// The state of one task; see the module's description.
pub struct Store {
    committed: Committed,
    overlay: Changes,
    /// Changes of the commit that is under way.
    sealed: Sealed,
    remember_days: u32,
    /// Where the deletion of old entries continues.
    sweep_from: Vec<u8>,
}

impl Store {
    /// An empty store in memory whose entries never expire, for tests.
    pub fn in_memory() -> Self {
        Self::in_memory_for(u32::MAX)
    }

    /// An empty store in memory whose entries expire after `remember_days`, for tests.
    pub fn in_memory_for(remember_days: u32) -> Self {
        Self::new(Committed::Memory(BTreeMap::new(), Checkpoint::NONE), remember_days)
    }

    pub(super) fn of_tree(tree: Tree, remember_days: u32) -> Self {
        Self::new(Committed::Disk(tree), remember_days)
    }

    fn new(committed: Committed, remember_days: u32) -> Self {
        Self {
            committed,
            overlay: Changes::default(),
            sealed: Sealed::default(),
            remember_days,
            sweep_from: Vec::new(),
        }
    }

    /// How far the committed state is known to be right.
    pub fn checkpoint(&self) -> Checkpoint {
        match &self.committed {
            Committed::Disk(tree) => tree.checkpoint(),
            Committed::Memory(_, checkpoint) => *checkpoint,
        }
    }

    /// Whether the changelog may have lost tombstones that this store has never seen. Kafka keeps a tombstone for
    /// `kept` (the topic's `delete.retention.ms`), and a key whose tombstone is gone looks as if it had not changed.
    /// A tenth of `kept` is reserved for the duration of a restore. Also true if the clock was set back, because then
    /// the elapsed time is unknown.
    pub fn is_outdated(&self, now_ms: i64, kept: Duration) -> bool {
        let checkpoint = self.checkpoint();
        checkpoint.changelog_offset > 0
            && !(checkpoint.at_ms..=self.believed_until_ms(kept)).contains(&now_ms)
    }

    /// The last moment at which the store is not outdated, in milliseconds since 1970; `i64::MAX` for an empty store.
    pub fn believed_until_ms(&self, kept: Duration) -> i64 {
        let checkpoint = self.checkpoint();
        if checkpoint.changelog_offset <= 0 {
            return i64::MAX;
        }
        let kept_ms = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
        checkpoint.at_ms.saturating_add(kept_ms - kept_ms / 10)
    }

    /// Records, with the next write, that the store is still right at `at_ms`.
    pub fn confirm(&mut self, at_ms: i64) {
        let checkpoint = Checkpoint { at_ms, ..self.checkpoint() };
        match &mut self.committed {
            Committed::Disk(tree) => tree.note(checkpoint),
            Committed::Memory(_, known) => *known = checkpoint,
        }
    }

    /// Reads the value of `key` (uncommitted changes first) and passes it to `read`. `today` is the day of the record
    /// that is being processed: entries written too long before it count as expired.
    ///
    /// # Errors
    /// [`StateError::Corrupted`] if the bytes are not those that were written.
    pub fn get<R>(
        &self,
        key: &[u8],
        today: u32,
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, StateError> {
        Ok(self.get_with_day(key, today, read)?.map(|(_, value)| value))
    }

    /// As [`get`](Self::get), and returns the day for the [`put`](Self::put) that replaces the value: `today`, or the
    /// entry's own day if that is newer.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_for_update<R>(
        &self,
        key: &[u8],
        today: u32,
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<(Option<R>, u32), StateError> {
        let found = self.get_with_day(key, today, read)?;
        Ok(found.map_or((None, today), |(day, value)| (Some(value), day.max(today))))
    }

    fn get_with_day<R>(
        &self,
        key: &[u8],
        today: u32,
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<(u32, R)>, StateError> {
        let oldest = today.saturating_sub(self.remember_days);
        let read = |stored: &[u8]| match split_day(stored) {
            Some((day, value)) => (day >= oldest).then(|| Ok((day, read(value)))),
            None => Some(Err(self.corrupted("an entry has no day"))),
        };
        if let Some(value) = self.overlay.get(key).or_else(|| self.sealed.0.get(key)) {
            return value.as_deref().and_then(read).transpose();
        }
        match &self.committed {
            Committed::Memory(map, _) => map.get(key).and_then(|value| read(value)).transpose(),
            Committed::Disk(tree) => tree.get(key, read)?.flatten().transpose(),
        }
    }

    /// Sets `key` in the overlay, as of `day`, in days since 1970: it expires `remember_days` later, so with day 0 at
    /// once. Use the day of [`get_for_update`](Self::get_for_update), so that it never decreases.
    ///
    /// # Panics
    /// Keys begin with a lower-case letter: the engine has others for itself.
    pub fn put(&mut self, key: &[u8], day: u32, value: &[u8]) {
        assert!(
            key.first().is_some_and(|first| *first != RESERVED),
            "a store's keys begin with a lower-case letter"
        );
        let mut stored = Vec::with_capacity(4 + value.len());
        stored.extend_from_slice(&day.to_be_bytes());
        stored.extend_from_slice(value);
        self.overlay.set(key, Some(stored));
    }

    /// Sets `key` in the overlay to a value that never expires. Read it with [`kept`](Self::kept).
    ///
    /// # Panics
    /// As [`put`](Self::put).
    pub fn keep(&mut self, key: &[u8], value: &[u8]) {
        self.put(key, NEVER, value);
    }

    /// Reads a value that never expires; see [`keep`](Self::keep).
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn kept<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, StateError> {
        self.get(key, NEVER, read)
    }

    /// Deletes `key` in the overlay; the changelog gets a tombstone.
    pub fn delete(&mut self, key: &[u8]) {
        self.overlay.set(key, None);
    }

    /// From here on, changes can be [taken back](Self::take_back).
    pub(crate) fn mark(&mut self) {
        self.overlay.mark();
    }

    /// Takes back all changes since the last [`mark`](Self::mark).
    pub(crate) fn take_back(&mut self) {
        self.overlay.take_back();
    }

    /// Whether committed state contains anything that identifies its owner.
    fn is_written(&self) -> bool {
        match &self.committed {
            Committed::Disk(tree) => tree.is_written(),
            Committed::Memory(..) => true,
        }
    }

    /// How many entries have changed since the last commit began.
    pub fn changed(&self) -> usize {
        self.overlay.len()
    }

    /// Checks up to `max` committed entries and deletes those that have expired on the day `today`. Returns `true`
    /// when all entries have been checked; the next call starts again.
    pub fn expire(&mut self, today: u32, max: usize) -> Result<bool, StateError> {
        let oldest = today.saturating_sub(self.remember_days);
        let is_filling = matches!(&self.committed, Committed::Disk(tree) if tree.waiting() > 0);
        if oldest == 0 || is_filling {
            return Ok(oldest == 0);
        }
        let (mut left, mut gone, mut next) = (max, Vec::new(), None);
        self.committed.visit_from(&self.sweep_from, &mut |key, stored| {
            if left == 0 {
                next = Some(key.to_vec());
                return false;
            }
            left -= 1;
            if split_day(stored).is_some_and(|(day, _)| day < oldest) {
                gone.push(key.to_vec());
            }
            true
        })?;
        for key in gone {
            // An entry that is being written again is not old any more.
            if !self.overlay.contains(&key) && !self.sealed.0.contains(&key) {
                self.delete(&key);
            }
        }
        self.sweep_from = next.unwrap_or_default();
        Ok(self.sweep_from.is_empty())
    }

    /// First step of a commit: the changes so far, for the changelog. The task may continue at the same time.
    pub fn seal(&mut self) -> Sealed {
        debug_assert!(self.sealed.0.is_empty(), "one commit at a time");
        self.sealed = Sealed(Arc::new(std::mem::take(&mut self.overlay)));
        self.sealed.clone()
    }

    /// Last step, when Kafka has the sealed changes: makes them and `checkpoint` durable together. If nothing has
    /// changed, an old input offset on disk does no harm, and the disk is left alone: a thousand partitions that only
    /// read would otherwise write a thousand batches per commit. If the disk has anything, the first commit is always
    /// written, because it records that the store is in use.
    pub fn commit(&mut self, checkpoint: Checkpoint) -> Result<(), StateError> {
        let sealed = std::mem::take(&mut self.sealed);
        let known = self.checkpoint();
        let is_idle = sealed.0.is_empty() && known.changelog_offset == checkpoint.changelog_offset;
        if is_idle && (known.input_offset >= 0 || !self.is_written()) {
            match &mut self.committed {
                Committed::Disk(tree) => tree.note(checkpoint),
                Committed::Memory(_, known) => *known = checkpoint,
            }
            return Ok(());
        }
        // In key order, sled finds the page that it has just written still at hand.
        let mut changes: Vec<Change<'_>> = sealed.changes().collect();
        changes.sort_unstable_by_key(|change| change.key);
        self.write(&changes, checkpoint)
    }

    /// Takes changes that were read back from the changelog, before the store is used.
    pub fn restore(&mut self, changes: &[Change<'_>], checkpoint: Checkpoint) -> Result<(), StateError> {
        debug_assert!(self.overlay.is_empty(), "a store is restored before it is used");
        match &mut self.committed {
            Committed::Disk(tree) => tree.restore(changes, checkpoint),
            Committed::Memory(..) => self.write(changes, checkpoint),
        }
    }

    /// Writes changes at once, bypassing overlay and restore: for tables, which have no commits.
    pub fn write(&mut self, changes: &[Change<'_>], checkpoint: Checkpoint) -> Result<(), StateError> {
        match &mut self.committed {
            Committed::Disk(tree) => tree.write(changes, checkpoint),
            Committed::Memory(map, known) => {
                *known = checkpoint;
                for change in changes {
                    match change.value {
                        Some(value) => map.insert(change.key.to_vec(), value.to_vec()),
                        None => map.remove(change.key),
                    };
                }
                Ok(())
            }
        }
    }

    /// Writes a batch of restored entries to the disk. `true` while there is more.
    pub fn fill(&mut self) -> Result<bool, StateError> {
        match &mut self.committed {
            Committed::Disk(tree) if tree.waiting() > 0 => tree.fill(),
            _ => Ok(false),
        }
    }

    /// Forgets all uncommitted changes.
    pub fn abort(&mut self) {
        self.overlay = Changes::default();
        self.sealed = Sealed::default();
    }

    /// Calls `visit` with each committed entry, in key order and in the form of the changelog: a task's values begin
    /// with their day.
    ///
    /// # Errors
    /// [`StateError::Corrupted`] at the first entry that cannot be read.
    pub fn scan(&mut self, mut visit: impl FnMut(&[u8], &[u8])) -> Result<(), StateError> {
        while self.fill()? {}
        self.committed.visit_from(&[], &mut |key, value| {
            visit(key, value);
            true
        })
    }

    /// Calls `visit` with each entry whose key begins with `prefix`, as [`get`](Self::get) would read it now, in no
    /// particular order; values come without their day. Expired entries may be among them.
    ///
    /// # Errors
    /// [`StateError::Corrupted`] at the first entry that cannot be read.
    pub fn scan_prefix(&self, prefix: &[u8], mut visit: impl FnMut(&[u8], &[u8])) -> Result<(), StateError> {
        let (overlay, sealed) = (&self.overlay, &self.sealed.0);
        let mut visit = |key: &[u8], stored: &[u8]| {
            if let Some((_, value)) = split_day(stored) {
                visit(key, value);
            }
        };
        let hidden = |key: &[u8]| overlay.contains(key);
        let open = overlay.iter().chain(sealed.iter().filter(|change| !hidden(change.key)));
        for Change { key, value } in open.filter(|change| change.key.starts_with(prefix)) {
            value.into_iter().for_each(|stored| visit(key, stored));
        }
        self.committed.visit_prefix(prefix, &mut |key, stored| {
            if !hidden(key) && !sealed.contains(key) {
                visit(key, stored);
            }
        })
    }

    /// As [`scan_prefix`](Self::scan_prefix), but only with entries that have been committed: for answers to others, which
    /// must not see work that may be taken back.
    ///
    /// # Errors
    /// As [`scan_prefix`](Self::scan_prefix).
    pub fn scan_committed(
        &self,
        prefix: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), StateError> {
        self.committed.visit_prefix(prefix, &mut |key, stored| {
            if let Some((_, value)) = split_day(stored) {
                visit(key, value);
            }
        })
    }

    /// The error that an entry of this store cannot be read.
    pub fn corrupted(&self, reason: &str) -> StateError {
        let store = match &self.committed {
            Committed::Disk(tree) => tree.name().to_owned(),
            Committed::Memory(..) => "memory".to_owned(),
        };
        StateError::Corrupted { store, reason: reason.to_owned() }
    }
}

fn split_day(stored: &[u8]) -> Option<(u32, &[u8])> {
    stored.split_first_chunk::<4>().map(|(day, value)| (u32::from_be_bytes(*day), value))
}

#[cfg(test)]
#[path = "overlay_tests.rs"]
mod tests;
