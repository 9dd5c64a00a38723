//! What an alert reports.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transition {
    /// The condition is met, or still met.
    Fired,
    /// The episode is over.
    Resolved,
    /// The station is silent, so the state is unknown.
    Stale,
    /// Newer data no longer supports an earlier alert.
    Retracted,
    /// The coming night may reach the limit.
    Expected,
    /// The limit was reached.
    Confirmed,
    /// The night is over and the limit was not reached.
    Averted,
    /// A warning about the coming night no longer holds.
    Withdrawn,
}

impl Transition {
    /// All of them: those of days and hours, and those of nights.
    pub const ALL: [Self; 8] = [
        Self::Fired,
        Self::Resolved,
        Self::Retracted,
        Self::Stale,
        Self::Expected,
        Self::Confirmed,
        Self::Averted,
        Self::Withdrawn,
    ];

    /// Whether an alert that withdraws the one with this id withdraws an end, so that the event goes on.
    pub fn withdraws_an_end(retracts: Option<&str>) -> bool {
        retracts.and_then(Self::of_alert).is_some_and(|withdrawn| withdrawn != Self::Fired)
    }

    /// The kind of the alert with this id, such as `frost/USW00003192/2016-02-24/fired` or, if it came again, `…/fired/2`.
    fn of_alert(id: &str) -> Option<Self> {
        let mut parts = id.rsplit('/');
        let last = parts.next()?;
        let name = if last.bytes().all(|byte| byte.is_ascii_digit()) { parts.next()? } else { last };
        Self::ALL.into_iter().find(|transition| transition.as_str() == name)
    }

    /// Whether it is about a night.
    pub fn is_of_nights(self) -> bool {
        matches!(self, Self::Expected | Self::Confirmed | Self::Averted | Self::Withdrawn)
    }

    /// Its name in alerts and their ids.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Resolved => "resolved",
            Self::Stale => "stale",
            Self::Retracted => "retracted",
            Self::Expected => "expected",
            Self::Confirmed => "confirmed",
            Self::Averted => "averted",
            Self::Withdrawn => "withdrawn",
        }
    }
}
