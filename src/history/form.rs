//! Which form a file has, by its first line.

use super::station_csv::Columns;
use crate::noaa::{Date, StationId};

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One element of one station-day a line.
    ByYear,
    /// Fixed columns: a month of one element a line.
    Dly,
    /// A column for each element.
    StationCsv,
    /// One object a line.
    JsonLines,
    /// Objects between brackets, or one after the other, over any number of lines.
    JsonArray,
}

impl Form {
    /// Tells the form by the first bytes of a file, which hold at least its first line or very much of it. What is of no
    /// known form counts as by_year CSV, whose reader says what is wrong with each line.
    pub fn of(start: &[u8]) -> Self {
        let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
        let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
        match start.first() {
            Some(b'[') => Self::JsonArray,
            // An object over several lines is read as an array is: by its brackets.
            Some(b'{') if matches!(line.trim_ascii_end().last(), Some(b'{' | b'[' | b',')) => Self::JsonArray,
            Some(b'{') => Self::JsonLines,
            _ if line.starts_with(b"\"STATION\"") || line.starts_with(b"STATION,") => Self::StationCsv,
            _ if Columns::is_header(&String::from_utf8_lossy(line)) => Self::StationCsv,
            _ if is_dly(line) => Self::Dly,
            _ => Self::ByYear,
        }
    }
}

/// `USC000277162016 01TMAX…` without the blank: id, year, month, element, and no comma where CSV has one.
fn is_dly(line: &[u8]) -> bool {
    let month = line.get(11..17).and_then(|month| Date::parse_compact(&[month, b"01"].concat()));
    line.get(..11).and_then(StationId::parse).is_some()
        && month.is_some()
        && line.len() > 21
        && line[11] != b','
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_by_their_first_line() {
        for (start, form) in [
            ("ID,DATE,ELEMENT,DATA_VALUE", Form::ByYear),
            ("USW00003192,20160215,AWND,14,,,W,\n", Form::ByYear),
            ("USC00027716201601TMAX   83  7  100  7", Form::Dly),
            ("\"STATION\",\"DATE\",\"LATITUDE\"\n", Form::StationCsv),
            ("STATION,DATE,LATITUDE\n", Form::StationCsv),
            ("\"DATE\",\"STATION\",\"TMIN\"\n", Form::StationCsv),
            ("{\"station_id\":\"x\"}\n", Form::JsonLines),
            ("{\n  \"station_id\": \"x\"\n}\n", Form::JsonArray),
            ("\u{feff} [\n{", Form::JsonArray),
            ("", Form::ByYear),
            ("what?", Form::ByYear),
        ] {
            assert_eq!(Form::of(start.as_bytes()), form, "{start:?}");
        }
    }
}
