//! Forecasts of the Norwegian Meteorological Institute, `locationforecast/2.0/complete`.

use serde_json::{Map, Value, json};

use super::document::Document;
use super::forecast::{Forecast, LAPSE};
use super::times::{HOUR, MINUTE};
use super::world::World;
use crate::hourly::iso_time;
use crate::noaa::Location;
use crate::synthetic::random::{between, hash};

const DECIMALS_MAX: usize = 4;
/// The number of hourly steps, and of steps of six hours after them.
const HOURLY_STEPS: i64 = 54;
const LONG_STEPS: i64 = 32;
/// A new forecast for the world comes four times a day, some hours after the hour at which it starts.
const RUN: i64 = 6 * HOUR;
const RUN_TAKES: i64 = 4 * HOUR;
/// The Nordic countries get one every hour.
const NORDIC: (std::ops::Range<f64>, std::ops::Range<f64>) = (54.0..72.0, 4.0..32.0);

/// The parameters of a request.
struct Wanted {
    location: Location,
    altitude_m: Option<f64>,
}

/// The forecast of a query such as `lat=33.61&lon=-111.92&altitude=436`.
pub(super) fn location_forecast(world: &World, now: i64, query: &str) -> Document {
    let wanted = match wanted(query) {
        Ok(wanted) => wanted,
        Err(refused) => return *refused,
    };
    let Location { lat, lon } = wanted.location;
    let (latitudes, longitudes) = NORDIC;
    let is_nordic = latitudes.contains(&lat) && longitudes.contains(&lon);
    let issued = if is_nordic { now - now.rem_euclid(HOUR) } else { now - (now - RUN_TAKES).rem_euclid(RUN) };
    let cell = format!("met {lat:.2},{lon:.2}");
    let updated =
        issued + between(0, 30 * MINUTE, &[world.seed(), hash(cell.as_bytes()), issued.cast_unsigned()]);
    // Before it is published, the previous one is valid.
    let period = if is_nordic { HOUR } else { RUN };
    let (issued, updated) =
        if updated > now { (issued - period, updated - period) } else { (issued, updated) };
    let forecast = world.forecast(&cell, wanted.location, issued);
    let altitude_m = wanted.altitude_m.unwrap_or(forecast.place.elevation_m);
    let json = json!({
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [lon, lat, altitude_m.round()]},
        "properties": {
            "meta": {"updated_at": iso_time(updated), "units": units()},
            "timeseries": steps(&forecast, altitude_m, now - now.rem_euclid(HOUR)),
        },
    });
    // The series moves on with the hour.
    let last_modified = updated.max(now - now.rem_euclid(HOUR));
    let mut document = Document::json("application/json", &json, last_modified);
    document.expires = Some(last_modified + 31 * MINUTE + between(0, 5 * MINUTE, &[hash(cell.as_bytes())]));
    if document.expires.is_some_and(|expires| expires <= now) {
        document.expires = Some(now + 5 * MINUTE);
    }
    document
}

fn wanted(query: &str) -> Result<Wanted, Box<Document>> {
    let refused = |status, title: &str| Box::new(Document::page(status, title));
    let field = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(own, _)| *own == name).map(|(_, value)| value).next_back()
    };
    let (Some(lat), Some(lon)) = (field("lat"), field("lon")) else {
        return Err(refused(400, "400 Bad Request: lat and lon are required"));
    };
    let decimals = |text: &str| text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    if decimals(lat).max(decimals(lon)) > DECIMALS_MAX {
        return Err(refused(403, "403 Forbidden: too many decimals"));
    }
    let number = |text: &str, max: f64| text.parse::<f64>().ok().filter(|number| number.abs() <= max);
    match (number(lat, 90.0), number(lon, 180.0), field("altitude").map(|text| number(text, 9_000.0))) {
        (Some(lat), Some(lon), None) => Ok(Wanted { location: Location { lat, lon }, altitude_m: None }),
        (Some(lat), Some(lon), Some(Some(altitude))) => {
            Ok(Wanted { location: Location { lat, lon }, altitude_m: Some(altitude) })
        }
        _ => Err(refused(400, "400 Bad Request: not a place")),
    }
}

fn units() -> Value {
    json!({
        "air_pressure_at_sea_level": "hPa",
        "air_temperature": "celsius",
        "air_temperature_min": "celsius",
        "air_temperature_max": "celsius",
        "air_temperature_percentile_10": "celsius",
        "air_temperature_percentile_90": "celsius",
        "cloud_area_fraction": "%",
        "dew_point_temperature": "celsius",
        "wind_speed": "m/s",
    })
}

