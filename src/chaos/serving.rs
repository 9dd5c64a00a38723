//! Servers of the checker itself, on an actix System with a thread of its own.

use std::sync::mpsc;
use std::thread::JoinHandle;

use super::ChaosError;

/// Running servers; they stop when this is dropped.
pub(super) struct Serving {
    system: actix::System,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// Runs `start` on a new System, and serves until this is dropped. `what` is served, for errors.
    pub(super) fn start<T: Send + 'static>(
        what: &str,
        start: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> Result<(Self, T), ChaosError> {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runner = actix::System::new();
            let started = runner.block_on(async { Ok((actix::System::current(), start()?)) });
            let runs = started.is_ok();
            let _ = sender.send(started);
            if runs {
                // It was stopped as requested.
                let _ = runner.run();
            }
        });
        let started: std::io::Result<(actix::System, T)> =
            receiver.recv().map_err(|_| ChaosError::Broken(format!("{what} panicked")))?;
        let (system, served) = started.map_err(ChaosError::files(&format!("starting {what}")))?;
        Ok((Self { system, thread: Some(thread) }, served))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.system.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
