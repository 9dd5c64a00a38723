//! Forecasts: each one that is emitted is what a service published at that time, and they come again after each fault.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use frostline::hourly::{Forecast, Hour, Night, parse_time, standard_offset};
use frostline::noaa::StationId;
use frostline::sources::{FORECASTS_SINK, Forecasts, HOURLY_SINK, Watched};
use frostline::weather_server::{Fault, Request, Script, World, answer};
use frostline_engine::{Poller, Position};
use serde_json::Value;

use super::downstream::Nights;
use super::faultless::Faultless;
use super::follower::{Follower, Polled};
use super::nights::compare_guided;
use super::service::Service;

const POINTS: &str = "/points/";
const CELLS: &str = "/gridpoints/";
const MET_NORWAY: &str = "/weatherapi/";
const HOURLY: Duration = Duration::from_secs(3_600);
/// What may be wrong with cells and their layers.
const FAULTS: &[Fault] =
    &[Fault::GridMoved, Fault::GridExpired, Fault::MinimumNull, Fault::MinimumMissing, Fault::UnknownUnit];
const KILL_SHARE: f64 = 0.03;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// After the end of all faults a forecast of each station comes within this time.
const PATIENCE: i64 = 8 * HOUR;
/// Forecasts have two decimals.
const ROUNDED: f64 = 0.0051;
/// How long the requests of a poll may take, in simulated seconds.
const REQUESTS_MAX: i64 = 300;

/// What was emitted so far.
#[derive(Default)]
struct Emitted {
    said: HashSet<Vec<u8>>,
    /// The time of the last one of each station.
    last_at: HashMap<StationId, i64>,
    /// When the newest one of each night was made.
    issued: HashMap<(StationId, String), i64>,
}

pub fn run(seed: u64) {
    let start = parse_time("2026-11-28T00:00:00Z").unwrap();
    let paths = [POINTS, CELLS, MET_NORWAY];
    let mut service = Service::start(World::new(seed, 11), (start, 4), &paths, FAULTS);
    service.quiet = DAY / 2;
    let stations = watched(&service.world);
    let (url, there) = (service.base.clone(), stations.clone());
    let make = move |fetch| {
        let there = there.clone();
        Box::new(Forecasts::new(fetch, Arc::new(move || there.clone()), &url, &url, HOURLY)) as _
    };
    let mut follower = Follower::new(&service, KILL_SHARE, Box::new(make));
    let mut emitted = Emitted::default();
    let mut daemon = Guided::new(&service, &stations);
    while !service.is_over() {
        let polled = follower.poll(&paths);
        if let Polled::Committed(batch) = &polled {
            let sinks: Vec<_> = batch.records.iter().map(|record| record.sink).collect();
            assert!(sinks.is_empty() || sinks == [FORECASTS_SINK, HOURLY_SINK], "{sinks:?}");
            if let [record, same] = batch.records.as_slice() {
                assert_eq!((&record.value, &record.key), (&same.value, &same.key));
                emitted.take(&service, &stations, &record.value);
                daemon.take(&record.key, &record.value, service.time.unix_ms());
            }
        }
        follower.wait(&polled, Duration::from_secs(60));
    }
    for station in &stations {
        let last = emitted.last_at.get(&station.id).copied().unwrap_or_default();
        assert!(last > service.now() - PATIENCE, "{}: {last} at {}", station.id, service.now());
    }
    daemon.end(service.now());
    let script = faultless(&service, &stations);
    compare_guided(&daemon.nights, &script.nights, &mut follower);
    assert!(["failures", "kills"].iter().all(|name| follower.counts.contains_key(*name)));
    follower.report("forecasts");
}

/// A station in the United States, one in Germany and one in Chile.
fn watched(world: &World) -> Vec<Watched> {
    let chosen = [0, 4, 10].map(|index| &world.stations()[index]);
    let watched = chosen.map(|station| Watched {
        id: station.id(),
        latitude: station.location().lat,
        longitude: station.location().lon,
        elevation: Some(station.elevation_m()),
        is_us: station.is_american(),
    });
    assert_eq!(watched.iter().filter(|station| station.is_us).count(), 1);
    watched.to_vec()
}

/// Forecasts among the observations of their stations, which come when they are made.
struct Guided {
    nights: Nights,
    /// Observations that have not come yet, the latest first.
    hours: Vec<Hour>,
}

impl Guided {
    fn new(service: &Service, stations: &[Watched]) -> Self {
        let (from, to) = (service.start - DAY, service.faults_end + service.quiet);
        let of_station = |station: &Watched| service.world.hours(station.id, from, to);
        let mut hours: Vec<Hour> = stations.iter().flat_map(of_station).collect();
        hours.sort_by_key(|hour| std::cmp::Reverse(hour.time));
        Self { nights: Nights::new(&service.world, from * 1_000), hours }
    }

    fn take(&mut self, key: &[u8], forecast: &[u8], now_ms: i64) {
        self.end(now_ms / 1_000);
        self.nights.take(key, forecast, now_ms);
    }

    /// Takes the observations up to a time.
    fn end(&mut self, now: i64) {
        while let Some(hour) = self.hours.pop_if(|hour| hour.time <= now) {
            self.nights.take(hour.station.as_bytes(), hour.to_json().as_bytes(), hour.time * 1_000);
        }
    }
}

