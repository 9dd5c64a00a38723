//! One `frostline run` process: started, signalled, watched, and always stopped.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use frostline_engine::fault::{POLLER_VARIABLE, SABOTAGE_VARIABLE};
use rustix::process::{Pid, Signal, kill_process};

use super::network::Lane;
use super::state_copy::StateCopy;
use super::{ChaosError, Installation, http};

/// The daemon's log message when all its parts run. Before that a SIGTERM cuts its start short (143).
const RUNNING_MARK: &str = "cli::run: running";
/// Lines of a log that are quoted when a process dies.
const QUOTED_LINES: usize = 6;

/// SIGABRT: how a process dies at a planted point.
pub(super) const ABORT_SIGNAL: i32 = 6;

/// A variable of [`frostline_engine::fault`] and its value, for one life of a process.
pub(super) type Planted<'a> = (&'a str, &'a str);

/// This program itself. The run's file has all settings, including the user's variables.
pub(super) fn program() -> Result<Command, ChaosError> {
    let program = std::env::current_exe().map_err(ChaosError::files("looking for this program"))?;
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("FROSTLINE_") && name != "FROSTLINE_LOG" {
            command.env_remove(&*name);
        }
    }
    // Ctrl-C at the terminal is only for chaos.
    command.process_group(0);
    Ok(command)
}

/// Plants bugs, if there are any.
pub(super) fn plant_sabotage(command: &mut Command, installation: &Installation) {
    let broken = installation.options.broken();
    if !broken.is_empty() {
        command.env(SABOTAGE_VARIABLE, broken);
    }
}

/// One process, over all its lives. The state directory and the log stay the same.
pub(super) struct Process {
    pub(super) number: usize,
    pub(super) state_dir: PathBuf,
    /// The address of its readiness, on the loopback interface.
    pub(super) port: u16,
    /// Its way to the brokers, if there is a proxy.
    pub(super) lane: Option<Lane>,
    /// A copy of its state directory, to be put back, but not before `fails_until`.
    pub(super) old_state: Option<StateCopy>,
    /// Until when its commits fail.
    pub(super) fails_until: Instant,
    log: PathBuf,
    child: Option<Child>,
    /// How it ended, until something has asked.
    status: Option<ExitStatus>,
    /// Whether it is expected to end by itself, as planted.
    pub(super) is_planted: bool,
    /// The start of the present life in the log.
    log_start: u64,
    /// Set while it is stopped.
    pub(super) paused_until: Option<Instant>,
    /// Whether it should run. A removed process may join again with the state it had on disk.
    pub(super) is_member: bool,
    /// Whether bytes of its state were flipped since the state was last deleted.
    pub(super) is_damaged: bool,
    /// The earliest next start, so that a process that dies at once does not spin.
    pub(super) start_after: Instant,
}

impl Process {
    pub(super) fn new(number: usize, port: u16, dir: &Path) -> Self {
        Self {
            number,
            port,
            lane: None,
            old_state: None,
            fails_until: Instant::now(),
            state_dir: dir.join(format!("state-{number}")),
            log: dir.join(format!("process-{number}.log")),
            child: None,
            status: None,
            is_planted: false,
            log_start: 0,
            paused_until: None,
            is_member: true,
            is_damaged: false,
            start_after: Instant::now(),
        }
    }

    /// Starts it, perhaps with a fault planted in it.
    pub(super) fn start(
        &mut self,
        installation: &Installation,
        planted: Option<Planted<'_>>,
    ) -> Result<(), ChaosError> {
        let failed = |error| ChaosError::Files("starting a process".into(), error);
        let mut log = OpenOptions::new().create(true).append(true).open(&self.log).map_err(failed)?;
        self.log_start = log.seek(SeekFrom::End(0)).map_err(failed)?;
        let mut command = program()?;
        if let Some((variable, value)) = planted {
            command.env(variable, value);
        }
        plant_sabotage(&mut command, installation);
        if installation.services.is_some() {
            command.env(POLLER_VARIABLE, installation.poller_fault());
        }
        command.args(["run", "--log-format", "text", "--config"]).arg(&installation.config_file);
        command.arg("--state-dir").arg(&self.state_dir);
        command.arg("--set").arg(format!("admin.listen=127.0.0.1:{}", self.port));
        if let Some(lane) = &self.lane {
            command.arg("--brokers").arg(&lane.brokers);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().map_err(failed)?);
        self.status = None;
        self.is_planted = false;
        self.paused_until = None;
        Ok(())
    }

    /// How many messages to people it has neither sent nor given up; `None` if it does not say.
    pub(super) fn pending_messages(&self) -> Option<u64> {
        let (status, metrics) = http::get(self.port, "/metrics")?;
        (status == 200).then(|| pending_messages(&metrics))
    }

    /// Whether it runs or sleeps.
    pub(super) fn is_alive(&mut self) -> bool {
        if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
            self.child = None;
            self.paused_until = None;
            self.status = Some(status);
        }
        self.child.is_some()
    }

    /// How it ended, if it has; returned once.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.is_alive();
        self.status.take()
    }

    /// Sends a signal. A process that has just ended is not an error.
    pub(super) fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().and_then(|child| Pid::from_raw(child.id().cast_signed()));
        if let Some(pid) = pid {
            // The child is not reaped before it is dropped here, so the process id is still its own.
            let _ = kill_process(pid, signal);
        }
    }

    /// Kills it, and waits for the end.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.status = None;
        self.paused_until = None;
    }

    /// Whether all parts of the daemon run, according to its log.
    pub(super) fn is_running(&self) -> bool {
        self.log_of_this_life().contains(RUNNING_MARK)
    }

    /// Deletes its state, if it has any.
    pub(super) fn delete_state(&mut self) -> Result<(), ChaosError> {
        self.is_damaged = false;
        match std::fs::remove_dir_all(&self.state_dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(ChaosError::Files("deleting state".into(), error))
            }
            _ => Ok(()),
        }
    }

    /// How it ended, with the last lines of its log.
    pub(super) fn obituary(&self, status: ExitStatus) -> String {
        let log = self.log_of_this_life();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(QUOTED_LINES)..].join("\n    ");
        format!("process {}: {}\n    {last}", self.number, described(status))
    }

    pub(super) fn log_of_this_life(&self) -> String {
        let mut bytes = Vec::new();
        let read = File::open(&self.log).and_then(|mut log| {
            log.seek(SeekFrom::Start(self.log_start))?;
            log.read_to_end(&mut bytes)
        });
        // An unreadable log has no information.
        read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn described(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// The messages to people that are neither sent nor given up, summed over all channels.
fn pending_messages(metrics: &str) -> u64 {
    let values = metrics.lines().filter(|line| line.starts_with("frostline_deliveries_pending{"));
    values.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum::<f64>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_messages_of_all_channels_count() {
        let metrics = "# TYPE frostline_deliveries_pending gauge\n\
            frostline_deliveries_pending{channel=\"webhook\"} 2\n\
            frostline_deliveries_pending{channel=\"ntfy\"} 1\n\
            frostline_deliveries_pending_seconds 7\n";
        assert_eq!(pending_messages(metrics), 3);
        assert_eq!(pending_messages(""), 0);
    }
}
