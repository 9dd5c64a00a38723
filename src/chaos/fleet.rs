//! All processes of a run: keeps them alive, and records each that died unexpectedly.

use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::network::Network;
use super::process::{Planted, Process};
use super::readiness::Readiness;
use super::report::{Kind, Violations};
use super::{ChaosError, Installation};

const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Pause between an unplanned death and the next start.
const RESTART_DELAY: Duration = Duration::from_millis(500);
/// How long a SIGTERM may take: the daemon's own limit (30 s), and some more.
const TERMINATE_PATIENCE: Duration = Duration::from_secs(45);
/// How long a start may take until all parts run.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// The processes, and their violations.
pub(super) struct Fleet<'a> {
    pub(super) installation: &'a Installation,
    pub(super) processes: Vec<Process>,
    pub(super) violations: Violations,
    pub(super) readiness: Readiness,
    /// How many were started.
    pub(super) starts: u64,
    stop: Arc<AtomicBool>,
}

impl<'a> Fleet<'a> {
    /// Starts as many processes as the options say.
    pub(super) fn start(
        installation: &'a Installation,
        readiness: Readiness,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, ChaosError> {
        let (processes, violations) = (Vec::new(), Violations::default());
        let mut fleet = Self { installation, processes, violations, readiness, starts: 0, stop };
        for _ in 0..installation.options.processes {
            fleet.add()?;
        }
        Ok(fleet)
    }

    /// Lets one more process join: one that was removed before, or a new one.
    pub(super) fn add(&mut self) -> Result<usize, ChaosError> {
        match self.processes.iter().position(|process| !process.is_member) {
            Some(index) => self.start_again(&[index]).map(|()| index),
            None => self.add_new(),
        }
    }

    /// Lets a new process join.
    pub(super) fn add_new(&mut self) -> Result<usize, ChaosError> {
        let index = self.processes.len();
        let port = self.readiness.watch()?;
        let mut process = Process::new(index + 1, port, self.installation.dir());
        process.lane = self.installation.network.as_ref().map(Network::lane).transpose()?;
        self.processes.push(process);
        self.restart(index, None)?;
        Ok(index)
    }

    /// Starts a process that does not run.
    pub(super) fn restart(&mut self, index: usize, planted: Option<Planted<'_>>) -> Result<(), ChaosError> {
        self.starts += 1;
        self.processes[index].start(self.installation, planted)
    }

    /// Starts a process that is to end by itself.
    pub(super) fn start_doomed(&mut self, index: usize, planted: Planted<'_>) -> Result<(), ChaosError> {
        self.restart(index, Some(planted))?;
        self.processes[index].is_planted = true;
        Ok(())
    }

    /// How many belong to the groups.
    pub(super) fn members(&self) -> usize {
        self.processes.iter().filter(|process| process.is_member).count()
    }

    /// The processes that belong to the groups, whether they run at the moment or not.
    pub(super) fn member_indices(&self) -> Vec<usize> {
        let members = self.processes.iter().enumerate().filter(|(_, process)| process.is_member);
        members.map(|(index, _)| index).collect()
    }

    /// How many messages to people are neither sent nor given up; `None` if a process does not say.
    pub(super) fn pending_messages(&self) -> Option<u64> {
        self.processes.iter().filter(|process| process.is_member).map(Process::pending_messages).sum()
    }

    /// Those that faults can be tried on.
    pub(super) fn targets(&mut self) -> Vec<usize> {
        let processes = self.processes.iter_mut().enumerate();
        let targets =
            processes.filter_map(|(index, p)| (p.is_alive() && p.paused_until.is_none()).then_some(index));
        targets.collect()
    }

    /// Lets time pass, and looks after the processes.
    ///
    /// # Errors
    /// [`ChaosError::Interrupted`] as soon as the user ends the run.
    pub(super) fn rest(&mut self, time: Duration) -> Result<(), ChaosError> {
        let deadline = Instant::now() + time;
        loop {
            self.tend(None)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(LOOK_INTERVAL));
        }
    }

