//! An evening in which the stations report that the page shows: the same at every hour of the day, since it is evening
//! somewhere.

use std::ops::Range;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use frostline::hourly::{iso_time, parse_time, standard_offset};
use frostline::noaa::{Compat, StationId};
use frostline::outlook::{Issue, Ledger, RecentOutlooks, Standing};
use frostline::stages::{self, Limits, Outlook, StationIndex};
use frostline_engine::Sink;
use frostline_engine::driver::TestDriver;
use serde_json::json;

use crate::support::{KeyValue, Needs, Test, Topics, read_data, test};

pub fn tests() -> Vec<Test> {
    vec![test("the_page_has_the_same_evening_at_every_hour", &[Needs::Data], same_evening)]
}

const STATIONS: usize = 240;
const HOURS: i64 = 13;

/// Hours by local standard time in which a station is shown: the night has begun, and it still becomes colder.
const SHOWN_HOURS: Range<f64> = 18.0..26.0;
/// Degrees from the equator: there the sun sets and rises on every day, and the night is long enough in summer too.
const LATITUDES: Range<f64> = 20.0..45.0;
/// The lowest so far of the warmest station and of the coldest, in °C.
const WARMEST: f64 = 8.0;
const COLDEST: f64 = -12.0;

/// Stations where it is late evening, each with its lowest temperature so far, and the last observation's time. Whatever the
/// hour, there are as many of them, and as cold.
pub struct Evening {
    pub stations: Vec<Spot>,
    pub time: i64,
}

#[derive(Clone)]
pub struct Spot {
    pub id: String,
    pub name: String,
    latitude: f64,
    longitude: f64,
    celsius: f64,
}

/// A station of the inventory, if it has a thermometer and stands where nights are ordinary.
fn spot(line: &str) -> Option<Spot> {
    let number = |range: Range<usize>| line.get(range)?.trim().parse::<f64>().ok();
    let text = |range: Range<usize>| line.get(range).unwrap_or_default().trim().to_owned();
    let (latitude, longitude) = (number(12..20)?, number(21..30)?);
    let is_kept = !matches!(&line[2..3], "C" | "1") && LATITUDES.contains(&latitude.abs());
    is_kept.then(|| Spot { id: text(0..11), name: text(41..71), latitude, longitude, celsius: 0.0 })
}

impl Spot {
    /// The hour by local standard time there, from noon (12) to the next noon (36).
    fn evening_hour(&self, now: i64) -> f64 {
        let local = (now + standard_offset(self.longitude)).rem_euclid(86_400) as f64 / 3_600.0;
        if local < 12.0 { local + 24.0 } else { local }
    }
}

impl Evening {
    /// Of the inventory's stations where it is late evening now.
    pub fn now() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        Self::at(now, &read_data("ghcnd-stations.txt.gz"))
    }

    /// The same at a time, in seconds since 1970.
    fn at(now: i64, inventory: &str) -> Self {
        let spots = inventory.lines().filter_map(spot);
        let found: Vec<Spot> = spots.filter(|spot| SHOWN_HOURS.contains(&spot.evening_hour(now))).collect();
        let step = found.len() / STATIONS;
        assert!(step > 0, "{} stations at {}", found.len(), iso_time(now));
        let mut stations: Vec<Spot> = found.into_iter().step_by(step).take(STATIONS).collect();
        // The silent one: where the evening was old enough five hours ago.
        let late = |a: &Spot, b: &Spot| a.evening_hour(now).total_cmp(&b.evening_hour(now));
        let latest = (0..STATIONS).max_by(|a, b| late(&stations[*a], &stations[*b])).unwrap();
        stations.swap(0, latest);
        for (place, spot) in stations.iter_mut().enumerate() {
            // In any order, so that all temperatures are everywhere.
            let share = (place * 97 % STATIONS) as f64 / (STATIONS - 1) as f64;
            spot.celsius = ((WARMEST + (COLDEST - WARMEST) * share) * 10.0).round() / 10.0;
        }
        Self { stations, time: now - 60 }
    }

    /// The first station reports no more since five hours.
    pub fn silent(&self) -> &Spot {
        &self.stations[0]
    }

    /// The one that is looked at: near to where frost begins, and it becomes colder by more than all others there. `drop` is
    /// by how many degrees.
    pub fn frosty(&self, drop: impl Fn(&Spot) -> f64) -> &Spot {
        let inner = &self.stations[1..self.stations.len() - 1];
        // It is looked for by its name.
        let is_single = |spot: &&Spot| self.stations.iter().filter(|one| one.name == spot.name).count() == 1;
        let near = inner.iter().filter(|spot| spot.celsius.abs() < 2.0).filter(is_single);
        near.max_by(|a, b| drop(a).total_cmp(&drop(b))).unwrap()
    }

    /// Its last nights are scored.
    pub fn scored(&self) -> &Spot {
        self.stations.last().unwrap()
    }

    /// Sends an evening of clear sky, hour by hour, and the six days before of one station.
    pub fn send(&self, topics: &Topics) {
        let records = self.records();
        let records: Vec<KeyValue<'_>> =
            records.iter().map(|(id, value)| (Some(id.as_bytes()), Some(value.as_bytes()))).collect();
        topics.send("noaa-hourly", &records);
    }

    /// Keys and values.
    fn records(&self) -> Vec<(&str, String)> {
        let mut records: Vec<(&str, String)> = Vec::new();
        let (scored, now) = (self.scored(), self.time);
        for ago in (HOURS..144).rev() {
            // Coldest at six in the morning by the sun.
            let hour = ((now - ago * 3_600) as f64 / 3_600.0 + scored.longitude / 15.0).rem_euclid(24.0);
            let celsius = (2.0 - 5.0 * ((hour - 6.0) / 24.0 * std::f64::consts::TAU).cos()).round();
            let record = json!({
                "station_id": scored.id, "time": iso_time(now - ago * 3_600), "temperature_c": celsius,
            });
            records.push((&scored.id, record.to_string()));
        }
        for (place, spot) in self.stations.iter().enumerate() {
            for ago in (if place == 0 { 5 } else { 0 }..HOURS).rev() {
                let celsius = spot.celsius + 1.1 * ago.min(8) as f64;
                let record = json!({
                    "station_id": spot.id, "time": iso_time(self.time - ago * 3_600),
                    "temperature_c": (celsius * 10.0).round() / 10.0,
                    "dew_point_c": (spot.celsius * 10.0).round() / 10.0 - 8.0, "wind_m_s": 0.5,
                });
                records.push((&spot.id, record.to_string()));
            }
        }
        records
    }
}

