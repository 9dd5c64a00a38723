//! A reading: one line of a by_year file.

use super::number::{parse_i32, write_i32};
use super::reading_error::ReadingError;
use super::{Date, Element, StationId, shorten};

/// The start of by_year files in NOAA's newer form.
const HEADER: &[u8] = b"ID,DATE,ELEMENT";

/// Marks a missing value in NOAA's monthly files. by_year files should have no such line.
const MISSING: i32 = -9999;

/// One line of a by_year file: the value of one element at one station on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reading {
    /// The station.
    pub station: StationId,
    /// The day it belongs to, in the station's own time.
    pub date: Date,
    /// The measured element.
    pub element: Element,
    /// The value as NOAA stores it; [`Element::scale`] has its unit.
    pub value: i32,
    /// How it was measured, such as `T` for a trace; 0 if empty.
    pub measurement_flag: u8,
    /// The failed quality check of NOAA; 0 if none failed.
    pub quality_flag: u8,
    /// NOAA's source of the value; 0 if empty.
    pub source_flag: u8,
    /// The time of observation as HHMM, 0 to 2400: 700 is 07:00. `None` if unknown.
    pub observation_time: Option<u16>,
}

/// The content of a line of a by_year file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Line {
    /// A value.
    Reading(Reading),
    /// The names of the columns, with which some files start; to be skipped.
    Header,
}

impl Reading {
    /// Parses `ID,DATE,ELEMENT,VALUE,M-FLAG,Q-FLAG,S-FLAG,OBS-TIME`, with or without the end of line.
    ///
    /// # Errors
    ///
    /// The first mistake in the line, from left to right. An error may allocate; success does not.
    pub fn parse(line: &[u8]) -> Result<Line, ReadingError> {
        let line = without_line_end(line);
        parse_fields(line).or_else(|error| classify(line, error))
    }

    /// Appends the line that [`Reading::parse`] parses as this reading, without an end of line.
    pub fn to_line_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.station.as_bytes());
        out.push(b',');
        out.extend_from_slice(&self.date.to_compact_bytes());
        out.push(b',');
        out.extend_from_slice(self.element.as_bytes());
        out.push(b',');
        write_i32(self.value, out);
        for flag in [self.measurement_flag, self.quality_flag, self.source_flag] {
            out.push(b',');
            if flag != 0 {
                out.push(flag);
            }
        }
        out.push(b',');
        if let Some(time) = self.observation_time {
            out.extend([1000, 100, 10, 1].map(|place| b'0' + (time / place % 10) as u8));
        }
    }

    /// Whether NOAA's quality control rejected the value. Such values can be absurd (a frost in June), so they must
    /// not reach a rule unless the user has asked for them.
    pub fn failed_quality(&self) -> bool {
        self.quality_flag != 0
    }
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let mut line = line;
    while let [rest @ .., b'\n' | b'\r'] = line {
        line = rest;
    }
    line
}

fn parse_fields(line: &[u8]) -> Result<Line, ReadingError> {
    let [id, date, element, value, measurement, quality, source, time] = split(line)?;
    let reading = Reading {
        station: StationId::parse(id).ok_or_else(|| ReadingError::BadStationId(shorten(id)))?,
        date: Date::parse_compact(date).ok_or_else(|| ReadingError::ImpossibleDate(shorten(date)))?,
        element: Element::parse(element).ok_or_else(|| ReadingError::BadElement(shorten(element)))?,
        value: parse_value(value)?,
        measurement_flag: parse_flag(measurement, "measurement")?,
        quality_flag: parse_flag(quality, "quality")?,
        source_flag: parse_flag(source, "source")?,
        observation_time: parse_time(time)?,
    };
    Ok(Line::Reading(reading))
}

/// Gives a plain reason for lines that are not readings. Separate from [`parse_fields`], so that a good line does not
/// pay for it: a header or an empty line never has eight good fields, and neither does a line that is not UTF-8.
#[cold]
fn classify(line: &[u8], error: ReadingError) -> Result<Line, ReadingError> {
    if line.starts_with(HEADER) {
        return Ok(Line::Header);
    }
    if line.is_empty() {
        return Err(ReadingError::Empty);
    }
    match std::str::from_utf8(line) {
        Ok(_) => Err(error),
        Err(utf8) => Err(ReadingError::NotUtf8 { byte: utf8.valid_up_to() }),
    }
}

fn split(line: &[u8]) -> Result<[&[u8]; 8], ReadingError> {
    let mut fields: [&[u8]; 8] = [&[]; 8];
    let mut found = 0;
    for field in line.split(|&byte| byte == b',') {
        if let Some(slot) = fields.get_mut(found) {
            *slot = field;
        }
        found += 1;
    }
    if found == fields.len() { Ok(fields) } else { Err(ReadingError::FieldCount(found)) }
}

fn parse_value(text: &[u8]) -> Result<i32, ReadingError> {
    match parse_i32(text) {
        Some(MISSING) => Err(ReadingError::MissingValue),
        Some(value) => Ok(value),
        None => Err(ReadingError::BadValue(shorten(text))),
    }
}

/// A flag is one letter or digit, or nothing (0).
fn parse_flag(text: &[u8], which: &'static str) -> Result<u8, ReadingError> {
    match text {
        [] => Ok(0),
        [flag] if flag.is_ascii_alphanumeric() => Ok(*flag),
        _ => Err(ReadingError::BadFlag { which, text: shorten(text) }),
    }
}

/// A time of observation is HHMM from 0000 to 2400, or nothing.
fn parse_time(text: &[u8]) -> Result<Option<u16>, ReadingError> {
    if text.is_empty() {
        return Ok(None);
    }
    let number = if text.len() == 4 { parse_i32(text) } else { None };
    let time = number.and_then(|number| u16::try_from(number).ok());
    match time {
        Some(time) if time <= 2400 && time % 100 < 60 => Ok(Some(time)),
        _ => Err(ReadingError::BadObservationTime(shorten(text))),
    }
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
