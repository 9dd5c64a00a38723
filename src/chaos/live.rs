//! Readers of committed records that read along while faults happen. What they see must never be taken back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use frostline_engine::kafka::{KafkaError, Polled, Reader, StartAt};

use super::topic_log::mark;
use super::{ChaosError, Installation};

/// What was seen: partition and offset to a hash of key and value.
pub(super) type Seen = HashMap<(i32, i64), u64>;

/// Reads one topic along, on a thread of its own.
pub(super) struct LiveReader {
    pub(super) topic: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Seen, KafkaError>>>,
}

impl LiveReader {
    pub(super) fn start(installation: &Installation, topic: String) -> Result<Self, ChaosError> {
        let partitions = 0..installation.options.partitions;
        let starts: Vec<_> = partitions.map(|partition| (partition, StartAt::Beginning)).collect();
        let mut reader = Reader::new(&installation.settings, &topic, &starts)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || follow(&mut reader, &stopped));
        Ok(Self { topic, stop, thread: Some(thread) })
    }

    /// Ends it. Returns what it saw.
    pub(super) fn finish(mut self) -> Result<Seen, ChaosError> {
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
