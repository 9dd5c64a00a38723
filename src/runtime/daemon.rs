//! The daemon: starts every part in order, waits, and stops them in reverse.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use actix::Addr;
use tokio::sync::oneshot;

use super::caught_up;
use super::failure::Failure;
use super::inspect::Inspector;
use super::message::Leave;
use super::plan::{Common, StagePlan};
use super::rule_table::RuleTable;
use super::station_table::{StationTable, TableProgress};
use super::status::Board;
use super::supervisor::{End, Supervisor};
use super::topic_check::check_topics;
use super::topic_tail::{TailSource, TopicTail};
use super::totals::{Summary, Totals};
use crate::config::{Config, topic};
use crate::fault;
use crate::kafka::{Admin, ClientSettings, KafkaError, TopicIdentity};
use crate::noaa::RecentDays;
use crate::record::unix_ms;
use crate::rules::{Condition, RuleSet};
use crate::stages::{Delivering, Recipe, StageName, StationIndex};
use crate::state::{StateDirectory, StateError};

/// How many observations are read back for charts and maps: more than all stations report in thirty days.
const RECENT_OBSERVATIONS: i64 = 2_000_000;
/// How often the watchdog looks.
const WATCHDOG_INTERVAL: Duration = Duration::from_secs(1);

/// What `frostline run` was asked for.
#[derive(Clone)]
pub struct RunOptions {
    /// The stages, upstream first.
    pub stages: Vec<StageName>,
    /// Whether the broker can be asked for settings of topics (the embedded one cannot).
    pub describe_topics: bool,
    /// How messages are delivered; needed by the stages `notify` and `deliver`.
    pub delivering: Option<Delivering>,
    /// Filled with the last days of every station, where somebody looks at them.
    pub recent: Option<Arc<RecentDays>>,
    /// Where this process answers, as `host:port`, for the others of the installation; empty for nowhere.
    pub advertised: String,
}

impl RunOptions {
    /// Only `stages`: nobody is told, and nobody looks.
    pub fn of_stages(stages: Vec<StageName>) -> Self {
        let (delivering, recent, advertised) = (None, None, String::new());
        Self { stages, describe_topics: true, delivering, recent, advertised }
    }

    /// Whether a stage works with rules or their subscribers.
    pub fn needs_rules(&self) -> bool {
        self.stages.iter().any(|stage| matches!(stage, StageName::Alert | StageName::Deliver))
    }
}

/// Why the daemon did not start. Nothing was processed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used: see the message.
    #[error("{0}")]
    Config(String),
    /// Kafka is not there, or not as it must be.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// A part failed while it started.
    #[error(transparent)]
    Part(#[from] Failure),
}

struct Running {
    stage: StageName,
    supervisor: Addr<Supervisor>,
    ended: End,
    /// Set when `ended` has been received.
    has_ended: bool,
}

/// A running daemon.
pub struct Daemon {
    config: Config,
    settings: ClientSettings,
    stages: Vec<StageName>,
    running: Vec<Running>,
    totals: Arc<Totals>,
    board: Arc<Board>,
    /// Followed until it is dropped.
    table: Option<StationTable>,
    /// The same, where rules live in their topic.
    rule_table: Option<RuleTable>,
    stations: Arc<StationIndex>,
    cluster: String,
    instance: String,
    /// The observations that are looked at.
    recent: Option<TopicTail>,
    state: StateDirectory,
}

impl Daemon {
    /// Starts the stages on the current actix System. On return every part runs; partitions come when the
    /// group gives them.
    ///
    /// # Errors
    /// See [`StartError`]; nothing runs then.
    pub async fn start(
        config: &Config,
        rules: Arc<RuleSet>,
        options: &RunOptions,
    ) -> Result<Self, StartError> {
        refuse_sabotage(config)?;
        let filter = Condition::compile(&config.filter.expression, crate::rules::Scope::Filter)
            .map_err(|error| StartError::Config(format!("filter.where: {}", error.message)))?;
        let settings = ClientSettings::new(config)?;
        let state = StateDirectory::open(&config.runtime.state_dir)?;
        reachable(&settings).await?;
        let admin = Admin::new(&settings)?;
        let limits = check_topics(&admin, config, options).await?;
        let cluster = admin.cluster_id();
        let stations = Arc::new(StationIndex::new(config.assemble.compat));
        let table = match start_table(&admin, config, &settings, (&state, &cluster), &stations, options)? {
            Some((table, loaded)) => {
                table_loaded(loaded, config).await?;
                Some(table)
            }
            None => None,
        };
        let rule_table = follow_rules(&admin, config, &settings, &rules, options).await?;
        let common = Common {
            settings,
            // Stable over restarts, also of a process whose disk is gone, if it has a name of its own.
            configured_instance: config.runtime.group_instance_id.clone(),
            instance: match config.runtime.group_instance_id.as_str() {
                "" => state.instance()?,
                name => name.to_owned(),
            },
            tombstones_kept: limits.tombstones_kept,
            state,
            totals: Arc::new(Totals::new()),
            board: Arc::default(),
            recipe: Arc::new(Recipe {
                assemble: config.assemble_settings(),
                limits: config.limits(),
                stations: Arc::clone(&stations),
                filter: Arc::new(filter),
                rules,
                delivering: options.delivering.clone(),
            }),
            dead_letter_bytes_max: limits.dead_letter_bytes_max,
            cluster,
            advertised: options.advertised.clone(),
            describes_topics: options.describe_topics,
        };
        let mut running = Vec::new();
        for stage in &options.stages {
            let plan = StagePlan::new(*stage, config, &common);
            let (supervisor, ended) = Supervisor::start_stage(Arc::new(plan))?;
            running.push(Running { stage: *stage, supervisor, ended, has_ended: false });
        }
        let Common { settings, state, totals, board, cluster, instance, .. } = common;
        let recent = options.recent.clone().map(|recent| follow_observations(config, &settings, recent));
        Ok(Self {
            config: config.clone(),
            settings,
            stages: options.stages.clone(),
            running,
            totals,
            board,
            table,
            rule_table,
            stations,
            cluster,
            instance,
            recent,
            state,
        })
    }

