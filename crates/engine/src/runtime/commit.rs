//! The Kafka half of a commit. It runs on its own thread, so that the worker's thread can continue.
//!
//! # The commit protocol
//!
//! Every `commit_interval`, and always before partitions are given up. Sooner if much has changed, or if an awaited
//! output ([`Stage::is_awaited`](crate::Stage::is_awaited)) came at the end of its partition, and no other task of the
//! worker has a backlog. The timer is set
//! by the first change of an interval (`Worker::commit_at_interval`), so that an idle worker sleeps.
//!
//! 1. **Seal** (on the worker's thread): outputs that were held back are sent, each task's uncommitted changes are
//!    sealed, and its position is noted. From here on the tasks continue with a new overlay. With `exactly_once`
//!    nothing that they emit is sent before the commit has ended: it would land in this transaction. With
//!    `at_least_once` it is sent at once, as between two commits, and the next commit waits for it.
//! 2. **Commit** (here). With `exactly_once`, changelog records and input offsets join the outputs in the worker's
//!    open transaction. Committing it is the moment that counts. With `at_least_once`, the commit waits until every
//!    replica has the outputs, sends the changelog records and waits for them, and then commits the offsets. (If the
//!    changelog said "emitted" of an output that was not, the output would be lost.)
//! 3. **Store** (on the worker's thread): sealed changes, input offset and changelog offset go into each task's store
//!    as one batch. Nothing is flushed: a restore brings a store that is behind up to date from its changelog.
//!
//! | dies | `exactly_once` | `at_least_once` |
//! |---|---|---|
//! | before 2 has ended | nothing of it is visible; the records are processed again | outputs that were sent are written again, with the same ids; entries that the changelog already has are recognised |
//! | between 2 and 3 | all of it is visible; the store is behind and is restored from where it is | the same |
//! | after 3 | nothing is left to do | the same |
//! | the outcome of 2 is unknown | the producer is replaced, whose start settles the transaction; the committed offset and the changelog then show the outcome | the same, without a producer to settle |
//!
//! # Who may commit
//!
//! A worker's producer serves many partitions, so its id alone does not prevent a former owner of *one* of them from
//! committing; the group does. The metadata sent with the offsets names a member in a generation, and brokers refuse
//! any but the present one (KIP-447). The commit takes the metadata first and then checks the leases of all its
//! partitions: if they hold, the metadata is of a generation in which the partitions belonged to this process.
//!
//! A worker that several stages share commits for all of them in one transaction, with the offsets of each stage's own
//! group. If one group refuses its offsets, nothing of the transaction counts.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::failure::{Breakdown, Failure};
use crate::StageId;
use crate::fault::{Point, Sabotage, fails_commits, is_sabotaged, reach};
use crate::kafka::{ChangelogSlot, KafkaError, OffsetCommit, Outgoing, Ownership};
use crate::link::{GroupConsumer, GroupMetadata, Producer};
use crate::store::Sealed;

/// How long a rebalancing group may refuse plain commits before the worker counts as failed.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(10);
const REFUSAL_DELAY: Duration = Duration::from_millis(50);

/// The content of one commit in Kafka.
pub(super) struct Commit {
    pub(super) producer: Arc<Producer>,
    /// At least one.
    pub(super) shares: Vec<Share>,
    pub(super) next: Step,
}

/// What one stage has in a commit.
pub(super) struct Share {
    pub(super) stage: StageId,
    pub(super) consumer: GroupConsumer,
    /// Set if transactions are used.
    pub(super) metadata: Option<GroupMetadata>,
    /// The changelog's name in Kafka, for stages with state.
    pub(super) changelog: Option<String>,
    /// Sealed changes by partition.
    pub(super) changes: Vec<(ChangelogSlot, Sealed)>,
    pub(super) positions: Vec<OffsetCommit>,
    /// Of the partitions in the commit.
    pub(super) ownerships: Vec<Ownership>,
}

/// What a commit does next.
#[derive(Clone, Copy, Default)]
pub(super) enum Step {
    /// Send the changelog records.
    #[default]
    Changes,
    /// Add the offsets of a share to the transaction, or commit them.
    Offsets {
        share: usize,
        /// Since when the group has refused them.
        refused_since: Option<Instant>,
    },
    /// Commit the transaction.
    Transaction,
}

impl Commit {
    /// Commits; blocks while the brokers work.
    #[cfg_attr(test, expect(dead_code, reason = "a simulation has no thread that could block"))]
    pub(super) fn run(mut self) -> Result<(), Breakdown> {
        while let Some(pause) = self.step()? {
            std::thread::sleep(pause);
        }
        Ok(())
    }

