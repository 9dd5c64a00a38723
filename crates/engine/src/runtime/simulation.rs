//! The tables, stages and sources of one simulated process.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use tokio::sync::oneshot::error::TryRecvError;

use super::failure::Failure;
use super::follow::FollowClient;
use super::message::Leave;
use super::plan::{ProcessPlan, StagePlan, WorkersPlan, instance};
use super::pool::Pool;
use super::snapshot::TaskSnapshot;
use super::sources::Sources;
use super::status::Board;
use super::supervisor::{End, Supervisor};
use super::table_follower::{Loaded, TableFollower};
use super::topic_limits::TopicLimits;
use super::totals::Totals;
use crate::kafka::{ClientSettings, TopicIdentity};
use crate::store::StateDirectory;
use crate::table::Opening;
use crate::{EngineSettings, Topology};

const CLUSTER: &str = "simulated";

/// A running process; dropping this does not stop it.
pub(crate) struct Stages {
    inner: Rc<RefCell<Inner>>,
    board: Arc<Board>,
    tables: Vec<TableFollower>,
}

#[derive(Default)]
struct Inner {
    /// Its tables are still being read.
    is_starting: bool,
    is_leaving: bool,
    supervisors: Vec<(Addr<Supervisor>, Option<End>)>,
    sources: Sources,
    failure: Option<String>,
}

impl Stages {
    /// Reads the tables of a topology, and then starts all stages and sources, as tasks of this thread. `look_up` gives
    /// the identity of a topic and where its partitions end.
    pub(crate) fn start(
        topology: Topology,
        settings: &EngineSettings,
        state: &StateDirectory,
        (totals, tombstones_kept): (&Arc<Totals>, Duration),
        look_up: impl Fn(&str) -> (TopicIdentity, BTreeMap<i32, i64>),
    ) -> Result<Self, Failure> {
        let clients = ClientSettings::new(&settings.kafka)?;
        let (mut tables, mut waiting) = (Vec::new(), Vec::new());
        let client = FollowClient::new(clients.clone()).sharing();
        for spec in topology.tables() {
            let topic = spec.topic.name.as_str();
            let ((identity, ends), mut table) = (look_up(topic), (spec.table)());
            let (identity, ends) = (&identity, &ends);
            let opening = Opening { state, topic, identity, ends, cluster: CLUSTER, tombstones_kept };
            let starts = table.open(&opening)?;
            let (follower, loaded) =
                TableFollower::start(client.clone(), topic.to_owned(), (starts, tombstones_kept), table);
            tables.push(follower);
            waiting.push(loaded);
        }
        let process = Arc::new(ProcessPlan {
            settings: settings.clone(),
            clients,
            instance: instance(settings, state)?,
            state: state.clone(),
            totals: Arc::clone(totals),
            board: Arc::default(),
            limits: TopicLimits::keeping_tombstones(&topology, tombstones_kept),
            cluster: CLUSTER.into(),
            advertised: String::new(),
            describes_topics: true,
        });
        let inner = Rc::new(RefCell::new(Inner { is_starting: true, ..Inner::default() }));
        let (board, there) = (Arc::clone(&process.board), Rc::clone(&inner));
        tokio::task::spawn_local(async move {
            let started = start_when_loaded(waiting, &topology, &process, &there).await;
            let mut inner = there.borrow_mut();
            inner.is_starting = false;
            if let Err(failure) = started {
                inner.failure.get_or_insert(failure.to_string());
            }
        });
        Ok(Self { inner, board, tables })
    }

    /// Asks all stages and sources to leave in good order.
    pub(crate) fn leave(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.is_leaving = true;
        self.board.stops();
        inner.sources.stop();
        inner.supervisors.iter().for_each(|(supervisor, _)| supervisor.do_send(Leave));
    }

    /// Why a part has ended, if one has; how many parts have not.
    pub(crate) fn look(&self) -> (Option<String>, usize) {
        let Inner { is_starting, supervisors, sources, failure, .. } = &mut *self.inner.borrow_mut();
        for (_, end) in supervisors.iter_mut() {
            let ended = match end.as_mut().map(End::try_recv) {
                None | Some(Err(TryRecvError::Empty)) => continue,
                Some(Ok(ended)) => ended,
                Some(Err(TryRecvError::Closed)) => Err(Failure::Panic("a stage".into())),
            };
            *end = None;
            if let Err(ended) = ended {
                failure.get_or_insert(ended.to_string());
            }
        }
        if let Some(outdated) = self.tables.iter().find_map(TableFollower::outdated) {
            failure.get_or_insert(outdated.to_string());
        }
        let running = supervisors.iter().filter(|(_, end)| end.is_some()).count();
        (failure.clone(), running + usize::from(sources.are_running()) + usize::from(*is_starting))
    }

    /// Whether its tables have been read, and stages work.
    pub(crate) fn has_started(&self) -> bool {
        !self.inner.borrow().is_starting
    }

    /// The state of its tasks.
    pub(crate) fn tasks(&self) -> Vec<TaskSnapshot> {
        self.board.snapshot()
    }

    /// Why the process says that it is not ready.
    pub(crate) fn unready(&self) -> Vec<String> {
        match self.has_started() {
            true => self.board.unready(Duration::from_secs(5)),
            false => vec!["its tables are being read".to_owned()],
        }
    }
}

async fn start_when_loaded(
    tables: Vec<Loaded>,
    topology: &Topology,
    process: &Arc<ProcessPlan>,
    inner: &RefCell<Inner>,
) -> Result<(), Failure> {
    for loaded in tables {
        loaded.await.map_err(|_| Failure::Panic("a table".into()))??;
    }
    if inner.borrow().is_leaving {
        return Ok(());
    }
    let plans: Vec<Arc<StagePlan>> =
        topology.stages().iter().map(|stage| Arc::new(StagePlan::new(stage, topology, process))).collect();
    let pool = Pool::start(WorkersPlan::shared(process, topology, &plans));
    for plan in plans {
        let (supervisor, end) = Supervisor::start_stage(plan, &pool)?;
        inner.borrow_mut().supervisors.push((supervisor, Some(end)));
    }
    inner.borrow_mut().sources = Sources::start(topology, &process.settings, &process.clients)?;
    Ok(())
}
