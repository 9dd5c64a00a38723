//! The newest outlook of each station in memory, with the present night so far, for maps and charts.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use serde::Deserialize;

use super::record::{Expected, Observed, OutlookRecord};
use super::station::SILENCE;
use crate::noaa::{Location, StationId};

/// Most stations that are kept.
const STATIONS_MAX: usize = 20_000;
/// Most bytes that are kept, approximately.
const BYTES_MAX: usize = 64 << 20;
/// Larger documents are ignored. Those of the stage have two or three thousand bytes.
const DOCUMENT_BYTES_MAX: usize = 64 << 10;
/// Longest name of a station, and of its state and country.
const NAME_CHARS_MAX: usize = 100;
/// Most points of an expected curve, and most names of inputs.
const CURVE_MAX: usize = 48;
const INPUTS_MAX: usize = 16;
/// Most observations of a night, and the interval within which only the coldest is kept, in seconds.
const POINTS_MAX: usize = 300;
const POINTS_STEP: i64 = 300;
/// How far an observation may be ahead of the clock, in seconds: one wrong time must not make all others old.
const AHEAD_MAX: i64 = 2 * 3_600;
/// At a limit, one station in this many is dropped, those that have been silent for longest.
const EVICTED: usize = 16;

/// The newest outlooks; see the module's description.
#[derive(Default)]
pub struct RecentOutlooks {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    stations: HashMap<StationId, RecentOutlook, foldhash::fast::RandomState>,
    bytes: usize,
}

/// The data of a station.
#[derive(Clone, Debug, PartialEq)]
pub struct RecentOutlook {
    /// The station.
    pub id: StationId,
    /// Its name; empty if unknown.
    pub name: Box<str>,
    /// Its state and country, if known, such as `Arizona, United States`.
    pub region: Box<str>,
    /// Its place.
    pub place: Option<Location>,
    /// Its newest observation's time, in seconds since 1970.
    pub time: i64,
    /// The measured values of that observation.
    pub observed: Option<Observed>,
    /// The date of the evening of its present night.
    pub date: Box<str>,
    /// The distribution for that night; `None` before the afternoon.
    pub expected: Option<Expected>,
    /// The temperatures of that night and the day before it, in °C, oldest first.
    pub points: Vec<Point>,
    revision: u32,
}

/// An observed temperature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The time, in seconds since 1970.
    pub time: i64,
    /// In °C.
    pub temperature_c: f64,
}

/// The parts of a station that are kept. Any of them may be missing.
#[derive(Deserialize)]
struct StationPart {
    id: StationId,
    #[serde(default)]
    name: String,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    country: Option<String>,
    #[serde(default)]
    location: Option<Location>,
}

/// The state of a station's present night.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is an outlook for a night that is not over.
    Expected,
    /// The station reports, but there is no outlook: outlooks start at 15:00 local standard time.
    NoOutlook,
    /// It has not reported for [`SILENCE`], so its night is unknown.
    Silent,
}

impl RecentOutlook {
    /// The state at `now`, in seconds since 1970.
    pub fn standing(&self, now: i64) -> Standing {
        if now - self.time > SILENCE {
            return Standing::Silent;
        }
        match &self.expected {
            Some(expected) if now <= expected.night.ends => Standing::Expected,
            _ => Standing::NoOutlook,
        }
    }

    fn of(record: OutlookRecord<StationPart>) -> Self {
        let OutlookRecord { station, time, date, revision, observed, expected, .. } = record;
        let short = |text: &str| text.chars().take(NAME_CHARS_MAX).collect::<String>();
        let region: Vec<String> =
            [station.state, station.country].iter().flatten().map(|text| short(text)).collect();
        let points =
            observed.map(|observed| Point { time, temperature_c: observed.temperature_c }).into_iter();
        Self {
            id: station.id,
            name: short(&station.name).into(),
            region: region.join(", ").into(),
            place: station.location.filter(|place| place.lat.abs() <= 90.0 && place.lon.abs() <= 180.0),
            time,
            observed,
            date: date.into(),
            expected,
            points: points.collect(),
            revision,
        }
    }

    /// Takes the newer of two, with the points of both if they are of the same night.
    fn update(&mut self, new: Self) {
        let is_newer = (new.time, new.revision) >= (self.time, self.revision);
        if self.date != new.date {
            if is_newer {
                *self = new;
            }
            return;
        }
        let mut points = std::mem::take(&mut self.points);
        new.points.iter().for_each(|point| insert(&mut points, *point));
        if is_newer {
            // A late observation changes the outlook, and comes without the newest measured values.
            let observed = new.observed.or(self.observed.filter(|_| self.time == new.time));
            *self = Self { observed, ..new };
        }
        self.points = points;
    }

