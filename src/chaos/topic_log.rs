//! A whole topic: committed records only, from the beginning to the end.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use frostline_engine::kafka::{Polled, Reader, StartAt};
use frostline_engine::record::{Header, ReadHeaders, Record};

use super::compare::Item;
use super::{ChaosError, Installation};
use crate::stages::LINES_HEADER;

/// Longer than a dead process's transaction stays open.
const READ_PATIENCE: Duration = Duration::from_secs(90);

/// A record that was read.
pub(super) struct Kept {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp_ms: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Headers,
}

/// The headers of a record that was read.
pub(super) struct Headers(pub(super) Vec<Header>);

impl ReadHeaders for Headers {
    fn visit(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        self.0.as_slice().visit(visit);
    }
}

impl Kept {
    fn of(record: &Record<'_>) -> Self {
        let mut headers = Vec::new();
        record.headers.visit(&mut |name, value| headers.push((name.to_owned(), value.map(<[u8]>::to_vec))));
        Self {
            partition: record.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: Headers(headers),
        }
    }

    pub(super) fn record<'a>(&'a self, topic: &'a str) -> Record<'a> {
        Record {
            topic,
            partition: self.partition,
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &self.headers,
        }
    }

    /// The text of a header; empty if it is missing.
    pub(super) fn header(&self, name: &str) -> String {
        header(&self.headers.0, name)
    }

    /// The key as text.
    pub(super) fn key_text(&self) -> String {
        self.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned()
    }

    /// The form that is compared.
    pub(super) fn item(&self, topic: &str, key: String) -> Item {
        let place = format!("{topic}/{}@{}", self.partition, self.offset);
        let mark = mark(self.key.as_deref(), self.value.as_deref(), Some(self.timestamp_ms), &self.headers.0);
        Item { key, mark, place }
    }

    /// The form that is compared, without the timestamp.
    pub(super) fn item_of_any_time(&self, topic: &str) -> Item {
        let mark = mark(self.key.as_deref(), self.value.as_deref(), None, &self.headers.0);
        Item { mark, ..self.item(topic, self.key_text()) }
    }
}

/// The text of a header; empty if it is missing.
pub(super) fn header(headers: &[Header], name: &str) -> String {
    let found = headers.iter().find(|(found, _)| found == name).and_then(|(_, value)| value.as_deref());
    found.map(String::from_utf8_lossy).unwrap_or_default().into_owned()
}

/// Where a dead letter's original is, and which stage refused it.
pub(super) fn origin(headers: &[Header]) -> String {
    let of = |name| header(headers, name);
    let (topic, partition, offset) =
        (of("frostline-topic"), of("frostline-partition"), of("frostline-offset"));
    format!("{} {topic}/{partition}@{offset}", of("frostline-stage"))
}

/// A hash of everything that must be equal in two records. The first line of an observation may differ, because a
/// restart reads again from further back.
pub(super) fn mark(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    timestamp_ms: Option<i64>,
    headers: &[Header],
) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, value, timestamp_ms).hash(&mut hasher);
    headers.iter().filter(|(name, _)| name != LINES_HEADER).for_each(|header| header.hash(&mut hasher));
    hasher.finish()
}

/// Reads all of a topic; records of one partition are in order.
pub(super) fn read(installation: &Installation, topic: &str) -> Result<Vec<Kept>, ChaosError> {
    let partitions = 0..installation.partitions(topic);
    let starts: Vec<_> = partitions.clone().map(|partition| (partition, StartAt::Beginning)).collect();
    let mut reader = Reader::new(&installation.settings, topic, &starts)?;
    let mut open: BTreeSet<i32> = partitions.collect();
    let mut found = Vec::new();
    let deadline = Instant::now() + READ_PATIENCE;
    while !open.is_empty() {
        if Instant::now() > deadline {
            return Err(ChaosError::Broken(format!("{topic} could not be read to its end")));
        }
        reader.poll(Duration::from_millis(100), |polled| match polled {
            Polled::Record(record) => found.push(Kept::of(&record)),
            Polled::EndOfPartition { partition, .. } => drop(open.remove(&partition)),
        })?;
    }
    Ok(found)
}
