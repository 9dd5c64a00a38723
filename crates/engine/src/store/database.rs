//! sled's database of this process, with its trees by name.
//!
//! A tree is created when it is first written. With each new tree sled rewrites the names of all trees into a file of
//! its own: a thousand partitions that only read would make it write that file a thousand times.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::StateError;

/// The database of a process; see the module's description.
pub(super) struct Database {
    database: sled::Db,
    /// The existing trees; sled can only list all names.
    names: Mutex<HashSet<Vec<u8>>>,
    /// Restored entries that wait in memory for all stores together, in bytes.
    pub(super) waiting_bytes: AtomicUsize,
}

impl Database {
    pub(super) fn new(database: sled::Db) -> Self {
        let names = database.tree_names().iter().map(|name| name.to_vec()).collect();
        Self { database, names: Mutex::new(names), waiting_bytes: AtomicUsize::new(0) }
    }

    fn names(&self) -> MutexGuard<'_, HashSet<Vec<u8>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tree of this name, if there is one.
    pub(super) fn find(&self, name: &str) -> Result<Option<sled::Tree>, StateError> {
        let is_there = self.names().contains(name.as_bytes());
        is_there.then(|| guarded(name, || self.database.open_tree(name))).transpose()
    }

    /// The tree of this name, created if it does not exist.
    pub(super) fn make(&self, name: &str) -> Result<sled::Tree, StateError> {
        let tree = guarded(name, || self.database.open_tree(name))?;
        self.names().insert(name.into());
        Ok(tree)
    }

    /// Deletes the tree of this name.
    pub(super) fn drop_tree(&self, name: &str) -> Result<(), StateError> {
        self.names().remove(name.as_bytes());
        guarded(name, || self.database.drop_tree(name)).map(drop)
    }

    /// The size of all trees on disk, in bytes; 0 if it is unknown.
    pub(super) fn bytes(&self) -> u64 {
        self.database.size_on_disk().unwrap_or_default()
    }

    /// Writes all buffered data to the operating system.
    pub(super) fn flush(&self) -> Result<(), StateError> {
        guarded("all stores", || self.database.flush()).map(drop)
    }
}

/// Runs a call of sled. On damaged files it may panic instead of failing; both are treated the same.
pub(super) fn guarded<R>(name: &str, call: impl FnOnce() -> Result<R, sled::Error>) -> Result<R, StateError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| StateError::from_sled(name, error)),
        Err(_) => Err(StateError::Corrupted { store: name.into(), reason: "sled panicked on it".into() }),
    }
}
