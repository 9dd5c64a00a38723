//! Apache Kafka as a cluster of the scripts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use frostline_engine::kafka::{
    Admin, ClientSettings, GroupConsumer, GroupMetadata, GroupSettings, OffsetCommit, Outgoing, Polled,
    Producer, Reader, StartAt, TransactionSettings,
};
use frostline_engine::record::unix_ms;
use frostline_engine::{TopicPlan, Traffic, block_on};

use super::Cluster;
use crate::support::{Topics, wait_for};

const PATIENCE: Duration = Duration::from_secs(30);
const TOPIC: &str = "modelled";

/// A member's number, its instance id, and itself.
type Joined = (usize, String, GroupConsumer);

/// A topic and a group of the broker of the tests.
pub struct Real {
    topics: Topics,
    settings: ClientSettings,
    topic: String,
    producers: BTreeMap<usize, Producer>,
    members: Vec<Joined>,
    remembered: BTreeMap<usize, GroupMetadata>,
}

impl Real {
    pub fn new() -> Self {
        let topics = Topics::unmade();
        let settings = ClientSettings::new(&topics.config().kafka).unwrap();
        let topic = format!("{}{TOPIC}", topics.namespace);
        let real = Self {
            topics,
            settings,
            topic,
            producers: BTreeMap::new(),
            members: Vec::new(),
            remembered: BTreeMap::new(),
        };
        real.make();
        real
    }

    fn make(&self) {
        let admin = Admin::new(&self.settings).unwrap();
        block_on(admin.create(&TopicPlan::new(&self.topic, 1))).unwrap();
    }

    fn group(&self) -> String {
        format!("{}modelled", self.topics.namespace)
    }

    fn poll_all(&self) {
        self.members.iter().for_each(|(_, _, member)| member.poll(Duration::from_millis(20)).unwrap());
    }
}

impl Cluster for Real {
    fn register(&mut self, producer: usize, id: &str, timeout_ms: u64) {
        let transactional_id = format!("{}{id}", self.topics.namespace);
        let transaction = TransactionSettings { transactional_id, timeout_ms };
        let made = Producer::new(&self.settings, Some(&transaction)).unwrap();
        wait_for("a transactional id", PATIENCE, || made.ready().ok());
        self.producers.insert(producer, made);
    }

    fn send(&mut self, producer: Option<usize>, value: &str, ahead_ms: i64) -> bool {
        let alone = producer.is_none().then(|| Producer::new(&self.settings, None).unwrap());
        let producer = alone.as_ref().unwrap_or_else(|| &self.producers[&producer.unwrap()]);
        let timestamp_ms = unix_ms() + ahead_ms;
        let record = Outgoing {
            partition: Some(0),
            timestamp_ms,
            key: None,
            ..Outgoing::keyed(&self.topic, &[], value.as_bytes())
        };
        // Until the broker has it: offsets are in the order of the script.
        producer.send(&record).and_then(|()| producer.wait_acknowledged()).is_ok()
    }

    fn commit(&mut self, producer: usize) -> bool {
        self.producers[&producer].commit().is_ok()
    }

    fn abort(&mut self, producer: usize) {
        self.producers[&producer].abort();
    }

    fn join(&mut self, member: usize, instance_id: &str) {
        let is_static = |(_, id, _): &Joined| !id.is_empty() && id == instance_id;
        self.members.retain(|member| !is_static(member));
        let group = GroupSettings {
            group: self.group(),
            topic: self.topic.clone(),
            partitions: 1,
            traffic: Traffic::Few,
            begins_at_end: false,
            session_timeout: Duration::from_secs(20),
            group_instance_id: instance_id.to_owned(),
            advertised: String::new(),
            instance: String::new(),
        };
        let consumer = GroupConsumer::new(&self.settings, &group, |_| {}).unwrap();
        consumer.subscribe().unwrap();
        self.members.push((member, instance_id.to_owned(), consumer));
        let count = self.members.len();
        let admin = Admin::new(&self.settings).unwrap();
        // Both are members of one generation, and the partition has its owner.
        wait_for("the group to settle", PATIENCE, || {
            self.poll_all();
            let everyone = admin.everyone(&self.group()).ok()?;
            let owners = admin.members(&self.group(), &self.topic).ok()?;
            let is_member = |(_, _, consumer): &Joined| consumer.metadata().is_ok();
            let have_joined = self.members.iter().all(is_member);
            (everyone.len() == count && owners.len() == 1 && have_joined).then_some(())
        });
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            self.poll_all();
        }
    }

    fn remember(&mut self, member: usize) {
        let (_, _, consumer) = self.members.iter().find(|(number, _, _)| *number == member).unwrap();
        self.remembered.insert(member, consumer.metadata().unwrap());
    }

    fn add_offset(&mut self, producer: usize, member: usize, next_offset: i64) -> bool {
        // Any consumer of the group: who commits is in what was remembered.
        let (_, _, consumer) = &self.members[0];
        let positions = [OffsetCommit::new(0, next_offset)];
        self.producers[&producer].send_offsets(consumer, &positions, &self.remembered[&member]).is_ok()
    }

    fn offset(&mut self) -> Option<i64> {
        self.poll_all();
        let admin = Admin::new(&self.settings).unwrap();
        let group = admin.group(&self.group()).unwrap();
        let committed = group.committed(&self.topic, &[0]).ok()?;
        Some(committed.first().map_or(-1, |position| position.next_offset))
    }

    fn truncate(&mut self, start: i64) {
        self.topics.delete_records(TOPIC, 0, start);
    }

    fn recreate(&mut self) {
        self.members.clear();
        let admin = Admin::new(&self.settings).unwrap();
        block_on(admin.delete(&self.topic)).unwrap();
        wait_for("the topic to be gone", PATIENCE, || {
            admin.partitions(&self.topic).unwrap().is_none().then_some(())
        });
        self.make();
    }

    fn wait_ms(&mut self, ms: u64) {
        std::thread::sleep(Duration::from_millis(ms));
    }

    fn seen(&mut self) -> (Vec<(i64, String)>, i64, i64) {
        // The markers of a transaction are written a moment after its commit was answered.
        std::thread::sleep(Duration::from_millis(300));
        let mut reader = Reader::new(&self.settings, &self.topic, &[(0, StartAt::Beginning)]).unwrap();
        let (mut records, mut end) = (Vec::new(), None);
        while end.is_none() {
            reader
                .read(Duration::from_millis(100), 100, &mut |polled| match polled {
                    Polled::Record(record) => {
                        let value = String::from_utf8(record.value.unwrap_or_default().to_vec()).unwrap();
                        records.push((record.offset, value));
                    }
                    Polled::EndOfPartition { offset, .. } => end = Some(offset),
                })
                .unwrap();
        }
        (records, end.unwrap(), reader.high_watermark(0).unwrap())
    }
}
