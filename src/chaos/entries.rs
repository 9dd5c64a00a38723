//! The entries of a store: read from the store itself, or from its changelog.

use std::collections::BTreeMap;

use frostline_engine::store::{StateError, Store};

/// The entries of a store, in key order.
pub(super) type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// All committed entries of a store.
pub(super) fn of_store(store: &mut Store) -> Result<Entries, StateError> {
    let mut entries = Entries::new();
    store.scan(|key, value| drop(entries.insert(key.to_vec(), value.to_vec())))?;
    Ok(entries)
}

/// Makes the change that a record of the changelog says.
pub(super) fn change(entries: &mut Entries, key: Vec<u8>, value: Option<Vec<u8>>) {
    match value {
        Some(value) => entries.insert(key, value),
        None => entries.remove(&key),
    };
}
