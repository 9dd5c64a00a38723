//! Committed entries: a sled tree, with a map in front of it for restored entries that are not written yet.
//!
//! sled accepts 100,000 to 180,000 entries a second at best, a map in memory over a million. So a restore fills a map
//! first, the task runs as soon as that is complete, and sled is filled afterwards ([`Tree::fill`]), in key order,
//! which is fastest for sled. Until the map is empty, the checkpoint in sled stays where it was: a crash in between
//! only means that the same part of the changelog is read again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::database::{Database, Leaf, Write, guarded};
use super::{Change, Checkpoint, Identity, StateError};

/// Version of the layout of a tree. A tree of another version is dropped and rebuilt.
const FORMAT_VERSION: u8 = 3;
/// Keys that begin with this byte are frostline's own; data keys begin with a letter.
pub(super) const RESERVED: u8 = 0;
const IDENTITY_KEY: &[u8] = &[RESERVED, b'i'];
const CHECKPOINT_KEY: &[u8] = &[RESERVED, b'c'];
/// Larger batches make sled slow to write, and slow to read afterwards (measured).
const BATCH_ENTRIES_MAX: usize = 1_000;
/// Memory limit for restored entries that sled does not have yet, for all stores of the process together.
const WAITING_BYTES_MAX: usize = 256 << 20;
/// Memory that an entry takes in the map in addition to its key and value, in bytes (estimated).
const ENTRY_OVERHEAD_BYTES: usize = 112;

/// Committed entries of one store; see the module's description.
pub(super) struct Tree {
    name: String,
    /// The bytes that identify its owner.
    mark: String,
    database: Arc<Database>,
    /// `None` if nothing has been written yet.
    tree: Option<Leaf>,
    /// Restored, but not in sled yet. `None` if deleted.
    waiting: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    waiting_bytes: usize,
    /// The checkpoint after everything that waits has been written.
    checkpoint: Checkpoint,
}

impl Tree {
    /// Opens a tree. Returns `None` if it belongs to another owner, is of another version, or was being restored for
    /// the first time when its process died: it may hold entries whose tombstones are gone from the changelog by now.
    pub(super) fn open(database: Arc<Database>, identity: &Identity) -> Result<Option<Self>, StateError> {
        let name = identity.tree_name();
        let mark = format!("{FORMAT_VERSION}/{}/{}/{name}", identity.cluster, identity.topic_ids);
        let mut opened = Self {
            tree: None,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            checkpoint: Checkpoint::NONE,
            name,
            mark,
            database,
        };
        let Some(tree) = opened.database.find(&opened.name)? else { return Ok(Some(opened)) };
        let found = guarded(&opened.name, || {
            Ok(if tree.is_empty() {
                None
            } else {
                Some((tree.get(IDENTITY_KEY)?, tree.get(CHECKPOINT_KEY)?))
            })
        })?;
        // An empty tree was created by a process that died before it wrote to it.
        let Some((mark, checkpoint)) = found else { return Ok(Some(opened)) };
        if mark.as_deref() != Some(opened.mark.as_bytes()) {
            return Ok(None);
        }
        let Some(checkpoint) = checkpoint else { return Ok(None) };
        // Earlier versions wrote it without a checksum.
        let bytes = match checkpoint.len() {
            Checkpoint::BYTES => &checkpoint[..],
            _ => opened.unseal(&checkpoint)?,
        };
        opened.checkpoint = Checkpoint::decode(bytes)
            .ok_or_else(|| corrupted(&opened.name, "its checkpoint cannot be read"))?;
        opened.tree = Some(tree);
        Ok(Some(opened))
    }

    /// Whether any of it is on the disk.
    pub(super) fn is_written(&self) -> bool {
        self.tree.is_some()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }

    /// Keeps a checkpoint that is written to the disk with the next write.
    pub(super) fn note(&mut self, checkpoint: Checkpoint) {
        self.checkpoint = checkpoint;
    }

    pub(super) fn get<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, StateError> {
        if let Some(value) = self.waiting.get(key) {
            return Ok(value.as_deref().map(read));
        }
        let Some(tree) = &self.tree else { return Ok(None) };
        let sealed = guarded(&self.name, || tree.get(key))?;
        sealed.map(|sealed| self.unseal(&sealed).map(read)).transpose()
    }

