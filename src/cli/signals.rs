//! Ctrl-C and SIGTERM.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::sync::mpsc;

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
///
/// A thread of its own waits for them: the first one is passed on, so that the work can end properly; the second one
/// ends the process at once, whatever the other threads hang in.
pub(super) struct Signals {
    first: mpsc::UnboundedReceiver<Signal>,
    /// Set when the work is ending already: then the next signal ends the process.
    is_ending: Arc<AtomicBool>,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        let (sender, first) = mpsc::unbounded_channel();
        let is_ending = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_ending);
        let (started, has_started) = std::sync::mpsc::channel();
        let listen = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let streams = runtime.and_then(|runtime| {
                let streams = {
                    let _entered = runtime.enter();
                    (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
                };
                Ok((runtime, streams))
            });
            match streams {
                Ok((runtime, (interrupt, terminate))) => {
                    let _ = started.send(Ok(()));
                    runtime.block_on(pass_on(interrupt, terminate, &sender, &seen));
                }
                Err(error) => drop(started.send(Err(error))),
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(listen)?;
        has_started.recv().map_err(std::io::Error::other)??;
        Ok(Self { first, is_ending })
    }

    /// Waits for the first one.
    pub(super) async fn next(&mut self) -> Signal {
        match self.first.recv().await {
            Some(signal) => signal,
            // The thread ends with the process only.
            None => std::future::pending().await,
        }
    }

    /// The work is ending: the next signal ends the process at once, also if it is the first one.
    pub(super) fn exit_on_next(self) {
        self.is_ending.store(true, Ordering::Release);
    }
}

/// Passes the first signal on; any other one ends the process, also one that nobody waits for.
async fn pass_on(
    mut interrupt: Stream,
    mut terminate: Stream,
    first: &mpsc::UnboundedSender<Signal>,
    is_ending: &AtomicBool,
) {
    let mut has_passed = false;
    loop {
        let signal = tokio::select! {
            _ = interrupt.recv() => Signal::Interrupt,
            _ = terminate.recv() => Signal::Terminate,
        };
        if has_passed || is_ending.load(Ordering::Acquire) || first.send(signal).is_err() {
            std::process::exit(i32::from(signal.exit_code()));
        }
        has_passed = true;
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
