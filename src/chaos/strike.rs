//! Carries out one fault.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use frostline_engine::fault::{CLOCK_VARIABLE, OUTAGE_VARIABLE, POINT_VARIABLE, Point};
use rustix::process::Signal;

use super::fault_kind::FaultKind;
use super::fleet::Fleet;
use super::process::ABORT_SIGNAL;
use super::readiness::is_one_away;
use super::report::Kind;
use super::{Around, ChaosError, grown, network_faults, old_state, poller, recreated, shared_name};

/// How long a process may work until it reaches its planted point.
const POINT_PATIENCE: Duration = Duration::from_secs(15);
/// How many times, at most, a planted point is passed before the process dies there.
const PASSAGES_MAX: u32 = 30;
/// Restores and revokes are rare.
const RARE_PASSAGES_MAX: u32 = 2;
const FLIPPED_BYTES: usize = 20;
/// How long the command that restarts the broker may take.
const BROKER_PATIENCE: Duration = Duration::from_secs(120);
/// How many more processes than at the start there may be.
const EXTRA_PROCESSES: usize = 2;
/// How long all commits of a process fail: longer than a process may report that it is ready without committing.
const OUTAGE: Duration = Duration::from_secs(15);
/// How long to wait for the first commit of a started process: an outage begins with it.
const JOINING: Duration = Duration::from_secs(4);
/// How far a clock is off.
const DAY_MS: i64 = 86_400_000;
/// How long a process with a clock ahead may work until a broker refuses its time.
const CLOCK_PATIENCE: Duration = Duration::from_secs(30);
/// How long it may continue after noticing that. Others cannot take over before it ends.
const CLOCK_END_PATIENCE: Duration = Duration::from_secs(20);
const LOG_INTERVAL: Duration = Duration::from_millis(300);
/// What the process must then report.
const CLOCK_MARK: &str = "the clock of this machine says";

/// The result of a fault.
pub(super) struct Struck {
    /// The fault that was done in the end: if there is only one process, it cannot be removed, and one is added
    /// instead.
    pub(super) kind: FaultKind,
    /// The process, and the details.
    pub(super) detail: String,
    /// Set if a planted point was not reached in time.
    pub(super) is_missed: bool,
}

/// Does the fault, to a process chosen at random.
pub(super) fn strike(
    fleet: &mut Fleet<'_>,
    around: &mut Around<'_>,
    kind: FaultKind,
    rng: &mut fastrand::Rng,
) -> Result<Struck, ChaosError> {
    let kind = possible(fleet, kind);
    let index = pick(fleet, kind, rng)?;
    let mut is_missed = false;
    let mut detail = format!("process {}", fleet.processes[index].number);
    match kind {
        FaultKind::Kill => {
            fleet.processes[index].kill();
            fleet.restart(index, None)?;
        }
        FaultKind::Terminate => {
            fleet.terminate(index)?;
            if !fleet.processes[index].is_alive() {
                fleet.restart(index, None)?;
            }
        }
        FaultKind::Pause => {
            let time = fleet.installation.session_timeout + Duration::from_millis(rng.u64(1_000..3_000));
            fleet.processes[index].signal(Signal::STOP);
            fleet.processes[index].paused_until = Some(Instant::now() + time);
            detail = format!("{detail} for {:.1} s", time.as_secs_f64());
        }
        FaultKind::Add => {
            let index = fleet.add()?;
            detail = format!("process {}", fleet.processes[index].number);
        }
        FaultKind::Remove => {
            fleet.processes[index].is_member = false;
            fleet.terminate(index)?;
        }
        FaultKind::DeleteState => {
            fleet.processes[index].kill();
            fleet.processes[index].delete_state()?;
            fleet.restart(index, None)?;
        }
        FaultKind::FlipBytes => {
            fleet.processes[index].kill();
            let flipped = flip_bytes(&fleet.processes[index].state_dir.join("store"), rng)?;
            fleet.processes[index].is_damaged = true;
            fleet.restart(index, None)?;
            detail = format!("{detail}, {flipped} bytes");
        }
        FaultKind::OldState => {
            fleet.processes[index].kill();
            let note = old_state::keep(&mut fleet.processes[index])?;
            fleet.restart(index, None)?;
            detail = format!("{detail}, {note}");
        }
        FaultKind::SharedName => detail = shared_name::share(fleet, index, rng)?,
        FaultKind::Outage => {
            // In good order, so that partitions come back at once.
            fleet.terminate(index)?;
            fleet.processes[index].kill();
            fleet.restart(index, Some((OUTAGE_VARIABLE, &OUTAGE.as_millis().to_string())))?;
            fleet.processes[index].fails_until = Instant::now() + OUTAGE + JOINING;
            detail = format!("{detail}, whose commits fail for {} s", OUTAGE.as_secs());
        }
        FaultKind::ClockAhead => {
            let is_refused = clock_ahead(fleet, index)?;
            is_missed = !is_refused;
            detail = format!("{detail}{}", if is_refused { "" } else { ", not refused" });
        }
        FaultKind::ClockBehind => {
            fleet.processes[index].kill();
            fleet.restart(index, Some((CLOCK_VARIABLE, &(-DAY_MS).to_string())))?;
        }
        FaultKind::TopicsRecreated => detail = recreated::recreate(fleet, around, index)?,
        FaultKind::PartitionsGrown => detail = grown::grow(fleet, around, rng)?,
        FaultKind::Point(point) => {
            let (reached, planted) = die_at(fleet, index, point, rng)?;
            is_missed = !reached;
            detail = format!("{detail} at {planted}{}", if reached { "" } else { ", not reached" });
        }
        FaultKind::KillPoller => {
            let (is_found, what) = poller::kill(fleet, rng)?;
            (is_missed, detail) = (!is_found, what);
        }
        FaultKind::PollerPoint(point) => {
            let (is_reached, what) = poller::die(fleet, point, rng)?;
            (is_missed, detail) = (!is_reached, what);
        }
        FaultKind::Network(fault) => {
            let (is_done, what) = network_faults::spoil(fleet, index, fault, rng)?;
            is_missed = !is_done;
            detail = format!("{detail} {what}");
        }
        FaultKind::RestartBroker => {
            detail = "the broker".to_owned();
            restart_broker(fleet, around)?;
        }
    }
    // The harm of all others is done at the end.
    if kind != FaultKind::RestartBroker && !is_missed {
        around.fault(kind);
    }
    Ok(Struck { kind, detail, is_missed })
}

