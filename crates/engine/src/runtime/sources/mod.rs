//! The sources of this process: it polls those whose partition of the positions topic the group assigns to it.

mod status;
mod task;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::status::{SourceBoard, SourcePhase, SourceSnapshot};
use self::task::{SourcePlan, SourceTask};
use super::background::Background;
use crate::kafka::{ClientSettings, KafkaError, TransactionSettings};
use crate::link::Election;
use crate::{EngineSettings, Guarantee, SourceId, Topology};

/// How often the thread checks which sources it has.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// Pause before rejoining the group after its membership has failed.
const REJOIN_DELAY: Duration = Duration::from_secs(5);
/// Pause before a process rejoins it whose clock was wrong: longer than others need to take its sources. It doubles each
/// time, up to an hour.
const CLOCK_PAUSE: Duration = Duration::from_secs(60);
const CLOCK_PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// How long sources that must stop may take to finish their transactions. One that still waits for a service is
/// abandoned: it writes nothing any more.
const END_PATIENCE: Duration = Duration::from_secs(3);

/// Running sources; they stop when this is dropped. The default has none.
#[derive(Default)]
pub(super) struct Sources {
    board: Arc<SourceBoard>,
    work: Option<Background>,
}

impl Sources {
    /// Joins the group of the sources, and polls those that this process is assigned.
    ///
    /// # Errors
    /// [`KafkaError::Settings`] if the client refuses its settings.
    pub(super) fn start(
        topology: &Topology,
        settings: &EngineSettings,
        clients: &ClientSettings,
    ) -> Result<Self, KafkaError> {
        let board = Arc::<SourceBoard>::default();
        let Some(positions) = topology.positions().filter(|_| !topology.sources().is_empty()) else {
            return Ok(Self::default());
        };
        metrics::describe_counter!("frostline_source_polls_total", "Polls of sources, by outcome");
        metrics::describe_counter!("frostline_source_records_total", "Records that sources have written");
        let plan = |source: &crate::Source| SourcePlan {
            source: source.clone(),
            positions: positions.name.clone(),
            clients: clients.clone(),
            transaction: (settings.guarantee == Guarantee::ExactlyOnce).then(|| TransactionSettings {
                transactional_id: topology.source_transactional_id(source.id),
                timeout_ms: u64::try_from(settings.transaction_timeout.as_millis()).unwrap_or(u64::MAX),
            }),
            status: board.add(source),
            refused: Arc::default(),
        };
        let mut share = Share {
            plans: topology.sources().iter().map(plan).collect(),
            clients: clients.clone(),
            group: topology.source_group(),
            topic: positions.name.clone(),
            session_timeout: settings.session_timeout,
            running: BTreeMap::new(),
            election: None,
            clock_pause: CLOCK_PAUSE,
        };
        share.join()?;
        Ok(Self { board, work: Some(Background::in_turns(move || share.turn())) })
    }

    /// Asks them to stop, without waiting.
    pub(super) fn stop(&self) {
        self.work.iter().for_each(Background::stop);
    }

    /// Whether they have not stopped yet.
    #[cfg(test)]
    pub(super) fn are_running(&self) -> bool {
        self.work.as_ref().is_some_and(Background::is_running)
    }

    pub(super) fn board(&self) -> Arc<SourceBoard> {
        Arc::clone(&self.board)
    }
}

/// The sources that this process may poll, and those that it does poll.
struct Share {
    plans: Vec<SourcePlan>,
    clients: ClientSettings,
    group: String,
    topic: String,
    session_timeout: Duration,
    /// Stopped before the membership ends, so that the next owners need not wait for open transactions.
    running: BTreeMap<SourceId, Background>,
    /// Decides which sources are ours; `None` after a failure.
    election: Option<Election>,
    /// The next pause because of a wrong clock.
    clock_pause: Duration,
}

impl Share {
    fn join(&mut self) -> Result<(), KafkaError> {
        let election = Election::join(&self.clients, &self.group, &self.topic, self.session_timeout)?;
        self.election = Some(election);
        Ok(())
    }

    /// Serves the membership, and starts and stops sources as it decides. Returns how long to wait before the next
    /// turn.
    fn turn(&mut self) -> Duration {
        if let Some(pause) = self.refused() {
            return pause;
        }
        let Some(member) = &self.election else {
            return match self.join() {
                Ok(()) => Duration::ZERO,
                Err(error) => {
                    tracing::error!(%error, "cannot join the group of the sources");
                    REJOIN_DELAY
                }
            };
        };
        if let Err(error) = member.poll(POLL_TIMEOUT) {
            tracing::error!(%error, "rejoining the group of the sources");
            self.stop_all();
            self.election = None;
            return REJOIN_DELAY;
        }
        let owned = member.owned();
        for plan in &self.plans {
            let id = plan.source.id;
            let is_ours = owned.contains(&plan.source.partition);
            match self.running.get(&id) {
                Some(source) if is_ours && source.is_running() => {}
                Some(source) if !is_ours => {
                    source.stop();
                    if !source.is_running() {
                        self.running.remove(&id);
                    }
                }
                _ if is_ours => drop(self.running.insert(id, start(plan.clone()))),
                _ => {}
            }
        }
        Duration::ZERO
    }

    /// If brokers refuse the time of this machine, other processes must get its sources: leaves the group, and returns
    /// for how long.
    fn refused(&mut self) -> Option<Duration> {
        let reason = self.plans.iter().find_map(|plan| plan.refused.get()).cloned()?;
        self.stop_all();
        self.election = None;
        let pause = self.clock_pause;
        self.clock_pause = (2 * pause).min(CLOCK_PAUSE_MAX);
        tracing::error!(
            reason,
            ?pause,
            "giving up the sources of this process, so that another one polls them"
        );
        for SourcePlan { status, refused, .. } in &mut self.plans {
            if std::mem::take(refused).get().is_some() {
                status.failed(&reason);
            }
        }
        Some(pause)
    }

    /// Stops all sources, and waits for their last turns.
    fn stop_all(&mut self) {
        self.running.values().for_each(Background::stop);
        let deadline = Instant::now() + END_PATIENCE;
        for source in self.running.values_mut() {
            source.end(deadline.saturating_duration_since(Instant::now()));
        }
        self.running.clear();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.stop_all();
    }
}

fn start(plan: SourcePlan) -> Background {
    let mut source = None;
    Background::in_turns(move || source.get_or_insert_with(|| SourceTask::new(plan.clone())).turn())
}
