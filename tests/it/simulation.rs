//! The model of Kafka's brokers in the engine's simulation is right: the same scripts, run against it and against a real
//! broker, are answered alike and show the same to a reader of committed records, offset by offset.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use frostline_engine::kafka::{
    Admin, ClientSettings, GroupConsumer, GroupEvent, GroupMetadata, GroupSettings, OffsetCommit, Outgoing,
    Polled, Producer, Reader, StartAt, TransactionSettings,
};
use frostline_engine::record::unix_ms;
use frostline_engine::sim::broker::{Broker, Found, Moment, Registered, Request, Stored};
use frostline_engine::{TopicPlan, Traffic, block_on};

use crate::support::{Needs, Test, Topics, test, wait_for};

pub fn tests() -> Vec<Test> {
    vec![test("the_model_of_kafka_answers_as_kafka_does", &[Needs::Broker], the_model_is_right)]
}

const PATIENCE: Duration = Duration::from_secs(30);
/// The time-out of the transactions that time out.
const SHORT_MS: u64 = 1_000;
const HOUR_MS: i64 = 3_600_000;

/// What both can do. Producers and members are told apart by small numbers; there is one topic with one partition, and
/// one group.
trait Cluster {
    /// Registers the transactional id of a producer; an earlier one with that id is another producer.
    fn register(&mut self, producer: usize, id: &str, timeout_ms: u64);
    /// Writes a record in a producer's transaction, or alone. Whether it is accepted may show only at the commit.
    fn send(&mut self, producer: Option<usize>, value: &str, ahead_ms: i64) -> bool;
    fn commit(&mut self, producer: usize) -> bool;
    fn abort(&mut self, producer: usize);
    /// A member joins, and the group settles.
    fn join(&mut self, member: usize);
    /// Remembers the generation that a member knows.
    fn remember(&mut self, member: usize);
    /// Adds an offset to a producer's transaction, in the generation that the member remembered.
    fn add_offset(&mut self, producer: usize, member: usize, next_offset: i64) -> bool;
    /// The group's offset; `None` while a transaction holds it, `Some(-1)` for none.
    fn offset(&mut self) -> Option<i64>;
    fn recreate(&mut self);
    fn wait_ms(&mut self, ms: u64);
    /// Committed records and where they end, and the high watermark.
    fn seen(&mut self) -> (Vec<(i64, String)>, i64, i64);
}

