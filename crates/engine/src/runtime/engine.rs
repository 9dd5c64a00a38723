//! The engine: starts the stages of a topology in this process, watches them, and stops them in reverse.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use actix::Addr;
use tokio::sync::oneshot;

use super::caught_up;
use super::failure::Failure;
use super::follow::FollowClient;
use super::inspect::Inspector;
use super::message::Leave;
use super::plan::{ProcessPlan, StagePlan, WorkersPlan, instance};
use super::pool::Pool;
use super::sources::{SourceBoard, Sources};
use super::start::{RunOptions, StartError};
use super::status::Board;
use super::supervisor::{End, Supervisor};
use super::table_follower::TableFollower;
use super::threads;
use super::topic_check::check_topics;
use super::topic_limits::TopicLimits;
use super::totals::{Summary, Totals};
use crate::fault;
use crate::kafka::{Admin, ClientSettings, KafkaError, TopicIdentity};
use crate::store::StateDirectory;
use crate::table::Opening;
use crate::{EngineSettings, StageId, Topology};

/// How often the watchdog checks.
const WATCHDOG_INTERVAL: Duration = Duration::from_secs(1);

/// Pause before a question is asked again at the start.
const ASK_PAUSE: Duration = Duration::from_millis(250);
/// How long a cluster may take to replace a dead broker as leader and coordinator: its session (9 s by default), and
/// the elections.
const FAILOVER: Duration = Duration::from_secs(30);

struct Running {
    stage: StageId,
    supervisor: Addr<Supervisor>,
    ended: End,
    /// Set when `ended` has been received.
    has_ended: bool,
}

/// Running stages.
pub struct Engine {
    process: Arc<ProcessPlan>,
    topology: Arc<Topology>,
    /// In order, upstream first.
    stages: Vec<StageId>,
    running: Vec<Running>,
    /// The workers that the stages share.
    pool: Pool,
    /// Polled until they are dropped.
    sources: Sources,
    /// Followed until they are dropped.
    tables: Vec<TableFollower>,
}

/// Everything that is opened before the first stage starts.
struct Opened<'a> {
    clients: &'a ClientSettings,
    state: &'a StateDirectory,
    admin: &'a Admin,
    limits: &'a TopicLimits,
    cluster: &'a str,
}

impl Opened<'_> {
    /// Reads the tables that the stages need, all at once.
    async fn read_tables(
        &self,
        topology: &Topology,
        options: &RunOptions,
    ) -> Result<Vec<TableFollower>, StartError> {
        let (mut followers, mut waiting) = (Vec::new(), Vec::new());
        let specs: Vec<_> = topology.tables_of(&options.stages, options.polls_sources).collect();
        if specs.is_empty() {
            return Ok(followers);
        }
        let client = FollowClient::new(self.clients.clone()).sharing();
        for spec in specs {
            let topic = spec.topic.name.as_str();
            let identity = if options.describe_topics {
                answered(self.clients, || ready(self.admin.identify(&[topic]))).await?.pop()
            } else {
                let found = answered(self.clients, || ready(self.admin.partitions(topic))).await?;
                found.map(TopicIdentity::of_this_process)
            };
            let identity =
                identity.ok_or_else(|| KafkaError::Topic(format!("topic {topic} does not exist")))?;
            let mut table = (spec.table)();
            // Without an answer, a copy may have missed something.
            let ends = self.admin.ends(topic).unwrap_or_default();
            let opening = Opening {
                state: self.state,
                topic,
                identity: &identity,
                ends: &ends,
                cluster: self.cluster,
                tombstones_kept: self.limits.tombstones_kept(topic),
            };
            let starts = table.open(&opening)?;
            let (follower, loaded) = TableFollower::start(
                client.clone(),
                topic.to_owned(),
                (starts, opening.tombstones_kept),
                table,
            );
            followers.push(follower);
            waiting.push((spec.name, loaded));
        }
        for (table, loaded) in waiting {
            let time = loaded.await.map_err(|_| Failure::Panic(format!("table {table}")))??;
            tracing::info!(table, ?time, "table loaded");
        }
        Ok(followers)
    }
}

