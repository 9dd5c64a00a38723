//! The committed entries of a store, each with its day.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::tree::Tree;
use super::{Checkpoint, StateError};

/// Storage of committed entries.
pub(super) enum Committed {
    Disk(Tree),
    /// In memory, for tests.
    Memory(BTreeMap<Vec<u8>, Vec<u8>>, Checkpoint),
}

impl Committed {
    /// Visits entries from `start` on, in key order, until `visit` returns `false`.
    pub(super) fn visit_from(
        &self,
        start: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError> {
        match self {
            Self::Disk(tree) => tree.visit_from(start, visit),
            Self::Memory(map, _) => {
                let entries = map.range::<[u8], _>((Bound::Included(start), Bound::Unbounded));
                let _ = entries.map(|(key, value)| visit(key, value)).take_while(|goes_on| *goes_on).count();
                Ok(())
            }
        }
    }

    /// Visits all entries whose key begins with `prefix`, in no particular order.
    pub(super) fn visit_prefix(
        &self,
        prefix: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), StateError> {
        match self {
            Self::Disk(tree) => tree.visit_prefix(prefix, visit),
            Self::Memory(map, _) => {
                let entries = map.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
                entries.for_each(|(key, value)| visit(key, value));
                Ok(())
            }
        }
    }
}
