//! One task's key/value store: what is committed (a sled tree), under an overlay of what is not.
//!
//! Reads see the overlay first. A commit turns the overlay into changelog records, and, once Kafka has them,
//! into one atomic sled batch together with the [`Checkpoint`]; so sled never holds what the changelog does
//! not, and state never disagrees with its own offsets. Dropping the overlay is the whole of an abort.

use std::collections::HashMap;

use super::StateError;

/// Version of the layout of a tree. Another version is refused and rebuilt.
const FORMAT_VERSION: u8 = 1;
/// Keys that begin with this byte are frostline's own; data keys begin with a letter.
const RESERVED: u8 = 0;
const IDENTITY_KEY: &[u8] = &[RESERVED, b'i'];
const CHECKPOINT_KEY: &[u8] = &[RESERVED, b'c'];
/// Larger batches make sled slow to write, and slow to read afterwards (measured).
const BATCH_ENTRIES_MAX: usize = 1_000;

/// Which task or table a store belongs to. It is written into the store and checked when that is opened.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The stage (or table) that the store serves.
    pub stage: String,
    /// The topic whose records made the state.
    pub topic: String,
    /// The partition of that topic.
    pub partition: i32,
}

impl Identity {
    /// The tree's name: the topic is in it, so that two installations may share a directory.
    pub fn tree_name(&self) -> String {
        format!("{}/{}/{}", self.stage, self.topic, self.partition)
    }
}

/// How far a store is known to be right; written in the same batch as the state itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The next input offset: everything before it is in the state. -1: none yet.
    pub input_offset: i64,
    /// What the group had committed when this was written, or -1. Where the group still says so, the process
    /// died between this batch and its commit, and `input_offset` is the truth; where it says anything else,
    /// somebody else went on, or an operator moved the group, and the group is right.
    pub committed_offset: i64,
    /// The next changelog offset: everything before it is in the state. -1: none yet.
    pub changelog_offset: i64,
}

impl Checkpoint {
    /// Nothing is known: read the changelog from its start.
    pub const NONE: Self = Self { input_offset: -1, committed_offset: -1, changelog_offset: -1 };

    fn encode(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.input_offset.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.committed_offset.to_be_bytes());
        bytes[16..].copy_from_slice(&self.changelog_offset.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(i64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        if bytes.len() != 24 {
            return None;
        }
        Some(Self { input_offset: number(0)?, committed_offset: number(8)?, changelog_offset: number(16)? })
    }
}

/// One change of state as the changelog topic carries it. `None` deletes the key (a tombstone).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// The store key.
    pub key: &'a [u8],
    /// The new value.
    pub value: Option<&'a [u8]>,
}

/// Where committed entries live.
enum Committed {
    Sled(sled::Tree),
    /// For tests without a disk.
    Memory(HashMap<Vec<u8>, Vec<u8>>),
}

/// The state of one task. See the module's description.
pub struct Store {
    name: String,
    committed: Committed,
    overlay: HashMap<Vec<u8>, Option<Vec<u8>>, foldhash::fast::RandomState>,
    checkpoint: Checkpoint,
}

impl Store {
    /// An empty store in memory, for tests.
    pub fn in_memory() -> Self {
        Self {
            name: "memory".into(),
            committed: Committed::Memory(HashMap::new()),
            overlay: HashMap::default(),
            checkpoint: Checkpoint::NONE,
        }
    }

    pub(super) fn open(tree: sled::Tree, name: String, identity: &Identity) -> Result<Self, StateError> {
        let corrupted = |reason: String| StateError::Corrupted { store: name.clone(), reason };
        let expected = format!("{FORMAT_VERSION}/{}", identity.tree_name());
        let sled_error = |error| StateError::from_sled(&name, error);
        match tree.get(IDENTITY_KEY).map_err(sled_error)? {
            None => {
                tree.insert(IDENTITY_KEY, expected.as_bytes()).map_err(sled_error)?;
            }
            Some(found) if found.as_ref() == expected.as_bytes() => {}
            Some(found) => {
                let found = String::from_utf8_lossy(&found).into_owned();
                return Err(corrupted(format!("it says {found:?} where {expected:?} was expected")));
            }
        }
        let checkpoint = match tree.get(CHECKPOINT_KEY).map_err(sled_error)? {
            None => Checkpoint::NONE,
            Some(bytes) => {
                Checkpoint::decode(&bytes).ok_or_else(|| corrupted("its checkpoint cannot be read".into()))?
            }
        };
        Ok(Self { name, committed: Committed::Sled(tree), overlay: HashMap::default(), checkpoint })
    }

