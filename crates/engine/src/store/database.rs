//! sled's database of this process, with its trees by name.
//!
//! A tree is created when it is first written. With each new tree sled rewrites the names of all trees into a file of
//! its own: a thousand partitions that only read would make it write that file a thousand times.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::StateError;

/// What a database is kept in.
pub(super) enum Disk {
    Sled(sled::Db),
    #[cfg(test)]
    Simulated(crate::store::simulated::Disk),
}

/// A change of a tree: the new value of a key, or that it is deleted.
pub(super) type Write = (sled::IVec, Option<sled::IVec>);

/// One tree of the database.
pub(super) enum Leaf {
    Sled(sled::Tree),
    #[cfg(test)]
    Simulated(crate::store::simulated::Tree),
}

impl Leaf {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Sled(tree) => tree.is_empty(),
            #[cfg(test)]
            Self::Simulated(tree) => tree.is_empty(),
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, sled::Error> {
        match self {
            Self::Sled(tree) => tree.get(key),
            #[cfg(test)]
            Self::Simulated(tree) => tree.get(key),
        }
    }

    /// Writes all of it, or nothing.
    pub(super) fn apply(&self, writes: Vec<Write>) -> Result<(), sled::Error> {
        match self {
            Self::Sled(tree) => {
                let mut batch = sled::Batch::default();
                for (key, value) in writes {
                    match value {
                        Some(value) => batch.insert(key, value),
                        None => batch.remove(key),
                    }
                }
                tree.apply_batch(batch)
            }
            #[cfg(test)]
            Self::Simulated(tree) => tree.apply(writes),
        }
    }

    /// The entries from a key on, in the order of keys.
    pub(super) fn entries(
        &self,
        start: &[u8],
    ) -> Box<dyn Iterator<Item = Result<(sled::IVec, sled::IVec), sled::Error>> + '_> {
        match self {
            Self::Sled(tree) => Box::new(tree.range(start..)),
            #[cfg(test)]
            Self::Simulated(tree) => Box::new(tree.entries(start)),
        }
    }
}

/// The database of a process; see the module's description.
pub(super) struct Database {
    database: Disk,
    /// The existing trees; sled can only list all names.
    names: Mutex<HashSet<Vec<u8>>>,
    /// Restored entries that wait in memory for all stores together, in bytes.
    pub(super) waiting_bytes: AtomicUsize,
}

impl Database {
    pub(super) fn new(database: Disk) -> Self {
        let names = match &database {
            Disk::Sled(database) => database.tree_names().iter().map(|name| name.to_vec()).collect(),
            #[cfg(test)]
            Disk::Simulated(disk) => disk.names(),
        };
        Self { database, names: Mutex::new(names), waiting_bytes: AtomicUsize::new(0) }
    }

    fn names(&self) -> MutexGuard<'_, HashSet<Vec<u8>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tree of this name, if there is one.
    pub(super) fn find(&self, name: &str) -> Result<Option<Leaf>, StateError> {
        let is_there = self.names().contains(name.as_bytes());
        is_there.then(|| self.open(name)).transpose()
    }

    fn open(&self, name: &str) -> Result<Leaf, StateError> {
        guarded(name, || match &self.database {
            Disk::Sled(database) => database.open_tree(name).map(Leaf::Sled),
            #[cfg(test)]
            Disk::Simulated(disk) => Ok(Leaf::Simulated(disk.open(name))),
        })
    }

    /// The tree of this name, created if it does not exist.
    pub(super) fn make(&self, name: &str) -> Result<Leaf, StateError> {
        let tree = self.open(name)?;
        self.names().insert(name.into());
        Ok(tree)
    }

    /// Deletes the tree of this name.
    pub(super) fn drop_tree(&self, name: &str) -> Result<(), StateError> {
        self.names().remove(name.as_bytes());
        guarded(name, || match &self.database {
            Disk::Sled(database) => database.drop_tree(name).map(drop),
            #[cfg(test)]
            Disk::Simulated(disk) => disk.drop_tree(name).map(drop),
        })
    }

    /// The size of all trees on disk, in bytes; 0 if it is unknown.
    pub(super) fn bytes(&self) -> u64 {
        match &self.database {
            Disk::Sled(database) => database.size_on_disk().unwrap_or_default(),
            #[cfg(test)]
            Disk::Simulated(_) => 0,
        }
    }

    /// Writes all buffered data to the operating system.
    pub(super) fn flush(&self) -> Result<(), StateError> {
        guarded("all stores", || match &self.database {
            Disk::Sled(database) => database.flush().map(drop),
            #[cfg(test)]
            Disk::Simulated(disk) => disk.flush().map(drop),
        })
    }
}

/// Runs a call of sled. On damaged files it may panic instead of failing; both are treated the same.
pub(super) fn guarded<R>(name: &str, call: impl FnOnce() -> Result<R, sled::Error>) -> Result<R, StateError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| StateError::from_sled(name, error)),
        Err(_) => Err(StateError::Corrupted { store: name.into(), reason: "sled panicked on it".into() }),
    }
}
