//! Reads a table's topic to its end, and follows it until it is dropped.
//!
//! Where the reader fails it is made again, and goes on behind the last record that the table has taken. A table that
//! cannot be written any more is given up with an error in the log: processors go on with what they know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::background::Background;
use super::failure::Failure;
use crate::kafka::{ClientSettings, KafkaError, Polled, Reader, StartAt};
use crate::table::Table;

/// How long a poll waits: stopping takes as long at most, and so long nothing comes before a table settles.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// Records taken at once.
const BATCH_RECORDS: usize = 1_000;
/// How long a broken reader rests before it is made again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Sent once: the table has been read, and how long that took; or why it cannot be.
pub(super) type Loaded = oneshot::Receiver<Result<Duration, Failure>>;

/// Follows a table until it is dropped.
pub(super) struct TableFollower {
    _thread: Background,
}

impl TableFollower {
    /// Starts reading at `starts`, one for each partition.
    pub(super) fn start(
        clients: ClientSettings,
        topic: String,
        starts: Vec<StartAt>,
        table: Box<dyn Table>,
    ) -> (Self, Loaded) {
        let (loaded, receiver) = oneshot::channel();
        let follow = move |stop| {
            let is_at_end = vec![false; starts.len()];
            let begun = Instant::now();
            Following { clients, topic, starts, is_at_end, table, begun, loaded: Some(loaded), stop }.run();
        };
        (Self { _thread: Background::start(follow) }, receiver)
    }
}

struct Following {
    clients: ClientSettings,
    topic: String,
    /// Where each partition goes on.
    starts: Vec<StartAt>,
    /// Which partitions have been read to their end at least once.
    is_at_end: Vec<bool>,
    table: Box<dyn Table>,
    begun: Instant,
    /// Until the table is loaded.
    loaded: Option<oneshot::Sender<Result<Duration, Failure>>>,
    stop: Arc<AtomicBool>,
}

impl Following {
    fn run(mut self) {
        while !self.stop.load(Ordering::Acquire) {
            let Err(failure) = self.follow() else { return };
            let is_final = !failure.is_passing() && (self.loaded.is_some() || failure.is_fatal());
            if is_final {
                tracing::error!(topic = self.topic, error = %failure, "the table is followed no more");
                let _ = self.loaded.take().map(|loaded| loaded.send(Err(failure)));
                return;
            }
            tracing::warn!(topic = self.topic, error = %failure, "the table's topic is read again");
            std::thread::sleep(RETRY_DELAY);
        }
    }

    /// Reads until it is to stop.
    fn follow(&mut self) -> Result<(), Failure> {
        let starts: Vec<(i32, StartAt)> = (0..).zip(self.starts.iter().copied()).collect();
        let mut reader = Reader::new(&self.clients, &self.topic, &starts)?;
        while !self.stop.load(Ordering::Acquire) {
            let mut outcome = Ok(());
            let Self { starts, is_at_end, table, .. } = self;
            let taken = reader.read(POLL_TIMEOUT, BATCH_RECORDS, &mut |polled| {
                if outcome.is_err() {
                    return;
                }
                match polled {
                    Polled::Record(record) => {
                        outcome = table.take(&record);
                        let index = usize::try_from(record.partition).unwrap_or(usize::MAX);
                        if let Some(start) = starts.get_mut(index).filter(|_| outcome.is_ok()) {
                            *start = StartAt::Offset(record.offset + 1);
                        }
                    }
                    Polled::EndOfPartition { partition, .. } => {
                        let index = usize::try_from(partition).unwrap_or(usize::MAX);
                        if let Some(is_at_end) = is_at_end.get_mut(index) {
                            *is_at_end = true;
                        }
                    }
                }
            })?;
            outcome?;
            if taken == 0 || self.loaded.is_some() && self.is_at_end.iter().all(|is_at_end| *is_at_end) {
                self.settle()?;
            }
        }
        self.table.settle()?;
        reader.close();
        Ok(())
    }

    /// What was taken counts now; the first time at the end, the table is loaded.
    fn settle(&mut self) -> Result<(), Failure> {
        self.table.settle()?;
        if !self.is_at_end.iter().all(|is_at_end| *is_at_end) {
            return Ok(());
        }
        let Some(loaded) = self.loaded.take() else { return Ok(()) };
        let outcome = self.table.loaded().map_err(|reason| KafkaError::Topic(reason).into());
        let _ = loaded.send(outcome.map(|()| self.begun.elapsed()));
        Ok(())
    }
}
