//! A circuit breaker: a server that keeps failing gets no messages for a while, and then one trial message.

use std::time::{Duration, Instant};

/// This many failures in a row open the circuit.
const FAILURES_MAX: u32 = 5;
/// How long the circuit stays open at first; it doubles with each failed trial.
const OPEN_FIRST: Duration = Duration::from_secs(2);
const OPEN_MAX: Duration = Duration::from_secs(120);
/// Longer than any attempt takes.
const TRIAL_MAX: Duration = Duration::from_secs(130);

/// A change in the state of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It has failed after it worked.
    Fails,
    /// The circuit is open.
    LeftAlone,
    /// It works again.
    Works,
}

/// The circuit breaker of a server.
#[derive(Debug, Default)]
pub(super) struct Circuit {
    failures: u32,
    open_until: Option<Instant>,
    opened: u32,
    /// Set while a trial message is under way.
    tried_at: Option<Instant>,
}

impl Circuit {
    /// Whether a message may be sent now; otherwise how long to wait.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        match self.open_until {
            None => Ok(()),
            Some(until) if now >= until && !self.is_tried(now) => {
                self.tried_at = Some(now);
                Ok(())
            }
            // A trial is under way.
            Some(until) => Err(until.saturating_duration_since(now).max(Duration::from_millis(500))),
        }
    }

    /// A trial that never ends does not block others.
    fn is_tried(&self, now: Instant) -> bool {
        self.tried_at.is_some_and(|at| now - at < TRIAL_MAX)
    }

    /// Records the outcome of an admitted message. Returns the change in the server's state, if any.
    pub(super) fn ended(&mut self, is_ill: bool, now: Instant) -> Option<Health> {
        let (was_open, was_tried) = (self.open_until.is_some(), self.tried_at.take().is_some());
        if !is_ill {
            let was_ill = self.failures > 0;
            *self = Self::default();
            return was_ill.then_some(Health::Works);
        }
        self.failures += 1;
        // Messages that were under way when the circuit opened change nothing.
        if was_tried || !was_open && self.failures >= FAILURES_MAX {
            let open = (OPEN_FIRST * (1 << self.opened.min(10))).min(OPEN_MAX);
            self.opened += 1;
            self.open_until = Some(now + open);
            return (!was_open).then_some(Health::LeftAlone);
        }
        (self.failures == 1).then_some(Health::Fails)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_server_is_left_alone_and_tried_by_one() {
        let (mut circuit, start) = (Circuit::default(), Instant::now());
        for failure in 1..FAILURES_MAX {
            assert!(circuit.admit(start).is_ok());
            assert_eq!(circuit.ended(true, start), (failure == 1).then_some(Health::Fails));
        }
        assert_eq!(circuit.ended(true, start), Some(Health::LeftAlone));
        assert!(circuit.admit(start).is_err());
        let later = start + OPEN_FIRST;
        assert!(circuit.admit(later).is_ok(), "one tries");
        assert!(circuit.admit(later).is_err(), "the others wait");
        assert_eq!(circuit.ended(true, later), None);
        assert!(circuit.admit(later + OPEN_FIRST).is_err(), "longer now");
        let later = later + 2 * OPEN_FIRST;
        assert!(circuit.admit(later).is_ok());
        assert_eq!(circuit.ended(false, later), Some(Health::Works));
        assert!(circuit.admit(later).is_ok() && circuit.admit(later).is_ok());
    }
}
