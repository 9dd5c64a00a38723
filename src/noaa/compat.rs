//! The form of documents: the present one, or the talk's.

use serde::{Deserialize, Serialize};

/// The form of documents to write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compat {
    /// frostline's own form: whole names, whole flags, numbers as numbers, nothing invented for missing values.
    #[default]
    None,
    /// The form of Elastic Rally's `noaa` track, with the mistakes of its `process.py`: names cut to the first word,
    /// `hcn_crn_flag` cut to two letters, a missing elevation as -999.9, values that are not in tenths as strings,
    /// and TMIN and TMAX exchanged if the former is greater.
    Rally,
}
