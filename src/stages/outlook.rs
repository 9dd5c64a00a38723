//! outlook: estimates, with each hourly observation, how cold the coming night will be.
//!
//! A station's night so far, and the lessons from its past nights, are in the store (see [`Nights`] and [`Lessons`]).
//! Both are made from observations only, taken in the order of their times, so any process that reads the same
//! records makes the same outlooks. An observation that is older than the newest one of its station has an effect
//! only if it is the lowest of the night.

use std::collections::HashMap;
use std::sync::Arc;

use frostline_engine::record::Record;
use frostline_engine::store::{StateError, Store};
use frostline_engine::{Context, Owner, Processor};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::moment_alert::meta;
use super::{Limits, StationIndex, accepted_value, memory};
use crate::hourly::{Forecast, Hour, moisture};
use crate::noaa::{Location, StationId};
use crate::outlook::{Guidance, Lessons, News, Nights, Observed, OlderLessons, OutlookRecord, Spot, Taken};
use crate::stages::count;

/// How far an observation may be ahead of the clock, in seconds: clocks differ, and some stations round up.
const AHEAD_MAX: i64 = 2 * 3_600;
/// How many days ahead of the clock the night of a forecast may be. Services forecast ten.
const FORECAST_DAYS_MAX: i32 = 15;
/// Store keys of nights begin with this byte; the station follows.
const NIGHTS_KEY: u8 = b'n';
/// Store keys of lessons begin with this byte.
const LESSONS_KEY: u8 = b'l';
/// Precedes lessons since the hours of a model share one covariance.
const LESSONS_VERSION: u8 = 2;
/// Store keys of forecasts begin with this byte.
const FORECASTS_KEY: u8 = b'f';

/// The processor of hourly observations.
pub struct Outlook {
    stations: Arc<StationIndex>,
    limits: Limits,
    /// Stations as last read.
    known: HashMap<StationId, Known, foldhash::fast::RandomState>,
}

/// A station of the table.
#[derive(Clone)]
struct Known {
    json: Arc<str>,
    spot: Spot,
    /// The usual one at its elevation.
    pressure_hpa: f64,
}

impl Outlook {
    /// Looks stations up in `stations`.
    pub fn new(stations: Arc<StationIndex>, limits: Limits) -> Self {
        Self { stations, limits, known: HashMap::default() }
    }

    /// Parses an observation, or reports why it cannot be used.
    fn hour(&self, value: &[u8], record: &Record<'_>, now_ms: i64) -> Result<Hour, String> {
        let hour = Hour::parse(value).map_err(|error| error.to_string())?;
        check_key(record, hour.station)?;
        if hour.time > now_ms / 1_000 + AHEAD_MAX {
            return Err(format!("its time, {}, is in the future", crate::hourly::iso_time(hour.time)));
        }
        Ok(hour)
    }

    /// The station's place and JSON.
    fn station(&mut self, id: StationId) -> Result<Known, String> {
        let json =
            self.stations.get(id).ok_or_else(|| format!("station {id} is not in the station table"))?;
        if let Some(known) = self.known.get(&id).filter(|known| *known.json == *json) {
            return Ok(known.clone());
        }
        #[derive(Deserialize)]
        struct Place {
            location: Option<Location>,
            elevation: Option<f64>,
        }
        let place: Place = serde_json::from_str(&json).map_err(|error| format!("station {id}: {error}"))?;
        let location = place.location.ok_or_else(|| {
            format!("the station table has no coordinates for {id}, which its outlooks need")
        })?;
        let spot = Spot { latitude: location.lat, longitude: location.lon };
        let known = Known { json: json.into(), spot, pressure_hpa: moisture::pressure_hpa(place.elevation) };
        self.known.insert(id, known.clone());
        Ok(known)
    }
}

/// All records of a station have its id as their key.
fn check_key(record: &Record<'_>, station: StationId) -> Result<(), String> {
    match record.key {
        Some(key) if key == station.as_bytes() => Ok(()),
        Some(key) => {
            Err(format!("key {:?}: expected the station id {station}", String::from_utf8_lossy(key)))
        }
        None => Err(format!("no key: expected the station id {station}")),
    }
}

