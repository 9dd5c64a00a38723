//! The observations that assemble has emitted, as stored: neighbouring days of a station in one entry.
//!
//! sled's cost is per entry, whatever its size, and days of one station often come together: when history is read, or
//! a file is sorted by station. So up to eight days of a month share an entry, and a record of the changelog. They
//! are remembered for `remember_days` after the newest of them was emitted: the day of an entry never decreases, or
//! one line with an old timestamp would make its neighbours expire.
//!
//! An entry's key is `e`, year, month, the group of eight days, station. Its value is a sequence of days in no
//! particular order: the day of the month (1 byte), revision and number of readings (4 bytes each), the readings as
//! [`Observation::encode_into`] writes them.

use std::ops::Range;

use frostline_engine::Owner;
use frostline_engine::store::{StateError, Store};

use crate::noaa::{Compat, Date, Observation, StationId};

/// Store keys of emitted observations begin with this byte.
const KEY: u8 = b'e';
/// How many days of a month share an entry.
const SPAN_DAYS: u8 = 8;
/// Day, revision, number of readings.
const HEAD_BYTES: usize = 9;
/// Bytes of a reading.
const READING_BYTES: usize = 8;

/// An observation as it was last emitted.
pub(super) struct Emitted {
    pub(super) revision: u32,
    pub(super) observation: Observation,
}

/// The entry that holds, or will hold, a day of a station.
pub(super) struct Span {
    station: StationId,
    key: [u8; 16],
    value: Vec<u8>,
    /// The day under which the entry is written again.
    day: u32,
}

impl Span {
    /// Reads the entry; it is empty if it does not exist. `today` as in [`Store::get`].
    ///
    /// # Errors
    /// As [`Store::get`].
    pub(super) fn read(
        store: &Store,
        station: StationId,
        date: Date,
        today: u32,
    ) -> Result<Self, StateError> {
        let key = key(station, date);
        let (value, day) = store.get_for_update(&key, today, <[u8]>::to_vec)?;
        Ok(Self { station, key, value: value.unwrap_or_default(), day })
    }

    /// The observation emitted for a date of this span.
    ///
    /// # Errors
    /// [`StateError::Corrupted`] if the entry cannot be read.
    pub(super) fn emitted(&self, date: Date, store: &Store) -> Result<Option<Emitted>, StateError> {
        find(&self.value, self.station, date).map_err(|Unreadable| {
            store.corrupted(&format!("the entry of {} {date} cannot be read", self.station))
        })
    }

    /// Remembers the emitted observation for its date, replacing an earlier one.
    pub(super) fn remember(mut self, emitted: &Emitted, store: &mut Store) {
        let day = emitted.observation.date().day();
        let before = days(&self.value).flatten().find(|found| found.day == day).map(|found| found.place);
        if let Some(place) = before {
            self.value.drain(place);
        }
        let count = u32::try_from(emitted.observation.readings().len()).unwrap_or(u32::MAX);
        self.value.push(day);
        self.value.extend_from_slice(&emitted.revision.to_be_bytes());
        self.value.extend_from_slice(&count.to_be_bytes());
        emitted.observation.encode_into(&mut self.value);
        store.put(&self.key, self.day, &self.value);
    }
}

/// The entries of a store for a station and date, for inspection.
pub(super) fn remembered(
    store: &Store,
    station: StationId,
    date: Date,
) -> Result<Vec<serde_json::Value>, StateError> {
    let mut found = Vec::new();
    store.scan_committed(&key(station, date), |_, value| {
        let Ok(Some(emitted)) = find(value, station, date) else { return };
        let mut document = Vec::new();
        let id = serde_json::json!({ "id": station }).to_string();
        emitted.observation.to_json_into(&id, Compat::None, emitted.revision, &mut document);
        found.extend(serde_json::from_slice(&document).ok().map(|document: serde_json::Value| {
            serde_json::json!({ "kind": "observation", "revision": emitted.revision, "observation": document })
        }));
    })?;
    Ok(found)
}

/// The station of an entry, which is the key of its lines.
pub(super) fn owner(key: &[u8]) -> Option<Owner<'_>> {
    match key {
        [KEY, _, _, _, _, station @ ..] if station.len() == 11 => Some(Owner::Key(station)),
        _ => None,
    }
}

fn key(station: StationId, date: Date) -> [u8; 16] {
    let mut key = [KEY; 16];
    key[1..5].copy_from_slice(&date.to_be_bytes());
    key[4] = (date.day() - 1) / SPAN_DAYS;
    key[5..].copy_from_slice(station.as_bytes());
    key
}

/// The error that the bytes are not those of a span.
struct Unreadable;

/// One day in the value of a span.
struct Day<'a> {
    place: Range<usize>,
    day: u8,
    revision: u32,
    readings: &'a [u8],
}

