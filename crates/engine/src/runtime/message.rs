//! The messages between the actors of the runtime. Control only: records never travel this way.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};

use actix::{Message, Recipient};
use tokio::time::Instant;

use super::failure::Failure;
use super::plan::StagePlan;
use super::question::{Found, StateQuestion};
use crate::StageId;
use crate::link::{Assigned, GroupConsumer, GroupEvent};

/// A partition of a stage's source: what a worker calls a task by.
pub(super) type Place = (StageId, i32);

// From the poll thread and the daemon to the supervisor.

/// A decision of the group, from the poll thread.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct GroupChanged {
    pub(super) event: GroupEvent,
    /// Dropped when a revoke has been carried out.
    pub(super) done: Option<mpsc::Sender<()>>,
}

// From a worker to the supervisor.

/// A worker has registered its producer, or has failed to: it can take partitions now.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct WorkerReady;

/// A worker has closed its tasks, or could not open some.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct WorkerFailed {
    pub(super) worker: usize,
    pub(super) failure: Failure,
    /// The partitions that do not work; `None` for all partitions of the worker.
    pub(super) partitions: Option<Vec<i32>>,
}

/// The membership of the group cannot continue.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct StageFailed(pub(super) Failure);

/// Leave the group in good order: commit, give up everything, end.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Leave;

/// Look into the stores of restored tasks. Sent to the supervisor, which passes it to each worker.
#[derive(Message)]
#[rtype(result = "Result<Vec<Found>, Failure>")]
pub(super) struct Inspect(pub(super) StateQuestion);

/// The poll thread has ended: no partitions are left.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct PollEnded;

// To a worker, from the supervisor and from its partitions.

/// Work for this stage from now on. Answered with [`WorkerReady`].
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Join {
    pub(super) plan: Arc<StagePlan>,
    pub(super) consumer: GroupConsumer,
    pub(super) ready: Recipient<WorkerReady>,
    pub(super) failed: Recipient<WorkerFailed>,
    pub(super) stage_failed: Recipient<StageFailed>,
    /// Set when the stage leaves its group.
    pub(super) leaving: Arc<AtomicBool>,
}

/// The stage has ended. Gives back the worker's handle of its consumer: the last one closes the group's membership,
/// which may block and must not hold up the other stages.
#[derive(Message)]
#[rtype(result = "Option<GroupConsumer>")]
pub(super) struct Part(pub(super) StageId);

/// Take these partitions of a stage: restore, then run.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Open(pub(super) StageId, pub(super) Vec<Assigned>);

/// Open these partitions of a stage again from their last commit, after a failure.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Reopen(pub(super) StageId, pub(super) Vec<i32>);

/// Give these partitions up. Dropping `done` reports that it has happened.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Close {
    pub(super) stage: StageId,
    pub(super) partitions: Vec<i32>,
    /// Commit first (revoked), or forget (lost).
    pub(super) commit: bool,
    /// When the group decided that.
    pub(super) since: Instant,
    pub(super) done: Option<mpsc::Sender<()>>,
}

/// A task cannot continue.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct TaskFailed {
    pub(super) place: Place,
    pub(super) failure: Failure,
}

/// Commit when the commit interval under way ends.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct CommitAtInterval;

/// Commit now, without waiting for the interval.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct CommitSoon;
