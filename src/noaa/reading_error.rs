//! Why a line is not a reading.

use std::fmt;

/// Why a line is not a reading. Texts from the line are shortened and escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadingError {
    /// It is empty.
    Empty,
    /// It contains bytes that are not UTF-8, the first of them at this position, counted from 0.
    NotUtf8 {
        /// How many valid bytes come before it.
        byte: usize,
    },
    /// It has this many fields instead of 8.
    FieldCount(usize),
    /// The first field is not a station id.
    BadStationId(String),
    /// The second field is not a day of the calendar.
    ImpossibleDate(String),
    /// The third field is not four capital letters or digits.
    BadElement(String),
    /// The value is not a whole number of 32 bits.
    BadValue(String),
    /// The value is -9999, which marks a missing one.
    MissingValue,
    /// A flag is not a single letter or digit.
    BadFlag {
        /// `measurement`, `quality` or `source`.
        which: &'static str,
        /// Its text.
        text: String,
    },
    /// The time of observation is not HHMM.
    BadObservationTime(String),
}

impl fmt::Display for ReadingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadingError::Empty => write!(f, "empty line"),
            ReadingError::NotUtf8 { byte } => write!(f, "not UTF-8 from byte {byte} on"),
            ReadingError::FieldCount(1) => write!(f, "1 field instead of 8"),
            ReadingError::FieldCount(count) => write!(f, "{count} fields instead of 8"),
            ReadingError::BadStationId(text) => {
                write!(f, "station id '{text}' is not 11 letters, digits, '-' or '_'")
            }
            ReadingError::ImpossibleDate(text) => write!(f, "impossible date '{text}'"),
            ReadingError::BadElement(text) => {
                write!(f, "element '{text}' is not 4 capital letters or digits")
            }
            ReadingError::BadValue(text) => write!(f, "value '{text}' is not a whole number of 32 bits"),
            ReadingError::MissingValue => write!(f, "missing value (-9999)"),
            ReadingError::BadFlag { which, text } => {
                write!(f, "{which} flag '{text}' is not one letter or digit")
            }
            ReadingError::BadObservationTime(text) => {
                write!(f, "time of observation '{text}' is not HHMM from 0000 to 2400")
            }
        }
    }
}

impl std::error::Error for ReadingError {}
