//! The clock of a client.

use std::time::{Duration, Instant};

/// Returns the time, and waits. Tests have a clock that runs as fast as they do.
pub trait Time: Send + Sync {
    /// Now.
    fn now(&self) -> Instant;
    /// Returns when this time has passed.
    fn sleep(&self, time: Duration);
}

/// The machine's clock.
pub(super) struct RealTime;

impl Time for RealTime {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}
