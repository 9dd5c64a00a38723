//! The topology of the simulated world: two stages, a table and a source, and what it must write: computed once more from the input alone.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::kafka::{StartAt, partition_of_key};
use crate::sim::broker::{Broker, Log, Stored};
use crate::{
    Batch, Context, Opening, Owner, PollError, Poller, Position, Processor, Record, Source, SourceId, Stage,
    StageId, StateError, StateKeys, Table, TableCopy, TopicPlan, Topology, TopologyBuilder, TopologyError,
};

pub(super) const INPUT: &str = "in";
pub(super) const COUNTED: &str = "counted";
pub(super) const CHANGELOG: &str = "count-changelog";
pub(super) const OUTPUT: &str = "out";
pub(super) const DEAD_LETTERS: &str = "dead-letters";
pub(super) const PARTITIONS: usize = 3;
pub(super) const POLLED: &str = "polled";
pub(super) const POSITIONS: &str = "positions";
/// A value that is rejected, and one that makes the stage forget its key.
pub(super) const BAD: &[u8] = b"bad";
pub(super) const FORGET: &[u8] = b"forget";

/// Counts the records of each key, and says which record it was.
struct Count;

fn state_key(key: &[u8]) -> Vec<u8> {
    [b"c", key].concat()
}

impl Processor for Count {
    fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError> {
        let (key, value) = (record.key.unwrap_or_default(), record.value.unwrap_or_default());
        if value == BAD {
            context.reject(record, "it is bad");
            return Ok(());
        }
        let state_key = state_key(key);
        let today = context.record_day(record.timestamp_ms);
        let read = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap_or_default());
        let (before, day) = context.store.get_for_update(&state_key, today, read)?;
        let count = if value == FORGET { 0 } else { before.unwrap_or(0) + 1 };
        if count == 0 {
            context.store.delete(&state_key);
        } else {
            context.store.put(&state_key, day, &count.to_be_bytes());
        }
        let text = counted(record.partition, record.offset, count);
        context.collector.emit(key, record.timestamp_ms, |value| value.extend(text.as_bytes()));
        Ok(())
    }
}

/// Passes each record on, once the table has been read.
struct Copy(Facts);

impl Processor for Copy {
    fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError> {
        let text = match content(&self.0).is_loaded {
            true => copied(record.partition, record.offset),
            false => "the table has not been read".to_owned(),
        };
        context
            .collector
            .emit(record.key.unwrap_or_default(), record.timestamp_ms, |value| value.extend(text.as_bytes()));
        Ok(())
    }
}

fn counted(partition: i32, offset: i64, count: u64) -> String {
    format!("{partition}@{offset}: {count}")
}

fn copied(partition: i32, offset: i64) -> String {
    format!("{partition}@{offset}")
}

pub(super) const FACTS: &str = "facts";
pub(super) const FACT_PARTITIONS: i32 = 2;

/// The content of a process's table.
#[derive(Default)]
pub(super) struct Content {
    /// By key, as the topic had it last.
    pub(super) entries: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Whether it has been read to its end.
    is_loaded: bool,
}

/// Shared by the table of a process and its stages.
pub(super) type Facts = Arc<Mutex<Content>>;

/// A table with a copy on disk.
struct FactTable {
    facts: Facts,
    copy: Option<TableCopy>,
}

impl FactTable {
    fn facts(&self) -> MutexGuard<'_, Content> {
        content(&self.facts)
    }
}

pub(super) fn content(facts: &Mutex<Content>) -> MutexGuard<'_, Content> {
    facts.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Table for FactTable {
    fn open(&mut self, opening: &Opening<'_>) -> Result<Vec<StartAt>, StateError> {
        let mut facts = self.facts();
        let load = &mut |key: &[u8], value: &[u8]| drop(facts.entries.insert(key.to_vec(), value.to_vec()));
        let (copy, starts) = TableCopy::open(opening, "facts", load)?;
        drop(facts);
        self.copy = Some(copy);
        Ok(starts)
    }

    fn take(&mut self, record: &Record<'_>) -> Result<(), StateError> {
        let key = record.key.unwrap_or_default().to_vec();
        match record.value {
            Some(value) => drop(self.facts().entries.insert(key.clone(), value.to_vec())),
            None => drop(self.facts().entries.remove(&key)),
        }
        self.copy
            .iter_mut()
            .for_each(|copy| copy.take(record, key.clone(), record.value.map(<[u8]>::to_vec)));
        Ok(())
    }

    fn reached_end(&mut self, partition: i32, offset: i64) {
        self.copy.iter_mut().for_each(|copy| copy.reached_end(partition, offset));
    }

    fn settle(&mut self) -> Result<(), StateError> {
        self.copy.iter_mut().for_each(TableCopy::settle);
        Ok(())
    }

    fn loaded(&mut self) -> Result<(), String> {
        self.facts().is_loaded = true;
        Ok(())
    }
}

