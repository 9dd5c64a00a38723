//! A task's part of a commit; `runtime/commit.rs` describes the whole.

use super::Task;
use crate::Counts;
use crate::kafka::OffsetCommit;
use crate::link::{PartitionQueue, Producer};
use crate::record::unix_ms;
use crate::runtime::commit::Share;
use crate::runtime::failure::Failure;
use crate::store::Checkpoint;

/// Entries checked per commit while old ones are deleted.
const SWEEP_ENTRIES: usize = 1_000;

/// The state of a task after a commit that Kafka has accepted.
pub(super) struct SealedWork {
    /// The position to commit; `None` while unknown.
    position: Option<OffsetCommit>,
    counts: Counts,
    /// Timestamp of its oldest record, in milliseconds since 1970.
    oldest_ms: Option<i64>,
    /// When it was sealed, in milliseconds since 1970: the store will be right as of then.
    at_ms: i64,
}

impl Task {
    /// Whether there is anything to commit; always true if anything was sent since the last commit.
    pub(in crate::runtime) fn has_changed(&self) -> bool {
        self.store.changed() > 0 || self.position().is_some_and(|position| Some(position) != self.committed)
    }

    /// The position to commit; `None` while it is unknown, or while open work is still being rebuilt.
    fn position(&self) -> Option<OffsetCommit> {
        let next_offset = self.next_offset.filter(|next| *next >= self.muted_below)?;
        let rewind_offset = self.processor.rewind_offset().filter(|rewind| *rewind < next_offset);
        let again_below = self.again_below.filter(|end| next_offset < *end);
        Some(OffsetCommit { rewind_offset, again_below, ..OffsetCommit::new(self.partition, next_offset) })
    }

    /// First step of a commit: sends outputs that were held back, and adds changes and position to its stage's
    /// share.
    pub(in crate::runtime) fn seal(&mut self, producer: &Producer, share: &mut Share) -> Result<(), Failure> {
        self.send_outputs(producer)?;
        self.has_sent = false;
        if self.stream_day > self.swept_day && self.store.expire(self.stream_day, SWEEP_ENTRIES)? {
            self.swept_day = self.stream_day;
        }
        let position = self.position();
        share.positions.extend(position);
        share.changes.push((self.plan.slot(self.partition), self.store.seal()));
        self.processor.sealed();
        share.ownerships.extend(self.life.queue().map(PartitionQueue::ownership));
        self.sealed = Some(SealedWork {
            position,
            counts: std::mem::take(&mut self.counts),
            oldest_ms: self.oldest_ms.take(),
            at_ms: unix_ms(),
        });
        Ok(())
    }

    /// Last step, after Kafka has the commit: writes state and offsets into the store in one batch.
    pub(in crate::runtime) fn committed(&mut self, producer: &Producer) -> Result<(), Failure> {
        let Some(SealedWork { position, counts, oldest_ms, at_ms }) = self.sealed.take() else {
            return Ok(());
        };
        let before = self.store.checkpoint();
        let input_offset = position.map_or(before.input_offset, |position| position.next_offset);
        let changelog_offset = producer
            .changelog_offset(self.plan.slot(self.partition))
            .map_or(before.changelog_offset, |offset| offset.max(before.changelog_offset));
        // The brokers have accepted the time of these changes; a commit without changes proves nothing about the clock.
        let at_ms = if changelog_offset > before.changelog_offset { at_ms } else { before.at_ms };
        // Another task may have the store by now; it gets these changes from the changelog.
        if self.is_ours() {
            self.store.commit(Checkpoint { input_offset, changelog_offset, at_ms })?;
            self.processor.committed();
        }
        self.committed = position.or(self.committed);
        self.status.committed(input_offset);
        if let Some(oldest_ms) = oldest_ms {
            self.status.fresh_at(oldest_ms);
            self.latency.record((unix_ms() - oldest_ms).max(0) as f64 / 1_000.0);
        }
        self.plan.process.totals.add(self.plan.stage, &counts);
        Ok(())
    }
}
