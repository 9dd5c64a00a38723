//! Moves the time of the weather services on as the daemons catch up, on its own thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use frostline_engine::Position;
use frostline_engine::kafka::{ClientSettings, KafkaError, Polled, Reader, StartAt};

use super::fleet::Fleet;
use super::followed::Followed;
use super::installation::Installation;
use super::model::Model;
use super::report::Kind;
use super::{ChaosError, services::Services};
use crate::config::topic;

/// How long one reading of the daemons' positions may wait for changes.
const LOOK: Duration = Duration::from_millis(50);
const POSITIONS_MAX: usize = 1_000;
/// How long the daemons may take for everything that the services show, once there are no more faults.
const REST_PATIENCE: Duration = Duration::from_secs(60);

/// The task of the thread.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Wish {
    /// Move time on.
    #[default]
    Work,
    /// Let time stand still.
    Rest,
    /// Read no topic.
    Sleep,
    /// End.
    End,
}

#[derive(Default)]
struct Shared {
    wish: Mutex<Wish>,
    /// Set if time stands still, and the daemons have everything that the services show.
    is_at_rest: AtomicBool,
    /// Set if the topics have been created again.
    is_new: AtomicBool,
}

impl Shared {
    fn wish(&self) -> Wish {
        *self.wish.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wishes(&self, wish: Wish) {
        *self.wish.lock().unwrap_or_else(PoisonError::into_inner) = wish;
    }
}

/// The thread.
pub(super) struct Weather {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<Vec<Followed>, ChaosError>>>,
}

impl Weather {
    /// Starts to move the services' time.
    pub(super) fn start(installation: &Installation, services: &Services) -> Result<Self, ChaosError> {
        let model = Model::new(installation)?;
        let followed = model.sources().iter().filter_map(|source| {
            let service = services.of(source.id.as_str())?;
            Some(Followed::new(source, service, services.begin()))
        });
        let shared = Arc::<Shared>::default();
        let worker = Worker {
            shared: Arc::clone(&shared),
            settings: installation.settings.clone(),
            topic: installation.config.topic(topic::POSITIONS).name,
            followed: followed.collect(),
            rng: fastrand::Rng::with_seed(installation.options.seed),
            positions: None,
        };
        let thread = std::thread::spawn(move || worker.run());
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Stops time, and waits until the daemons have everything that the services show, or could have had it.
    pub(super) fn rest(&self, fleet: &mut Fleet<'_>) -> Result<(), ChaosError> {
        self.shared.is_at_rest.store(false, Ordering::Release);
        self.shared.wishes(Wish::Rest);
        let deadline = Instant::now() + REST_PATIENCE;
        let is_running = || self.thread.as_ref().is_some_and(|thread| !thread.is_finished());
        while !self.shared.is_at_rest.load(Ordering::Acquire) && is_running() && Instant::now() < deadline {
            fleet.rest(LOOK)?;
        }
        self.shared.wishes(Wish::Sleep);
        Ok(())
    }

    /// Moves time on again. `is_new`: on topics that were created again, where the daemons start again too.
    pub(super) fn work(&self, is_new: bool) {
        self.shared.is_new.fetch_or(is_new, Ordering::AcqRel);
        self.shared.wishes(Wish::Work);
    }

    /// Ends once the daemons have everything that the services show. Sources with another content are violations.
    pub(super) fn finish(mut self, fleet: &mut Fleet<'_>) -> Result<Vec<Followed>, ChaosError> {
        self.rest(fleet)?;
        let followed = self.end()?;
        for Followed { source, .. } in followed.iter().filter(|followed| !followed.agreed) {
            let seconds = REST_PATIENCE.as_secs();
            let text = format!("{}: does not match its service's documents after {seconds} s", source.id);
            fleet.violations.add(Kind::Position, text);
        }
        Ok(followed)
    }

    fn end(&mut self) -> Result<Vec<Followed>, ChaosError> {
        self.shared.wishes(Wish::End);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            _ => Err(ChaosError::Broken("the thread of the weather services panicked".into())),
        }
    }
}

impl Drop for Weather {
    fn drop(&mut self) {
        if self.thread.is_some() {
            let _ = self.end();
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    settings: ClientSettings,
    /// The topic of positions.
    topic: String,
    followed: Vec<Followed>,
    rng: fastrand::Rng,
    positions: Option<Positions>,
}

impl Worker {
    fn run(mut self) -> Result<Vec<Followed>, ChaosError> {
        self.followed.iter_mut().try_for_each(Followed::begin)?;
        loop {
            let wish = self.shared.wish();
            match wish {
                Wish::End => return Ok(self.followed),
                Wish::Sleep => {
                    self.positions = None;
                    std::thread::sleep(LOOK);
                }
                Wish::Work | Wish::Rest => self.look(wish == Wish::Work)?,
            }
        }
    }

    /// One reading of the daemons' positions.
    fn look(&mut self, goes_on: bool) -> Result<(), ChaosError> {
        if self.shared.is_new.swap(false, Ordering::AcqRel) {
            self.followed.iter_mut().try_for_each(Followed::begin)?;
        }
        let positions = match &mut self.positions {
            Some(positions) => positions,
            None => {
                let partitions = self.followed.iter().map(|followed| followed.source.partition);
                self.positions.insert(Positions::new(&self.settings, &self.topic, partitions)?)
            }
        };
        positions.read()?;
        for followed in &mut self.followed {
            followed.tend(positions.of(followed.source.partition), goes_on, &mut self.rng)?;
        }
        let is_at_rest = !goes_on && self.followed.iter().all(|followed| followed.agreed);
        self.shared.is_at_rest.store(is_at_rest, Ordering::Release);
        Ok(())
    }
}

/// The daemons' positions from their topic.
struct Positions {
    reader: Reader,
    found: BTreeMap<i32, Position>,
    nothing: Position,
}

impl Positions {
    fn new(
        settings: &ClientSettings,
        topic: &str,
        partitions: impl Iterator<Item = i32>,
    ) -> Result<Self, KafkaError> {
        let starts: Vec<_> = partitions.map(|partition| (partition, StartAt::Beginning)).collect();
        let reader = Reader::new(settings, topic, &starts)?;
        Ok(Self { reader, found: BTreeMap::new(), nothing: Position::default() })
    }

    fn read(&mut self) -> Result<(), KafkaError> {
        let found = &mut self.found;
        self.reader.read(LOOK, POSITIONS_MAX, &mut |polled| {
            if let Polled::Record(record) = polled {
                let position = found.entry(record.partition).or_default();
                position.apply(record.key.unwrap_or_default(), record.value);
            }
        })?;
        Ok(())
    }

    fn of(&self, partition: i32) -> &Position {
        self.found.get(&partition).unwrap_or(&self.nothing)
    }
}
