//! Faults of the one process that polls a source: it dies, and another one takes the source over.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use frostline_engine::SourceId;
use frostline_engine::fault::{SourcePoint, planted_poller};

use super::fleet::Fleet;
use super::process::ABORT_SIGNAL;
use super::report::Kind;
use super::{ChaosError, http};

/// How long it may take, beyond the session of the previous owner, until a process polls a source and gets records.
const PATIENCE: Duration = Duration::from_secs(15);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How long to wait for a process that is dying.
const DEATH: Duration = Duration::from_secs(2);

/// Kills the process that polls a source. Also returns what happened, in words; `false` if no process polls.
pub(super) fn kill(fleet: &mut Fleet<'_>, rng: &mut fastrand::Rng) -> Result<(bool, String), ChaosError> {
    let Some(source) = choose(fleet, rng) else { return Ok((false, "nothing is followed".into())) };
    let deadline = Instant::now() + fleet.installation.session_timeout + PATIENCE;
    while Instant::now() < deadline {
        for index in fleet.targets() {
            if polls(fleet.processes[index].port, source) {
                fleet.processes[index].kill();
                fleet.restart(index, None)?;
                return Ok((
                    true,
                    format!("process {}, which polled {source}", fleet.processes[index].number),
                ));
            }
        }
        fleet.rest(LOOK_INTERVAL)?;
    }
    Ok((false, format!("no process polled {source}")))
}

/// Lets the process that polls a source die at a named point, and starts it again. Also returns what happened, in
/// words; `false` if none reached the point in time.
pub(super) fn die(
    fleet: &mut Fleet<'_>,
    point: SourcePoint,
    rng: &mut fastrand::Rng,
) -> Result<(bool, String), ChaosError> {
    let Some(source) = choose(fleet, rng) else { return Ok((false, "nothing is followed".into())) };
    let (file, planted) = (fleet.installation.poller_fault(), planted_poller(source.as_str(), point));
    // Renamed into place, so that a reader sees all of it.
    let beside = file.with_extension("new");
    let written = std::fs::write(&beside, &planted).and_then(|()| std::fs::rename(&beside, &file));
    written.map_err(ChaosError::files("planting the death of a poller"))?;
    let mut ended = fleet.wait_any_end(fleet.installation.session_timeout + PATIENCE)?;
    if ended.is_none() && std::fs::remove_file(&file).is_err() {
        // The process has just removed it.
        ended = fleet.wait_any_end(DEATH)?;
    }
    let Some((index, status)) = ended else { return Ok((false, format!("{planted}, not reached"))) };
    let is_reached = status.signal() == Some(ABORT_SIGNAL);
    if !is_reached {
        let obituary = fleet.processes[index].obituary(status);
        fleet.violations.add(Kind::Died, format!("with {planted}: {obituary}"));
        let _ = std::fs::remove_file(&file);
    }
    fleet.restart(index, None)?;
    Ok((is_reached, format!("process {} at {planted}", fleet.processes[index].number)))
}

fn choose(fleet: &Fleet<'_>, rng: &mut fastrand::Rng) -> Option<SourceId> {
    rng.choice(fleet.installation.topology.sources()).map(|source| source.id)
}

/// Whether a process reports that it polls a source.
fn polls(port: u16, source: SourceId) -> bool {
    let Some((200, body)) = http::get(port, "/api/v1/sources") else { return false };
    let rows: Vec<serde_json::Value> = serde_json::from_str(&body).unwrap_or_default();
    rows.iter().any(|row| row["source"] == source.as_str() && row["phase"] != "standby")
}
