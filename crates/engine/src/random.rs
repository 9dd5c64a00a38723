//! Randomness from the operating system, for names that no other process may have.
//!
//! `fastrand` is for shuffling and jitter: it seeds itself from the clock, so two processes that wait for the same
//! event can draw the same number.

/// 128 random bits from the operating system.
pub fn bits_128() -> u128 {
    let mut bytes = [0; 16];
    // Fails only if a kernel has neither the system call nor /dev/urandom.
    match getrandom::fill(&mut bytes) {
        Ok(()) => u128::from_ne_bytes(bytes),
        Err(error) => {
            tracing::warn!(%error, "no randomness from the operating system: using time and process id for a name");
            let time = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos());
            time << 32 | u128::from(std::process::id())
        }
    }
}

/// A factor between 0.75 and 1.25 for a wait, so that processes which failed together do not try again together.
pub(crate) fn jitter() -> f64 {
    #[cfg(test)]
    if let Some(drawn) = crate::sim::host::draw(512) {
        return 0.75 + drawn as f64 / 1_024.0;
    }
    0.75 + (bits_128() % 512) as f64 / 1_024.0
}
