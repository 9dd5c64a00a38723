//! The coming night: the chance at each station that it reaches a limit, and the night of one station.

use actix_web::{HttpRequest, HttpResponse, web};
use frostline_engine::record::unix_ms;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::large;
use super::limit::Limits;
use super::query::{bad_request, not_found};
use super::view::Shown;
use crate::hourly::iso_time;
use crate::noaa::StationId;
use crate::outlook::{Point, RecentOutlook, RecentOutlooks, Standing};
use crate::printable::at_most;
use crate::rules::Limit;

/// Allowed limits, in °C: the same as for observations.
const LIMIT_C: std::ops::RangeInclusive<f64> = -90.0..=60.0;
/// How much of a limit that cannot be read is repeated, in characters.
const LIMIT_CHARS_SHOWN: usize = 40;

/// Query parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// In °C, or with its unit.
    limit: Option<String>,
    /// Compute ages from the newest observation of all, for a replayed night.
    #[serde(default)]
    past: bool,
}

impl Asked {
    /// The time from which ages count, in seconds since 1970.
    fn now(&self, outlooks: &RecentOutlooks) -> i64 {
        let now = unix_ms() / 1_000;
        let newest = self.past.then(|| outlooks.newest()).flatten();
        newest.map_or(now, |newest| newest.min(now))
    }
}

/// A limit in °C, `-2.0`, or with its unit, `28F`; without one it is 0 °C.
pub(super) fn limit_c(text: Option<&str>) -> Result<f64, actix_web::Error> {
    let Some(text) = text else { return Ok(0.0) };
    let celsius = text.parse().ok().or_else(|| text.parse::<Limit>().ok().map(Limit::celsius));
    celsius.filter(|celsius| LIMIT_C.contains(celsius)).ok_or_else(|| {
        let shown = at_most(text, LIMIT_CHARS_SHOWN);
        bad_request(format!(
            "limit = {shown}: expected -90 to 60 °C, such as ?limit=-2.0, or a unit, as in ?limit=28F"
        ))
    })
}

/// `GET /api/v1/outlooks?limit=-2.0`: all stations, the highest chance first.
pub(super) async fn outlooks(
    asked: web::Query<Asked>,
    request: HttpRequest,
    shown: web::Data<Shown>,
    limits: web::Data<Limits>,
) -> Result<HttpResponse, actix_web::Error> {
    let limit_c = limit_c(asked.limit.as_deref())?;
    shown.live.look_and_read_outlooks().await;
    let make = move || list(&shown.live.outlooks, limit_c, asked.now(&shown.live.outlooks));
    Ok(large(&request, &limits, make).await)
}

fn list(outlooks: &RecentOutlooks, limit_c: f64, now: i64) -> Value {
    let mut rows = Vec::new();
    outlooks.visit(|station| rows.push(row(station, limit_c, now)));
    // An unknown chance comes last.
    let chance = |row: &Value| row["chance"].as_f64().unwrap_or(-1.0);
    rows.sort_by(|left, right| {
        let by_chance = chance(right).total_cmp(&chance(left));
        by_chance.then_with(|| left["id"].as_str().cmp(&right["id"].as_str()))
    });
    json!({ "limit_c": limit_c, "as_of": iso_time(now), "stations": rows })
}

/// A station. Its chance is unknown, not zero, if it has fallen silent or has no outlook.
fn row(station: &RecentOutlook, limit_c: f64, now: i64) -> Value {
    let standing = station.standing(now);
    let expected = station.expected.as_ref().filter(|_| standing == Standing::Expected);
    let thousandths = |value: f64| (value * 1_000.0).round() / 1_000.0;
    let quantile =
        |probability: f64| expected.map(|night| thousandths(night.distribution.quantile(probability)));
    json!({
        "id": station.id,
        "name": station.name,
        "latitude": station.place.map(|place| place.lat),
        "longitude": station.place.map(|place| place.lon),
        "time": iso_time(station.time),
        "age_seconds": (now - station.time).max(0),
        "state": word(standing),
        "temperature_c": station.observed.map(|observed| observed.temperature_c),
        "chance": expected.map(|night| thousandths(night.distribution.chance(limit_c))),
        "p10_c": quantile(0.1),
        "p50_c": quantile(0.5),
        "p90_c": quantile(0.9),
        "lowest_at": expected.map(|night| iso_time(night.lowest_at)),
    })
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Expected => "expected",
        Standing::NoOutlook => "no_outlook",
        Standing::Silent => "silent",
    }
}

/// `GET /api/v1/outlooks/STATION`: the night so far, and the data needed to compute the chance for any limit.
pub(super) async fn outlook(
    id: web::Path<String>,
    asked: web::Query<Asked>,
    shown: web::Data<Shown>,
) -> HttpResponse {
    shown.live.look_and_read_outlooks().await;
    let Some(id) = StationId::parse(id.as_bytes()) else {
        return not_found("expected a GHCN-Daily id of 11 characters, such as USW00003192");
    };
    let night = shown.live.outlooks.get(id).map(|station| night(&station, asked.now(&shown.live.outlooks)));
    // Most stations have no hourly observations, which is not an error.
    let nothing = || json!({ "id": id, "time": null, "state": "unknown", "points": [], "expected": null });
    HttpResponse::Ok().json(night.unwrap_or_else(nothing))
}

