//! The fast reader of observations: one pass over the bytes, for JSON in any usual style: with or without blanks,
//! with fields in any order, with unknown fields, with escapes in texts.
//!
//! Unusual input (escapes in names, a field that comes twice, exponents, any mistake) is not handled here: the result
//! is `None`, and the thorough reader of [`super::parse`] reads the whole document again. So this reader only has to
//! be right about the input it accepts: it accepts only JSON, and reads the same from it as the thorough reader (a
//! property test compares the two).

use std::borrow::Cow;
use std::rc::Rc;

use super::plain_length::plain_length;
use super::short_number::{POWERS_OF_TEN, short_number};
use super::view::{ElementList, ObservationView, StationView, sort, station_text};
use super::{Date, Element, ElementValue, KnownStations, StationId};

/// Deepest nesting that is handled here.
const DEPTH_MAX: usize = 16;

/// Most digits of a number that is handled here: they fit a `u64`.
const DIGITS_MAX: usize = 18;

/// Largest whole number that an `f64` holds with all its neighbours.
const EXACT_MAX: u64 = 1 << 53;

/// Common names in their usual order, with quotes and colon.
const DOCUMENT_NAMES: [&str; 4] = ["\"station\":", "\"date\":", "\"TRANGE\":", "\"revision\":"];
const STATION_NAMES: [&str; 10] = [
    "\"id\":",
    "\"country_code\":",
    "\"country\":",
    "\"location\":",
    "\"elevation\":",
    "\"state_code\":",
    "\"state\":",
    "\"name\":",
    "\"hcn_crn_flag\":",
    "\"wmo_id\":",
];
const LOCATION_NAMES: [&str; 2] = ["\"lat\":", "\"lon\":"];
const RANGE_NAMES: [&str; 2] = ["\"gte\":", "\"lte\":"];

/// Reads a document in a usual style; `None` says nothing about it. With `known`, a known station is not parsed
/// again.
pub(super) fn observation(value: &[u8], known: Option<&mut KnownStations>) -> Option<ObservationView> {
    let mut scanner = Scanner { bytes: value, at: 0, known };
    let (mut station, mut date, mut revision) = (None, None, None);
    let mut elements = ElementList::new();
    scanner.fields(&DOCUMENT_NAMES, |scanner, name| match name {
        b"station" => set(&mut station, scanner.station()?),
        b"date" => set(&mut date, Date::parse_iso(scanner.text()?)?),
        b"revision" => set(&mut revision, u32::try_from(scanner.positive()?).ok()?),
        _ => match Element::parse(name) {
            Some(element) => {
                // Two arms, so that the value is not built somewhere else and then copied.
                match scanner.element_value()? {
                    ElementValue::Int(number) => elements.push((element, ElementValue::Int(number))),
                    ElementValue::Float(number) => elements.push((element, ElementValue::Float(number))),
                }
                Some(())
            }
            None => scanner.skip(0),
        },
    })?;
    scanner.end()?;
    sort(&mut elements);
    Some(ObservationView { station: station?, date: date?, revision: revision.unwrap_or(1), elements })
}

/// If a field comes twice the last counts: a case for the thorough reader.
fn set<T>(field: &mut Option<T>, value: T) -> Option<()> {
    field.replace(value).is_none().then_some(())
}

/// A position in a value. Everything before it has been read, and is UTF-8: strings are checked, and elsewhere only
/// ASCII is accepted.
struct Scanner<'a, 'k> {
    bytes: &'a [u8],
    at: usize,
    known: Option<&'k mut KnownStations>,
}

