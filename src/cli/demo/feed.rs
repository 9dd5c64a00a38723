//! The weather of the demo, on its way into Kafka.

use frostline_engine::kafka::{ClientSettings, KafkaError, Outgoing, Producer};

use super::super::Failed;
use crate::config::{Config, topic};
use crate::demo::{CivilDay, DemoHour, Generator, Line, STATIONS, hours_station};
use crate::hourly::Hour;
use crate::noaa::StationId;

const SEED: u64 = 2019;
/// The year that is there at once; days after it come one by one.
pub(super) const YEAR: i16 = 2024;

/// The weather from its first day.
pub(super) fn generator() -> Result<Generator, Failed> {
    let start =
        CivilDay::new(YEAR, 1, 1).ok_or_else(|| anyhow::anyhow!("the demo's year has no first day"))?;
    Ok(Generator::new(SEED, start, STATIONS))
}

/// A day as people read it, `2024-02-15`: lines have it without dashes.
pub(super) fn date(day: CivilDay) -> String {
    format!("{:04}-{:02}-{:02}", day.year(), day.month(), day.day())
}

/// Writes the generated lines into `noaa-csv-raw`.
pub(super) struct Feed {
    pub(super) generator: Generator,
    producer: Producer,
    topic: String,
    hours_topic: String,
    lines: Vec<Line>,
    pub(super) lines_count: u64,
}

impl Feed {
    pub(super) fn new(config: &Config, settings: &ClientSettings) -> Result<Self, Failed> {
        Ok(Self {
            generator: generator()?,
            producer: Producer::new(settings, None)?,
            topic: config.topic(topic::CSV_RAW).name,
            hours_topic: config.topic(topic::HOURLY).name,
            lines: Vec::new(),
            lines_count: 0,
        })
    }

    /// Writes one day's lines, and returns the day.
    pub(super) fn next_day(&mut self) -> Result<CivilDay, KafkaError> {
        let day = self.generator.day();
        self.lines.clear();
        self.generator.next_day(&mut self.lines);
        for line in &self.lines {
            self.send(&self.topic, line.station_id, &line.text)?;
        }
        self.lines_count += self.lines.len() as u64;
        // The embedded broker reads its log from the front; small steps keep the end of the log near.
        self.producer.wait_acknowledged()?;
        Ok(day)
    }

    /// Writes hours into `noaa-hourly`.
    pub(super) fn hours(&mut self, hours: impl Iterator<Item = DemoHour>) -> Result<(), KafkaError> {
        let station = hours_station().and_then(|station| StationId::parse(station.id.as_bytes()));
        let Some(station) = station else { return Ok(()) };
        for demo in hours {
            let hour = Hour {
                dew_point_c: Some(demo.dew_point_c),
                wind_m_s: Some(demo.wind_m_s),
                ..Hour::new(station, demo.time, demo.temperature_c)
            };
            self.send(&self.hours_topic, station.as_str(), &hour.to_json())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_as_alerts_write_them() {
        assert_eq!(date(CivilDay::new(2024, 2, 5).unwrap()), "2024-02-05");
    }
}
