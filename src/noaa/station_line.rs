//! Parses and writes the fixed columns of `ghcnd-stations.txt`.
//!
//! The columns count bytes, not characters: `MONTRéAL` takes one byte more than it shows.

use super::station::MISSING_ELEVATION;
use super::{Codes, Location, Station, StationId, shorten};
use std::fmt;

/// Why a line is not a station. Texts from the line are shortened and escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StationError {
    /// It is empty.
    Empty,
    /// It ends before the station's name.
    TooShort {
        /// How many bytes it has.
        bytes: usize,
    },
    /// A column is not UTF-8.
    NotUtf8 {
        /// The name of the column.
        column: &'static str,
    },
    /// It does not start with a station id.
    BadStationId(String),
    /// A column is not a number, or not one in its range.
    BadNumber {
        /// The name of the column.
        column: &'static str,
        /// Its text.
        text: String,
    },
    /// The station has no name.
    NoName,
}

impl Station {
    /// Parses one line of the inventory. It may end early if only blank columns would follow; the end of line is
    /// ignored.
    ///
    /// An unknown country is named by its code, and an unknown state has no name: stations must not get lost because
    /// a list of names is older than they are.
    ///
    /// # Errors
    ///
    /// The first column that cannot be read.
    pub fn parse_line(line: &[u8], countries: &Codes, states: &Codes) -> Result<Station, StationError> {
        let line = line.trim_ascii_end();
        if line.is_empty() {
            return Err(StationError::Empty);
        }
        let id_text = column_bytes(line, 1, 11);
        let id = StationId::parse(id_text).ok_or_else(|| StationError::BadStationId(shorten(id_text)))?;
        if line.len() < 42 {
            return Err(StationError::TooShort { bytes: line.len() });
        }
        let lat = number(column_bytes(line, 13, 20), "latitude", 90.0)?;
        let lon = number(column_bytes(line, 22, 30), "longitude", 180.0)?;
        // All stations are within ten kilometres of sea level; the range only catches shifted columns.
        let elevation = number(column_bytes(line, 32, 37), "elevation", 10_000.0)?;
        let name = text(line, (42, 71), "name")?.ok_or(StationError::NoName)?;
        let state_code = text(line, (39, 40), "state")?;
        let country_code = id.country_code();
        Ok(Station {
            id,
            country_code: country_code.to_owned(),
            country: countries.name(country_code).unwrap_or(country_code).to_owned(),
            location: Location { lat, lon },
            elevation: (elevation != MISSING_ELEVATION).then_some(elevation),
            state: state_code.as_deref().and_then(|code| states.name(code)).map(str::to_owned),
            state_code,
            name,
            gsn_flag: text(line, (73, 75), "GSN flag")?,
            hcn_crn_flag: text(line, (77, 79), "HCN/CRN flag")?,
            wmo_id: text(line, (81, 85), "WMO id")?,
            icao: None,
        })
    }

    /// The line of the inventory, without an end of line; [`Station::parse_line`] parses it.
    pub fn to_line(&self) -> String {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let Location { lat, lon } = self.location;
        let elevation = self.elevation.unwrap_or(MISSING_ELEVATION);
        let (state, name) = (text(&self.state_code), &self.name);
        // The formatter counts characters, the columns bytes.
        let width = (30 + name.chars().count()).saturating_sub(name.len());
        let (gsn, hcn_crn, wmo) = (text(&self.gsn_flag), text(&self.hcn_crn_flag), text(&self.wmo_id));
        format!(
            "{} {lat:8.4} {lon:9.4} {elevation:6.1} {state:2} {name:width$} {gsn:3} {hcn_crn:3} {wmo:5}",
            self.id
        )
    }
}

/// The bytes of the columns `first` to `last`, counted from 1 as NOAA does; columns past the end are left out.
fn column_bytes(line: &[u8], first: usize, last: usize) -> &[u8] {
    let end = last.min(line.len());
    line.get(first - 1..end).unwrap_or_default()
}

/// The text in a column without surrounding blanks; `None` if it is empty.
fn text(line: &[u8], range: (usize, usize), column: &'static str) -> Result<Option<String>, StationError> {
    let bytes = column_bytes(line, range.0, range.1);
    let text = std::str::from_utf8(bytes).map_err(|_| StationError::NotUtf8 { column })?.trim();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// The number in a column, from `-max` to `max`.
pub(super) fn number(bytes: &[u8], column: &'static str, max: f64) -> Result<f64, StationError> {
    let bytes = bytes.trim_ascii();
    // Rust also parses "inf", "nan" and "1e3", which an inventory never contains.
    let is_plain = bytes.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
    let number =
        std::str::from_utf8(bytes).ok().filter(|_| is_plain).and_then(|text| text.parse::<f64>().ok());
    match number {
        Some(number) if number.abs() <= max => Ok(number),
        _ => Err(StationError::BadNumber { column, text: shorten(bytes) }),
    }
}

impl fmt::Display for StationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StationError::Empty => write!(f, "empty line"),
            StationError::TooShort { bytes } => write!(f, "truncated after {bytes} bytes, before the name"),
            StationError::NotUtf8 { column } => write!(f, "{column} is not UTF-8"),
            StationError::BadStationId(text) => {
                write!(f, "station id '{text}' is not 11 letters, digits, '-' or '_'")
            }
            StationError::BadNumber { column, text } => {
                write!(f, "{column} '{text}' is not a number in its range")
            }
            StationError::NoName => write!(f, "the station has no name"),
        }
    }
}

