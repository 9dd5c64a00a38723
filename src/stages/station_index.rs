//! The station table in memory: each station's JSON, ready to be spliced into observations.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::noaa::{Compat, Station, StationId};

/// Station id to prepared JSON. Filled and followed by the runtime, read by the stages.
pub struct StationIndex {
    compat: Compat,
    stations: RwLock<HashMap<StationId, Arc<str>, foldhash::fast::RandomState>>,
}

impl StationIndex {
    /// An empty index that prepares the JSON for `compat`.
    pub fn new(compat: Compat) -> Self {
        Self { compat, stations: RwLock::default() }
    }

    /// Adds or replaces a station.
    pub fn insert(&self, station: &Station) {
        let json: Arc<str> = station.to_json(self.compat).into();
        // A poisoned lock only says that a reader panicked; the map itself is whole.
        self.stations.write().unwrap_or_else(PoisonError::into_inner).insert(station.id, json);
    }

    /// Adds a station of which nothing but the id is known.
    pub fn insert_unknown(&self, id: StationId) {
        let json = format!("{{\"id\":\"{id}\",\"country_code\":\"{}\"}}", id.country_code());
        self.stations.write().unwrap_or_else(PoisonError::into_inner).insert(id, json.into());
    }

    /// Takes a station out (its tombstone was read).
    pub fn remove(&self, id: StationId) {
        self.stations.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// The prepared JSON of a station.
    pub fn get(&self, id: StationId) -> Option<Arc<str>> {
        self.stations.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// The ids of all stations, in no order.
    pub fn ids(&self) -> Vec<StationId> {
        self.stations.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// How many stations there are.
    pub fn len(&self) -> usize {
        self.stations.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
