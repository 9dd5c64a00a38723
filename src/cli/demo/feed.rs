//! Feeds the demo's weather into Kafka.

use frostline_engine::kafka::{ClientSettings, KafkaError, Outgoing, Producer};

use super::super::Failed;
use crate::config::{Config, topic};
use crate::hourly::Hour;
use crate::noaa::Date;
use crate::synthetic::{Format, Generator, Places, Settings};

const SEED: u64 = 2019;
/// The year that is written at once; later days follow one by one.
pub(super) const YEAR: u16 = 2024;
/// More days than any demo runs.
const DAYS: u32 = 100_000;

/// The weather from its first day.
pub(super) fn generator() -> Result<Generator, Failed> {
    let start = Date::new(YEAR, 1, 1).ok_or_else(|| anyhow::anyhow!("the demo's year has no first day"))?;
    let format = Format::Ghcn;
    let settings = Settings { seed: SEED, places: Places::Real, start, days: DAYS, format, oddities: true };
    Ok(Generator::new(settings).map_err(|error| anyhow::anyhow!("the demo's weather: {error}"))?)
}

/// Writes the generated lines into `noaa-csv-raw`.
pub(super) struct Feed {
    generator: Generator,
    producer: Producer,
    topic: String,
    hours_topic: String,
    pub(super) lines_count: u64,
}

impl Feed {
    pub(super) fn new(config: &Config, settings: &ClientSettings) -> Result<Self, Failed> {
        Ok(Self {
            generator: generator()?,
            producer: Producer::new(settings, None)?,
            topic: config.topic(topic::CSV_RAW).name,
            hours_topic: config.topic(topic::HOURLY).name,
            lines_count: 0,
        })
    }

    /// The next day.
    pub(super) fn day(&self) -> Option<Date> {
        self.generator.date()
    }

    /// Writes the next day's lines.
    pub(super) fn next_day(&mut self) -> Result<(), KafkaError> {
        let lines = self.generator.next_day();
        for line in &lines {
            self.send(&self.topic, line.station.as_str(), &line.text)?;
        }
        self.lines_count += lines.len() as u64;
        // The embedded broker reads its log from the front; small steps keep the end of the log near.
        self.producer.wait_acknowledged()
    }

    /// Writes hours into `noaa-hourly`.
    pub(super) fn hours(&mut self, hours: impl Iterator<Item = Hour>) -> Result<(), KafkaError> {
        for hour in hours {
            self.send(&self.hours_topic, hour.station.as_str(), &hour.to_json())?;
        }
        self.producer.wait_acknowledged()
    }

    fn send(&self, topic: &str, key: &str, value: &str) -> Result<(), KafkaError> {
        self.producer.send(&Outgoing {
            topic,
            partition: None,
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            timestamp_ms: -1,
            headers: &[],
            changelog: None,
        })
    }
}
