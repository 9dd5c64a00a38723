//! Sends the feed at a steady rate, on a thread of its own, while faults happen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use frostline_engine::kafka::{ClientSettings, Producer};

use super::feed::{Fed, Feed, Source, filler};
use super::installation::{SETTLE_RECORDS, outgoing, producer};
use super::{ChaosError, Installation};
use crate::config::topic;

/// Records are sent in small portions.
const PORTION_INTERVAL: Duration = Duration::from_millis(20);
/// After a broker that did not take a record.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// The sending thread.
pub(super) struct Feeder {
    stop: Arc<AtomicBool>,
    /// Whether what is open shall settle after the stop.
    settle: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<(), ChaosError>>>,
}

impl Feeder {
    pub(super) fn start(installation: &Installation) -> Result<Self, ChaosError> {
        let (stop, settle) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let sent = Arc::new(AtomicU64::new(0));
        let sender = Sender {
            settings: installation.settings.clone(),
            producer: producer(&installation.settings)?,
            lines: installation.config.topic(topic::CSV_RAW).name,
            json: installation.config.topic(topic::RAW).name,
            hourly: installation.config.topic(topic::HOURLY).name,
            sent: Arc::clone(&sent),
            stop: Arc::clone(&stop),
            settle: Arc::clone(&settle),
        };
        let feed = Feed::new(installation.options.seed, installation.options.partitions);
        let (partitions, rate) = (installation.options.partitions, installation.options.rate);
        let thread = std::thread::spawn(move || sender.run(feed, rate, partitions));
        Ok(Self { stop, settle, sent, thread: Some(thread) })
    }

    /// How many records have been sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Stops the feed, sends what lets everything settle, and waits until the broker has it all. Returns how
    /// many records were sent.
    pub(super) fn finish(mut self) -> Result<u64, ChaosError> {
        self.settle.store(true, Ordering::Relaxed);
        self.stop.store(true, Ordering::Release);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result.map(|()| self.sent.load(Ordering::Relaxed)),
            _ => Err(ChaosError::Broken("the feeder panicked".into())),
        }
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Sender {
    settings: ClientSettings,
    producer: Producer,
    /// Names in Kafka.
    lines: String,
    json: String,
    hourly: String,
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    settle: Arc<AtomicBool>,
}

impl Sender {
    fn run(mut self, mut feed: Feed, rate: u64, partitions: i32) -> Result<(), ChaosError> {
        let start = Instant::now();
        while !self.stop.load(Ordering::Acquire) {
            let due = (start.elapsed().as_secs_f64() * rate as f64) as u64;
            while self.sent.load(Ordering::Relaxed) < due && !self.stop.load(Ordering::Acquire) {
                self.send(&feed.next())?;
            }
            std::thread::sleep(PORTION_INTERVAL);
        }
        if !self.settle.load(Ordering::Relaxed) {
            return Ok(());
        }
        for fed in filler(partitions, SETTLE_RECORDS) {
            self.send(&fed)?;
        }
        // A record that failed before was never there, and so it is no input.
        if let Err(error) = self.producer.wait_acknowledged() {
            tracing::error!(%error, "some records were not fed");
            self.producer.wait_acknowledged()?;
        }
        Ok(())
    }

    fn send(&mut self, fed: &Fed) -> Result<(), ChaosError> {
        let topic = match fed.source {
            Source::Lines => &self.lines,
            Source::Json => &self.json,
            Source::Hourly => &self.hourly,
        };
        let record = outgoing(topic, fed.key.as_bytes(), fed.value.as_deref());
        // For as long as it takes: a broker that restarts may need half a minute.
        while let Err(error) = self.producer.send(&record) {
            if self.stop.load(Ordering::Acquire) && !self.settle.load(Ordering::Relaxed) {
                return Ok(());
            }
            tracing::debug!(%error, "feeding is tried again");
            std::thread::sleep(RETRY_DELAY);
            self.producer = producer(&self.settings)?;
        }
        self.sent.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
