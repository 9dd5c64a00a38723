//! Forecasts of the coming night, station by station: from the US National Weather Service in the United States, and from MET
//! Norway elsewhere.
//!
//! One request with each poll: the station whose forecast is due longest. The position has of each station when its
//! forecast is due, the version of the answer, the last forecast that was written, and the cell of the grid.

mod met_norway;
mod nws;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use frostline_engine::{Batch, PollError, Poller, Position};

use self::nws::Cell;
use super::client::{Answer, Fetch, Fresh, Request, Validators};
use crate::hourly::{Forecast, Night};
use crate::noaa::StationId;

/// Largest answer, packed and unpacked, in bytes. A grid has about 300 kB.
const PACKED_BYTES_MAX: usize = 1 << 20;
const BYTES_MAX: usize = 4 << 20;
/// Before a station whose place the service does not know is asked about again.
const UNKNOWN_PLACE: Duration = Duration::from_secs(24 * 3_600);
/// Records of the position begin with these, and the station follows.
const DUE: u8 = b'd';
const VERSION: u8 = b'v';
const WRITTEN: u8 = b'w';
const CELL: u8 = b'c';

/// A station whose nights somebody watches.
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

/// Says which stations are watched just now.
pub type WatchedStations = Arc<dyn Fn() -> Vec<Watched> + Send + Sync>;

/// See the module's description.
pub struct Forecasts {
    /// How services are asked.
    pub fetch: Arc<dyn Fetch>,
    /// The stations.
    pub stations: WatchedStations,
    /// The address of the National Weather Service.
    pub nws_url: String,
    /// That of MET Norway.
    pub met_norway_url: String,
    /// From one forecast of a station to the next.
    pub interval: Duration,
}

impl Poller for Forecasts {
    fn poll(&mut self, position: &Position, now_ms: i64) -> Result<Batch, PollError> {
        let stations = (self.stations)();
        let due = |station: &Watched| number(position, DUE, station.id).unwrap_or_default();
        let mut batch = Batch::default();
        let Some(next) = stations.iter().min_by_key(|station| due(station)) else { return Ok(batch) };
        let wait = due(next) - now_ms;
        if wait > 0 {
            batch.next_in = Some(Duration::from_millis(wait.unsigned_abs()).min(self.interval));
            return Ok(batch);
        }
        let asked =
            if next.is_us { self.ask_nws(next, position, &mut batch) } else { self.ask_met(next, position) };
        let answer = asked.map_err(|error| PollError {
            reason: format!("forecast for {}: {}", next.id, error.reason),
            retry_in: error.retry_in,
        })?;
        self.take(next, answer, position, now_ms, &mut batch)?;
        Ok(batch)
    }
}

impl Forecasts {
    /// Asks for the station's cell first, where that is not known.
    fn ask_nws(
        &self,
        station: &Watched,
        position: &Position,
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
                    batch.set(key(CELL, station.id), cell.as_str());
                    // The forecast comes with the next poll.
                    Ok(Answer::NotDue(Duration::ZERO))
                }
                other => Ok(other),
            };
        };
        let url = format!("{}/gridpoints/{}", self.nws_url, cell.as_str());
        let answer = self.fetch.get(&Request {
            validators: validators(position, station.id),
            ..Request::text(&url, PACKED_BYTES_MAX, BYTES_MAX)
        })?;
        if answer == Answer::NotFound {
            // Cells move: it is looked up again.
            batch.remove(key(CELL, station.id));
            return Ok(Answer::NotDue(Duration::ZERO));
        }
        Ok(answer)
    }

    fn ask_met(&self, station: &Watched, position: &Position) -> Result<Answer, PollError> {
        let altitude =
            station.elevation.map_or(String::new(), |elevation| format!("&altitude={}", elevation.round()));
        let url = format!(
            "{}/weatherapi/locationforecast/2.0/complete?lat={}&lon={}{altitude}",
            self.met_norway_url,
            degrees(station.latitude),
            degrees(station.longitude)
        );
        self.fetch.get(&Request {
            validators: validators(position, station.id),
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
        let again_in = match answer {
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
                UNKNOWN_PLACE
            }
        };
        let due = now_ms + i64::try_from(again_in.as_millis()).unwrap_or_default();
        batch.set(key(DUE, station.id), due.to_string());
        Ok(())
    }

    /// Writes the forecast of the coming night, unless that is known.
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
        let wrong = |reason: String| PollError::new(format!("forecast for {}: {reason}", station.id));
        let (source, found) = if station.is_us {
            let cold = nws::read(&fresh.bytes, station.longitude).map_err(wrong)?;
            let lowest = cold.nights.iter().find(|(date, _)| *date == night.date).map(|(_, lowest)| *lowest);
            (nws::NAME, lowest.map(|lowest| (cold.issued, lowest)))
        } else {
            let coldest = met_norway::read(&fresh.bytes, &night).map_err(wrong)?;
            (met_norway::NAME, coldest.map(|coldest| (coldest.issued, coldest.lowest_c)))
        };
        let Some((issued, lowest_c)) = found else {
            batch.remark = Some(format!("the forecast for {} does not have the coming night", station.id));
            return Ok(());
        };
        batch.newest_ms = Some(issued * 1_000);
        let forecast =
            Forecast { station: station.id, source: source.into(), issued, night: night.date, lowest_c };
        let document = forecast.to_json();
        if position.get(&key(WRITTEN, station.id)) == Some(document.as_bytes()) {
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

/// At most four decimals, and none that say nothing: the services refuse or redirect others.
fn degrees(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
