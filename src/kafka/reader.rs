//! A consumer without a group: reads partitions from chosen offsets. For tables, restores and people.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::client::Quiet;
use super::{ClientSettings, KafkaError};
use crate::record::{ReadHeaders, Record};

/// Where reading a partition begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// At the oldest record that is kept.
    Beginning,
    /// At records to come.
    End,
    /// At an offset.
    Offset(i64),
    /// This many records before the end (counting transaction markers, so it may give fewer).
    Tail(i64),
}

/// What a poll gave.
pub enum Polled<'a> {
    /// A record.
    Record(Record<'a>),
    /// A partition has been read to its end.
    EndOfPartition {
        /// Which one.
        partition: i32,
    },
}

/// Reads some partitions of one topic; committed records only.
pub struct Reader {
    consumer: BaseConsumer<Quiet>,
    topic: String,
}

impl Reader {
    /// Starts reading `partitions` of `topic`.
    ///
    /// # Errors
    /// [`KafkaError::Settings`] where the client refuses its settings.
    pub fn new(
        settings: &ClientSettings,
        topic: &str,
        partitions: &[(i32, StartAt)],
    ) -> Result<Self, KafkaError> {
        let mut config = settings.consumer();
        // A group is required by the client, but never joined and never committed to.
        config.set("group.id", settings.lookout("reader")).set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer<Quiet> = config
            .create_with_context(Quiet)
            .map_err(|error| KafkaError::of_client("making a reader", &error))?;
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
        consumer
            .assign(&assignment)
            .map_err(|error| KafkaError::of_client(&format!("reading {topic}"), &error))?;
        Ok(Self { consumer, topic: topic.to_owned() })
    }

    /// Waits up to `timeout` for the next thing, and hands it to `visit`. `None`: nothing came.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] or worse, with the topic.
    pub fn poll<R>(
        &self,
        timeout: Duration,
        visit: impl FnOnce(Polled<'_>) -> R,
    ) -> Result<Option<R>, KafkaError> {
        match self.consumer.poll(timeout) {
            None => Ok(None),
            Some(Ok(message)) => {
                let headers = MessageHeaders(&message);
                let record = Record {
                    topic: &self.topic,
                    partition: message.partition(),
                    offset: message.offset(),
                    timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
                    key: message.key(),
                    value: message.payload(),
                    headers: &headers,
                };
                Ok(Some(visit(Polled::Record(record))))
            }
            Some(Err(ClientError::PartitionEOF(partition))) => {
                Ok(Some(visit(Polled::EndOfPartition { partition })))
            }
            Some(Err(error)) => match KafkaError::of_client(&format!("reading {}", self.topic), &error) {
                // The client connects again by itself, and goes on where it was.
                KafkaError::Retry(_) => Ok(None),
                other => Err(other),
            },
        }
    }
}

struct MessageHeaders<'a>(&'a BorrowedMessage<'a>);

impl ReadHeaders for MessageHeaders<'_> {
    fn visit(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        if let Some(headers) = self.0.headers() {
            for header in headers.iter() {
                visit(header.key, header.value);
            }
        }
    }
}
