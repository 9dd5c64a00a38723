//! The Kafka half of a commit, run beside the worker's thread, which goes on computing meanwhile.
//!
//! # The commit protocol
//!
//! Every `commit_interval`, and always before partitions are given up; sooner when much has changed, or when an output
//! that somebody waits for ([`Stage::is_awaited`](crate::Stage::is_awaited)) came at the end of its partition:
//!
//! 1. **Seal** (on the worker's thread): outputs that were held back are sent, each task's uncommitted changes
//!    are sealed, its position is noted. From here on the tasks go on with a new overlay. With `exactly_once`
//!    nothing they emit is sent before the commit has ended: it would land in this transaction. With
//!    `at_least_once` it is sent at once, as between two commits, and waited for by the next one.
//! 2. **Commit** (here). With `exactly_once`, changelog records and input offsets join the outputs in the
//!    worker's open transaction, which is committed: the moment that counts. With `at_least_once`, outputs
//!    are waited for until every replica has them, then the changelog records are sent and waited for (a
//!    changelog that says "emitted" of something that was not would lose it), then the offsets are committed.
//! 3. **Store** (on the worker's thread): sealed changes, input offset and changelog offset go into each
//!    task's store as one batch. Nothing is flushed: a store that is behind is mended by its changelog.
//!
//! | dies | `exactly_once` | `at_least_once` |
//! |---|---|---|
//! | before 2 has ended | nothing of it is visible; the records are processed again | outputs that were sent are written again, with the same ids; what the changelog has already is recognised |
//! | between 2 and 3 | all of it is visible; the store is behind and is restored from where it stands | the same |
//! | after 3 | nothing is left to do | the same |
//! | nobody knows whether 2 took place | the producer is replaced, whose start settles the transaction; then the committed offset and the changelog tell | the same without a producer to settle |
//!
//! # Who may commit
//!
//! A worker's producer serves many partitions, so its id alone does not keep a former owner of *one* of them
//! from committing; the group does. The metadata that goes with the offsets names a member in a generation,
//! and brokers refuse any but the present one (KIP-447). It is taken first, then the leases of all partitions
//! in the commit are looked at: if they hold, the metadata is of a generation in which the partitions were ours.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::failure::Failure;
use crate::fault::{Point, Sabotage, fails_commits, is_sabotaged, reach};
use crate::kafka::{
    ChangelogSlot, GroupConsumer, GroupMetadata, KafkaError, OffsetCommit, Outgoing, Ownership, Producer,
};
use crate::store::Sealed;

/// How long a rebalancing group may refuse plain commits before the worker counts as failed.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(10);
const REFUSAL_DELAY: Duration = Duration::from_millis(50);

/// Everything that one commit makes durable in Kafka.
pub(super) struct Commit {
    pub(super) producer: Arc<Producer>,
    pub(super) consumer: GroupConsumer,
    /// Set with transactions.
    pub(super) metadata: Option<GroupMetadata>,
    /// The changelog's name in Kafka, for stages with state.
    pub(super) changelog: Option<String>,
    /// Sealed changes by partition.
    pub(super) changes: Vec<(i32, Sealed)>,
    pub(super) positions: Vec<OffsetCommit>,
    /// Of each partition in the commit.
    pub(super) ownerships: Vec<Ownership>,
}

impl Commit {
    /// Commits; blocks while the brokers work.
    pub(super) fn run(self) -> Result<(), Failure> {
        if fails_commits() {
            return Err(KafkaError::Retry("commits fail, as planted".into()).into());
        }
        match &self.metadata {
            Some(metadata) => self.as_transaction(metadata),
            None => self.in_steps(),
        }
    }

    fn as_transaction(&self, metadata: &GroupMetadata) -> Result<(), Failure> {
        self.send_changes()?;
        if is_sabotaged(Sabotage::CommitBeforeProduce) {
            self.consumer.commit(&self.positions)?;
        }
        reach(Point::AfterProduce);
        if is_sabotaged(Sabotage::NoFencing) {
            self.producer.commit()?;
            let _ = self.consumer.commit(&self.positions);
            return Ok(());
        }
        if !self.positions.is_empty() {
            self.producer.send_offsets(&self.consumer, &self.positions, metadata)?;
        }
        reach(Point::AfterOffsetsSent);
        self.producer.commit()?;
        reach(Point::AfterCommit);
        Ok(())
    }

    fn in_steps(&self) -> Result<(), Failure> {
        self.producer.wait_acknowledged()?;
        self.send_changes()?;
        self.producer.wait_acknowledged()?;
        reach(Point::AfterProduce);
        self.commit_offsets()?;
        reach(Point::AfterCommit);
        Ok(())
    }

    fn send_changes(&self) -> Result<(), Failure> {
        let Some(topic) = &self.changelog else { return Ok(()) };
        for (partition, sealed) in &self.changes {
            for change in sealed.changes() {
                self.producer.send(&Outgoing {
                    topic,
                    partition: Some(*partition),
                    key: Some(change.key),
                    value: change.value,
                    timestamp_ms: -1,
                    headers: &[],
                    changelog: Some(ChangelogSlot(*partition)),
                })?;
            }
        }
        Ok(())
    }

    /// A group that is just rebalancing refuses commits for a moment, also of partitions that stay.
    fn commit_offsets(&self) -> Result<(), Failure> {
        if self.positions.is_empty() {
            return Ok(());
        }
        let deadline = Instant::now() + REFUSAL_PATIENCE;
        loop {
            match self.consumer.commit(&self.positions) {
                Err(KafkaError::Retry(reason)) if Instant::now() < deadline => {
                    // In the next generation it would be taken, although the partition may be another's then.
                    if !self.ownerships.iter().all(Ownership::is_ours) {
                        return Err(KafkaError::Fenced(reason).into());
                    }
                    tracing::debug!(reason, "commit refused, tried again");
                    std::thread::sleep(REFUSAL_DELAY);
                }
                outcome => return Ok(outcome?),
            }
        }
    }
}
