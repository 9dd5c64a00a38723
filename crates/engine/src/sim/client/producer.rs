//! A producer whose brokers are in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{GroupConsumer, GroupMetadata, GroupOffsets, retry};
use crate::fault::{Sabotage, is_sabotaged};
use crate::kafka::{
    ChangelogSlot, ClientSettings, KafkaError, OffsetCommit, Outgoing, TransactionSettings, partition_of_key,
};
use crate::sim::broker::{NOBODY, Refusal, Registered, Request, Stored};
use crate::sim::host::{self, Call, Host};

/// Of so many records that are sent early, one is not acknowledged because the connection breaks.
const BREAKS: u64 = 8;
/// A flush sends a record at most so often.
const SENDINGS: u32 = 3;
/// A late request arrives within this many milliseconds.
const LATE_MS: u64 = 3_000;
/// Markers of a transaction are written within this many milliseconds after the answer.
pub(super) const MARKERS_MS: u64 = 20;

/// As [`crate::kafka::Producer`].
pub(crate) struct Producer {
    host: Arc<Host>,
    transaction: Option<TransactionSettings>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    registered: Option<Registered>,
    is_open: bool,
    is_spent: bool,
    /// Records that are not acknowledged, in order.
    waiting: VecDeque<Waiting>,
    /// The sequence number of the next record, by topic and partition.
    sequences: HashMap<(String, i32), u32>,
    changelog: HashMap<ChangelogSlot, i64>,
}

struct Waiting {
    to: (String, i32),
    sequence: u32,
    stored: Stored,
    changelog: Option<ChangelogSlot>,
}

impl Producer {
    /// As [`crate::kafka::Producer::new`].
    pub(crate) fn new(
        settings: &ClientSettings,
        transaction: Option<&TransactionSettings>,
    ) -> Result<Self, KafkaError> {
        Self::with_batches(settings, transaction, usize::MAX)
    }

