//! The measured grid, with an installation with its own names for each run.

use std::fmt;
use std::path::PathBuf;

use frostline_engine::kafka::ClientSettings;
use frostline_engine::{StageId, Topology};
use serde::Serialize;
use tempfile::TempDir;

use super::BenchError;
use crate::app;
use crate::config::{
    AlertConfig, Config, FilterConfig, Guarantee, NotifyConfig, OffsetReset, Secret, TopicConfig, TopicPlan,
    topic,
};
use crate::noaa::Date;
use crate::stages;
use crate::stages::Validate;
use crate::synthetic::{Format, Places, Settings, stations};

/// Enough for partitions of about the same size: with forty, one of two workers has up to a quarter more to do.
const STATIONS_MAX: u64 = 2_000;
/// Rules of all stations together, because each station keeps its own list.
const RULES_MAX: u64 = 4_000_000;

/// The work that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Job {
    /// One stage: `noaa-json` straight into alerts, of stations of Arizona.
    Alert,
    /// One stage: keeps the observations of Arizona.
    Filter,
    /// One stage with state: lines into observations.
    Assemble,
    /// The whole path: lines into observations, filtered, into alerts.
    Path,
}

impl Job {
    /// The stages that run.
    pub fn stages(self) -> &'static [StageId] {
        match self {
            Self::Alert => &[stages::ALERT],
            Self::Filter => &[stages::FILTER],
            Self::Assemble => &[stages::ASSEMBLE],
            Self::Path => &[stages::ASSEMBLE, stages::FILTER, stages::ALERT],
        }
    }

    fn reads_lines(self) -> bool {
        matches!(self, Self::Assemble | Self::Path)
    }

    /// The logical name of the source topic.
    pub(super) fn source(self) -> &'static str {
        if self.reads_lines() { topic::CSV_RAW } else { topic::JSON }
    }
}

/// The options.
#[derive(Clone, Debug)]
pub struct Options {
    /// The work.
    pub job: Job,
    /// Records to load, at least.
    pub records: u64,
    /// Numbers of partitions.
    pub partitions: Vec<i32>,
    /// Numbers of worker threads per stage and process.
    pub workers: Vec<usize>,
    /// Numbers of processes that share the work.
    pub processes: Vec<usize>,
    /// Guarantees.
    pub guarantees: Vec<Guarantee>,
    /// Which records are read completely.
    pub validate: Validate,
    /// Conditions evaluated for each observation, if alerts are measured; 1 is the talk's rule, for the stations of
    /// Arizona.
    pub conditions: u32,
    /// How many times each cell is run, not counting the warm-up.
    pub rounds: u32,
    /// Whether the bare client is measured too.
    pub limit: bool,
    /// Records a second while measuring latency; 0 to skip that.
    pub latency_rate: u32,
    /// How long latency is measured, in seconds.
    pub latency_seconds: u32,
    /// Part of all names.
    pub seed: u64,
}

/// One point of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Cell {
    /// Partitions of the source topic.
    pub partitions: i32,
    /// Threads per stage and process.
    pub workers: usize,
    /// Processes that share the work.
    pub processes: usize,
    /// The processing guarantee.
    pub guarantee: Guarantee,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partitions, workers, processes, guarantee } = self;
        write!(f, "{partitions} partitions, {workers} workers, {processes} processes, {guarantee}")
    }
}

impl Options {
    /// The cells that read a topic with this many partitions.
    pub(super) fn cells(&self, partitions: i32) -> Vec<Cell> {
        let mut cells = Vec::new();
        for &processes in &self.processes {
            for &workers in &self.workers {
                for &guarantee in &self.guarantees {
                    cells.push(Cell { partitions, workers, processes, guarantee });
                }
            }
        }
        cells
    }

    /// Represents all cells that read a topic.
    pub(super) fn input_cell(&self, partitions: i32) -> Cell {
        Cell { partitions, workers: 0, processes: 1, guarantee: Guarantee::AtLeastOnce }
    }

    /// The generator's settings: enough days for the requested records.
    pub(super) fn generated(&self) -> Settings {
        let stations = (RULES_MAX / u64::from(self.conditions.max(1))).clamp(1, STATIONS_MAX);
        let format = if self.job.reads_lines() { Format::Ghcn } else { Format::Json };
        // About one day of a station in ten has no report; a line holds one of four or five readings.
        let days = u32::try_from(self.records / stations * 5 / 4 + 2).unwrap_or(u32::MAX);
        // Long ago, so that even millions of days are never in the future, which would make dead letters.
        let start = Date::new(1000, 1, 1).expect("a day that exists");
        Settings { seed: self.seed, places: Places::Invented(stations), start, days, format, oddities: false }
    }
}

/// The names, files and settings of one run.
pub(super) struct Installation {
    pub(super) config: Config,
    /// Its stages and their topics.
    topology: Topology,
    pub(super) settings: ClientSettings,
    pub(super) cell: Cell,
    pub(super) job: Job,
    pub(super) config_file: PathBuf,
    /// Whether it reads a topic of another installation.
    is_reader: bool,
    pub(super) dir: TempDir,
}

impl Installation {
    pub(super) fn new(user: &Config, options: &Options, cell: Cell, name: &str) -> Result<Self, BenchError> {
        Self::make(user, options, cell, name, None)
    }

