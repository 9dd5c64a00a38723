//! A consumer group: members, their partitions, and committed positions.
//!
//! Partitions move cooperatively. When a member comes or goes, the group begins a new generation with new targets. A
//! member that must give partitions up hears it with its next poll, and says when it has done so, which begins
//! another generation; only then do they go to others. Every member learns the present generation with its next poll,
//! so that until then its commits are refused.
//!
//! A static member says who it is. It does not leave when it stops; if it comes back before its session is over, it
//! takes its own place again, with the same partitions and without a new generation.

use std::collections::{BTreeMap, BTreeSet};

use crate::kafka::OffsetCommit;

/// The place of a tool that commits offsets for a group without members.
pub const NOBODY: (u64, i32) = (0, -1);

/// What a member hears when it polls.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing has changed.
    Nothing,
    /// Give these up, and say so.
    Revoke(Vec<i32>),
    /// These are assigned.
    Assign(Vec<i32>),
    /// The group has removed this member: it was silent for too long.
    Removed,
}

#[derive(Default)]
struct Member {
    name: String,
    /// Who a static member is; empty for others.
    instance_id: String,
    owned: BTreeSet<i32>,
    /// It is giving these up.
    revoking: BTreeSet<i32>,
    target: BTreeSet<i32>,
    heard_ms: i64,
}

/// A group that reads one topic.
#[derive(Default)]
pub struct Group {
    generation: i32,
    /// How many partitions its topic has.
    partitions: i32,
    members: BTreeMap<u64, Member>,
    committed: BTreeMap<i32, OffsetCommit>,
    /// Positions in transactions that have not ended, by producer.
    pending: BTreeMap<u64, Vec<OffsetCommit>>,
}

impl Group {
    /// The present generation.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// Whether a member is in the group, in its present generation. [`NOBODY`] is if nobody is in the group.
    pub fn is_present(&self, member: u64, generation: i32) -> bool {
        if (member, generation) == NOBODY {
            return self.members.is_empty();
        }
        self.members.contains_key(&member) && generation == self.generation
    }

    /// How many members there are, including those that have died, until their sessions time out.
    pub fn count_members(&self) -> usize {
        self.members.len()
    }

    /// How many members have this name.
    pub fn named(&self, name: &str) -> usize {
        self.members.values().filter(|member| member.name == name).count()
    }

    /// Adds a member: its own name, and who it is if it is a static member.
    pub fn join(&mut self, id: u64, (name, instance_id): (&str, &str), partitions: i32, now_ms: i64) {
        let (name, instance_id) = (name.to_owned(), instance_id.to_owned());
        let mut member = Member { name, instance_id, heard_ms: now_ms, ..Member::default() };
        let is_former =
            |known: &Member| !known.instance_id.is_empty() && known.instance_id == member.instance_id;
        let former = self.members.iter().find(|(_, known)| is_former(known)).map(|(id, _)| *id);
        let former = former.and_then(|id| self.members.remove(&id));
        let is_settled =
            self.partitions == partitions && self.members.values().all(|other| other.revoking.is_empty());
        self.partitions = partitions;
        match former {
            Some(former) if is_settled => {
                member.target = former.target;
                self.members.insert(id, member);
            }
            _ => {
                self.members.insert(id, member);
                self.rebalance();
            }
        }
    }

    /// Removes a member.
    pub fn leave(&mut self, id: u64) {
        if self.members.remove(&id).is_some() {
            self.rebalance();
        }
    }

    /// Removes the members that have been silent for longer than their session.
    pub fn expire(&mut self, now_ms: i64, session_ms: i64) {
        let before = self.members.len();
        self.members.retain(|_, member| now_ms - member.heard_ms <= session_ms);
        if self.members.len() != before {
            self.rebalance();
        }
    }

    /// A sign of life, and what the group has decided.
    pub fn poll(&mut self, id: u64, now_ms: i64) -> Heard {
        let taken: BTreeSet<i32> = self.members.values().flat_map(|member| member.owned.clone()).collect();
        let Some(member) = self.members.get_mut(&id) else { return Heard::Removed };
        member.heard_ms = now_ms;
        if !member.revoking.is_empty() {
            return Heard::Nothing;
        }
        member.revoking = member.owned.difference(&member.target).copied().collect();
        if !member.revoking.is_empty() {
            return Heard::Revoke(member.revoking.iter().copied().collect());
        }
        let free: Vec<i32> = member.target.difference(&taken).copied().collect();
        if free.is_empty() {
            return Heard::Nothing;
        }
        member.owned.extend(&free);
        Heard::Assign(free)
    }

    /// A member has given up the partitions that were revoked.
    pub fn revoked(&mut self, id: u64) {
        if let Some(member) = self.members.get_mut(&id) {
            let gone = std::mem::take(&mut member.revoking);
            member.owned.retain(|partition| !gone.contains(partition));
            self.generation += 1;
        }
    }

