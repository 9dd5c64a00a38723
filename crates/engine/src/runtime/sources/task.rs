//! One source that this process polls; [`crate::source`] describes the protocol.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::status::{SourcePhase, SourceStatus};
use crate::fault::{Sabotage, SourcePoint, is_sabotaged, poller_dies};
use crate::kafka::{
    ClientSettings, KafkaError, Outgoing, Polled, Producer, Reader, StartAt, TransactionSettings,
};
use crate::random::bits_128;
use crate::record::unix_ms;
use crate::{Batch, PollError, Poller, Position, Source, SourceRecord};

/// Delay after the first failure in a row.
const DELAY_FIRST: Duration = Duration::from_secs(1);
/// Longest delay after many failures.
const DELAY_MAX: Duration = Duration::from_secs(300);
/// The time of the newest data is stored under this key, so that a source that is late stays late with its next
/// owner.
const NEWEST_KEY: &[u8] = b"\0newest_ms";
/// How long a source that must stop may take to finish its transaction.
const END_PATIENCE: Duration = Duration::from_secs(3);
/// How long one call waits for more of the position.
const READ: Duration = Duration::from_millis(100);

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
}

/// A running source; it stops when this is dropped.
pub(super) struct SourceTask {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SourceTask {
    pub(super) fn start(plan: SourcePlan) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let seen = Arc::clone(&stop);
        let work = move || {
            let topics = plan.source.sinks.iter().map(|(sink, topic)| (*sink, topic.name.clone())).collect();
            Task { poller: (plan.source.poller)(), topics, plan, stop: seen, delay: DELAY_FIRST }.run();
        };
        let name = "source".to_owned();
        let thread = std::thread::Builder::new().name(name).spawn(work);
        let thread =
            thread.inspect_err(|error| tracing::error!(%error, "cannot start a thread for a source")).ok();
        Self { stop, thread }
    }

    /// Whether its thread runs.
    pub(super) fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Asks it to stop, without waiting.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for SourceTask {
    /// A thread that still waits for a service is abandoned: it writes nothing any more.
    fn drop(&mut self) {
        self.stop();
        let deadline = Instant::now() + END_PATIENCE;
        while self.is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

struct Task {
    plan: SourcePlan,
    /// The topics for its records, by the names of sinks.
    topics: HashMap<&'static str, String>,
    poller: Box<dyn Poller>,
    stop: Arc<AtomicBool>,
    delay: Duration,
}

impl Task {
    fn run(mut self) {
        while !self.is_stopped() {
            self.plan.status.enter(SourcePhase::Opening);
            let ended = self.open().and_then(|(producer, position)| self.poll_on(&producer, position));
            if let Err(error) = ended {
                self.plan.status.failed(&error.to_string());
                self.wait_longer(None);
            }
        }
        self.plan.status.enter(SourcePhase::Standby);
    }

    /// Fences the previous owner, and reads what it has committed.
    fn open(&self) -> Result<(Producer, Position), KafkaError> {
        let SourcePlan { source, positions, clients, transaction, .. } = &self.plan;
        let producer = Producer::new(clients, transaction.as_ref())?;
        producer.ready()?;
        let mut position = Position::default();
        let mut reader = Reader::new(clients, positions, &[(source.partition, StartAt::Beginning)])?;
        let mut is_read = false;
        while !is_read && !self.is_stopped() {
            reader.read(READ, 1_000, &mut |polled| match polled {
                Polled::Record(record) if !is_read => {
                    position.apply(record.key.unwrap_or_default(), record.value);
                }
                Polled::Record(_) => {}
                Polled::EndOfPartition { .. } => is_read = true,
            })?;
        }
        reader.close();
        self.plan.status.knows_newest(newest_ms(&position));
        if is_read {
            tracing::info!(
                source = source.id.as_str(),
                entries = position.len(),
                "this process polls the source now"
            );
        }
        Ok((producer, position))
    }

    /// Polls until it must stop or Kafka fails.
    fn poll_on(&mut self, producer: &Producer, mut position: Position) -> Result<(), KafkaError> {
        while !self.is_stopped() {
            self.plan.status.enter(SourcePhase::Polling);
            match self.poll(&position) {
                // Records fetched by a former owner would be refused anyway.
                _ if self.is_stopped() => return Ok(()),
                Ok(mut batch) => {
                    if let Some(newest) =
                        batch.newest_ms.filter(|newest| Some(*newest) > newest_ms(&position))
                    {
                        batch.set(NEWEST_KEY, newest.to_string());
                    }
                    self.write(producer, &batch)?;
                    for (key, value) in &batch.changes {
                        position.apply(key, value.as_deref());
                    }
                    self.delay = DELAY_FIRST;
                    self.plan.status.succeeded(&batch);
                    self.plan.status.enter(SourcePhase::Waiting);
                    self.wait(batch.next_in.unwrap_or(self.plan.source.interval));
                }
                Err(error) => {
                    self.plan.status.poll_failed(&error);
                    self.wait_longer(error.retry_in);
                }
            }
        }
        Ok(())
    }

    fn poll(&mut self, position: &Position) -> Result<Batch, PollError> {
        let polled = catch_unwind(AssertUnwindSafe(|| self.poller.poll(position, unix_ms())));
        polled.unwrap_or_else(|_| {
            // The poller may have been interrupted in the middle of a change.
            self.poller = (self.plan.source.poller)();
            Err(PollError::new("the poller panicked, which is a bug: see the log"))
        })
    }

    /// Writes records and position together, or neither.
    fn write(&self, producer: &Producer, batch: &Batch) -> Result<(), KafkaError> {
        if batch.is_empty() {
            return Ok(());
        }
        let written = self.send(producer, batch).and_then(|()| settle(producer));
        if written.is_ok() {
            self.reach(producer, batch, SourcePoint::AfterCommit);
        }
        // The successor finds the outcome in the position.
        written.inspect_err(|_| producer.abort())
    }

    fn send(&self, producer: &Producer, batch: &Batch) -> Result<(), KafkaError> {
        self.reach(producer, batch, SourcePoint::BeforeSend);
        batch.records.iter().try_for_each(|record| self.send_record(producer, record))?;
        if is_sabotaged(Sabotage::PositionApart) {
            settle(producer)?;
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
        std::process::abort();
    }

    /// The wait grows with each failure in a row, unless the service has asked for a certain wait.
    fn wait_longer(&mut self, asked: Option<Duration>) {
        let jitter = 0.75 + (bits_128() % 512) as f64 / 1_024.0;
        let wait = asked.unwrap_or_else(|| self.delay.mul_f64(jitter));
        self.delay = (2 * self.delay).min(DELAY_MAX);
        self.wait(wait);
    }

    fn wait(&self, time: Duration) {
        self.plan.status.waits(time);
        let deadline = Instant::now() + time;
        while !self.is_stopped() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            // The thread that stops it wakes it.
            std::thread::park_timeout(left);
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
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
