//! An old state directory is put back: a process continues from the state that it had some time ago, as after
//! restoring a machine from a backup. The other processes, and it itself, have written to the changelogs since.

use std::time::{Duration, Instant};

use super::ChaosError;
use super::fleet::Fleet;
use super::process::Process;
use super::state_copy::StateCopy;

/// The earliest time to put a directory back. Some seconds of changes must be newer than the age at which a store is
/// too old.
const AWAY: Duration = Duration::from_secs(14);
/// How long to wait for a process that sleeps or starts.
const PATIENCE: Duration = Duration::from_secs(60);

/// Copies the state directory of a stopped process. Returns what was done, in words.
pub(super) fn keep(process: &mut Process) -> Result<String, ChaosError> {
    if process.old_state.is_some() {
        return Ok("whose state was already saved".into());
    }
    if !process.state_dir.exists() {
        return Ok("which has just started, and has no state yet".into());
    }
    let copied = StateCopy::of(&process.state_dir, Instant::now() + AWAY, process.is_damaged);
    process.old_state = Some(copied.map_err(ChaosError::files("copying state"))?);
    Ok(format!("which gets its present state back in {} s", AWAY.as_secs()))
}

/// Puts directories back that are due. `all`: waits for the others.
pub(super) fn give_back(fleet: &mut Fleet<'_>, all: bool) -> Result<(), ChaosError> {
    let deadline = Instant::now() + PATIENCE;
    for index in 0..fleet.processes.len() {
        loop {
            let process = &mut fleet.processes[index];
            let Some(old) = process.old_state.as_ref().filter(|_| process.is_member) else { break };
            let due = old.due.max(process.fails_until);
            if due <= Instant::now() && process.is_alive() && process.paused_until.is_none() {
                process.kill();
                put_back(process).map_err(ChaosError::files("giving back state"))?;
                fleet.restart(index, None)?;
            } else if all && Instant::now() < deadline {
                fleet.rest(Duration::from_millis(100))?;
            } else {
                break;
            }
        }
    }
    Ok(())
}

fn put_back(process: &mut Process) -> std::io::Result<()> {
    let Some(old) = process.old_state.take() else { return Ok(()) };
    let is_damaged = old.is_damaged;
    old.put_back(&process.state_dir)?;
    process.is_damaged = is_damaged;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_given_back_is_what_was_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = Process::new(1, 1, dir.path());
        keep(&mut process).unwrap();
        assert!(process.old_state.is_none(), "there is nothing to keep");
        let file = process.state_dir.join("store/db");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "then").unwrap();
        keep(&mut process).unwrap();
        fs::write(&file, "now").unwrap();
        fs::write(process.state_dir.join("more"), "").unwrap();
        process.is_damaged = true;
        put_back(&mut process).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "then");
        assert!(!process.state_dir.join("more").exists() && !process.is_damaged);
    }
}
