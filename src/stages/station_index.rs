//! The station table in memory: each station's JSON, ready to be spliced into observations.

use std::collections::{BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::station_texts::StationTexts;
use crate::noaa::{Compat, Station, StationId};

/// Prepared JSON by station id. Filled and updated by the engine, read by the stages.
pub struct StationIndex {
    compat: Compat,
    stations: RwLock<StationTexts>,
    airports: RwLock<Airports>,
}

/// Stations that have an ICAO id.
#[derive(Default)]
struct Airports {
    by_station: HashMap<StationId, [u8; 4]>,
    /// If several stations share one, the smallest id counts; ids of network I, which were made from ICAO ids, come
    /// last.
    by_icao: BTreeSet<([u8; 4], bool, StationId)>,
}

impl Airports {
    fn set(&mut self, station: StationId, icao: Option<[u8; 4]>) {
        let is_made_up = station.as_bytes()[2] == b'I';
        if let Some(before) = self.by_station.remove(&station) {
            self.by_icao.remove(&(before, is_made_up, station));
        }
        if let Some(icao) = icao {
            self.by_station.insert(station, icao);
            self.by_icao.insert((icao, is_made_up, station));
        }
    }

    fn find(&self, icao: [u8; 4]) -> Option<StationId> {
        let first = StationId::parse(b"-----------")?;
        let (found, _, station) = self.by_icao.range((icao, false, first)..).next()?;
        (*found == icao).then_some(*station)
    }
}

impl StationIndex {
    /// An empty index that prepares the JSON for `compat`.
    pub fn new(compat: Compat) -> Self {
        Self { compat, stations: RwLock::default(), airports: RwLock::default() }
    }

    /// Adds or replaces a station.
    pub fn insert(&self, station: &Station) {
        let json = station.to_json(self.compat);
        self.write().insert(station.id, &json);
        let icao = station.icao.as_ref().and_then(|icao| icao.as_bytes().try_into().ok());
        self.set_icao(station.id, icao);
    }

    // A poisoned lock only means that another thread panicked; the texts themselves are whole.
    fn read(&self) -> RwLockReadGuard<'_, StationTexts> {
        self.stations.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, StationTexts> {
        self.stations.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_icao(&self, id: StationId, icao: Option<[u8; 4]>) {
        self.airports.write().unwrap_or_else(PoisonError::into_inner).set(id, icao);
    }

    /// The station with this ICAO id, as METARs name it.
    pub fn find_icao(&self, icao: &str) -> Option<StationId> {
        let icao = icao.as_bytes().try_into().ok()?;
        let airports = self.airports.read().unwrap_or_else(PoisonError::into_inner);
        airports.find(icao)
    }

    /// Adds a station of which only the id is known.
    pub fn insert_unknown(&self, id: StationId) {
        let json = format!("{{\"id\":\"{id}\",\"country_code\":\"{}\"}}", id.country_code());
        self.write().insert(id, &json);
    }

    /// Removes a station (its tombstone was read).
    pub fn remove(&self, id: StationId) {
        self.write().remove(id);
        self.set_icao(id, None);
    }

    /// The prepared JSON of a station.
    pub fn get(&self, id: StationId) -> Option<String> {
        self.read().get(id)
    }

    /// The ids of all stations, in no particular order.
    pub fn ids(&self) -> Vec<StationId> {
        self.read().ids().collect()
    }

    /// How many stations there are.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether there are no stations.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noaa::Location;

    #[test]
    fn stations_are_found_by_icao_id() {
        let station = |id: &str, icao: Option<&str>| Station {
            id: StationId::parse(id.as_bytes()).unwrap(),
            country_code: "US".to_owned(),
            country: "United States".to_owned(),
            location: Location { lat: 33.6, lon: -111.9 },
            elevation: None,
            state_code: None,
            state: None,
            name: "SCOTTSDALE".to_owned(),
            gsn_flag: None,
            hcn_crn_flag: None,
            wmo_id: None,
            icao: icao.map(str::to_owned),
        };
        let index = StationIndex::new(Compat::Rally);
        let found = |icao: &str| index.find_icao(icao).map(|id| id.to_string());
        index.insert(&station("USI0000KSDL", Some("KSDL")));
        assert_eq!(found("KSDL").as_deref(), Some("USI0000KSDL"));
        index.insert(&station("USW00003192", Some("KSDL")));
        index.insert(&station("USW00003193", Some("KSDM")));
        assert_eq!(found("KSDL").as_deref(), Some("USW00003192"), "the id that daily data have");
        assert_eq!((found("KSDK"), found("KSD"), found("")), (None, None, None));
        index.insert(&station("USW00003192", None));
        assert_eq!(found("KSDL").as_deref(), Some("USI0000KSDL"));
        index.remove(StationId::parse(b"USI0000KSDL").unwrap());
        assert_eq!((found("KSDL"), found("KSDM").as_deref()), (None, Some("USW00003193")));
    }
}
