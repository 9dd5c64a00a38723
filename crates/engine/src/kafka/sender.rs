//! Sends the records of a producer, and counts what the brokers have acknowledged.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext, PurgeConfig};

use super::lifeline::Lifeline;
use super::{ClientSettings, KafkaError, raw};
use crate::fault::clock_shift_ms;
use crate::record::unix_ms;

/// How long a full send queue or a slow broker may block before the worker gives up and its tasks are opened again.
/// Longer than `message.timeout.ms`, so that nothing is in flight by then.
const SEND_PATIENCE: Duration = Duration::from_secs(25);
/// Longest single flush call. A flush returns early only when nothing is in flight, which may never happen while
/// other threads keep sending.
const FLUSH: Duration = Duration::from_millis(2);
/// How long one call of the thread that serves delivery reports takes. At the end of each the crate spins for up to a
/// millisecond (rdkafka 0.39), so with a second, a dozen idle producers use 0.6 % of a core.
const POLL: Duration = Duration::from_secs(5);

/// The changelog partition of a record, so that its offset is remembered when it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChangelogSlot {
    /// Which changelog, by a number of the caller's.
    pub changelog: u16,
    /// Numbered as in Kafka, from 0.
    pub partition: i32,
}

/// One record to send.
pub struct Outgoing<'a> {
    /// The topic's name in Kafka.
    pub topic: &'a str,
    /// The partition; `None` to choose it by the key.
    pub partition: Option<i32>,
    /// The key; it may be empty.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The timestamp in milliseconds since 1970; negative for the present time.
    pub timestamp_ms: i64,
    /// The headers, in order.
    pub headers: &'a [(Cow<'static, str>, Option<Vec<u8>>)],
    /// Set for changelog records.
    pub changelog: Option<ChangelogSlot>,
}

impl<'a> Outgoing<'a> {
    /// A record with the present time, in the partition of its key.
    pub fn keyed(topic: &'a str, key: &'a [u8], value: &'a [u8]) -> Self {
        Self {
            topic,
            partition: None,
            key: Some(key),
            value: Some(value),
            timestamp_ms: -1,
            headers: &[],
            changelog: None,
        }
    }
}

/// The client of a producer, with the reports about its records.
pub(super) struct Sender {
    pub(super) client: Arc<BaseProducer<Deliveries>>,
    reports: Arc<Reports>,
    /// The count of [`Reports::in_flight`] to which a record that is sent now belongs.
    turn: AtomicUsize,
}

/// Delivery reports, shared with librdkafka's threads.
#[derive(Default)]
struct Reports {
    /// Stops the thread that serves them.
    is_dropped: AtomicBool,
    /// Records that are not acknowledged yet, in two counts that take turns: while a flush waits for the records of
    /// one, newly sent records belong to the other.
    in_flight: [AtomicU64; 2],
    first_failure: Mutex<Option<KafkaError>>,
    /// Whether a record has ever failed, also if somebody has taken that failure.
    has_failed: AtomicBool,
    /// Next offset of each changelog partition.
    changelog: Mutex<HashMap<ChangelogSlot, i64>>,
}

pub(super) struct Deliveries {
    reports: Arc<Reports>,
    lifeline: Lifeline,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::client::log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        // This client needs no broker any more, and brokers may stop before its last connection does.
        if self.reports.is_dropped.load(Ordering::Acquire) {
            return;
        }
        self.lifeline.reported(&error);
        super::client::log_error("kafka producer", &error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let (changelog, turn) = from_opaque(opaque);
        match result {
            Ok(message) => {
                if let Some(slot) = changelog {
                    let mut offsets = self.reports.changelog.lock().unwrap_or_else(PoisonError::into_inner);
                    let next = offsets.entry(slot).or_default();
                    *next = (*next).max(message.offset() + 1);
                }
            }
            Err((error, message)) => {
                let mut failure = self.reports.first_failure.lock().unwrap_or_else(PoisonError::into_inner);
                let what = format!("a record for {} was not acknowledged", message.topic());
                failure.get_or_insert_with(|| KafkaError::of_record(&what, message.topic(), error));
                self.reports.has_failed.store(true, Ordering::Release);
            }
        }
        self.reports.in_flight[turn].fetch_sub(1, Ordering::Release);
    }
}

