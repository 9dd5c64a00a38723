//! How long this process has not heard from the brokers. The time during which the machine was suspended counts; a
//! clock that is set does not matter.

use std::time::Duration;

/// At most this long without a sign of life before one is asked for.
const ASK_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// The last sign of life; see the module's description.
pub(super) struct Contact {
    heard_ms: i64,
    /// Silence for longer than this is too long.
    limit: Duration,
}

impl Contact {
    /// The brokers have just answered.
    pub(super) fn new(limit: Duration) -> Self {
        Self { heard_ms: boot_ms(), limit }
    }

    /// Whether it is time to ask for a sign of life.
    pub(super) fn is_due(&self) -> bool {
        self.silence() > ASK_AFTER_MAX.min(self.limit / 10)
    }

    /// There is a sign of life. Returns how long there was none, if that was too long.
    pub(super) fn heard(&mut self) -> Option<Duration> {
        let silence = self.silence();
        self.heard_ms = boot_ms();
        (silence > self.limit).then_some(silence)
    }

    fn silence(&self) -> Duration {
        Duration::from_millis(u64::try_from(boot_ms() - self.heard_ms).unwrap_or(0))
    }
}

/// Milliseconds since the machine was started.
fn boot_ms() -> i64 {
    #[cfg(test)]
    if crate::sim::host::unix_ms().is_some() {
        return crate::sim::host::moment().wall_ms;
    }
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_silence_is_reported_once() {
        let mut contact = Contact::new(Duration::from_secs(100));
        assert!(!contact.is_due() && contact.heard().is_none());
        contact.heard_ms -= 11_000;
        assert!(contact.is_due() && contact.heard().is_none(), "not too long");
        contact.heard_ms -= 101_000;
        assert!(contact.heard() > Some(Duration::from_secs(100)));
        assert!(contact.heard().is_none());
    }
}
