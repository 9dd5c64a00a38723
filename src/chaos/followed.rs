//! The reference for a source of the daemons: the same poller in a single thread, which polls the same service at the
//! same times, and never dies. The topics must have its records, and the daemons its position.
//!
//! The service's time stands still until the daemons' position is the same as this poller's. So the daemons miss
//! nothing, whatever happens to them and for however long, and both have seen the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use frostline_engine::record::{Header, unix_ms};
use frostline_engine::{Poller, Position, Source, SourceRecord};

use super::ChaosError;
use super::compare::Item;
use super::service_faults::{on_the_way, with};
use super::services::Service;
use super::topic_log::mark;
use crate::hourly::iso_time;

/// If a poller still has more to fetch after this many polls at one time, it does not come to rest.
const POLLS_MAX: u32 = 1_000;
/// At one step in this many, a fault happens on the way to the service.
const FAULT_ONE_IN: u32 = 3;
/// How long that fault lasts, in milliseconds of real time.
const FAULT_MS: (u64, u64) = (500, 2_500);
/// An old document is two hours old, and has observations of up to 90 minutes before.
const PAST: i64 = 4 * 3_600;
/// Prefix of the engine's own keys in the position.
const OWN_KEY: u8 = 0;

/// The reference poller; see the module's description.
pub(super) struct Followed {
    pub(super) source: Source,
    pub(super) service: Arc<Service>,
    /// The service's time at the first record, in seconds since 1970: records of earlier topics are gone.
    pub(super) begun: i64,
    /// The service's time now.
    pub(super) time: i64,
    /// How many times the service's time moved on.
    pub(super) steps: u64,
    /// Faults on the way to the service, by name.
    pub(super) faults: BTreeMap<&'static str, u64>,
    /// The longest time until the daemons had everything that the service showed.
    pub(super) longest: Duration,
    /// Whether the daemons had this position at the last check.
    pub(super) agreed: bool,
    /// The records that topics must have, by topic name.
    pub(super) expected: Vec<(String, Item)>,
    poller: Box<dyn Poller>,
    position: Position,
    /// When the present fault on the way ends.
    fault_ends: Option<Instant>,
    /// When the service's time last moved on.
    stepped: Instant,
}

impl Followed {
    pub(super) fn new(source: &Source, service: Arc<Service>, time: i64) -> Self {
        Self {
            source: source.clone(),
            service,
            begun: time,
            time,
            steps: 0,
            faults: BTreeMap::new(),
            longest: Duration::ZERO,
            agreed: false,
            expected: Vec::new(),
            poller: (source.poller)(),
            position: Position::default(),
            fault_ends: None,
            stepped: Instant::now(),
        }
    }

    /// Starts with empty topics and without a position, at the service's present time.
    pub(super) fn begin(&mut self) -> Result<(), ChaosError> {
        self.begun = self.time;
        self.expected.clear();
        self.position = Position::default();
        self.poller = (self.source.poller)();
        self.clear_the_way();
        self.look()
    }

    /// Ends faults on the way that have lasted long enough. If the daemons, whose position is `found`, have
    /// everything that the service shows, its time moves on, unless it must stand still.
    pub(super) fn tend(
        &mut self,
        found: &Position,
        goes_on: bool,
        rng: &mut fastrand::Rng,
    ) -> Result<(), ChaosError> {
        if self.fault_ends.is_some_and(|ends| !goes_on || ends <= Instant::now()) {
            self.clear_the_way();
        }
        let of_poller = found.iter().filter(|(key, _)| key.first() != Some(&OWN_KEY));
        self.agreed = self.fault_ends.is_none() && self.position.iter().eq(of_poller);
        if goes_on && self.agreed { self.step(rng) } else { Ok(()) }
    }

