//! Ctrl-C, SIGTERM and SIGHUP.
//!
//! The first signal asks for an orderly end. A second Ctrl-C or SIGTERM ends the process in the signal handler
//! itself, so that it works even if something hangs: a blocked runtime, a computing thread, a server that does not
//! answer. A second SIGHUP does not: a terminal that is closed sends it twice, once through the shell and once by
//! itself, and a session manager sends it after SIGTERM.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// A signal that asks the process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Hangup,
    Interrupt,
    Terminate,
}

impl Signal {
    /// The exit code after it cut work short: 128 + its number.
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Hangup => 129,
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// All three; create it before the work starts.
pub(super) struct Signals {
    /// `None` if the process was started to outlive its terminal.
    hangup: Option<Stream>,
    interrupt: Stream,
    terminate: Stream,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        let listens_to_hangup = !is_hangup_ignored();
        end_on_second(listens_to_hangup)?;
        Ok(Self {
            hangup: listens_to_hangup.then(|| signal(SignalKind::hangup())).transpose()?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Signal {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = hangup => Signal::Hangup,
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}

/// After the first signal, the next Ctrl-C or SIGTERM ends the process at once.
fn end_on_second(listens_to_hangup: bool) -> std::io::Result<()> {
    let asked = Arc::new(AtomicBool::new(false));
    for (number, ended_by) in [(SIGINT, Signal::Interrupt), (SIGTERM, Signal::Terminate)] {
        // Handlers run in the order in which they are registered: the first signal passes this one.
        flag::register_conditional_shutdown(number, ended_by.exit_code().into(), Arc::clone(&asked))?;
        flag::register(number, Arc::clone(&asked))?;
    }
    if listens_to_hangup {
        flag::register(SIGHUP, asked)?;
    }
    // Writing beyond the limit of a file's size is an error of the write and reported as such; without a handler this
    // signal ends the process silently.
    flag::register(SIGXFSZ, Arc::default())?;
    Ok(())
}

/// Whether SIGHUP was ignored at the start, as `nohup` does; then it stays ignored.
fn is_hangup_ignored() -> bool {
    // On systems without such a file this is unknown.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_signals(&status).is_some_and(|mask| mask & (1 << (SIGHUP - 1)) != 0)
}

/// The mask of ignored signals, of `/proc/PID/status`.
fn ignored_signals(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// Runs work on its own thread. The first signal sets `stop` and waits for the work to end; the second ends the
/// process. Returns the work's result, and the signal.
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
            Ok((work.await?, Some(signal)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use rustix::process::{Pid, Signal as Number, kill_process};

    use super::*;

    /// Set in the process that hangs.
    const HANGS: &str = "FROSTLINE_TEST_HANGS";

    /// A process of this very test that listens, and then blocks its runtime for good.
    fn hanging() -> Child {
        let own = "cli::signals::tests::a_second_signal_ends_what_hangs";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", own, "--nocapture"])
            .env(HANGS, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        assert!(out.lines().map_while(Result::ok).any(|line| line.ends_with("listening")));
        child
    }

    fn hang() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let _signals = Signals::listen().unwrap();
            println!("listening");
            std::thread::sleep(Duration::from_secs(60));
        });
    }

    /// The exit code after these signals, each of which finds the process alive.
    fn ended_by(signals: &[Number]) -> Option<i32> {
        let mut child = hanging();
        let pid = Pid::from_child(&child);
        for signal in signals {
            std::thread::sleep(Duration::from_millis(100));
            assert_eq!(child.try_wait().unwrap(), None, "ended before {signal:?}");
            kill_process(pid, *signal).unwrap();
        }
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        None
    }

    #[test]
    fn a_second_signal_ends_what_hangs() {
        if std::env::var_os(HANGS).is_some() {
            return hang();
        }
        assert_eq!(ended_by(&[Number::TERM, Number::TERM]), Some(143));
        assert_eq!(ended_by(&[Number::INT, Number::INT]), Some(130));
        // A terminal that is closed sends two of them; after that one signal is enough. Not under nohup.
        if !is_hangup_ignored() {
            assert_eq!(ended_by(&[Number::HUP, Number::HUP, Number::TERM]), Some(143));
        }
    }

    #[test]
    fn what_nohup_has_arranged_is_seen() {
        assert_eq!(ignored_signals("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n"), Some(0x1001));
        assert_eq!(ignored_signals("Name:\tfrostline\n"), None);
    }
}