/// A running process that is not stopped; waits until there is one. If one is stopped, another must run, because a
/// zombie is one only if another process has taken its place.
fn pick(fleet: &mut Fleet<'_>, kind: FaultKind, rng: &mut fastrand::Rng) -> Result<usize, ChaosError> {
    loop {
        let targets = fleet.targets();
        let needs_two = matches!(kind, FaultKind::Pause | FaultKind::SharedName);
        let is_enough = !needs_two || targets.len() > 1 || fleet.members() == 1;
        if let Some(index) = rng.choice(targets).filter(|_| is_enough) {
            return Ok(index);
        }
        fleet.rest(Duration::from_millis(100))?;
    }
}

/// The fault, or its opposite if the number of processes does not allow it.
fn possible(fleet: &Fleet<'_>, kind: FaultKind) -> FaultKind {
    let most = fleet.installation.options.processes + EXTRA_PROCESSES;
    let partitions = usize::try_from(fleet.installation.options.partitions).unwrap_or(usize::MAX);
    match kind {
        FaultKind::Add if fleet.members() >= most => FaultKind::Remove,
        // A process without partitions commits nothing, and notices neither.
        FaultKind::SharedName | FaultKind::ClockAhead if fleet.members() > partitions => FaultKind::Remove,
        FaultKind::SharedName if fleet.members() < 2 => FaultKind::Add,
        FaultKind::Remove if fleet.members() < 2 => FaultKind::Add,
        FaultKind::PartitionsGrown if !grown::is_possible(fleet.installation) => FaultKind::Kill,
        kind => kind,
    }
}

/// Lets a process die at a named point, and starts it again. Also returns what was planted; `false` if it did not
/// reach the point in time.
fn die_at(
    fleet: &mut Fleet<'_>,
    index: usize,
    point: Point,
    rng: &mut fastrand::Rng,
) -> Result<(bool, String), ChaosError> {
    let is_rare = matches!(point, Point::InRestore | Point::InRevoke);
    let passages = rng.u32(1..=if is_rare { RARE_PASSAGES_MAX } else { PASSAGES_MAX });
    let planted = format!("{}:{passages}", point.name());
    // In good order, so that its partitions come back at once and the point is reached soon.
    fleet.terminate(index)?;
    fleet.processes[index].kill();
    if point == Point::InRestore {
        fleet.processes[index].delete_state()?;
    }
    fleet.start_doomed(index, (POINT_VARIABLE, &planted))?;
    if point == Point::InRevoke {
        // It leaves in good order, and dies on the way.
        fleet.wait_running(index)?;
        fleet.rest(Duration::from_secs(1))?;
        fleet.processes[index].signal(Signal::TERM);
    }
    let ended = fleet.wait_end(index, POINT_PATIENCE)?;
    let reached = ended.is_some_and(|status| status.signal() == Some(ABORT_SIGNAL));
    if let Some(status) = ended.filter(|status| !reached && !status.success()) {
        let obituary = fleet.processes[index].obituary(status);
        fleet.violations.add(Kind::Died, format!("with {planted}: {obituary}"));
    }
    fleet.processes[index].kill();
    fleet.restart(index, None)?;
    Ok((reached, planted))
}

