//! Follows a topic for display, from some way before its end. Nothing is committed and no stage depends on it; if it
//! falls behind or the brokers are away, only the display is late.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::background::Background;
use super::failure::Failure;
use super::follow::{FollowClient, Places};
use crate::kafka::{Admin, KafkaError, Polled, StartAt};
use crate::record::Record;

/// How long a poll waits, and so how long stopping takes at most.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// Records per poll.
const BATCH_RECORDS: usize = 500;
/// Pause before a broken reader is replaced.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// Takes the records on the tail's own thread, each with whether the tail had come to the end before: such a record is
/// new.
pub(super) type Visit = Box<dyn FnMut(&Record<'_>, bool) + Send>;

/// The tail of a topic; it stops when this is dropped.
pub struct TopicTail {
    _thread: Background,
    is_current: Arc<AtomicBool>,
}

impl TopicTail {
    /// Follows `topic`, starting up to `tail` records before the end of each partition. `visit` takes each record, and
    /// whether the tail [is current](Self::is_current), so that the record is a new one.
    pub fn start(
        client: FollowClient,
        topic: String,
        tail: i64,
        visit: impl FnMut(&Record<'_>, bool) + Send + 'static,
    ) -> Self {
        let visit: Visit = Box::new(visit);
        let is_current = Arc::new(AtomicBool::new(false));
        let shown = Arc::clone(&is_current);
        let follow = move |stop| {
            Follower { client, topic, places: None, is_current, tail, visit, stop }.run();
        };
        Self { _thread: Background::start(follow), is_current: shown }
    }

    /// Whether it has reached the end that the topic had at the start; also true if the topic does not exist.
    pub fn is_current(&self) -> bool {
        self.is_current.load(Ordering::Acquire)
    }
}

struct Follower {
    client: FollowClient,
    topic: String,
    /// Set once the topic was found.
    places: Option<Places>,
    is_current: Arc<AtomicBool>,
    tail: i64,
    visit: Visit,
    stop: Arc<AtomicBool>,
}

impl Follower {
    fn run(mut self) {
        while !self.stop.load(Ordering::Acquire) {
            let Err(failure) = self.follow() else { return };
            tracing::debug!(topic = self.topic, error = %failure, "cannot follow the topic; retrying");
            let rested = std::time::Instant::now();
            while rested.elapsed() < RETRY_DELAY && !self.stop.load(Ordering::Acquire) {
                std::thread::sleep(POLL_TIMEOUT);
            }
        }
    }

    fn follow(&mut self) -> Result<(), Failure> {
        let places = match &mut self.places {
            Some(places) => places,
            None => {
                // It may be created later.
                let partitions = Admin::new(&self.client.settings)?.partitions(&self.topic)?;
                let Some(partitions) = partitions else {
                    self.is_current.store(true, Ordering::Release);
                    // The other tails need not wait for this one.
                    self.client.readers = None;
                    return Err(KafkaError::Retry(format!("no topic {}", self.topic)).into());
                };
                let starts = (0..partitions).map(|_| StartAt::Tail(self.tail)).collect();
                self.places.insert(Places::new(starts))
            }
        };
        let mut reader = places.reader(&mut self.client, &self.topic)?;
        let visit = &mut self.visit;
        while !self.stop.load(Ordering::Acquire) {
            let is_new = self.is_current.load(Ordering::Acquire);
            let take = &mut |polled: &Polled<'_>| {
                if let Polled::Record(record) = polled {
                    visit(record, is_new);
                }
                Ok(())
            };
            places.read(&mut reader, (POLL_TIMEOUT, BATCH_RECORDS), take)?;
            if places.are_at_end() {
                self.is_current.store(true, Ordering::Release);
            }
        }
        reader.close();
        Ok(())
    }
}
