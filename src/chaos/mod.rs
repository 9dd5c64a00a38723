//! `frostline chaos`: tries to break frostline on a real broker, and checks that nothing was lost, repeated or made
//! up.
//!
//! Real processes (`frostline run`) work on their own topics while numbered observations are fed and faults happen:
//! kills, pauses, damaged state, deaths at named points of the protocols. Then everything must drain, and every topic
//! is compared, record by record and in order, with the output of the stages' own processors for the same input
//! without any fault.
//!
//! With `follow`, the daemons also follow imitated weather services, which have their own faults, and the process
//! that polls one of them sometimes dies. The time of each service moves on when the daemons have caught up with it.
//!
//! | part | what it does |
//! |---|---|
//! | `installation` | namespace, configuration, stations and rules of one run |
//! | `fed`, `feed`, `hours`, `feeder` | the input, and the thread that sends it |
//! | `world`, `services`, `service_faults` | the weather services that the daemons follow |
//! | `followed`, `weather` | the reference for each source, and the thread that moves time on |
//! | `process`, `fleet`, `http` | the daemons: started, watched, queried, and always stopped |
//! | `fault_kind`, `deck`, `strike` | the kinds of faults, their order, and how each is done |
//! | `network`, `network_faults` | the proxy between daemons and brokers, and what it does to them |
//! | `old_state`, `state_copy`, `shared_name`, `recreated`, `grown`, `poller` | faults that take a while |
//! | `past` | the effects of these on the topics |
//! | `breaks` | the bugs that can be planted |
//! | `monitor`, `live`, `readiness` | checks while faults happen: offsets, committed outputs, reported readiness |
//! | `recovery`, `plain_producer` | how long it takes until all is well again, and how long for a plain producer |
//! | `mailbox`, `messages_check` | the receiver of messages to people, and the comparison with alerts and outcomes |
//! | `lock`, `serving` | locks of what threads share, and servers of the checker itself |
//! | `model`, `compare`, `entries`, `truth`, `verdict`, `state_check` | the expected content, and the comparison |
//! | `report` | the results |

mod breaks;
mod compare;
mod deck;
mod entries;
mod fault_kind;
mod fed;
mod feed;
mod feeder;
mod fleet;
mod followed;
mod grown;
mod hours;
mod http;
mod installation;
mod live;
mod lock;
mod mailbox;
mod messages_check;
mod model;
mod monitor;
mod network;
mod network_faults;
mod old_state;
mod past;
mod plain_producer;
mod poller;
mod process;
mod readiness;
mod recovery;
mod recreated;
mod report;
mod service_faults;
mod services;
mod serving;
mod shared_name;
mod state_check;
mod state_copy;
mod strike;
mod topic_log;
mod truth;
mod verdict;
mod weather;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use frostline_engine::fault::Sabotage;
use frostline_engine::kafka::KafkaError;
use frostline_engine::store::StateError;

pub use breaks::{breaks, refusal};
pub use fault_kind::FaultKind;
pub use installation::Installation;
pub use recovery::Recovery;
pub use report::{Kind, Report, Violations};

use deck::Deck;
use feeder::Feeder;
use fleet::Fleet;
use followed::Followed;
use live::LiveReaders;
use monitor::Monitor;
use plain_producer::PlainProducer;
use readiness::Readiness;
use report::FollowedSource;
use weather::Weather;

/// Pause before the first fault and after the last one.
const CALM: Duration = Duration::from_secs(3);
/// How long everything may take to drain once the faults have stopped.
const DRAIN_PATIENCE: Duration = Duration::from_secs(120);
/// Checks in a row, 200 ms apart, without any movement before a run counts as drained.
const QUIET_LOOKS: u64 = 5;

/// The options.
#[derive(Clone, Debug)]
pub struct ChaosOptions {
    /// Faults to try.
    pub rounds: u32,
    /// Repeats a run, as far as timing allows: the same input, and the same faults in the same order.
    pub seed: u64,
    /// Processes at the start.
    pub processes: usize,
    /// Partitions of each topic.
    pub partitions: i32,
    /// Records fed in a second.
    pub rate: u64,
    /// A shell command that restarts the broker; without it, the broker is not touched.
    pub restart_broker: Option<String>,
    /// Whether the daemons follow weather services; see [`follows`](Self::follows).
    pub follow: bool,
    /// The kinds of faults to try; empty for all, or for those that reveal the planted bugs.
    pub faults: Vec<FaultKind>,
    /// Bugs to plant. The run must then find violations.
    pub sabotage: Vec<Sabotage>,
}