    /// How far the committed state is known to be right.
    pub fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }

    /// Reads the value of `key` (uncommitted changes first) and hands it to `read`.
    ///
    /// # Errors
    /// [`StateError::Corrupted`] where the bytes are not those that were written.
    pub fn get<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, StateError> {
        debug_assert!(key.first() != Some(&RESERVED));
        if let Some(value) = self.overlay.get(key) {
            return Ok(value.as_deref().map(read));
        }
        match &self.committed {
            Committed::Memory(map) => Ok(map.get(key).map(|value| read(value))),
            Committed::Sled(tree) => {
                match tree.get(key).map_err(|error| StateError::from_sled(&self.name, error))? {
                    None => Ok(None),
                    Some(sealed) => Ok(Some(read(self.unseal(&sealed)?))),
                }
            }
        }
    }

    /// Sets `key` in the overlay.
    pub fn put(&mut self, key: &[u8], value: Vec<u8>) {
        debug_assert!(key.first().is_some_and(|first| *first != RESERVED));
        self.overlay.insert(key.to_vec(), Some(value));
    }

    /// Deletes `key` in the overlay; the changelog gets a tombstone.
    pub fn delete(&mut self, key: &[u8]) {
        self.overlay.insert(key.to_vec(), None);
    }

    /// How many entries have changed since the last commit.
    pub fn changed(&self) -> usize {
        self.overlay.len()
    }

    /// The uncommitted changes, for the changelog.
    pub fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        self.overlay.iter().map(|(key, value)| Change { key, value: value.as_deref() })
    }

    /// Makes the overlay and `checkpoint` durable as one step, after Kafka has them.
    ///
    /// A very large overlay is written in several batches; the checkpoint is in the last, so that a crash
    /// between two of them leaves the store behind its changelog, which a restore repairs.
    pub fn commit(&mut self, checkpoint: Checkpoint) -> Result<(), StateError> {
        let overlay = std::mem::take(&mut self.overlay);
        let changes: Vec<Change<'_>> =
            overlay.iter().map(|(key, value)| Change { key, value: value.as_deref() }).collect();
        self.write(&changes, checkpoint)
    }

    /// Writes a checkpoint alone; uncommitted changes stay what they are.
    pub fn mark(&mut self, checkpoint: Checkpoint) -> Result<(), StateError> {
        self.write(&[], checkpoint)
    }

    /// Writes changes that were read back from the changelog, past the overlay.
    pub fn restore(&mut self, changes: &[Change<'_>], checkpoint: Checkpoint) -> Result<(), StateError> {
        debug_assert!(self.overlay.is_empty(), "a store is restored before it is used");
        self.write(changes, checkpoint)
    }

    fn write(&mut self, changes: &[Change<'_>], checkpoint: Checkpoint) -> Result<(), StateError> {
        match &mut self.committed {
            Committed::Memory(map) => {
                for change in changes {
                    match change.value {
                        Some(value) => map.insert(change.key.to_vec(), value.to_vec()),
                        None => map.remove(change.key),
                    };
                }
            }
            Committed::Sled(tree) => {
                let split = changes.len().saturating_sub(1) / BATCH_ENTRIES_MAX * BATCH_ENTRIES_MAX;
                let (early, last) = changes.split_at(split);
                let apply = |changes: &[Change<'_>], checkpoint: Option<Checkpoint>| {
                    tree.apply_batch(batch(changes, checkpoint))
                        .map_err(|error| StateError::from_sled(&self.name, error))
                };
                for part in early.chunks(BATCH_ENTRIES_MAX) {
                    apply(part, None)?;
                }
                apply(last, Some(checkpoint))?;
            }
        }
        self.checkpoint = checkpoint;
        Ok(())
    }

    /// Forgets all uncommitted changes.
    pub fn abort(&mut self) {
        self.overlay.clear();
    }

    /// Calls `visit` with each committed entry, in key order.
    ///
    /// # Errors
    /// [`StateError::Corrupted`] at the first entry that cannot be read.
    pub fn scan(&self, mut visit: impl FnMut(&[u8], &[u8])) -> Result<(), StateError> {
        match &self.committed {
            Committed::Memory(map) => {
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort();
                entries.into_iter().for_each(|(key, value)| visit(key, value));
            }
            Committed::Sled(tree) => {
                for entry in tree.range::<&[u8], _>(&[RESERVED + 1][..]..) {
                    let (key, sealed) = entry.map_err(|error| StateError::from_sled(&self.name, error))?;
                    visit(&key, self.unseal(&sealed)?);
                }
            }
        }
        Ok(())
    }

    /// Checks an entry's checksum and takes it off.
    fn unseal<'a>(&self, sealed: &'a [u8]) -> Result<&'a [u8], StateError> {
        let intact = sealed.split_last_chunk::<4>().filter(|(value, sum)| checksum(value) == **sum);
        intact.map(|(value, _)| value).ok_or_else(|| StateError::Corrupted {
            store: self.name.clone(),
            reason: "an entry's checksum does not fit".into(),
        })
    }
}