    /// What the stages have done so far.
    pub fn totals(&self) -> Arc<Totals> {
        Arc::clone(&self.totals)
    }

    /// What each task is doing.
    pub fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// The station table, as far as a stage needs it.
    pub fn stations(&self) -> Arc<StationIndex> {
        Arc::clone(&self.stations)
    }

    /// The Kafka cluster's id; empty where it tells none.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// What this process is called among others.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Follows topics of this installation.
    pub fn tail_source(&self) -> TailSource {
        TailSource { settings: self.settings.clone(), config: Arc::new(self.config.clone()) }
    }

    /// Answers questions about the state of tasks.
    pub fn inspector(&self) -> Inspector {
        let supervisors = self.running.iter().map(|running| (running.stage, running.supervisor.clone()));
        Inspector {
            supervisors: supervisors.collect(),
            board: self.board(),
            config: Arc::new(self.config.clone()),
            settings: self.settings.clone(),
        }
    }

    /// Tells how many bytes the state takes on disk.
    pub fn state_bytes(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let state = self.state.clone();
        move || state.bytes()
    }

    /// Watches whether the stages have caught up, apart from the daemon itself.
    pub fn watcher(&self) -> Watcher {
        Watcher { config: self.config.clone(), settings: self.settings.clone(), stages: self.stages.clone() }
    }

    /// Returns when a stage has ended by itself, or the watchdog found one that hangs: always a failure.
    pub async fn failed(&mut self) -> Failure {
        let patience = Duration::from_millis(self.config.runtime.stall_timeout_ms);
        let mut look = tokio::time::interval(WATCHDOG_INTERVAL);
        loop {
            tokio::select! {
                failure = stage_ended(&mut self.running) => return failure,
                _ = look.tick() => {}
            }
            if let Some(stalled) = self.board.stalled(patience) {
                let (stage, partition) = (stalled.stage, stalled.partition);
                return Failure::Stalled { stage, partition, seconds: stalled.silent_for.as_secs() };
            }
        }
    }

    /// Leaves the groups in good order (commits first), stops all parts, and sums up.
    ///
    /// # Errors
    /// The first failure of a stage.
    pub async fn stop(self) -> (Summary, Result<(), Failure>) {
        for running in &self.running {
            running.supervisor.do_send(Leave);
        }
        // Patience for leaving is inside the parts; this only bounds a part that hangs.
        let patience =
            Duration::from_millis(self.config.runtime.shutdown_timeout_ms) + Duration::from_secs(5);
        let deadline = tokio::time::Instant::now() + patience;
        let mut result = Ok(());
        for running in self.running {
            // A stage that has ended before has its receiver used up.
            if running.has_ended {
                continue;
            }
            let ended = match tokio::time::timeout_at(deadline, running.ended).await {
                Ok(Ok(ended)) => ended,
                Ok(Err(_)) => Err(Failure::Panic(format!("stage {}", running.stage))),
                Err(_) => {
                    let message = format!(
                        "stage {} did not stop in time ({} is slow or away): what was not committed is done again \
                         by the next start",
                        running.stage, self.config.kafka.brokers
                    );
                    Err(KafkaError::Fatal(message).into())
                }
            };
            result = result.and(ended);
        }
        drop(self.recent);
        drop(self.rule_table);
        drop(self.table);
        let result = result.and(self.state.flush().map_err(Failure::from));
        (self.totals.summary(&sources(&self.config, &self.stages)), result)
    }
}

/// Returns when a stage has ended by itself.
async fn stage_ended(stages: &mut [Running]) -> Failure {
    std::future::poll_fn(|context| {
        for running in stages.iter_mut().filter(|running| !running.has_ended) {
            if let Poll::Ready(ended) = Pin::new(&mut running.ended).poll(context) {
                running.has_ended = true;
                return Poll::Ready(match ended {
                    Ok(Err(failure)) => failure,
                    Ok(Ok(())) | Err(_) => Failure::Panic(format!("stage {}", running.stage)),
                });
            }
        }
        Poll::Pending
    })
    .await
}

