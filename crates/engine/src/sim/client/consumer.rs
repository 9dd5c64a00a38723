//! A member of a group whose brokers are in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::queue::PartitionQueue;
use super::retry;
use crate::kafka::{ClientSettings, GroupSettings, KafkaError, Lease, OffsetCommit, TopicIdentity};
use crate::sim::broker::{Heard, Log};
use crate::sim::host::{self, Call, Host};

/// As [`crate::kafka::Assigned`].
pub(crate) struct Assigned {
    pub(crate) partition: i32,
    pub(crate) committed: Option<OffsetCommit>,
    pub(crate) next_offset: i64,
    pub(crate) queue: PartitionQueue,
}

/// As [`crate::kafka::GroupEvent`].
pub(crate) enum GroupEvent {
    Assigned(Vec<Assigned>),
    AssignedUnread(Vec<i32>),
    Revoked(Vec<i32>),
    Lost(Vec<i32>),
    #[expect(dead_code, reason = "nothing ends a membership for good here")]
    Failed(KafkaError),
}

/// As [`crate::kafka::GroupMetadata`].
pub(crate) struct GroupMetadata {
    pub(super) member: u64,
    pub(super) generation: i32,
}

/// As [`crate::kafka::GroupConsumer`].
#[derive(Clone)]
pub(crate) struct GroupConsumer(Arc<Member>);

struct Member {
    host: Arc<Host>,
    settings: GroupSettings,
    topic: Arc<str>,
    state: Mutex<State>,
    leases: Mutex<HashMap<i32, Arc<Lease>>>,
    on_event: Box<dyn Fn(GroupEvent) + Send + Sync>,
}

#[derive(Default)]
struct State {
    is_subscribed: bool,
    is_leaving: bool,
    /// It has given partitions up, and the group does not know it yet.
    has_given_up: bool,
    /// Its id in the group, and the generation that it knows.
    place: Option<(u64, i32)>,
}

impl GroupConsumer {
    pub(crate) fn new(
        _settings: &ClientSettings,
        group: &GroupSettings,
        on_event: impl Fn(GroupEvent) + Send + Sync + 'static,
    ) -> Result<Self, KafkaError> {
        Ok(Self(Arc::new(Member {
            host: host::present(),
            topic: group.topic.as_str().into(),
            settings: group.clone(),
            state: Mutex::default(),
            leases: Mutex::default(),
            on_event: Box::new(on_event),
        })))
    }

    pub(super) fn group(&self) -> &str {
        &self.0.settings.group
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leases(&self) -> MutexGuard<'_, HashMap<i32, Arc<Lease>>> {
        self.0.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn subscribe(&self) -> Result<(), KafkaError> {
        self.state().is_subscribed = true;
        Ok(())
    }

    pub(crate) fn unsubscribe(&self) {
        self.state().is_leaving = true;
    }

    pub(crate) fn has_partitions(&self) -> bool {
        !self.leases().is_empty()
    }

    pub(crate) fn absence(&self) -> Option<&'static str> {
        if !self.0.host.is_connected() {
            return Some("no broker answers");
        }
        self.state().place.is_none().then_some("it has not joined")
    }

    /// One poll: hears what the group has decided, and reports it. Returns the partitions that are being revoked: say
    /// [`gave_up`](Self::gave_up) when that is done.
    pub(crate) fn turn(&self) -> Vec<i32> {
        let Member { host, settings, on_event, .. } = &*self.0;
        let (is_subscribed, is_leaving, place) = {
            let state = self.state();
            (state.is_subscribed, state.is_leaving, state.place)
        };
        if !is_subscribed || !host.is_connected() {
            // Who leaves without a broker loses what it has.
            return if is_leaving { self.lose() } else { Vec::new() };
        }
        let now = host::moment();
        let Some((member, _)) = place else {
            if !is_leaving {
                let mut broker = host.broker();
                let (member, partitions) = (broker.member_id(), broker.partitions(&settings.topic));
                let group = broker.group(&settings.group);
                let names = (settings.instance.as_str(), settings.group_instance_id.as_str());
                group.join(member, names, partitions, now.elapsed_ms);
                self.state().place = Some((member, group.generation()));
            }
            return Vec::new();
        };
        self.report_given_up(member);
        let (heard, generation) = {
            let mut broker = host.broker();
            let group = broker.group(&settings.group);
            (group.poll(member, now.elapsed_ms), group.generation())
        };
        self.state().place = Some((member, generation));
        if is_leaving && !matches!(heard, Heard::Removed) {
            return self.leave_with_all();
        }
        match heard {
            Heard::Nothing => Vec::new(),
            Heard::Removed => self.lose(),
            Heard::Revoke(partitions) => {
                on_event(GroupEvent::Revoked(partitions.clone()));
                partitions
            }
            Heard::Assign(partitions) => {
                match self.open(&partitions) {
                    Ok(assigned) => on_event(GroupEvent::Assigned(assigned)),
                    Err(_) => on_event(GroupEvent::AssignedUnread(partitions)),
                }
                Vec::new()
            }
        }
    }

    fn leave_with_all(&self) -> Vec<i32> {
        let mut all: Vec<i32> = self.leases().keys().copied().collect();
        all.sort_unstable();
        if !all.is_empty() {
            (self.0.on_event)(GroupEvent::Revoked(all.clone()));
        }
        all
    }

    fn lose(&self) -> Vec<i32> {
        {
            let mut state = self.state();
            (state.place, state.has_given_up) = (None, false);
        }
        let mut all: Vec<i32> = self.leases().keys().copied().collect();
        all.sort_unstable();
        self.end_leases(&all);
        if !all.is_empty() {
            (self.0.on_event)(GroupEvent::Lost(all));
        }
        Vec::new()
    }

