//! Runs processes by a script, and checks what they leave.

mod faults;
mod growing;
mod isolation;
mod script;
mod seat;
mod shrink;
mod stages;
mod tests;

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use self::script::{Fault, Script};
use self::seat::{Running, Seat, Shared};
use self::stages::{Facts, Service};
use crate::EngineSettings;
use crate::fault::Sabotage;
use crate::kafka::partition_of_key;
use crate::runtime::Totals;
use crate::sim::broker::{Broker, Moment, Stored};
use crate::sim::host;

const SESSION: Duration = Duration::from_secs(2);
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the world looks at its processes and faults.
const STEP_MS: u64 = 10;
/// How long the processes may take to catch up when no more faults come.
const CATCH_UP_MS: u64 = 120_000;
/// How often processes with one name may have something to commit before they have different names.
const NAME_ROUNDS_MAX: u32 = 20;
const KEYS: u64 = 8;
/// One in so many records is followed by one that nobody will see, by a number of the service, or by a change of the
/// table.
const MARKER_ROWS: u64 = 12;
const NUMBER_ROWS: u64 = 8;
const FACT_ROWS: u64 = 16;

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stats {
    crashes: u64,
    steps: u64,
    records: i64,
}

struct World {
    shared: Shared,
    seats: Vec<Seat>,
    random: fastrand::Rng,
    /// Ends of faults that last, by time.
    ends: Vec<(i64, Fault)>,
    stats: Stats,
    /// Whether input still comes.
    is_fed: bool,
}

/// Runs a script in a world of its own.
///
/// # Errors
/// What is wrong with what the processes left.
fn run(script: &Script) -> Result<Stats, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let outcome = runtime.map_err(|error| error.to_string())?.block_on(async {
        host::begin(script.sabotage);
        let mut world = World::new(script)?;
        let outcome = world.live(script).await;
        // Processes that hang must not outlive their world.
        world.kill_all()?;
        outcome.map(|()| world.stats)
    });
    host::end();
    outcome
}

fn lock(broker: &Mutex<Broker>) -> MutexGuard<'_, Broker> {
    broker.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> Moment {
    host::moment()
}

impl World {
    fn new(script: &Script) -> Result<Self, String> {
        let service = Service::default();
        let topology = stages::topology(&service, &Facts::default()).map_err(|error| error.to_string())?;
        let settings = EngineSettings {
            commit_interval: Duration::from_millis(40),
            workers: 1 + usize::from(script.seed.is_multiple_of(3)),
            session_timeout: SESSION,
            shutdown_timeout: Duration::from_secs(4),
            transaction_timeout: TRANSACTION_TIMEOUT,
            restarts_max: 1_000,
            ..EngineSettings::default()
        };
        let mut broker = Broker::default();
        stages::create_topics(&mut broker);
        let totals = Arc::new(Totals::new(topology.counters()));
        let shared = Shared {
            broker: Arc::new(Mutex::new(broker)),
            topology,
            topology_of: Box::new(stages::topology),
            service,
            settings,
            totals,
        };
        Ok(Self {
            shared,
            seats: (0..script.seats).map(|number| Seat::new(number, script.seed.is_multiple_of(4))).collect(),
            random: fastrand::Rng::with_seed(script.seed),
            ends: Vec::new(),
            stats: Stats::default(),
            is_fed: true,
        })
    }

    async fn live(&mut self, script: &Script) -> Result<(), String> {
        let mut faults = script.faults.iter().peekable();
        while faults.peek().is_some() {
            while let Some((_, fault)) =
                faults.next_if(|(at, _)| i64::try_from(*at).unwrap_or(0) <= now().elapsed_ms)
            {
                self.strike(*fault).await?;
            }
            self.step().await?;
        }
        self.heal()?;
        self.catch_up().await?;
        self.check_tables()?;
        // Every key once more, so that each entry of the restored state shows. Processes with one name notice it when
        // both have something to commit.
        let mut rounds = 0;
        while rounds == 0 || self.shared_name().is_some() && rounds < NAME_ROUNDS_MAX {
            self.feed_all();
            self.catch_up().await?;
            rounds += 1;
        }
        if let Some(name) = self.shared_name() {
            return Err(format!("two processes are called {name}"));
        }
        self.stop_all().await?;
        let broker = lock(&self.shared.broker);
        self.seats.iter().try_for_each(|seat| seat.check_disk(&broker))?;
        stages::compare(&broker, self.shared.service.load(Ordering::Relaxed))
    }