    /// Its approximate size in bytes.
    fn bytes(&self) -> usize {
        let text = |text: &str| text.len() + size_of::<String>();
        let expected = self.expected.as_ref().map_or(0, |expected| {
            let inputs: usize = expected.inputs.iter().map(|input| text(input)).sum();
            inputs + expected.curve.capacity() * size_of::<super::CurvePoint>() + text(&expected.night.date)
        });
        let texts = text(&self.name) + text(&self.region) + text(&self.date);
        size_of::<Self>() + texts + self.points.capacity() * size_of::<Point>() + expected
    }
}

/// In order of time. Of the points within [`POINTS_STEP`], the coldest stays; a point with the same time is replaced.
fn insert(points: &mut Vec<Point>, new: Point) {
    let at = points.partition_point(|point| point.time < new.time);
    if let Some(same) = points.get_mut(at).filter(|point| point.time == new.time) {
        *same = new;
        return;
    }
    let step = |time: i64| time.div_euclid(POINTS_STEP);
    let neighbours = at.saturating_sub(1)..(at + 1).min(points.len());
    if let Some(near) = points[neighbours].iter_mut().find(|point| step(point.time) == step(new.time)) {
        if new.temperature_c < near.temperature_c {
            *near = new;
        }
        return;
    }
    points.insert(at, new);
    if points.len() > POINTS_MAX {
        points.remove(0);
    }
}

impl RecentOutlooks {
    /// Adds a record of `noaa-outlooks`, by the clock in milliseconds since 1970. Unreadable records, and outcomes of
    /// nights, are ignored.
    pub fn take_document(&self, document: &[u8], now_ms: i64) {
        if document.len() > DOCUMENT_BYTES_MAX {
            return;
        }
        let Ok(record) = serde_json::from_slice::<OutlookRecord<StationPart>>(document) else { return };
        let is_large = |expected: &Expected| {
            expected.curve.len() > CURVE_MAX
                || expected.inputs.len() > INPUTS_MAX
                || expected.inputs.iter().any(|input| input.len() > NAME_CHARS_MAX)
        };
        let is_ahead = record.time > now_ms / 1_000 + AHEAD_MAX;
        if record.outcome.is_some() || is_ahead || record.expected.as_ref().is_some_and(is_large) {
            return;
        }
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.take(RecentOutlook::of(record));
    }

    /// The data of a station, if it is known.
    pub fn get(&self, station: StationId) -> Option<RecentOutlook> {
        self.read().stations.get(&station).cloned()
    }

    /// Visits all stations, in no particular order.
    pub fn visit(&self, visit: impl FnMut(&RecentOutlook)) {
        self.read().stations.values().for_each(visit);
    }

    /// The newest observation of all, in seconds since 1970.
    pub fn newest(&self) -> Option<i64> {
        self.read().stations.values().map(|station| station.time).max()
    }

