//! The records of a partition, read from brokers in memory.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::producer::MARKERS_MS;
use super::retry;
use crate::kafka::{ClientSettings, KafkaError, Lease, Ownership, Polled, Row, StartAt};
use crate::record::{HeaderList, Record};
use crate::sim::broker::{Found, Stored};
use crate::sim::host::{self, Call, Host};

/// At most so many rows come at once.
const ROWS_MAX: u64 = 12;

/// What one partition has at a position.
enum Next {
    Record(i64, Stored),
    End(i64),
    Nothing,
    OutOfRange,
}

/// A position in a partition.
struct Cursor {
    host: Arc<Host>,
    topic: Arc<str>,
    partition: i32,
    position: i64,
    /// The end that was reported last.
    end_reported: Option<i64>,
}

impl Cursor {
    fn next(&mut self) -> Next {
        let host = Arc::clone(&self.host);
        if !host.is_connected() {
            return Next::Nothing;
        }
        let broker = host.broker();
        let Some(log) = broker.log(&self.topic, self.partition) else { return Next::Nothing };
        match log.read(self.position) {
            Found::Record(offset, stored) => {
                self.position = offset + 1;
                Next::Record(offset, stored.clone())
            }
            Found::End(end) => {
                self.position = end;
                if self.end_reported.replace(end) == Some(end) { Next::Nothing } else { Next::End(end) }
            }
            Found::OutOfRange => Next::OutOfRange,
        }
    }

    fn end(&self) -> Option<i64> {
        self.host.broker().log(&self.topic, self.partition).map(crate::sim::broker::Log::end)
    }
}

fn with_record<R>(
    topic: &str,
    partition: i32,
    offset: i64,
    stored: &Stored,
    act: impl FnOnce(&Record<'_>) -> R,
) -> R {
    let headers = HeaderList(&stored.headers);
    act(&Record {
        topic,
        partition,
        offset,
        timestamp_ms: stored.timestamp_ms,
        key: stored.key.as_deref(),
        value: stored.value.as_deref(),
        headers: &headers,
    })
}

/// As [`crate::kafka::PartitionQueue`].
pub(crate) struct PartitionQueue {
    cursor: Cursor,
    lease: Arc<Lease>,
    wake: Arc<Notify>,
}

impl PartitionQueue {
    pub(super) fn new(host: &Arc<Host>, topic: &Arc<str>, partition: i32, lease: Arc<Lease>) -> Self {
        let (host, topic) = (Arc::clone(host), Arc::clone(topic));
        let cursor = Cursor { host, topic, partition, position: 0, end_reported: None };
        Self { cursor, lease, wake: Arc::default() }
    }

    pub(super) fn begins_at(&mut self, offset: i64) {
        self.cursor.position = offset;
        self.lease.reached(offset);
    }

    pub(crate) fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    pub(crate) fn ownership(&self) -> Ownership {
        Ownership(Arc::clone(&self.lease))
    }

    pub(crate) fn end(&self) -> Option<i64> {
        self.cursor.end()
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.lease.is_ours()
    }

    pub(crate) fn consume(&mut self, visit: &mut dyn FnMut(Row<'_>) -> ControlFlow<()>) -> usize {
        let rows = 1 + self.cursor.host.draw(ROWS_MAX);
        let mut visited = 0;
        while visited < usize::try_from(rows).unwrap_or(1) && self.is_ours() {
            let (topic, partition) = (Arc::clone(&self.cursor.topic), self.cursor.partition);
            let going_on = match self.cursor.next() {
                Next::Nothing => break,
                Next::Record(offset, stored) => {
                    with_record(&topic, partition, offset, &stored, |record| visit(Row::Record(record)))
                }
                Next::End(offset) => visit(Row::EndOfPartition { partition, offset }),
                Next::OutOfRange => visit(Row::Error(retry("reading: offset out of range"))),
            };
            visited += 1;
            if going_on.is_break() {
                break;
            }
        }
        self.lease.reached(self.cursor.position);
        visited
    }
}

/// As [`crate::kafka::Readers`].
#[derive(Clone)]
pub(crate) struct Readers;

impl Readers {
    pub(crate) fn new(_settings: &ClientSettings) -> Result<Self, KafkaError> {
        Ok(Self)
    }

    pub(crate) fn read(&self, topic: &str, partitions: &[(i32, StartAt)]) -> Result<Reader, KafkaError> {
        Ok(Reader::at(topic, partitions))
    }
}

/// As [`crate::kafka::Reader`].
pub(crate) struct Reader {
    cursors: Vec<Cursor>,
}

impl Reader {
    pub(crate) fn new(
        _settings: &ClientSettings,
        topic: &str,
        partitions: &[(i32, StartAt)],
    ) -> Result<Self, KafkaError> {
        Ok(Self::at(topic, partitions))
    }

    fn at(topic: &str, partitions: &[(i32, StartAt)]) -> Self {
        let (host, topic): (_, Arc<str>) = (host::present(), topic.into());
        let cursor = |(partition, start): &(i32, StartAt)| {
            let broker = host.broker();
            let log = broker.log(&topic, *partition);
            let (first, end) = log.map_or((0, 0), |log| (log.start(), log.end()));
            let position = match start {
                StartAt::Beginning => first,
                StartAt::End => end,
                // A reader without a group begins again where its offset is gone.
                StartAt::Offset(offset) if *offset > end => first,
                StartAt::Offset(offset) => *offset,
                StartAt::Tail(records) => (end - records).max(first),
            };
            let (host, topic) = (Arc::clone(&host), Arc::clone(&topic));
            Cursor { host, topic, partition: *partition, position: position.max(first), end_reported: None }
        };
        Self { cursors: partitions.iter().map(cursor).collect() }
    }

    pub(crate) fn read(
        &mut self,
        timeout: Duration,
        max: usize,
        visit: &mut dyn FnMut(Polled<'_>),
    ) -> Result<usize, KafkaError> {
        if self.cursors.iter().any(|cursor| !cursor.host.is_alive()) {
            return Err(retry("reading"));
        }
        let mut read = 0;
        for cursor in &mut self.cursors {
            while read < max {
                let (topic, partition) = (Arc::clone(&cursor.topic), cursor.partition);
                match cursor.next() {
                    Next::Record(offset, stored) => {
                        with_record(&topic, partition, offset, &stored, |record| {
                            visit(Polled::Record(*record))
                        });
                    }
                    Next::End(offset) => visit(Polled::EndOfPartition { partition, offset }),
                    Next::Nothing | Next::OutOfRange => break,
                }
                read += 1;
            }
        }
        if read == 0 && timeout > Duration::from_millis(MARKERS_MS) {
            // Meanwhile the markers of transactions that were answered are written.
            self.cursors.iter().take(1).for_each(|cursor| cursor.host.broker().write_markers());
        }
        Ok(read)
    }

    pub(crate) fn high_watermark(&self, partition: i32) -> Option<i64> {
        self.cursors.iter().find(|cursor| cursor.partition == partition)?.end()
    }

    pub(crate) fn keep_pace(&self, _has_backlog: bool) {}

    pub(crate) fn is_answered(&self) -> bool {
        self.cursors.first().is_some_and(|cursor| cursor.host.call() == Call::Answered)
    }

    pub(crate) fn close(self) {}
}
