//! The sources of this process: it polls those whose partition of the positions topic the group assigns to it.

mod status;
mod task;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use self::status::{SourceBoard, SourcePhase, SourceSnapshot};
use self::task::{SourcePlan, SourceTask};
use super::background::Background;
use crate::kafka::{ClientSettings, Election, KafkaError, TransactionSettings};
use crate::{EngineSettings, Guarantee, SourceId, Topology};

/// How often the thread checks which sources it has.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// Pause before rejoining the group after its membership has failed.
const REJOIN_DELAY: Duration = Duration::from_secs(5);

/// Running sources; they stop when this is dropped. The default has none.
#[derive(Default)]
pub(super) struct Sources {
    board: Arc<SourceBoard>,
    _thread: Option<Background>,
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
        };
        let plans = topology.sources().iter().map(plan).collect();
        let share = Share {
            plans,
            clients: clients.clone(),
            group: topology.source_group(),
            topic: positions.name.clone(),
            session_timeout: settings.session_timeout,
        };
        let election = share.join()?;
        let thread = Background::start(move |stop| share.serve(election, &stop));
        Ok(Self { board, _thread: Some(thread) })
    }

    pub(super) fn board(&self) -> Arc<SourceBoard> {
        Arc::clone(&self.board)
    }
}

/// The sources that this process may poll, and the membership that decides which it does poll.
struct Share {
    plans: Vec<SourcePlan>,
    clients: ClientSettings,
    group: String,
    topic: String,
    session_timeout: Duration,
}

impl Share {
    fn join(&self) -> Result<Election, KafkaError> {
        Election::join(&self.clients, &self.group, &self.topic, self.session_timeout)
    }

    fn serve(&self, election: Election, stop: &AtomicBool) {
        let mut running = BTreeMap::<SourceId, SourceTask>::new();
        let mut election = Some(election);
        while !stop.load(Ordering::Acquire) {
            let Some(member) = &election else {
                std::thread::sleep(REJOIN_DELAY);
                election = self
                    .join()
                    .inspect_err(|error| tracing::error!(%error, "cannot join the group of the sources"))
                    .ok();
                continue;
            };
            if let Err(error) = member.poll(POLL_TIMEOUT) {
                tracing::error!(%error, "rejoining the group of the sources");
                running.clear();
                election = None;
                continue;
            }
            let owned = member.owned();
            for plan in &self.plans {
                let id = plan.source.id;
                let is_ours = owned.contains(&plan.source.partition);
                match running.get(&id) {
                    Some(task) if is_ours && task.is_running() => {}
                    Some(task) if !is_ours => {
                        task.stop();
                        if !task.is_running() {
                            running.remove(&id);
                        }
                    }
                    _ if is_ours => drop(running.insert(id, SourceTask::start(plan.clone()))),
                    _ => {}
                }
            }
        }
        running.values().for_each(SourceTask::stop);
        // These stop first, so that their successors need not wait for open transactions.
        running.clear();
    }
}
