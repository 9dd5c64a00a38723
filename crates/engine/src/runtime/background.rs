//! A background thread that runs until its handle is dropped. In a simulation there is only one thread, and what works
//! in turns is a task of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long to wait for the thread to end. A thread that hangs must not keep the process alive.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// How often to check whether the thread has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// A task of the simulation takes its next turn after at most so many milliseconds, and looks that often whether it
/// must stop.
#[cfg(test)]
const TURN_MS: u64 = 60;

/// Stops its thread when it is dropped, and waits for that, but not for long.
pub struct Background {
    stop: Arc<AtomicBool>,
    has_ended: Arc<AtomicBool>,
    /// `None` if it could not be started, and for a task of the simulation.
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts `work`, which must check the flag and return soon after it is set.
    pub fn start(work: impl FnOnce(Arc<AtomicBool>) + Send + 'static) -> Self {
        let (stop, has_ended) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (seen, ended) = (Arc::clone(&stop), Arc::clone(&has_ended));
        let thread = std::thread::Builder::new().spawn(move || {
            work(seen);
            ended.store(true, Ordering::Release);
        });
        // Without a thread the work has ended; who checks that may try again.
        if thread.is_err() {
            has_ended.store(true, Ordering::Release);
        }
        let thread = thread.inspect_err(|error| tracing::error!(%error, "cannot start a thread")).ok();
        Self { stop, has_ended, thread }
    }

    /// Takes turns until it must stop, and drops them then. Each turn is short, or blocks for a limited time, and says
    /// how long to wait before the next one.
    #[cfg(not(test))]
    pub(super) fn in_turns(mut turn: impl FnMut() -> Duration + Send + 'static) -> Self {
        Self::start(move |stop| {
            while !stop.load(Ordering::Acquire) {
                let next_at = Instant::now() + turn();
                let left = || next_at.saturating_duration_since(Instant::now());
                while !left().is_zero() && !stop.load(Ordering::Acquire) {
                    // Who stops it wakes it.
                    std::thread::park_timeout(left());
                }
            }
        })
    }

    #[cfg(test)]
    pub(super) fn in_turns(mut turn: impl FnMut() -> Duration + 'static) -> Self {
        use tokio::time::{Instant, sleep};
        let (stop, has_ended) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (seen, ended) = (Arc::clone(&stop), Arc::clone(&has_ended));
        let host = crate::sim::host::present();
        tokio::task::spawn_local(async move {
            while !seen.load(Ordering::Acquire) {
                let next_at = Instant::now() + turn();
                sleep(Duration::from_millis(1 + host.draw(TURN_MS))).await;
                while Instant::now() < next_at && !seen.load(Ordering::Acquire) {
                    sleep(Duration::from_millis(TURN_MS)).await;
                }
            }
            drop(turn);
            ended.store(true, Ordering::Release);
        });
        Self { stop, has_ended, thread: None }
    }

    /// Asks it to stop, without waiting.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Whether the work goes on. Work that has panicked does not.
    pub(super) fn is_running(&self) -> bool {
        match &self.thread {
            Some(thread) => !thread.is_finished(),
            None => !self.has_ended.load(Ordering::Acquire),
        }
    }

    /// Waits until the work has ended. Returns `false` if that takes too long; then the thread is abandoned.
    pub(super) fn end(&mut self, timeout: Duration) -> bool {
        self.stop();
        let Some(thread) = self.thread.take() else { return true };
        let begun = Instant::now();
        while !thread.is_finished() {
            if begun.elapsed() > timeout {
                return false;
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        let _ = thread.join();
        true
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if !self.end(END_TIMEOUT) {
            tracing::warn!(waited = ?END_TIMEOUT, "a background thread does not end; going on without it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_hangs_is_left_behind() {
        let (release, hang) = std::sync::mpsc::channel::<()>();
        let mut hanging = Background::start(move |_| {
            let _ = hang.recv();
        });
        let begun = Instant::now();
        assert!(!hanging.end(Duration::from_millis(20)));
        assert!(begun.elapsed() < END_TIMEOUT);
        drop(release);
        let mut obedient = Background::start(|stop| {
            while !stop.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
        });
        assert!(obedient.end(END_TIMEOUT));
    }
}