/// Starts a process with a clock that brokers refuse, and later with the right one. It must end by itself and report
/// why; `false` if no broker refused it, which brokers can be configured to.
fn clock_ahead(fleet: &mut Fleet<'_>, index: usize) -> Result<bool, ChaosError> {
    fleet.processes[index].kill();
    fleet.start_doomed(index, (CLOCK_VARIABLE, &DAY_MS.to_string()))?;
    let deadline = Instant::now() + CLOCK_PATIENCE;
    let mut ended = None;
    // Until it ends or has noticed. Its log is read only from time to time, because it may be long.
    let mut is_refused = false;
    while ended.is_none() && !is_refused && Instant::now() < deadline {
        ended = fleet.wait_end(index, LOG_INTERVAL)?;
        is_refused = fleet.processes[index].log_of_this_life().contains(CLOCK_MARK);
    }
    let process = &fleet.processes[index];
    match ended {
        Some(status) if !is_refused => {
            let obituary = process.obituary(status);
            fleet.violations.add(Kind::Died, format!("with its clock a day ahead: {obituary}"));
        }
        None if is_refused && fleet.wait_end(index, CLOCK_END_PATIENCE)?.is_none() => {
            let (number, seconds) = (fleet.processes[index].number, CLOCK_END_PATIENCE.as_secs());
            let text =
                format!("process {number}: still running {seconds} s after brokers refused its timestamps");
            fleet.violations.add(Kind::Clock, text);
        }
        _ => {}
    }
    fleet.processes[index].kill();
    fleet.restart(index, None)?;
    Ok(ended.is_some() || is_refused)
}

/// Flips bits of some bytes at random places of the store's files. Returns how many.
fn flip_bytes(store: &Path, rng: &mut fastrand::Rng) -> Result<usize, ChaosError> {
    let Ok(entries) = fs::read_dir(store) else { return Ok(0) };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.metadata().is_ok_and(|found| found.is_file() && found.len() > 0));
    // Sorted, so that the same seed means the same files whatever the order in the directory.
    files.sort();
    let mut flipped = 0;
    for _ in 0..FLIPPED_BYTES {
        let Some(path) = rng.choice(&files) else { break };
        flip_byte(path, rng).map_err(ChaosError::files("flipping bytes"))?;
        flipped += 1;
    }
    Ok(flipped)
}

fn flip_byte(path: &Path, rng: &mut fastrand::Rng) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path)?;
    let place = rng.u64(..file.metadata()?.len());
    let mut byte = [0];
    file.seek(SeekFrom::Start(place))?;
    file.read_exact(&mut byte)?;
    byte[0] ^= rng.u8(1..);
    file.seek(SeekFrom::Start(place))?;
    file.write_all(&byte)
}

fn restart_broker(fleet: &mut Fleet<'_>, around: &Around<'_>) -> Result<(), ChaosError> {
    let Some(command) = fleet.installation.options.restart_broker.clone() else { return Ok(()) };
    let failed = |error| ChaosError::Files(format!("running {command:?}"), error);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(&command).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = shell.spawn().map_err(failed)?;
    let _watched = fleet.readiness.broker_restarts();
    let deadline = Instant::now() + BROKER_PATIENCE;
    let mut is_noticed = false;
    loop {
        if !is_noticed && is_one_away(&fleet.installation.config.kafka.brokers) {
            is_noticed = true;
            around.fault(FaultKind::RestartBroker);
        }
        match child.try_wait().map_err(failed)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(ChaosError::Broken(format!("{command:?} failed: {status}"))),
            None if Instant::now() > deadline => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(ChaosError::Broken(format!(
                    "{command:?} did not end within {BROKER_PATIENCE:?}"
                )));
            }
            None => {}
        }
        if let Err(error) = fleet.rest(Duration::from_millis(50)) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
    }
}