/// What the daemon makes of the forecasts of services without faults.
fn faultless(service: &Service, stations: &[Watched]) -> Guided {
    let fetch = Arc::new(Faultless::new(&service.world));
    let there = stations.to_vec();
    let mut poller =
        Forecasts::new(fetch.clone(), Arc::new(move || there.clone()), fetch.base(), fetch.base(), HOURLY);
    let (mut guided, mut position) = (Guided::new(service, stations), Position::default());
    let mut now = service.start;
    while now < service.now() {
        fetch.set_time(now);
        let batch = poller.poll(&position, now * 1_000).unwrap();
        for (key, value) in &batch.changes {
            position.apply(key, value.as_deref());
        }
        if let Some(record) = batch.records.first() {
            guided.take(&record.key, &record.value, now * 1_000);
        }
        now += batch.next_in.map_or(60, |wait| wait.as_secs().cast_signed()).max(60);
    }
    guided.end(service.now());
    guided
}

impl Emitted {
    fn take(&mut self, service: &Service, stations: &[Watched], value: &[u8]) {
        let forecast = Forecast::parse(value).unwrap();
        let station = stations.iter().find(|station| station.id == forecast.station).unwrap();
        let now = service.now();
        // Requests take simulated time too: the night may have ended since the poll began.
        let nights =
            [now, now - REQUESTS_MAX].map(|at| Night::at(at, station.latitude, station.longitude).unwrap());
        let night = nights.into_iter().find(|night| night.date == forecast.night).expect("the coming night");
        let path = if station.is_us { CELLS } else { MET_NORWAY };
        let views = service.views(now, path);
        let published: Vec<_> = views.iter().map(|view| published(service, station, &night, *view)).collect();
        let is_one = |found: &(i64, Vec<f64>)| {
            found.0 == forecast.issued
                && found.1.iter().any(|lowest| (lowest - forecast.lowest_c).abs() < ROUNDED)
        };
        assert!(published.iter().any(is_one), "{forecast:?} is not of {published:?}");
        assert!(self.said.insert(value.to_vec()), "twice: {forecast:?}");
        let last = self.issued.insert((forecast.station, forecast.night.to_string()), forecast.issued);
        assert!(last.is_none_or(|last| last <= forecast.issued), "{forecast:?} after one of {last:?}");
        self.last_at.insert(forecast.station, now);
    }
}

/// When the forecast was made that a service has at a time, and the lowest temperature of a night in it.
fn published(service: &Service, station: &Watched, night: &Night, at: i64) -> (i64, Vec<f64>) {
    let get = |path: &str, query: String| -> Value {
        // Nothing but the names of cells matters here.
        let moved = service.script.windows().iter().filter(|window| window.fault == Fault::GridMoved);
        let request = Request {
            path: path.to_owned(),
            query,
            user_agent: Some("truth@example.org".to_owned()),
            ..Request::default()
        };
        let script = Script::new(moved.cloned().collect());
        serde_json::from_slice(&answer(&service.world, &script, at, &request).body).unwrap()
    };
    let (lat, lon) = (station.latitude, station.longitude);
    if station.is_us {
        let point = get(&format!("{POINTS}{lat},{lon}"), String::new());
        let path = point["properties"]["forecastGridData"].as_str().unwrap().to_owned();
        let properties = &get(&path, String::new())["properties"];
        (time(&properties["updateTime"]), minimum(properties, night, lon))
    } else {
        let altitude = station.elevation.unwrap_or_default().round();
        let path = format!("{MET_NORWAY}locationforecast/2.0/complete");
        let properties = &get(&path, format!("lat={lat}&lon={lon}&altitude={altitude}"))["properties"];
        (time(&properties["meta"]["updated_at"]), lowest_step(properties, night))
    }
}

/// The layer's value around the midnight of the night.
fn minimum(properties: &Value, night: &Night, longitude: f64) -> Vec<f64> {
    let midnight = (i64::from(night.date.days_since_1970()) + 1) * DAY - standard_offset(longitude);
    let values = properties["minTemperature"]["values"].as_array().unwrap();
    let around = values.iter().filter(|one| {
        let begins = one["validTime"].as_str().and_then(|text| parse_time(text.split('/').next()?)).unwrap();
        (begins..begins + 14 * HOUR).contains(&midnight)
    });
    around.filter_map(|one| one["value"].as_f64()).collect()
}

/// The lowest of the steps within the night.
fn lowest_step(properties: &Value, night: &Night) -> Vec<f64> {
    let mut values = Vec::new();
    for step in properties["timeseries"].as_array().unwrap() {
        let (at, data) = (time(&step["time"]), &step["data"]);
        let instant = &data["instant"]["details"]["air_temperature"];
        let coming = &data["next_6_hours"]["details"]["air_temperature_min"];
        values.extend(instant.as_f64().filter(|_| night.contains(at)));
        values.extend(coming.as_f64().filter(|_| at >= night.begins && at + 6 * HOUR <= night.ends));
    }
    values.into_iter().reduce(f64::min).into_iter().collect()
}

fn time(value: &Value) -> i64 {
    parse_time(value.as_str().unwrap()).unwrap()
}
