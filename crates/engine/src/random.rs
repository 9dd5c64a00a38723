//! Randomness of the operating system, for names that no other process may have.
//!
//! `fastrand` is for shuffling and jitter: it seeds itself from the clock, so that two processes which wait for the same
//! event can draw the same number.

/// 128 bits of the operating system's randomness.
pub fn bits_128() -> u128 {
    let mut bytes = [0; 16];
    // Fails only where a kernel has neither the system call nor /dev/urandom.
    match getrandom::fill(&mut bytes) {
        Ok(()) => u128::from_ne_bytes(bytes),
        Err(error) => {
            tracing::warn!(%error, "the system gives no randomness: a name is made of time and process id");
            let time = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos());
            time << 32 | u128::from(std::process::id())
        }
    }
}