/// Everything that a script has seen, to be compared.
#[derive(Debug, PartialEq)]
enum Sight {
    Answer(&'static str, bool),
    Records(&'static str, Vec<(i64, String)>, i64, i64),
    Offset(&'static str, Option<i64>),
}

fn script(cluster: &mut dyn Cluster) -> Vec<Sight> {
    let mut sights = Vec::new();
    transactions(cluster, &mut sights);
    fencing(cluster, &mut sights);
    generations(cluster, &mut sights);
    cluster.recreate();
    look(cluster, &mut sights, "a topic that was made again is empty");
    cluster.send(None, "first", 0);
    look(cluster, &mut sights, "and begins at 0");
    sights
}

fn look(cluster: &mut dyn Cluster, sights: &mut Vec<Sight>, what: &'static str) {
    let (records, end, watermark) = cluster.seen();
    sights.push(Sight::Records(what, records, end, watermark));
}

fn transactions(cluster: &mut dyn Cluster, sights: &mut Vec<Sight>) {
    cluster.send(None, "alone", 0);
    look(cluster, sights, "a record alone");
    cluster.register(1, "one", 60_000);
    cluster.register(2, "two", 60_000);
    cluster.send(Some(1), "1a", 0);
    cluster.send(None, "between", 0);
    look(cluster, sights, "nothing behind an open transaction");
    cluster.send(Some(1), "1b", 0);
    cluster.send(Some(2), "2a", 0);
    sights.push(Sight::Answer("the first commits", cluster.commit(1)));
    look(cluster, sights, "up to the second transaction");
    cluster.abort(2);
    look(cluster, sights, "the aborted record is a gap, and both markers have offsets");
    cluster.send(Some(1), "1c", 0);
    sights.push(Sight::Answer("the next transaction of a producer", cluster.commit(1)));
    look(cluster, sights, "two transactions of one producer");
    let accepted = cluster.send(None, "tomorrow", 30 * HOUR_MS);
    sights.push(Sight::Answer("a record from tomorrow", accepted));
    look(cluster, sights, "nothing was written");
}

fn fencing(cluster: &mut dyn Cluster, sights: &mut Vec<Sight>) {
    cluster.send(Some(1), "never seen", 0);
    cluster.register(3, "one", 60_000);
    look(cluster, sights, "registering an id aborts what is open");
    sights.push(Sight::Answer("the fenced producer commits", cluster.commit(1)));
    cluster.send(Some(3), "3a", 0);
    sights.push(Sight::Answer("its successor commits", cluster.commit(3)));
    look(cluster, sights, "the successor's record");
    cluster.register(4, "four", SHORT_MS);
    cluster.send(Some(4), "too late", 0);
    look(cluster, sights, "open");
    cluster.wait_ms(SHORT_MS + 2_500);
    look(cluster, sights, "timed out");
    sights.push(Sight::Answer("the commit of a transaction that timed out", cluster.commit(4)));
}

fn generations(cluster: &mut dyn Cluster, sights: &mut Vec<Sight>) {
    cluster.register(5, "five", 60_000);
    cluster.join(1);
    sights.push(Sight::Offset("no offset", cluster.offset()));
    cluster.remember(1);
    cluster.send(Some(5), "5a", 0);
    sights.push(Sight::Answer("an offset of the present generation", cluster.add_offset(5, 1, 3)));
    sights.push(Sight::Offset("a transaction holds it", cluster.offset()));
    sights.push(Sight::Answer("commit", cluster.commit(5)));
    sights.push(Sight::Offset("committed", cluster.offset()));
    cluster.send(Some(5), "5b", 0);
    sights.push(Sight::Answer("another", cluster.add_offset(5, 1, 4)));
    cluster.abort(5);
    sights.push(Sight::Offset("aborted", cluster.offset()));
    cluster.join(2);
    cluster.send(Some(5), "5c", 0);
    sights.push(Sight::Answer("an offset of an earlier generation", cluster.add_offset(5, 1, 5)));
    cluster.abort(5);
    sights.push(Sight::Offset("refused", cluster.offset()));
    look(cluster, sights, "what the refused transaction wrote is not seen");
}

fn the_model_is_right() {
    let modelled = script(&mut Model::new());
    let real = script(&mut Real::new());
    assert_eq!(modelled.len(), real.len());
    for (modelled, real) in modelled.iter().zip(&real) {
        assert_eq!(modelled, real);
    }
    let said = |what: &str, answer: bool| {
        real.contains(&Sight::Answer(
            match what {
                "fenced" => "the fenced producer commits",
                "late" => "the commit of a transaction that timed out",
                _ => "an offset of an earlier generation",
            },
            answer,
        ))
    };
    assert!(said("fenced", false) && said("late", false) && said("generation", false), "{real:?}");
}

// ---- the model ------------------------------------------------------------------------------------------------------

const TOPIC: &str = "topic";
const GROUP: &str = "group";

struct Model {
    broker: Broker,
    now_ms: i64,
    producers: BTreeMap<usize, Registered>,
    members: BTreeMap<usize, (u64, i32)>,
    remembered: BTreeMap<usize, (u64, i32)>,
}

impl Model {
    fn new() -> Self {
        let mut broker = Broker::default();
        broker.create_topic(TOPIC, 1);
        Self {
            broker,
            now_ms: 0,
            producers: BTreeMap::new(),
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
                if matches!(heard, frostline_engine::sim::broker::Heard::Revoke(_)) {
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
        let producer = producer.map(|producer| self.producers[&producer].clone());
        self.broker.produce(producer.as_ref(), (TOPIC, 0), stored, now).is_ok()
    }

    fn commit(&mut self, producer: usize) -> bool {
        self.request(producer, &Request::End { commit: true })
    }

    fn abort(&mut self, producer: usize) {
        self.request(producer, &Request::End { commit: false });
    }

    fn join(&mut self, member: usize) {
        let id = self.broker.member_id();
        self.broker.group(GROUP).join(id, "name", 1, self.now_ms);
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
        let (mut position, mut records) = (0, Vec::new());
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

// ---- Apache Kafka ---------------------------------------------------------------------------------------------------

struct Real {
    topics: Topics,
    settings: ClientSettings,
    topic: String,
    producers: BTreeMap<usize, Producer>,
    members: Vec<(usize, GroupConsumer, Arc<Mutex<usize>>)>,
    remembered: BTreeMap<usize, GroupMetadata>,
}

impl Real {
    fn new() -> Self {
        let topics = Topics::unmade();
        let settings = ClientSettings::new(&topics.config().kafka).unwrap();
        let topic = format!("{}modelled", topics.namespace);
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
        self.members.iter().for_each(|(_, member, _)| member.poll(Duration::from_millis(20)).unwrap());
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

    fn join(&mut self, member: usize) {
        let group = GroupSettings {
            group: self.group(),
            topic: self.topic.clone(),
            partitions: 1,
            traffic: Traffic::Few,
            begins_at_end: false,
            session_timeout: Duration::from_secs(20),
            group_instance_id: String::new(),
            advertised: String::new(),
            instance: String::new(),
        };
        let events = Arc::new(Mutex::new(0));
        let seen = Arc::clone(&events);
        let consumer = GroupConsumer::new(&self.settings, &group, move |event| {
            if !matches!(event, GroupEvent::Failed(_)) {
                *seen.lock().unwrap() += 1;
            }
        });
        let consumer = consumer.unwrap();
        consumer.subscribe().unwrap();
        self.members.push((member, consumer, events));
        let count = self.members.len();
        let admin = Admin::new(&self.settings).unwrap();
        // Both are members of one generation, and the partition has its owner.
        wait_for("the group to settle", PATIENCE, || {
            self.poll_all();
            let everyone = admin.everyone(&self.group()).ok()?;
            let owners = admin.members(&self.group(), &self.topic).ok()?;
            (everyone.len() == count && owners.len() == 1).then_some(())
        });
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            self.poll_all();
        }
    }

    fn remember(&mut self, member: usize) {
        let (_, consumer, _) = self.members.iter().find(|(number, ..)| *number == member).unwrap();
        self.remembered.insert(member, consumer.metadata().unwrap());
    }

    fn add_offset(&mut self, producer: usize, member: usize, next_offset: i64) -> bool {
        let (_, consumer, _) = self.members.iter().find(|(number, ..)| *number == member).unwrap();
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
        let mut reader = Reader::new(&self.settings, &self.topic, &[(0, StartAt::Offset(0))]).unwrap();
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
