//! Counts words: lines of text in, a running count for each word out.
//!
//! `cargo run -p frostline-engine --example word_count` needs nothing else: it starts a broker inside the process.

#![allow(clippy::print_stdout)] // a program whose output is its result

use std::collections::BTreeMap;
use std::error::Error;

use frostline_engine::kafka::{EmbeddedBroker, Outgoing, Producer, Reader, StartAt};
use frostline_engine::{
    Context, Engine, EngineSettings, Guarantee, Processor, Record, RunOptions, Stage, StageId, StateError,
    TopicPlan, Topology, block_on,
};

/// Splits a line into words, each the key of a record, so that one word always goes to one task of the next stage.
struct Split;

impl Processor for Split {
    fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError> {
        match record.value.map(str::from_utf8) {
            Some(Ok(line)) => {
                for word in line.split_whitespace() {
                    context.collector.emit(word.as_bytes(), record.timestamp_ms, |_| ());
                }
            }
            Some(Err(_)) => context.reject(record, "the line is not UTF-8"),
            None => context.skip(),
        }
        Ok(())
    }
}

/// Counts how often each word occurs. The count survives restarts and moves with its partition.
struct Count;

impl Processor for Count {
    fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError> {
        let Some(word) = record.key else {
            context.reject(record, "the key, which should be a word, is missing");
            return Ok(());
        };
        // Store keys begin with a lower-case letter that says what the entry is.
        let key = [b"w", word].concat();
        let number = |stored: &[u8]| stored.try_into().map_or(0, u64::from_be_bytes);
        let count = 1 + context.store.kept(&key, number)?.unwrap_or(0);
        context.store.keep(&key, &count.to_be_bytes());
        context.collector.emit(word, record.timestamp_ms, |value| value.extend(count.to_string().bytes()));
        Ok(())
    }
}

fn topology() -> Result<Topology, Box<dyn Error>> {
    let [lines, words, counts] = ["lines", "words", "counts"].map(|name| TopicPlan::new(name, 3));
    let changelog = TopicPlan::compacted("word-count-changelog", 3);
    Ok(Topology::builder("word-count", "", TopicPlan::new("dead-letters", 1))
        .stage(Stage::new(StageId::new("split"), lines, words.clone(), || Split))
        .stage(Stage::new(StageId::new("count"), words, counts, || Count).stateful(changelog))
        .build()?)
}

async fn count() -> Result<(), Box<dyn Error>> {
    let (topology, state) = (topology()?, tempfile::tempdir()?);
    let broker = EmbeddedBroker::start(topology.topics())?;
    let mut settings = EngineSettings { state_dir: state.path().join("state"), ..EngineSettings::default() };
    settings.kafka.brokers = broker.brokers().to_owned();
    // The embedded broker has no transactions and cannot describe topics; on a real one, leave both as they are.
    settings.guarantee = Guarantee::AtLeastOnce;
    let options = RunOptions { describe_topics: false, ..RunOptions::all(&topology) };
    let engine = Engine::start(&settings, topology, &options).await?;

    let producer = Producer::new(engine.clients(), None)?;
    for line in ["the frost came before the warning", "the warning came before the frost"] {
        producer.send(&Outgoing::keyed("lines", line.as_bytes(), line.as_bytes()))?;
    }
    producer.wait_acknowledged()?;
    engine.watcher().caught_up(|_, _| ()).await?;

    let mut counts = BTreeMap::new();
    Reader::read_to_end(engine.clients(), "counts", 3, StartAt::Beginning, &mut |record| {
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        counts.insert(text(record.key), text(record.value));
    })?;
    for (word, count) in counts {
        println!("{count:>3} {word}");
    }
    Ok(engine.stop().await.1?)
}

fn main() -> Result<(), Box<dyn Error>> {
    block_on(count())
}
