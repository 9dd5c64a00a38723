//! The uncommitted changes of a store.

use std::sync::Arc;

use indexmap::IndexMap;

use super::Change;

/// Changes by key; the newest ones can be taken back. `None` deletes a key.
#[derive(Default)]
pub(super) struct Changes {
    /// In the order in which keys were changed first.
    entries: IndexMap<Vec<u8>, Option<Vec<u8>>, foldhash::fast::RandomState>,
    /// How many keys had changed at the last [`mark`](Self::mark), and the earlier values of those that have changed
    /// again since.
    marked: usize,
    replaced: Vec<(usize, Option<Vec<u8>>)>,
}

impl Changes {
    pub(super) fn get(&self, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        self.entries.get(key)
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        self.entries.contains_key(key)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Change<'_>> {
        self.entries.iter().map(|(key, value)| Change { key, value: value.as_deref() })
    }

    pub(super) fn set(&mut self, key: &[u8], value: Option<Vec<u8>>) {
        let (index, before) = self.entries.insert_full(key.to_vec(), value);
        if let Some(before) = before.filter(|_| index < self.marked) {
            self.replaced.push((index, before));
        }
    }

    /// From here on, changes can be taken back.
    pub(super) fn mark(&mut self) {
        self.marked = self.entries.len();
        self.replaced.clear();
    }

    /// Takes back all changes since the last mark.
    pub(super) fn take_back(&mut self) {
        self.entries.truncate(self.marked);
        for (index, before) in self.replaced.drain(..).rev() {
            self.entries[index] = before;
        }
    }
}

/// The changes of one commit; clones share them, so that another thread can send them.
#[derive(Clone, Default)]
pub struct Sealed(pub(super) Arc<Changes>);

impl Sealed {
    /// The changes, in no particular order.
    pub fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        self.0.iter()
    }
}
