//! An observation: all readings of one station and date, and the document made of them.

use super::number::{write_i32, write_tenths, write_u32};
use super::{Compat, Date, Element, Scale, StationId};
use std::fmt;

/// Pairs of minimum and maximum that a document also has as a range.
const RANGES: [(&str, Element, Element); 2] =
    [("TRANGE", Element::TMIN, Element::TMAX), ("MDTRANGE", Element::MDTN, Element::MDTX)];

/// Bytes that one reading takes in a store: its element and its value.
const ENCODED_LEN: usize = 8;

/// All readings of one station on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    station: StationId,
    date: Date,
    // Sorted by element and without duplicates, so that the same readings give the same document and the same bytes
    // in the store, in whatever order they arrive.
    readings: Vec<(Element, i32)>,
}

/// Why bytes from a store are not the readings of an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The number of bytes is not a multiple of 8.
    Length(usize),
    /// The reading at this position, counted from 0, has no element.
    Element(usize),
    /// The reading at this position is not sorted after the one before it.
    Order(usize),
}

impl Observation {
    /// An observation without readings.
    pub fn new(station: StationId, date: Date) -> Observation {
        Observation { station, date, readings: Vec::new() }
    }

    /// Starts another observation in this one's memory, for writing millions of them in a row.
    pub fn restart(&mut self, station: StationId, date: Date) {
        self.station = station;
        self.date = date;
        self.readings.clear();
    }

    /// The station.
    pub fn station(&self) -> StationId {
        self.station
    }

    /// The day, in the station's own time.
    pub fn date(&self) -> Date {
        self.date
    }

    /// The readings, sorted by element; values as NOAA stores them.
    pub fn readings(&self) -> &[(Element, i32)] {
        &self.readings
    }

    /// The value of an element as NOAA stores it; `None` if there is no such reading.
    pub fn value(&self, element: Element) -> Option<i32> {
        self.position(element).ok().map(|at| self.readings[at].1)
    }

    /// Adds a reading, or replaces the one of the same element. Returns whether that changed anything: the same
    /// reading again does not.
    pub fn insert(&mut self, element: Element, value: i32) -> bool {
        match self.position(element) {
            Ok(at) => std::mem::replace(&mut self.readings[at].1, value) != value,
            Err(at) => {
                self.readings.insert(at, (element, value));
                true
            }
        }
    }

    /// Removes the reading of an element. Returns whether there was one.
    pub fn remove(&mut self, element: Element) -> bool {
        let position = self.position(element);
        position.map(|at| self.readings.remove(at)).is_ok()
    }

    /// The place of the element, or where to insert it.
    fn position(&self, element: Element) -> Result<usize, usize> {
        self.readings.binary_search_by_key(&element, |&(element, _)| element)
    }

    /// Appends the document of topic `noaa-json` to `out`.
    ///
    /// `station_json` is inserted unchanged: the result of [`Station::to_json`](super::Station::to_json) for the same
    /// `compat`, made once per station. Values in tenths are written as exact decimals. A `revision` above 1 is
    /// written after the date; the Rally form has no revisions. In the Rally form, whole values are strings, and a
    /// minimum above its maximum is exchanged with it; frostline's own form keeps the measured values and only orders
    /// the range.
    pub fn to_json_into(&self, station_json: &str, compat: Compat, revision: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"station\":");
        out.extend_from_slice(station_json.as_bytes());
        out.extend_from_slice(b",\"date\":\"");
        out.extend_from_slice(&self.date.to_iso_bytes());
        out.extend_from_slice(b"T00:00:00\"");
        if revision > 1 && compat == Compat::None {
            out.extend_from_slice(b",\"revision\":");
            write_u32(revision, out);
        }
        for &(element, value) in &self.readings {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(element.as_bytes());
            out.extend_from_slice(b"\":");
            match compat {
                Compat::None => write_value(element, value, out),
                Compat::Rally => write_value_rally(element, self.rally_value(element, value), out),
            }
        }
        for (name, minimum, maximum) in RANGES {
            if let (Some(minimum), Some(maximum)) = (self.value(minimum), self.value(maximum)) {
                write_range(name, minimum.min(maximum), minimum.max(maximum), out);
            }
        }
        out.push(b'}');
    }

    /// The value that `process.py` writes for this element: it exchanges a minimum and a maximum in the wrong order.
    fn rally_value(&self, element: Element, value: i32) -> i32 {
        for (_, minimum, maximum) in RANGES {
            if element == minimum {
                return value.min(self.value(maximum).unwrap_or(value));
            }
            if element == maximum {
                return value.max(self.value(minimum).unwrap_or(value));
            }
        }
        value
    }

    /// Appends the readings in the form for a store: per reading four bytes of element and four of value, big-endian,
    /// sorted by element. Station and date are in the store's key and not repeated.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.reserve(self.readings.len() * ENCODED_LEN);
        for (element, value) in &self.readings {
            out.extend_from_slice(element.as_bytes());
            out.extend_from_slice(&value.to_be_bytes());
        }
    }

    /// The observation of this station and day with the readings that [`Observation::encode_into`] wrote.
    ///
    /// # Errors
    ///
    /// Bytes that `encode_into` cannot have written: the store is damaged or holds something else.
    pub fn decode(station: StationId, date: Date, bytes: &[u8]) -> Result<Observation, DecodeError> {
        let (chunks, rest) = bytes.as_chunks::<ENCODED_LEN>();
        if !rest.is_empty() {
            return Err(DecodeError::Length(bytes.len()));
        }
        let mut readings: Vec<(Element, i32)> = Vec::with_capacity(chunks.len());
        for (at, &[e1, e2, e3, e4, v1, v2, v3, v4]) in chunks.iter().enumerate() {
            let element = Element::parse(&[e1, e2, e3, e4]).ok_or(DecodeError::Element(at))?;
            if readings.last().is_some_and(|&(before, _)| before >= element) {
                return Err(DecodeError::Order(at));
            }
            readings.push((element, i32::from_be_bytes([v1, v2, v3, v4])));
        }
        Ok(Observation { station, date, readings })
    }
}

fn write_value(element: Element, value: i32, out: &mut Vec<u8>) {
    match element.scale() {
        Scale::Tenths => write_tenths(value, out),
        Scale::Whole => write_i32(value, out),
    }
}

/// `process.py` writes values that it does not scale as the text that it read.
fn write_value_rally(element: Element, value: i32, out: &mut Vec<u8>) {
    match element.scale_rally() {
        Scale::Tenths => write_tenths(value, out),
        Scale::Whole => {
            out.push(b'"');
            write_i32(value, out);
            out.push(b'"');
        }
    }
}

/// All ranges are of temperatures, so their bounds are in tenths.
fn write_range(name: &str, gte: i32, lte: i32, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":{\"gte\":");
    write_tenths(gte, out);
    out.extend_from_slice(b",\"lte\":");
    write_tenths(lte, out);
    out.push(b'}');
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Length(bytes) => {
                write!(f, "{bytes} bytes of readings, which is not a multiple of {ENCODED_LEN}")
            }
            DecodeError::Element(at) => write!(f, "reading {at} has no element"),
            DecodeError::Order(at) => write!(f, "reading {at} is out of order"),
        }
    }
}

impl std::error::Error for DecodeError {}

#[cfg(test)]
#[path = "observation_tests.rs"]
mod tests;
