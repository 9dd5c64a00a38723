//! Somebody's own stages on the embedded broker: where outputs go, and what is refused before anything starts.

// A failed unwrap is a failed test.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use frostline_engine::kafka::{EmbeddedBroker, Outgoing, Producer, Reader, StartAt};
use frostline_engine::{
    Context, Counter, Engine, EngineSettings, Guarantee, Processor, Record, RunOptions, Sink, Stage, StageId,
    StartError, StateError, TopicPlan, Topology, block_on,
};

const SORT: StageId = StageId::new("sort");
const ODD: Counter = Counter::new(0, "odd", "numbers");

/// Even numbers to the stage's topic, odd ones to another, the rest to the dead letters; and `huge` becomes huge.
struct Sort;

impl Processor for Sort {
    fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError> {
        let text = record.value.and_then(|value| str::from_utf8(value).ok()).unwrap_or_default();
        let key = record.key.unwrap_or_default();
        match text.parse::<u64>() {
            Ok(number) if number % 2 == 0 => {
                context.collector.emit(key, record.timestamp_ms, |value| value.extend(text.bytes()));
            }
            Ok(_) => {
                context.counts[ODD] += 1;
                let sink = Sink::Named("odd");
                context.collector.emit_to(sink, key, record.timestamp_ms, |value| value.extend(text.bytes()));
            }
            Err(_) if text == "huge" => {
                context.collector.emit(key, record.timestamp_ms, |value| value.extend([b'x'; 2_000]));
            }
            Err(_) => context.reject(record, "not a number"),
        }
        Ok(())
    }
}

fn topology() -> Topology {
    let stage = Stage::new(SORT, TopicPlan::new("numbers", 2), TopicPlan::new("even", 2), || Sort)
        .named_sink("odd", TopicPlan::new("odd", 2))
        .counting(&[ODD]);
    Topology::builder("sorter", "", TopicPlan::new("dead-letters", 1)).stage(stage).build().unwrap()
}

fn settings(broker: &EmbeddedBroker, state: &tempfile::TempDir) -> EngineSettings {
    let mut settings = EngineSettings {
        guarantee: Guarantee::AtLeastOnce,
        state_dir: state.path().join("state"),
        ..EngineSettings::default()
    };
    settings.kafka.brokers = broker.brokers().to_owned();
    settings
}

fn options(topology: &Topology) -> RunOptions {
    RunOptions { describe_topics: false, ..RunOptions::all(topology) }
}

