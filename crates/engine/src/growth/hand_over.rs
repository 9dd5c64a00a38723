//! Hands the grown topic over to the groups that read it.
//!
//! New partitions are read from their beginning, regardless of `auto_offset_reset`. Some records may have been
//! written while the topic grew, before producers knew of the new partitions. They have not been read yet, so each is
//! written again, to the partition that its key has now, and the groups skip the originals. Both happen in one
//! transaction.

use std::collections::BTreeMap;
use std::ops::Range;

use super::plan::Plan;
use super::read::read;
use super::{GrowthError, committed_of};
use crate::OutputHeader;
use crate::kafka::{ClientSettings, OffsetCommit, Outgoing, partition_of_key};
use crate::link::{Admin, GroupOffsets, Producer};
use crate::record::Record;

/// Records in one transaction.
const CHUNK: i64 = 2_000;

/// Commits a note next to the offsets of the groups that read the topic: `true` while it grows, and then that it has
/// grown.
pub(super) fn mark(admin: &Admin, plan: &Plan, is_growing: bool) -> Result<(), GrowthError> {
    let grows_to = is_growing.then_some(plan.partitions);
    for reader in &plan.readers {
        let offsets = admin.group(&reader.group)?;
        let committed = committed_of(&offsets, &plan.topic, plan.partitions)?.into_values();
        let other = committed.filter(|commit| commit.grows_to != grows_to);
        let marked: Vec<OffsetCommit> = other.map(|commit| OffsetCommit { grows_to, ..commit }).collect();
        if !marked.is_empty() {
            offsets.commit(&plan.topic, &marked)?;
        }
    }
    Ok(())
}

struct Group {
    offsets: GroupOffsets,
    committed: BTreeMap<i32, OffsetCommit>,
}

/// Hands the topic over, as the module's description says. Returns how many records were written again.
pub(super) fn hand_over(
    clients: &ClientSettings,
    admin: &Admin,
    producer: &Producer,
    plan: &Plan,
) -> Result<u64, GrowthError> {
    let kept = admin.log_offsets(&plan.topic)?;
    let mut groups = Vec::new();
    for reader in &plan.readers {
        let offsets = admin.group(&reader.group)?;
        let committed = committed_of(&offsets, &plan.topic, plan.partitions)?;
        // A group that has never worked starts wherever its settings say.
        if !committed.is_empty() {
            groups.push(Group { offsets, committed });
        }
    }
    let mut forwarded = 0;
    // Without state, it does not matter where a record is, and nothing shows how its producer places keys.
    let movable = kept.iter().filter(|_| plan.states().next().is_some());
    for (partition, range) in movable {
        if let Some(unread) = unread(&groups, *partition, range) {
            forwarded +=
                Forward { clients, producer, plan, groups: &groups, partition: *partition }.run(unread)?;
        }
    }
    let mut is_open = false;
    for group in &groups {
        let new = kept.iter().filter(|(partition, _)| !group.committed.contains_key(partition));
        let new: Vec<OffsetCommit> =
            new.map(|(partition, range)| plan.growing(*partition, range.start)).collect();
        if !new.is_empty() {
            producer.send_positions(&group.offsets, &plan.topic, &new)?;
            is_open = true;
        }
    }
    if is_open {
        producer.commit()?;
    }
    mark(admin, plan, false)?;
    Ok(forwarded)
}

/// The records of a partition that no group has read, if all groups are at the same offset with nothing open.
fn unread(groups: &[Group], partition: i32, kept: &Range<i64>) -> Option<Range<i64>> {
    let mut stands = groups.iter().map(|group| group.committed.get(&partition));
    let first = stands.next()??;
    let is_same = stands.all(|other| other == Some(first));
    let next = first.next_offset.max(kept.start);
    (is_same && first.rewind_offset.is_none() && next < kept.end).then_some(next..kept.end)
}

/// One partition with unread records.
struct Forward<'a> {
    clients: &'a ClientSettings,
    producer: &'a Producer,
    plan: &'a Plan,
    groups: &'a [Group],
    partition: i32,
}

impl Forward<'_> {
    /// Writes the unread records again if some of them are in the wrong partition.
    fn run(&self, unread: Range<i64>) -> Result<u64, GrowthError> {
        let place = |record: &Record<'_>| match record.key {
            Some(key) => partition_of_key(key, self.plan.partitions),
            None => record.partition,
        };
        let range = [(self.partition, unread.clone())];
        let mut misplaced = 0_u64;
        read(self.clients, &self.plan.topic, &range, &mut |record| {
            misplaced += u64::from(place(record) != self.partition);
            Ok(())
        })?;
        if misplaced == 0 {
            return Ok(0);
        }
        let (mut sent, mut begun) = (0, unread.start);
        read(self.clients, &self.plan.topic, &range, &mut |record| {
            self.send(record, place(record))?;
            sent += 1;
            if record.offset - begun >= CHUNK {
                begun = record.offset;
                self.pass_over(record.offset + 1)?;
            }
            Ok(())
        })?;
        self.pass_over(unread.end)?;
        Ok(sent)
    }

    fn send(&self, record: &Record<'_>, partition: i32) -> Result<(), GrowthError> {
        let mut headers: Vec<OutputHeader> = Vec::new();
        record
            .headers
            .visit(&mut |name, value| headers.push((name.to_owned().into(), value.map(<[u8]>::to_vec))));
        self.producer.send(&Outgoing {
            topic: &self.plan.topic,
            partition: Some(partition),
            key: record.key,
            value: record.value,
            timestamp_ms: record.timestamp_ms,
            headers: &headers,
            changelog: None,
        })?;
        Ok(())
    }

    /// Commits what was sent, with the groups' offsets after the originals.
    fn pass_over(&self, next_offset: i64) -> Result<(), GrowthError> {
        for group in self.groups {
            self.producer.send_positions(
                &group.offsets,
                &self.plan.topic,
                &[self.plan.growing(self.partition, next_offset)],
            )?;
        }
        Ok(self.producer.commit()?)
    }
}
