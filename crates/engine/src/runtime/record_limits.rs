//! Size limits of the records that a stage writes, by topic.
//!
//! A broker always refuses a batch that is larger than `max.message.bytes` of its topic. That fails the whole
//! transaction. So the limits of the topics are looked up before a stage starts:
//!
//! * An output that is larger than its topic accepts becomes a dead letter before it is sent. The letter holds the
//!   output, not the record that caused it: the state remembers the output as written, so the same record would not
//!   produce it again. The letter names the output's own topic, so that a retry sends it there once the topic accepts
//!   it. See `task/outputs.rs`.
//! * Batches of several records stay below the smallest limit of all topics that the stage writes, so small records
//!   are not refused because they are many.
//!
//! Sizes count before compression, as with other Kafka producers: whether a record becomes a dead letter does not
//! depend on the codec or on its neighbours.
//!
//! The settings of topics change while a stage runs. They are looked up again in two cases: when the brokers refuse a
//! record in spite of the check, before the worker retries; and, at most every [`LOOK_INTERVAL`], when an output is
//! too large according to the known settings. Some records are refused again: those of a changelog, which cannot
//! become dead letters; dead letters of which not even the headers fit; and all records if the client may not
//! describe topics. Then the worker's partitions stand still, readiness names the topic whose setting must be raised,
//! and the worker keeps retrying until that has happened. Other stages continue.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::event_loop::block_on;
use super::topic_limits::record_bytes_max;
use crate::kafka::{Admin, ClientSettings, KafkaError};
use crate::{OutputHeader, Stage};

/// Shortest time between two look-ups of topic settings because of outputs that are too large.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Kafka's own default of `max.message.bytes`, for a dead-letter topic whose limit the brokers do not report.
const DEAD_LETTER_BYTES_DEFAULT: usize = 1_048_588;

/// Size of a batch of one record without its key, value and headers: 61 bytes for the batch, and the record's own
/// lengths.
const RECORD_OVERHEAD_BYTES: usize = 80;
/// The lengths of a header's name and value.
const HEADER_OVERHEAD_BYTES: usize = 8;

/// The size of a batch that holds only this record, uncompressed, in bytes; up to twenty bytes too large.
pub(super) fn record_bytes(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[OutputHeader]) -> usize {
    let (key, value) = (key.map_or(0, <[u8]>::len), value.map_or(0, <[u8]>::len));
    RECORD_OVERHEAD_BYTES + key + value + header_bytes(headers)
}

/// The size of headers in a record, in bytes.
pub(super) fn header_bytes(headers: &[OutputHeader]) -> usize {
    let of_one = |(name, value): &OutputHeader| name.len() + value.as_ref().map_or(0, Vec::len);
    headers.iter().map(|header| of_one(header) + HEADER_OVERHEAD_BYTES).sum()
}

/// The size limits of a stage's topics; see the module's description.
pub(super) struct RecordLimits {
    clients: ClientSettings,
    describes_topics: bool,
    /// The topics that the stage writes.
    topics: Vec<String>,
    dead_letters: String,
    known: Mutex<Known>,
    /// The smallest limit of all, in bytes: nearly every output is smaller and needs no further check.
    smallest: AtomicUsize,
}

struct Known {
    /// Limits by topic, in bytes; a topic whose limit the brokers do not report is missing.
    bytes_max: BTreeMap<String, usize>,
    looked_up: Instant,
    /// Whether the brokers have refused a record since the last look-up.
    is_outdated: bool,
}

/// Why an output is not written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge {
    /// Its size, by [`record_bytes`].
    pub(super) bytes: usize,
    /// The limit of its topic.
    pub(super) bytes_max: usize,
    /// Whether the limit is the client's own.
    is_clients: bool,
}

impl TooLarge {
    /// The reason in a sentence, with what to do next.
    pub(super) fn reason(&self, topic: &str) -> String {
        let Self { bytes, bytes_max, is_clients } = self;
        let setting = match is_clients {
            true => "kafka.client.\"message.max.bytes\"".to_owned(),
            false => format!("max.message.bytes of topic {topic}"),
        };
        format!(
            "the output has {bytes} bytes, and topic {topic} accepts at most {bytes_max}: raise {setting}, then retry this \
             dead letter"
        )
    }
}

impl RecordLimits {
    /// `clients`: their settings, and whether the brokers can describe topics; `bytes_max`: the largest record that
    /// each topic accepts, as far as the brokers report it.
    pub(super) fn new(
        stage: &Stage,
        dead_letters: &str,
        clients: (&ClientSettings, bool),
        bytes_max: &BTreeMap<String, usize>,
    ) -> Self {
        let sinks = stage.sinks().map(|topic| topic.name.clone());
        let changelog = stage.changelog.iter().map(|topic| topic.name.clone());
        Self::of_topics(sinks.chain(changelog).collect(), dead_letters, clients, bytes_max)
    }

    fn of_topics(
        mut topics: Vec<String>,
        dead_letters: &str,
        (clients, describes_topics): (&ClientSettings, bool),
        bytes_max: &BTreeMap<String, usize>,
    ) -> Self {
        topics.push(dead_letters.to_owned());
        topics.sort_unstable();
        topics.dedup();
        let known = Known { bytes_max: BTreeMap::new(), looked_up: Instant::now(), is_outdated: false };
        let limits = Self {
            clients: clients.clone(),
            describes_topics,
            topics,
            dead_letters: dead_letters.to_owned(),
            known: Mutex::new(known),
            smallest: AtomicUsize::new(usize::MAX),
        };
        limits.learn(bytes_max);
        limits
    }

    /// Whether the stage writes to this topic.
    pub(super) fn covers(&self, topic: &str) -> bool {
        self.topics.iter().any(|known| known == topic)
    }

