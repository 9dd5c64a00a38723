//! The verdict of a condition.

/// The outcome for one observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The condition holds.
    Holds,
    /// It does not hold.
    HoldsNot,
    /// It cannot be decided: a value that it needs was not reported.
    Unknown,
}