    /// Does the next step; returns the pause before the one after it, or `None` when the commit is done.
    pub(super) fn step(&mut self) -> Result<Option<Duration>, Breakdown> {
        if fails_commits() {
            return Err(Failure::from(KafkaError::Retry("commits fail, as planted".into())).into());
        }
        if self.producer.is_transactional() {
            let next = self.step_of_transaction()?;
            return Ok(next.map(|next| {
                self.next = next;
                Duration::ZERO
            }));
        }
        self.step_without_transaction()
    }

    /// The step after the offsets of a share.
    fn after(&self, share: usize) -> Step {
        match self.shares.get(share + 1) {
            Some(_) => Step::Offsets { share: share + 1, refused_since: None },
            None => Step::Transaction,
        }
    }

    fn step_of_transaction(&self) -> Result<Option<Step>, Breakdown> {
        match self.next {
            Step::Changes => {
                self.send_changes()?;
                if is_sabotaged(Sabotage::CommitBeforeProduce) {
                    self.commit_plainly()?;
                }
                reach(Point::AfterProduce);
                Ok(Some(Step::Offsets { share: 0, refused_since: None }))
            }
            Step::Offsets { share, .. } => {
                let Share { stage, consumer, metadata, positions, .. } = &self.shares[share];
                if let Some(metadata) = metadata.as_ref().filter(|_| !positions.is_empty())
                    && !is_sabotaged(Sabotage::NoFencing)
                {
                    let sent = self.producer.send_offsets(consumer, positions, metadata);
                    sent.map_err(|error| Breakdown::of(*stage, error))?;
                }
                let next = self.after(share);
                if matches!(next, Step::Transaction) {
                    reach(Point::AfterOffsetsSent);
                }
                Ok(Some(next))
            }
            Step::Transaction => {
                self.producer.commit().map_err(Failure::from)?;
                if is_sabotaged(Sabotage::NoFencing) {
                    let _ = self.commit_plainly();
                    return Ok(None);
                }
                reach(Point::AfterCommit);
                Ok(None)
            }
        }
    }

    fn step_without_transaction(&mut self) -> Result<Option<Duration>, Breakdown> {
        match self.next {
            Step::Changes => {
                self.producer.wait_acknowledged().map_err(Failure::from)?;
                self.send_changes()?;
                self.producer.wait_acknowledged().map_err(Failure::from)?;
                reach(Point::AfterProduce);
                self.next = Step::Offsets { share: 0, refused_since: None };
                Ok(Some(Duration::ZERO))
            }
            Step::Offsets { share, refused_since } => {
                let refused = self.shares[share].commit_offsets(refused_since);
                let refused_since =
                    refused.map_err(|error| Breakdown::of(self.shares[share].stage, error))?;
                if refused_since.is_some() {
                    self.next = Step::Offsets { share, refused_since };
                    return Ok(Some(REFUSAL_DELAY));
                }
                self.next = self.after(share);
                Ok(Some(Duration::ZERO))
            }
            Step::Transaction => {
                reach(Point::AfterCommit);
                Ok(None)
            }
        }
    }

    fn send_changes(&self) -> Result<(), Breakdown> {
        for Share { stage, changelog, changes, .. } in &self.shares {
            let Some(topic) = changelog else { continue };
            for (slot, sealed) in changes {
                for change in sealed.changes() {
                    let sent = self.producer.send(&Outgoing {
                        topic,
                        partition: Some(slot.partition),
                        key: Some(change.key),
                        value: change.value,
                        timestamp_ms: -1,
                        headers: &[],
                        changelog: Some(*slot),
                    });
                    sent.map_err(|error| Breakdown::of(*stage, error))?;
                }
            }
        }
        Ok(())
    }

    /// Commits the offsets outside of the transaction, as a planted bug.
    fn commit_plainly(&self) -> Result<(), Failure> {
        self.shares.iter().try_for_each(|share| Ok(share.consumer.commit(&share.positions)?))
    }
}

impl Share {
    /// Without transactions. A group that is rebalancing refuses commits for a moment, even for partitions that stay:
    /// returns since when.
    fn commit_offsets(&self, refused_since: Option<Instant>) -> Result<Option<Instant>, KafkaError> {
        if self.positions.is_empty() {
            return Ok(None);
        }
        let since = refused_since.unwrap_or_else(Instant::now);
        match self.consumer.commit(&self.positions) {
            Err(KafkaError::Retry(reason)) if since.elapsed() < REFUSAL_PATIENCE => {
                // In the next generation it would be accepted, although the partition may belong to another process
                // then.
                if !self.ownerships.iter().all(Ownership::is_ours) {
                    return Err(KafkaError::Fenced(reason));
                }
                tracing::debug!(reason, "commit refused, tried again");
                Ok(Some(since))
            }
            outcome => outcome.map(|()| None),
        }
    }
}
