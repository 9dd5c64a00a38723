//! Recognises the format of a file by its first line.

use super::metar_lines::MetarLines;
use super::station_csv::Columns;
use crate::hourly::{Ghcnh, Hour, HourlyCsv};
use crate::noaa::{Date, StationId};

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One element of one station-day per line.
    ByYear,
    /// Fixed columns: one month of one element per line.
    Dly,
    /// A column for each element.
    StationCsv,
    /// One object per line.
    JsonLines,
    /// Objects between brackets, or one after the other, over any number of lines.
    JsonArray,
    /// One hourly observation per line, with a header.
    HourlyCsv,
    /// NOAA's hourly data, pipe-separated.
    Ghcnh,
    /// METARs, each with a time before it.
    Metar,
    /// The METAR cache of the Aviation Weather Center.
    AwcCsv,
}

/// The interval of a file's observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Once a day: GHCN-Daily.
    Daily,
    /// Each hour or more often.
    Hourly,
}

impl Form {
    /// Recognises the format from the first bytes of a file, which hold at least its first line or a large part of
    /// it. An unknown format counts as by_year CSV, whose reader reports what is wrong with each line.
    pub fn of(start: &[u8]) -> Self {
        let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
        let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
        match start.first() {
            // `[[rule]]` is TOML.
            Some(b'[') if matches!(start[1..].trim_ascii_start().first(), None | Some(b'{' | b']')) => {
                Self::JsonArray
            }
            // An object over several lines is read like an array, by its brackets.
            Some(b'{') if matches!(line.trim_ascii_end().last(), Some(b'{' | b'[' | b',')) => Self::JsonArray,
            Some(b'{') => Self::JsonLines,
            _ if line.starts_with(b"\"STATION\"") || line.starts_with(b"STATION,") => Self::StationCsv,
            _ if Columns::is_header(&String::from_utf8_lossy(line)) => Self::StationCsv,
            _ if is_dly(line) => Self::Dly,
            _ => hourly(&String::from_utf8_lossy(start)).unwrap_or(Self::ByYear),
        }
    }

    /// The kind of the observations in a file of this form that begins like this; `None` if that does not show it.
    pub(super) fn kind_of(self, start: &[u8]) -> Option<Kind> {
        let first = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
        self.kind().or_else(|| Hour::parse(first).is_ok().then_some(Kind::Hourly))
    }

    /// The kind of its observations; `None` for documents, which may be of any kind.
    pub fn kind(self) -> Option<Kind> {
        match self {
            Self::ByYear | Self::Dly | Self::StationCsv => Some(Kind::Daily),
            Self::HourlyCsv | Self::Ghcnh | Self::Metar | Self::AwcCsv => Some(Kind::Hourly),
            Self::JsonLines | Self::JsonArray => None,
        }
    }
}

fn hourly(start: &str) -> Option<Form> {
    let line = start.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#'))?.trim_end();
    match line {
        _ if line.starts_with("raw_text,") || line == "No errors" => Some(Form::AwcCsv),
        _ if HourlyCsv::parse(line).is_some() => Some(Form::HourlyCsv),
        _ if Ghcnh::parse(line).is_some() => Some(Form::Ghcnh),
        _ if MetarLines::are_likely(line) => Some(Form::Metar),
        _ => None,
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
            ("icao,ghcn_id,time_utc,temp_c,dewpoint_c,wind_m_s\n", Form::HourlyCsv),
            ("STATION|Station_name|DATE|temperature\n", Form::Ghcnh),
            ("Station_ID|Station_name|Year|Month|Day|Hour|Minute|temperature\n", Form::Ghcnh),
            ("No errors\nNo warnings\n5 ms\ndata source=metars\n2 results\nraw_text,", Form::AwcCsv),
            ("raw_text,station_id,observation_time\n", Form::AwcCsv),
            ("2016/01/31 04:56\nKSFO 310456Z", Form::Metar),
            ("# METARs of a day\n\n201601310456 METAR KSFO 310456Z", Form::Metar),
            ("METAR KSFO 310456Z 11/06", Form::Metar),
            ("[[rule]]\nid = \"x\"\n", Form::ByYear),
            ("", Form::ByYear),
            ("what?", Form::ByYear),
        ] {
            assert_eq!(Form::of(start.as_bytes()), form, "{start:?}");
        }
    }
}
