//! Work that runs only while clients need its result.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use frostline_engine::record::unix_ms;

/// The work stops after this time without a request, in milliseconds.
const UNASKED_MS: i64 = 300_000;

/// The worker, such as readers of topics; it is dropped when there was no request for a while.
pub(super) struct WhileAsked<T> {
    worker: Mutex<Option<T>>,
    asked_at_ms: AtomicI64,
}

impl<T> Default for WhileAsked<T> {
    fn default() -> Self {
        Self { worker: Mutex::default(), asked_at_ms: AtomicI64::new(0) }
    }
}

impl<T: Send + 'static> WhileAsked<T> {
    /// Registers a request: starts the work if necessary, and passes the worker to `look`.
    pub(super) fn ask<R>(&self, begin: impl FnOnce() -> T, look: impl FnOnce(&T) -> R) -> R {
        self.asked_at_ms.store(unix_ms(), Ordering::Relaxed);
        look(lock(&self.worker).get_or_insert_with(begin))
    }

    /// Stops the work if there was no request for a while. Call it regularly.
    pub(super) fn rest(&self) {
        if unix_ms() - self.asked_at_ms.load(Ordering::Relaxed) > UNASKED_MS {
            self.end();
        }
    }

    /// Stops the work.
    pub(super) fn end(&self) {
        if let Some(worker) = lock(&self.worker).take() {
            // Stopping readers takes a moment, for which nothing need wait.
            std::thread::spawn(move || drop(worker));
        }
    }
}

// A poisoned lock only means that a thread panicked; the data behind it is whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// Says when it is dropped.
    struct Worker(mpsc::Sender<()>);

    impl Drop for Worker {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }

    #[test]
    fn work_begins_once_and_ends_when_nobody_has_asked_for_a_while() {
        let (dropped, is_dropped) = mpsc::channel();
        let (work, mut begun) = (WhileAsked::default(), 0);
        for _ in 0..2 {
            let begin = || {
                begun += 1;
                Worker(dropped.clone())
            };
            work.ask(begin, |_| ());
        }
        work.rest();
        assert_eq!((begun, is_dropped.try_recv().is_err()), (1, true), "somebody has just asked");
        work.asked_at_ms.fetch_sub(UNASKED_MS + 1_000, Ordering::Relaxed);
        work.rest();
        assert!(is_dropped.recv_timeout(Duration::from_secs(10)).is_ok());
        work.ask(|| Worker(dropped.clone()), |_| ());
        work.end();
        assert!(is_dropped.recv_timeout(Duration::from_secs(10)).is_ok());
    }
}