/// What the visit builds upon holds whenever it takes place: in summer and in winter, at any hour.
fn same_evening() {
    let inventory = read_data("ghcnd-stations.txt.gz");
    for (midnight, first) in [("2026-06-21T00:00:00Z", 0), ("2026-12-21T00:00:00Z", 1)] {
        for hour in (first..24).step_by(2) {
            let now = parse_time(midnight).unwrap() + hour * 3_600 + 1_740;
            let evening = Evening::at(now, &inventory);
            let (outlooks, at) = (RecentOutlooks::default(), iso_time(now));
            let mut driver = TestDriver::new(stages::OUTLOOK, Box::new(evening.stage()));
            driver.now_ms = now * 1_000;
            for (id, value) in evening.records() {
                driver.pipe(id, &value).unwrap();
            }
            let mut ledger = Ledger::new(Issue { issued: 18 * 3_600, lag: 0 });
            for written in driver.commit().unwrap() {
                assert_ne!(written.sink, Sink::DeadLetters, "{at}: {written:?}");
                outlooks.take_document(written.text().as_bytes(), now * 1_000);
                ledger.take_outlook(written.text().as_bytes());
            }
            let scored = ledger.stations().map(|(id, tally)| (id.to_string(), tally.nights(-2.0).count()));
            let scored: Vec<_> = scored.filter(|(_, nights)| *nights > 0).collect();
            assert!(
                scored.len() == 1 && scored[0].0 == evening.scored().id && scored[0].1 > 1,
                "{at}: {scored:?}"
            );
            let of = |spot: &Spot| outlooks.get(StationId::parse(spot.id.as_bytes()).unwrap()).unwrap();
            let mut likely = 0;
            for spot in &evening.stations {
                let is_silent = spot.id == evening.silent().id;
                let standing = if is_silent { Standing::Silent } else { Standing::Expected };
                assert_eq!(of(spot).standing(now), standing, "{at}: {}", spot.id);
                let expected = of(spot).expected.unwrap();
                likely += usize::from(expected.distribution.chance(-2.0) > 0.5);
            }
            assert!((40..200).contains(&likely), "{at}: {likely} of {STATIONS} likely become cold");
            // It becomes colder, and the limit half way down is crossed.
            let drop = |spot: &Spot| {
                let expected = of(spot).expected.unwrap();
                expected.temperature_c - expected.distribution.quantile(0.5)
            };
            let frosty = evening.frosty(drop);
            let expected = of(frosty).expected.unwrap();
            let lowest = expected.distribution.quantile(0.5);
            assert!(drop(frosty) > 0.4, "{at}: {} {lowest}", expected.temperature_c);
            let limit = (f64::midpoint(expected.temperature_c, lowest) * 10.0).round() / 10.0;
            assert!(expected.crossing(limit, evening.time).is_some(), "{at}: {limit}");
            assert!(outlooks.newest() == Some(evening.time), "{at}");
        }
    }
}

impl Evening {
    /// The stage that makes the outlooks, with these stations in its table.
    fn stage(&self) -> Outlook {
        let table = StationIndex::new(Compat::None);
        for Spot { id, name, latitude, longitude, .. } in &self.stations {
            let station = json!({ "id": id, "name": name, "country_code": &id[..2], "country": "",
                                  "location": { "lat": latitude, "lon": longitude } });
            table.insert(&serde_json::from_value(station).unwrap());
        }
        Outlook::new(Arc::new(table), Limits::default())
    }
}