#[test]
fn outputs_go_to_the_sink_that_they_name_and_are_counted() {
    let (topology, state) = (topology(), tempfile::tempdir().unwrap());
    let broker = EmbeddedBroker::start(topology.topics()).unwrap();
    block_on(async {
        let options = options(&topology);
        let engine = Engine::start(&settings(&broker, &state), topology, &options).await.unwrap();
        let producer = Producer::new(engine.clients(), None).unwrap();
        for value in ["1", "2", "3", "four"] {
            producer.send(&Outgoing::keyed("numbers", value.as_bytes(), value.as_bytes())).unwrap();
        }
        producer.wait_acknowledged().unwrap();
        engine.watcher().caught_up(|_, _| ()).await.unwrap();
        let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (topic, partitions) in [("even", 2), ("odd", 2), ("dead-letters", 1)] {
            Reader::read_to_end(engine.clients(), topic, partitions, StartAt::Beginning, &mut |record| {
                let value = String::from_utf8_lossy(record.value.unwrap()).into_owned();
                found.entry(topic).or_default().push(value);
            })
            .unwrap();
        }
        found.values_mut().for_each(|values| values.sort_unstable());
        assert_eq!(found["even"], ["2"]);
        assert_eq!(found["odd"], ["1", "3"]);
        assert_eq!(found["dead-letters"], ["four"]);
        let (summary, stopped) = engine.stop().await;
        stopped.unwrap();
        assert_eq!((summary.counts[Counter::RECORDS_IN], summary.counts[ODD]), (4, 2));
        let text = serde_json::to_string(&summary).unwrap();
        assert!(text.contains(r#""counts":{"records_in":4"#) || text.contains(r#""odd":2"#), "{text}");
    });
}

#[test]
fn outputs_that_somebody_waits_for_do_not_wait_for_the_commit_interval() {
    let stage = Stage::new(SORT, TopicPlan::new("numbers", 2), TopicPlan::new("even", 2), || Sort)
        .counting(&[ODD])
        .named_sink("odd", TopicPlan::new("odd", 2))
        .awaited();
    let topology =
        Topology::builder("sorter", "", TopicPlan::new("dead-letters", 1)).stage(stage).build().unwrap();
    let state = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::start(topology.topics()).unwrap();
    let settings =
        EngineSettings { commit_interval: Duration::from_secs(3_600), ..settings(&broker, &state) };
    block_on(async {
        let options = options(&topology);
        let engine = Engine::start(&settings, topology, &options).await.unwrap();
        let producer = Producer::new(engine.clients(), None).unwrap();
        // The second comes while the first is being committed, or behind it.
        for number in 0..200 {
            let value = (2 * number).to_string();
            producer.send(&Outgoing::keyed("numbers", value.as_bytes(), value.as_bytes())).unwrap();
            if number == 0 {
                producer.wait_acknowledged().unwrap();
            }
        }
        producer.wait_acknowledged().unwrap();
        let watcher = engine.watcher();
        let committed = tokio::time::timeout(Duration::from_secs(60), watcher.caught_up(|_, _| ())).await;
        committed.expect("committed long before the interval is over").unwrap();
        engine.stop().await.1.unwrap();
    });
}

#[test]
fn an_output_that_is_too_large_is_a_dead_letter_and_stops_nothing() {
    let (topology, state) = (topology(), tempfile::tempdir().unwrap());
    let broker = EmbeddedBroker::start(topology.topics()).unwrap();
    let mut settings = settings(&broker, &state);
    settings.kafka.client.insert("message.max.bytes".into(), "1000".into());
    block_on(async {
        let options = options(&topology);
        let engine = Engine::start(&settings, topology, &options).await.unwrap();
        let producer = Producer::new(engine.clients(), None).unwrap();
        for value in ["2", "huge", "4"] {
            producer.send(&Outgoing::keyed("numbers", b"one key", value.as_bytes())).unwrap();
        }
        producer.wait_acknowledged().unwrap();
        engine.watcher().caught_up(|_, _| ()).await.unwrap();
        let (mut even, mut letters) = (Vec::new(), Vec::new());
        Reader::read_to_end(engine.clients(), "even", 2, StartAt::Beginning, &mut |record| {
            even.push(String::from_utf8_lossy(record.value.unwrap()).into_owned());
        })
        .unwrap();
        Reader::read_to_end(engine.clients(), "dead-letters", 1, StartAt::Beginning, &mut |record| {
            let mut headers = BTreeMap::new();
            record.headers.visit(&mut |name, value| {
                let value = String::from_utf8_lossy(value.unwrap()).into_owned();
                headers.insert(name.to_owned(), value);
            });
            letters.push((record.value.unwrap().len(), headers));
        })
        .unwrap();
        assert_eq!(even, ["2", "4"]);
        let [(bytes, headers)] = letters.as_slice() else { panic!("{letters:?}") };
        let reason = &headers["frostline-reason"];
        assert!(reason.contains("topic even accepts at most 1000: raise kafka.client"), "{reason}");
        assert_eq!(headers["frostline-topic"], "even");
        assert!(headers["frostline-cut-from-bytes"].contains("value 2000") && *bytes > 100, "{headers:?}");
        let (summary, stopped) = engine.stop().await;
        stopped.unwrap();
        assert_eq!(summary.counts[Counter::DEAD_LETTERS], 1);
    });
}

#[test]
fn what_cannot_run_is_refused_before_anything_starts() {
    let (topology, state) = (topology(), tempfile::tempdir().unwrap());
    // The topics of another application.
    let broker = EmbeddedBroker::start(vec![TopicPlan::new("numbers", 2)]).unwrap();
    block_on(async {
        let settings = settings(&broker, &state);
        let unknown = RunOptions::of_stages(vec![StageId::new("shuffle")]);
        let refused = Engine::start(&settings, topology.clone(), &unknown).await.err().unwrap();
        assert!(matches!(&refused, StartError::Usage(reason) if reason.contains("shuffle")), "{refused}");
        let options = options(&topology);
        let refused = Engine::start(&settings, topology, &options).await.err().unwrap().to_string();
        assert!(refused.contains("no such topic: dead-letters, even, odd"), "{refused}");
    });
}

/// Counts records of each key, and panics halfway on `half`.
struct Fragile;

impl Processor for Fragile {
    fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError> {
        let count = context.store.kept(b"c", |stored| stored[0])?.unwrap_or(0) + 1;
        context.store.keep(b"c", &[count]);
        context.collector.emit(b"c", record.timestamp_ms, |value| value.extend(count.to_string().bytes()));
        assert_ne!(record.value, Some(&b"half"[..]), "halfway");
        Ok(())
    }
}

fn fragile() -> Topology {
    let stage = Stage::new(SORT, TopicPlan::new("numbers", 1), TopicPlan::new("even", 1), || Fragile)
        .stateful(TopicPlan::compacted("fragile-changelog", 1));
    Topology::builder("sorter", "", TopicPlan::new("dead-letters", 1)).stage(stage).build().unwrap()
}

#[test]
fn a_record_on_which_the_processor_panics_has_no_effect_but_its_dead_letter() {
    let (topology, state) = (fragile(), tempfile::tempdir().unwrap());
    let broker = EmbeddedBroker::start(topology.topics()).unwrap();
    let read = |clients: &frostline_engine::kafka::ClientSettings, topic: &str| {
        let mut found = Vec::new();
        Reader::read_to_end(clients, topic, 1, StartAt::Beginning, &mut |record| {
            found.push(String::from_utf8_lossy(record.value.unwrap()).into_owned());
        })
        .unwrap();
        found
    };
    // The second start is the first after which expired entries are looked for.
    for (start, expected) in [["1", "2"].as_slice(), &["1", "2", "3", "4"]].into_iter().enumerate() {
        block_on(async {
            let options = options(&topology);
            let engine = Engine::start(&settings(&broker, &state), fragile(), &options).await.unwrap();
            let producer = Producer::new(engine.clients(), None).unwrap();
            for value in ["a", "half", "b"] {
                producer.send(&Outgoing::keyed("numbers", b"k", value.as_bytes())).unwrap();
            }
            producer.wait_acknowledged().unwrap();
            engine.watcher().caught_up(|_, _| ()).await.unwrap();
            assert_eq!(read(engine.clients(), "even"), expected, "start {start}");
            assert_eq!(read(engine.clients(), "dead-letters"), vec!["half"; start + 1]);
            engine.stop().await.1.unwrap();
        });
    }
}

#[test]
fn reading_what_does_not_exist_ends_with_the_topic() {
    let topology = fragile();
    let broker = EmbeddedBroker::start(topology.topics()).unwrap();
    let kafka =
        frostline_engine::KafkaSettings { brokers: broker.brokers().to_owned(), ..Default::default() };
    let clients = frostline_engine::kafka::ClientSettings::new(&kafka).unwrap();
    for (topic, partitions) in [("nowhere", 1), ("numbers", 3)] {
        let read = Reader::read_to_end(&clients, topic, partitions, StartAt::Beginning, &mut |_| ());
        assert!(read.unwrap_err().to_string().contains(topic), "{topic}");
    }
}