    /// Whether the station is known.
    pub fn has(&self, station: StationId) -> bool {
        self.read().stations.contains_key(&station)
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        // A poisoned lock only means that a thread panicked; the data behind it is whole.
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn take(&mut self, new: RecentOutlook) {
        let id = new.id;
        if let Some(known) = self.stations.get_mut(&id) {
            let before = known.bytes();
            known.update(new);
            self.bytes = (self.bytes + known.bytes()).saturating_sub(before);
        } else {
            self.bytes += new.bytes();
            self.stations.insert(id, new);
        }
        if self.stations.len() > STATIONS_MAX || self.bytes > BYTES_MAX {
            self.evict();
        }
    }

    fn evict(&mut self) {
        let mut times: Vec<i64> = self.stations.values().map(|station| station.time).collect();
        let nth = times.len() / EVICTED;
        let (_, last, _) = times.select_nth_unstable(nth);
        let (last, mut left) = (*last, nth + 1);
        self.stations.retain(|_, station| {
            let goes = station.time <= last && left > 0;
            left -= usize::from(goes);
            !goes
        });
        self.bytes = self.stations.values().map(RecentOutlook::bytes).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outlook::{Lessons, Nights, Spot, Taken};

    const ID: &str = "USW00014734";
    const NOW_MS: i64 = 1_357_106_400_000;

    fn id(text: &str) -> StationId {
        StationId::parse(text.as_bytes()).unwrap()
    }

    fn document(station: &str, time: i64, date: &str, rest: &str) -> String {
        let time = crate::hourly::iso_time(time);
        let station = format!(
            r#"{{"id":"{station}","country":"United States","location":{{"lat":40.68,"lon":-74.17}},"state":"NEW JERSEY","name":"NEWARK LIBERTY INTL AP"}}"#
        );
        format!(r#"{{"station":{station},"time":"{time}","date":"{date}","revision":1{rest}}}"#)
    }

    fn observed(celsius: f64) -> String {
        format!(r#","observed":{{"temperature_c":{celsius}}}"#)
    }

    fn take(recent: &RecentOutlooks, time: i64, date: &str, celsius: f64) {
        let document = document(ID, time, date, &observed(celsius));
        recent.take_document(document.as_bytes(), NOW_MS);
    }

    fn points(recent: &RecentOutlooks) -> Vec<(i64, f64)> {
        recent.get(id(ID)).unwrap().points.iter().map(|point| (point.time, point.temperature_c)).collect()
    }

    #[test]
    fn the_newest_counts_and_a_night_keeps_its_points() {
        let (recent, t) = (RecentOutlooks::default(), NOW_MS / 1_000 - 40_000);
        take(&recent, t, "2012-12-31", 9.0);
        take(&recent, t + 3_600, "2013-01-01", 4.0);
        take(&recent, t + 10_800, "2013-01-01", 1.0);
        take(&recent, t + 7_200, "2013-01-01", 2.0);
        take(&recent, t + 100, "2012-12-31", 8.0);
        take(&recent, t + 10_800, "2013-01-01", 1.5);
        take(&recent, t + 10_801, "2013-01-01", 0.5);
        take(&recent, t + 99_999, "2013-01-01", -9.0);
        recent.take_document(b"{", NOW_MS);
        let expected = [(t + 3_600, 4.0), (t + 7_200, 2.0), (t + 10_801, 0.5)];
        assert_eq!(points(&recent), expected);
        let station = recent.get(id(ID)).unwrap();
        assert_eq!((station.time, &*station.name), (t + 10_801, "NEWARK LIBERTY INTL AP"));
        assert_eq!(&*station.region, "NEW JERSEY, United States");
        assert_eq!(station.observed.unwrap().temperature_c, 0.5);
    }

    #[test]
    fn a_night_of_observations_each_minute_stays_within_its_bounds() {
        let (recent, t) = (RecentOutlooks::default(), NOW_MS / 1_000 - 2_400 * 60);
        (0..2_400).for_each(|minute| take(&recent, t + minute * 60, "2013-01-01", 5.0 - (minute % 5) as f64));
        let points = points(&recent);
        assert_eq!(points.len(), POINTS_MAX);
        assert!(points.iter().all(|(_, celsius)| *celsius <= 3.0), "the coldest of five minutes stays");
    }

    #[test]
    fn stations_are_bounded_and_the_longest_silent_go_first() {
        let recent = RecentOutlooks::default();
        for number in 0..STATIONS_MAX as i64 + 1 {
            let station = format!("USC{number:08}");
            let document = document(&station, NOW_MS / 1_000 - 90_000 + number, "2013-01-01", &observed(1.0));
            recent.take_document(document.as_bytes(), NOW_MS);
        }
        let kept = recent.read().stations.len();
        assert!(kept < STATIONS_MAX && kept > STATIONS_MAX * 9 / 10, "{kept}");
        assert!(!recent.has(id("USC00000000")) && recent.has(id("USC00020000")));
        let bytes: usize = recent.read().stations.values().map(RecentOutlook::bytes).sum();
        assert_eq!(recent.read().bytes, bytes);
        let large = document(ID, NOW_MS / 1_000, &"x".repeat(DOCUMENT_BYTES_MAX), "");
        recent.take_document(large.as_bytes(), NOW_MS);
        assert!(!recent.has(id(ID)));
    }

    #[test]
    fn a_silent_station_is_unknown_and_never_safe() {
        let (mut nights, mut lessons) = (Nights::default(), Lessons::default());
        let spot = Spot { latitude: 40.68, longitude: -74.17 };
        let recent = RecentOutlooks::default();
        let begins = NOW_MS / 1_000 - 8 * 3_600;
        for hour in 0..9 {
            let (time, celsius) = (begins + hour * 3_600, 6.0 - hour as f64);
            let text = format!(
                r#"{{"station_id":"{ID}","time":"{}","temperature_c":{celsius}}}"#,
                crate::hourly::iso_time(time)
            );
            let hour = crate::hourly::Hour::parse(text.as_bytes()).unwrap();
            let Taken::Newest(news) = nights.observe(&mut lessons, spot, &hour) else { panic!("{time}") };
            let expected = news.expected.as_ref().map_or(String::new(), |expected| {
                format!(r#","expected":{}"#, serde_json::to_string(expected).unwrap())
            });
            let date = news.night.date.to_string();
            let document = document(ID, time, &date, &(observed(celsius) + &expected));
            recent.take_document(document.as_bytes(), NOW_MS);
        }
        let (station, now) = (recent.get(id(ID)).unwrap(), NOW_MS / 1_000);
        assert_eq!(station.time, now);
        assert!(station.expected.as_ref().unwrap().distribution.chance(-2.0) > 0.0);
        assert_eq!(station.standing(now + SILENCE), Standing::Expected);
        assert_eq!(station.standing(now + SILENCE + 1), Standing::Silent);
        let known = RecentOutlook { expected: None, ..station };
        assert_eq!(known.standing(now), Standing::NoOutlook);
    }
}
