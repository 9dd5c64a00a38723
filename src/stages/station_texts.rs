//! The JSON of all stations in little memory: what many of them have in common is kept once.
//!
//! Names of fields, countries and states are two thirds of a station's JSON. In the packed text a control character
//! stands for each: JSON itself has none.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::noaa::StationId;

/// Stands for [`HEAD`], the station's id and a quote.
const ID: char = '\u{1}';
const HEAD: &str = "{\"id\":\"";
/// Stands for a shared piece, whose number follows in two characters.
const PIECE: char = '\u{2}';
/// The next character is meant as it is.
const LITERAL: char = '\u{3}';
/// Characters from this one on stand for [`PHRASES`].
const FIRST_PHRASE: u8 = 4;
const PHRASES: [&str; 8] = [
    ",\"location\":{\"lat\":",
    ",\"lon\":",
    "},\"elevation\":",
    ",\"name\":\"",
    "\",\"gsn_flag\":\"",
    "\",\"hcn_crn_flag\":\"",
    "\",\"wmo_id\":\"",
    "\",\"icao\":\"",
];
/// Numbers of pieces have two digits of this base, which begin at [`DIGIT_ZERO`].
const BASE: usize = 64;
const DIGIT_ZERO: u8 = b'0';

/// JSON by station id.
#[derive(Default)]
pub(super) struct StationTexts {
    packed: HashMap<StationId, Box<str>, foldhash::fast::RandomState>,
    shared: Shared,
}

/// Pieces that many stations have, by number.
#[derive(Default)]
struct Shared {
    pieces: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, usize>,
}

impl Shared {
    /// The number of a piece; `None` if there are too many.
    fn number(&mut self, piece: &str) -> Option<usize> {
        if let Some(number) = self.numbers.get(piece) {
            return Some(*number);
        }
        let number = self.pieces.len();
        if number >= BASE * BASE {
            return None;
        }
        let piece: Arc<str> = piece.into();
        self.pieces.push(Arc::clone(&piece));
        self.numbers.insert(piece, number);
        Some(number)
    }
}

/// The fields of the country, and those of the state, with the commas before them.
fn pieces(json: &str) -> [Range<usize>; 2] {
    let between = |first: &str, next: &str| match (json.find(first), json.find(next)) {
        (Some(start), Some(end)) if start < end => start..end,
        _ => 0..0,
    };
    let country = between(",\"country_code\":", ",\"location\":");
    let state = between(",\"state_code\":", ",\"name\":");
    let is_usual = state.is_empty() || country.end <= state.start;
    if is_usual { [country, state] } else { [0..0, 0..0] }
}

/// Appends a part of the JSON of a station, packed.
fn pack(json: &str, id: &str, packed: &mut String) {
    let mut rest = json;
    while let Some(first) = rest.chars().next() {
        let head = rest.strip_prefix(HEAD).and_then(|rest| rest.strip_prefix(id)?.strip_prefix('"'));
        let phrase = (FIRST_PHRASE..).zip(PHRASES).find_map(|(code, phrase)| {
            let is_possible = matches!(first, ',' | '"' | '}');
            is_possible.then(|| rest.strip_prefix(phrase)).flatten().map(|rest| (code, rest))
        });
        rest = match (head, phrase) {
            (Some(rest), _) => {
                packed.push(ID);
                rest
            }
            (None, Some((code, rest))) => {
                packed.push(char::from(code));
                rest
            }
            (None, None) => {
                if first < ' ' {
                    packed.push(LITERAL);
                }
                packed.push(first);
                &rest[first.len_utf8()..]
            }
        };
    }
}

impl StationTexts {
    /// Adds or replaces the JSON of a station.
    pub(super) fn insert(&mut self, id: StationId, json: &str) {
        let (name, mut packed, mut taken) = (id.to_string(), String::with_capacity(json.len()), 0);
        for piece in pieces(json) {
            if piece.is_empty() {
                continue;
            }
            let Some(number) = self.shared.number(&json[piece.clone()]) else { continue };
            pack(&json[taken..piece.start], &name, &mut packed);
            taken = piece.end;
            packed.push(PIECE);
            for digit in [number / BASE, number % BASE] {
                packed.push(char::from(DIGIT_ZERO + digit as u8));
            }
        }
        pack(&json[taken..], &name, &mut packed);
        self.packed.insert(id, packed.into());
    }

