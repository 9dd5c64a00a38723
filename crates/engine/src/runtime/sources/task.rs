//! One source that this process polls, in turns; [`crate::source`] describes the protocol.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::status::{SourcePhase, SourceStatus};
use crate::fault::{Sabotage, SourcePoint, die, is_sabotaged, poller_dies};
use crate::kafka::{ClientSettings, KafkaError, Outgoing, Polled, StartAt, TransactionSettings};
use crate::link::{Producer, Reader};
use crate::random::jitter;
use crate::record::unix_ms;
use crate::{Batch, PollError, Poller, Position, Source, SourceRecord};

/// Delay after the first failure in a row.
const DELAY_FIRST: Duration = Duration::from_secs(1);
/// Longest delay after many failures.
const DELAY_MAX: Duration = Duration::from_secs(300);
/// The time of the newest data is stored under this key, so that a source that is late stays late with its next
/// owner.
const NEWEST_KEY: &[u8] = b"\0newest_ms";
/// How long one call waits for more of the position.
const READ: Duration = Duration::from_millis(100);
/// The next turn follows at once.
const AT_ONCE: Duration = Duration::ZERO;

/// Everything a source needs to run.
#[derive(Clone)]
pub(super) struct SourcePlan {
    pub(super) source: Source,
    /// The topic of positions.
    pub(super) positions: String,
    pub(super) clients: ClientSettings,
    /// `None` without transactions.
    pub(super) transaction: Option<TransactionSettings>,
    pub(super) status: SourceStatus,
    /// Set to the reason when brokers refuse the time of this machine.
    pub(super) refused: Arc<OnceLock<String>>,
}

/// A source that is polled here until this is dropped.
pub(super) struct SourceTask {
    plan: SourcePlan,
    /// The topics for its records, by the names of sinks.
    topics: HashMap<&'static str, String>,
    poller: Box<dyn Poller>,
    delay: Duration,
    next: Next,
}

/// What the next turn does.
enum Next {
    /// Fences the previous owner.
    Register,
    /// Reads more of what that has committed.
    Read(Owner, Reader),
    /// Asks the service.
    Poll(Owner),
    /// Sends the records and changes of the position that came.
    Send(Owner, Batch),
    /// Commits them.
    Commit(Owner, Batch),
}

/// What only the owner of a source has.
struct Owner {
    producer: Producer,
    position: Position,
}

impl SourceTask {
    pub(super) fn new(plan: SourcePlan) -> Self {
        let topics = plan.source.sinks.iter().map(|(sink, topic)| (*sink, topic.name.clone())).collect();
        Self { poller: (plan.source.poller)(), topics, plan, delay: DELAY_FIRST, next: Next::Register }
    }

    /// Does what is next, and returns how long to wait before the next turn. After a failure of Kafka it begins again.
    pub(super) fn turn(&mut self) -> Duration {
        let done = match std::mem::replace(&mut self.next, Next::Register) {
            Next::Register => self.register(),
            Next::Read(owner, reader) => self.read(owner, reader),
            Next::Poll(owner) => Ok(self.poll(owner)),
            Next::Send(owner, batch) => self.send(owner, batch),
            Next::Commit(owner, batch) => self.commit(owner, batch),
        };
        match done {
            Ok((next, wait)) => {
                self.next = next;
                wait
            }
            Err(error) => {
                let reason = error.to_string();
                self.plan.status.failed(&reason);
                if matches!(error, KafkaError::Clock(_)) && !is_sabotaged(Sabotage::StubbornClock) {
                    let _ = self.plan.refused.set(reason);
                }
                self.longer(None)
            }
        }
    }

    fn register(&self) -> Result<(Next, Duration), KafkaError> {
        let SourcePlan { source, positions, clients, transaction, status, .. } = &self.plan;
        status.enter(SourcePhase::Opening);
        let producer = Producer::new(clients, transaction.as_ref())?;
        producer.ready()?;
        let reader = Reader::new(clients, positions, &[(source.partition, StartAt::Beginning)])?;
        Ok((Next::Read(Owner { producer, position: Position::default() }, reader), AT_ONCE))
    }

    fn read(&self, mut owner: Owner, mut reader: Reader) -> Result<(Next, Duration), KafkaError> {
        let (mut is_read, position) = (false, &mut owner.position);
        reader.read(READ, 1_000, &mut |polled| match polled {
            Polled::Record(record) if !is_read => {
                position.apply(record.key.unwrap_or_default(), record.value);
            }
            Polled::Record(_) => {}
            Polled::EndOfPartition { .. } => is_read = true,
        })?;
        if !is_read {
            return Ok((Next::Read(owner, reader), AT_ONCE));
        }
        reader.close();
        self.plan.status.knows_newest(newest_ms(&owner.position));
        let (source, entries) = (self.plan.source.id.as_str(), owner.position.len());
        tracing::info!(source, entries, "this process polls the source now");
        Ok((Next::Poll(owner), AT_ONCE))
    }