    /// Writes changes that Kafka has, together with their checkpoint.
    ///
    /// A large number of changes is written in several batches, with the checkpoint in the last, so that a crash
    /// between two of them leaves the store behind its changelog. A restore repairs that.
    pub(super) fn write(&mut self, changes: &[Change<'_>], checkpoint: Checkpoint) -> Result<(), StateError> {
        self.checkpoint = checkpoint;
        if !self.waiting.is_empty() {
            changes.iter().for_each(|change| self.wait(change));
            return Ok(());
        }
        let split = changes.len().saturating_sub(1) / BATCH_ENTRIES_MAX * BATCH_ENTRIES_MAX;
        let (early, last) = changes.split_at(split);
        for part in early.chunks(BATCH_ENTRIES_MAX) {
            self.apply(part.iter().copied(), None)?;
        }
        self.apply(last.iter().copied(), Some(checkpoint))
    }

    /// Takes changes that were read back from the changelog.
    pub(super) fn restore(
        &mut self,
        changes: &[Change<'_>],
        checkpoint: Checkpoint,
    ) -> Result<(), StateError> {
        self.checkpoint = checkpoint;
        changes.iter().for_each(|change| self.wait(change));
        while !self.waiting.is_empty()
            && self.database.waiting_bytes.load(Ordering::Relaxed) > WAITING_BYTES_MAX
        {
            self.fill()?;
        }
        Ok(())
    }

    fn wait(&mut self, change: &Change<'_>) {
        let before = self.waiting_bytes;
        let value_bytes = change.value.map_or(0, <[u8]>::len);
        match self.waiting.insert(change.key.to_vec(), change.value.map(<[u8]>::to_vec)) {
            Some(older) => {
                self.waiting_bytes = self.waiting_bytes + value_bytes - older.map_or(0, |older| older.len());
            }
            None => self.waiting_bytes += entry_bytes(change),
        }
        self.database.waiting_bytes.fetch_add(self.waiting_bytes.wrapping_sub(before), Ordering::Relaxed);
    }

    /// How many restored entries sled does not have yet.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Writes one batch of waiting entries. `true` while there is more.
    pub(super) fn fill(&mut self) -> Result<bool, StateError> {
        let mut entries = Vec::with_capacity(BATCH_ENTRIES_MAX.min(self.waiting.len()));
        while entries.len() < BATCH_ENTRIES_MAX
            && let Some(entry) = self.waiting.pop_first()
        {
            entries.push(entry);
        }
        if entries.is_empty() {
            return Ok(false);
        }
        let changes = || entries.iter().map(|(key, value)| Change { key, value: value.as_deref() });
        let checkpoint = self.waiting.is_empty().then_some(self.checkpoint);
        self.apply(changes(), checkpoint)?;
        self.waiting_gone(changes().map(|change| entry_bytes(&change)).sum());
        Ok(!self.waiting.is_empty())
    }

    fn waiting_gone(&mut self, bytes: usize) {
        let bytes = bytes.min(self.waiting_bytes);
        self.waiting_bytes -= bytes;
        self.database.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn apply<'a>(
        &mut self,
        changes: impl Iterator<Item = Change<'a>>,
        checkpoint: Option<Checkpoint>,
    ) -> Result<(), StateError> {
        let mut writes: Vec<Write> = Vec::new();
        if self.tree.is_none() {
            writes.push((IDENTITY_KEY.into(), Some(self.mark.as_bytes().into())));
        }
        writes
            .extend(changes.map(|change| (change.key.into(), change.value.map(|value| seal(value).into()))));
        if let Some(checkpoint) = checkpoint {
            writes.push((CHECKPOINT_KEY.into(), Some(seal(&checkpoint.encode()).into())));
        }
        let tree = match self.tree.take() {
            Some(tree) => tree,
            None => self.database.make(&self.name)?,
        };
        let tree = self.tree.insert(tree);
        guarded(&self.name, || tree.apply(writes))
    }

    /// Visits entries that sled has from `start` on, in key order, until `visit` returns `false`.
    pub(super) fn visit_from(
        &self,
        start: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError> {
        let start = if start.is_empty() { &[RESERVED + 1][..] } else { start };
        let Some(tree) = &self.tree else { return Ok(()) };
        let mut entries = tree.entries(start);
        loop {
            let entry = guarded(&self.name, || entries.next().transpose())?;
            let Some((key, sealed)) = entry else { return Ok(()) };
            if !visit(&key, self.unseal(&sealed)?) {
                return Ok(());
            }
        }
    }

    /// Visits all entries whose key begins with `prefix`, including those that sled does not have yet, in no
    /// particular order.
    pub(super) fn visit_prefix(
        &self,
        prefix: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), StateError> {
        let waiting = self.waiting.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        for (key, value) in waiting {
            if let Some(value) = value {
                visit(key, value);
            }
        }
        self.visit_from(prefix, &mut |key, value| {
            let is_ours = key.starts_with(prefix);
            if is_ours && !self.waiting.contains_key(key) {
                visit(key, value);
            }
            is_ours
        })
    }

    /// Checks an entry's checksum and removes it.
    fn unseal<'a>(&self, sealed: &'a [u8]) -> Result<&'a [u8], StateError> {
        let intact = sealed.split_last_chunk::<4>().filter(|(value, sum)| checksum(value) == **sum);
        intact
            .map(|(value, _)| value)
            .ok_or_else(|| corrupted(&self.name, "an entry's checksum does not fit"))
    }

    #[cfg(test)]
    pub(super) fn damage(&self, key: &[u8]) {
        let damaged = (key.into(), Some(b"valuf0000".into()));
        self.tree.as_ref().unwrap().apply(vec![damaged]).unwrap();
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.database.waiting_bytes.fetch_sub(self.waiting_bytes, Ordering::Relaxed);
    }
}

fn entry_bytes(change: &Change<'_>) -> usize {
    change.key.len() + change.value.map_or(0, <[u8]>::len) + ENTRY_OVERHEAD_BYTES
}

fn corrupted(store: &str, reason: &str) -> StateError {
    StateError::Corrupted { store: store.to_owned(), reason: reason.to_owned() }
}

/// sled notices a flipped byte only sometimes, so every value carries a checksum.
fn seal(value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(value.len() + 4);
    sealed.extend_from_slice(value);
    sealed.extend_from_slice(&checksum(value));
    sealed
}

fn checksum(value: &[u8]) -> [u8; 4] {
    let mut crc = flate2::Crc::new();
    crc.update(value);
    crc.sum().to_be_bytes()
}
