//! Why the value of a record is not an observation.

use super::Element;
use std::fmt;

/// Why the value of a record is not an observation. Texts from the value are shortened and escaped;
/// positions are in bytes, counted from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewError {
    /// It ends in the middle of the JSON.
    CutOff {
        /// How many bytes there are.
        byte: usize,
    },
    /// Arrays or objects are nested more than 127 deep.
    TooDeep,
    /// It holds bytes that are not UTF-8.
    NotUtf8 {
        /// How many valid bytes come before them.
        byte: usize,
    },
    /// It is not JSON.
    NotJson {
        /// The place of the mistake.
        byte: usize,
        /// The JSON reader's error.
        reason: String,
    },
    /// It is not a JSON object.
    NotAnObject,
    /// There is no object `station`.
    StationMissing,
    /// There is no `station.id`.
    StationIdMissing,
    /// `station.id` is not a station id.
    BadStationId(String),
    /// There is no `date`.
    DateMissing,
    /// `date` is not a day of the calendar.
    ImpossibleDate(String),
    /// `revision` is not a whole number of at least 1.
    BadRevision,
    /// The value of an element is not a number.
    NotANumber(Element),
}

impl ViewError {
    /// Converts an error of the JSON reader. Because [`super::json`] accepts values of any type, only errors of the
    /// JSON itself are left.
    #[cold]
    pub(super) fn from_json(text: &str, error: &serde_json::Error) -> ViewError {
        let reason = error.to_string();
        // `serde_json` has no code for this error.
        if reason.starts_with("recursion limit exceeded") {
            ViewError::TooDeep
        } else if error.is_eof() {
            ViewError::CutOff { byte: text.len() }
        } else {
            // The position is reported separately, so the reader's own "at line 1 column 2" is removed.
            let reason = reason.rsplit_once(" at line ").map_or(reason.as_str(), |(reason, _)| reason);
            ViewError::NotJson { byte: byte_position(text, error), reason: reason.to_owned() }
        }
    }
}

/// The byte of an error; `serde_json` counts lines and, within a line, bytes, both from 1.
fn byte_position(text: &str, error: &serde_json::Error) -> usize {
    let lines_before = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    lines_before.map(str::len).sum::<usize>() + error.column().saturating_sub(1)
}

impl fmt::Display for ViewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ViewError::CutOff { byte } => write!(f, "cut off at byte {byte}"),
            ViewError::TooDeep => write!(f, "nested too deep"),
            ViewError::NotUtf8 { byte } => write!(f, "not UTF-8 from byte {byte} on"),
            ViewError::NotJson { byte, reason } => write!(f, "not JSON at byte {byte}: {reason}"),
            ViewError::NotAnObject => write!(f, "not a JSON object"),
            ViewError::StationMissing => write!(f, "station is missing"),
            ViewError::StationIdMissing => write!(f, "station.id is missing"),
            ViewError::BadStationId(text) => {
                write!(f, "station.id '{text}' is not 11 letters, digits, '-' or '_'")
            }
            ViewError::DateMissing => write!(f, "date is missing"),
            ViewError::ImpossibleDate(text) => write!(f, "impossible date '{text}'"),
            ViewError::BadRevision => write!(f, "revision is not a whole number from 1 on"),
            ViewError::NotANumber(element) => write!(f, "element {element} is not a number"),
        }
    }
}

impl std::error::Error for ViewError {}
