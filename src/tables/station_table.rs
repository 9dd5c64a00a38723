//! The station table: the compacted topic `noaa-stations`. Kept in sled, so that a restart reads only new records,
//! and in memory.

use std::sync::Arc;

use frostline_engine::kafka::StartAt;
use frostline_engine::record::unix_ms;
use frostline_engine::store::{Change, Checkpoint, Identity, StateDirectory};
use frostline_engine::{Opening, Record, StateError, Store, Table};

use crate::noaa::{Station, StationId};
use crate::stages::StationIndex;

/// Store keys of stations begin with this byte; the station id follows.
const STATION_KEY: u8 = b's';
/// Small batches: the memory that sled takes for large ones stays with the process (measured: 30 MB).
const BATCH_CHANGES: usize = 100;
/// Limits how far sled falls behind when a table is read for the first time: unwritten data takes up to 100 MB of
/// memory (measured with 128,024 stations).
const FLUSH_RECORDS: u32 = 5_000;

/// The table; see the module's description.
pub struct StationTable {
    index: Arc<StationIndex>,
    parts: Vec<Part>,
    state: Option<StateDirectory>,
    topic: String,
    taken: u32,
}

/// One partition of the topic.
struct Part {
    store: Store,
    pending: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    next_offset: i64,
}

impl StationTable {
    /// A table that fills `index`.
    pub fn new(index: Arc<StationIndex>) -> Self {
        Self { index, parts: Vec::new(), state: None, topic: String::new(), taken: 0 }
    }
}

impl Table for StationTable {
    fn open(&mut self, opening: &Opening<'_>) -> Result<Vec<StartAt>, StateError> {
        opening.topic.clone_into(&mut self.topic);
        self.state = Some(opening.state.clone());
        for partition in 0..opening.identity.partitions {
            let identity = Identity {
                stage: "stations".to_owned(),
                topic: opening.topic.to_owned(),
                partition,
                cluster: opening.cluster.to_owned(),
                topic_ids: opening.identity.id.clone(),
            };
            self.parts.push(Part::open(opening, &identity, &self.index)?);
        }
        tracing::debug!(stations = self.index.len(), "stations from the state directory");
        let start = |part: &Part| match part.next_offset {
            ..0 => StartAt::Beginning,
            next_offset => StartAt::Offset(next_offset),
        };
        Ok(self.parts.iter().map(start).collect())
    }

    /// Takes one record into memory and into its batch. A record that cannot be read is skipped and logged.
    fn take(&mut self, record: &Record<'_>) -> Result<(), StateError> {
        let part = usize::try_from(record.partition).ok().and_then(|partition| self.parts.get_mut(partition));
        let Some(part) = part else { return Ok(()) };
        part.next_offset = record.offset + 1;
        let (topic, partition, offset) = (record.topic, record.partition, record.offset);
        let Some(id) = record.key.and_then(StationId::parse) else {
            tracing::warn!(topic, partition, offset, "station skipped: its key is not a station id");
            return Ok(());
        };
        match record.value.map(serde_json::from_slice::<Station>) {
            None => self.index.remove(id),
            Some(Ok(station)) if station.id == id => self.index.insert(&station),
            Some(Ok(station)) => {
                let found = station.id;
                tracing::warn!(topic, partition, offset, %id, %found, "station skipped: key and id differ");
                return Ok(());
            }
            Some(Err(error)) => {
                tracing::warn!(topic, partition, offset, %id, %error, "station skipped: it cannot be read");
                return Ok(());
            }
        }
        let key = [&[STATION_KEY], &id.as_bytes()[..]].concat();
        part.pending.push((key, record.value.map(<[u8]>::to_vec)));
        if part.pending.len() >= BATCH_CHANGES {
            part.write()?;
        }
        self.taken += 1;
        match &self.state {
            Some(state) if self.taken.is_multiple_of(FLUSH_RECORDS) => state.flush(),
            _ => Ok(()),
        }
    }

    fn settle(&mut self) -> Result<(), StateError> {
        self.parts.iter_mut().try_for_each(Part::write)
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
        self.parts.iter_mut().try_for_each(Part::confirm).map_err(|error| error.to_string())
    }
}

impl Part {
    /// Opens the copy and loads it into memory. A copy that is damaged, or may have missed tombstones, is dropped,
    /// and read again from the topic.
    fn open(opening: &Opening<'_>, identity: &Identity, index: &StationIndex) -> Result<Self, StateError> {
        let state = opening.state;
        let emptied = |store: Store| {
            drop(store);
            state.drop_store(&identity.tree_name())?;
            state.store(identity, u32::MAX)
        };
        let mut store = state.store(identity, u32::MAX)?;
        if store.is_outdated(unix_ms(), opening.tombstones_kept) {
            store = emptied(store)?;
        }
        let scanned = store.scan(|_, value| {
            if let Ok(station) = serde_json::from_slice::<Station>(value) {
                index.insert(&station);
            }
        });
        match scanned {
            Err(damage @ StateError::Corrupted { .. }) => {
                tracing::warn!(error = %damage, "the station table's copy is damaged; reading the table again from its topic");
                store = emptied(store)?;
            }
            outcome => outcome?,
        }
        let next_offset = store.checkpoint().changelog_offset;
        Ok(Self { store, pending: Vec::new(), next_offset })
    }

    fn write(&mut self) -> Result<(), StateError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let changes: Vec<Change<'_>> =
            self.pending.iter().map(|(key, value)| Change { key, value: value.as_deref() }).collect();
        self.store.write(&changes, self.checkpoint())?;
        self.pending.clear();
        Ok(())
    }

    /// The copy is complete as of now, even if nothing has changed.
    fn confirm(&mut self) -> Result<(), StateError> {
        self.write()?;
        let checkpoint = self.checkpoint();
        if checkpoint.changelog_offset > 0 { self.store.write(&[], checkpoint) } else { Ok(()) }
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint { changelog_offset: self.next_offset, at_ms: unix_ms(), ..Checkpoint::NONE }
    }
}
