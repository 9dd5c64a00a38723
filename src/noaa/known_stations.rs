//! Known stations: a station description with the same bytes as before is not parsed again.
//!
//! Two thirds of a document describe its station, and all documents of a station have the same description until the
//! inventory changes. So for each station the last text is kept, with the values parsed from it. If a document has
//! these same bytes, they need no check: they were found valid before.

use std::collections::HashMap;
use std::rc::Rc;

use memchr::memmem::Finder;

use super::StationId;
use super::view::StationView;

/// Most stations that are kept, which limits the memory to a few megabytes: one of eight partitions has 5,000 of the
/// stations that report today.
const STATIONS_MAX: usize = 8_192;

/// Longest text that is kept, in bytes; usual ones have 250.
const TEXT_BYTES_MAX: usize = 1_000;

/// The start of a station's text in most documents, before its id.
const BEGINNING: &[u8] = b"{\"id\":";

/// The stations seen by a reader of many observations.
pub struct KnownStations {
    stations: HashMap<StationId, Known, foldhash::fast::RandomState>,
    /// Finds the field of the id, anywhere in the text of a station.
    id: Finder<'static>,
}

impl Default for KnownStations {
    fn default() -> Self {
        Self { stations: HashMap::default(), id: Finder::new("\"id\":") }
    }
}

struct Known {
    /// The text of the whole object.
    text: Box<[u8]>,
    station: Rc<StationView>,
}

impl KnownStations {
    /// The station at the start of `text`, and the length of its description, if it was parsed before.
    #[inline]
    pub(super) fn find(&self, text: &[u8]) -> Option<(Rc<StationView>, usize)> {
        let behind = text.strip_prefix(BEGINNING).or_else(|| self.behind_id(text))?;
        // A blank after the colon, as Python writes it.
        let quoted = behind.strip_prefix(b" ").unwrap_or(behind);
        let id = quoted.strip_prefix(b"\"")?.first_chunk::<11>()?;
        let known = self.stations.get(id)?;
        text.starts_with(&known.text).then(|| (Rc::clone(&known.station), known.text.len()))
    }

    /// The text after the first field of this name, which need not be the station's: comparing the bytes decides.
    #[inline(never)]
    fn behind_id<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        let found = self.id.find(&text[..text.len().min(TEXT_BYTES_MAX)])?;
        text.get(found + self.id.needle().len()..)
    }

    /// Keeps the values parsed from `text`, replacing earlier ones of this station.
    #[cold]
    pub(super) fn keep(&mut self, text: &[u8], station: Rc<StationView>) {
        let is_room = self.stations.len() < STATIONS_MAX || self.stations.contains_key(&station.id);
        if is_room && text.len() <= TEXT_BYTES_MAX {
            self.stations.insert(station.id, Known { text: text.into(), station });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noaa::ObservationView;

    fn document(id: &str, name: &str) -> String {
        format!(r#"{{"station":{{"id":"{id}","name":"{name}"}},"date":"2016-02-24","TMIN":1.5}}"#)
    }

    #[test]
    fn the_same_bytes_are_read_once() {
        let mut known = KnownStations::default();
        let first = known.parse(document("XX000000001", "TOWN").as_bytes()).unwrap();
        let again = known.parse(document("XX000000001", "TOWN").as_bytes()).unwrap();
        assert!(Rc::ptr_eq(&first.station, &again.station));
        assert_eq!(first, again);
        let other = known.parse(document("XX000000002", "TOWN").as_bytes()).unwrap();
        assert_eq!(other.station.id.as_str(), "XX000000002");
    }

    #[test]
    fn a_station_that_has_changed_is_read_again() {
        let mut known = KnownStations::default();
        for name in ["TOWN", "TOWN", "CITY", "CIT", "CITY HALL", "TOWN"] {
            let view = known.parse(document("XX000000001", name).as_bytes()).unwrap();
            assert_eq!(view.station.name.as_deref(), Some(name));
        }
        assert_eq!(known.stations.len(), 1);
    }

    #[test]
    fn what_comes_behind_known_bytes_is_checked() {
        let mut known = KnownStations::default();
        let good = document("XX000000001", "TOWN");
        known.parse(good.as_bytes()).unwrap();
        for (from, to) in
            [("},", "}},"), ("1.5", "1.5.5"), ("02-24", "02-31"), ("1.5}", "1.5}}"), ("date", "d\te")]
        {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert_eq!(known.parse(bad.as_bytes()), ObservationView::parse(bad.as_bytes()), "{bad}");
            assert!(known.parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let twice = good.replace("\"date\"", "\"station\":{\"id\":\"XX000000002\"},\"date\"");
        assert_eq!(known.parse(twice.as_bytes()).unwrap().station.id.as_str(), "XX000000002");
    }

    #[test]
    fn few_are_kept_and_all_are_read() {
        let mut known = KnownStations::default();
        for _ in 0..2 {
            for n in 0..STATIONS_MAX + 10 {
                let id = format!("XX{n:09}");
                assert_eq!(known.parse(document(&id, "TOWN").as_bytes()).unwrap().station.id.as_str(), id);
            }
        }
        let long = document("XX000000001", &"TOWN".repeat(TEXT_BYTES_MAX));
        assert_eq!(known.parse(long.as_bytes()), ObservationView::parse(long.as_bytes()));
        assert_eq!(known.stations.len(), STATIONS_MAX);
    }
}
