//! Runs processes, and measures their cost: time from their own summaries, the rest from `/proc`.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use frostline_engine::kafka::BareClient;
use frostline_engine::runtime::Timing;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use super::BenchError;
use super::grid::Installation;

/// How often a process is measured.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// A run that takes longer has failed.
const RUN_PATIENCE: Duration = Duration::from_secs(900);
/// `/proc` counts CPU time in hundredths of a second on every common Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// The cost of one run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// From the first record to the last commit.
    pub(super) seconds: f64,
    /// Of all processes, from start to end.
    pub(super) cpu_seconds: f64,
    /// Largest resident memory of each process, added up.
    pub(super) memory_bytes: u64,
    /// Most threads of one process.
    pub(super) threads: u64,
    pub(super) commit_p50_ms: f64,
    pub(super) commit_p99_ms: f64,
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (rate, cpu) = (self.records as f64 / self.seconds, self.records as f64 / self.cpu_seconds);
        write!(f, "{rate:.0} records/s, {cpu:.0} records/CPU-s")
    }
}

/// The last line of `frostline run --json`.
#[derive(Deserialize)]
struct Summary {
    #[serde(flatten)]
    timing: Timing,
}

/// A frostline process, which is killed when this is dropped.
pub(super) struct Daemon {
    child: Child,
    log: PathBuf,
    cpu_seconds: f64,
    memory_bytes: u64,
    threads: u64,
}

impl Daemon {
    /// Starts the process of this number.
    pub(super) fn start(
        installation: &Installation,
        number: usize,
        until_caught_up: bool,
    ) -> Result<Self, BenchError> {
        let failed = || BenchError::files("starting a process");
        let log = installation.dir.path().join(format!("process-{number}.log"));
        let mut command = Command::new(std::env::current_exe().map_err(failed())?);
        // The file has all settings, including the user's variables.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("FROSTLINE_") {
                command.env_remove(&*name);
            }
        }
        let stages: Vec<&str> = installation.job.stages().iter().map(|stage| stage.as_str()).collect();
        command.args([
            "run",
            "--json",
            "--log",
            "info",
            "--log-format",
            "text",
            "--stages",
            &stages.join(","),
            "--config",
        ]);
        command.arg(&installation.config_file).arg("--state-dir");
        command.arg(installation.dir.path().join(format!("state-{number}")));
        if until_caught_up {
            command.arg("--until-caught-up");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log).map_err(failed())?);
        // Ctrl-C at the terminal is only for this process.
        command.process_group(0);
        let child = command.spawn().map_err(failed())?;
        Ok(Self { child, log, cpu_seconds: 0.0, memory_bytes: 0, threads: 0 })
    }

    /// Measures the process. `false` once it has ended; then its CPU time is complete.
    fn look(&mut self) -> bool {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id()));
        let stat = read("stat").unwrap_or_default();
        self.cpu_seconds = cpu_seconds(&stat);
        let status = read("status").unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        self.memory_bytes = self.memory_bytes.max(number("VmHWM:").unwrap_or(0) * 1024);
        self.threads = self.threads.max(number("Threads:").unwrap_or(0));
        // It stays a zombie until it is waited for.
        stat_fields(&stat).next().is_some_and(|state| state != "Z")
    }

    /// Its summary.
    fn timing(&mut self) -> Result<Timing, BenchError> {
        let mut text = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_string(&mut text).map_err(BenchError::files("reading a summary"))?;
        }
        let status = self.child.wait().map_err(BenchError::files("waiting for a process"))?;
        let summary = text.lines().last().and_then(|line| serde_json::from_str::<Summary>(line).ok());
        match summary.filter(|_| status.success()) {
            Some(summary) => Ok(summary.timing),
            None => Err(BenchError::Daemon(format!("a daemon ended with {status}: {}", self.last_words()))),
        }
    }

    /// Asks it to end in good order.
    pub(super) fn terminate(&self) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            // It is not reaped before it is dropped here, so the process id is still its own.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// The last line of its log.
    pub(super) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().last().unwrap_or("its log is empty").to_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the processes of a cell until they have caught up.
pub(super) fn run(installation: &Installation, stop: &AtomicBool) -> Result<Measured, BenchError> {
    let start = |number| Daemon::start(installation, number, true);
    let mut daemons = (0..installation.cell.processes).map(start).collect::<Result<Vec<_>, _>>()?;
    let deadline = Instant::now() + RUN_PATIENCE;
    // All of them are measured each time.
    while daemons.iter_mut().map(Daemon::look).fold(false, |any, runs| any | runs) {
        if stop.load(Ordering::Relaxed) {
            return Err(BenchError::Interrupted);
        }
        if Instant::now() > deadline {
            let seconds = RUN_PATIENCE.as_secs();
            return Err(BenchError::Daemon(format!("not caught up after {seconds} s")));
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    let timings = daemons.iter_mut().map(Daemon::timing).collect::<Result<Vec<_>, _>>()?;
    let first = timings.iter().filter_map(|timing| timing.first_record_at_ms).min();
    let last = timings.iter().filter_map(|timing| timing.last_commit_at_ms).max();
    let Some((first, last)) = first.zip(last) else {
        return Err(BenchError::Daemon("no record was read".into()));
    };
    let slowest = |of: fn(&Timing) -> f64| timings.iter().map(of).fold(0.0, f64::max);
    Ok(Measured {
        seconds: (last - first).max(1) as f64 / 1_000.0,
        cpu_seconds: daemons.iter().map(|daemon| daemon.cpu_seconds).sum(),
        memory_bytes: daemons.iter().map(|daemon| daemon.memory_bytes).sum(),
        threads: daemons.iter().map(|daemon| daemon.threads).max().unwrap_or(0),
        commit_p50_ms: slowest(|timing| timing.commit_p50_ms),
        commit_p99_ms: slowest(|timing| timing.commit_p99_ms),
        ..Measured::default()
    })
}

/// Runs the bare client on the topic, in this process, which does nothing else at the same time.
pub(super) fn measure_limit(
    input: &Installation,
    partitions: i32,
    (records, bytes): (u64, u64),
) -> Result<Measured, BenchError> {
    let before = own_cpu_seconds();
    let client = BareClient::new(&input.settings, &input.source(), partitions)?;
    let seconds = client.count(records)?.as_secs_f64();
    let cpu_seconds = own_cpu_seconds() - before;
    Ok(Measured { records, bytes, seconds, cpu_seconds, ..Measured::default() })
}

fn own_cpu_seconds() -> f64 {
    cpu_seconds(&std::fs::read_to_string("/proc/self/stat").unwrap_or_default())
}

/// CPU time in user and system mode: the 14th and 15th field.
fn cpu_seconds(stat: &str) -> f64 {
    let ticks = stat_fields(stat).skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_PER_SECOND
}

/// The fields of `/proc/PID/stat` from the third, the state, on; the second, the name, may contain blanks.
fn stat_fields(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace()
}