fn night(station: &RecentOutlook, now: i64) -> Value {
    let point = |point: &Point| json!({ "time": iso_time(point.time), "temperature_c": point.temperature_c });
    json!({
        "id": station.id,
        "name": station.name,
        "region": station.region,
        "latitude": station.place.map(|place| place.lat),
        "longitude": station.place.map(|place| place.lon),
        "as_of": iso_time(now),
        "time": iso_time(station.time),
        "age_seconds": (now - station.time).max(0),
        "state": word(station.standing(now)),
        "date": station.date,
        "observed": station.observed,
        "points": station.points.iter().map(point).collect::<Vec<_>>(),
        "expected": station.expected,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use frostline_engine::driver::TestDriver;

    use super::*;
    use crate::hourly::{HOUR, standard_offset};
    use crate::noaa::Compat;
    use crate::stages;
    use crate::stages::{Limits, Outlook, StationIndex};

    /// A station whose night will be -2.6 °C, give or take two.
    fn record(id: &str, time: i64, expected: bool) -> String {
        let night = crate::outlook::Distribution::of(|p| -2.6 + 4.0 * (p - 0.5));
        let mut record = json!({
            "station": { "id": id, "name": "SCOTTSDALE MUNI AP", "location": { "lat": 33.6, "lon": -111.9 } },
            "time": iso_time(time), "date": "2013-01-01", "revision": 1,
            "observed": { "temperature_c": 1.5 },
        });
        if expected {
            record["expected"] = json!({
                "night": { "date": "2013-01-01", "begins": iso_time(time), "sunrise": iso_time(time + 30_000),
                           "ends": iso_time(time + 36_000) },
                "lowest_at": iso_time(time + 28_800), "temperature_c": 1.5, "nights": 3, "inputs": [],
                "curve": [{ "time": iso_time(time + 3_600), "p10_c": 0.1, "p50_c": 0.4, "p90_c": 0.9 }],
            });
            let table = serde_json::to_value(night).unwrap();
            record["expected"].as_object_mut().unwrap().extend(table.as_object().unwrap().clone());
        }
        record.to_string()
    }

    #[test]
    fn the_likeliest_comes_first_and_the_unknown_last() {
        let (outlooks, now) = (RecentOutlooks::default(), 1_357_106_400);
        let take = |id: &str, time: i64, expected: bool| {
            outlooks.take_document(record(id, time, expected).as_bytes(), now * 1_000);
        };
        take("USW00000001", now - 14_500, true);
        take("USW00000002", now, true);
        take("USW00000003", now, false);
        let listed = list(&outlooks, -2.0, now);
        let seen: Vec<_> = listed["stations"].as_array().unwrap().iter().collect();
        let column = |name: &str| seen.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
        assert_eq!(column("id"), ["USW00000002", "USW00000001", "USW00000003"]);
        assert_eq!(column("state"), ["expected", "silent", "no_outlook"]);
        assert_eq!(column("chance"), [json!(0.65), Value::Null, Value::Null]);
        assert_eq!(column("p50_c"), [json!(-2.6), Value::Null, Value::Null]);
        assert_eq!(column("age_seconds"), [0, 14_500, 0]);
        assert_eq!(seen[0]["latitude"], 33.6);
        let id = StationId::parse(b"USW00000001").unwrap();
        let one = night(&outlooks.get(id).unwrap(), now);
        assert_eq!((&one["state"], &one["points"][0]["temperature_c"]), (&json!("silent"), &json!(1.5)));
        assert_eq!(one["expected"]["quantiles_c"].as_array().unwrap().len(), 19);
    }

    /// What readers have before them at each hour of a day, wherever they are: nights are open from 15:00 to 09:00 of a
    /// place, so that at noon UTC Arizona's night is not over, Japan's has begun, and Finland has none.
    #[test]
    fn at_every_hour_there_are_the_nights_that_are_open_then() {
        // 28 November 2026.
        const MIDNIGHT: i64 = 1_795_824_000;
        let places =
            [("USW00003192", 33.6, -111.9), ("FI000000304", 60.2, 24.95), ("JA000047662", 35.7, 139.8)];
        let table = StationIndex::new(Compat::None);
        for (id, lat, lon) in places {
            let station = json!({ "id": id, "name": id, "country_code": &id[..2], "country": "",
                                  "location": { "lat": lat, "lon": lon } });
            table.insert(&serde_json::from_value(station).unwrap());
        }
        let stage = Outlook::new(Arc::new(table), Limits::default());
        let (mut driver, outlooks) =
            (TestDriver::new(stages::OUTLOOK, Box::new(stage)), RecentOutlooks::default());
        for hour in -30..24_i64 {
            let time = MIDNIGHT + hour * HOUR;
            driver.now_ms = time * 1_000;
            for (id, _, lon) in places {
                let by_sun = (time - MIDNIGHT) as f64 / HOUR as f64 + lon / 15.0;
                let celsius = (3.0 - 6.0 * ((by_sun - 6.0) / 24.0 * std::f64::consts::TAU).cos()).round();
                let observed = json!({ "station_id": id, "time": iso_time(time), "temperature_c": celsius });
                driver.pipe(id, &observed.to_string()).unwrap();
            }
            for written in driver.commit().unwrap() {
                outlooks.take_document(written.text().as_bytes(), driver.now_ms);
            }
            if hour < 0 {
                continue;
            }
            let listed = list(&outlooks, 0.0, time + HOUR / 2);
            let rows = listed["stations"].as_array().unwrap();
            let is_open = |lon: f64| !(9..15).contains(&(hour + standard_offset(lon) / HOUR).rem_euclid(24));
            for (id, _, lon) in places {
                let row = rows.iter().find(|row| row["id"] == id).unwrap();
                let state = if is_open(lon) { "expected" } else { "no_outlook" };
                assert_eq!(
                    (&row["state"], row["chance"].is_number()),
                    (&json!(state), is_open(lon)),
                    "{hour} UTC {row}"
                );
            }
            let open = places.iter().filter(|(_, _, lon)| is_open(*lon)).count();
            assert!(
                open >= 2 && rows[..open].iter().all(|row| row["chance"].is_number()),
                "{hour} UTC {rows:?}"
            );
        }
    }
}
