//! The JSON of all stations in little memory: what stations of one country or state have in common is kept once.
//!
//! Names and codes of countries and states are a third of the JSON of a station, and half of it in the US.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::noaa::StationId;

/// JSON by station id.
#[derive(Default)]
pub(super) struct StationTexts {
    texts: HashMap<StationId, Packed, foldhash::fast::RandomState>,
    shared: Shared,
}

/// One station's JSON without its two shared pieces.
struct Packed {
    own: Box<str>,
    /// Where the shared pieces belong in `own`, and which they are.
    pieces: [(u16, u16); 2],
}

/// Pieces that many stations have, by number; the first is empty.
struct Shared {
    pieces: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u16>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { pieces: vec!["".into()], numbers: HashMap::new() }
    }
}

impl Shared {
    /// The number of a piece; `None` if there are too many.
    fn number(&mut self, piece: &str) -> Option<u16> {
        if let Some(number) = self.numbers.get(piece) {
            return Some(*number);
        }
        let number = u16::try_from(self.pieces.len()).ok()?;
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
    // A short number has room for any place in it.
    let is_usual = (state.is_empty() || country.end <= state.start) && json.len() <= usize::from(u16::MAX);
    if is_usual { [country, state] } else { [0..0, 0..0] }
}

impl StationTexts {
    /// Adds or replaces the JSON of a station.
    pub(super) fn insert(&mut self, id: StationId, json: &str) {
        let (mut own, mut placed, mut taken) = (String::with_capacity(json.len()), [(0, 0); 2], 0);
        for (piece, place) in pieces(json).into_iter().zip(&mut placed) {
            if piece.is_empty() {
                continue;
            }
            let Some(number) = self.shared.number(&json[piece.clone()]) else { continue };
            own.push_str(&json[taken..piece.start]);
            taken = piece.end;
            *place = (u16::try_from(own.len()).unwrap_or_default(), number);
        }
        own.push_str(&json[taken..]);
        self.texts.insert(id, Packed { own: own.into(), pieces: placed });
    }

    /// Removes a station.
    pub(super) fn remove(&mut self, id: StationId) {
        self.texts.remove(&id);
    }

    /// The JSON of a station.
    pub(super) fn get(&self, id: StationId) -> Option<String> {
        let Packed { own, pieces } = self.texts.get(&id)?;
        let texts = pieces.map(|(_, number)| &*self.shared.pieces[usize::from(number)]);
        let mut json = String::with_capacity(own.len() + texts[0].len() + texts[1].len());
        let mut taken = 0;
        for ((place, _), text) in pieces.iter().zip(texts) {
            let place = usize::from(*place).max(taken);
            json.push_str(&own[taken..place]);
            json.push_str(text);
            taken = place;
        }
        json.push_str(&own[taken..]);
        Some(json)
    }

    /// The ids of all stations, in no particular order.
    pub(super) fn ids(&self) -> impl Iterator<Item = StationId> {
        self.texts.keys().copied()
    }

    /// How many stations there are.
    pub(super) fn len(&self) -> usize {
        self.texts.len()
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
        assert_eq!(index.shared.pieces.len(), 3, "the empty one, a country and a state");
        let own = &index.texts[&id("USW00000001")].own;
        assert!(!own.contains("Arizona") && !own.contains("United States"), "{own}");
        assert!(!index.texts[&id("AJ000000007")].own.contains("United States"));
        index.remove(id("USW00000001"));
        assert_eq!((index.get(id("USW00000001")), index.len()), (None, 6));
    }
}