impl<'a> Scanner<'a, '_> {
    /// Skips white space, and returns the next byte without taking it.
    #[inline(always)]
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.bytes.get(self.at)?;
            if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Takes `wanted`, after white space.
    #[inline(always)]
    fn take(&mut self, wanted: u8) -> Option<()> {
        let found = self.peek()? == wanted;
        self.at += 1;
        found.then_some(())
    }

    /// Checks that only white space follows.
    fn end(&mut self) -> Option<()> {
        self.peek().is_none().then_some(())
    }

    /// Reads an object: `read` reads the value of each field.
    #[inline(always)]
    fn fields(
        &mut self,
        expected: &[&str],
        mut read: impl FnMut(&mut Self, &'a [u8]) -> Option<()>,
    ) -> Option<()> {
        self.take(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            let name = self.name(expected)?;
            read(self, name)?;
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    /// Reads the name of a field, and its colon. An expected name is compared, not searched for its end, so that the
    /// CPU continues without waiting for the result.
    #[inline(always)]
    fn name(&mut self, expected: &[&str]) -> Option<&'a [u8]> {
        self.peek()?;
        let rest = &self.bytes[self.at..];
        for name in expected {
            if rest.starts_with(name.as_bytes()) {
                self.at += name.len();
                return Some(&rest[1..name.len() - 2]);
            }
        }
        if let Some((&[b'"', ref name @ .., b'"', b':'], _)) = rest.split_first_chunk::<7>()
            && Element::parse(name).is_some()
        {
            self.at += 7;
            return Some(&rest[1..5]);
        }
        let name = self.text()?;
        self.take(b':')?;
        Some(name.as_bytes())
    }

    /// A string without escapes.
    #[inline(always)]
    fn text(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let rest = &self.bytes[self.at..];
        let length = plain_length(rest);
        self.at += length + 1;
        if rest.get(length) != Some(&b'"') {
            return None;
        }
        std::str::from_utf8(&rest[..length]).ok()
    }

    /// A string, including escapes.
    #[inline(always)]
    fn any_text(&mut self) -> Option<Cow<'a, str>> {
        self.peek()?;
        let begins_at = self.at;
        if let Some(text) = self.text() {
            return Some(Cow::Borrowed(text));
        }
        self.at = begins_at;
        self.escaped_text().map(Cow::Owned)
    }

    /// A string with escapes.
    #[cold]
    fn escaped_text(&mut self) -> Option<String> {
        let rest = &self.bytes[self.at..];
        let mut length = 1;
        loop {
            length += plain_length(rest.get(length..)?);
            match rest.get(length)? {
                b'"' => break,
                // An escaped character never ends the string.
                b'\\' => length += 2,
                _ => return None,
            }
        }
        self.at += length + 1;
        serde_json::from_slice(&rest[..=length]).ok()
    }

    /// A number that is exact as an `f64`, or whole. Inlined: otherwise its result would go through memory in parts.
    #[inline(always)]
    fn number(&mut self) -> Option<ElementValue> {
        self.peek()?;
        match self.chunk().and_then(short_number) {
            Some((number, length)) => {
                self.at += length;
                Some(number)
            }
            None => self.long_number(),
        }
    }

    /// The next eight bytes, with zeros after the end of the value.
    #[inline(always)]
    fn chunk(&self) -> Option<[u8; 8]> {
        let rest = &self.bytes[self.at..];
        match rest.first_chunk() {
            Some(chunk) => Some(*chunk),
            None if rest.is_empty() => None,
            None => {
                let last = u64::from_le_bytes(*self.bytes.last_chunk()?);
                Some((last >> (8 * (8 - rest.len()))).to_le_bytes())
            }
        }
    }

    /// A number of any length.
    #[inline(never)]
    fn long_number(&mut self) -> Option<ElementValue> {
        let is_negative = self.peek()? == b'-';
        self.at += usize::from(is_negative);
        let (whole, digits) = self.digits(0)?;
        let begins_with_zero = self.bytes.get(self.at - digits) == Some(&b'0');
        if begins_with_zero && digits > 1 {
            return None;
        }
        let is_decimal = self.bytes.get(self.at) == Some(&b'.');
        let (mantissa, decimals) = if is_decimal {
            self.at += 1;
            self.digits(whole)?
        } else {
            (whole, 0)
        };
        if digits + decimals > DIGITS_MAX {
            return None;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) || mantissa > EXACT_MAX {
            return None;
        }
        if !is_decimal {
            // The thorough reader distinguishes -0 from 0.
            let number = i64::try_from(mantissa).ok().filter(|number| !is_negative || *number > 0)?;
            return Some(ElementValue::Int(if is_negative { -number } else { number }));
        }
        // Both are exact, so the quotient is the nearest `f64` to the written number.
        let number = mantissa as f64 / POWERS_OF_TEN.get(decimals)?;
        Some(ElementValue::Float(if is_negative { -number } else { number }))
    }

    /// 1 to 18 digits: `number` with the following digits, and how many there were.
    #[inline(always)]
    fn digits(&mut self, mut number: u64) -> Option<(u64, usize)> {
        let rest = &self.bytes[self.at..];
        let mut count = 0;
        while let Some(digit) = rest.get(count).map(|byte| byte.wrapping_sub(b'0'))
            && digit <= 9
        {
            // Wraps only with more digits than are accepted.
            number = number.wrapping_mul(10).wrapping_add(digit.into());
            count += 1;
        }
        self.at += count;
        (1..=DIGITS_MAX).contains(&count).then_some((number, count))
    }

    fn decimal(&mut self) -> Option<f64> {
        self.number().map(ElementValue::as_f64)
    }

    /// A whole number from 1 on.
    fn positive(&mut self) -> Option<i64> {
        match self.number()? {
            ElementValue::Int(number) if number > 0 => Some(number),
            _ => None,
        }
    }

    /// A number, or a number as text.
    #[inline(always)]
    fn element_value(&mut self) -> Option<ElementValue> {
        match self.peek()? {
            b'"' => ElementValue::from_text(self.text()?),
            _ => self.number(),
        }
    }

    /// Skips any value.
    fn skip(&mut self, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match self.peek()? {
            b'"' => self.any_text().map(drop),
            b'{' => self.fields(&RANGE_NAMES, |scanner, _| scanner.skip(depth + 1)),
            b'[' => self.items(depth),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.decimal().map(drop),
        }
    }

    fn items(&mut self, depth: usize) -> Option<()> {
        self.take(b'[')?;
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.skip(depth + 1)?;
            match self.peek()? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let found = self.bytes[self.at..].starts_with(word.as_bytes());
        self.at += word.len();
        found.then_some(())
    }

    /// The station: looked up, or parsed.
    #[inline(always)]
    fn station(&mut self) -> Option<Rc<StationView>> {
        self.peek()?;
        let text = &self.bytes[self.at..];
        if let Some((station, length)) = self.known.as_ref().and_then(|known| known.find(text)) {
            self.at += length;
            return Some(station);
        }
        let begins_at = self.at;
        let station = Rc::new(self.read_station()?);
        if let Some(known) = &mut self.known {
            known.keep(&self.bytes[begins_at..self.at], Rc::clone(&station));
        }
        Some(station)
    }

    fn read_station(&mut self) -> Option<StationView> {
        let mut id = None;
        let (mut country_code, mut country, mut state_code) = (None, None, None);
        let (mut state, mut name) = (None, None);
        let (mut location, mut elevation) = (None, None);
        self.fields(&STATION_NAMES, |scanner, field| match field {
            b"id" => set(&mut id, StationId::parse(scanner.text()?.as_bytes())?),
            b"country_code" => set(&mut country_code, scanner.any_text()?),
            b"country" => set(&mut country, scanner.any_text()?),
            b"state_code" => set(&mut state_code, scanner.any_text()?),
            b"state" => set(&mut state, scanner.any_text()?),
            b"name" => set(&mut name, scanner.any_text()?),
            b"elevation" => set(&mut elevation, scanner.decimal()?),
            b"location" => set(&mut location, scanner.location()?),
            _ => scanner.skip(1),
        })?;
        let (latitude, longitude) = location.unwrap_or_default();
        Some(StationView {
            id: id?,
            country_code: country_code.as_deref().map(station_text),
            country: country.as_deref().map(station_text),
            state_code: state_code.as_deref().map(station_text),
            state: state.as_deref().map(station_text),
            name: name.as_deref().map(station_text),
            latitude,
            longitude,
            elevation,
        })
    }

    /// Latitude and longitude.
    fn location(&mut self) -> Option<(Option<f64>, Option<f64>)> {
        let (mut latitude, mut longitude) = (None, None);
        self.fields(&LOCATION_NAMES, |scanner, field| match field {
            b"lat" => set(&mut latitude, scanner.decimal()?),
            b"lon" => set(&mut longitude, scanner.decimal()?),
            _ => scanner.skip(2),
        })?;
        Some((latitude, longitude))
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
