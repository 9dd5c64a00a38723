//! Forecasts of the coming night, station by station: from the US National Weather Service in the United States, and
//! from MET Norway elsewhere.
//!
//! Each poll sends one request, for the station whose forecast has been due longest. For each station the position
//! holds when its forecast is due, the version of the answer, the last forecast that was written, and the cell of the
//! grid. After a failed request a station waits while the others continue: one service may fail while the other
//! works.

mod met_norway;
mod nws;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use frostline_engine::{Batch, PollError, Poller, Position};

use self::nws::Cell;
use super::client::{Answer, Fetch, Fresh, Request, Validators};
use crate::hourly::{Forecast, Night};
use crate::noaa::StationId;

/// Largest answer, packed and unpacked, in bytes. A grid has about 300 kB.
const PACKED_BYTES_MAX: usize = 1 << 20;
const BYTES_MAX: usize = 4 << 20;
/// Pause before asking again about a station whose place the service does not know.
const UNKNOWN_PLACE: Duration = Duration::from_secs(24 * 3_600);
/// Pause before asking again about a station whose answer cannot be used.
const RETRY: Duration = Duration::from_secs(600);
/// No answer stays fresh for longer, in milliseconds: a later time in the position was a mistake.
const DUE_MAX_MS: i64 = 25 * 3_600_000;
/// After a failure the next station waits at least this long.
const NEXT_MIN: Duration = Duration::from_secs(1);
/// Prefixes of keys in the position; the station follows.
const DUE: u8 = b'd';
const VERSION: u8 = b'v';
const WRITTEN: u8 = b'w';
const CELL: u8 = b'c';
/// A cell that the service has no forecast for.
const EMPTY_CELL: u8 = b'e';

/// A station whose nights a rule watches.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    /// Its id.
    pub id: StationId,
    /// In degrees, north positive.
    pub latitude: f64,
    /// In degrees, east positive.
    pub longitude: f64,
    /// In metres.
    pub elevation: Option<f64>,
    /// Whether it stands in the United States.
    pub is_us: bool,
}

/// Returns the stations that are watched at the moment.
pub type WatchedStations = Arc<dyn Fn() -> Vec<Watched> + Send + Sync>;

/// The poller of forecasts; see the module's description.
pub struct Forecasts {
    /// Sends the requests.
    fetch: Arc<dyn Fetch>,
    stations: WatchedStations,
    nws_url: String,
    met_norway_url: String,
    /// Time between two forecasts of a station.
    interval: Duration,
    /// Stations whose requests have failed, with the time of their next request, in milliseconds.
    failed: HashMap<StationId, i64>,
}

impl Poller for Forecasts {
    fn poll(&mut self, position: &Position, now_ms: i64) -> Result<Batch, PollError> {
        let stations = (self.stations)();
        let mut batch = Batch::default();
        let Some((next, due)) = self.next(&stations, position, now_ms) else {
            batch.remark = Some(
                "no rule over nights or hours names a station of the station table, so no forecasts are requested".into(),
            );
            batch.next_in = Some(self.interval);
            return Ok(batch);
        };
        if due > now_ms {
            batch.next_in = Some(until(due, now_ms).min(self.interval));
            return Ok(batch);
        }
        match self.ask(next, position, now_ms, &mut batch) {
            Ok(()) => {
                self.failed.remove(&next.id);
                Ok(batch)
            }
            Err(error) => {
                let again_in = error.retry_in.unwrap_or(RETRY);
                self.failed.insert(next.id, now_ms + millis(again_in));
                let due = self.next(&stations, position, now_ms).map_or(now_ms, |(_, due)| due);
                let reason = format!("forecast for {}: {}", next.id, error.reason);
                Err(PollError { reason, retry_in: Some(until(due, now_ms).max(NEXT_MIN)) })
            }
        }
    }
}

impl Forecasts {
    /// A poller for these stations that polls the two services at their addresses, once per station and `interval`.
    pub fn new(
        fetch: Arc<dyn Fetch>,
        stations: WatchedStations,
        nws_url: &str,
        met_norway_url: &str,
        interval: Duration,
    ) -> Self {
        let address = |url: &str| url.trim_end_matches('/').to_owned();
        let (nws_url, met_norway_url) = (address(nws_url), address(met_norway_url));
        Self { fetch, stations, nws_url, met_norway_url, interval, failed: HashMap::new() }
    }

