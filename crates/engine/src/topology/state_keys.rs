//! How the state of a stage moves with its keys to other partitions when a topic gets more of them.

use std::cmp::Ordering;

/// The owner of an entry of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    /// The records with this key: the entry moves with them.
    Key(&'a [u8]),
    /// The partition as a whole: each partition gets the entry that is greatest by [`StateKeys::compare`].
    Partition,
}

/// Facts about a stage's store that are needed before its source can get more partitions; see
/// [`Growth`](crate::growth::Growth).
#[derive(Clone, Copy, Debug)]
pub struct StateKeys {
    /// The owner of the entry under a store key; `None` if the entry cannot be moved. While the store has such
    /// entries, the source cannot grow.
    pub owner: fn(&[u8]) -> Option<Owner<'_>>,
    /// Which of two values of a partition's own entry to keep: the greater one.
    pub compare: fn(&[u8], &[u8]) -> Ordering,
    /// Describes the entries that cannot be moved, and how to remove them; ends a sentence.
    pub immovable: &'static str,
}

impl StateKeys {
    /// For stores in which every entry belongs to one key.
    pub const fn of_keys(owner: fn(&[u8]) -> Option<Owner<'_>>) -> Self {
        Self { owner, compare: |_, _| Ordering::Equal, immovable: "another version wrote them" }
    }
}
