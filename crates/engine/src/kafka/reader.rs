//! A consumer without a group: reads partitions from chosen offsets. For tables, restores and command-line tools.
//!
//! A client has four threads and asks the brokers for records all the time, so readers that live equally long may
//! share one ([`Readers`]). A client has one request at a time under way with a broker: a reader that came while the
//! others are at rest would wait until their request is answered. So nothing rests while another reader may come.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::client::Quiet;
use super::fetching::Pace;
use super::raw::{Row, SharedQueue};
use super::{ClientSettings, KafkaError};
use crate::record::Record;

/// How long a broker may take to answer a question.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);
/// How long a poll waits while a topic is read to its end.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// After this long without a record or an end, the topic may not exist. Also how long brokers may take to answer.
const SILENCE: Duration = Duration::from_secs(5);
/// Records per poll in that case.
const BATCH_RECORDS: usize = 1_000;

/// Where reading a partition starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// At the oldest record that is kept.
    Beginning,
    /// At records still to come.
    End,
    /// At an offset.
    Offset(i64),
    /// This many records before the end. Transaction markers count, so it may return fewer.
    Tail(i64),
}

/// The result of a poll.
pub enum Polled<'a> {
    /// A record.
    Record(Record<'a>),
    /// A partition has been read to its end.
    EndOfPartition {
        /// Its number.
        partition: i32,
        /// The end: the next committed record will have this offset or a later one.
        offset: i64,
    },
}

/// Starts readers with one client, each of other partitions. Drop it when no other will come; the client ends with the last
/// reader.
#[derive(Clone)]
pub struct Readers(Arc<Starting>);

struct Starting(Arc<SharedClient>);

struct SharedClient {
    consumer: BaseConsumer<Quiet>,
    pace: Pace,
    /// How many readers have a backlog, or have not come to the end yet; and one more while others may come. Locked while
    /// a reader starts, so that no two read one partition.
    busy: Mutex<usize>,
}

impl Readers {
    /// Makes the client. Its readers may belong to several threads.
    ///
    /// # Errors
    /// [`KafkaError::Settings`] if the client refuses its settings.
    pub fn new(settings: &ClientSettings) -> Result<Self, KafkaError> {
        let mut config = settings.consumer();
        // The client requires a group; it is never joined and never committed to.
        config.set("group.id", settings.lookout("reader")).set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer<Quiet> = config
            .create_with_context(Quiet::new(settings))
            .map_err(|error| KafkaError::of_client("making a reader", &error))?;
        consumer.context().lifeline.tend(consumer.client());
        let client = SharedClient { consumer, pace: Pace::of_reader(settings), busy: Mutex::new(1) };
        Ok(Self(Arc::new(Starting(Arc::new(client)))))
    }

    /// Starts reading `partitions` of `topic`.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] if another reader of this client reads one of them.
    pub fn read(&self, topic: &str, partitions: &[(i32, StartAt)]) -> Result<Reader, KafkaError> {
        let mut assignment = TopicPartitionList::new();
        for (partition, start) in partitions {
            let offset = match start {
                StartAt::Beginning => Offset::Beginning,
                StartAt::End => Offset::End,
                StartAt::Offset(offset) => Offset::Offset(*offset),
                StartAt::Tail(records) => Offset::OffsetTail(*records),
            };
            assignment
                .add_partition_offset(topic, *partition, offset)
                .map_err(|error| KafkaError::of_client("reading", &error))?;
        }
        let client = &self.0.0;
        let mut busy = client.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let consumer = &client.consumer;
        // Two queues would take turns at the records.
        let present = consumer.assignment().map_err(|error| KafkaError::of_client("reading", &error))?;
        if partitions.iter().any(|(partition, _)| present.find_partition(topic, *partition).is_some()) {
            return Err(KafkaError::Retry(format!("another reader of this client reads {topic}")));
        }
        let name: Arc<str> = topic.into();
        let numbers = partitions.iter().map(|(partition, _)| *partition);
        let queue = SharedQueue::gather(consumer.client(), client.clone(), &name, numbers)
            .ok_or_else(|| KafkaError::Fatal(format!("no queue for {topic}")))?;
        consumer
            .incremental_assign(&assignment)
            .map_err(|error| KafkaError::of_client(&format!("reading {topic}"), &error))?;
        // Nothing rests while this exists, so that the pace is right.
        *busy += 1;
        let share = Share { client: Arc::clone(client), assignment, is_busy: true };
        Ok(Reader { queue, share })
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        self.0.keep_pace(|busy| *busy -= 1);
    }
}

impl SharedClient {
    /// Changes how many readers are busy, and with it how long requests wait.
    fn keep_pace(&self, change: impl FnOnce(&mut usize)) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut busy);
        self.pace.keep(self.consumer.client(), *busy > 0);
    }
}

/// Reads some partitions of one topic; committed records only.
pub struct Reader {
    /// Given back before the partitions are, so that the next reader's queue is not cut off.
    queue: SharedQueue,
    share: Share,
}

/// A reader's share of its client.
struct Share {
    client: Arc<SharedClient>,
    assignment: TopicPartitionList,
    is_busy: bool,
}

impl Reader {
    /// Starts reading `partitions` of `topic` with a client of its own.
    ///
    /// # Errors
    /// [`KafkaError::Settings`] if the client refuses its settings.
    pub fn new(
        settings: &ClientSettings,
        topic: &str,
        partitions: &[(i32, StartAt)],
    ) -> Result<Self, KafkaError> {
        Readers::new(settings)?.read(topic, partitions)
    }

