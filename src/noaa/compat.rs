//! Which form documents have: today's, or the talk's.

use serde::{Deserialize, Serialize};

/// Which form of documents is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compat {
    /// Our own form: whole names, whole flags, numbers as numbers, nothing invented for what is missing.
    #[default]
    None,
    /// The form of Elastic Rally's `noaa` track, with the mistakes of its `process.py`: names cut to the
    /// first word, `hcn_crn_flag` cut to two letters, a missing elevation as -999.9, values that are not
    /// in tenths as strings, and TMIN and TMAX exchanged when the former is greater.
    Rally,
}
