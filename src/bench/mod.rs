//! Measures on the user's own broker how the work scales with partitions, workers and processes.
//!
//! Real daemons (`frostline run --until-caught-up`) work through a topic that was loaded before. The cells of the
//! grid are run in turn, round by round, so that a machine that becomes slower affects all of them; the report has
//! medians. A warm-up run before the first round, which does not count, fills caches.
//!
//! | part | what it does |
//! |---|---|
//! | `grid` | the grid, and the names of each run |
//! | `input` | the source topics |
//! | `daemons` | runs processes, and measures their cost |
//! | `latency` | from producing an observation to seeing its alert |
//! | `machine` | the machine of the measurement |
//! | `report`, `chart` | medians, tables, files |

mod chart;
mod daemons;
mod grid;
mod input;
mod latency;
mod machine;
mod report;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use frostline_engine::kafka::{Admin, KafkaError};

pub use chart::chart;
pub use grid::{Cell, Job, Options};
pub use latency::Latency;
pub use report::{Report, Row};

use crate::config::{Config, TopicPlan};
use daemons::{Measured, measure_limit};
use grid::Installation;

/// How long a topic may take until all its partitions answer, and the pause between two checks.
const LEADERS_PATIENCE: Duration = Duration::from_secs(120);
const LEADERS_INTERVAL: Duration = Duration::from_millis(200);

/// Why a measurement has no result.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Kafka could not be used.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// A file or a process of the run failed.
    #[error("{0}: {1}")]
    Files(String, #[source] std::io::Error),
    /// A daemon failed, with the last line of its log.
    #[error("{0}")]
    Daemon(String),
    /// The user ended the run.
    #[error("interrupted")]
    Interrupted,
}

impl BenchError {
    fn files(what: &str) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.to_owned();
        move |error| Self::Files(what, error)
    }
}

/// The subject of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    /// The bare client on the topic with this many partitions.
    Limit(i32),
    /// frostline.
    Cell(Cell),
}

/// A measurement under way.
struct Bench<'a> {
    user: &'a Config,
    options: &'a Options,
    admin: &'a Admin,
    runtime: &'a tokio::runtime::Handle,
    stop: &'a Arc<AtomicBool>,
    tell: &'a mut dyn FnMut(&str),
    /// Names of runs are numbered.
    runs: u32,
    measured: BTreeMap<Subject, Vec<Measured>>,
    failed: Vec<(String, String)>,
}

/// Runs the measurement. Blocks for minutes; `stop` ends it early and cleans up. `tell` gets each step. `runtime`
/// serves the admin client.
///
/// # Errors
/// [`BenchError`] if nothing could be measured; a single failed run is in the report instead.
pub fn run(
    user: &Config,
    options: &Options,
    admin: &Admin,
    runtime: &tokio::runtime::Handle,
    stop: &Arc<AtomicBool>,
    tell: &mut dyn FnMut(&str),
) -> Result<Report, BenchError> {
    let (measured, failed) = (BTreeMap::new(), Vec::new());
    let mut bench = Bench { user, options, admin, runtime, stop, tell, runs: 0, measured, failed };
    let before = machine::describe();
    for partitions in &options.partitions {
        match bench.on_topic(*partitions) {
            Err(BenchError::Interrupted) => return Err(BenchError::Interrupted),
            Err(error) => bench.failed.push((format!("{partitions} partitions"), error.to_string())),
            Ok(()) => {}
        }
    }
    let latencies = bench.latencies()?;
    Ok(Report::new(options, before, &bench.measured, latencies, bench.failed))
}

