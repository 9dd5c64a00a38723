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
use super::follow::Places;
use crate::kafka::{ClientSettings, KafkaError, StartAt};
use crate::record::Record;
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
            let (places, begun) = (Places::new(starts), Instant::now());
            Following { clients, topic, places, table, begun, loaded: Some(loaded), stop }.run();
        };
        (Self { _thread: Background::start(follow) }, receiver)
    }
}

struct Following {
    clients: ClientSettings,
    topic: String,
    places: Places,
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
        let mut reader = self.places.reader(&self.clients, &self.topic)?;
        while !self.stop.load(Ordering::Acquire) {
            let table = &mut self.table;
            let take = &mut |record: &Record<'_>| Ok(table.take(record)?);
            let came = self.places.read(&mut reader, (POLL_TIMEOUT, BATCH_RECORDS), take)?;
            if came == 0 || self.loaded.is_some() && self.places.are_at_end() {
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
        if !self.places.are_at_end() {
            return Ok(());
        }
        let Some(loaded) = self.loaded.take() else { return Ok(()) };
        let outcome = self.table.loaded().map_err(|reason| KafkaError::Topic(reason).into());
        let _ = loaded.send(outcome.map(|()| self.begun.elapsed()));
        Ok(())
    }
}
