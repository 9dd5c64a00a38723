//! Readers of committed records that run while faults happen. A record that they see must never be taken back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use frostline_engine::kafka::{KafkaError, Polled, Reader, StartAt};

use super::topic_log::mark;
use super::{ChaosError, Installation};
use crate::config::topic;

/// The records seen: partition and offset, with a hash of key and value.
pub(super) type Seen = HashMap<(i32, i64), u64>;

/// Readers of all topics that stages and sources write.
#[derive(Default)]
pub(super) struct LiveReaders {
    readers: Vec<LiveReader>,
    /// The records seen by readers that were stopped, by topic.
    seen: BTreeMap<String, Seen>,
}

impl LiveReaders {
    /// Starts to read all present partitions from their beginnings.
    pub(super) fn start(&mut self, installation: &Installation) -> Result<(), ChaosError> {
        let written = [topic::JSON, topic::JSON_US_AZ, topic::OUTLOOKS, topic::ALERTS, topic::DEAD_LETTERS];
        let of_sources = installation.services.as_ref().map(|_| [topic::CSV_RAW, topic::HOURLY]);
        for logical in written.into_iter().chain(of_sources.into_iter().flatten()) {
            self.readers.push(LiveReader::start(installation, installation.config.topic(logical).name)?);
        }
        Ok(())
    }

    /// Stops reading. Records seen must still be there at the end.
    pub(super) fn pause(&mut self) -> Result<(), ChaosError> {
        for reader in self.readers.drain(..) {
            let topic = reader.topic.clone();
            let seen = self.seen.entry(topic).or_default();
            for (place, mark) in reader.finish()? {
                seen.entry(place).or_insert(mark);
            }
        }
        Ok(())
    }

    /// Stops reading, and forgets the records seen: the topics will be deleted.
    pub(super) fn forget(&mut self) -> Result<(), ChaosError> {
        self.pause()?;
        self.seen.clear();
        Ok(())
    }

    /// Stops reading. Returns the records seen, by topic.
    pub(super) fn finish(mut self) -> Result<BTreeMap<String, Seen>, ChaosError> {
        self.pause()?;
        Ok(self.seen)
    }
}

/// Reads one topic on its own thread.
struct LiveReader {
    topic: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Seen, KafkaError>>>,
}

impl LiveReader {
    fn start(installation: &Installation, topic: String) -> Result<Self, ChaosError> {
        let partitions = 0..installation.partitions(&topic);
        let starts: Vec<_> = partitions.map(|partition| (partition, StartAt::Beginning)).collect();
        let mut reader = Reader::new(&installation.settings, &topic, &starts)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || follow(&mut reader, &stopped));
        Ok(Self { topic, stop, thread: Some(thread) })
    }

    /// Stops it. Returns the records seen.
    fn finish(mut self) -> Result<Seen, ChaosError> {
        self.stop.store(true, Ordering::Relaxed);
        let joined = self.thread.take().map(JoinHandle::join);
        match joined {
            Some(Ok(seen)) => Ok(seen?),
            _ => Err(ChaosError::Broken(format!("the reader of {} panicked", self.topic))),
        }
    }
}

impl Drop for LiveReader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn follow(reader: &mut Reader, stop: &AtomicBool) -> Result<Seen, KafkaError> {
    let mut seen = Seen::new();
    while !stop.load(Ordering::Relaxed) {
        reader.poll(Duration::from_millis(100), |polled| {
            if let Polled::Record(record) = polled {
                seen.insert((record.partition, record.offset), mark(record.key, record.value, None, &[]));
            }
        })?;
    }
    Ok(seen)
}
