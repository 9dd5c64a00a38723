//! The phases of a task, from its opening to its end.
//!
//! ```text
//! Running ──► Draining ──► Closed
//!    └───────────────────────▲
//! ```
//!
//! *Running*: records are taken. Whether the store is still being restored is the worker's concern: it starts the
//! task's actor only afterwards. *Draining*: the partition is being revoked; no more records are taken, and the ones
//! taken so far are committed. *Closed*: no records can be taken any more, and uncommitted work is dropped with the
//! task. A task never returns to an earlier phase: it is opened again as another task.

/// The phase of a task; see the module's description. `Q` is the queue from which records are taken.
pub(super) enum Life<Q> {
    /// Takes records.
    Running(Q),
    /// Takes no more records, but stays until those taken are committed.
    Draining(Q),
    /// The task is over.
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

    /// Whether the partition is being given up.
    pub(super) fn is_draining(&self) -> bool {
        matches!(self, Self::Draining(_))
    }

    /// Starts to give the partition up.
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