    /// Removes a station.
    pub(super) fn remove(&mut self, id: StationId) {
        self.packed.remove(&id);
    }

    /// The JSON of a station.
    pub(super) fn get(&self, id: StationId) -> Option<String> {
        let mut rest: &str = self.packed.get(&id)?;
        let mut json = String::with_capacity(4 * rest.len() + 128);
        while let Some(place) = rest.bytes().position(|byte| byte < b' ') {
            let (before, from) = rest.split_at(place);
            json.push_str(before);
            let (code, mut after) = from.split_at(1);
            match code.chars().next()? {
                ID => {
                    json.push_str(HEAD);
                    json.push_str(id.as_str());
                    json.push('"');
                }
                PIECE => {
                    let (digits, rest) = after.split_at(2);
                    let number =
                        digits.bytes().fold(0, |sum, byte| sum * BASE + usize::from(byte - DIGIT_ZERO));
                    json.push_str(&self.shared.pieces[number]);
                    after = rest;
                }
                LITERAL => {
                    let (literal, rest) = after.split_at(1);
                    json.push_str(literal);
                    after = rest;
                }
                code => json.push_str(PHRASES[usize::from(code as u8 - FIRST_PHRASE)]),
            }
            rest = after;
        }
        json.push_str(rest);
        Some(json)
    }

    /// The ids of all stations, in no particular order.
    pub(super) fn ids(&self) -> impl Iterator<Item = StationId> {
        self.packed.keys().copied()
    }

    /// How many stations there are.
    pub(super) fn len(&self) -> usize {
        self.packed.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_as_it_was() {
        let head = |id: &str| format!("{{\"id\":\"{id}\"");
        let whole = |id: &str| {
            let state = ",\"state_code\":\"AZ\",\"state\":\"Arizona\"";
            let place = ",\"location\":{\"lat\":33.6,\"lon\":-111.9},\"elevation\":460.0";
            let country = ",\"country_code\":\"US\",\"country\":\"United States\"";
            format!("{}{country}{place}{state},\"name\":\"ESPA\u{f1}OLA \\\",\\\"name\\\":\"}}", head(id))
        };
        let long = format!("{},\"name\":\"{}\"}}", head("USW00000004"), "x".repeat(70_000));
        let texts = [
            ("USW00000001", whole("USW00000001")),
            ("USW00000002", whole("USW00000002")),
            ("USW00000003", format!("{},\"country_code\":\"US\"}}", head("USW00000003"))),
            ("USW00000004", long),
            ("USW00000005", format!("{},\"name\":\"\",\"state_code\":\"AZ\"}}", head("USW00000005"))),
            ("USW00000006", String::new()),
            ("USW00000007", "{\"id\":\"USW00000008\",\"name\":\"\u{1}\u{7}a\u{3}\"}".to_owned()),
            ("AJ000000007", whole("AJ000000007").replace(",\"state_code\":\"AZ\",\"state\":\"Arizona\"", "")),
        ];
        let mut index = StationTexts::default();
        let id = |text: &str| StationId::parse(text.as_bytes()).unwrap();
        for (station, json) in &texts {
            index.insert(id(station), "an earlier one");
            index.insert(id(station), json);
        }
        for (station, json) in &texts {
            assert_eq!(index.get(id(station)).as_deref(), Some(json.as_str()), "{station}");
        }
        assert_eq!(index.shared.pieces.len(), 2, "a country and a state");
        let packed = &index.packed[&id("USW00000001")];
        assert_eq!(
            &**packed,
            "\u{1}\u{2}00\u{4}33.6\u{5}-111.9\u{6}460.0\u{2}01\u{7}ESPA\u{f1}OLA \\\",\\\"name\\\":\"}"
        );
        assert!(!index.packed[&id("AJ000000007")].contains("United States"));
        index.remove(id("USW00000001"));
        assert_eq!((index.get(id("USW00000001")), index.len()), (None, 7));
    }
}
