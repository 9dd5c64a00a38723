//! The last days of every station in memory, for charts and maps.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use super::{Date, Element, ObservationView, StationId};

/// How many days are kept per station: thirty, and the one that is just arriving.
pub const RECENT_DAYS: usize = 31;

/// Marks a value that was not reported.
const NONE: i16 = i16::MIN;

/// The last days of every station that has reported: lowest and highest temperatures, for charts and maps. In memory,
/// about 250 bytes per station.
#[derive(Default)]
pub struct RecentDays {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    stations: HashMap<StationId, Window, foldhash::fast::RandomState>,
    /// Stations that have changed since the last call.
    changed: HashSet<StationId, foldhash::fast::RandomState>,
}

struct Window {
    latitude: f32,
    longitude: f32,
    /// In days since 1970.
    newest: i32,
    /// Tenths of a degree; index 0 is the newest day.
    tmin: [i16; RECENT_DAYS],
    tmax: [i16; RECENT_DAYS],
}

/// A day of a station. Temperatures in °C.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecentDay {
    /// The day.
    pub date: Date,
    /// The lowest temperature.
    pub tmin: Option<f64>,
    /// The highest temperature.
    pub tmax: Option<f64>,
}

/// A station with its newest day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecentStation {
    /// The station.
    pub id: StationId,
    /// Degrees, north positive.
    pub latitude: f32,
    /// Degrees, east positive.
    pub longitude: f32,
    /// The newest day that it has reported.
    pub date: Date,
    /// The lowest temperature of that day, in °C.
    pub tmin: Option<f64>,
}

impl RecentDays {
    /// Adds an observation; a later one of the same day replaces it. Days before the kept ones, or more than a day
    /// after `today`, are ignored: one wrong date must not make all others old.
    fn observe(&self, view: &ObservationView, today: Date) {
        if view.date.days_since_1970() > today.days_since_1970() + 1 {
            return;
        }
        let value = |name: &[u8]| {
            let value = Element::parse(name).and_then(|element| view.element(element));
            value.map_or(NONE, |value| (value.as_f64() * 10.0).round().clamp(-32_000.0, 32_000.0) as i16)
        };
        let (day, tmin, tmax) = (view.date.days_since_1970(), value(b"TMIN"), value(b"TMAX"));
        let station = &view.station;
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let window = inner.stations.entry(station.id).or_insert_with(|| Window {
            latitude: station.latitude.map_or(f32::NAN, |degrees| degrees as f32),
            longitude: station.longitude.map_or(f32::NAN, |degrees| degrees as f32),
            newest: day,
            tmin: [NONE; RECENT_DAYS],
            tmax: [NONE; RECENT_DAYS],
        });
        if window.take(day, tmin, tmax) {
            inner.changed.insert(station.id);
        }
    }

    /// Adds a document from a topic, by the clock in milliseconds since 1970. An unreadable document is ignored: a
    /// stage makes it a dead letter.
    pub fn observe_document(&self, document: &[u8], now_ms: i64) {
        let view = ObservationView::parse(document).ok();
        if let Some((view, today)) = view.zip(Date::from_unix_ms(now_ms)) {
            self.observe(&view, today);
        }
    }

    /// The known days of a station, oldest first.
    pub fn days(&self, station: StationId) -> Vec<RecentDay> {
        let inner = self.read();
        let Some(window) = inner.stations.get(&station) else { return Vec::new() };
        let ages =
            (0..RECENT_DAYS).rev().filter(|age| window.tmin[*age] != NONE || window.tmax[*age] != NONE);
        ages.filter_map(|age| {
            let date = Date::from_days_since_1970(window.newest - i32::try_from(age).ok()?)?;
            Some(RecentDay { date, tmin: degrees(window.tmin[age]), tmax: degrees(window.tmax[age]) })
        })
        .collect()
    }

    /// All stations, in no particular order.
    pub fn stations(&self) -> Vec<RecentStation> {
        let inner = self.read();
        inner.stations.iter().filter_map(|(id, window)| window.station(*id)).collect()
    }

    /// The stations whose newest day has changed since the last call, in no particular order.
    pub fn take_changed(&self) -> Vec<RecentStation> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let changed = std::mem::take(&mut inner.changed);
        changed.into_iter().filter_map(|id| inner.stations.get(&id)?.station(id)).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        // A poisoned lock only means that a thread panicked; the data behind it is whole.
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    /// Returns whether the newest day has changed.
    fn take(&mut self, day: i32, tmin: i16, tmax: i16) -> bool {
        if day > self.newest {
            let shift = usize::try_from(day - self.newest).unwrap_or(RECENT_DAYS).min(RECENT_DAYS);
            for values in [&mut self.tmin, &mut self.tmax] {
                values.rotate_right(shift);
                values[..shift].fill(NONE);
            }
            self.newest = day;
        }
        let Some(age) = usize::try_from(self.newest - day).ok().filter(|age| *age < RECENT_DAYS) else {
            return false;
        };
        (self.tmin[age], self.tmax[age]) = (tmin, tmax);
        age == 0
    }

    fn station(&self, id: StationId) -> Option<RecentStation> {
        let (latitude, longitude) = (self.latitude, self.longitude);
        let date = Date::from_days_since_1970(self.newest)?;
        Some(RecentStation { id, latitude, longitude, date, tmin: degrees(self.tmin[0]) })
    }
}

fn degrees(tenths: i16) -> Option<f64> {
    (tenths != NONE).then(|| f64::from(tenths) / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observe(recent: &RecentDays, date: &str, values: &str) {
        let document = format!(
            r#"{{"station":{{"id":"USW00003192","latitude":33.6,"longitude":-111.9}},"date":"{date}T00:00:00"{values}}}"#
        );
        let today = Date::new(2017, 3, 1).unwrap();
        recent.observe(&ObservationView::parse(document.as_bytes()).unwrap(), today);
    }

    #[test]
    fn the_last_days_are_kept_in_order_whatever_order_they_come_in() {
        let (recent, id) = (RecentDays::default(), StationId::parse(b"USW00003192").unwrap());
        observe(&recent, "2016-02-10", r#","TMIN":-1.5"#);
        observe(&recent, "2016-02-24", r#","TMIN":8.9,"TMAX":25.6"#);
        observe(&recent, "2016-02-23", r#","TMAX":24"#);
        observe(&recent, "2016-02-24", r#","TMIN":8.3,"TMAX":25.6"#);
        observe(&recent, "2016-01-01", r#","TMIN":1"#);
        observe(&recent, "2099-01-01", r#","TMIN":1"#);
        let days = recent.days(id);
        let shown: Vec<_> = days.iter().map(|day| (day.date.to_string(), day.tmin, day.tmax)).collect();
        assert_eq!(
            shown,
            [
                ("2016-02-10".to_owned(), Some(-1.5), None),
                ("2016-02-23".to_owned(), None, Some(24.0)),
                ("2016-02-24".to_owned(), Some(8.3), Some(25.6))
            ]
        );
        assert_eq!(recent.take_changed().len(), 1);
        assert!(recent.take_changed().is_empty());
        observe(&recent, "2017-02-24", r#","PRCP":1"#);
        assert!(recent.days(id).is_empty(), "a year later nothing of it is recent");
        assert_eq!(recent.stations()[0].tmin, None);
    }
}
