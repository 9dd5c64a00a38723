//! A change of a store, as its changelog has it.

/// One change of state in the form of a changelog record. `None` deletes the key (a tombstone).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// The key in the store.
    pub key: &'a [u8],
    /// The new value; `None` deletes the key.
    pub value: Option<&'a [u8]>,
}