fn batch(changes: &[Change<'_>], checkpoint: Option<Checkpoint>) -> sled::Batch {
    let mut batch = sled::Batch::default();
    for change in changes {
        match change.value {
            Some(value) => batch.insert(change.key, seal(value)),
            None => batch.remove(change.key),
        }
    }
    if let Some(checkpoint) = checkpoint {
        batch.insert(CHECKPOINT_KEY, &checkpoint.encode());
    }
    batch
}

/// sled finds a flipped byte only sometimes, so every value carries a checksum.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::StateDirectory;

    fn identity() -> Identity {
        Identity { stage: "alert".into(), topic: "t".into(), partition: 3 }
    }

    fn at(input_offset: i64) -> Checkpoint {
        Checkpoint { input_offset, committed_offset: -1, changelog_offset: 0 }
    }

    #[test]
    fn state_and_offset_survive_together_and_an_abort_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        {
            let state = StateDirectory::open(&path).unwrap();
            let mut store = state.store(&identity()).unwrap();
            assert_eq!(store.checkpoint(), Checkpoint::NONE);
            store.put(b"a1", b"one".to_vec());
            store.put(b"a2", b"two".to_vec());
            store.commit(at(7)).unwrap();
            store.put(b"a3", b"three".to_vec());
            store.delete(b"a1");
            assert_eq!(store.get(b"a1", <[u8]>::to_vec).unwrap(), None);
            store.abort();
        }
        let state = StateDirectory::open(&path).unwrap();
        let store = state.store(&identity()).unwrap();
        assert_eq!(store.checkpoint(), at(7));
        assert_eq!(store.get(b"a1", <[u8]>::to_vec).unwrap(), Some(b"one".to_vec()));
        assert_eq!(store.get(b"a3", <[u8]>::to_vec).unwrap(), None);
    }

    #[test]
    fn a_large_commit_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(&dir.path().join("state")).unwrap();
        let mut store = state.store(&identity()).unwrap();
        for n in 0..2_500_u32 {
            store.put(&[b"k".as_slice(), &n.to_be_bytes()].concat(), n.to_string().into_bytes());
        }
        store.commit(at(1)).unwrap();
        let mut seen = 0;
        store.scan(|_, _| seen += 1).unwrap();
        assert_eq!(seen, 2_500);
    }

    #[test]
    fn a_flipped_byte_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(&dir.path().join("state")).unwrap();
        let mut store = state.store(&identity()).unwrap();
        store.put(b"key", b"value".to_vec());
        store.commit(at(1)).unwrap();
        let Committed::Sled(tree) = &store.committed else { panic!("on disk") };
        tree.insert(b"key", b"valuf0000").unwrap();
        assert!(matches!(store.get(b"key", |_| ()), Err(StateError::Corrupted { .. })));
    }
}
