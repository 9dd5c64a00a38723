//! Which records are wanted, and what they say of station and day.

use serde::Deserialize;

use crate::noaa::{Date, Element, StationId};

/// What is wanted; empty lists want everything.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// These stations.
    pub stations: Vec<StationId>,
    /// These elements: lines of them, documents that have one of them.
    pub elements: Vec<Element>,
    /// From this date on.
    pub from: Option<Date>,
    /// Up to this date.
    pub to: Option<Date>,
}

impl Selection {
    /// Whether a line or a document is wanted. What says nothing of station or day is, where nothing is asked of that.
    pub fn wants(&self, text: &[u8]) -> bool {
        if self.stations.is_empty() && self.elements.is_empty() && self.from.is_none() && self.to.is_none() {
            return true;
        }
        let is_wanted_date =
            |date: Date| self.from.is_none_or(|from| date >= from) && self.to.is_none_or(|to| date <= to);
        let asks_date = self.from.is_some() || self.to.is_some();
        (self.stations.is_empty() || station_of(text).is_some_and(|station| self.stations.contains(&station)))
            && (!asks_date || date_of(text).is_some_and(is_wanted_date))
            && (self.elements.is_empty() || self.elements.iter().any(|element| has_element(text, *element)))
    }
}

/// The fields of a document that say what it is about.
#[derive(Deserialize)]
struct About<'a> {
    #[serde(borrow, default)]
    station: Option<AboutStation<'a>>,
    #[serde(default)]
    station_id: Option<std::borrow::Cow<'a, str>>,
    #[serde(default)]
    date: Option<std::borrow::Cow<'a, str>>,
}

#[derive(Deserialize)]
struct AboutStation<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
}

fn is_document(text: &[u8]) -> bool {
    text.first() == Some(&b'{')
}

/// The station of a by_year line or a document.
pub fn station_of(text: &[u8]) -> Option<StationId> {
    if !is_document(text) {
        return StationId::parse(text.get(..11)?).filter(|_| text.get(11) == Some(&b','));
    }
    let about: About<'_> = serde_json::from_slice(text).ok()?;
    let id = about.station.map(|station| station.id).or(about.station_id)?;
    StationId::parse(id.as_bytes())
}

/// The day of a by_year line or a document.
pub fn date_of(text: &[u8]) -> Option<Date> {
    if !is_document(text) {
        return Date::parse_compact(text.get(12..20)?);
    }
    let about: About<'_> = serde_json::from_slice(text).ok()?;
    Date::parse_iso(&about.date?)
}

fn has_element(text: &[u8], element: Element) -> bool {
    if !is_document(text) {
        return text.get(21..25) == Some(element.as_bytes().as_slice());
    }
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(text).unwrap_or_default();
    fields.contains_key(element.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_documents_are_chosen_alike() {
        let line = b"USC00027716,20160615,TMIN,-44,,S,7,".as_slice();
        let document =
            br#"{"station":{"id":"USC00027716"},"date":"2016-06-15T00:00:00","TMIN":-4.4}"#.as_slice();
        let raw = br#"{"station_id":"USC00027716","date":"2016-06-15","TMIN":-4.4}"#.as_slice();
        let date = |text| Date::parse_iso(text);
        let id = |text: &str| vec![StationId::parse(text.as_bytes()).unwrap()];
        let element = |text: &str| vec![Element::parse(text.as_bytes()).unwrap()];
        for text in [line, document, raw] {
            let wants = |selection: Selection| selection.wants(text);
            assert!(wants(Selection::default()));
            assert!(wants(Selection {
                stations: id("USC00027716"),
                elements: element("TMIN"),
                ..Selection::default()
            }));
            assert!(!wants(Selection { stations: id("USC00027717"), ..Selection::default() }));
            assert!(!wants(Selection { elements: element("TMAX"), ..Selection::default() }));
            assert!(wants(Selection {
                from: date("2016-06-15"),
                to: date("2016-06-15"),
                ..Selection::default()
            }));
            assert!(!wants(Selection { from: date("2016-06-16"), ..Selection::default() }));
            assert!(!wants(Selection { to: date("2016-06-14"), ..Selection::default() }));
        }
    }
}
