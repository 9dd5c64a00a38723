//! METARs of all airports, from the file that the Aviation Weather Center rewrites every minute.
//!
//! Each observation with a temperature from a station in the station table becomes one record in the form of
//! `noaa-hourly`; corrections and values that arrive later become another one. The position has a record for each
//! station (see [`Seen`]), and the version of the file.

mod seen;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use frostline_engine::{Batch, PollError, Poller, Position};

use self::seen::{Seen, version_of};
use super::client::{Answer, Fetch, Fresh, Request, Validators};
use crate::hourly::{AwcCsv, AwcReport, Hour};
use crate::noaa::StationId;

/// The name of the sink for observations.
pub const METAR_SINK: &str = super::HOURLY_SINK;

const PATH: &str = "/data/cache/metars.cache.csv.gz";
/// The file has a few hundred kilobytes, and a few megabytes uncompressed.
const BYTES_MAX: usize = 16 << 20;
const UNPACKED_MAX: usize = 64 << 20;
/// An observation this far in the future is skipped, in seconds. The file's own time counts: an observation an hour
/// ahead of a two-hour-old file was impossible, and still is.
const AHEAD_MAX: i64 = 15 * 60;
/// An observation older than this, by the file's own time, is skipped, in seconds.
const AGE_MAX: i64 = 72 * 3_600;

/// The key of the file's version in the position.
const VALIDATORS_KEY: &[u8] = b"v";
/// Prefix of the keys of stations; the GHCN id follows.
const STATION_KEY: u8 = b's';
/// The weight of a correction: more than all values that may be missing.
const CORRECTION_WORTH: u8 = 8;

/// Finds the station of an ICAO id.
pub type FindStation = Arc<dyn Fn(&str) -> Option<StationId> + Send + Sync>;

/// The poller of METARs; see the module's description.
pub struct Metar {
    fetch: Arc<dyn Fetch>,
    url: String,
    find: FindStation,
}

/// The best report of each time and station, in the order of their times. Otherwise, after an outage, observations of
/// one station could come when those of others have already moved the clock past them, and it would look silent.
type Best = BTreeMap<(i64, StationId), Report>;

/// Of two reports of the same time the greater one counts, in whatever order they arrive.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Report {
    worth: u8,
    /// Its content, without parts that differ from file to file.
    said: String,
    /// The record's value.
    json: String,
}

impl Metar {
    /// Polls the service at `base`, such as `https://aviationweather.gov`.
    pub fn new(fetch: Arc<dyn Fetch>, base: &str, find: FindStation) -> Self {
        Self { fetch, url: format!("{}{PATH}", base.trim_end_matches('/')), find }
    }

    /// The observations of a file for the station table.
    fn read(&self, text: &str, written: i64, batch: &mut Batch) -> Result<Best, PollError> {
        let mut lines = text.lines();
        let columns = lines.by_ref().find_map(AwcCsv::parse).ok_or_else(|| {
            PollError::new(format!(
                "{}: the answer has no line that begins with raw_text,: the form of the file may have changed",
                self.url
            ))
        })?;
        let (mut best, mut bad, mut is_any_known, mut rows) = (Best::new(), None, false, 0);
        for line in lines.filter(|line| !line.trim().is_empty()) {
            rows += 1;
            let report = match columns.read(line) {
                Ok(report) => report,
                Err(reason) => {
                    bad.get_or_insert(format!("some lines cannot be read; the first error: {reason}"));
                    continue;
                }
            };
            let Some(station) = (self.find)(&report.metar.icao) else { continue };
            is_any_known = true;
            if !(written - AGE_MAX..=written + AHEAD_MAX).contains(&report.time) {
                continue;
            }
            match report.metar.hour(station, report.time, &report.raw) {
                Ok(Some(hour)) => keep(&mut best, &hour, &report),
                Ok(None) => {}
                Err(reason) => {
                    let icao = &report.metar.icao;
                    bad.get_or_insert(format!(
                        "some reports cannot be used, for example one of {icao}: {reason}"
                    ));
                }
            }
        }
        if rows > 0 && !is_any_known {
            bad = Some(
                "no station of the file is in the station table: import ICAO ids with `frostline stations import --hourly \
                 ghcnh-station-list.csv`"
                    .to_owned(),
            );
        }
        batch.remark = bad;
        Ok(best)
    }

