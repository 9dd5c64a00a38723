//! The stages and sources of one simulated process.

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use tokio::sync::oneshot::error::TryRecvError;

use super::failure::Failure;
use super::message::Leave;
use super::plan::{ProcessPlan, StagePlan, WorkersPlan};
use super::pool::Pool;
use super::sources::Sources;
use super::status::{Board, TaskSnapshot};
use super::supervisor::{End, Supervisor};
use super::topic_limits::TopicLimits;
use super::totals::Totals;
use crate::kafka::ClientSettings;
use crate::store::StateDirectory;
use crate::{EngineSettings, Topology};

/// Running stages and sources; dropping this does not stop them.
pub(crate) struct Stages {
    supervisors: Vec<(Addr<Supervisor>, Option<End>)>,
    sources: Sources,
    board: Arc<Board>,
    failure: Option<String>,
}

impl Stages {
    /// Starts all stages of a topology as tasks of this thread.
    pub(crate) fn start(
        topology: &Topology,
        settings: &EngineSettings,
        state: &StateDirectory,
        (totals, tombstones_kept): (&Arc<Totals>, Duration),
    ) -> Result<Self, Failure> {
        let process = Arc::new(ProcessPlan {
            settings: settings.clone(),
            clients: ClientSettings::new(&settings.kafka)?,
            instance: state.instance()?,
            state: state.clone(),
            totals: Arc::clone(totals),
            board: Arc::default(),
            limits: TopicLimits::keeping_tombstones(topology, tombstones_kept),
            cluster: "simulated".into(),
            advertised: String::new(),
            describes_topics: true,
        });
        let mut supervisors = Vec::new();
        let plans: Vec<Arc<StagePlan>> = topology
            .stages()
            .iter()
            .map(|stage| Arc::new(StagePlan::new(stage, topology, &process)))
            .collect();
        let pool = Pool::start(WorkersPlan::shared(&process, topology, &plans));
        for plan in plans {
            let (supervisor, end) = Supervisor::start_stage(plan, &pool)?;
            supervisors.push((supervisor, Some(end)));
        }
        let sources = Sources::start(topology, settings, &process.clients)?;
        Ok(Self { supervisors, sources, board: Arc::clone(&process.board), failure: None })
    }

    /// Asks all stages and sources to leave in good order.
    pub(crate) fn leave(&self) {
        self.sources.stop();
        self.supervisors.iter().for_each(|(supervisor, _)| supervisor.do_send(Leave));
    }

    /// Why a stage has ended, if one has; how many have not, the sources counted as one.
    pub(crate) fn look(&mut self) -> (Option<&str>, usize) {
        for (_, end) in &mut self.supervisors {
            let ended = match end.as_mut().map(End::try_recv) {
                None | Some(Err(TryRecvError::Empty)) => continue,
                Some(Ok(ended)) => ended,
                Some(Err(TryRecvError::Closed)) => Err(Failure::Panic("a stage".into())),
            };
            *end = None;
            if let Err(failure) = ended {
                self.failure.get_or_insert(failure.to_string());
            }
        }
        let running = self.supervisors.iter().filter(|(_, end)| end.is_some()).count();
        let running = running + usize::from(self.sources.are_running());
        (self.failure.as_deref(), running)
    }

    /// The state of its tasks.
    pub(crate) fn tasks(&self) -> Vec<TaskSnapshot> {
        self.board.snapshot()
    }

    /// Why the process says that it is not ready.
    pub(crate) fn unready(&self) -> Vec<String> {
        self.board.unready(Duration::from_secs(5))
    }
}