/// Tag of a record's report: in the lowest bit the turn; above it 0, or the changelog partition + 1 in 32 bits and the
/// changelog's number in the next 16.
fn to_opaque(changelog: Option<ChangelogSlot>, turn: usize) -> usize {
    let Some(ChangelogSlot { changelog, partition }) = changelog else { return turn };
    let partition = usize::try_from(partition).unwrap_or(0);
    (usize::from(changelog) << 32 | (partition + 1)) << 1 | turn
}

fn from_opaque(opaque: usize) -> (Option<ChangelogSlot>, usize) {
    let (slot, turn) = (opaque >> 1, opaque & 1);
    let partition = (slot & 0xFFFF_FFFF).checked_sub(1).and_then(|partition| i32::try_from(partition).ok());
    let changelog = u16::try_from(slot >> 32).unwrap_or(0);
    (partition.map(|partition| ChangelogSlot { changelog, partition }), turn)
}

impl Sender {
    /// # Errors
    /// [`KafkaError::Settings`] if the client refuses its settings.
    pub(super) fn new(config: &ClientConfig, settings: &ClientSettings) -> Result<Self, KafkaError> {
        let reports = Arc::new(Reports::default());
        let client: BaseProducer<Deliveries> = config
            .create_with_context(Deliveries { reports: Arc::clone(&reports), lifeline: settings.lifeline() })
            .map_err(|error| KafkaError::of_client("making a producer", &error))?;
        let client = Arc::new(client);
        serve_reports(Arc::clone(&client), Arc::clone(&reports))?;
        Ok(Self { client, reports, turn: AtomicUsize::new(0) })
    }

