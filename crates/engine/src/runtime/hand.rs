//! A worker, as one of its stages sees it: which partitions it has, and how long it pauses while Kafka is away.

use std::collections::BTreeSet;
use std::time::Duration;

use actix::Addr;
use tokio::time::Instant;

use super::threads::WorkerThread;
use super::worker::Worker;

/// Pause between two tries while Kafka is away: short at first, because most outages are short, such as the move of a
/// coordinator.
const DELAY_AWAY_FIRST: Duration = Duration::from_millis(250);
pub(super) const DELAY_AWAY_MAX: Duration = Duration::from_secs(2);
/// An outage is over when a worker has not failed for this long.
const AWAY_QUIET: Duration = Duration::from_secs(30);

/// A worker, as one stage sees it.
pub(super) struct Hand {
    pub(super) worker: Addr<Worker>,
    /// The thread of a worker that works for this stage alone.
    pub(super) own: Option<WorkerThread>,
    pub(super) partitions: BTreeSet<i32>,
    /// When Kafka was last away for the worker, and how long it then paused.
    away: Option<(Instant, Duration)>,
}

impl Hand {
    pub(super) fn new(worker: Addr<Worker>, own: Option<WorkerThread>) -> Self {
        Self { worker, own, partitions: BTreeSet::new(), away: None }
    }

    /// How long the worker pauses while Kafka is away or refuses something: longer each time, up to `most`.
    pub(super) fn rest(&mut self, most: Duration) -> Duration {
        let before = self.away.filter(|(at, _)| at.elapsed() < AWAY_QUIET).map(|(_, delay)| delay);
        let delay = before.map_or(DELAY_AWAY_FIRST, |before| (2 * before).min(most));
        self.away = Some((Instant::now(), delay));
        delay
    }
}
