//! Fills the source topics.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use frostline_engine::kafka::{ClientSettings, Outgoing, Producer};

use super::BenchError;
use super::grid::{Installation, Options};
use crate::config::topic;
use crate::noaa::StationId;
use crate::synthetic::{Generator, stations};

/// Loads at least as many records as requested, and the station table. The stations alternate between the partitions,
/// so that each partition gets the same number; partitioning by key would give some twice as many as others. Returns
/// the number of records, and their bytes.
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
    let mut waiting = Waiting::new(input.cell.partitions);
    let mut lines = Vec::new();
    while records < options.records
        && let Some(day) = generator.append_next(&mut lines)
    {
        let partition = partitions.get(&day.station).copied().unwrap_or(0);
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            waiting.push(&producer, &source, partition, (day.station, line))?;
            records += 1;
            bytes += line.len() as u64;
        }
        lines.clear();
        if stop.load(Ordering::Relaxed) {
            return Err(BenchError::Interrupted);
        }
    }
    for partition in 0..input.cell.partitions {
        waiting.send(&producer, &source, partition)?;
    }
    producer.wait_acknowledged()?;
    Ok((records, bytes))
}

/// Records that wait until their partition has a batch. Otherwise, with many partitions, the measurement would be
/// about small batches.
struct Waiting(Vec<Vec<(StationId, Vec<u8>)>>);

impl Waiting {
    const BATCH_RECORDS: usize = 500;

    fn new(partitions: i32) -> Self {
        Self((0..partitions).map(|_| Vec::with_capacity(Self::BATCH_RECORDS)).collect())
    }

    fn push(
        &mut self,
        producer: &Producer,
        topic: &str,
        partition: i32,
        (station, value): (StationId, &[u8]),
    ) -> Result<(), BenchError> {
        let records = &mut self.0[partition as usize];
        records.push((station, value.to_vec()));
        if records.len() < Self::BATCH_RECORDS { Ok(()) } else { self.send(producer, topic, partition) }
    }

    fn send(&mut self, producer: &Producer, topic: &str, partition: i32) -> Result<(), BenchError> {
        self.0[partition as usize]
            .drain(..)
            .try_for_each(|(station, value)| send(producer, topic, Some(partition), station, &value))
    }
}

/// Leaves time to fill batches, but limits the records in flight: a broker that creates the files of a thousand
/// partitions for their first records takes longer than the time limit of a record.
fn patient(input: &Installation) -> Result<ClientSettings, BenchError> {
    let mut config = input.config.clone();
    let patience = [("linger.ms", "20"), ("batch.size", "500000"), ("queue.buffering.max.messages", "20000")];
    for (key, value) in patience {
        config.kafka.client.entry(key.into()).or_insert_with(|| value.into());
    }
    Ok(ClientSettings::new(&config.kafka)?)
}

fn send(
    producer: &Producer,
    topic: &str,
    partition: Option<i32>,
    station: StationId,
    value: &[u8],
) -> Result<(), BenchError> {
    let (key, value) = (Some(&station.as_bytes()[..]), Some(value));
    Ok(producer.send(&Outgoing {
        topic,
        partition,
        key,
        value,
        timestamp_ms: -1,
        headers: &[],
        changelog: None,
    })?)
}
