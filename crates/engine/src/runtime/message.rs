//! The messages between the actors of the runtime. Control only: records never travel this way.

use std::sync::mpsc;

use actix::Message;
use tokio::time::Instant;

use super::failure::Failure;
use super::question::{Found, StateQuestion};
use crate::link::{Assigned, GroupEvent};

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

/// Take these partitions: restore, then run.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Open(pub(super) Vec<Assigned>);

/// Open these partitions again from their last commit, after a failure.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Reopen(pub(super) Vec<i32>);

/// Give these partitions up. Dropping `done` reports that it has happened.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Close {
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
    pub(super) partition: i32,
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