    /// Largest batch of several records, in bytes.
    pub(super) fn batch_bytes(&self) -> usize {
        self.smallest.load(Ordering::Relaxed)
    }

    /// The largest record that the dead-letter topic accepts, by [`record_bytes`].
    pub(super) fn dead_letter_bytes_max(&self) -> usize {
        self.bytes_max(&self.lock(), &self.dead_letters)
    }

    /// The reason if the topic does not accept an output of this size. Before it refuses, it looks up the topic's
    /// settings again, unless it did so a moment ago.
    pub(super) fn check(&self, topic: &str, bytes: usize) -> Result<(), TooLarge> {
        if bytes <= self.batch_bytes() {
            return Ok(());
        }
        let is_recent = {
            let known = self.lock();
            if bytes <= self.bytes_max(&known, topic) {
                return Ok(());
            }
            known.looked_up.elapsed() < LOOK_INTERVAL
        };
        if !is_recent {
            self.look_again();
        }
        let bytes_max = self.bytes_max(&self.lock(), topic);
        match bytes <= bytes_max {
            true => Ok(()),
            false => {
                Err(TooLarge { bytes, bytes_max, is_clients: bytes_max == self.clients.record_bytes_max() })
            }
        }
    }

    /// Records that the brokers have refused a record that should fit.
    pub(super) fn outdated(&self) {
        self.lock().is_outdated = true;
    }

    /// Looks up the settings of the topics if the brokers have refused a record since the last time. Blocks.
    pub(super) fn look_again_where_outdated(&self) {
        if self.lock().is_outdated {
            self.look_again();
        }
    }

    fn look_again(&self) {
        if !self.describes_topics {
            return;
        }
        // Also if it fails: the worker waits for it.
        self.lock().looked_up = Instant::now();
        // Uses a thread, because a thread that runs an event loop cannot run another one.
        let found = std::thread::scope(|scope| scope.spawn(|| self.look_up()).join());
        match found {
            Ok(Ok(found)) => self.learn(&found),
            Ok(Err(error)) => tracing::debug!(%error, "the settings of topics cannot be looked up"),
            Err(_) => tracing::error!("looking up the settings of topics panicked"),
        }
    }

    fn look_up(&self) -> Result<BTreeMap<String, usize>, KafkaError> {
        block_on(async {
            let names: Vec<&str> = self.topics.iter().map(String::as_str).collect();
            let found = Admin::new(&self.clients)?.describe(&names).await?;
            Ok(record_bytes_max(&found.into_iter().flatten().collect::<Vec<_>>()))
        })
    }

    fn learn(&self, found: &BTreeMap<String, usize>) {
        let mut known = self.lock();
        let own = self.topics.iter().filter_map(|topic| Some((topic.clone(), *found.get(topic)?)));
        known.bytes_max = own.collect();
        known.looked_up = Instant::now();
        known.is_outdated = false;
        let smallest = self.topics.iter().map(|topic| self.bytes_max(&known, topic)).min();
        self.smallest.store(smallest.unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    fn bytes_max(&self, known: &Known, topic: &str) -> usize {
        let default = (topic == self.dead_letters).then_some(DEAD_LETTER_BYTES_DEFAULT);
        let of_topic = known.bytes_max.get(topic).copied().or(default);
        of_topic.unwrap_or(usize::MAX).min(self.clients.record_bytes_max())
    }

    // A poisoned lock only means that a thread panicked; the data behind it is whole.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KafkaSettings;

    fn limits(client: &[(&str, &str)], topics: &[(&str, usize)]) -> RecordLimits {
        let client = client.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = KafkaSettings { client: client.collect(), ..KafkaSettings::default() };
        let clients = ClientSettings::new(&settings).unwrap();
        let known = topics.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect();
        RecordLimits::of_topics(vec!["alerts".into(), "extra".into()], "dead", (&clients, false), &known)
    }

    #[test]
    fn an_output_is_as_large_as_its_own_topic_takes() {
        let limits = limits(&[], &[("alerts", 300), ("dead", 2_000), ("other", 10)]);
        assert_eq!((limits.batch_bytes(), limits.dead_letter_bytes_max()), (300, 2_000), "other is not its");
        assert_eq!(limits.check("alerts", 300), Ok(()));
        let refused = limits.check("alerts", 301).unwrap_err();
        assert_eq!(
            refused.reason("alerts"),
            "the output has 301 bytes, and topic alerts accepts at most 300: raise max.message.bytes of topic alerts, then \
             retry this dead letter"
        );
        assert_eq!(limits.check("extra", 1_000_000), Ok(()), "the brokers do not report its limit");
        limits.learn(&BTreeMap::from([("alerts".into(), 500)]));
        assert_eq!((limits.check("alerts", 301), limits.dead_letter_bytes_max()), (Ok(()), 1_048_588));
    }

    #[test]
    fn the_client_may_take_less_than_the_topic() {
        let limits = limits(&[("message.max.bytes", "1000")], &[("alerts", 5_000)]);
        assert_eq!((limits.batch_bytes(), limits.check("extra", 1_000)), (1_000, Ok(())));
        assert!(limits.check("alerts", 1_001).unwrap_err().reason("alerts").contains("kafka.client"));
    }

    #[test]
    fn sizes_count_all_parts_of_a_record() {
        let headers: Vec<OutputHeader> = vec![("name".into(), Some(b"value".to_vec())), ("x".into(), None)];
        assert_eq!(header_bytes(&headers), 4 + 5 + 1 + 2 * HEADER_OVERHEAD_BYTES);
        let all = record_bytes(Some(b"key"), Some(&[0; 100]), &headers);
        assert_eq!(all, RECORD_OVERHEAD_BYTES + 3 + 100 + header_bytes(&headers));
    }
}