/// What the table's topic says.
pub(super) fn facts(broker: &Broker) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut facts = BTreeMap::new();
    for (_, record) in logs(broker, FACTS).flat_map(|(_, log)| log.history()) {
        let key = record.key.clone().unwrap_or_default();
        match &record.value {
            Some(value) => drop(facts.insert(key, value.clone())),
            None => drop(facts.remove(&key)),
        }
    }
    facts
}

/// A service that is polled: how many numbers it has published so far.
pub(super) type Service = Arc<AtomicU64>;

/// Fetches the numbers of a service in their order, a few at a time. The position has the next number, and as a key of
/// its own the block to which that belongs.
struct Numbers(Service);

const AT_ONCE: u64 = 5;
const BLOCK: u64 = 7;

fn block(number: u64) -> String {
    format!("block {}", number / BLOCK)
}

impl Poller for Numbers {
    fn poll(&mut self, position: &Position, now_ms: i64) -> Result<Batch, PollError> {
        let next = position.get(b"next").map_or(0, |next| String::from_utf8_lossy(next).parse().unwrap_or(0));
        let published = self.0.load(Ordering::Relaxed);
        let blocks = position.iter().filter(|(key, _)| key.starts_with(b"block")).map(|(key, _)| key);
        let mut batch = Batch::default();
        if next > 0 && !blocks.eq([block(next).as_bytes()]) {
            batch.emit("numbers", "wrong", format!("the position is wrong at {next}"), now_ms);
        }
        let end = published.min(next + AT_ONCE);
        for number in next..end {
            batch.emit("numbers", format!("k{}", number % 8), number.to_string(), now_ms);
        }
        if end > next {
            batch.set("next", end.to_string());
            batch.set(block(end), "");
            if next > 0 && block(next) != block(end) {
                batch.remove(block(next));
            }
        }
        batch.newest_ms = Some(now_ms);
        Ok(batch)
    }
}

pub(super) fn topology(service: &Service, facts: &Facts) -> Result<Topology, TopologyError> {
    let partitions = i32::try_from(PARTITIONS).unwrap_or(i32::MAX);
    let topic = |name: &str| TopicPlan::new(name, partitions);
    let count = Stage::new(StageId::new("count"), topic(INPUT), topic(COUNTED), || Count)
        .stateful(TopicPlan::compacted(CHANGELOG, partitions))
        .movable(StateKeys::of_keys(|key| key.strip_prefix(b"c").map(Owner::Key)))
        .awaited();
    let copy = Stage::new(StageId::new("copy"), topic(COUNTED), topic(OUTPUT), {
        let facts = Arc::clone(facts);
        move || Copy(Arc::clone(&facts))
    })
    .needing(&[FACTS]);
    let service = Arc::clone(service);
    let numbers = Source {
        id: SourceId::new("numbers"),
        partition: 0,
        sinks: vec![("numbers", topic(POLLED))],
        interval: Duration::from_millis(100),
        late_after: Duration::from_secs(60),
        needs: &[],
        poller: Arc::new(move || Box::new(Numbers(Arc::clone(&service)))),
    };
    let builder = Topology::builder("sim", "", topic(DEAD_LETTERS)).stage(count).stage(copy);
    let positions = TopicPlan::compacted(POSITIONS, 1);
    with_table(builder, facts).positions(positions).source(numbers).build()
}

/// Adds the table that the stages need.
pub(super) fn with_table(builder: TopologyBuilder, facts: &Facts) -> TopologyBuilder {
    let facts = Arc::clone(facts);
    let table = move || FactTable { facts: Arc::clone(&facts), copy: None };
    builder.table(FACTS, TopicPlan::compacted(FACTS, FACT_PARTITIONS), table)
}

/// Makes all topics; they are empty.
pub(super) fn create_topics(broker: &mut Broker) {
    for name in [INPUT, COUNTED, CHANGELOG, OUTPUT, DEAD_LETTERS, POLLED] {
        broker.create_topic(name, PARTITIONS);
    }
    broker.create_topic(POSITIONS, 1);
    broker.create_topic(FACTS, FACT_PARTITIONS as usize);
}

