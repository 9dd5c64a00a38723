//! Reports sensors that have gone silent: readings in, "silent" and "back" out.
//!
//! A table, a compacted topic that can change at any time, says how long each sensor may be silent. Silence produces
//! no record, so the report has to come from the clock: the processor checks in every turn.
//!
//! `cargo run -p frostline-engine --example silent_sensors` needs nothing else: it starts a broker inside the
//! process.

#![allow(clippy::print_stdout)] // a program whose output is its result

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use frostline_engine::kafka::{EmbeddedBroker, Outgoing, Producer, Reader, StartAt};
use frostline_engine::{
    Context, Engine, EngineSettings, Guarantee, Processor, Record, RunOptions, Stage, StageId, StateError,
    Table, TopicPlan, Topology, block_on,
};

/// For how many milliseconds each sensor may be silent.
#[derive(Clone, Default)]
struct Patience(Arc<RwLock<HashMap<Vec<u8>, i64>>>);

impl Patience {
    fn of(&self, sensor: &[u8]) -> Option<i64> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(sensor).copied()
    }
}

impl Table for Patience {
    fn take(&mut self, record: &Record<'_>) -> Result<(), StateError> {
        let Some(sensor) = record.key else { return Ok(()) };
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match record.value.map(|value| String::from_utf8_lossy(value).parse()) {
            Some(Ok(milliseconds)) => drop(known.insert(sensor.to_vec(), milliseconds)),
            // A tombstone or an unreadable value: stop watching the sensor.
            Some(Err(_)) | None => drop(known.remove(sensor)),
        }
        Ok(())
    }
}

/// Knows when each sensor of its partition was last heard from, and whether its silence has been reported.
struct Watch {
    patience: Patience,
}

/// The state of a sensor, stored under `s` and its name.
fn remembered(heard_ms: i64, is_reported: bool) -> [u8; 9] {
    let mut value = [u8::from(is_reported); 9];
    value[1..].copy_from_slice(&heard_ms.to_be_bytes());
    value
}

fn read(value: &[u8]) -> Option<(i64, bool)> {
    let (&reported, heard) = value.split_first()?;
    Some((i64::from_be_bytes(heard.try_into().ok()?), reported != 0))
}

impl Processor for Watch {
    fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError> {
        let Some(sensor) = record.key else {
            context.reject(record, "the reading has no key: it must be the sensor's name");
            return Ok(());
        };
        let key = [b"s", sensor].concat();
        let before = context.store.kept(&key, read)?.flatten();
        if before.is_some_and(|(_, is_reported)| is_reported) {
            context.collector.emit(sensor, context.now_ms, |value| value.extend(b"back"));
        }
        context.store.keep(&key, &remembered(context.now_ms, false));
        Ok(())
    }

    fn turn(&mut self, context: &mut Context<'_>) -> Result<(), StateError> {
        let mut silent = Vec::new();
        context.store.scan_prefix(b"s", |key, value| {
            let (sensor, Some((heard_ms, false))) = (&key[1..], read(value)) else { return };
            if self.patience.of(sensor).is_some_and(|patience| context.now_ms - heard_ms > patience) {
                silent.push((key.to_vec(), heard_ms));
            }
        })?;
        for (key, heard_ms) in silent {
            context.collector.emit(&key[1..], context.now_ms, |value| value.extend(b"silent"));
            context.store.keep(&key, &remembered(heard_ms, true));
        }
        Ok(())
    }

    /// Turns also come without records.
    fn is_waiting(&self) -> bool {
        true
    }
}

fn topology() -> Result<Topology, Box<dyn Error>> {
    let (readings, reports) = (TopicPlan::new("readings", 3), TopicPlan::new("reports", 3));
    let patience = Patience::default();
    let shared = patience.clone();
    let watch =
        Stage::new(StageId::new("watch"), readings, reports, move || Watch { patience: shared.clone() })
            .stateful(TopicPlan::compacted("silent-sensors-changelog", 3))
            .needing(&["patience"]);
    Ok(Topology::builder("silent-sensors", "", TopicPlan::new("dead-letters", 1))
        .table("patience", TopicPlan::compacted("patience", 1), move || patience.clone())
        .stage(watch)
        .build()?)
}

async fn watch() -> Result<(), Box<dyn Error>> {
    let (topology, state) = (topology()?, tempfile::tempdir()?);
    let broker = EmbeddedBroker::start(topology.topics())?;
    let mut settings = EngineSettings { state_dir: state.path().join("state"), ..EngineSettings::default() };
    settings.kafka.brokers = broker.brokers().to_owned();
    settings.guarantee = Guarantee::AtLeastOnce;
    let clients = frostline_engine::kafka::ClientSettings::new(&settings.kafka)?;
    let producer = Producer::new(&clients, None)?;
    for sensor in ["barn", "orchard"] {
        producer.send(&Outgoing::keyed("patience", sensor.as_bytes(), b"1000"))?;
    }
    producer.wait_acknowledged()?;

    let options = RunOptions { describe_topics: false, ..RunOptions::all(&topology) };
    let engine = Engine::start(&settings, topology, &options).await?;
    let begun = Instant::now();
    let mut reported = BTreeMap::new();
    // The orchard falls silent after the first reading; the barn goes on.
    producer.send(&Outgoing::keyed("readings", b"orchard", b"-1.5"))?;
    while !reported.contains_key("orchard") && begun.elapsed() < Duration::from_secs(30) {
        producer.send(&Outgoing::keyed("readings", b"barn", b"4.0"))?;
        producer.wait_acknowledged()?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        Reader::read_to_end(&clients, "reports", 3, StartAt::Beginning, &mut |record| {
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
            reported.insert(text(record.key), text(record.value));
        })?;
    }
    for (sensor, report) in &reported {
        println!("{sensor} is {report}");
    }
    Ok(engine.stop().await.1?)
}

fn main() -> Result<(), Box<dyn Error>> {
    block_on(watch())
}