    /// New targets: each member keeps what it has as far as that is fair, and the rest goes to those with the fewest.
    fn rebalance(&mut self) {
        self.generation += 1;
        let partitions = self.partitions;
        let count = i32::try_from(self.members.len()).unwrap_or(i32::MAX);
        if count == 0 {
            return;
        }
        let quota = usize::try_from((partitions + count - 1) / count).unwrap_or(0);
        let mut left: BTreeSet<i32> = (0..partitions).collect();
        for member in self.members.values_mut() {
            member.target = member
                .owned
                .iter()
                .copied()
                .filter(|partition| left.contains(partition))
                .take(quota)
                .collect();
            left.retain(|partition| !member.target.contains(partition));
        }
        for partition in left {
            if let Some(member) = self.members.values_mut().min_by_key(|member| member.target.len()) {
                member.target.insert(partition);
            }
        }
    }

    /// Takes positions at once.
    pub fn commit(&mut self, positions: &[OffsetCommit]) {
        self.committed.extend(positions.iter().map(|position| (position.partition, *position)));
    }

    /// Takes positions when the transaction of `producer` is committed.
    pub fn commit_later(&mut self, producer: u64, positions: &[OffsetCommit]) {
        self.pending.entry(producer).or_default().extend(positions);
    }

    /// Decides the positions of a transaction.
    pub fn end_transaction(&mut self, producer: u64, commit: bool) {
        let positions = self.pending.remove(&producer).unwrap_or_default();
        if commit {
            self.commit(&positions);
        }
    }

    /// The committed positions; `None` while a transaction with positions of one of these partitions is open.
    pub fn stable_positions(&self, partitions: &[i32]) -> Option<BTreeMap<i32, OffsetCommit>> {
        let mut pending = self.pending.values().flatten();
        if pending.any(|position| partitions.contains(&position.partition)) {
            return None;
        }
        Some(
            self.committed
                .iter()
                .filter(|(partition, _)| partitions.contains(partition))
                .map(|(at, position)| (*at, *position))
                .collect(),
        )
    }

    /// Whether every partition of a topic whose logs have these ends is committed up to its end.
    pub fn has_caught_up(&self, ends: &[i64]) -> bool {
        self.pending.is_empty()
            && ends.iter().zip(0..).all(|(end, partition)| {
                *end == 0
                    || self.committed.get(&partition).is_some_and(|position| position.next_offset >= *end)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_move_only_after_they_were_given_up() {
        let mut group = Group::default();
        group.join(1, ("one", ""), 4, 0);
        assert_eq!(group.poll(1, 0), Heard::Assign(vec![0, 1, 2, 3]));
        let before = group.generation();
        group.join(2, ("two", ""), 4, 0);
        assert!(!group.is_present(1, before) && group.is_present(1, group.generation()));
        assert_eq!(group.poll(2, 0), Heard::Nothing, "the first still has all");
        assert_eq!(group.poll(1, 0), Heard::Revoke(vec![2, 3]));
        assert_eq!(group.poll(2, 0), Heard::Nothing);
        group.revoked(1);
        assert_eq!(group.poll(2, 0), Heard::Assign(vec![2, 3]));
        assert_eq!(group.poll(1, 0), Heard::Nothing);
        group.poll(2, 50);
        group.expire(60, 20);
        assert_eq!(group.poll(1, 60), Heard::Removed);
        assert_eq!(group.poll(2, 60), Heard::Assign(vec![0, 1]));
    }

    #[test]
    fn a_static_member_takes_its_place_again() {
        let mut group = Group::default();
        group.join(1, ("one", "a"), 4, 0);
        group.join(2, ("two", "b"), 4, 0);
        assert_eq!(
            (group.poll(1, 0), group.poll(2, 0)),
            (Heard::Assign(vec![0, 2]), Heard::Assign(vec![1, 3]))
        );
        let before = group.generation();
        group.join(3, ("one", "a"), 4, 10);
        assert!(group.is_present(3, before) && !group.is_present(1, before), "the generation goes on");
        assert_eq!(group.poll(1, 10), Heard::Removed);
        assert_eq!((group.poll(3, 10), group.poll(2, 10)), (Heard::Assign(vec![0, 2]), Heard::Nothing));
        group.poll(2, 40);
        group.expire(40, 20);
        assert_eq!(group.poll(2, 40), Heard::Assign(vec![0, 2]), "its session is over");
        group.join(4, ("one", "a"), 4, 50);
        assert_eq!(group.poll(4, 50), Heard::Nothing, "it is a new member");
    }

    #[test]
    fn positions_of_an_open_transaction_are_not_shown() {
        let mut group = Group::default();
        group.commit(&[OffsetCommit::new(0, 5)]);
        group.commit_later(9, &[OffsetCommit::new(0, 8)]);
        assert!(group.stable_positions(&[0]).is_none());
        assert!(group.stable_positions(&[1]).is_some_and(|none| none.is_empty()));
        group.end_transaction(9, false);
        assert_eq!(group.stable_positions(&[0]).unwrap()[&0].next_offset, 5);
        group.commit_later(9, &[OffsetCommit::new(0, 8)]);
        group.end_transaction(9, true);
        assert!(group.has_caught_up(&[8]) && !group.has_caught_up(&[9]));
    }
}
