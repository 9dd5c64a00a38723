//! Follows a topic for whoever wants to see what is written: from some way before its end, for ever after. Nothing is
//! committed and nothing depends on it; where it falls behind or the brokers are away, only the view is late.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::background::Background;
use super::failure::Failure;
use super::follow::Places;
use crate::kafka::{Admin, ClientSettings, KafkaError, StartAt};
use crate::record::Record;

/// How long a poll waits: stopping takes as long at most.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// Records taken at once.
const BATCH_RECORDS: usize = 500;
/// How long a broken reader rests before it is made again.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// Takes the records, on the tail's own thread.
pub(super) type Visit = Box<dyn FnMut(&Record<'_>) + Send>;

/// Ends when it is dropped.
pub struct TopicTail {
    _thread: Background,
    is_current: Arc<AtomicBool>,
}

impl TopicTail {
    /// Follows `topic`, beginning up to `tail` records before the end of each partition.
    pub fn start(
        settings: ClientSettings,
        topic: String,
        tail: i64,
        visit: impl FnMut(&Record<'_>) + Send + 'static,
    ) -> Self {
        let visit: Visit = Box::new(visit);
        let is_current = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_current);
        let follow = move |stop| {
            Follower { settings, topic, places: None, is_current: told, tail, visit, stop }.run();
        };
        Self { _thread: Background::start(follow), is_current }
    }

    /// Whether it has come to the end that the topic had at the start; also where there is no topic.
    pub fn is_current(&self) -> bool {
        self.is_current.load(Ordering::Acquire)
    }
}

struct Follower {
    settings: ClientSettings,
    topic: String,
    /// Once the topic was there.
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
            tracing::debug!(topic = self.topic, error = %failure, "looked at again soon");
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
                // It may be made later.
                let partitions = Admin::new(&self.settings)?.partitions(&self.topic)?;
                let Some(partitions) = partitions else {
                    self.is_current.store(true, Ordering::Release);
                    return Err(KafkaError::Retry(format!("no topic {}", self.topic)).into());
                };
                let starts = (0..partitions).map(|_| StartAt::Tail(self.tail)).collect();
                self.places.insert(Places::new(starts))
            }
        };
        let mut reader = places.reader(&self.settings, &self.topic)?;
        let visit = &mut self.visit;
        let take = &mut |record: &Record<'_>| {
            visit(record);
            Ok(())
        };
        while !self.stop.load(Ordering::Acquire) {
            places.read(&mut reader, (POLL_TIMEOUT, BATCH_RECORDS), take)?;
            self.is_current.store(places.are_at_end(), Ordering::Release);
        }
        reader.close();
        Ok(())
    }
}