impl ChaosOptions {
    /// This many faults include each kind once, including restarts of the broker.
    pub const fn usual_rounds(follow: bool) -> u32 {
        if follow { 33 } else { 28 }
    }

    /// Whether the daemons follow weather services; also if a fault or a bug requires it.
    pub fn follows(&self) -> bool {
        let needs_it = |kind: &FaultKind| kind.is_of_poller();
        let shows = |sabotage: &Sabotage| breaks::showing(*sabotage).iter().any(needs_it);
        self.follow || self.faults.iter().any(needs_it) || self.sabotage.iter().any(shows)
    }

    /// The planted bugs, separated by commas; empty if there are none.
    pub fn broken(&self) -> String {
        self.sabotage.iter().map(|sabotage| sabotage.name()).collect::<Vec<_>>().join(",")
    }
}

impl Default for ChaosOptions {
    fn default() -> Self {
        Self {
            rounds: Self::usual_rounds(false),
            seed: 0,
            processes: 3,
            partitions: 4,
            rate: 500,
            restart_broker: None,
            follow: false,
            faults: Vec::new(),
            sabotage: Vec::new(),
        }
    }
}

/// Why a run has no result. Violations are not errors.
#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    /// The checker itself could not use Kafka.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The model's own state failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file or a process of the run failed.
    #[error("{0}: {1}")]
    Files(String, #[source] std::io::Error),
    /// A part of the checker itself failed.
    #[error("{0}")]
    Broken(String),
    /// The user ended the run.
    #[error("interrupted")]
    Interrupted,
}

impl ChaosError {
    fn files(what: &str) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.to_owned();
        move |error| Self::Files(what, error)
    }
}

/// The present activity of a run, for people.
pub enum Progress {
    /// A step of the run.
    Step(String),
    /// A fault was tried.
    Fault {
        /// The number of the fault, from 1.
        round: u32,
        /// The kind of fault.
        kind: String,
        /// The process, and the details.
        detail: String,
        /// The lag of all groups, in records.
        lag: i64,
    },
}

/// Runs the faults and checks on empty topics. Blocks for minutes; `stop` ends it early.
///
/// # Errors
/// [`ChaosError`] if the checker itself cannot work; its findings are in the report.
pub fn run(
    installation: &Installation,
    stop: &Arc<AtomicBool>,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Report, ChaosError> {
    let start = Instant::now();
    let mut step = |text: &str| on_progress(Progress::Step(text.to_owned()));
    step("publishing stations, starting processes");
    installation.publish_stations()?;
    let monitor = Monitor::start(installation)?;
    let mut readers = LiveReaders::default();
    readers.start(installation)?;
    let plain = PlainProducer::start(installation)?;
    let readiness = Readiness::start(installation, &monitor)?;
    let mut fleet = Fleet::start(installation, readiness, Arc::clone(stop))?;
    fleet.heal()?;
    let feeder = Feeder::start(installation)?;
    let weather = installation.services.as_ref().map(|services| Weather::start(installation, services));
    fleet.rest(CALM)?;
    let mut report = Report::new(installation);
    let weather = weather.transpose()?;
    let mut around = Around { monitor: &monitor, plain: &plain, feeder: &feeder, readers, weather };
    strike_all(&mut fleet, &mut around, &mut report, on_progress)?;
    let Around { readers, weather, .. } = around;

    let mut step = |text: &str| on_progress(Progress::Step(text.to_owned()));
    step("no more faults: feeding records so that everything settles");
    fleet.rest(CALM)?;
    let followed = match weather {
        Some(weather) => weather.finish(&mut fleet)?,
        None => Vec::new(),
    };
    report.sources = followed.iter().map(of_source).collect();
    // Last, because this also lets the records of sources settle.
    report.records_in = feeder.finish()?;
    fleet.heal()?;
    drain(&mut fleet, &monitor, &mut step)?;
    drain_messages(&mut fleet)?;
    step("stopping the processes");
    fleet.terminate_all()?;
    let seen = readers.finish()?;
    step("comparing every record with the model");
    let verdict = verdict::check(installation, &seen, &followed, &mut fleet.violations)?;
    (report.compared, report.alerts) = (verdict.compared, verdict.transitions);
    let messages = messages_check::check(installation, &verdict.alerts, &mut fleet.violations)?;
    (report.messages, report.messages_repeated) = (messages.arrived, messages.repeated);
    report.messages_suppressed = messages.suppressed;
    report.state_entries = state_check::check(&mut fleet, &verdict.stores)?;
    for answer in fleet.readiness.finish() {
        fleet.violations.add(Kind::Readiness, answer);
    }
    let watched = monitor.watched();
    watched.back.iter().for_each(|back| fleet.violations.add(Kind::OffsetBack, back.clone()));
    report.recovery = recovery::table(&watched.recoveries, &plain.recoveries());
    report.starts = fleet.starts;
    report.seconds = rounded(start.elapsed());
    report.judge(&fleet.violations);
    Ok(report)
}

/// Activities around the processes that must know of faults which change the topics.
struct Around<'a> {
    monitor: &'a Monitor,
    plain: &'a PlainProducer,
    feeder: &'a Feeder,
    readers: LiveReaders,
    /// Set if the daemons follow services.
    weather: Option<Weather>,
}

