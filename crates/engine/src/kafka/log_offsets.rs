//! The offsets that brokers report: ends of logs, times, commits.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

/// The offsets of each partition's log, from the first that is kept to the end, as the brokers report them.
///
/// This takes two requests for all partitions. The client's own call sends two per partition, and for every answer
/// its thread walks through all partitions that it fetches: with a thousand of them, half of the CPU time of a start.
pub(super) fn log_offsets<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partitions: &[i32],
    patience: Duration,
) -> Result<BTreeMap<i32, Range<i64>>, ClientError> {
    if partitions.is_empty() {
        return Ok(BTreeMap::new());
    }
    // The end is asked last, so that it is never before the start.
    let starts = ask(consumer, topic, partitions, (Offset::Beginning, patience))?;
    let ends = ask(consumer, topic, partitions, (Offset::End, patience))?;
    Ok(starts
        .into_iter()
        .zip(ends.into_values())
        .map(|((partition, start), end)| (partition, start..end))
        .collect())
}

/// For each partition, the first offset whose record has this timestamp (in milliseconds since 1970) or a later one;
/// partitions without such a record are missing.
pub(super) fn offsets_at<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partitions: &[i32],
    (timestamp_ms, patience): (i64, Duration),
) -> Result<BTreeMap<i32, i64>, ClientError> {
    let mut question = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        question.add_partition_offset(topic, *partition, Offset::Offset(timestamp_ms))?;
    }
    let answer = consumer.offsets_for_times(question, patience)?;
    let mut found = BTreeMap::new();
    for element in answer.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            found.insert(element.partition(), offset);
        }
    }
    Ok(found)
}

/// Committed offsets, unless one of them could not be read: that is not the same as a partition without one.
pub(super) fn all_read(committed: TopicPartitionList) -> Result<TopicPartitionList, ClientError> {
    committed.elements().iter().try_for_each(|element| element.error())?;
    Ok(committed)
}

/// Asks for one end of all logs. The protocol puts it in the place of a time.
fn ask<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partitions: &[i32],
    (end, patience): (Offset, Duration),
) -> Result<BTreeMap<i32, i64>, ClientError> {
    let mut question = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        question.add_partition_offset(topic, *partition, end)?;
    }
    let answer = consumer.offsets_for_times(question, patience)?;
    let found = answer.elements().into_iter().map(|element| {
        element.error()?;
        match element.offset() {
            Offset::Offset(offset) => Ok((element.partition(), offset)),
            _ => Err(ClientError::OffsetFetch(RDKafkaErrorCode::NoOffset)),
        }
    });
    found.collect()
}