    /// As [`crate::kafka::Producer::with_batches`].
    pub(crate) fn with_batches(
        _settings: &ClientSettings,
        transaction: Option<&TransactionSettings>,
        _batch_bytes: usize,
    ) -> Result<Self, KafkaError> {
        Ok(Self { host: host::present(), transaction: transaction.cloned(), state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.transaction.is_some()
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.state().is_spent
    }

    pub(crate) fn ready(&self) -> Result<(), KafkaError> {
        let Some(transaction) = &self.transaction else { return Ok(()) };
        let mut state = self.state();
        if state.registered.is_some() {
            return Ok(());
        }
        let outcome = self.host.call();
        if outcome == Call::Lost {
            return Err(retry("registering a transactional id"));
        }
        let timeout_ms = i64::try_from(transaction.timeout_ms).unwrap_or(i64::MAX);
        let registered = self.host.broker().register(&transaction.transactional_id, timeout_ms);
        if outcome != Call::Answered {
            return Err(retry("registering a transactional id: no answer"));
        }
        state.registered = Some(registered);
        Ok(())
    }

    pub(crate) fn send(&self, outgoing: &Outgoing<'_>) -> Result<(), KafkaError> {
        let mut state = self.state();
        if self.is_transactional() {
            if state.is_spent || state.registered.is_none() {
                state.is_spent = true;
                return Err(retry("beginning a transaction"));
            }
            state.is_open = true;
        }
        let partitions = self.host.broker().partitions(outgoing.topic);
        let of_key = || partition_of_key(outgoing.key.unwrap_or_default(), partitions.max(1));
        let header = |(name, value): &(std::borrow::Cow<'static, str>, Option<Vec<u8>>)| {
            (name.to_string(), value.clone())
        };
        let to = (outgoing.topic.to_owned(), outgoing.partition.unwrap_or_else(of_key));
        let next = state.sequences.entry(to.clone()).or_default();
        let sequence = std::mem::replace(next, *next + 1);
        state.waiting.push_back(Waiting {
            to,
            sequence,
            stored: Stored {
                key: outgoing.key.map(<[u8]>::to_vec),
                value: outgoing.value.map(<[u8]>::to_vec),
                timestamp_ms: if outgoing.timestamp_ms < 0 {
                    self.host.unix_ms()
                } else {
                    outgoing.timestamp_ms
                },
                headers: outgoing.headers.iter().map(header).collect(),
            },
            changelog: outgoing.changelog,
        });
        // The client sends when it likes; a commit sends the rest.
        if self.host.draw(3) == 0 {
            return self.send_waiting(&mut state, true);
        }
        Ok(())
    }

    /// Sends what waits, and some of it once more: unlike other requests the client repeats these by itself.
    fn flush(&self, state: &mut State) -> Result<(), KafkaError> {
        for _ in 0..SENDINGS {
            self.send_waiting(state, false)?;
        }
        Ok(())
    }

    /// Sends what waits, up to the first record that is not acknowledged. Before a commit, a connection may break at any
    /// time without much effect.
    fn send_waiting(&self, state: &mut State, is_early: bool) -> Result<(), KafkaError> {
        while let Some(Waiting { to: (topic, partition), sequence, stored, .. }) = state.waiting.front()
            && self.host.is_connected()
        {
            let numbered = state.registered.as_ref().map(|registered| (registered, *sequence));
            let outcome = match (numbered, self.host.call()) {
                (None, _) => Call::Answered,
                (Some(_), Call::Answered) if is_early && self.host.draw(BREAKS) == 0 => Call::AnswerLost,
                (Some(_), outcome) => outcome,
            };
            if matches!(outcome, Call::Lost | Call::Late) {
                break;
            }
            let to = (topic.as_str(), *partition);
            let appended = self.host.broker().produce(numbered, to, stored.clone(), host::moment());
            if outcome == Call::AnswerLost {
                break;
            }
            let changelog = state.waiting.pop_front().and_then(|record| record.changelog);
            match appended {
                Ok(offset) => {
                    if let Some(slot) = changelog {
                        let next = state.changelog.entry(slot).or_default();
                        *next = (*next).max(offset + 1);
                    }
                }
                Err(refusal) => {
                    state.is_spent = true;
                    return Err(of_refusal("producing", refusal));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn wait_acknowledged(&self) -> Result<(), KafkaError> {
        let mut state = self.state();
        self.flush(&mut state)?;
        if state.waiting.is_empty() { Ok(()) } else { Err(retry("records were not acknowledged in time")) }
    }

    pub(crate) fn send_offsets(
        &self,
        consumer: &GroupConsumer,
        positions: &[OffsetCommit],
        metadata: &GroupMetadata,
    ) -> Result<(), KafkaError> {
        self.add_offsets(consumer.group(), (metadata.member, metadata.generation), positions)
    }

    pub(crate) fn send_positions(
        &self,
        group: &GroupOffsets,
        _topic: &str,
        positions: &[OffsetCommit],
    ) -> Result<(), KafkaError> {
        self.add_offsets(group.group(), NOBODY, positions)
    }

    fn add_offsets(
        &self,
        group: &str,
        member: (u64, i32),
        positions: &[OffsetCommit],
    ) -> Result<(), KafkaError> {
        let request = Request::AddOffsets { group: group.to_owned(), member, positions: positions.to_vec() };
        self.request("sending offsets to the transaction", request)
    }

    pub(crate) fn wait_for_partitions(&self, topic: &str, partitions: i32) -> Result<(), KafkaError> {
        if self.host.call() == Call::Answered && self.host.broker().partitions(topic) >= partitions {
            return Ok(());
        }
        Err(retry("looking up a topic"))
    }

    pub(crate) fn commit(&self) -> Result<(), KafkaError> {
        self.request("committing a transaction", Request::End { commit: true })?;
        self.state().is_open = false;
        Ok(())
    }

    /// A request of the transaction. If its outcome is unclear, the producer is spent.
    fn request(&self, what: &str, request: Request) -> Result<(), KafkaError> {
        if !self.is_transactional() {
            return Ok(());
        }
        let mut state = self.state();
        state.is_open = true;
        // Only a commit waits for the records.
        let is_end = matches!(request, Request::End { .. });
        if is_end {
            self.flush(&mut state)?;
        }
        let Some(registered) = state.registered.clone() else { return Err(retry(what)) };
        let now = host::moment();
        let outcome = self.host.call();
        if outcome == Call::Lost || is_end && !state.waiting.is_empty() {
            state.is_spent = true;
            return Err(retry(&format!("{what}: the outcome is unknown")));
        }
        if outcome == Call::Late {
            let at_ms = now.elapsed_ms + i64::try_from(self.host.draw(LATE_MS)).unwrap_or(0);
            self.host.broker().request_later(&registered, request, at_ms);
            state.is_spent = true;
            return Err(retry(&format!("{what}: the outcome is unknown")));
        }
        let markers_ms = i64::try_from(self.host.draw(MARKERS_MS)).unwrap_or(0);
        let answer = self.host.broker().request(&registered, &request, now, markers_ms);
        if outcome == Call::AnswerLost {
            state.is_spent = true;
            return Err(retry(&format!("{what}: the outcome is unknown")));
        }
        answer.map_err(|refusal| {
            // The group's answer is clear: an abort is enough.
            state.is_spent |= refusal != Refusal::IllegalGeneration;
            of_refusal(what, refusal)
        })
    }

    pub(crate) fn abort(&self) {
        let mut state = self.state();
        if !self.is_transactional() || !std::mem::take(&mut state.is_open) || state.is_spent {
            return;
        }
        if !state.waiting.is_empty() {
            if !is_sabotaged(Sabotage::ReusedSequences) {
                state.is_spent = true;
                return;
            }
            for Waiting { to, sequence, .. } in std::mem::take(&mut state.waiting).into_iter().rev() {
                state.sequences.insert(to, sequence);
            }
        }
        state.changelog.clear();
        let Some(registered) = state.registered.clone() else { return };
        let outcome = self.host.call();
        let abort = Request::End { commit: false };
        let done = match outcome {
            Call::Lost | Call::Late => false,
            _ => self.host.broker().request(&registered, &abort, host::moment(), 0).is_ok(),
        };
        state.is_spent = !done || outcome != Call::Answered;
    }

    pub(crate) fn forget_changelog(&self, slot: ChangelogSlot) {
        self.state().changelog.remove(&slot);
    }

    pub(crate) fn changelog_offset(&self, slot: ChangelogSlot) -> Option<i64> {
        self.state().changelog.get(&slot).copied()
    }
}

fn of_refusal(what: &str, refusal: Refusal) -> KafkaError {
    let message = format!("{what}: {refusal:?}");
    match refusal {
        Refusal::ProducerFenced => KafkaError::Replaced(message),
        Refusal::IllegalGeneration => KafkaError::Fenced(message),
        Refusal::InvalidTimestamp => KafkaError::Clock(message),
        Refusal::UnknownTopic | Refusal::OutOfOrderSequence => KafkaError::Retry(message),
    }
}