impl std::error::Error for StationError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &str =
        "XAX00000001  33.6228 -111.9106  449.0 NB NEW TOWN  \"NORTH\" 2 W          GSN HCN 00001";

    fn parse(line: impl AsRef<[u8]>) -> Result<Station, StationError> {
        let countries = Codes::parse(&b"XA Xanadu [Far Lands] "[..]).unwrap();
        let states = Codes::parse(&b"NB NEW BOHEMIA"[..]).unwrap();
        Station::parse_line(line.as_ref(), &countries, &states)
    }

    #[test]
    fn all_columns_are_read() {
        let station = parse(LINE).unwrap();
        assert_eq!(station.id.as_str(), "XAX00000001");
        assert_eq!((station.country_code.as_str(), station.country.as_str()), ("XA", "Xanadu [Far Lands]"));
        assert_eq!(station.location, Location { lat: 33.6228, lon: -111.9106 });
        assert_eq!(station.elevation, Some(449.0));
        assert_eq!(
            (station.state_code.as_deref(), station.state.as_deref()),
            (Some("NB"), Some("NEW BOHEMIA"))
        );
        assert_eq!(station.name, "NEW TOWN  \"NORTH\" 2 W");
        assert_eq!(station.gsn_flag.as_deref(), Some("GSN"));
        assert_eq!(station.hcn_crn_flag.as_deref(), Some("HCN"));
        assert_eq!(station.wmo_id.as_deref(), Some("00001"));
    }

    #[test]
    fn a_line_may_end_after_the_name() {
        let station = parse(&LINE[..62]).unwrap();
        assert_eq!(station.name, "NEW TOWN  \"NORTH\" 2 W");
        assert_eq!((station.gsn_flag, station.hcn_crn_flag, station.wmo_id), (None, None, None));
        assert_eq!(parse(format!("{LINE}\r\n")), parse(LINE));
    }

    #[test]
    fn what_is_not_known_is_absent() {
        let station = parse(LINE.replace(" 449.0 NB", "-999.9 SA").replace("XAX", "ZZX")).unwrap();
        assert_eq!(station.elevation, None);
        assert_eq!((station.state_code.as_deref(), station.state.as_deref()), (Some("SA"), None));
        assert_eq!((station.country_code.as_str(), station.country.as_str()), ("ZZ", "ZZ"));
    }

    #[test]
    fn columns_count_bytes() {
        // "é" has two bytes, so one blank less follows the name.
        let station = parse(LINE.replace("NEW TOWN  ", "N\u{e9}W TOWN ")).unwrap();
        assert_eq!(station.name, "N\u{e9}W TOWN \"NORTH\" 2 W");
        assert_eq!(station.wmo_id.as_deref(), Some("00001"));
    }

    #[test]
    fn lines_are_written_as_they_are_read() {
        for line in
            [LINE.to_owned(), LINE.replace("NEW TOWN  ", "N\u{e9}W TOWN "), LINE.replace(" 449.0", "-999.9")]
        {
            assert_eq!(parse(&line).unwrap().to_line(), line);
        }
    }

    #[test]
    fn errors_name_the_column() {
        let error = |line: &str| parse(line).unwrap_err().to_string();
        assert_eq!(error("  \n"), "empty line");
        assert_eq!(error(&LINE[..40]), "truncated after 40 bytes, before the name");
        assert_eq!(error(&LINE[..5]), "station id 'XAX00' is not 11 letters, digits, '-' or '_'");
        assert_eq!(
            error(&LINE.replace(" 33.6228", " 93.6228")),
            "latitude '93.6228' is not a number in its range"
        );
        assert_eq!(
            error(&LINE.replace("-111.9106", "     nan ")),
            "longitude 'nan' is not a number in its range"
        );
        assert_eq!(error(&LINE.replace(" 449.0", "      ")), "elevation '' is not a number in its range");
        let nameless = format!("{}{}GSN", &LINE[..41], " ".repeat(31));
        assert_eq!(error(&nameless), "the station has no name");
        let mut bytes = LINE.as_bytes().to_vec();
        bytes[45] = 0xff;
        assert_eq!(parse(bytes).unwrap_err().to_string(), "name is not UTF-8");
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes: Vec<u8>, cut in 0..90usize, position in 0..85usize, byte: u8) {
            let _ = parse(&bytes);
            let mut line = LINE.as_bytes().to_vec();
            if let Some(slot) = line.get_mut(position) {
                *slot = byte;
            }
            line.truncate(cut);
            let _ = parse(line);
        }
    }
}
