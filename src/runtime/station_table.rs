//! The station table: the compacted topic `noaa-stations`, read whole by every process before its first
//! record, and followed for ever after. In sled, so that a restart reads only what is new, and in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::background::Background;
use super::failure::Failure;
use crate::kafka::{ClientSettings, Polled, Reader, StartAt, TopicIdentity};
use crate::noaa::{Station, StationId};
use crate::record::{Record, unix_ms};
use crate::stages::StationIndex;
use crate::state::{Change, Checkpoint, Identity, StateDirectory, StateError, Store};

/// Store keys of stations begin with this byte; the station id follows.
const STATION_KEY: u8 = b's';
/// Small batches: what sled takes to write large ones stays with the process (measured: 30 MB).
const BATCH_CHANGES: usize = 100;
/// How long changes wait for their batch once the table is followed.
const FOLLOW_TIMEOUT: Duration = Duration::from_millis(200);
/// How long a broken reader rests before it is made again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// What loading the table came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableProgress {
    /// Stations in the table.
    pub stations: usize,
    /// Of these, how many came from the state directory.
    pub from_state: usize,
    /// How long it took.
    pub time: Duration,
}

/// Follows the topic until it is dropped.
pub(super) struct StationTable {
    _thread: Background,
}

impl StationTable {
    /// Starts loading into `index`; the receiver is told when the table is complete.
    pub(super) fn start(
        settings: ClientSettings,
        (state, cluster): (&StateDirectory, &str),
        topic: String,
        found: &TopicIdentity,
        index: Arc<StationIndex>,
    ) -> Result<(Self, oneshot::Receiver<Result<TableProgress, Failure>>), Failure> {
        let mut stores = Vec::new();
        for partition in 0..found.partitions {
            let (stage, topic, cluster) = ("stations".to_owned(), topic.clone(), cluster.to_owned());
            let identity = Identity { stage, topic, partition, cluster, topic_ids: found.id.clone() };
            stores.push(Part {
                store: state.store(&identity, u32::MAX)?,
                identity,
                pending: Vec::new(),
                next_offset: -1,
                is_at_end: false,
            });
        }
        let (loaded, receiver) = oneshot::channel();
        let state = state.clone();
        let follow = move |stop| {
            Follower { settings, topic, state, parts: stores, index, stop }.run(loaded);
        };
        Ok((Self { _thread: Background::start(follow) }, receiver))
    }
}

/// One partition of the topic.
struct Part {
    identity: Identity,
    store: Store,
    pending: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    next_offset: i64,
    is_at_end: bool,
}

struct Follower {
    settings: ClientSettings,
    topic: String,
    state: StateDirectory,
    parts: Vec<Part>,
    index: Arc<StationIndex>,
    stop: Arc<AtomicBool>,
}

/// sled is made to keep up when a table is read for the first time: what it has not written yet is in memory, up
/// to 100 MB of it (measured with 128,024 stations).
const FLUSH_RECORDS: u32 = 5_000;

impl Follower {
    fn run(mut self, loaded: oneshot::Sender<Result<TableProgress, Failure>>) {
        let started = Instant::now();
        let mut loaded = Some(loaded);
        if let Err(failure) = self.load_stores() {
            let _ = loaded.take().map(|loaded| loaded.send(Err(failure)));
            return;
        }
        let from_state = self.index.len();
        while !self.stop.load(Ordering::Acquire) {
            let outcome = self.follow(|index| {
                if let Some(loaded) = loaded.take() {
                    let progress =
                        TableProgress { stations: index.len(), from_state, time: started.elapsed() };
                    let _ = loaded.send(Ok(progress));
                }
            });
            let Err(failure) = outcome else { return };
            if let Some(loaded) = loaded.take_if(|_| failure.is_fatal()) {
                let _ = loaded.send(Err(failure));
                return;
            }
            tracing::warn!(topic = self.topic, error = %failure, "station table is read again");
            std::thread::sleep(RETRY_DELAY);
        }
    }