    fn take(&self, fresh: &Fresh, position: &Position, now: i64) -> Result<Batch, PollError> {
        let mut batch = Batch::default();
        let text = String::from_utf8_lossy(&fresh.bytes);
        let mut stations: BTreeMap<StationId, Seen> = BTreeMap::new();
        let written = fresh.validators.last_modified.as_deref().and_then(unix_seconds);
        let written = written.map_or(now, |written| written.min(now));
        for ((time, station), report) in self.read(&text, written, &mut batch)? {
            let before = || Seen::from_bytes(position.get(&station_key(station)).unwrap_or_default());
            let seen = stations.entry(station).or_insert_with(before);
            if seen.take(time, report.worth, version_of(&report.said)) {
                batch.emit(METAR_SINK, station.as_bytes().as_slice(), report.json, time * 1_000);
            }
        }
        for (station, seen) in &stations {
            set_changed(&mut batch, position, station_key(*station), seen.to_bytes());
        }
        if fresh.validators.is_empty() {
            if position.get(VALIDATORS_KEY).is_some() {
                batch.remove(VALIDATORS_KEY);
            }
        } else {
            set_changed(&mut batch, position, VALIDATORS_KEY.to_vec(), fresh.validators.to_bytes());
        }
        let newest = stations.values().filter_map(Seen::newest).max();
        batch.newest_ms = newest.map(|time| time * 1_000);
        Ok(batch)
    }
}

impl Poller for Metar {
    fn poll(&mut self, position: &Position, now_ms: i64) -> Result<Batch, PollError> {
        let validators = position.get(VALIDATORS_KEY).map(Validators::from_bytes).unwrap_or_default();
        let request = Request { validators, ..Request::text(&self.url, BYTES_MAX, UNPACKED_MAX) };
        let mut batch = match self.fetch.get(&request)? {
            Answer::New(fresh) => self.take(&fresh, position, now_ms.div_euclid(1_000))?,
            Answer::Unchanged { .. } => Batch::default(),
            Answer::NotDue(wait) => Batch { next_in: Some(wait), ..Batch::default() },
            Answer::NotFound => {
                let reason = format!("{}: no such file (404): check the address of the service", self.url);
                return Err(PollError::new(reason));
            }
        };
        batch.newest_ms = batch.newest_ms.max(newest_ms(position));
        Ok(batch)
    }
}

/// Keeps a report unless there is a better one of the same station and time.
fn keep(best: &mut Best, hour: &Hour, report: &AwcReport) {
    let raw = without_mark(&report.raw);
    let said = Hour { raw: Some(raw.to_owned()), ..hour.clone() }.to_json();
    let report = Report { worth: worth(hour, raw), said, json: hour.to_json() };
    match best.entry((hour.time, hour.station)) {
        Entry::Vacant(entry) => {
            entry.insert(report);
        }
        Entry::Occupied(mut entry) if report > *entry.get() => {
            entry.insert(report);
        }
        Entry::Occupied(_) => {}
    }
}

/// The text of a METAR in the form of older files, without the word before it.
fn without_mark(raw: &str) -> &str {
    let raw = raw.trim();
    raw.strip_prefix("METAR ").or_else(|| raw.strip_prefix("SPECI ")).unwrap_or(raw)
}

/// Ranks two reports of the same time: a correction first (`COR`, or `CCA`, `CCB` and so on), then the more complete
/// one.
fn worth(hour: &Hour, raw: &str) -> u8 {
    let correction = |token: &str| match token.as_bytes() {
        b"COR" => Some(1),
        [b'C', b'C', letter @ b'A'..=b'Z'] => Some(letter - b'A' + 1),
        _ => None,
    };
    let body = raw.split_ascii_whitespace().take_while(|token| *token != "RMK");
    let corrections = body.filter_map(correction).max().unwrap_or(0);
    let values = [
        hour.dew_point_c.is_some(),
        hour.wind_m_s.is_some(),
        hour.pressure_hpa.is_some(),
        hour.cloud_oktas.is_some(),
        hour.weather.is_some(),
    ];
    let values = values.into_iter().filter(|is_there| *is_there).count() as u8;
    corrections * CORRECTION_WORTH + values
}

fn station_key(station: StationId) -> Vec<u8> {
    [&[STATION_KEY], station.as_bytes().as_slice()].concat()
}

/// Writes only changes.
fn set_changed(batch: &mut Batch, position: &Position, key: Vec<u8>, value: Vec<u8>) {
    if position.get(&key) != Some(value.as_slice()) {
        batch.set(key, value);
    }
}

/// The time of a header such as `Last-Modified`, in seconds since 1970.
fn unix_seconds(date: &str) -> Option<i64> {
    let since = httpdate::parse_http_date(date).ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

/// The time of the newest observation so far.
fn newest_ms(position: &Position) -> Option<i64> {
    let stations = position.iter().filter(|(key, _)| key.first() == Some(&STATION_KEY));
    stations.filter_map(|(_, value)| Seen::from_bytes(value).newest()).max().map(|time| time * 1_000)
}
