//! Where a task stands, from its opening to its end.
//!
//! ```text
//! Running ──► Draining ──► Closed
//!    └───────────────────────▲
//! ```
//!
//! *Running*: records are taken. Whether its store is still being restored is the worker's affair: it starts the task's actor
//! only afterwards. *Draining*: the partition is being given up politely; nothing more is taken, and what was taken is
//! committed. *Closed*: nothing can be taken any more, and what is not committed is dropped with the task. A task never
//! comes back from a later state to an earlier one: it is opened again as another task.

/// See the module's description. `Q` is the queue from which records are taken.
pub(super) enum Life<Q> {
    /// Takes records.
    Running(Q),
    /// Takes no more, but stays until what was taken is committed.
    Draining(Q),
    /// Is over.
    Closed,
}

impl<Q> Life<Q> {
    /// The queue, unless it is closed.
    pub(super) fn queue(&self) -> Option<&Q> {
        match self {
            Self::Running(queue) | Self::Draining(queue) => Some(queue),
            Self::Closed => None,
        }
    }

    /// Whether it is being given up.
    pub(super) fn is_draining(&self) -> bool {
        matches!(self, Self::Draining(_))
    }

    /// The partition is given up.
    pub(super) fn drain(&mut self) {
        *self = match std::mem::replace(self, Self::Closed) {
            Self::Running(queue) | Self::Draining(queue) => Self::Draining(queue),
            Self::Closed => Self::Closed,
        };
    }

    /// Drops the queue.
    pub(super) fn close(&mut self) {
        *self = Self::Closed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_way_back() {
        let mut life = Life::Running(7);
        assert!(life.queue() == Some(&7) && !life.is_draining());
        life.drain();
        assert!(life.queue() == Some(&7) && life.is_draining());
        life.drain();
        assert!(life.is_draining());
        life.close();
        life.drain();
        assert!(life.queue().is_none() && !life.is_draining(), "what is closed stays closed");
    }
}
