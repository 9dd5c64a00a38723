//! The station table: the compacted topic `noaa-stations`. In memory, with a copy on disk, so that a restart reads only
//! new records. The copy has rows ([`Station::to_row`]), or whole documents if an earlier version wrote them.

use std::sync::Arc;

use frostline_engine::kafka::StartAt;
use frostline_engine::{Opening, Record, StateError, Table, TableCopy};

use crate::noaa::{Station, StationId};
use crate::stages::StationIndex;

/// Store keys of stations begin with this byte; the station id follows.
const STATION_KEY: u8 = b's';

/// The table; see the module's description.
pub struct StationTable {
    index: Arc<StationIndex>,
    /// Set when it is opened.
    copy: Option<TableCopy>,
    topic: String,
}

impl StationTable {
    /// A table that fills `index`.
    pub fn new(index: Arc<StationIndex>) -> Self {
        Self { index, copy: None, topic: String::new() }
    }

    /// Takes a record into memory. Returns its key and value in the copy; `None` if it cannot be used, which is logged.
    fn take_into_memory(&self, record: &Record<'_>) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let (topic, partition, offset) = (record.topic, record.partition, record.offset);
        let Some(id) = record.key.and_then(StationId::parse) else {
            tracing::warn!(topic, partition, offset, "station skipped: its key is not a station id");
            return None;
        };
        let row = match record.value.map(serde_json::from_slice::<Station>) {
            None => {
                self.index.remove(id);
                None
            }
            Some(Ok(station)) if station.id == id => {
                self.index.insert(&station);
                Some(station.to_row())
            }
            Some(Ok(station)) => {
                let found = station.id;
                tracing::warn!(topic, partition, offset, %id, %found, "station skipped: key and id differ");
                return None;
            }
            Some(Err(error)) => {
                tracing::warn!(topic, partition, offset, %id, %error, "station skipped: it cannot be read");
                return None;
            }
        };
        Some(([&[STATION_KEY], &id.as_bytes()[..]].concat(), row))
    }
}

impl Table for StationTable {
    fn open(&mut self, opening: &Opening<'_>) -> Result<Vec<StartAt>, StateError> {
        opening.topic.clone_into(&mut self.topic);
        let (copy, starts) = TableCopy::open(opening, "stations", &mut |_, value| {
            if let Ok(station) = serde_json::from_slice::<Station>(value) {
                self.index.insert(&station);
            }
        })?;
        self.copy = Some(copy);
        tracing::debug!(stations = self.index.len(), "stations from the state directory");
        Ok(starts)
    }

    fn take(&mut self, record: &Record<'_>) -> Result<(), StateError> {
        let entry = self.take_into_memory(record);
        match (&mut self.copy, entry) {
            (Some(copy), Some((key, row))) => copy.take(record, key, row),
            (Some(copy), None) => copy.skip(record),
            (None, _) => {}
        }
        Ok(())
    }

    fn reached_end(&mut self, partition: i32, offset: i64) {
        if let Some(copy) = &mut self.copy {
            copy.reached_end(partition, offset);
        }
    }

    fn settle(&mut self) -> Result<(), StateError> {
        self.copy.iter_mut().for_each(TableCopy::settle);
        Ok(())
    }

    fn loaded(&mut self) -> Result<(), String> {
        let stations = self.index.len();
        if stations == 0 {
            return Err(format!(
                "the station table {} is empty, so every line would become a dead letter: fill it with `frostline stations \
                 import ghcnd-stations.txt --countries ghcnd-countries.txt --states ghcnd-states.txt`",
                self.topic
            ));
        }
        tracing::info!(stations, "station table loaded");
        Ok(())
    }
}
