//! The verdict of a rule on a day.

/// The verdict of a rule's condition on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DayVerdict {
    /// Unknown: a deciding element was not reported.
    Unknown,
    /// The condition holds.
    Matches,
    /// The condition does not hold, and `clear` does not either.
    Between,
    /// The condition does not hold, and `clear` does.
    Clears,
}