impl Outlook {
    /// A forecast affects the outlooks of the next observations.
    fn take_forecast(
        &mut self,
        value: &[u8],
        record: &Record<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), StateError> {
        let today = i32::try_from(context.now_ms.div_euclid(86_400_000)).unwrap_or(i32::MAX);
        let last_day = today.saturating_add(FORECAST_DAYS_MAX);
        let found = Forecast::parse(value).map_err(|error| error.to_string());
        let found = found.and_then(|forecast| {
            check_key(record, forecast.station)?;
            if forecast.night.days_since_1970() > last_day {
                return Err(format!("its night, {}, is too far in the future", forecast.night));
            }
            Ok((self.station(forecast.station)?.spot, forecast))
        });
        let (spot, forecast) = match found {
            Ok(found) => found,
            Err(reason) => {
                context.reject(record, &reason);
                return Ok(());
            }
        };
        let today = context.record_day(record.timestamp_ms);
        let nights =
            context.store.get(&key(NIGHTS_KEY, forecast.station), today, memory::decode::<Nights>)?;
        let now = nights.and_then(Result::ok).flatten().and_then(|nights| nights.newest());
        let (mut guidance, day) = read_guidance(forecast.station, record, context)?.unwrap_or_default();
        guidance.forget_after(last_day);
        if guidance.take(&forecast, spot, now) {
            let value = memory::encode(&guidance);
            context.store.put(&key(FORECASTS_KEY, forecast.station), day.max(today), &value);
            context.counts[count::FORECASTS] += 1;
        } else {
            context.counts[count::DUPLICATES] += 1;
        }
        Ok(())
    }
}

type StoredGuidance = Option<(Guidance, u32)>;

fn read_guidance(
    station: StationId,
    record: &Record<'_>,
    context: &Context<'_>,
) -> Result<StoredGuidance, StateError> {
    let today = context.record_day(record.timestamp_ms);
    let key = key(FORECASTS_KEY, station);
    let (found, day) = context.store.get_for_update(&key, today, memory::decode::<Guidance>)?;
    let unreadable =
        |()| context.store.corrupted(&format!("the forecasts of station {station} cannot be read"));
    Ok(found.transpose().map_err(unreadable)?.flatten().map(|guidance| (guidance, day)))
}

/// Includes the newest forecast of the station in the outlook, and scores it once the night has ended.
fn guide(
    station: StationId,
    news: &mut News,
    record: &Record<'_>,
    context: &mut Context<'_>,
) -> Result<(), StateError> {
    let Some((mut guidance, day)) = read_guidance(station, record, context)? else { return Ok(()) };
    if news.outcome.as_ref().is_some_and(|outcome| guidance.settle(outcome)) {
        context.store.put(&key(FORECASTS_KEY, station), day, &memory::encode(&guidance));
    }
    news.expected = news.expected.take().map(|expected| guidance.guide(expected, news.time));
    Ok(())
}

impl Processor for Outlook {
    fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError> {
        let Some(value) = accepted_value(record, &self.limits, context) else { return Ok(()) };
        if Forecast::is_one(value) {
            return self.take_forecast(value, record, context);
        }
        let found = self.hour(value, record, context.now_ms);
        let found = found.and_then(|hour| Ok((self.station(hour.station)?, hour)));
        let (station, hour) = match found {
            Ok(found) => found,
            Err(reason) => {
                context.reject(record, &reason);
                return Ok(());
            }
        };
        let mut memory = Memory::read(hour.station, record, context)?;
        match memory.nights.observe(&mut memory.lessons, station.spot, &hour) {
            Taken::Newest(mut news) => {
                guide(hour.station, &mut news, record, context)?;
                emit(&station, &hour, &news, record, context);
                memory.write(news.has_learnt, context);
            }
            Taken::Doubtful => {
                memory.write(false, context);
                let reason = format!(
                    "{} °C is more than 10 K from the previous observation: it will count once others near it confirm it",
                    hour.temperature_c
                );
                context.reject(record, &reason);
            }
            Taken::Known => context.counts[count::DUPLICATES] += 1,
            Taken::OutOfTime => context.reject(record, "no night can be computed for its time"),
        }
        Ok(())
    }
}

/// The entries of a station in the store, with the day under which each is written again.
struct Memory {
    station: StationId,
    nights: Nights,
    nights_day: u32,
    lessons: Lessons,
    lessons_day: u32,
}

