//! Sends the feed at a steady rate, on its own thread, while faults happen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use frostline_engine::kafka::{ClientSettings, Producer};

use super::fed::{Fed, Source};
use super::feed::{Feed, filler};
use super::installation::{SETTLE_RECORDS, outgoing, producer};
use super::{ChaosError, ChaosOptions, Installation};
use crate::config::topic;

/// Records are sent in small batches.
const PORTION_INTERVAL: Duration = Duration::from_millis(20);
/// Pause after the broker has refused a record.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// How long the broker may take to accept everything that was sent.
const PAUSE_PATIENCE: Duration = Duration::from_secs(60);

/// A requested pause.
#[derive(Default)]
struct Pause {
    is_wanted: AtomicBool,
    /// Whether sending has stopped, and the broker has everything.
    is_reached: AtomicBool,
}

/// The sending thread.
pub(super) struct Feeder {
    stop: Arc<AtomicBool>,
    /// Whether open observations must settle after the stop.
    settle: Arc<AtomicBool>,
    pause: Arc<Pause>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<(), ChaosError>>>,
}

impl Feeder {
    pub(super) fn start(installation: &Installation) -> Result<Self, ChaosError> {
        let (stop, settle) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (sent, pause) = (Arc::new(AtomicU64::new(0)), Arc::new(Pause::default()));
        let sender = Sender {
            settings: installation.settings.clone(),
            producer: producer(&installation.settings)?,
            lines: installation.config.topic(topic::CSV_RAW).name,
            json: installation.config.topic(topic::RAW).name,
            hourly: installation.config.topic(topic::HOURLY).name,
            sent: Arc::clone(&sent),
            pause: Arc::clone(&pause),
            stop: Arc::clone(&stop),
            settle: Arc::clone(&settle),
        };
        let ChaosOptions { seed, partitions, rate, .. } = installation.options;
        let feed = Feed::new(seed, partitions, installation.services.is_none());
        let thread = std::thread::spawn(move || sender.run(feed, rate, partitions));
        Ok(Self { stop, settle, pause, sent, thread: Some(thread) })
    }

    /// How many records have been sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Stops sending until [`resume`](Self::resume), and waits until the broker has everything.
    pub(super) fn pause(&self) -> Result<(), ChaosError> {
        self.pause.is_reached.store(false, Ordering::Release);
        self.pause.is_wanted.store(true, Ordering::Release);
        let deadline = Instant::now() + PAUSE_PATIENCE;
        while !self.pause.is_reached.load(Ordering::Acquire) {
            if Instant::now() > deadline || self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                return Err(ChaosError::Broken("the broker does not accept the records that are fed".into()));
            }
            std::thread::sleep(PORTION_INTERVAL);
        }
        Ok(())
    }

    /// Continues after a pause.
    pub(super) fn resume(&self) {
        self.pause.is_wanted.store(false, Ordering::Release);
    }

    /// Stops the feed, sends records that let everything settle, and waits until the broker has them. Returns how
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
    pause: Arc<Pause>,
    stop: Arc<AtomicBool>,
    settle: Arc<AtomicBool>,
}

impl Sender {
    fn run(mut self, mut feed: Feed, rate: u64, partitions: i32) -> Result<(), ChaosError> {
        let (mut last, mut fed_for, mut is_paused) = (Instant::now(), Duration::ZERO, false);
        while !self.stop.load(Ordering::Acquire) {
            let time = std::mem::replace(&mut last, Instant::now()).elapsed();
            if self.pause.is_wanted.load(Ordering::Acquire) {
                // Records that the broker has not accepted are retried later.
                let is_taken = self.producer.wait_acknowledged().is_ok();
                is_paused = true;
                self.pause.is_reached.store(is_taken, Ordering::Release);
                std::thread::sleep(PORTION_INTERVAL);
                continue;
            }
            if std::mem::take(&mut is_paused) {
                // Topics may have been created again in the meantime.
                self.producer = producer(&self.settings)?;
            }
            fed_for += time;
            let due = (fed_for.as_secs_f64() * rate as f64) as u64;
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
        // A record that failed before was never in the topic, so it is no input.
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
        // Without a limit: a broker that restarts may need half a minute.
        while let Err(error) = self.producer.send(&record) {
            if self.stop.load(Ordering::Acquire) && !self.settle.load(Ordering::Relaxed) {
                return Ok(());
            }
            tracing::debug!(%error, "feeding failed; retrying");
            std::thread::sleep(RETRY_DELAY);
            self.producer = producer(&self.settings)?;
        }
        self.sent.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