    /// A moment of everything.
    async fn step(&mut self) -> Result<(), String> {
        self.stats.steps += 1;
        if self.is_fed {
            self.feed();
        }
        let session_ms = i64::try_from(SESSION.as_millis()).unwrap_or(i64::MAX);
        lock(&self.shared.broker).tick(now(), session_ms);
        self.end_faults()?;
        let (now_ms, seed) = (now().elapsed_ms, self.random.u64(..));
        for seat in self.seats.iter_mut().filter(|seat| seat.running.is_none() && seat.starts_at_ms <= now_ms)
        {
            seat.start(&self.shared, seed)?;
        }
        self.turn().await;
        let now_ms = now().elapsed_ms;
        for seat in &mut self.seats {
            let random = self.random.u64(..1_001);
            self.stats.crashes += u64::from(seat.reap(random, now_ms, &self.shared.broker)?);
        }
        Ok(())
    }

    /// Gives the processes their turns until the step is over, or one has died.
    async fn turn(&mut self) {
        let over = tokio::time::sleep(Duration::from_millis(STEP_MS));
        tokio::pin!(over);
        std::future::poll_fn(|context| {
            let now_ms = now().elapsed_ms;
            let mut has_died = false;
            for seat in self.seats.iter_mut().filter(|seat| seat.paused_until_ms <= now_ms) {
                let Some(Running { host, tasks, .. }) = &mut seat.running else { continue };
                host::enter(Some(Arc::clone(host)));
                let _ = Pin::new(tasks).poll(context);
                has_died |= !host.is_alive();
            }
            host::enter(None);
            if has_died { Poll::Ready(()) } else { over.as_mut().poll(context) }
        })
        .await;
    }

    /// Appends a record to the input, or one that nobody will see.
    fn feed(&mut self) {
        let key = self.random.u64(..KEYS);
        let value = match self.random.u64(..20) {
            0 => stages::BAD,
            1 => stages::FORGET,
            _ => b"1",
        };
        self.append(key, value);
        if self.random.u64(..MARKER_ROWS) == 0 {
            self.append_aborted(key);
        }
        if self.random.u64(..FACT_ROWS) == 0 {
            self.change_fact();
        }
        self.shared.service.fetch_add(u64::from(self.random.u64(..NUMBER_ROWS) == 0), Ordering::Relaxed);
    }

    /// Changes a fact of the table: sets it, or removes it.
    fn change_fact(&mut self) {
        let key = self.random.u64(..KEYS);
        let partition = partition_of_key(name_of(key).as_bytes(), stages::FACT_PARTITIONS);
        let value = (self.random.u64(..3) > 0).then(|| self.stats.records.to_string().into_bytes());
        let stored = Stored { value, ..stored(key, b"") };
        if let Some(log) = lock(&self.shared.broker).log_mut(stages::FACTS, partition) {
            log.append(stored, None);
        }
    }

    /// The table of every process that has had the time to read it has what its topic says.
    fn check_tables(&self) -> Result<(), String> {
        let expected = stages::facts(&lock(&self.shared.broker));
        for (number, seat) in self.seats.iter().enumerate() {
            let Some(running) = seat.running.as_ref().filter(|running| running.stages.has_started()) else {
                continue;
            };
            let found = &stages::content(&running.facts).entries;
            if *found != expected {
                return Err(format!("the table of process {number} has {found:?}, not {expected:?}"));
            }
        }
        Ok(())
    }

    fn append(&mut self, key: u64, value: &[u8]) {
        let (partition, stored) = (self.partition_of(key), stored(key, value));
        let mut broker = lock(&self.shared.broker);
        if let Some(log) = broker.log_mut(stages::INPUT, partition) {
            log.append(stored, None);
            self.stats.records += 1;
        }
    }

