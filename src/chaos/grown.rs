//! Topics that get more partitions during the run, through the user's command. State moves with its keys, and nothing
//! is lost or repeated.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use frostline_engine::StageId;
use frostline_engine::kafka::Admin;

use super::fleet::Fleet;
use super::past::Grown;
use super::{Around, ChaosError, Installation, process};
use crate::stages;

/// The sources of these stages grow: the stages have state, and only other stages write to the sources.
const READERS: [StageId; 2] = [stages::ALERT, stages::WATCH];
/// Groups keep killed members until their sessions end.
const PATIENCE: Duration = Duration::from_secs(30);
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Most partitions that a topic gets at once.
const MORE_MAX: i32 = 2;
/// How many more partitions than at the start a topic may have. With forty of them a fault takes twice as long.
const EXTRA_MAX: i32 = 12;

/// Whether there is room for more partitions.
pub(super) fn is_possible(installation: &Installation) -> bool {
    let now = installation.partitions(&installation.source(READERS[0]));
    now + MORE_MAX <= installation.options.partitions + EXTRA_MAX
}

/// Grows topics while everything is drained and stopped, as the command requires. Returns what happened, in words.
pub(super) fn grow(
    fleet: &mut Fleet<'_>,
    around: &mut Around<'_>,
    rng: &mut fastrand::Rng,
) -> Result<String, ChaosError> {
    let installation = fleet.installation;
    fleet.heal()?;
    around.pause(fleet)?;
    super::drain(fleet, around.monitor, &mut |_| {})?;
    let members = fleet.member_indices();
    fleet.stop(&members)?;
    around.readers.pause()?;
    let topics = READERS.map(|stage| installation.source(stage));
    let from = installation.partitions(&topics[0]);
    let to = from + rng.i32(1..=MORE_MAX);
    let admin = Admin::new(&installation.settings)?;
    let mut growths = Vec::new();
    for (stage, topic) in READERS.into_iter().zip(&topics) {
        let ends = admin.ends(topic)?;
        let changelog = installation.changelog(stage);
        growths.push(Grown { topic: topic.clone(), changelog, partitions: to, ends });
    }
    run_command(fleet, &topics, to)?;
    installation.past().growths.extend(growths);
    installation.configure_partitions()?;
    around.readers.start(installation)?;
    fleet.start_again(&members)?;
    around.resume(false);
    Ok(format!("{} from {from} to {to} partitions", topics.join(" and ")))
}

/// Runs `frostline topics grow`, and repeats it while a group still has a killed member.
fn run_command(fleet: &mut Fleet<'_>, topics: &[String], to: i32) -> Result<(), ChaosError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = command(fleet.installation, topics, to)?.output();
        let output = output.map_err(ChaosError::files("running topics grow"))?;
        if output.status.success() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let reason = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(ChaosError::Broken(format!("frostline topics grow failed: {reason}")));
        }
        fleet.rest(RETRY_INTERVAL)?;
    }
}

fn command(installation: &Installation, topics: &[String], to: i32) -> Result<Command, ChaosError> {
    let mut command = process::program()?;
    process::plant_sabotage(&mut command, installation);
    command.args(["topics", "grow"]).args(topics).args(["--yes", "--partitions", &to.to_string()]);
    command.arg("--config").arg(&installation.config_file);
    command.stdin(Stdio::null());
    Ok(command)
}