fn steps(forecast: &Forecast, altitude_m: f64, first: i64) -> Vec<Value> {
    let hourly = (0..HOURLY_STEPS).map(|step| first + step * HOUR);
    // Long steps start at 00, 06, 12 and 18 UTC.
    let after = first + HOURLY_STEPS * HOUR;
    let after = after + (-after).rem_euclid(RUN);
    let times: Vec<i64> = hourly.chain((0..LONG_STEPS).map(|step| after + step * RUN)).collect();
    let by_height = LAPSE * (forecast.place.elevation_m - altitude_m);
    let last = times.last().copied().unwrap_or(first);
    times.into_iter().map(|time| step(forecast, by_height, time, time < last)).collect()
}

fn step(forecast: &Forecast, by_height: f64, time: i64, has_next: bool) -> Value {
    let tenths = |value: f64| (value * 10.0).round() / 10.0;
    let weather = forecast.at(time);
    let temperature = weather.temperature_c + by_height;
    let spread = 1.28 * forecast.spread(time);
    let details = json!({
        "air_pressure_at_sea_level": tenths(weather.pressure_hpa),
        "air_temperature": tenths(temperature),
        "air_temperature_percentile_10": tenths(temperature - spread),
        "air_temperature_percentile_90": tenths(temperature + spread),
        "cloud_area_fraction": tenths(f64::from(weather.cloud_oktas) * 12.5),
        "dew_point_temperature": tenths((weather.dew_point_c + by_height).min(temperature)),
        "wind_speed": tenths(weather.wind_m_s),
    });
    let mut data = Map::new();
    data.insert("instant".to_owned(), json!({"details": details}));
    if has_next {
        let (low, high) = forecast.extremes(time, time + RUN + 1);
        let (low, high) = (tenths(low + by_height), tenths(high + by_height));
        let next = json!({"details": {"air_temperature_min": low, "air_temperature_max": high}});
        data.insert("next_6_hours".to_owned(), next);
    }
    json!({"time": iso_time(time), "data": data})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hourly::parse_time;

    fn get(query: &str, now: i64) -> (Document, Value) {
        let document = location_forecast(&World::new(1, 11), now, query);
        let json = serde_json::from_slice(&document.body).unwrap_or_default();
        (document, json)
    }

    fn noon() -> i64 {
        parse_time("2026-11-28T12:30:00Z").unwrap()
    }

    #[test]
    fn steps_are_hourly_then_six_hourly_and_the_last_one_has_no_next() {
        let (document, json) = get("lat=33.61&lon=-111.92&altitude=436", noon());
        assert_eq!(document.status, 200);
        let series = json["properties"]["timeseries"].as_array().unwrap();
        assert_eq!((series.len(), &series[0]["time"]), (86, &json!("2026-11-28T12:00:00Z")));
        let (last, rest) = series.split_last().unwrap();
        assert!(last["data"].get("next_6_hours").is_none());
        for step in rest {
            let details = &step["data"]["instant"]["details"];
            let value = |name: &str| details[name].as_f64().unwrap();
            assert!(value("air_temperature_percentile_10") < value("air_temperature"));
            assert!(value("dew_point_temperature") <= value("air_temperature"));
            assert!(step["data"]["next_6_hours"]["details"]["air_temperature_min"].is_f64());
        }
        let times: Vec<i64> =
            series.iter().map(|one| parse_time(one["time"].as_str().unwrap()).unwrap()).collect();
        assert!(times[54..].iter().all(|time| time % RUN == 0) && times.is_sorted());
    }

    #[test]
    fn it_is_colder_higher_up_and_refuses_what_it_does_not_know() {
        let first = |query: &str| {
            let (_, json) = get(query, noon());
            json["properties"]["timeseries"][0]["data"]["instant"]["details"]["air_temperature"]
                .as_f64()
                .unwrap()
        };
        let (low, high) =
            (first("lat=33.61&lon=-111.92&altitude=0"), first("lat=33.61&lon=-111.92&altitude=1000"));
        assert!((low - high - 6.5).abs() < 0.11, "{low} {high}");
        for (query, status) in [
            ("lat=33.61001&lon=1", 403),
            ("lat=91&lon=1", 400),
            ("lon=1", 400),
            ("lat=1&lon=1&altitude=x", 400),
        ] {
            assert_eq!(get(query, noon()).0.status, status, "{query}");
        }
    }

    #[test]
    fn a_forecast_stays_the_same_until_it_expires() {
        for query in ["lat=33.61&lon=-111.92", "lat=60.1&lon=10.2"] {
            for minute in 0..300 {
                let now = noon() + minute * MINUTE;
                let (document, _) = get(query, now);
                let (modified, expires) = (document.last_modified.unwrap(), document.expires.unwrap());
                assert!(modified <= now && expires > now);
                let (later, _) = get(query, now + 20);
                assert!(later.last_modified != document.last_modified || later.body == document.body);
            }
        }
    }
}
