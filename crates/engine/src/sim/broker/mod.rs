//! Kafka's brokers in memory, as far as the engine depends on them.
//!
//! One value, without threads and clocks: every call is given the time. It knows partitions with gaps, transactions
//! with markers and the last stable offset, fencing by epoch and by generation, rebalances, static members,
//! transactions that time out or end after their answer, requests that arrive late, retention, compaction, topics that
//! are deleted and created again, and records that are refused because of their time. `tests/it/simulation` runs the
//! same scripts against it and against Apache Kafka, and compares what readers see.

mod group;
mod log;
mod transactions;

use std::collections::BTreeMap;

pub use self::group::{Group, Heard, NOBODY};
pub use self::log::{Found, Log, Stored};
use self::transactions::Transactions;
pub use self::transactions::{Registered, Request};
use crate::kafka::OffsetCommit;

/// A record whose time is further ahead of the brokers' clock is refused (`message.timestamp.after.max.ms`).
const AHEAD_MAX_MS: i64 = 3_600_000;

/// The time of a call.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Milliseconds since the start, for sessions and time-outs.
    pub elapsed_ms: i64,
    /// Milliseconds since 1970, for records.
    pub wall_ms: i64,
}

/// Why a request was refused. The answer is clear: it had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another producer has registered the transactional id since.
    ProducerFenced,
    /// The group is in another generation, or does not know the member.
    IllegalGeneration,
    /// The time of a record is too far ahead.
    InvalidTimestamp,
    /// There is no such topic or partition.
    UnknownTopic,
    /// Earlier records of the producer are missing.
    OutOfOrderSequence,
}

/// A topic.
pub struct Topic {
    /// Another one for each topic that was ever made.
    pub id: u64,
    /// Its partitions.
    pub logs: Vec<Log>,
}

/// The brokers; see the module's description.
#[derive(Default)]
pub struct Broker {
    topics: BTreeMap<String, Topic>,
    groups: BTreeMap<String, Group>,
    transactions: Transactions,
    /// Ids that were given out.
    ids: u64,
}

impl Broker {
    /// Makes a topic; one of the same name is deleted first.
    pub fn create_topic(&mut self, name: &str, partitions: usize) {
        self.ids += 1;
        let logs = (0..partitions).map(|_| Log::default()).collect();
        self.topics.insert(name.to_owned(), Topic { id: self.ids, logs });
    }

    /// Gives a topic this many partitions, if it has fewer.
    pub fn add_partitions(&mut self, topic: &str, partitions: i32) {
        let Some(topic) = self.topics.get_mut(topic) else { return };
        let partitions = usize::try_from(partitions).unwrap_or(0);
        topic.logs.resize_with(partitions.max(topic.logs.len()), Log::default);
    }

    /// Deletes everything: topics, and with them what groups have committed.
    pub fn delete_all_topics(&mut self) {
        self.topics.clear();
        self.groups.clear();
        self.transactions.forget_open();
    }

    /// A topic by its name.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    /// The log of a partition.
    pub fn log(&self, topic: &str, partition: i32) -> Option<&Log> {
        self.topics.get(topic)?.logs.get(usize::try_from(partition).ok()?)
    }

    /// The log of a partition, to change it as an administrator would.
    pub fn log_mut(&mut self, topic: &str, partition: i32) -> Option<&mut Log> {
        self.topics.get_mut(topic)?.logs.get_mut(usize::try_from(partition).ok()?)
    }

    /// Compacts all partitions of a topic.
    pub fn compact(&mut self, topic: &str, tombstones_before_ms: i64) {
        let logs = self.topics.get_mut(topic).into_iter().flat_map(|topic| &mut topic.logs);
        logs.for_each(|log| log.compact(tombstones_before_ms));
    }

    /// A group by its id; one that nobody has joined is empty.
    pub fn group(&mut self, id: &str) -> &mut Group {
        self.groups.entry(id.to_owned()).or_default()
    }

    /// An id for a member, which nobody else has.
    pub fn member_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// How many partitions a topic has; 0 if there is none.
    pub fn partitions(&self, topic: &str) -> i32 {
        self.topics.get(topic).map_or(0, |topic| i32::try_from(topic.logs.len()).unwrap_or(i32::MAX))
    }

    /// Appends a record. With a producer and a sequence number it is part of that producer's transaction; a repetition is
    /// answered with the offset of the record before it, and not appended.
    ///
    /// # Errors
    /// The refusal; nothing was appended.
    pub fn produce(
        &mut self,
        producer: Option<(&Registered, u32)>,
        (topic, partition): (&str, i32),
        stored: Stored,
        now: Moment,
    ) -> Result<i64, Refusal> {
        if stored.timestamp_ms > now.wall_ms + AHEAD_MAX_MS {
            return Err(Refusal::InvalidTimestamp);
        }
        if self.log(topic, partition).is_none() {
            return Err(Refusal::UnknownTopic);
        }
        if let Some((producer, _)) = producer {
            self.end_if_ending(producer);
            self.transactions.joins(producer, now)?;
        }
        let log = self.log_mut(topic, partition).ok_or(Refusal::UnknownTopic)?;
        match producer {
            Some((producer, sequence)) => log.append_numbered(stored, producer, sequence),
            None => Ok(log.append(stored, None)),
        }
    }

    /// Commits positions at once, for a member of the present generation.
    ///
    /// # Errors
    /// [`Refusal::IllegalGeneration`] for another one.
    pub fn commit(
        &mut self,
        group: &str,
        (member, generation): (u64, i32),
        positions: &[OffsetCommit],
    ) -> Result<(), Refusal> {
        let group = self.group(group);
        if !group.is_present(member, generation) {
            return Err(Refusal::IllegalGeneration);
        }
        group.commit(positions);
        Ok(())
    }

    /// Moves time on: sessions and transactions time out, transactions that were answered end, late requests arrive.
    pub fn tick(&mut self, now: Moment, session_ms: i64) {
        let late = self.transactions.due(now);
        for (producer, commit) in late.ended {
            self.decide(producer, commit);
        }
        for (producer, request) in late.requests {
            // A late request is answered to nobody.
            let _ = self.request(&producer, &request, now, 0);
        }
        self.groups.values_mut().for_each(|group| group.expire(now.elapsed_ms, session_ms));
    }

    fn decide(&mut self, producer: u64, commit: bool) {
        let logs = self.topics.values_mut().flat_map(|topic| &mut topic.logs);
        logs.for_each(|log| log.end_transaction(producer, commit));
        self.groups.values_mut().for_each(|group| group.end_transaction(producer, commit));
    }
}
