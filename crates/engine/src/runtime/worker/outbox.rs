//! Shared by the tasks of a worker: its producer, and whether a commit is under way.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::link::Producer;

/// How long a backlog counts after it was seen: longer than the turns of all tasks of a worker usually take.
const BACKLOG_MEMORY: Duration = Duration::from_millis(100);

/// The tasks of a worker send through this.
pub(in crate::runtime) struct Outbox {
    pub(in crate::runtime) producer: Arc<Producer>,
    pub(super) is_committing: Cell<bool>,
    /// Set for a moment after a commit of awaited outputs; see `committing.rs`.
    pub(super) is_resting: Cell<bool>,
    /// Set if a task may have something to commit: checking hundreds of unchanged tasks ten times a second is
    /// expensive.
    pub(super) has_changes: Cell<bool>,
    /// When a task last had many records left to read.
    backlog_at: Cell<Option<Instant>>,
    /// Set while a commit is planned for the end of the interval; an idle worker sets no timer.
    pub(super) is_planned: Cell<bool>,
}

impl Outbox {
    /// With no record sent yet.
    pub(super) fn new(producer: Arc<Producer>) -> Self {
        Self {
            producer,
            is_committing: Cell::new(false),
            is_resting: Cell::new(false),
            has_changes: Cell::new(false),
            backlog_at: Cell::new(None),
            is_planned: Cell::new(false),
        }
    }

    /// Notes that a task may have something to commit. Returns whether the worker must be asked for a commit: once in
    /// each interval.
    pub(in crate::runtime) fn changed(&self) -> bool {
        self.has_changes.set(true);
        !self.is_planned.replace(true)
    }

    /// Notes that a task has many records left to read.
    pub(in crate::runtime) fn saw_backlog(&self, at: Instant) {
        self.backlog_at.set(Some(at));
    }

    /// Whether a task has had many records left to read a moment ago. Commits between two intervals would then cut its
    /// work into small transactions, so awaited outputs wait for the interval.
    pub(in crate::runtime) fn has_backlog(&self) -> bool {
        self.backlog_at.get().is_some_and(|at| at.elapsed() < BACKLOG_MEMORY)
    }

    /// Whether a commit is under way.
    pub(in crate::runtime) fn is_committing(&self) -> bool {
        self.is_committing.get()
    }

    /// Whether outputs must wait: while a commit is under way they would land in its transaction.
    pub(in crate::runtime) fn is_held(&self) -> bool {
        (self.is_committing() || self.is_resting.get()) && self.producer.is_transactional()
    }
}
