//! The identity of a rule's remembered days.

use serde::Serialize;

use crate::noaa::StationId;

/// The identity of an entry; see the fields of [`Rule`](crate::rules::Rule).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Changes with everything that decides the life cycle.
    pub fingerprint: u32,
    /// Changes when the rule is removed and published again.
    pub incarnation: u32,
    /// Changes with how stations are chosen.
    pub place: u32,
}

impl Identity {
    /// A number for the place of a rule with `near`.
    pub(in crate::rules) fn of_nearest(nearest: Option<StationId>) -> u32 {
        fingerprint(&(None::<&str>, None::<&str>, nearest))
    }
}

/// A number that changes with the value.
pub(in crate::rules) fn fingerprint(value: &impl Serialize) -> u32 {
    let mut crc = flate2::Crc::new();
    // Strings and numbers into a vector: this cannot fail.
    crc.update(&serde_json::to_vec(value).unwrap_or_default());
    crc.sum()
}