    fn load_stores(&mut self) -> Result<(), Failure> {
        for part in &mut self.parts {
            match part.load(&self.index) {
                Err(damage @ StateError::Corrupted { .. }) => {
                    tracing::warn!(error = %damage, "the damaged station table is read again from its topic");
                    let name = part.identity.tree_name();
                    self.state.drop_store(&name)?;
                    part.store = self.state.store(&part.identity, u32::MAX)?;
                    part.next_offset = -1;
                }
                outcome => outcome?,
            }
        }
        Ok(())
    }

    /// Reads until told to stop. `at_end` is called when all partitions have been read to their end.
    fn follow(&mut self, mut at_end: impl FnMut(&StationIndex)) -> Result<(), Failure> {
        let starts: Vec<(i32, StartAt)> = (0..)
            .zip(&self.parts)
            .map(|(partition, part)| {
                let start =
                    if part.next_offset < 0 { StartAt::Beginning } else { StartAt::Offset(part.next_offset) };
                (partition, start)
            })
            .collect();
        let mut reader = Reader::new(&self.settings, &self.topic, &starts)?;
        let Self { parts, index, stop, topic, state, .. } = self;
        let mut taken = 0_u32;
        while !stop.load(Ordering::Acquire) {
            let polled = reader.poll(FOLLOW_TIMEOUT, |polled| match polled {
                Polled::Record(record) => take(parts, index, topic, &record),
                Polled::EndOfPartition { partition, .. } => {
                    let Some(part) = part_mut(parts, partition) else { return Ok(()) };
                    part.is_at_end = true;
                    part.write()
                }
            })?;
            taken += 1;
            if taken.is_multiple_of(FLUSH_RECORDS) {
                state.flush()?;
            }
            match polled {
                Some(result) => result?,
                None => parts.iter_mut().try_for_each(Part::write)?,
            }
            if parts.iter().all(|part| part.is_at_end) {
                at_end(index);
            }
        }
        parts.iter_mut().try_for_each(Part::write)
    }
}

fn part_mut(parts: &mut [Part], partition: i32) -> Option<&mut Part> {
    parts.get_mut(usize::try_from(partition).ok()?)
}

/// Takes one record into memory and into its batch. A record that cannot be read is left out, and said.
fn take(parts: &mut [Part], index: &StationIndex, topic: &str, record: &Record<'_>) -> Result<(), Failure> {
    let Some(part) = part_mut(parts, record.partition) else { return Ok(()) };
    part.next_offset = record.offset + 1;
    let (partition, offset) = (record.partition, record.offset);
    let Some(id) = record.key.and_then(StationId::parse) else {
        tracing::warn!(topic, partition, offset, "station left out: its key is not a station id");
        return Ok(());
    };
    match record.value.map(serde_json::from_slice::<Station>) {
        None => index.remove(id),
        Some(Ok(station)) if station.id == id => index.insert(&station),
        Some(Ok(station)) => {
            tracing::warn!(topic, partition, offset, %id, found = %station.id, "station left out: key and id differ");
            return Ok(());
        }
        Some(Err(error)) => {
            tracing::warn!(topic, partition, offset, %id, %error, "station left out: it cannot be read");
            return Ok(());
        }
    }
    let mut key = vec![STATION_KEY];
    key.extend_from_slice(id.as_bytes());
    part.pending.push((key, record.value.map(<[u8]>::to_vec)));
    if part.pending.len() >= BATCH_CHANGES { part.write() } else { Ok(()) }
}

impl Part {
    /// Reads what the store has into memory.
    fn load(&mut self, index: &StationIndex) -> Result<(), StateError> {
        self.next_offset = self.store.checkpoint().changelog_offset;
        self.store.scan(|_, value| {
            if let Ok(station) = serde_json::from_slice::<Station>(value) {
                index.insert(&station);
            }
        })
    }

    fn write(&mut self) -> Result<(), Failure> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let changes: Vec<Change<'_>> =
            self.pending.iter().map(|(key, value)| Change { key, value: value.as_deref() }).collect();
        let at_ms = unix_ms();
        let checkpoint = Checkpoint { changelog_offset: self.next_offset, at_ms, ..Checkpoint::NONE };
        self.store.write(&changes, checkpoint)?;
        self.pending.clear();
        Ok(())
    }
}
