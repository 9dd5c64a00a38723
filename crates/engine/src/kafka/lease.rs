//! The lease of a partition: one assignment's permission, shared by the polling thread and the worker that consumes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Shows whether an assignment has ended.
#[derive(Clone, Debug)]
pub struct Ownership(pub(crate) Arc<Lease>);

impl Ownership {
    /// Whether the partition still belongs to this process.
    pub fn is_ours(&self) -> bool {
        self.0.is_ours()
    }
}

/// One assignment of one partition.
#[derive(Debug)]
pub(crate) struct Lease {
    /// Set when the partition is lost: nothing may be taken or committed any more.
    is_ours: AtomicBool,
    /// The next offset that the worker must see; below 0 if not known yet.
    next_offset: AtomicI64,
}

impl Lease {
    pub(crate) fn new() -> Self {
        Self { is_ours: AtomicBool::new(true), next_offset: AtomicI64::new(-1) }
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.is_ours.load(Ordering::Acquire)
    }

    pub(crate) fn end(&self) {
        self.is_ours.store(false, Ordering::Release);
    }

    /// Records that the worker has seen everything before this offset, or that it starts there.
    pub(crate) fn reached(&self, next_offset: i64) {
        self.next_offset.store(next_offset, Ordering::Release);
    }

    pub(crate) fn next_offset(&self) -> Option<i64> {
        Some(self.next_offset.load(Ordering::Acquire)).filter(|offset| *offset >= 0)
    }
}