fn logs<'a>(broker: &'a Broker, topic: &str) -> impl Iterator<Item = (i32, &'a Log)> {
    (0..).zip(broker.topic(topic).into_iter().flat_map(|topic| &topic.logs))
}

/// The input in an order in which the records of each key have theirs: a key that has moved to another partition has
/// all its later records there.
fn input(broker: &Broker) -> Vec<(i32, i64, &Stored)> {
    let mut records = Vec::new();
    for (partition, log) in logs(broker, INPUT) {
        records.extend(log.history().map(|(offset, record)| (partition, offset, record)));
    }
    records.sort_by_key(|(_, _, record)| record.timestamp_ms);
    records
}

/// All values that readers of a topic have seen, sorted.
fn values(broker: &Broker, topic: &str) -> Vec<String> {
    let records = logs(broker, topic).flat_map(|(_, log)| log.history());
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    let mut values: Vec<String> = records.filter_map(|(_, stored)| stored.value.as_ref().map(text)).collect();
    values.sort_unstable();
    values
}

/// The state of a partition after all its changes up to an offset of its changelog.
pub(super) fn folded(broker: &Broker, partition: i32, below: i64) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut state = BTreeMap::new();
    let changes = broker.log(CHANGELOG, partition).into_iter().flat_map(Log::history);
    for (_, change) in changes.filter(|(offset, _)| *offset < below) {
        let key = change.key.clone().unwrap_or_default();
        match &change.value {
            Some(value) => drop(state.insert(key, value.clone())),
            None => drop(state.remove(&key)),
        }
    }
    state
}

/// Compares what was written with what the input demands.
///
/// # Errors
/// The first difference.
pub(super) fn compare(broker: &Broker, published: u64) -> Result<(), String> {
    let mut expected: Vec<String> = (0..published).map(|number| number.to_string()).collect();
    expected.sort_unstable();
    same("numbers", &expected, &values(broker, POLLED))?;
    let (mut expected, mut bad) = (Vec::new(), 0);
    let mut counts: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for (partition, offset, record) in input(broker) {
        let key = record.key.clone().unwrap_or_default();
        match record.value.as_deref() {
            Some(BAD) => bad += 1,
            Some(FORGET) => {
                counts.remove(&key);
                expected.push(counted(partition, offset, 0));
            }
            _ => {
                let count = counts.entry(key).or_default();
                *count += 1;
                expected.push(counted(partition, offset, *count));
            }
        }
    }
    expected.sort_unstable();
    same("count", &expected, &values(broker, COUNTED))?;
    let places = logs(broker, COUNTED)
        .flat_map(|(partition, log)| log.history().map(move |(offset, _)| copied(partition, offset)));
    let mut expected: Vec<String> = places.collect();
    expected.sort_unstable();
    same("copy", &expected, &values(broker, OUTPUT))?;
    let letters = values(broker, DEAD_LETTERS).len();
    if letters != bad {
        return Err(format!("{letters} dead letters for {bad} bad records"));
    }
    let partitions = broker.partitions(INPUT);
    for partition in 0..partitions {
        let own = counts.iter().filter(|(key, _)| partition_of_key(key, partitions) == partition);
        let expected: BTreeMap<Vec<u8>, Vec<u8>> =
            own.map(|(key, count)| (state_key(key), count.to_be_bytes().to_vec())).collect();
        // Each value begins with its day.
        let found = folded(broker, partition, i64::MAX);
        let found: BTreeMap<Vec<u8>, Vec<u8>> =
            found.into_iter().map(|(key, value)| (key, value[4..].to_vec())).collect();
        if found != expected {
            return Err(format!("the changelog of partition {partition} says {found:?}, not {expected:?}"));
        }
    }
    Ok(())
}

/// Whether a source has committed the first so many numbers of its service.
pub(super) fn has_polled(broker: &Broker, published: u64) -> bool {
    let polled: usize = logs(broker, POLLED).map(|(_, log)| log.history().count()).sum();
    polled as u64 >= published
}

fn same(stage: &str, expected: &[String], found: &[String]) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let twice: Vec<&String> =
        found.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| &pair[0]).take(3).collect();
    let lost: Vec<&String> =
        expected.iter().filter(|one| found.binary_search(one).is_err()).take(3).collect();
    let wrong: Vec<&String> =
        found.iter().filter(|one| expected.binary_search(one).is_err()).take(3).collect();
    Err(format!("{stage}: lost {lost:?}, twice {twice:?}, wrong {wrong:?}"))
}