    /// The station that is due first, and when.
    fn next<'a>(
        &self,
        stations: &'a [Watched],
        position: &Position,
        now_ms: i64,
    ) -> Option<(&'a Watched, i64)> {
        let due = |station: &'a Watched| {
            let due = number(position, DUE, station.id).unwrap_or_default();
            let due = if due - now_ms > DUE_MAX_MS { 0 } else { due };
            (station, self.failed.get(&station.id).map_or(due, |again| due.max(*again)))
        };
        stations.iter().map(due).min_by_key(|(_, due)| *due)
    }

    /// Polls for a station, and handles the answer.
    fn ask(
        &self,
        station: &Watched,
        position: &Position,
        now_ms: i64,
        batch: &mut Batch,
    ) -> Result<(), PollError> {
        let answer = if station.is_us {
            self.ask_nws(station, position, now_ms, batch)?
        } else {
            self.ask_met(station, position, now_ms)?
        };
        self.take(station, answer, position, now_ms, batch)
    }

    /// Asks for the station's cell first if it is unknown.
    fn ask_nws(
        &self,
        station: &Watched,
        position: &Position,
        now_ms: i64,
        batch: &mut Batch,
    ) -> Result<Answer, PollError> {
        let known = position.get(&key(CELL, station.id)).and_then(Cell::of_position);
        let Some(cell) = known else {
            let url = format!(
                "{}/points/{},{}",
                self.nws_url,
                degrees(station.latitude),
                degrees(station.longitude)
            );
            return match self.fetch.get(&Request::text(&url, PACKED_BYTES_MAX, BYTES_MAX))? {
                Answer::New(Fresh { bytes, .. }) => {
                    let cell = Cell::of_point(&bytes).map_err(PollError::new)?;
                    if position.get(&key(EMPTY_CELL, station.id)) == Some(cell.as_str().as_bytes()) {
                        batch.remove(key(EMPTY_CELL, station.id));
                        return Ok(Answer::NotFound);
                    }
                    batch.set(key(CELL, station.id), cell.as_str());
                    // The forecast comes with the next poll.
                    Ok(Answer::NotDue(Duration::ZERO))
                }
                Answer::NotFound => {
                    // What the cell has not is of another time.
                    batch.remove(key(EMPTY_CELL, station.id));
                    Ok(Answer::NotFound)
                }
                other => Ok(other),
            };
        };
        let url = format!("{}/gridpoints/{}", self.nws_url, cell.as_str());
        let answer = self.fetch.get(&Request {
            validators: conditions(position, station, now_ms),
            ..Request::text(&url, PACKED_BYTES_MAX, BYTES_MAX)
        })?;
        if answer == Answer::NotFound {
            // Cells move, so look it up again. Data about the old cell says nothing about the new one.
            batch.set(key(EMPTY_CELL, station.id), cell.as_str());
            batch.remove(key(CELL, station.id));
            batch.remove(key(VERSION, station.id));
            return Ok(Answer::NotDue(Duration::ZERO));
        }
        Ok(answer)
    }

    fn ask_met(&self, station: &Watched, position: &Position, now_ms: i64) -> Result<Answer, PollError> {
        let altitude =
            station.elevation.map_or(String::new(), |elevation| format!("&altitude={}", elevation.round()));
        let url = format!(
            "{}/weatherapi/locationforecast/2.0/complete?lat={}&lon={}{altitude}",
            self.met_norway_url,
            degrees(station.latitude),
            degrees(station.longitude)
        );
        self.fetch.get(&Request {
            validators: conditions(position, station, now_ms),
            ..Request::text(&url, PACKED_BYTES_MAX, BYTES_MAX)
        })
    }

    fn take(
        &self,
        station: &Watched,
        answer: Answer,
        position: &Position,
        now_ms: i64,
        batch: &mut Batch,
    ) -> Result<(), PollError> {
        let known = validators(position, station.id);
        let again_in = match answer {
            // A server that is behind the others, or stuck, sometimes sends an older file.
            Answer::New(fresh) if is_older(&fresh.validators, &known, now_ms) => self.interval,
            Answer::New(fresh) => {
                self.emit(station, &fresh, position, now_ms, batch)?;
                batch.set(key(VERSION, station.id), fresh.validators.to_bytes());
                fresh.fresh_for.unwrap_or_default().max(self.interval)
            }
            Answer::Unchanged { fresh_for } => fresh_for.unwrap_or_default().max(self.interval),
            Answer::NotDue(wait) => wait,
            Answer::NotFound => {
                batch.remark =
                    Some(format!("the service has no forecast for the place of station {}", station.id));
                // If there was a forecast before, the service has trouble.
                let is_known = position.get(&key(WRITTEN, station.id)).is_some();
                if is_known { self.interval } else { UNKNOWN_PLACE }
            }
        };
        batch.set(key(DUE, station.id), (now_ms + millis(again_in)).to_string());
        Ok(())
    }

    /// Writes the forecast of the coming night unless it is known already.
    fn emit(
        &self,
        station: &Watched,
        fresh: &Fresh,
        position: &Position,
        now_ms: i64,
        batch: &mut Batch,
    ) -> Result<(), PollError> {
        let Some(night) = Night::at(now_ms / 1_000, station.latitude, station.longitude) else {
            return Ok(());
        };
        let (source, found) = if station.is_us {
            let cold = nws::read(&fresh.bytes, station.longitude).map_err(PollError::new)?;
            let lowest = cold.nights.iter().find(|(date, _)| *date == night.date).map(|(_, lowest)| *lowest);
            (nws::NAME, lowest.map(|lowest| (cold.issued, lowest)))
        } else {
            let coldest = met_norway::read(&fresh.bytes, &night).map_err(PollError::new)?;
            (met_norway::NAME, coldest.map(|coldest| (coldest.issued, coldest.lowest_c)))
        };
        let Some((issued, lowest_c)) = found else {
            batch.remark = Some(format!("the forecast for {} does not include the coming night", station.id));
            return Ok(());
        };
        batch.newest_ms = Some(issued * 1_000);
        let forecast =
            Forecast { station: station.id, source: source.into(), issued, night: night.date, lowest_c };
        let document = forecast.to_json();
        let written = position.get(&key(WRITTEN, station.id)).unwrap_or_default();
        // Not every file has the time at which it was made.
        let is_older = Forecast::parse(written)
            .is_ok_and(|last| last.night == forecast.night && last.issued > forecast.issued);
        if is_older || written == document.as_bytes() {
            return Ok(());
        }
        for sink in [super::FORECASTS_SINK, super::HOURLY_SINK] {
            batch.emit(sink, station.id.as_bytes().as_slice(), document.as_str(), now_ms);
        }
        batch.set(key(WRITTEN, station.id), document);
        Ok(())
    }
}

