//! The transaction coordinator: producers with their epochs, and their open transactions.
//!
//! A commit is answered before its markers are written, so readers see it a little later. A request whose answer was
//! lost may arrive at any later moment; its producer's epoch decides whether it still counts.

use std::collections::BTreeMap;

use super::{Broker, Moment, Refusal};
use crate::kafka::OffsetCommit;

/// A registered transactional producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its transactional id.
    pub id: String,
    /// Its number, which stays the same for the id.
    pub number: u64,
    /// Counts the registrations of the id: a lower one is fenced.
    pub epoch: u32,
}

/// A request within a transaction, apart from records.
#[derive(Clone, Debug)]
pub enum Request {
    /// Adds positions of a group, as a member in a generation.
    AddOffsets {
        /// The group.
        group: String,
        /// The member's id and the generation that it knows.
        member: (u64, i32),
        /// The positions.
        positions: Vec<OffsetCommit>,
    },
    /// Ends the transaction.
    End {
        /// By a commit, or by an abort.
        commit: bool,
    },
}

struct Producer {
    number: u64,
    epoch: u32,
    timeout_ms: i64,
    /// Since when a transaction is open, in milliseconds since the start.
    open_since_ms: Option<i64>,
    /// A transaction has been answered, and its markers are written at this time.
    ending: Option<(bool, i64)>,
}

/// The state of the coordinator.
#[derive(Default)]
pub(super) struct Transactions {
    producers: BTreeMap<String, Producer>,
    numbers: u64,
    late: Vec<(i64, Registered, Request)>,
}

/// What happens by itself at a moment.
pub(super) struct Due {
    /// Numbers of producers whose transactions end, by a commit or by an abort.
    pub(super) ended: Vec<(u64, bool)>,
    pub(super) requests: Vec<(Registered, Request)>,
}

impl Transactions {
    /// The topics are gone, and with them what was open.
    pub(super) fn forget_open(&mut self) {
        for producer in self.producers.values_mut() {
            (producer.open_since_ms, producer.ending) = (None, None);
        }
        self.late.clear();
    }

    fn present(&mut self, who: &Registered) -> Result<&mut Producer, Refusal> {
        let known = self.producers.get_mut(&who.id).filter(|known| known.epoch == who.epoch);
        known.ok_or(Refusal::ProducerFenced)
    }

    /// A record becomes part of the producer's transaction, which begins if none is open.
    pub(super) fn joins(&mut self, who: &Registered, now: Moment) -> Result<(), Refusal> {
        self.present(who)?.open_since_ms.get_or_insert(now.elapsed_ms);
        Ok(())
    }

    pub(super) fn due(&mut self, now: Moment) -> Due {
        let mut ended = Vec::new();
        for producer in self.producers.values_mut() {
            if let Some((commit, due_ms)) = producer.ending
                && due_ms <= now.elapsed_ms
            {
                producer.ending = None;
                ended.push((producer.number, commit));
            }
            if producer.open_since_ms.is_some_and(|since| now.elapsed_ms - since > producer.timeout_ms) {
                // The coordinator fences the producer whose transaction it aborts.
                (producer.open_since_ms, producer.epoch) = (None, producer.epoch + 1);
                ended.push((producer.number, false));
            }
        }
        let (due, later) =
            std::mem::take(&mut self.late).into_iter().partition(|(at, ..)| *at <= now.elapsed_ms);
        self.late = later;
        let due: Vec<(i64, Registered, Request)> = due;
        Due { ended, requests: due.into_iter().map(|(_, who, request)| (who, request)).collect() }
    }
}

impl Broker {
    /// Registers a transactional id. What an earlier producer with that id left open is aborted, and the earlier
    /// producer is fenced.
    pub fn register(&mut self, id: &str, timeout_ms: i64) -> Registered {
        let coordinator = &mut self.transactions;
        coordinator.numbers += 1;
        let fresh =
            Producer { number: coordinator.numbers, epoch: 0, timeout_ms, open_since_ms: None, ending: None };
        let producer = coordinator.producers.entry(id.to_owned()).or_insert(fresh);
        producer.epoch += 1;
        producer.timeout_ms = timeout_ms;
        let ending = producer.ending.take().map(|(commit, _)| commit);
        let open = producer.open_since_ms.take().map(|_| false);
        let registered = Registered { id: id.to_owned(), number: producer.number, epoch: producer.epoch };
        for commit in ending.into_iter().chain(open) {
            self.decide(registered.number, commit);
        }
        registered
    }

    /// Writes the markers of all transactions that were answered.
    pub fn write_markers(&mut self) {
        let producers = self.transactions.producers.values_mut();
        let ending = producers.filter_map(|producer| Some((producer.number, producer.ending.take()?.0)));
        for (producer, commit) in ending.collect::<Vec<_>>() {
            self.decide(producer, commit);
        }
    }

    /// Writes the markers of a transaction that was answered: the next one of its producer waits for them.
    pub(super) fn end_if_ending(&mut self, who: &Registered) {
        let ending = self.transactions.present(who).ok().and_then(|producer| producer.ending.take());
        if let Some((commit, _)) = ending {
            self.decide(who.number, commit);
        }
    }

    /// A request of a transaction. Its markers are written `marker_delay_ms` after the answer.
    ///
    /// # Errors
    /// The refusal; the request had no effect.
    pub fn request(
        &mut self,
        who: &Registered,
        request: &Request,
        now: Moment,
        marker_delay_ms: i64,
    ) -> Result<(), Refusal> {
        self.transactions.present(who)?;
        match request {
            Request::AddOffsets { group, member, positions } => {
                self.end_if_ending(who);
                if !self.group(group).is_present(member.0, member.1) {
                    return Err(Refusal::IllegalGeneration);
                }
                self.transactions.present(who)?.open_since_ms.get_or_insert(now.elapsed_ms);
                self.group(group).commit_later(who.number, positions);
            }
            Request::End { commit } => {
                let producer = self.transactions.present(who)?;
                if producer.open_since_ms.take().is_none() {
                    // Of a transaction that has ended, or has no records: both are answered with success.
                    return Ok(());
                }
                producer.ending = Some((*commit, now.elapsed_ms + marker_delay_ms));
                if marker_delay_ms == 0 {
                    self.end_if_ending(who);
                }
            }
        }
        Ok(())
    }

    /// A request that arrives at a later time, although its sender has given up on it.
    pub fn request_later(&mut self, who: &Registered, request: Request, at_ms: i64) {
        self.transactions.late.push((at_ms, who.clone(), request));
    }
}
