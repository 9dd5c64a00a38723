//! Fills the topics that are read.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::BenchError;
use super::grid::{Installation, Options};
use crate::config::topic;
use crate::generate::{Generator, stations};
use crate::kafka::{ClientSettings, Outgoing, Producer};
use crate::noaa::StationId;

/// Loads at least as many records as were asked for, and the station table. The stations take turns with the
/// partitions, so that each has as many; a key's own partition would leave some with twice as many as others.
/// Returns how many records there are, and their bytes.
pub(super) fn load(
    input: &Installation,
    options: &Options,
    stop: &AtomicBool,
) -> Result<(u64, u64), BenchError> {
    let settings = options.generated();
    let mut generator = Generator::new(settings).map_err(|error| BenchError::Daemon(error.to_string()))?;
    let producer = Producer::new(&patient(input)?, None)?;
    let table = input.config.topic(topic::STATIONS).name;
    let mut partitions: HashMap<StationId, i32> = HashMap::new();
    for (station, partition) in stations(&settings).zip((0..input.cell.partitions).cycle()) {
        let json = station.to_json(input.config.assemble.compat);
        send(&producer, &table, None, station.id, json.as_bytes())?;
        partitions.insert(station.id, partition);
    }
    let (source, mut records, mut bytes) = (input.source(), 0, 0);
    let mut lines = Vec::new();
    while records < options.records
        && let Some(day) = generator.append_next(&mut lines)
    {
        let partition = partitions.get(&day.station).copied();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            send(&producer, &source, partition, day.station, line)?;
            records += 1;
            bytes += line.len() as u64;
        }
        lines.clear();
        if stop.load(Ordering::Relaxed) {
            return Err(BenchError::Interrupted);
        }
    }
    producer.wait_acknowledged()?;
    Ok((records, bytes))
}

/// Large batches, also where there are many partitions: small ones would be what is measured.
fn patient(input: &Installation) -> Result<ClientSettings, BenchError> {
    let mut config = input.config.clone();
    for (key, value) in [("linger.ms", "1000"), ("batch.size", "500000"), ("queue.buffering.max.kbytes", "524288")] {
        config.kafka.client.entry(key.into()).or_insert_with(|| value.into());
    }
    Ok(ClientSettings::new(&config)?)
}

fn send(
    producer: &Producer,
    topic: &str,
    partition: Option<i32>,
    station: StationId,
    value: &[u8],
) -> Result<(), BenchError> {
    let (key, value) = (Some(&station.as_bytes()[..]), Some(value));
    Ok(producer.send(&Outgoing { topic, partition, key, value, timestamp_ms: -1, headers: &[], changelog: None })?)
}
