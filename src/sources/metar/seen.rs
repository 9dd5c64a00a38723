//! The newest observations of a station that have been emitted, with their versions.
//!
//! The service's file repeats, reorders and corrects, and sometimes an older one comes. An observation is emitted if
//! it is new, or if its content was not emitted before and is worth no less: a correction, or a value that was
//! missing.

use sha2::{Digest, Sha256};

/// How many observations of a station are remembered; older ones are not emitted.
const OBSERVATIONS_MAX: usize = 4;
/// How many versions of an observation are remembered.
const VERSIONS_MAX: usize = 4;
/// The bytes of a version.
const HASH_BYTES: usize = 8;

/// The short hash of a version.
pub(super) type Version = [u8; HASH_BYTES];

/// The short hash of a content.
pub(super) fn version_of(text: &str) -> Version {
    let digest = Sha256::digest(text.as_bytes());
    std::array::from_fn(|at| digest[at])
}

/// The observations, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen(Vec<Observation>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Observation {
    /// In seconds since 1970.
    time: i64,
    /// The worth of the newest version.
    worth: u8,
    /// Versions, oldest first.
    versions: Vec<Version>,
}

impl Seen {
    /// Parses the result of [`Seen::to_bytes`]; stops at bytes that cannot be read.
    pub(super) fn from_bytes(mut bytes: &[u8]) -> Self {
        let mut seen = Vec::new();
        while let Some((time, [worth, count, rest @ ..])) = bytes.split_first_chunk() {
            let Some((versions, rest)) = rest.split_at_checked(usize::from(*count) * HASH_BYTES) else {
                break;
            };
            let versions =
                versions.chunks_exact(HASH_BYTES).filter_map(|hash| hash.try_into().ok()).collect();
            seen.push(Observation { time: i64::from_be_bytes(*time), worth: *worth, versions });
            bytes = rest;
        }
        Self(seen)
    }

    /// The form for a position: for each observation its time, its worth, and its versions with their number.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for observation in &self.0 {
            bytes.extend(observation.time.to_be_bytes());
            bytes.extend([observation.worth, observation.versions.len() as u8]);
            bytes.extend(observation.versions.concat());
        }
        bytes
    }

    /// The time of the newest observation.
    pub(super) fn newest(&self) -> Option<i64> {
        self.0.last().map(|observation| observation.time)
    }

    /// Whether to emit a version of the observation at `time`; if so, it is remembered.
    pub(super) fn take(&mut self, time: i64, worth: u8, version: Version) -> bool {
        match self.0.binary_search_by_key(&time, |observation| observation.time) {
            Ok(place) => {
                let known = &mut self.0[place];
                if worth < known.worth || known.versions.contains(&version) {
                    return false;
                }
                known.worth = worth;
                known.versions.push(version);
                if known.versions.len() > VERSIONS_MAX {
                    known.versions.remove(0);
                }
            }
            Err(0) if self.0.len() >= OBSERVATIONS_MAX => return false,
            Err(place) => {
                self.0.insert(place, Observation { time, worth, versions: vec![version] });
                if self.0.len() > OBSERVATIONS_MAX {
                    self.0.remove(0);
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_is_taken_once_and_none_that_is_worth_less() {
        let mut seen = Seen::default();
        let [first, second, third] = ["first", "second", "third"].map(version_of);
        assert!(seen.take(100, 1, first) && !seen.take(100, 1, first));
        assert!(seen.take(100, 2, second), "a value that was missing");
        assert!(!seen.take(100, 1, first) && !seen.take(100, 2, second), "an older file");
        assert!(!seen.take(100, 1, third), "worth less");
        assert!(seen.take(100, 8, third), "a correction");
        assert_eq!(Seen::from_bytes(&seen.to_bytes()), seen);
    }

    #[test]
    fn old_observations_are_forgotten_and_not_taken_again() {
        let mut seen = Seen::default();
        let version = version_of("x");
        for time in (0..20).map(|hour| hour * 3_600) {
            assert!(seen.take(time, 0, version));
        }
        assert!((0..20).all(|hour| !seen.take(hour * 3_600, 0, version)));
        assert!(seen.take(18 * 3_600 + 60, 0, version), "one between");
        assert_eq!((seen.0.len(), seen.newest()), (OBSERVATIONS_MAX, Some(19 * 3_600)));
        for count in 0..20 {
            assert!(seen.take(19 * 3_600, 0, version_of(&count.to_string())));
        }
        let bytes = seen.to_bytes();
        assert_eq!(Seen::from_bytes(&bytes), seen);
        assert_eq!(bytes.len(), 4 * 10 + (3 + VERSIONS_MAX) * HASH_BYTES);
    }

    #[test]
    fn other_bytes_are_no_observations() {
        for bytes in [&b""[..], b"abc", &[0; 10], &[0xff; 30]] {
            let _ = Seen::from_bytes(bytes).to_bytes();
        }
        assert_eq!(Seen::from_bytes(&[0xff; 30]), Seen::default());
    }
}