    /// What was being revoked has been given up.
    pub(crate) fn gave_up(&self, partitions: &[i32]) {
        self.end_leases(partitions);
        let (is_leaving, place) = {
            let state = self.state();
            (state.is_leaving, state.place)
        };
        let Some((member, _)) = place else { return };
        if is_leaving && !self.0.settings.group_instance_id.is_empty() {
            // A static member stops without a word: the group waits for it.
            self.state().place = None;
            return;
        }
        self.state().has_given_up = true;
        self.report_given_up(member);
        if is_leaving && self.0.host.is_connected() {
            self.0.host.broker().group(&self.0.settings.group).leave(member);
            self.state().place = None;
        }
    }

    /// Reports it to the group, now or as soon as a broker answers.
    fn report_given_up(&self, member: u64) {
        if self.0.host.is_connected() && std::mem::take(&mut self.state().has_given_up) {
            self.0.host.broker().group(&self.0.settings.group).revoked(member);
        }
    }

    fn end_leases(&self, partitions: &[i32]) {
        let mut leases = self.leases();
        for lease in partitions.iter().filter_map(|partition| leases.remove(partition)) {
            lease.end();
        }
    }

    /// New queues at their starts, each with a new lease.
    fn open(&self, partitions: &[i32]) -> Result<Vec<Assigned>, KafkaError> {
        let Member { host, settings, topic, .. } = &*self.0;
        let mut assigned = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let lease = Arc::new(Lease::new());
            if let Some(older) = self.leases().insert(*partition, Arc::clone(&lease)) {
                older.end();
            }
            let queue = PartitionQueue::new(host, topic, *partition, lease);
            assigned.push(Assigned { partition: *partition, committed: None, next_offset: 0, queue });
        }
        if host.call() != Call::Answered {
            return Err(retry("reading committed offsets"));
        }
        let mut broker = host.broker();
        let committed = broker.group(&settings.group).stable_positions(partitions);
        let committed = committed.ok_or_else(|| retry("reading committed offsets: a transaction is open"))?;
        for one in &mut assigned {
            let log = broker.log(topic, one.partition).ok_or_else(|| retry("there is no such partition"))?;
            one.committed = committed.get(&one.partition).copied();
            let kept = log.start()..=log.last_stable();
            let known = one.committed.filter(|committed| kept.contains(&committed.next_offset));
            one.next_offset = known.map_or(log.start(), |committed| committed.next_offset);
            let rewound = known.and_then(|committed| committed.rewind_offset).unwrap_or(one.next_offset);
            one.queue.begins_at(rewound.min(one.next_offset).max(log.start()));
        }
        Ok(assigned)
    }

    pub(crate) fn reopen(&self, partitions: &[i32]) -> Result<Vec<Assigned>, KafkaError> {
        let ours: Vec<i32> = {
            let leases = self.leases();
            partitions.iter().copied().filter(|partition| leases.contains_key(partition)).collect()
        };
        self.open(&ours)
    }

    pub(crate) fn reopen_each(&self, partitions: &[i32]) -> Result<Vec<Assigned>, KafkaError> {
        let mut assigned = Vec::new();
        for partition in partitions {
            assigned.extend(self.reopen(&[*partition]).unwrap_or_default());
        }
        Ok(assigned)
    }

    pub(crate) fn metadata(&self) -> Result<GroupMetadata, KafkaError> {
        let place = self.state().place;
        let (member, generation) =
            place.ok_or_else(|| KafkaError::Fenced("not in the group at the moment".into()))?;
        Ok(GroupMetadata { member, generation })
    }

    pub(crate) fn commit(&self, positions: &[OffsetCommit]) -> Result<(), KafkaError> {
        let Some(place) = self.state().place else {
            return Err(retry("committing offsets: not in the group"));
        };
        let outcome = self.0.host.call();
        if outcome == Call::Lost {
            return Err(retry("committing offsets"));
        }
        let answer = self.0.host.broker().commit(&self.0.settings.group, place, positions);
        match answer {
            Ok(()) if outcome == Call::Answered => Ok(()),
            _ => Err(retry("committing offsets: refused, or no answer")),
        }
    }

    pub(crate) fn ends_of(&self, topic: &str, partitions: &[i32]) -> Result<BTreeMap<i32, i64>, KafkaError> {
        if self.0.host.call() != Call::Answered {
            return Err(retry("reading where a log ends"));
        }
        let broker = self.0.host.broker();
        let end = |partition: &i32| Some((*partition, broker.log(topic, *partition).map(Log::last_stable)?));
        Ok(partitions.iter().filter_map(end).collect())
    }

    pub(crate) fn identify(&self, topics: &[&str]) -> Result<Vec<TopicIdentity>, KafkaError> {
        if self.0.host.call() != Call::Answered {
            return Err(retry("identifying topics"));
        }
        let broker = self.0.host.broker();
        let one = |name: &&str| {
            let topic = broker
                .topic(name)
                .ok_or_else(|| KafkaError::Topic(format!("topic {name} does not exist")))?;
            Ok(TopicIdentity { id: topic.id.to_string(), partitions: broker.partitions(name) })
        };
        topics.iter().map(one).collect()
    }

    pub(crate) fn keep_pace(&self, _has_backlog: bool) {}

    pub(crate) fn is_name_shared(&self, instance: &str) -> bool {
        let own = usize::from(self.0.settings.instance == instance);
        self.0.host.is_connected() && self.0.host.broker().group(&self.0.settings.group).named(instance) > own
    }
}
