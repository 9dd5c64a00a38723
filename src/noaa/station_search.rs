//! Finds stations by words: parts of their names, ids, states and countries.

use super::Station;

/// A search text. Case does not matter.
pub struct StationSearch {
    /// In lower case, with single spaces.
    text: String,
}

/// How well a station matches, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameMatch {
    /// The text is its id.
    Id,
    /// Its name begins with the text.
    NamePrefix,
    /// Its name contains the text.
    NamePart,
    /// Its id begins with the text.
    IdPrefix,
    /// Each word is part of its name, id, state or country, or the code of one of these.
    Words,
}

impl StationSearch {
    /// Makes a search for a text.
    pub fn new(text: &str) -> Self {
        let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        Self { text: words.join(" ") }
    }

    /// Whether the search is empty, so that each station matches.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// How well a station matches; `None` if it does not.
    pub fn matches(&self, station: &Station) -> Option<NameMatch> {
        let (name, id) = (station.name.to_lowercase(), station.id.as_str().to_lowercase());
        let text = &*self.text;
        if text == id {
            return Some(NameMatch::Id);
        }
        match name.find(text) {
            Some(0) => return Some(NameMatch::NamePrefix),
            Some(_) => return Some(NameMatch::NamePart),
            None if id.starts_with(text) => return Some(NameMatch::IdPrefix),
            None => {}
        }
        let regions = [Some(station.country.as_str()), station.state.as_deref()];
        let codes =
            [Some(station.country_code.as_str()), station.state_code.as_deref(), station.icao.as_deref()];
        let regions: Vec<String> = regions.iter().flatten().map(|name| name.to_lowercase()).collect();
        // Each word may be in another field: "phoenix arizona", "phoenix az".
        let is_named = |word: &str| {
            name.contains(word)
                || id.contains(word)
                || regions.iter().any(|name| name.contains(word))
                || codes.iter().flatten().any(|code| code.eq_ignore_ascii_case(word))
        };
        text.split(' ').all(is_named).then_some(NameMatch::Words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noaa::{Location, StationId};

    fn newark() -> Station {
        Station {
            id: StationId::parse(b"USW00014734").unwrap(),
            country_code: "US".to_owned(),
            country: "United States".to_owned(),
            location: Location { lat: 40.68, lon: -74.17 },
            elevation: None,
            state_code: Some("NJ".to_owned()),
            state: Some("NEW JERSEY".to_owned()),
            name: "NEWARK LIBERTY INTL AP".to_owned(),
            gsn_flag: None,
            hcn_crn_flag: None,
            wmo_id: None,
            icao: None,
        }
    }

    #[test]
    fn ids_come_before_names_and_names_before_states() {
        let found = |text: &str| StationSearch::new(text).matches(&newark());
        for (text, how) in [
            ("usw00014734", Some(NameMatch::Id)),
            ("newark liberty", Some(NameMatch::NamePrefix)),
            ("  Newark   LIBERTY ", Some(NameMatch::NamePrefix)),
            ("liberty", Some(NameMatch::NamePart)),
            ("USW000147", Some(NameMatch::IdPrefix)),
            ("liberty newark", Some(NameMatch::Words)),
            ("newark nj", Some(NameMatch::Words)),
            ("newark jersey states", Some(NameMatch::Words)),
            ("14734 united", Some(NameMatch::Words)),
            ("newark ohio", None),
            ("newark n", Some(NameMatch::Words)),
            ("newark xj", None),
        ] {
            assert_eq!(found(text), how, "{text}");
        }
        assert!(NameMatch::Id < NameMatch::NamePrefix && NameMatch::NamePart < NameMatch::Words);
        assert!(StationSearch::new("  ").is_empty() && !StationSearch::new("a").is_empty());
    }
}