    /// Wakes processes that have slept long enough, and starts those that died. `expected`: a process whose end is
    /// handled elsewhere.
    fn tend(&mut self, expected: Option<usize>) -> Result<(), ChaosError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(ChaosError::Interrupted);
        }
        for index in 0..self.processes.len() {
            let process = &mut self.processes[index];
            if process.paused_until.is_some_and(|until| until <= Instant::now()) {
                process.paused_until = None;
                process.signal(Signal::CONT);
            }
            if Some(index) == expected || !process.is_member || process.is_planted {
                continue;
            }
            if let Some(status) = process.ended() {
                process.start_after = Instant::now() + RESTART_DELAY;
                let obituary = process.obituary(status);
                self.violations.add(Kind::Died, obituary);
            }
            let process = &mut self.processes[index];
            if !process.is_alive() && process.start_after <= Instant::now() {
                self.restart(index, None)?;
            }
        }
        Ok(())
    }

    /// Waits until a process has ended by itself. `None` if not within `patience`.
    pub(super) fn wait_end(
        &mut self,
        index: usize,
        patience: Duration,
    ) -> Result<Option<ExitStatus>, ChaosError> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.processes[index].ended() {
                return Ok(Some(status));
            }
            if Instant::now() > deadline {
                return Ok(None);
            }
            self.tend(Some(index))?;
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Waits until any process has ended by itself, which each of them may: returns which one, and how it ended.
    pub(super) fn wait_any_end(
        &mut self,
        patience: Duration,
    ) -> Result<Option<(usize, ExitStatus)>, ChaosError> {
        let deadline = Instant::now() + patience;
        for process in &mut self.processes {
            process.is_planted = process.is_member && process.is_alive();
        }
        let ended = loop {
            let mut planted = self.processes.iter_mut().enumerate().filter(|(_, process)| process.is_planted);
            let ended = planted.find_map(|(index, process)| Some((index, process.ended()?)));
            if ended.is_some() || Instant::now() > deadline {
                break ended;
            }
            self.tend(None)?;
            std::thread::sleep(LOOK_INTERVAL);
        };
        self.processes.iter_mut().for_each(|process| process.is_planted = false);
        Ok(ended)
    }

    /// Waits until all parts of a process run. `false` if it ended before, or takes too long.
    pub(super) fn wait_running(&mut self, index: usize) -> Result<bool, ChaosError> {
        let deadline = Instant::now() + START_PATIENCE;
        while !self.processes[index].is_running() {
            if Instant::now() > deadline || !self.processes[index].is_alive() {
                return Ok(false);
            }
            self.rest(5 * LOOK_INTERVAL)?;
        }
        Ok(true)
    }

    /// Sends SIGTERM; the process must end in good order.
    pub(super) fn terminate(&mut self, index: usize) -> Result<(), ChaosError> {
        let was_running = self.wait_running(index)?;
        if !self.processes[index].is_alive() {
            return Ok(());
        }
        self.processes[index].signal(Signal::TERM);
        self.wait_terminated(index, was_running)
    }

    /// Its end after a SIGTERM.
    fn wait_terminated(&mut self, index: usize, was_running: bool) -> Result<(), ChaosError> {
        match self.wait_end(index, TERMINATE_PATIENCE)? {
            None => {
                self.processes[index].kill();
                let message = format!("process {}: did not end on SIGTERM", self.processes[index].number);
                self.violations.add(Kind::Died, message);
            }
            // A start that is cut short has done nothing yet.
            Some(status) if status.success() || !was_running => {}
            Some(status) => {
                let obituary = self.processes[index].obituary(status);
                self.violations.add(Kind::Died, format!("after SIGTERM: {obituary}"));
            }
        }
        Ok(())
    }

    /// Wakes all processes, and waits until each runs, so that everything that follows is their own doing.
    pub(super) fn heal(&mut self) -> Result<(), ChaosError> {
        for index in 0..self.processes.len() {
            if self.processes[index].paused_until.is_some() {
                self.processes[index].paused_until = Some(Instant::now());
            }
        }
        self.rest(2 * RESTART_DELAY)?;
        for index in 0..self.processes.len() {
            if self.processes[index].is_member {
                self.wait_running(index)?;
            }
        }
        Ok(())
    }

    /// Ends all in good order, and at the same time.
    pub(super) fn terminate_all(&mut self) -> Result<(), ChaosError> {
        let alive = self.targets();
        self.processes.iter_mut().for_each(|process| process.is_member = false);
        self.stop(&alive)
    }

    /// Ends these in good order, and at the same time. They do not belong to the groups any more.
    pub(super) fn stop(&mut self, indices: &[usize]) -> Result<(), ChaosError> {
        for index in indices {
            self.wait_running(*index)?;
        }
        let processes = &mut self.processes;
        let alive: Vec<usize> =
            indices.iter().copied().filter(|index| processes[*index].is_alive()).collect();
        indices.iter().for_each(|index| processes[*index].is_member = false);
        alive.iter().for_each(|index| processes[*index].signal(Signal::TERM));
        alive.into_iter().try_for_each(|index| self.wait_terminated(index, true))
    }

    /// Lets these, which do not run, join again.
    pub(super) fn start_again(&mut self, indices: &[usize]) -> Result<(), ChaosError> {
        for index in indices {
            self.processes[*index].is_member = true;
            self.restart(*index, None)?;
        }
        Ok(())
    }
}