    /// A transaction of somebody else that is aborted: it leaves a gap.
    fn append_aborted(&mut self, key: u64) {
        let partition = self.partition_of(key);
        let mut broker = lock(&self.shared.broker);
        if let Some(log) = broker.log_mut(stages::INPUT, partition) {
            log.append(stored(key, b"aborted"), Some(u64::MAX));
            log.end_transaction(u64::MAX, false);
        }
    }

    fn feed_all(&mut self) {
        (0..KEYS).for_each(|key| self.append(key, b"1"));
    }

    fn partition_of(&self, key: u64) -> i32 {
        partition_of_key(name_of(key).as_bytes(), self.partitions())
    }

    /// Waits until everything is committed; if that does not happen, something is stuck.
    async fn catch_up(&mut self) -> Result<(), String> {
        let deadline = now().elapsed_ms + i64::try_from(CATCH_UP_MS).unwrap_or(i64::MAX);
        loop {
            for _ in 0..10 {
                self.step().await?;
            }
            if self.has_caught_up() {
                return Ok(());
            }
            if now().elapsed_ms > deadline {
                let reasons: Vec<String> = self
                    .seats
                    .iter()
                    .map(|seat| {
                        seat.running.as_ref().map_or_else(
                            || "not running".into(),
                            |running| running.stages.unready().join("; "),
                        )
                    })
                    .collect();
                return Err(format!("stuck: {reasons:?}"));
            }
        }
    }

    fn has_caught_up(&self) -> bool {
        let mut broker = lock(&self.shared.broker);
        let topology = &self.shared.topology;
        stages::has_polled(&broker, self.shared.service.load(Ordering::Relaxed))
            && topology.stages().iter().all(|stage| {
                let ends: Vec<i64> = broker
                    .topic(&stage.source.name)
                    .into_iter()
                    .flat_map(|topic| &topic.logs)
                    .map(|log| log.end())
                    .collect();
                broker.group(&topology.group(stage.id)).has_caught_up(&ends)
            })
    }

    /// A name that two processes have: they fence each other repeatedly. With several workers each may have work for
    /// another one, which does no harm; static members have names of their own.
    fn shared_name(&self) -> Option<String> {
        if self.shared.settings.workers > 1 {
            return None;
        }
        let is_working = |seat: &&Seat| seat.running.is_some() && seat.clock_ms == 0;
        let working = self.seats.iter().filter(is_working).filter(|seat| seat.instance_id.is_empty());
        let mut names: Vec<String> = working.map(|seat| seat.disk.instance()).collect();
        names.sort_unstable();
        names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone())
    }

    /// All processes leave in good order.
    async fn stop_all(&mut self) -> Result<(), String> {
        self.seats.iter().flat_map(|seat| &seat.running).for_each(|running| running.stages.leave());
        for _ in 0..1_000 {
            self.seats.iter_mut().for_each(|seat| seat.starts_at_ms = i64::MAX);
            self.step().await?;
            if self.seats.iter().all(|seat| seat.running.is_none()) {
                return Ok(());
            }
        }
        Err("a process does not stop".to_owned())
    }
}

fn name_of(key: u64) -> String {
    format!("k{key}")
}

fn stored(key: u64, value: &[u8]) -> Stored {
    Stored {
        key: Some(name_of(key).into_bytes()),
        value: Some(value.to_vec()),
        timestamp_ms: now().wall_ms,
        headers: Vec::new(),
    }
}

/// The bugs that a simulation can plant: those of processors have no part in this world.
const SABOTAGES: [Sabotage; 11] = [
    Sabotage::CommitBeforeProduce,
    Sabotage::SledBeforeCommit,
    Sabotage::NoFencing,
    Sabotage::OldState,
    Sabotage::NoRenaming,
    Sabotage::BlindReadiness,
    Sabotage::EarlierTopics,
    Sabotage::StubbornClock,
    Sabotage::PositionApart,
    Sabotage::GrowWithoutState,
    Sabotage::ReusedSequences,
];