fn key(kind: u8, station: StationId) -> Vec<u8> {
    [&[kind], station.as_bytes().as_slice()].concat()
}

fn number(position: &Position, kind: u8, station: StationId) -> Option<i64> {
    str::from_utf8(position.get(&key(kind, station))?).ok()?.parse().ok()
}

fn validators(position: &Position, station: StationId) -> Validators {
    position.get(&key(VERSION, station)).map(Validators::from_bytes).unwrap_or_default()
}

/// The version for a request. A file that was last used for a night before the coming one holds the forecast of this one
/// too, so it is asked for as a whole, changed or not.
fn conditions(position: &Position, station: &Watched, now_ms: i64) -> Validators {
    let coming = Night::at(now_ms / 1_000, station.latitude, station.longitude);
    let written = position.get(&key(WRITTEN, station.id)).and_then(|written| Forecast::parse(written).ok());
    match written.zip(coming) {
        Some((written, coming)) if written.night < coming.date => Validators::default(),
        _ => validators(position, station.id),
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2)
}

fn until(due: i64, now_ms: i64) -> Duration {
    Duration::from_millis(due.saturating_sub(now_ms).max(0).unsigned_abs())
}

/// Whether a file was made before one that is known. Times in the future do not count.
fn is_older(found: &Validators, known: &Validators, now_ms: i64) -> bool {
    let made = |validators: &Validators| httpdate::parse_http_date(validators.last_modified.as_deref()?).ok();
    let now = UNIX_EPOCH + until(now_ms, 0);
    made(found).zip(made(known)).is_some_and(|(found, known)| found < known && known <= now)
}

/// At most four decimals, without trailing zeros: the services refuse or redirect other forms.
fn degrees(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
