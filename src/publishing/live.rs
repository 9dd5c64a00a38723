//! The topics of a broker with the published rules, and facts about their stations.

use std::collections::BTreeMap;

use frostline_engine::kafka::{Admin, ClientSettings, KafkaError, Outgoing, Producer, Reader, StartAt};
use frostline_engine::record::Record;

use super::{PublishError, settle, sole_producer};
use crate::config::{Config, topic};
use crate::noaa::{Compat, ObservationView, Station, StationId};
use crate::rules::{Published, REPORTING_RECORDS, Reporting};

/// The topics of a broker.
pub struct Live<'a> {
    config: &'a Config,
    admin: Admin,
    settings: ClientSettings,
}

impl<'a> Live<'a> {
    /// Connects, after a bounded wait for the broker.
    ///
    /// # Errors
    /// No broker answers in time, or the client's settings are wrong.
    pub async fn connect(config: &'a Config) -> Result<Self, PublishError> {
        let settings = ClientSettings::new(&config.kafka)?;
        let probe = settings.clone();
        let reached = tokio::task::spawn_blocking(move || probe.check_reachable()).await;
        reached.map_err(|error| KafkaError::Fatal(error.to_string()))??;
        Self::of_reachable(config, settings)
    }

    /// The same, for threads that may block.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_blocking(config: &'a Config) -> Result<Self, PublishError> {
        let settings = ClientSettings::new(&config.kafka)?;
        settings.check_reachable()?;
        Self::of_reachable(config, settings)
    }

    fn of_reachable(config: &'a Config, settings: ClientSettings) -> Result<Self, PublishError> {
        Ok(Self { config, admin: Admin::new(&settings)?, settings })
    }

    /// A client for other requests.
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// The content of the rules' topic.
    ///
    /// # Errors
    /// The topic is missing or cannot be read.
    pub fn published(&self) -> Result<Published, PublishError> {
        let topic = self.config.topic(topic::RULES).name;
        let mut published = Published::default();
        self.read(&topic, StartAt::Beginning, &mut |record| {
            if let Some(key) = record.key {
                published.take(key, record.value);
            }
        })?;
        Ok(published)
    }

    /// Which station reports which element, according to the newest records that the alert stage reads.
    ///
    /// # Errors
    /// The topic is missing or cannot be read.
    pub fn reporting(&self) -> Result<Reporting, PublishError> {
        let topic = self.config.topic(&self.config.alert.source).name;
        let mut reporting = Reporting::default();
        self.read(&topic, StartAt::Tail(REPORTING_RECORDS), &mut |record| {
            if let Some(Ok(view)) = record.value.map(ObservationView::parse) {
                reporting.take(&view);
            }
        })?;
        self.note_hours(&mut reporting)?;
        Ok(reporting)
    }

    /// Adds the stations that report hourly, even before a stage has read them. Installations without hourly data
    /// lack the topic.
    fn note_hours(&self, reporting: &mut Reporting) -> Result<(), PublishError> {
        let topic = self.config.topic(topic::HOURLY).name;
        let mut heard = BTreeMap::<StationId, i64>::new();
        let read = self.read(&topic, StartAt::Tail(REPORTING_RECORDS), &mut |record| {
            if let Some(id) = record.key.and_then(StationId::parse) {
                heard.insert(id, record.timestamp_ms);
            }
        });
        match read {
            Err(PublishError::NoTopic(_)) => return Ok(()),
            read => read?,
        }
        if heard.is_empty() {
            return Ok(());
        }
        for station in self.stations()? {
            if let Some(timestamp_ms) = heard.get(&station.id) {
                let document = format!("{{\"station\":{}}}", station.to_json(Compat::None));
                reporting.take_moment(document.as_bytes(), *timestamp_ms);
            }
        }
        Ok(())
    }

    /// The station table.
    ///
    /// # Errors
    /// The topic is missing or cannot be read.
    pub fn stations(&self) -> Result<Vec<Station>, PublishError> {
        let topic = self.config.topic(topic::STATIONS).name;
        let mut stations = BTreeMap::new();
        self.read(&topic, StartAt::Beginning, &mut |record| {
            let Some(id) = record.key.and_then(StationId::parse) else { return };
            match record.value.map(serde_json::from_slice::<Station>) {
                Some(Ok(station)) => drop(stations.insert(id, station)),
                Some(Err(_)) => {}
                None => drop(stations.remove(&id)),
            }
        })?;
        Ok(stations.into_values().collect())
    }

    /// Reads a topic to its end.
    ///
    /// # Errors
    /// The topic is missing or cannot be read.
    pub fn read(
        &self,
        topic: &str,
        start: StartAt,
        visit: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), PublishError> {
        let Some(partitions) = self.admin.partitions(topic)? else {
            return Err(PublishError::NoTopic(topic.to_owned()));
        };
        Ok(Reader::read_to_end(&self.settings, topic, partitions, start, visit)?)
    }

    /// Begins a change of the rules. Take the turn before reading what is published.
    ///
    /// # Errors
    /// The brokers do not answer, or do not allow it.
    pub fn turn(&self) -> Result<Turn, PublishError> {
        let topic = self.config.topic(topic::RULES).name;
        Ok(Turn { producer: sole_producer(self.config, "rules")?, topic })
    }
}

/// The right to publish a change, until somebody else begins one.
pub struct Turn {
    producer: Producer,
    topic: String,
}

impl Turn {
    /// Writes records to the rules' topic, all or none, and waits until all replicas have them.
    pub(super) fn write(
        &self,
        records: impl Iterator<Item = (String, Option<Vec<u8>>)>,
        sent: &mut dyn FnMut(),
    ) -> Result<(), PublishError> {
        for (key, value) in records {
            self.producer
                .send(&Outgoing {
                    topic: &self.topic,
                    partition: None,
                    key: Some(key.as_bytes()),
                    value: value.as_deref(),
                    timestamp_ms: -1,
                    headers: &[],
                    changelog: None,
                })
                .map_err(overtaken)?;
            sent();
        }
        settle(&self.producer).map_err(overtaken)
    }
}

fn overtaken(error: KafkaError) -> PublishError {
    match error {
        KafkaError::Replaced(_) | KafkaError::Fenced(_) => PublishError::Overtaken,
        other => other.into(),
    }
}
