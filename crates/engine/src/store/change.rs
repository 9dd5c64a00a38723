//! A change of a store, as its changelog has it.

/// One change of state in the form of a changelog record. `None` deletes the key (a tombstone).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// As the processor wrote it; the changelog partition says which task it belongs to.
    pub key: &'a [u8],
    /// The new value; `None` deletes the key.
    pub value: Option<&'a [u8]>,
}