/// The days of a span; it ends at one that cannot be read.
fn days(value: &[u8]) -> impl Iterator<Item = Result<Day<'_>, Unreadable>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = value.get(start..).filter(|rest| !rest.is_empty())?;
        let day = first_day(start, rest);
        start = day.as_ref().map_or(value.len(), |day| day.place.end);
        Some(day.ok_or(Unreadable))
    })
}

fn first_day(start: usize, bytes: &[u8]) -> Option<Day<'_>> {
    let (&[day, r1, r2, r3, r4, c1, c2, c3, c4], rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    let count = usize::try_from(u32::from_be_bytes([c1, c2, c3, c4])).ok()?;
    let readings = rest.get(..count.checked_mul(READING_BYTES)?)?;
    let place = start..start + HEAD_BYTES + readings.len();
    Some(Day { place, day, revision: u32::from_be_bytes([r1, r2, r3, r4]), readings })
}

fn find(value: &[u8], station: StationId, date: Date) -> Result<Option<Emitted>, Unreadable> {
    for day in days(value) {
        let Day { day, revision, readings, .. } = day?;
        if day == date.day() {
            let observation = Observation::decode(station, date, readings).map_err(|_| Unreadable)?;
            return Ok(Some(Emitted { revision, observation }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noaa::Element;

    fn emitted(station: StationId, day: u8, revision: u32, values: &[i32]) -> Emitted {
        let mut observation = Observation::new(station, Date::new(2024, 2, day).unwrap());
        for (at, value) in values.iter().enumerate() {
            observation.insert(Element::parse(format!("EL{at:02}").as_bytes()).unwrap(), *value);
        }
        Emitted { revision, observation }
    }

    #[test]
    fn an_entry_belongs_to_its_station() {
        let station = StationId::parse(b"USC00026250").unwrap();
        let key = key(station, Date::new(2024, 2, 29).unwrap());
        assert_eq!(owner(&key), Some(Owner::Key(b"USC00026250")));
        assert_eq!(owner(&key[..15]), None);
    }

    #[test]
    fn days_of_one_span_share_an_entry_and_change_each_for_itself() {
        let station = StationId::parse(b"USC00026250").unwrap();
        let mut store = Store::in_memory();
        let mut remember = |day: u8, revision: u32, values: &[i32]| {
            let date = Date::new(2024, 2, day).unwrap();
            let span = Span::read(&store, station, date, 0).unwrap();
            span.remember(&emitted(station, day, revision, values), &mut store);
        };
        for day in 1..=29 {
            remember(day, 1, &[i32::from(day), 2]);
        }
        remember(7, 2, &[]);
        remember(9, 2, &[1, 2, 3]);
        assert_eq!(store.changed(), 4);
        for day in 1..=29 {
            let date = Date::new(2024, 2, day).unwrap();
            let span = Span::read(&store, station, date, 0).unwrap();
            let found = span.emitted(date, &store).unwrap().unwrap();
            let (revision, count) = match day {
                7 => (2, 0),
                9 => (2, 3),
                _ => (1, 2),
            };
            assert_eq!((found.revision, found.observation.readings().len()), (revision, count), "day {day}");
        }
        let other = StationId::parse(b"USC00026251").unwrap();
        let span = Span::read(&store, other, Date::new(2024, 2, 1).unwrap(), 0).unwrap();
        assert!(span.emitted(Date::new(2024, 2, 1).unwrap(), &store).unwrap().is_none());
    }

    #[test]
    fn a_day_emitted_under_an_old_clock_takes_no_neighbour_along() {
        let station = StationId::parse(b"USC00026250").unwrap();
        let mut store = Store::in_memory_for(400);
        for (day, today) in [(1, 20_000), (3, 0)] {
            let date = Date::new(2024, 2, day).unwrap();
            let span = Span::read(&store, station, date, today).unwrap();
            span.remember(&emitted(station, day, 1, &[1]), &mut store);
        }
        for day in [1, 3] {
            let date = Date::new(2024, 2, day).unwrap();
            let span = Span::read(&store, station, date, 20_400).unwrap();
            assert!(span.emitted(date, &store).unwrap().is_some(), "day {day}");
        }
    }

    #[test]
    fn bytes_that_are_no_span_are_an_error() {
        let station = StationId::parse(b"USC00026250").unwrap();
        let date = Date::new(2024, 2, 2).unwrap();
        for bytes in [&[1][..], &[1, 0, 0, 0, 1, 0, 0, 0, 1, 7], &[2, 0, 0, 0, 1, 255, 255, 255, 255]] {
            assert!(find(bytes, station, date).is_err(), "{bytes:?}");
        }
        assert!(matches!(find(&[], station, date), Ok(None)));
    }
}