    fn step(&mut self, rng: &mut fastrand::Rng) -> Result<(), ChaosError> {
        self.longest = self.longest.max(self.stepped.elapsed());
        let (least, most) = self.service.step_minutes;
        self.time += 60 * rng.i64(least..=most);
        self.steps += 1;
        self.service.server.set_time(self.time);
        self.look()?;
        if rng.u32(..FAULT_ONE_IN) == 0 {
            let fault = on_the_way(self.time - self.begun >= PAST, rng);
            *self.faults.entry(fault.name()).or_default() += 1;
            self.service.server.set_script(with(&self.service.script, fault));
            let (least, most) = FAULT_MS;
            self.fault_ends = Some(Instant::now() + Duration::from_millis(rng.u64(least..most)));
        }
        self.stepped = Instant::now();
        Ok(())
    }

    fn clear_the_way(&mut self) {
        self.fault_ends = None;
        self.service.server.set_script(self.service.script.clone());
    }

    /// Polls until there is nothing more.
    fn look(&mut self) -> Result<(), ChaosError> {
        for _ in 0..POLLS_MAX {
            let polled = self.poller.poll(&self.position, unix_ms());
            let batch =
                polled.map_err(|error| ChaosError::Broken(format!("source {}: {error}", self.source.id)))?;
            if batch.is_empty() && batch.next_in.is_none() {
                return Ok(());
            }
            for (key, value) in &batch.changes {
                self.position.apply(key, value.as_deref());
            }
            let time = iso_time(self.time);
            let items = batch.records.iter().filter_map(|record| self.item(record, &time));
            let items: Vec<_> = items.collect();
            self.expected.extend(items);
        }
        Err(ChaosError::Broken(format!("source {} does not come to rest", self.source.id)))
    }

    fn item(&self, record: &SourceRecord, time: &str) -> Option<(String, Item)> {
        let (_, topic) = self.source.sinks.iter().find(|(name, _)| *name == record.sink)?;
        let headers: Vec<Header> =
            record.headers.iter().map(|(name, value)| ((*name).to_owned(), Some(value.clone()))).collect();
        let key = String::from_utf8_lossy(&record.key).into_owned();
        // Some records have the time of the fetch, which differs.
        let mark = mark(Some(&record.key), Some(&record.value), None, &headers);
        Some((topic.name.clone(), Item { key, mark, place: format!("{} of {time}", self.source.id) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::services::Services;
    use crate::chaos::world;
    use crate::config::{Config, topic};

    /// A source whose daemons have everything at once.
    #[test]
    fn time_goes_on_with_the_daemons_and_not_without_them() {
        let services = Services::start(3).unwrap();
        let config = Config { follow: services.follow(), ..Config::default() };
        let ingredients = crate::app::Ingredients::new(&config, Arc::default(), None).unwrap();
        world::stations(&services.world).for_each(|station| ingredients.stations.insert(&station));
        let topology = crate::app::topology(&config, &ingredients).unwrap();
        let mut rng = fastrand::Rng::with_seed(1);
        for source in topology.sources() {
            let service = services.of(source.id.as_str()).unwrap();
            let mut followed = Followed::new(source, service, services.begin());
            followed.begin().unwrap();
            for _ in 0..30 {
                let mut daemons = followed.position.clone();
                daemons.apply(b"\0newest_ms", Some(b"5"));
                // What happens on the way is over before time goes on.
                followed.clear_the_way();
                followed.tend(&daemons, true, &mut rng).unwrap();
            }
            assert_eq!(followed.steps, 30, "{}", source.id);
            let before = followed.time;
            followed.tend(&Position::default(), true, &mut rng).unwrap();
            followed.clear_the_way();
            let position = followed.position.clone();
            followed.tend(&position, false, &mut rng).unwrap();
            assert_eq!(followed.time, before);
            let sink = if source.id.as_str() == "metar" { topic::HOURLY } else { topic::CSV_RAW };
            assert!(followed.expected.len() > 200, "{} gave {}", source.id, followed.expected.len());
            assert!(followed.expected.iter().all(|(topic, _)| topic == sink));
            assert!(followed.faults.len() > 3, "{:?}", followed.faults);
        }
    }
}
