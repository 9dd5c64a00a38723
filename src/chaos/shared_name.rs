//! Two state directories with the same name, as after one was copied: their processes have the same transactional
//! ids, and fence each other until one of them takes another name.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::ChaosError;
use super::fleet::Fleet;
use super::report::Kind;

/// How long they may take to get different names. They notice when they commit, so moments are enough.
const PARTING_PATIENCE: Duration = Duration::from_secs(25);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Gives a process the name of another one. Waits until their names differ; returns what happened, in words.
pub(super) fn share(
    fleet: &mut Fleet<'_>,
    index: usize,
    rng: &mut fastrand::Rng,
) -> Result<String, ChaosError> {
    let others = fleet.targets().into_iter().filter(|other| *other != index);
    let Some(other) = rng.choice(others.collect::<Vec<_>>()) else {
        return Ok("no other process is running".into());
    };
    fleet.wait_running(other)?;
    fleet.terminate(index)?;
    fleet.processes[index].kill();
    let (own, copied) = (instance(fleet, index), instance(fleet, other));
    fs::copy(&copied, &own).map_err(ChaosError::files("copying the name of a state directory"))?;
    fleet.restart(index, None)?;
    // Only then can it have anything to commit.
    fleet.wait_running(index)?;
    let start = Instant::now();
    let (number, other) = (fleet.processes[index].number, fleet.processes[other].number);
    // A name that cannot be read is just being replaced.
    while fs::read(&own).ok() == fs::read(&copied).ok() {
        if start.elapsed() > PARTING_PATIENCE {
            let text = format!("processes {number} and {other} for {} s", PARTING_PATIENCE.as_secs());
            fleet.violations.add(Kind::NotParted, text);
            fleet.processes[index].kill();
            fs::remove_file(&own).map_err(ChaosError::files("removing the name of a state directory"))?;
            fleet.restart(index, None)?;
            return Ok(format!("processes {number} and {other} kept one name"));
        }
        fleet.rest(LOOK_INTERVAL)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(format!("processes {number} and {other}, which had different names after {seconds:.1} s"))
}

fn instance(fleet: &Fleet<'_>, index: usize) -> PathBuf {
    fleet.processes[index].state_dir.join("instance")
}
