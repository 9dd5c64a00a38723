//! How the state of a stage follows its keys to other partitions, where a topic gets more of them.

use std::cmp::Ordering;

/// To whom an entry of a store belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    /// To the records with this key: the entry goes where they go.
    Key(&'a [u8]),
    /// To the partition as a whole: each partition gets the entry that [`StateKeys::compare`] puts last.
    Partition,
}

/// What must be known of a stage's store before its source can get more partitions; see
/// [`Growth`](crate::growth::Growth).
#[derive(Clone, Copy, Debug)]
pub struct StateKeys {
    /// The owner of the entry under a store key; `None` where the entry cannot be moved. While the store has such
    /// entries, the source cannot grow.
    pub owner: fn(&[u8]) -> Option<Owner<'_>>,
    /// Which of two values of a partition's own entry is to be kept: the greater one.
    pub compare: fn(&[u8], &[u8]) -> Ordering,
    /// Describes the entries that cannot be moved, and says how to get rid of them; ends a sentence.
    pub immovable: &'static str,
}

impl StateKeys {
    /// For stores in which every entry belongs to one key.
    pub const fn of_keys(owner: fn(&[u8]) -> Option<Owner<'_>>) -> Self {
        Self { owner, compare: |_, _| Ordering::Equal, immovable: "another version wrote them" }
    }
}