/// A protocol is broken on purpose only where nothing but a test of frostline itself can suffer.
fn refuse_sabotage(config: &Config) -> Result<(), StartError> {
    match fault::planted_sabotage() {
        Some(sabotage) if !config.kafka.namespace.starts_with(fault::NAMESPACE) => {
            Err(StartError::Config(format!(
                "{}={} breaks frostline on purpose, and is for `frostline chaos` only",
                fault::SABOTAGE_VARIABLE,
                sabotage.name()
            )))
        }
        Some(sabotage) => {
            tracing::error!(sabotage = sabotage.name(), "broken on purpose");
            Ok(())
        }
        None => Ok(()),
    }
}

/// Tells when the stages have caught up.
pub struct Watcher {
    config: Config,
    settings: ClientSettings,
    stages: Vec<StageName>,
}

impl Watcher {
    /// Returns when everything that was there at the call has been processed, downstream included.
    /// `on_progress` is told the stage that is watched, and how many records it is behind.
    pub async fn caught_up(&self, mut on_progress: impl FnMut(StageName, i64)) -> Result<(), Failure> {
        caught_up::wait(&self.config, &self.settings, &self.stages, &mut on_progress).await
    }
}

/// The stages whose input no other stage of this process writes.
fn sources(config: &Config, stages: &[StageName]) -> Vec<StageName> {
    let is_fed =
        |stage: StageName| stages.iter().any(|other| config.sink_of(*other) == config.source_of(stage));
    stages.iter().copied().filter(|stage| !is_fed(*stage)).collect()
}

async fn reachable(settings: &ClientSettings) -> Result<(), StartError> {
    let probe = settings.clone();
    let checked = tokio::task::spawn_blocking(move || probe.check_reachable()).await;
    Ok(checked.map_err(|_| Failure::Panic("the look for a broker".into()))??)
}

/// Reads the rules' topic where a stage needs it, and follows it.
async fn follow_rules(
    admin: &Admin,
    config: &Config,
    settings: &ClientSettings,
    rules: &Arc<RuleSet>,
    options: &RunOptions,
) -> Result<Option<RuleTable>, StartError> {
    if !options.needs_rules() || config.alert.rule_file().is_some() {
        return Ok(None);
    }
    let name = config.topic(topic::RULES).name;
    let partitions = admin.partitions(&name)?.unwrap_or_default();
    let (table, loaded) = RuleTable::start(settings.clone(), name, partitions, Arc::clone(rules));
    let loaded = loaded.await.map_err(|_| Failure::Panic("the rules' topic".into()))??;
    let (rules, quarantined, time) = (loaded.rules, loaded.quarantined, loaded.time);
    tracing::info!(rules, quarantined, ?time, "rules loaded");
    if rules == 0 {
        tracing::warn!("no rule is in force: publish some with `frostline rules apply rules.toml`");
    }
    Ok(Some(table))
}

/// Follows the observations for charts and maps.
fn follow_observations(config: &Config, settings: &ClientSettings, recent: Arc<RecentDays>) -> TopicTail {
    let plan = config.topic(topic::JSON);
    let tail = RECENT_OBSERVATIONS / i64::from(plan.partitions.max(1));
    TopicTail::start(settings.clone(), plan.name, tail, move |record| {
        if let Some(document) = record.value {
            recent.observe_document(document, unix_ms());
        }
    })
}

type Loaded = oneshot::Receiver<Result<TableProgress, Failure>>;

/// Starts the station table where a stage needs it.
fn start_table(
    admin: &Admin,
    config: &Config,
    settings: &ClientSettings,
    (state, cluster): (&StateDirectory, &str),
    stations: &Arc<StationIndex>,
    options: &RunOptions,
) -> Result<Option<(StationTable, Loaded)>, StartError> {
    let needs_it = |stage: &StageName| matches!(stage, StageName::Assemble | StageName::Enrich);
    if !options.stages.iter().any(needs_it) {
        return Ok(None);
    }
    let name = config.topic(topic::STATIONS).name;
    let found = if options.describe_topics {
        admin.identify(&[&name])?.pop()
    } else {
        admin.partitions(&name)?.map(TopicIdentity::of_this_process)
    };
    let found = found.ok_or_else(|| KafkaError::Topic(format!("no broker describes topic {name}")))?;
    let index = Arc::clone(stations);
    Ok(Some(StationTable::start(settings.clone(), (state, cluster), name, &found, index)?))
}

async fn table_loaded(loaded: Loaded, config: &Config) -> Result<(), StartError> {
    let progress = loaded.await.map_err(|_| Failure::Panic("the station table".into()))??;
    if progress.stations == 0 {
        let name = config.topic(topic::STATIONS).name;
        return Err(KafkaError::Topic(format!(
            "the station table {name} is empty, so every line would be a dead letter: fill it with \
             `frostline stations import ghcnd-stations.txt --countries ghcnd-countries.txt --states ghcnd-states.txt`"
        ))
        .into());
    }
    let TableProgress { stations, from_state, time } = progress;
    tracing::info!(stations, from_state, ?time, "station table loaded");
    Ok(())
}
