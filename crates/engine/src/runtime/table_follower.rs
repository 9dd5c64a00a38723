//! Reads a table's topic to its end, and follows it until the handle is dropped.
//!
//! If the reader fails, a new one continues after the last record that the table has taken. A table that can no
//! longer be written is abandoned with an error in the log: processors continue with what they have.

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

/// How long a poll waits. This bounds how long stopping takes, and is the pause after which a table counts as
/// settled.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// Records per poll.
const BATCH_RECORDS: usize = 1_000;
/// Pause before a broken reader is replaced.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Sent once: how long reading the table took, or why it failed.
pub(super) type Loaded = oneshot::Receiver<Result<Duration, Failure>>;

/// Follows a table until this is dropped.
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
                tracing::error!(topic = self.topic, error = %failure, "cannot follow the table any longer; continuing with its last known content");
                let _ = self.loaded.take().map(|loaded| loaded.send(Err(failure)));
                return;
            }
            tracing::warn!(topic = self.topic, error = %failure, "reading the table's topic failed; retrying");
            std::thread::sleep(RETRY_DELAY);
        }
    }

    /// Reads until it must stop.
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

    /// Settles the table after records were taken; the first time at the end, the table is loaded.
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