    /// Waits up to `timeout` for the next record or end, and hands it to `visit`. `None` if nothing came.
    ///
    /// # Errors
    /// [`KafkaError::Fatal`] with the topic. The client handles transient errors itself.
    pub fn poll<R>(
        &mut self,
        timeout: Duration,
        visit: impl FnOnce(Polled<'_>) -> R,
    ) -> Result<Option<R>, KafkaError> {
        let mut visit = Some(visit);
        let mut result = None;
        self.read(timeout, 1, &mut |polled| result = visit.take().map(|visit| visit(polled)))?;
        Ok(result)
    }

    /// As [`poll`](Self::poll), for up to `max` rows per call; returns how many came.
    pub fn read(
        &mut self,
        timeout: Duration,
        max: usize,
        visit: &mut dyn FnMut(Polled<'_>),
    ) -> Result<usize, KafkaError> {
        let mut failure = None;
        let read = self.queue.consume(timeout, max, &mut |row| match row {
            Row::Record(record) => visit(Polled::Record(*record)),
            Row::EndOfPartition { partition, offset } => visit(Polled::EndOfPartition { partition, offset }),
            // The client reconnects by itself and continues where it was.
            Row::Error(KafkaError::Retry(reason)) => tracing::debug!(reason, "reader"),
            Row::Error(error) => failure = Some(error),
        });
        if read == 0 {
            // Serves the error callback; records never arrive here.
            let consumer = &self.share.client.consumer;
            drop(consumer.poll(Duration::ZERO));
            consumer.context().lifeline.tend(consumer.client());
        }
        failure.map_or(Ok(read), Err)
    }

    /// Lets requests wait longer at a broker while there is no backlog. Call it only once all partitions have been read to
    /// their end, with whether the last call returned as many records as were asked for.
    pub fn keep_pace(&mut self, has_backlog: bool) {
        self.share.keep_pace(has_backlog);
    }

    /// Reads the first `partitions` partitions of a topic from `start` to their present ends. Blocks.
    ///
    /// # Errors
    /// [`KafkaError::Fatal`] with the topic, also if it does not exist or has fewer partitions.
    pub fn read_to_end(
        settings: &ClientSettings,
        topic: &str,
        partitions: i32,
        start: StartAt,
        visit: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), KafkaError> {
        let mut open: BTreeSet<i32> = (0..partitions).collect();
        let starts: Vec<(i32, StartAt)> = open.iter().map(|partition| (*partition, start)).collect();
        let mut reader = Self::new(settings, topic, &starts)?;
        // The client waits for partitions that do not exist. Brokers that have just started may not know of one that
        // does, so they are asked twice.
        let (mut silent_since, mut missing) = (Instant::now(), 0);
        while !open.is_empty() {
            let read = reader.read(POLL_TIMEOUT, BATCH_RECORDS, &mut |polled| match polled {
                // Rows after an end that was seen are left for another read.
                Polled::Record(record) if open.contains(&record.partition) => visit(&record),
                Polled::Record(_) => {}
                Polled::EndOfPartition { partition, .. } => drop(open.remove(&partition)),
            })?;
            if read > 0 {
                (silent_since, missing) = (Instant::now(), 0);
            } else if silent_since.elapsed() > SILENCE {
                silent_since = Instant::now();
                if let Some(reason) = reader.missing(topic, partitions) {
                    missing += 1;
                    if missing == 2 {
                        return Err(KafkaError::Fatal(reason));
                    }
                }
            }
        }
        reader.close();
        Ok(())
    }

    /// What of a topic does not exist, as the brokers say; `None` if all does, or they do not know.
    fn missing(&self, topic: &str, partitions: i32) -> Option<String> {
        let metadata = self.share.client.consumer.fetch_metadata(Some(topic), SILENCE).ok()?;
        let found = metadata.topics().iter().find(|found| found.name() == topic)?;
        let count = found.partitions().len();
        match found.error().map(RDKafkaErrorCode::from) {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => Some(format!("topic {topic} does not exist")),
            None if i32::try_from(count).is_ok_and(|count| count < partitions) => {
                Some(format!("topic {topic} has only {count} partitions, not {partitions}"))
            }
            _ => None,
        }
    }

    /// Stops reading. Closing a consumer takes about 100 ms, for which this thread need not wait.
    pub fn close(self) {
        std::thread::spawn(move || drop(self));
    }

    /// Asks whether a broker answers. Blocks for a second if none does.
    pub fn is_answered(&self) -> bool {
        self.share.client.consumer.fetch_metadata(None, ANSWER_PATIENCE).is_ok()
    }

    /// The end of a partition as of the last fetch, open transactions included; `None` before that.
    pub fn high_watermark(&self, partition: i32) -> Option<i64> {
        self.queue.high_watermark(partition)
    }
}

impl Share {
    fn keep_pace(&mut self, is_busy: bool) {
        if self.is_busy != is_busy {
            self.is_busy = is_busy;
            self.client.keep_pace(|busy| if is_busy { *busy += 1 } else { *busy -= 1 });
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Err(error) = self.client.consumer.incremental_unassign(&self.assignment) {
            tracing::debug!(%error, "a reader's partitions stay assigned");
        }
        self.keep_pace(false);
    }
}
