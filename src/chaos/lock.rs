//! Locks of what threads share. Each change is whole before a lock is released, so a poisoned one only means that a
//! thread panicked.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after another thread has panicked.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
