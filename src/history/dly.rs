//! A line of a `.dly` file: a month of one element of one station, in fixed columns (GHCN-Daily readme, III).

use super::line::give_line;
use crate::noaa::{Date, Element, Reading, StationId};

/// Columns of one day: value, measurement, quality and source flag.
const DAY_COLUMNS: usize = 8;
/// The columns of the value.
const VALUE_COLUMNS: usize = 5;
/// The column of the first day.
const FIRST_DAY: usize = 21;
/// Marks a missing value.
const MISSING: i32 = -9999;

/// Calls `visit` with a by_year line for each day of the month that has a value.
///
/// # Errors
/// What is wrong, in a sentence.
pub(super) fn read_line(line: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<(), String> {
    let columns = |from: usize, to: usize| line.get(from..to).unwrap_or_default();
    let station = StationId::parse(columns(0, 11)).ok_or("it does not begin with a station id")?;
    let month = columns(11, 17);
    let element = Element::parse(columns(17, 21)).ok_or("columns 18 to 21 are not an element")?;
    if Date::parse_compact(&[month, b"01"].concat()).is_none() {
        return Err("columns 12 to 17 are not a year and a month".into());
    }
    let mut text = Vec::with_capacity(48);
    for day in 1..=31_u8 {
        let from = FIRST_DAY + DAY_COLUMNS * usize::from(day - 1);
        // Blanks at the end of a line are sometimes missing.
        let mut cell = [b' '; DAY_COLUMNS];
        let found = columns(from, (from + DAY_COLUMNS).min(line.len()));
        cell[..found.len()].copy_from_slice(found);
        if found.len() < VALUE_COLUMNS && !found.trim_ascii().is_empty() {
            return Err(format!("it ends within the value of day {day}; the file may be truncated"));
        }
        let value = std::str::from_utf8(&cell[..5]).map_err(|_| format!("day {day} has no number"))?.trim();
        if value.is_empty() {
            continue;
        }
        let value: i32 =
            value.parse().map_err(|_| format!("day {day} has {value:?}, which is not a number"))?;
        if value == MISSING {
            continue;
        }
        let date = Date::parse_compact(&[month, &[b'0' + day / 10, b'0' + day % 10]].concat());
        let date =
            date.ok_or_else(|| format!("there is a value for day {day}, which the month does not have"))?;
        let flag = |at: usize| if cell[at] == b' ' { 0 } else { cell[at] };
        let reading = Reading {
            station,
            date,
            element,
            value,
            measurement_flag: flag(5),
            quality_flag: flag(6),
            source_flag: flag(7),
            observation_time: None,
        };
        give_line(&reading, &mut text, visit).map_err(|error| format!("day {day}: {error}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(line: &str) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        read_line(line.as_bytes(), &mut |line| found.push(String::from_utf8_lossy(line).into_owned()))?;
        Ok(found)
    }

    #[test]
    fn each_day_with_a_value_is_a_line() {
        let mut line = "USC00027716201602TMIN".to_owned();
        line.push_str("  -44 S7");
        line.push_str("-9999   ");
        line.push_str("   83H 7");
        assert_eq!(
            lines(&line).unwrap(),
            ["USC00027716,20160201,TMIN,-44,,S,7,", "USC00027716,20160203,TMIN,83,H,,7,"]
        );
    }

    #[test]
    fn mistakes_are_told() {
        assert!(lines("USC00027716201613TMIN").unwrap_err().contains("year and a month"));
        let days = format!("USC00027716201602TMIN{}    1   ", "-9999   ".repeat(29));
        assert!(lines(&days).unwrap_err().contains("day 30"));
        assert!(lines("USC00027716201602TMIN  x44  7").unwrap_err().contains("not a number"));
        for cut in [24, 25, 31, 33] {
            let whole = "USC00027716201602TMIN  144  7-9999   ";
            assert!(lines(&whole[..cut]).is_err(), "{cut}");
        }
        assert!(lines("").is_err());
    }
}
