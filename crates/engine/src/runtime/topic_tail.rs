//! Follows a topic for whoever wants to see what is written: from some way before its end, for ever after. Nothing is
//! committed and nothing depends on it; where it falls behind or the brokers are away, only the view is late.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::background::Background;
use super::failure::Failure;
use crate::kafka::{Admin, ClientSettings, KafkaError, Polled, Reader, StartAt};
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
            let (next, unread) = (Vec::new(), BTreeSet::new());
            Follower { settings, topic, next, unread, is_current: told, tail, visit, stop }.run();
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
    /// Where each partition goes on, once it has been seen.
    next: Vec<Option<i64>>,
    /// The partitions that have not been read to their end yet.
    unread: BTreeSet<i32>,
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
        if self.next.is_empty() {
            // It may be made later.
            let partitions = Admin::new(&self.settings)?.partitions(&self.topic)?;
            let Some(partitions) = partitions else {
                self.is_current.store(true, Ordering::Release);
                return Err(KafkaError::Retry(format!("no topic {}", self.topic)).into());
            };
            self.next = vec![None; usize::try_from(partitions).unwrap_or(0)];
            self.unread = (0..partitions).collect();
        }
        let start = |next: &Option<i64>| next.map_or(StartAt::Tail(self.tail), StartAt::Offset);
        let starts: Vec<(i32, StartAt)> = (0..).zip(self.next.iter().map(start)).collect();
        let mut reader = Reader::new(&self.settings, &self.topic, &starts)?;
        let Self { next, unread, is_current, visit, stop, .. } = self;
        while !stop.load(Ordering::Acquire) {
            reader.read(POLL_TIMEOUT, BATCH_RECORDS, &mut |polled| match polled {
                Polled::Record(record) => {
                    let index = usize::try_from(record.partition).unwrap_or(usize::MAX);
                    if let Some(next) = next.get_mut(index) {
                        *next = Some(record.offset + 1);
                    }
                    visit(&record);
                }
                Polled::EndOfPartition { partition, .. } => {
                    unread.remove(&partition);
                    is_current.store(unread.is_empty(), Ordering::Release);
                }
            })?;
        }
        reader.close();
        Ok(())
    }
}