impl Memory {
    fn read(station: StationId, record: &Record<'_>, context: &Context<'_>) -> Result<Self, StateError> {
        let today = context.record_day(record.timestamp_ms);
        let unreadable =
            |()| context.store.corrupted(&format!("the nights of station {station} cannot be read"));
        let (nights, nights_day) =
            context.store.get_for_update(&key(NIGHTS_KEY, station), today, memory::decode::<Nights>)?;
        let (lessons, lessons_day) =
            context.store.get_for_update(&key(LESSONS_KEY, station), today, decode_lessons)?;
        let nights = nights.transpose().map_err(unreadable)?.flatten().unwrap_or_default();
        let lessons = lessons.transpose().map_err(unreadable)?.flatten().filter(Lessons::is_sound);
        Ok(Self { station, nights, nights_day, lessons: lessons.unwrap_or_default(), lessons_day })
    }

    fn write(&self, has_learnt: bool, context: &mut Context<'_>) {
        let Self { station, nights, nights_day, lessons, lessons_day } = self;
        context.store.put(&key(NIGHTS_KEY, *station), *nights_day, &memory::encode(nights));
        if has_learnt {
            context.store.put(&key(LESSONS_KEY, *station), *lessons_day, &encode_lessons(lessons));
        }
    }
}

fn encode_lessons(lessons: &Lessons) -> Vec<u8> {
    memory::encode_as(LESSONS_VERSION, lessons)
}

/// Reads lessons in the present form or the one before it.
fn decode_lessons(stored: &[u8]) -> Result<Option<Lessons>, ()> {
    match memory::decode_as(LESSONS_VERSION, stored)? {
        None => Ok(memory::decode::<OlderLessons>(stored)?.map(Lessons::from)),
        lessons => Ok(lessons),
    }
}

/// The owner of an entry of the store.
pub(super) fn owner(key: &[u8]) -> Option<Owner<'_>> {
    let (kind, station) = key.split_first()?;
    let is_known =
        [NIGHTS_KEY, LESSONS_KEY, FORECASTS_KEY].contains(kind) && StationId::parse(station).is_some();
    is_known.then_some(Owner::Key(station))
}

fn key(kind: u8, station: StationId) -> Vec<u8> {
    [&[kind], station.as_bytes().as_slice()].concat()
}

/// The state of a station, for inspection.
pub(super) fn remembered(store: &Store, station: StationId) -> Result<Vec<serde_json::Value>, StateError> {
    let mut found = Vec::new();
    store.scan_committed(&key(NIGHTS_KEY, station), |_, value| {
        if let Ok(Some(nights)) = memory::decode::<Nights>(value) {
            let heard = nights.newest().map(crate::hourly::iso_time);
            found.push(serde_json::json!({ "kind": "night so far", "heard": heard }));
        }
    })?;
    store.scan_committed(&key(LESSONS_KEY, station), |_, value| {
        if let Ok(Some(lessons)) = decode_lessons(value) {
            found.push(serde_json::json!({ "kind": "model", "nights_learnt": lessons.nights() }));
        }
    })?;
    Ok(found)
}

/// Writes the outcome of the previous night, if it is known now, and the outlook on the coming one.
fn emit(station: &Known, hour: &Hour, news: &News, record: &Record<'_>, context: &mut Context<'_>) {
    // It was parsed when the table was read, so it is JSON.
    let Ok(json) = serde_json::from_str::<&RawValue>(&station.json) else { return };
    let of_night = |date: String| OutlookRecord {
        station: json,
        time: hour.time,
        date,
        revision: news.revision,
        observed: None,
        expected: None,
        outcome: None,
        meta: Some(meta(record)),
    };
    let outcome = news.outcome.clone().map(|outcome| OutlookRecord {
        revision: 1,
        outcome: Some(outcome.clone()),
        ..of_night(outcome.night.date)
    });
    let now = OutlookRecord {
        time: news.time,
        observed: (news.time == hour.time).then(|| Observed::of(hour, station.pressure_hpa)),
        expected: news.expected.clone(),
        ..of_night(news.night.date.to_string())
    };
    for document in outcome.into_iter().chain([now]) {
        context.counts[count::OUTLOOKS] += 1;
        context.collector.emit(hour.station.as_bytes(), record.timestamp_ms, |out| {
            // Strings and numbers into a vector cannot fail.
            let _ = serde_json::to_writer(out, &document);
        });
    }
}

#[cfg(test)]
#[path = "outlook_tests.rs"]
mod tests;