    /// Hands a record to the client, which copies it. Waits while the client's queue is full.
    pub(super) fn send(&self, outgoing: &Outgoing<'_>) -> Result<(), ClientError> {
        let turn = self.turn.load(Ordering::Acquire);
        let opaque = to_opaque(outgoing.changelog, turn);
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(outgoing.topic, opaque);
        record.partition = outgoing.partition;
        record.key = outgoing.key;
        record.payload = outgoing.value;
        // The client uses the machine's clock; only a planted fault gives this process another one.
        let now_ms = (clock_shift_ms() != 0).then(unix_ms);
        record.timestamp = Some(outgoing.timestamp_ms).filter(|given| *given >= 0).or(now_ms);
        if !outgoing.headers.is_empty() {
            let headers = outgoing.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header { key, value: value.as_deref() })
            });
            record.headers = Some(headers);
        }
        // Count first: the report may arrive before `send` returns.
        self.reports.in_flight[turn].fetch_add(1, Ordering::AcqRel);
        self.hand_over(record).inspect_err(|_| {
            self.reports.in_flight[turn].fetch_sub(1, Ordering::AcqRel);
        })
    }

    fn hand_over(&self, mut record: BaseRecord<'_, [u8], [u8], usize>) -> Result<(), ClientError> {
        let deadline = Instant::now() + SEND_PATIENCE;
        loop {
            match self.client.send(record) {
                Err((ClientError::MessageProduction(RDKafkaErrorCode::QueueFull), refused))
                    if Instant::now() < deadline =>
                {
                    record = refused;
                    std::thread::sleep(Duration::from_millis(1));
                }
                outcome => return outcome.map_err(|(error, _)| error),
            }
        }
    }

    /// Waits until everything sent so far is acknowledged by all replicas, but not for records sent in the meantime.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] if a record failed or the broker did not answer in time.
    pub(super) fn wait_acknowledged(&self) -> Result<(), KafkaError> {
        let deadline = Instant::now() + SEND_PATIENCE;
        let turn = self.turn.load(Ordering::Acquire);
        // Empty, unless an earlier wait failed, or another thread read the turn just before it changed.
        self.wait_for(1 - turn, deadline)?;
        self.turn.store(1 - turn, Ordering::Release);
        self.wait_for(turn, deadline)?;
        self.take_failure().map_or(Ok(()), Err)
    }

    fn wait_for(&self, turn: usize, deadline: Instant) -> Result<(), KafkaError> {
        loop {
            let open = self.reports.in_flight[turn].load(Ordering::Acquire);
            if open == 0 {
                return Ok(());
            }
            self.tend();
            if Instant::now() > deadline {
                return Err(KafkaError::Retry(format!("{open} records were not acknowledged in time")));
            }
            if raw::flush(self.client.client(), FLUSH) {
                // The polling thread may still be handling the last reports.
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    }

    /// Whether the brokers have acknowledged everything sent so far.
    pub(super) fn is_all_acknowledged(&self) -> bool {
        let is_open = self.reports.in_flight.iter().any(|open| open.load(Ordering::Acquire) > 0);
        !is_open && !self.reports.has_failed.load(Ordering::Acquire)
    }

    /// Revives the client if it has forgotten all brokers.
    pub(super) fn tend(&self) {
        self.client.context().lifeline.tend(self.client.client());
    }

    /// Why the first record since the last [`take_failure`](Self::take_failure) was not acknowledged, if one was not.
    pub(super) fn failure(&self) -> Option<KafkaError> {
        self.reports.first_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same, once.
    pub(super) fn take_failure(&self) -> Option<KafkaError> {
        self.reports.first_failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The next offset of a changelog partition, according to the acknowledged records.
    pub(super) fn changelog_offset(&self, slot: ChangelogSlot) -> Option<i64> {
        self.reports.changelog.lock().unwrap_or_else(PoisonError::into_inner).get(&slot).copied()
    }

    /// Forgets the next offset of a changelog partition.
    pub(super) fn forget_changelog(&self, slot: ChangelogSlot) {
        self.reports.changelog.lock().unwrap_or_else(PoisonError::into_inner).remove(&slot);
    }

    /// Forgets the reports of records that an abort has taken back.
    pub(super) fn forget_reports(&self) {
        drop(self.take_failure());
        self.reports.changelog.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Starts the thread that serves delivery reports. It may outlive its sender by one call.
fn serve_reports(client: Arc<BaseProducer<Deliveries>>, reports: Arc<Reports>) -> Result<(), KafkaError> {
    let serve = move || {
        while !reports.is_dropped.load(Ordering::Acquire) {
            client.poll(POLL);
            // An idle producer needs new credentials too: brokers end connections whose token has run out.
            client.context().lifeline.tend(client.client());
        }
    };
    let started = std::thread::Builder::new().name("kafka reports".into()).spawn(serve);
    started.map(drop).map_err(|error| KafkaError::Retry(format!("starting a thread for a producer: {error}")))
}

impl Drop for Sender {
    /// Nothing that still waits may be sent any more: a new producer may have taken this one's place.
    fn drop(&mut self) {
        self.reports.is_dropped.store(true, Ordering::Release);
        self.client.purge(PurgeConfig::default().queue().inflight());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_its_changelog_partition() {
        for turn in 0..2 {
            assert_eq!(from_opaque(to_opaque(None, turn)), (None, turn));
            for (changelog, partition) in [(0, 0), (0, i32::MAX), (1, 0), (u16::MAX, i32::MAX), (7, 499)] {
                let slot = ChangelogSlot { changelog, partition };
                assert_eq!(from_opaque(to_opaque(Some(slot), turn)), (Some(slot), turn));
            }
        }
    }
}
