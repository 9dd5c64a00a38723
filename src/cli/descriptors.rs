//! File descriptors: a daemon that runs out of them fails later, somewhere else, with an error that hides the cause.

use frostline_engine::StageId;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Failed;
use crate::config::Config;

// Measured with one broker; each further one takes about three for each stage and each worker. So this is the minimum for
// a start, not the need of a large installation: the soft limit is raised as far as possible in any case.

/// Open files of a process without stages: standard streams, log, state, its first runtime, and the client for
/// checks.
const BASE: u64 = 32;
/// Open files of a stage: its supervisor's thread and its consumer.
const EACH_STAGE: u64 = 10;
/// Open files of a worker: its thread's runtime and its producer.
const EACH_WORKER: u64 = 14;
/// Open files of the page's threads and a few connections, if it is on.
const PAGE: u64 = 16;

/// Raises the limit as far as the system allows, and refuses to start if it is too low.
pub(super) fn ensure(config: &Config, stages: &[StageId]) -> Result<(), Failed> {
    let limit = raise(getrlimit(Resource::Nofile));
    let needed = needed(stages.len() as u64, config.workers() as u64, !config.admin.listen.is_empty());
    match limit {
        Some(limit) if limit < needed => Err(Failed::Usage(anyhow::anyhow!(
            "this process may open {limit} files, and {} stages with {} workers need at least {needed}: raise the limit \
             (`ulimit -n {}`, LimitNOFILE= of systemd), or lower runtime.workers",
            stages.len(),
            config.workers(),
            4 * needed
        ))),
        _ => Ok(()),
    }
}

/// Sets the soft limit to the hard one; returns the resulting limit, `None` if there is none.
fn raise(limit: Rlimit) -> Option<u64> {
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

fn needed(stages: u64, workers: u64, has_page: bool) -> u64 {
    BASE + stages * EACH_STAGE + workers * EACH_WORKER + if has_page { PAGE } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_to_work_is_not_refused() {
        // Six stages with two workers had 99 files open, with the page.
        assert!((99..256).contains(&needed(6, 2, true)));
        assert!((44..90).contains(&needed(1, 2, false)));
        // A usual limit, and all cores of a large machine.
        assert!(needed(6, 64, true) < 1_024);
    }
}