impl Around<'_> {
    /// A fault of this kind happens now.
    fn fault(&self, kind: FaultKind) {
        self.monitor.fault(kind.name());
        self.plain.fault(kind.name());
    }

    /// Stops all input until [`resume`](Self::resume), and waits until the brokers have everything sent before.
    fn pause(&self, fleet: &mut Fleet<'_>) -> Result<(), ChaosError> {
        self.weather.iter().try_for_each(|weather| weather.rest(fleet))?;
        self.feeder.pause()
    }

    /// Continues after a pause. `is_new`: all topics were created again in the meantime.
    fn resume(&self, is_new: bool) {
        self.feeder.resume();
        self.weather.iter().for_each(|weather| weather.work(is_new));
    }
}

fn of_source(followed: &Followed) -> (&'static str, FollowedSource) {
    let Followed { source, steps, faults, longest, .. } = followed;
    let longest_step_seconds = rounded(*longest);
    (source.id.as_str(), FollowedSource { steps: *steps, faults: faults.clone(), longest_step_seconds })
}

/// One fault after the other, at random times.
fn strike_all(
    fleet: &mut Fleet<'_>,
    around: &mut Around<'_>,
    report: &mut Report,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<(), ChaosError> {
    let options = &fleet.installation.options;
    let mut rng = fastrand::Rng::with_seed(options.seed);
    let mut deck = Deck::new(options, &fleet.installation.config);
    let mut fed_before = around.feeder.sent();
    for round in 1..=options.rounds {
        old_state::give_back(fleet, false)?;
        let kind = deck.draw(&mut rng);
        let struck = strike::strike(fleet, around, kind, &mut rng)?;
        *report.faults.entry(struck.kind.name()).or_default() += 1;
        report.points_not_reached += u64::from(struck.is_missed);
        let lag = around.monitor.watched().lag();
        on_progress(Progress::Fault { round, kind: struck.kind.name(), detail: struck.detail, lag });
        fleet.rest(Duration::from_millis(rng.u64(300..2_000)))?;
        let fed = around.feeder.sent();
        report.fed_in_round(fed - fed_before);
        fed_before = fed;
    }
    old_state::give_back(fleet, true)
}

/// Waits until all groups have reached the ends of their sources and nothing moves any more.
fn drain(fleet: &mut Fleet<'_>, monitor: &Monitor, step: &mut dyn FnMut(&str)) -> Result<(), ChaosError> {
    let deadline = Instant::now() + DRAIN_PATIENCE;
    let mut last = BTreeMap::new();
    // Only checks that began after the feed had ended count.
    let mut quiet_since = monitor.watched().looks + 2;
    loop {
        fleet.rest(Duration::from_millis(200))?;
        let (looks, positions, lag) = {
            let watched = monitor.watched();
            (watched.looks, watched.positions.clone(), watched.lag())
        };
        if lag > 0 || positions != last {
            quiet_since = quiet_since.max(looks);
            last = positions;
        } else if looks >= quiet_since + QUIET_LOOKS {
            return Ok(());
        }
        step(&format!("draining: lag {lag}"));
        if Instant::now() > deadline {
            break;
        }
    }
    for ((stage, partition), position) in
        last.iter().filter(|(_, position)| position.committed < position.end)
    {
        let (committed, end) = (position.committed, position.end);
        let group = fleet.installation.topology.group(*stage);
        fleet
            .violations
            .add(Kind::NotDrained, format!("{group}, partition {partition}: committed {committed} of {end}"));
    }
    Ok(())
}

/// Waits until each message is sent or given up: those that were refused come again a little later.
fn drain_messages(fleet: &mut Fleet<'_>) -> Result<(), ChaosError> {
    let deadline = Instant::now() + DRAIN_PATIENCE;
    while fleet.pending_messages() != Some(0) && Instant::now() < deadline {
        fleet.rest(Duration::from_millis(200))?;
    }
    Ok(())
}

fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000.0).round() / 1_000.0
}
