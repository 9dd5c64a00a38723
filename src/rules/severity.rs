//! The urgency of alerts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How urgent an alert is. Urgent alerts may pass through quiet hours.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For information.
    Info,
    /// Somebody should act.
    #[default]
    Warning,
    /// Somebody must act at once.
    Critical,
}

impl Severity {
    /// Its name in rules and alerts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}
