//! The wanted records, with their station and day.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::hourly::parse_time;
use crate::noaa::{Date, Element, StationId};

/// Seconds of a day.
const DAY: i64 = 86_400;

/// The wanted records; empty lists want everything.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// These stations.
    pub stations: Vec<StationId>,
    /// These elements: their lines, and documents with one of them.
    pub elements: Vec<Element>,
    /// From this date on.
    pub from: Option<Date>,
    /// Up to this date.
    pub to: Option<Date>,
}

impl Selection {
    /// Whether a line or a document is wanted. A record without a station or day is wanted if neither is restricted.
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

/// The fields of a document with its station and time.
#[derive(Deserialize)]
struct About<'a> {
    #[serde(borrow, default)]
    station: Option<AboutStation<'a>>,
    #[serde(default)]
    station_id: Option<std::borrow::Cow<'a, str>>,
    #[serde(default)]
    date: Option<std::borrow::Cow<'a, str>>,
    /// The time of an hourly observation. Daily documents may have another field of this name.
    #[serde(borrow, default)]
    time: Option<&'a RawValue>,
}

impl About<'_> {
    fn time(&self) -> Option<i64> {
        parse_time(self.time?.get().strip_prefix('"')?.strip_suffix('"')?)
    }
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

/// The day of a by_year line or a document; for an hourly observation, the day in UTC.
pub fn date_of(text: &[u8]) -> Option<Date> {
    if !is_document(text) {
        return Date::parse_compact(text.get(12..20)?);
    }
    let about: About<'_> = serde_json::from_slice(text).ok()?;
    match &about.date {
        Some(date) => Date::parse_iso(date),
        None => Date::from_days_since_1970(i32::try_from(about.time()?.div_euclid(DAY)).ok()?),
    }
}

/// The time of observation, in seconds since 1970: that of an hourly observation, otherwise the start of the day.
pub fn time_of(text: &[u8]) -> Option<i64> {
    let day = |date: Date| i64::from(date.days_since_1970()) * DAY;
    if !is_document(text) {
        return date_of(text).map(day);
    }
    let about: About<'_> = serde_json::from_slice(text).ok()?;
    match &about.date {
        Some(date) => Date::parse_iso(date).map(day),
        None => about.time(),
    }
}

/// Whether a text is a document of an hourly observation: it has a time and no date.
pub fn is_hourly(text: &[u8]) -> bool {
    is_document(text)
        && memchr::memmem::find(text, b"\"time\"").is_some()
        && serde_json::from_slice::<About<'_>>(text)
            .is_ok_and(|about| about.date.is_none() && about.time().is_some())
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
    fn hourly_observations_are_chosen_by_their_day_in_utc() {
        let hour =
            br#"{"station_id":"USW00014734","time":"2013-01-01T06:30:00Z","temperature_c":3.9}"#.as_slice();
        assert_eq!((time_of(hour), date_of(hour)), (Some(1_357_021_800), Date::parse_iso("2013-01-01")));
        let wants =
            |from: &str| Selection { from: Date::parse_iso(from), ..Selection::default() }.wants(hour);
        assert!(is_hourly(hour) && wants("2013-01-01") && !wants("2013-01-02"));
        let day = br#"{"station_id":"USW00014734","date":"2013-01-01","time":6}"#.as_slice();
        assert_eq!((time_of(day), is_hourly(day)), (Some(1_356_998_400), false));
        assert_eq!(time_of(b"USC00027716,19700102,TMIN,-44,,S,7,"), Some(DAY));
        assert_eq!(time_of(br#"{"time":"soon"}"#), None);
    }

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