    fn poll(&mut self, owner: Owner) -> (Next, Duration) {
        self.plan.status.enter(SourcePhase::Polling);
        let polled = catch_unwind(AssertUnwindSafe(|| self.poller.poll(&owner.position, unix_ms())));
        let polled = polled.unwrap_or_else(|_| {
            // The poller may have been interrupted in the middle of a change.
            self.poller = (self.plan.source.poller)();
            Err(PollError::new("the poller panicked, which is a bug: see the log"))
        });
        match polled {
            Ok(mut batch) => {
                let newest = batch.newest_ms.filter(|newest| Some(*newest) > newest_ms(&owner.position));
                if let Some(newest) = newest {
                    batch.set(NEWEST_KEY, newest.to_string());
                }
                (Next::Send(owner, batch), AT_ONCE)
            }
            Err(error) => {
                self.plan.status.poll_failed(&error);
                let wait = self.longer(error.retry_in);
                (Next::Poll(owner), wait)
            }
        }
    }

    fn send(&mut self, owner: Owner, batch: Batch) -> Result<(Next, Duration), KafkaError> {
        let Owner { producer, .. } = &owner;
        if batch.is_empty() {
            return Ok(self.written(owner, batch));
        }
        // The next owner finds the outcome in the position.
        self.send_all(producer, &batch).inspect_err(|_| producer.abort())?;
        Ok((Next::Commit(owner, batch), AT_ONCE))
    }

    fn commit(&mut self, owner: Owner, batch: Batch) -> Result<(Next, Duration), KafkaError> {
        let Owner { producer, .. } = &owner;
        settle(producer).inspect_err(|_| producer.abort())?;
        self.reach(producer, &batch, SourcePoint::AfterCommit);
        Ok(self.written(owner, batch))
    }

    /// Everything of a batch is in Kafka.
    fn written(&mut self, mut owner: Owner, batch: Batch) -> (Next, Duration) {
        for (key, value) in &batch.changes {
            owner.position.apply(key, value.as_deref());
        }
        self.delay = DELAY_FIRST;
        self.plan.status.succeeded(&batch);
        self.plan.status.enter(SourcePhase::Waiting);
        let wait = batch.next_in.unwrap_or(self.plan.source.interval);
        self.plan.status.waits(wait);
        (Next::Poll(owner), wait)
    }

    fn send_all(&self, producer: &Producer, batch: &Batch) -> Result<(), KafkaError> {
        self.reach(producer, batch, SourcePoint::BeforeSend);
        batch.records.iter().try_for_each(|record| self.send_record(producer, record))?;
        if is_sabotaged(Sabotage::PositionApart) {
            settle(producer)?;
        }
        if !producer.is_transactional() {
            // A position without its records would lose them.
            producer.wait_acknowledged()?;
        }
        self.reach(producer, batch, SourcePoint::AfterProduce);
        let SourcePlan { source, positions, .. } = &self.plan;
        for (key, value) in &batch.changes {
            producer.send(&Outgoing {
                partition: Some(source.partition),
                value: value.as_deref(),
                ..Outgoing::keyed(positions, key, &[])
            })?;
        }
        self.reach(producer, batch, SourcePoint::AfterPositionSent);
        Ok(())
    }

    fn send_record(&self, producer: &Producer, record: &SourceRecord) -> Result<(), KafkaError> {
        let SourceRecord { sink, key, value, headers, timestamp_ms } = record;
        let unknown = || KafkaError::Fatal(format!("source {}: no sink {sink}", self.plan.source.id));
        let topic = self.topics.get(sink).ok_or_else(unknown)?;
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).into(), Some(value.clone()))).collect();
        producer.send(&Outgoing {
            headers: &headers,
            timestamp_ms: *timestamp_ms,
            ..Outgoing::keyed(topic, key, value)
        })
    }

    /// Dies here without any clean-up if a test asks for it.
    fn reach(&self, producer: &Producer, batch: &Batch, point: SourcePoint) {
        let source = self.plan.source.id.as_str();
        if batch.records.is_empty() || !poller_dies(source, point) {
            return;
        }
        // The brokers have everything that was sent: the worst case for a successor.
        let _ = producer.wait_acknowledged();
        tracing::warn!(source, point = point.name(), "dying here, as planted");
        die();
    }

    /// The wait grows with each failure in a row, unless the service has asked for a certain wait.
    fn longer(&mut self, asked: Option<Duration>) -> Duration {
        let wait = asked.unwrap_or_else(|| self.delay.mul_f64(jitter()));
        self.delay = (2 * self.delay).min(DELAY_MAX);
        self.plan.status.waits(wait);
        wait
    }
}

impl Drop for SourceTask {
    /// What has been sent is committed, so that nobody waits for an open transaction, and without transactions no
    /// record is left behind whose position has arrived.
    fn drop(&mut self) {
        if let Next::Commit(owner, batch) = std::mem::replace(&mut self.next, Next::Register)
            && let Err(error) = self.commit(owner, batch)
        {
            self.plan.status.failed(&error.to_string());
        }
        self.plan.status.enter(SourcePhase::Standby);
    }
}

/// Waits until the brokers have everything that was sent.
fn settle(producer: &Producer) -> Result<(), KafkaError> {
    if producer.is_transactional() { producer.commit() } else { producer.wait_acknowledged() }
}

/// The time of the newest data as of the position, in milliseconds since 1970.
fn newest_ms(position: &Position) -> Option<i64> {
    str::from_utf8(position.get(NEWEST_KEY)?).ok()?.parse().ok()
}