impl Bench<'_> {
    /// Loads a topic, and measures all cells that read it.
    fn on_topic(&mut self, partitions: i32) -> Result<(), BenchError> {
        let input = Installation::new(self.user, self.options, self.options.input_cell(partitions), "input")?;
        (self.tell)(&format!("loading {} records into {partitions} partitions", self.options.records));
        let outcome = self.load_and_measure(&input, partitions);
        self.clean_up(&input)?;
        outcome
    }

    fn load_and_measure(&mut self, input: &Installation, partitions: i32) -> Result<(), BenchError> {
        self.create(&input.loaded_topics())?;
        let (records, bytes) = input::load(input, self.options, self.stop)?;
        let cells = self.options.cells(partitions);
        // Not counted: it fills the page cache, and warms up the broker's JIT.
        if let Some(first) = cells.first() {
            (self.tell)("warming up");
            drop(self.measure(Subject::Cell(*first), input, (records, bytes)));
        }
        let limit = self.options.limit.then_some(Subject::Limit(partitions));
        for round in 1..=self.options.rounds {
            for subject in limit.into_iter().chain(cells.iter().copied().map(Subject::Cell)) {
                self.interrupted()?;
                match self.measure(subject, input, (records, bytes)) {
                    Ok(measured) => {
                        (self.tell)(&format!("round {round}/{}  {subject}: {measured}", self.options.rounds));
                        self.measured.entry(subject).or_default().push(measured);
                    }
                    Err(BenchError::Interrupted) => return Err(BenchError::Interrupted),
                    Err(error) => {
                        (self.tell)(&format!(
                            "round {round}/{}  {subject} failed: {error}",
                            self.options.rounds
                        ));
                        self.failed.push((subject.to_string(), error.to_string()));
                    }
                }
            }
        }
        Ok(())
    }

    fn measure(
        &mut self,
        subject: Subject,
        input: &Installation,
        (records, bytes): (u64, u64),
    ) -> Result<Measured, BenchError> {
        let cell = match subject {
            Subject::Limit(partitions) => return measure_limit(input, partitions, (records, bytes)),
            Subject::Cell(cell) => cell,
        };
        self.runs += 1;
        let installation =
            Installation::reading(self.user, self.options, cell, &self.runs.to_string(), input)?;
        let outcome = self.create(&installation.own_topics()).and_then(|()| {
            let mut measured = daemons::run(&installation, self.stop)?;
            (measured.records, measured.bytes) = (records, bytes);
            Ok(measured)
        });
        self.clean_up(&installation)?;
        outcome
    }

    fn latencies(&mut self) -> Result<Vec<Latency>, BenchError> {
        let mut latencies = Vec::new();
        let Some(partitions) = self.options.partitions.first().filter(|_| self.options.latency_rate > 0)
        else {
            return Ok(latencies);
        };
        for guarantee in &self.options.guarantees {
            self.interrupted()?;
            let cell = Cell { guarantee: *guarantee, ..self.options.input_cell(*partitions) };
            (self.tell)(&format!("latency at {} records/s, {cell}", self.options.latency_rate));
            let installation = Installation::new(self.user, self.options, cell, "latency")?;
            let outcome = self
                .create(&installation.own_topics())
                .and_then(|()| latency::measure(&installation, self.options, self.stop));
            self.clean_up(&installation)?;
            match outcome {
                Ok(latency) => latencies.push(latency),
                Err(BenchError::Interrupted) => return Err(BenchError::Interrupted),
                Err(error) => self.failed.push((format!("latency, {cell}"), error.to_string())),
            }
        }
        Ok(latencies)
    }

    fn interrupted(&self) -> Result<(), BenchError> {
        if self.stop.load(Ordering::Relaxed) { Err(BenchError::Interrupted) } else { Ok(()) }
    }

    /// Creates topics, and waits until all their partitions answer: brokers show a topic long before they have
    /// created the last of a thousand logs, and early requests are slow or time out.
    fn create(&self, topics: &[TopicPlan]) -> Result<(), BenchError> {
        for plan in topics {
            self.runtime.block_on(self.admin.create(plan))?;
        }
        let deadline = Instant::now() + LEADERS_PATIENCE;
        for plan in topics {
            while let Err(error) = self.admin.ends(&plan.name) {
                self.interrupted()?;
                if Instant::now() > deadline {
                    return Err(error.into());
                }
                std::thread::sleep(LEADERS_INTERVAL);
            }
        }
        Ok(())
    }

    /// Deletes topics and groups. Names those that cannot be deleted.
    fn clean_up(&mut self, installation: &Installation) -> Result<(), BenchError> {
        let groups = installation.groups();
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        for plan in installation.own_topics() {
            if let Err(error) = self.runtime.block_on(self.admin.delete(&plan.name)) {
                (self.tell)(&format!("could not be deleted: {error}"));
            }
        }
        // The brokers need a moment to notice that the members have left.
        std::thread::sleep(Duration::from_millis(100));
        Ok(self.runtime.block_on(self.admin.delete_groups(&groups))?)
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Limit(partitions) => write!(f, "{partitions} partitions, the bare client"),
            Self::Cell(cell) => write!(f, "{cell}"),
        }
    }
}
