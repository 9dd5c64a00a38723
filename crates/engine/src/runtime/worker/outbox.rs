//! Shared by the tasks of a worker: its producer, and whether a commit is under way.

use std::cell::Cell;
use std::sync::Arc;

use crate::link::Producer;

/// The tasks of a worker send through this.
pub(in crate::runtime) struct Outbox {
    pub(in crate::runtime) producer: Arc<Producer>,
    pub(super) is_committing: Cell<bool>,
    /// Set for a moment after a commit of awaited outputs; see `committing.rs`.
    pub(super) is_resting: Cell<bool>,
    /// Set if a task may have something to commit: checking hundreds of unchanged tasks ten times a second is
    /// expensive.
    pub(super) has_changes: Cell<bool>,
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
            is_planned: Cell::new(false),
        }
    }

    /// Notes that a task may have something to commit. Returns whether the worker must be asked for a commit: once in
    /// each interval.
    pub(in crate::runtime) fn changed(&self) -> bool {
        self.has_changes.set(true);
        !self.is_planned.replace(true)
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
