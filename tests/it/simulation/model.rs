//! The model of the simulation as a cluster of the scripts.

use std::collections::BTreeMap;

use frostline_engine::kafka::OffsetCommit;
use frostline_engine::sim::broker::{Broker, Found, Heard, Moment, Registered, Request, Stored};

use super::Cluster;

const TOPIC: &str = "topic";
const GROUP: &str = "group";

/// A cluster in memory.
pub struct Model {
    broker: Broker,
    now_ms: i64,
    producers: BTreeMap<usize, Registered>,
    /// The sequence number of the next record of a producer.
    sequences: BTreeMap<usize, u32>,
    members: BTreeMap<usize, (u64, i32)>,
    remembered: BTreeMap<usize, (u64, i32)>,
}

impl Model {
    pub fn new() -> Self {
        let mut broker = Broker::default();
        broker.create_topic(TOPIC, 1);
        Self {
            broker,
            now_ms: 0,
            producers: BTreeMap::new(),
            sequences: BTreeMap::new(),
            members: BTreeMap::new(),
            remembered: BTreeMap::new(),
        }
    }

    fn now(&self) -> Moment {
        Moment { elapsed_ms: self.now_ms, wall_ms: self.now_ms }
    }

    fn settle(&mut self) {
        for _ in 0..4 {
            for (member, _) in self.members.values() {
                let heard = self.broker.group(GROUP).poll(*member, self.now_ms);
                if matches!(heard, Heard::Revoke(_)) {
                    self.broker.group(GROUP).revoked(*member);
                }
            }
        }
        let generation = self.broker.group(GROUP).generation();
        self.members.values_mut().for_each(|(_, known)| *known = generation);
    }

    fn request(&mut self, producer: usize, request: &Request) -> bool {
        let now = self.now();
        self.broker.request(&self.producers[&producer], request, now, 0).is_ok()
    }
}

impl Cluster for Model {
    fn register(&mut self, producer: usize, id: &str, timeout_ms: u64) {
        let registered = self.broker.register(id, i64::try_from(timeout_ms).unwrap());
        self.producers.insert(producer, registered);
    }

    fn send(&mut self, producer: Option<usize>, value: &str, ahead_ms: i64) -> bool {
        let timestamp_ms = self.now_ms + ahead_ms;
        let stored = Stored { key: None, value: Some(value.into()), timestamp_ms, headers: Vec::new() };
        let now = self.now();
        let Some(producer) = producer else {
            return self.broker.produce(None, (TOPIC, 0), stored, now).is_ok();
        };
        let next = self.sequences.entry(producer).or_default();
        let numbered = (&self.producers[&producer], *next);
        let is_sent = self.broker.produce(Some(numbered), (TOPIC, 0), stored, now).is_ok();
        *next += u32::from(is_sent);
        is_sent
    }

    fn commit(&mut self, producer: usize) -> bool {
        self.request(producer, &Request::End { commit: true })
    }

    fn abort(&mut self, producer: usize) {
        self.request(producer, &Request::End { commit: false });
    }

    fn join(&mut self, member: usize, instance_id: &str) {
        let id = self.broker.member_id();
        self.broker.group(GROUP).join(id, ("name", instance_id), 1, self.now_ms);
        self.members.insert(member, (id, 0));
        self.settle();
    }

    fn remember(&mut self, member: usize) {
        self.remembered.insert(member, self.members[&member]);
    }

    fn add_offset(&mut self, producer: usize, member: usize, next_offset: i64) -> bool {
        let (group, member) = (GROUP.to_owned(), self.remembered[&member]);
        self.request(
            producer,
            &Request::AddOffsets { group, member, positions: vec![OffsetCommit::new(0, next_offset)] },
        )
    }

    fn offset(&mut self) -> Option<i64> {
        let stable = self.broker.group(GROUP).stable_positions(&[0])?;
        Some(stable.get(&0).map_or(-1, |position| position.next_offset))
    }

    fn truncate(&mut self, start: i64) {
        self.broker.log_mut(TOPIC, 0).unwrap().truncate(start);
    }

    fn recreate(&mut self) {
        self.broker.create_topic(TOPIC, 1);
    }

    fn wait_ms(&mut self, ms: u64) {
        self.now_ms += i64::try_from(ms).unwrap();
        let now = self.now();
        self.broker.tick(now, i64::MAX);
    }

    fn seen(&mut self) -> (Vec<(i64, String)>, i64, i64) {
        let log = self.broker.log(TOPIC, 0).unwrap();
        let (mut position, mut records) = (log.start(), Vec::new());
        loop {
            match log.read(position) {
                Found::Record(offset, stored) => {
                    records.push((offset, String::from_utf8(stored.value.clone().unwrap()).unwrap()));
                    position = offset + 1;
                }
                Found::End(end) => return (records, end, log.end()),
                Found::OutOfRange => panic!("{position} is not in the log"),
            }
        }
    }
}