impl Engine {
    /// Starts stages of `topology` on the current actix System (see [`block_on`](super::block_on)), after the tables that they need
    /// have been read. On return every part is running; partitions follow when the group assigns them.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is running then.
    pub async fn start(
        settings: &EngineSettings,
        topology: Topology,
        options: &RunOptions,
    ) -> Result<Self, StartError> {
        refuse_sabotage(settings)?;
        if let Some(unknown) = options.stages.iter().find(|stage| topology.stage(**stage).is_none()) {
            return Err(StartError::Usage(format!("there is no stage {unknown} in the topology")));
        }
        let clients = ClientSettings::new(&settings.kafka)?;
        let state = StateDirectory::open(&settings.state_dir)?;
        reachable(&clients).await?;
        let admin = Admin::new(&clients)?;
        let limits = answered(&clients, || check_topics(&admin, &topology, options)).await?;
        if let Some(stage) = options.stages.first().filter(|_| options.describe_topics) {
            let group = topology.group(*stage);
            answered(&clients, || admin.check_group_protocol(&group)).await?;
        }
        let cluster = admin.cluster_id();
        let opened =
            Opened { clients: &clients, state: &state, admin: &admin, limits: &limits, cluster: &cluster };
        let tables = opened.read_tables(&topology, options).await?;
        let process = Arc::new(ProcessPlan {
            settings: settings.clone(),
            instance: instance(settings, &state)?,
            state,
            totals: Arc::new(Totals::new(topology.counters())),
            board: Arc::default(),
            limits,
            cluster,
            advertised: options.advertised.clone(),
            describes_topics: options.describe_topics,
            clients,
        });
        let declared = topology.stages().iter().filter(|stage| options.stages.contains(&stage.id));
        let plans: Vec<Arc<StagePlan>> =
            declared.map(|stage| Arc::new(StagePlan::new(stage, &topology, &process))).collect();
        let pool = Pool::start(WorkersPlan::shared(&process, &topology, &plans));
        let mut running = Vec::new();
        for plan in plans {
            let stage = plan.stage;
            let (supervisor, ended) = Supervisor::start_stage(plan, &pool)?;
            running.push(Running { stage, supervisor, ended, has_ended: false });
        }
        let sources = if options.polls_sources {
            Sources::start(&topology, settings, &process.clients)?
        } else {
            Sources::default()
        };
        let stages = running.iter().map(|running| running.stage).collect();
        Ok(Self { process, topology: Arc::new(topology), stages, running, pool, sources, tables })
    }

    /// The counts of the stages so far.
    pub fn totals(&self) -> Arc<Totals> {
        Arc::clone(&self.process.totals)
    }

    /// The state of each task.
    pub fn board(&self) -> Arc<Board> {
        Arc::clone(&self.process.board)
    }

    /// The state of the sources of this process.
    pub fn sources(&self) -> Arc<SourceBoard> {
        self.sources.board()
    }

    /// The topology that the stages come from.
    pub fn topology(&self) -> Arc<Topology> {
        Arc::clone(&self.topology)
    }

    /// The stages that run here, upstream first.
    pub fn stages(&self) -> &[StageId] {
        &self.stages
    }

    /// The settings of the Kafka client.
    pub fn clients(&self) -> &ClientSettings {
        &self.process.clients
    }

    /// The Kafka cluster's id; empty if it has none.
    pub fn cluster(&self) -> &str {
        &self.process.cluster
    }

    /// The name of this process among those of the installation.
    pub fn instance(&self) -> &str {
        &self.process.instance
    }

    /// Answers questions about the state of tasks.
    pub fn inspector(&self) -> Inspector {
        let supervisors = self.running.iter().map(|running| (running.stage, running.supervisor.clone()));
        Inspector {
            supervisors: supervisors.collect(),
            board: self.board(),
            topology: self.topology(),
            clients: self.process.clients.clone(),
        }
    }

    /// Reads how many bytes the state takes on disk; asks again on each call.
    pub fn state_bytes(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let state = self.process.state.clone();
        move || state.bytes()
    }

    /// Watches whether the stages have caught up, independently of the engine itself.
    pub fn watcher(&self) -> Watcher {
        Watcher {
            topology: self.topology(),
            clients: self.process.clients.clone(),
            stages: self.stages.clone(),
        }
    }