    /// An installation that reads the topics of `input`.
    pub(super) fn reading(
        user: &Config,
        options: &Options,
        cell: Cell,
        name: &str,
        input: &Self,
    ) -> Result<Self, BenchError> {
        Self::make(user, options, cell, name, Some(input))
    }

    fn make(
        user: &Config,
        options: &Options,
        cell: Cell,
        name: &str,
        input: Option<&Self>,
    ) -> Result<Self, BenchError> {
        let dir = tempfile::Builder::new().prefix("frostline-bench-").tempdir();
        let dir = dir.map_err(BenchError::files("creating a temporary directory"))?;
        let rules = dir.path().join("rules.toml");
        let mut config = configure(user, options, cell, name, rules.clone());
        for shared in [topic::STATIONS, options.job.source()] {
            if let Some(input) = input {
                let name = Some(input.config.topic(shared).name);
                let plan = TopicConfig { name, partitions: Some(cell.partitions), ..TopicConfig::default() };
                config.topics.insert(shared.into(), plan);
            }
        }
        let config_file = dir.path().join("frostline.toml");
        let text = toml::to_string_pretty(&config).map_err(|error| BenchError::Daemon(error.to_string()))?;
        for (path, text) in [(&rules, rules_text(options)), (&config_file, text)] {
            std::fs::write(path, text).map_err(BenchError::files("writing the run's files"))?;
        }
        let settings = ClientSettings::new(&config.kafka)?;
        let topology = app::outline(&config).map_err(|error| BenchError::Daemon(error.to_string()))?;
        let (job, is_reader) = (options.job, input.is_some());
        Ok(Self { config, topology, settings, cell, job, config_file, is_reader, dir })
    }

    pub(super) fn source(&self) -> String {
        self.config.topic(self.job.source()).name
    }

    /// The loaded topics, shared by all runs that read them.
    pub(super) fn loaded_topics(&self) -> Vec<TopicPlan> {
        [topic::STATIONS, self.job.source()].map(|name| self.config.topic(name)).into()
    }

    /// The topics that it creates and deletes.
    pub(super) fn own_topics(&self) -> Vec<TopicPlan> {
        let shared = self.loaded_topics();
        let mut topics = if self.is_reader { Vec::new() } else { shared.clone() };
        topics.push(self.config.topic(topic::DEAD_LETTERS));
        for stage in self.job.stages().iter().filter_map(|stage| self.topology.stage(*stage)) {
            topics.extend([stage.source.clone(), stage.sink.clone()]);
            topics.extend(stage.changelog.clone());
        }
        topics.retain(|topic| !self.is_reader || !shared.contains(topic));
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        topics.dedup();
        topics
    }

    pub(super) fn groups(&self) -> Vec<String> {
        self.job.stages().iter().map(|stage| self.topology.group(*stage)).collect()
    }
}

fn configure(user: &Config, options: &Options, cell: Cell, name: &str, rules: PathBuf) -> Config {
    let mut config = user.clone();
    config.kafka.namespace = format!("bench-{:x}-{name}-{}-", options.seed, cell.partitions);
    // The daemons' file needs no secrets, because no messages are sent.
    config.admin.token = Secret::default();
    config.notify = NotifyConfig::default();
    // The user's own topic names must not be used; replication settings are kept.
    config.topics.clear();
    for logical in topic::ALL {
        let replication = user.topics.get(logical).and_then(|topic| topic.replication);
        let partitions = if logical == topic::STATIONS { 1 } else { cell.partitions };
        config.topics.insert(
            logical.into(),
            TopicConfig { partitions: Some(partitions), replication, ..TopicConfig::default() },
        );
    }
    config.runtime.guarantee = cell.guarantee;
    config.runtime.workers = cell.workers;
    config.runtime.validate = options.validate;
    config.runtime.auto_offset_reset = OffsetReset::Earliest;
    // Several processes cannot have the same name.
    config.runtime.group_instance_id.clear();
    config.filter = FilterConfig::default();
    let source = if options.job == Job::Path { topic::JSON_US_AZ } else { topic::JSON };
    config.alert = AlertConfig { source: source.into(), rules };
    // Several daemons may run at the same time.
    config.admin.listen.clear();
    config
}

/// The talk's rule for the stations of Arizona; or this many conditions, which all stations share and none of which
/// holds.
fn rules_text(options: &Options) -> String {
    if options.conditions > 1 {
        let heavy = |condition| {
            let when = format!("TMIN < {:.1} && TMAX - TMIN > 5.0", -100.0 - f64::from(condition));
            rule_text(&format!("c{condition}"), "where = \"station.id != ''\"", &when)
        };
        return (0..options.conditions).map(heavy).collect();
    }
    let when = "TMIN <= 10.0 && station.country_code == 'US' && station.state_code == 'AZ'";
    stations(&options.generated())
        .filter(|station| station.state_code.as_deref() == Some("AZ"))
        .map(|station| rule_text(station.id.as_str(), &format!("station = \"{}\"", station.id), when))
        .collect()
}

fn rule_text(id: &str, which: &str, when: &str) -> String {
    format!("[[rule]]\nid = \"{id}\"\n{which}\nwhen = \"{when}\"\nemail = \"grower@example.org\"\n")
}
