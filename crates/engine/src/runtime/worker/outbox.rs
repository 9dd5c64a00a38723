//! What the tasks of a worker share: its producer, and whether a commit is under way.

use std::cell::Cell;
use std::sync::Arc;

use crate::kafka::Producer;

/// What the tasks of a worker send through.
pub(in crate::runtime) struct Outbox {
    pub(in crate::runtime) producer: Arc<Producer>,
    pub(super) is_committing: Cell<bool>,
    /// Set for a moment after a commit of awaited outputs; see `committing.rs`.
    pub(super) is_resting: Cell<bool>,
    /// Set where a task may have something to commit: looking at hundreds that have nothing costs, ten times a second.
    pub(super) has_changes: Cell<bool>,
}

impl Outbox {
    /// Nothing has been sent yet.
    pub(super) fn new(producer: Arc<Producer>) -> Self {
        Self {
            producer,
            is_committing: Cell::new(false),
            is_resting: Cell::new(false),
            has_changes: Cell::new(false),
        }
    }

    /// Has the worker look at its tasks at the next commit interval.
    pub(in crate::runtime) fn changed(&self) {
        self.has_changes.set(true);
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