    /// Returns when a stage has ended by itself, the watchdog found one that hangs, or a table is out of date. Always a
    /// failure.
    pub async fn failed(&mut self) -> Failure {
        let patience = self.process.settings.stall_timeout;
        let mut look = tokio::time::interval(WATCHDOG_INTERVAL);
        loop {
            tokio::select! {
                failure = stage_ended(&mut self.running) => return failure,
                _ = look.tick() => {}
            }
            if let Some(outdated) = self.tables.iter().find_map(TableFollower::outdated) {
                return outdated.clone();
            }
            self.process.board.state_is_there(self.process.state.is_there());
            if let Some(stalled) = self.process.board.stalled(patience) {
                let (stage, partition) = (stalled.stage, stalled.partition);
                return Failure::Stalled { stage, partition, seconds: stalled.silent_for.as_secs() };
            }
        }
    }

    /// Leaves the groups in good order (after a commit), stops all parts, and returns the summary.
    ///
    /// # Errors
    /// The first failure of a stage.
    pub async fn stop(self) -> (Summary, Result<(), Failure>) {
        self.process.board.stops();
        for running in &self.running {
            running.supervisor.do_send(Leave);
        }
        let sources = self.sources;
        sources.stop();
        let sources = tokio::task::spawn_blocking(move || drop(sources));
        // The parts have their own time limits for leaving; this only bounds a part that hangs.
        let patience = self.process.settings.shutdown_timeout + Duration::from_secs(5);
        let deadline = tokio::time::Instant::now() + patience;
        let mut result = Ok(());
        for running in self.running {
            // The receiver of a stage that ended before is used up.
            if running.has_ended {
                continue;
            }
            let ended = match tokio::time::timeout_at(deadline, running.ended).await {
                Ok(Ok(ended)) => ended,
                Ok(Err(_)) => Err(Failure::Panic(format!("stage {}", running.stage))),
                Err(_) => {
                    let message = format!(
                        "stage {} did not stop in time ({} is slow or away): the next start repeats everything \
                         that was not committed",
                        running.stage, self.process.settings.kafka.brokers
                    );
                    Err(KafkaError::Fatal(message).into())
                }
            };
            result = result.and(ended);
        }
        // A source that hangs is abandoned after its own time limit.
        let _ = sources.await;
        // A worker that hangs has made its stage miss the deadline.
        let (stopped, stop) = oneshot::channel::<()>();
        let pool = self.pool;
        threads::beside(move || {
            pool.stop();
            drop(stopped);
        });
        let _ = tokio::time::timeout_at(deadline, stop).await;
        let result = result.and(self.process.state.flush().map_err(Failure::from));
        (self.process.totals.summary(&self.topology.first_of(&self.stages)), result)
    }
}

/// Asks until a broker answers: of a cluster that can be reached, one may have died a moment ago.
async fn answered<T, F>(clients: &ClientSettings, mut ask: impl FnMut() -> F) -> Result<T, KafkaError>
where
    F: Future<Output = Result<T, KafkaError>>,
{
    let begun = tokio::time::Instant::now();
    let patience = clients.connect_timeout().max(FAILOVER);
    loop {
        match ask().await {
            Err(KafkaError::Retry(reason)) if begun.elapsed() < patience => {
                tracing::debug!(reason, "asking again");
                tokio::time::sleep(ASK_PAUSE).await;
            }
            answer => return answer,
        }
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

/// Faults are planted only where they can harm nothing but a test of the engine itself.
fn refuse_sabotage(settings: &EngineSettings) -> Result<(), StartError> {
    if let Some(reason) = fault::refusal(&settings.kafka.namespace) {
        return Err(StartError::Usage(reason));
    }
    for sabotage in fault::planted_sabotage() {
        tracing::error!(sabotage, "broken on purpose");
    }
    Ok(())
}

/// Waits until the stages have caught up.
pub struct Watcher {
    topology: Arc<Topology>,
    clients: ClientSettings,
    stages: Vec<StageId>,
}

impl Watcher {
    /// Returns when everything that was there at the call has been processed, including downstream stages.
    /// `on_progress` gets the stage being watched and how many records it is behind.
    pub async fn caught_up(&self, mut on_progress: impl FnMut(StageId, i64)) -> Result<(), Failure> {
        caught_up::wait(&self.topology, &self.clients, &self.stages, &mut on_progress).await
    }
}

async fn reachable(clients: &ClientSettings) -> Result<(), StartError> {
    let probe = clients.clone();
    let checked = tokio::task::spawn_blocking(move || probe.check_reachable()).await;
    Ok(checked.map_err(|_| Failure::Panic("the look for a broker".into()))??)
}
