//! The content of one line of a file of hourly observations.

use crate::hourly::Hour;

/// The content of a line.
pub(super) enum Found {
    /// No observation: a header, a comment, or a report without a temperature.
    Nothing,
    Hour(Box<Hour>),
    /// A METAR of a station without a GHCN id, by its ICAO id.
    Unknown(String),
    /// An invalid line, and the reason.
    Bad(String),
}

impl Found {
    pub(super) fn of(read: Result<Option<Hour>, String>) -> Self {
        match read {
            Ok(hour) => hour.map_or(Self::Nothing, |hour| Self::Hour(Box::new(hour))),
            Err(reason) => Self::Bad(reason),
        }
    }
}
