//! Ctrl-C and SIGTERM.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// A signal that asks the process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Interrupt,
    Terminate,
}

impl Signal {
    /// The exit code of work that it cut short: 128 + its number.
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// Both signals; make it before the work starts.
pub(super) struct Signals {
    interrupt: Stream,
    terminate: Stream,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }

    /// From now on a signal ends the process at once: the user has asked twice.
    pub(super) fn exit_on_next(mut self) {
        actix::spawn(async move {
            let signal = self.next().await;
            std::process::exit(i32::from(signal.exit_code()));
        });
    }
}

/// Does work on a thread of its own. The first signal sets `stop` and waits for the work to end by itself; the
/// second ends the process. Returns what the work returned, and the signal.
pub(super) async fn stoppable<T: Send + 'static>(
    stop: Arc<AtomicBool>,
    work: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<(T, Option<Signal>)> {
    let mut signals = Signals::listen()?;
    let mut work = tokio::task::spawn_blocking(work);
    tokio::select! {
        done = &mut work => Ok((done?, None)),
        signal = signals.next() => {
            stop.store(true, Ordering::Relaxed);
            signals.exit_on_next();
            Ok((work.await?, Some(signal)))
        }
    }
}
