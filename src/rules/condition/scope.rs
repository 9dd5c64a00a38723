//! What a condition may speak of, and what is said if it does not.

/// The names that a condition may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Elements, `station` and `date`: rules.
    Observation,
    /// The same; separate so that messages can say "filter".
    Filter,
    /// Only `station`: chooses the stations that a rule watches.
    Station,
}

impl Scope {
    pub(super) fn subject(self) -> &'static str {
        match self {
            Self::Observation => "condition",
            Self::Filter => "filter",
            Self::Station => "choice of stations",
        }
    }

    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Station => "station.state_code == 'AZ'",
            Self::Observation | Self::Filter => "TMIN <= 10.0",
        }
    }
}

/// Why a condition is not valid, and where in its text (bytes from its start).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionError {
    /// Byte offset in the condition's text.
    pub offset: usize,
    /// What is wrong, in a sentence.
    pub message: String,
}
