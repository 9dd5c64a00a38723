//! Reads a table's topic to its end, and follows it until the handle is dropped.
//!
//! If the reader fails, a new one continues after the last record that the table has taken. A table that can no
//! longer be written is abandoned with an error in the log: processors continue with what they have.
//!
//! A process that has heard nothing from the brokers for longer than the topic keeps tombstones, for instance because
//! the machine was suspended, may have missed some: the table would keep what was removed. Such a table is reported as
//! outdated, and the process ends; its next start reads the table again.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::background::Background;
use super::contact::Contact;
use super::failure::Failure;
use super::follow::{FollowClient, Places};
use crate::kafka::{KafkaError, Polled, StartAt};
use crate::link::Reader;
use crate::store::StateError;
use crate::table::Table;

/// How long a poll waits, and the pause after which a table counts as settled. Stopping takes little longer.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// Records per poll.
const BATCH_RECORDS: usize = 1_000;
/// Pause before a broken reader is replaced.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Longest pause before the next attempt.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(60);
/// A silence shorter than this never makes a table outdated: a topic that keeps tombstones for moments only may lose some
/// at any time.
const SILENCE_MIN: Duration = Duration::from_secs(900);
/// Pause between turns of an abandoned table, which do nothing.
const IDLE: Duration = Duration::from_secs(3_600);

/// Sent once: how long reading the table took, or why it failed.
pub(super) type Loaded = oneshot::Receiver<Result<Duration, Failure>>;

/// Follows a table until this is dropped.
pub(super) struct TableFollower {
    outdated: Arc<OnceLock<Failure>>,
    _work: Background,
}

impl TableFollower {
    /// Starts reading at `starts`, one for each partition.
    pub(super) fn start(
        client: FollowClient,
        topic: String,
        (starts, tombstones_kept): (Vec<StartAt>, Duration),
        table: Box<dyn Table>,
    ) -> (Self, Loaded) {
        let (loaded, receiver) = oneshot::channel();
        let outdated = Arc::<OnceLock<Failure>>::default();
        let mut following = Following {
            client,
            topic,
            places: Places::new(starts),
            reader: None,
            table,
            begun: Instant::now(),
            loaded: Some(loaded),
            is_abandoned: false,
            delay: RETRY_DELAY,
            contact: Contact::new(tombstones_kept.mul_f64(0.9).max(SILENCE_MIN)),
            outdated: Arc::clone(&outdated),
        };
        (Self { outdated, _work: Background::in_turns(move || following.turn()) }, receiver)
    }

    /// Why the table may have missed something that its topic no longer has, if so.
    pub(super) fn outdated(&self) -> Option<&Failure> {
        self.outdated.get()
    }
}

struct Following {
    client: FollowClient,
    topic: String,
    places: Places,
    /// `None` at the start and after a failure.
    reader: Option<Reader>,
    table: Box<dyn Table>,
    begun: Instant,
    /// Until the table is loaded.
    loaded: Option<oneshot::Sender<Result<Duration, Failure>>>,
    is_abandoned: bool,
    /// Before the next attempt after a failure that nobody may end soon.
    delay: Duration,
    contact: Contact,
    outdated: Arc<OnceLock<Failure>>,
}

impl Following {
    /// Reads on, and returns how long to wait before the next turn.
    fn turn(&mut self) -> Duration {
        if self.is_abandoned {
            return IDLE;
        }
        let Err(failure) = self.read_on() else {
            self.delay = RETRY_DELAY;
            return Duration::ZERO;
        };
        self.reader = None;
        let is_outdated = matches!(failure, Failure::State(StateError::Outdated { .. }));
        if is_outdated {
            let _ = self.outdated.set(failure.clone());
        }
        // A right that was withdrawn, or a topic that was deleted, may come back while the process works.
        let may_end = matches!(failure, Failure::Kafka(_)) || !failure.is_fatal();
        let may_pass = failure.is_passing() || self.loaded.is_none() && may_end;
        if is_outdated || !may_pass {
            if !is_outdated {
                tracing::error!(topic = self.topic, error = %failure, "cannot follow the table any longer; continuing with its last known content");
            }
            let _ = self.loaded.take().map(|loaded| loaded.send(Err(failure)));
            self.is_abandoned = true;
            return IDLE;
        }
        tracing::warn!(topic = self.topic, error = %failure, "reading the table's topic failed; retrying");
        if failure.is_passing() {
            return RETRY_DELAY;
        }
        let longer = (2 * self.delay).min(RETRY_DELAY_MAX);
        std::mem::replace(&mut self.delay, longer)
    }

    fn read_on(&mut self) -> Result<(), Failure> {
        let Self { client, topic, places, reader, table, contact, .. } = self;
        let reader = match reader {
            Some(reader) => reader,
            None => reader.insert(places.reader(client, topic)?),
        };
        let mut is_silent = true;
        let came = places.read(reader, (POLL_TIMEOUT, BATCH_RECORDS), &mut |polled| {
            // Before it is taken: what came before it may be gone.
            if std::mem::take(&mut is_silent) {
                check(contact, topic)?;
            }
            match polled {
                Polled::Record(record) => table.take(record)?,
                Polled::EndOfPartition { partition, offset } => table.reached_end(*partition, *offset),
            }
            Ok(())
        })?;
        if came == 0 && contact.is_due() && reader.is_answered() {
            check(contact, topic)?;
        }
        if came == 0 || self.loaded.is_some() && self.places.are_at_end() {
            self.settle()?;
        }
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

/// There is a sign of life from the brokers: not too late, or the table of this topic is outdated.
fn check(contact: &mut Contact, topic: &str) -> Result<(), Failure> {
    let Some(silence) = contact.heard() else { return Ok(()) };
    let hours = silence.as_secs() / 3_600;
    let reason =
        format!("no broker was heard for {hours} h, longer than its topic keeps tombstones; start again");
    Err(StateError::Outdated { store: format!("table {topic}"), reason }.into())
}

impl Drop for Following {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            if let Err(error) = self.table.settle() {
                tracing::warn!(topic = self.topic, %error, "the table's copy lacks what came last");
            }
            reader.close();
        }
    }
}
