//! What the actors of the runtime say to each other. Control only: records never travel this way.

use std::sync::mpsc;
use std::time::Instant;

use actix::Message;

use super::failure::Failure;
use super::inspect::{Found, StateQuestion};
use crate::kafka::{Assigned, GroupEvent};

// From the poll thread and the daemon to the supervisor.

/// What the group decided, from the poll thread.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct GroupChanged {
    pub(super) event: GroupEvent,
    /// Dropped when a revoke has been carried out.
    pub(super) done: Option<mpsc::Sender<()>>,
}

// From a worker to the supervisor.

/// A worker has registered its producer, or has tried to: it can take partitions.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct WorkerReady;

/// A worker has closed its tasks, or could not open some.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct WorkerFailed {
    pub(super) worker: usize,
    pub(super) failure: Failure,
    /// Those that do not work; `None`: all that the worker has.
    pub(super) partitions: Option<Vec<i32>>,
}

/// The membership of the group cannot go on.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct StageFailed(pub(super) Failure);

/// Leave the group in good order: commit, give up everything, end.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Leave;

/// Look into the stores of restored tasks. From outside to the supervisor, and from there to each worker.
#[derive(Message)]
#[rtype(result = "Result<Vec<Found>, Failure>")]
pub(super) struct Inspect(pub(super) StateQuestion);

/// The poll thread has ended: no partition is left.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct PollEnded;

// To a worker, from the supervisor and from its partitions.

/// Take these partitions: restore, then run.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Open(pub(super) Vec<Assigned>);

/// Open these partitions again, from their last commit: the way back after a failure.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Reopen(pub(super) Vec<i32>);

/// Give these partitions up. Dropping `done` tells that it has happened.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Close {
    pub(super) partitions: Vec<i32>,
    /// Commit first (revoked), or forget (lost).
    pub(super) commit: bool,
    /// When that was decided.
    pub(super) since: Instant,
    pub(super) done: Option<mpsc::Sender<()>>,
}

/// A task cannot go on.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct TaskFailed {
    pub(super) partition: i32,
    pub(super) failure: Failure,
}

/// Do not wait for the interval.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct CommitSoon;
