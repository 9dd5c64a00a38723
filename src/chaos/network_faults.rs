//! Spoils the network of one process for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ChaosError;
use super::fleet::Fleet;
use super::network::{Lane, NetworkFault, Trouble};

/// How long the network stays bad, in milliseconds: also longer than the group waits for a silent process.
const LASTS_MS: std::ops::Range<u64> = 2_000..8_000;
/// By how much each request and each answer is late, in milliseconds.
const LATE_MS: std::ops::Range<u64> = 20..200;
/// How long a process may take until it sends a certain request.
const REQUEST_PATIENCE: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Does it to a process. Also returns what happened, in words; `false` if the request at which its connection was to
/// be cut did not come.
pub(super) fn spoil(
    fleet: &mut Fleet<'_>,
    index: usize,
    fault: NetworkFault,
    rng: &mut fastrand::Rng,
) -> Result<(bool, String), ChaosError> {
    let Some(Lane { line, .. }) = &fleet.processes[index].lane else {
        return Ok((false, "has no proxy".to_owned()));
    };
    let line = Arc::clone(line);
    let time = Duration::from_millis(rng.u64(LASTS_MS));
    let (trouble, what) = match fault {
        NetworkFault::Slow => {
            let late = Duration::from_millis(rng.u64(LATE_MS));
            (Trouble::Slow(late), format!("{} ms late", late.as_millis()))
        }
        NetworkFault::Drip => (Trouble::Drip, "in small pieces".to_owned()),
        NetworkFault::Cut => (Trouble::Cut, "without connections".to_owned()),
        NetworkFault::HalfOpen => (Trouble::HalfOpen, "with silent connections".to_owned()),
        NetworkFault::CutAt(request) => {
            let is_sent = rng.bool();
            line.cut_at(request, is_sent);
            let deadline = Instant::now() + REQUEST_PATIENCE;
            while line.waits_for_cut() && Instant::now() < deadline {
                fleet.rest(LOOK_INTERVAL)?;
            }
            let lost = if is_sent { "the answer" } else { "the request" };
            return Ok((!line.calm(), format!("loses {lost}")));
        }
    };
    line.trouble(trouble, time);
    if let Some(network) = &fleet.installation.network {
        network.bystander.line.trouble(trouble, time);
    }
    Ok((true, format!("{what} for {:.1} s", time.as_secs_f64())))
}
