//! A background thread that runs until its handle is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long to wait for the thread to end. A thread that hangs must not keep the process alive.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// How often to check whether the thread has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// Stops its thread when it is dropped, and waits for that, but not for long.
pub struct Background {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts `work`, which must check the flag and return soon after it is set.
    pub fn start(work: impl FnOnce(Arc<AtomicBool>) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        Self { stop, thread: Some(std::thread::spawn(move || work(seen))) }
    }

    /// Waits until the work has ended. Returns `false` if that takes too long; then the thread is abandoned.
    fn end(&mut self, timeout: Duration) -> bool {
        self.stop.store(true, Ordering::Release);
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
