//! Forecasts of grid cells, and what faults do to them.

use super::*;
use crate::hourly::parse_time;
use crate::weather_server::Window;

fn noon() -> i64 {
    parse_time("2026-11-28T12:30:00Z").unwrap()
}

fn with(fault: Fault) -> Script {
    Script::new(vec![Window { from: noon(), to: noon() + DAY, path: String::new(), fault, value: None }])
}

fn get(script: &Script, path: &str) -> (u16, Value) {
    let document = nws(&World::new(1, 11), script, noon(), path, "http://localhost").unwrap();
    (document.status, serde_json::from_slice(&document.body).unwrap())
}

/// Where the first station's forecast is.
fn grid(script: &Script) -> String {
    let Location { lat, lon } = World::new(1, 11).stations()[0].location();
    let (status, json) = get(script, &format!("/points/{lat:.4},{lon:.4}"));
    assert_eq!(status, 200);
    let url = json["properties"]["forecastGridData"].as_str().unwrap();
    url.strip_prefix("http://localhost").unwrap().to_owned()
}

#[test]
fn cells_have_names_that_lead_back() {
    for (lat, lon) in [(33.61, -111.9), (24.0, -124.99), (49.99, -66.01), (44.475, -90.0)] {
        let cell = Cell::of(Location { lat, lon });
        assert_eq!(Cell::of(cell.location()), cell);
        for has_moved in [false, true] {
            let (office, x, y) = cell.name(has_moved);
            assert_eq!((office.len(), Cell::named(&office, x, y)), (3, Some((cell, has_moved))));
        }
    }
    assert_eq!(Cell::named("QAA", 400, 0), None);
    assert_eq!(Cell::named("PSR", 1, 1), None);
}

#[test]
fn nights_have_a_minimum_near_the_truth() {
    let world = World::new(1, 11);
    let station = &world.stations()[0];
    let (status, json) = get(&Script::none(), &grid(&Script::none()));
    let layer = &json["properties"]["minTemperature"];
    assert_eq!((status, &layer["uom"]), (200, &json!("wmoUnit:degC")));
    let nights = layer["values"].as_array().unwrap();
    assert!((6..=8).contains(&nights.len()), "{nights:?}");
    // In the morning of the 28th, the night is not over yet.
    assert_eq!(nights[0]["validTime"], "2026-11-28T02:00:00+00:00/PT14H");
    let start = parse_time("2026-11-29T02:00:00Z").unwrap();
    let truth = f64::from(world.minimum(station.id(), start, start + 14 * HOUR).unwrap()) / 10.0;
    let value = nights[1]["value"].as_f64().unwrap();
    assert!((value - truth).abs() < 4.0, "{value} {truth}");
    let fahrenheit = value * 1.8 + 32.0;
    assert!((fahrenheit - fahrenheit.round()).abs() < 1e-6);
    let hours: Vec<&str> = json["properties"]["skyCover"]["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["validTime"].as_str().unwrap())
        .collect();
    assert!(hours.len() < HOURS as usize && hours[0].starts_with("2026-11-28T"), "{hours:?}");
    assert_eq!(json["properties"]["validTimes"].as_str().unwrap().split_once('/').unwrap().1, "P7DT12H");
}

#[test]
fn places_outside_and_too_precise_ones_have_no_forecast() {
    assert_eq!(get(&Script::none(), "/points/60.1,10.2").0, 404);
    assert_eq!(get(&Script::none(), "/points/x").0, 400);
    let document = nws(&World::new(1, 1), &Script::none(), noon(), "/points/33.61001,-111.9", "").unwrap();
    assert_eq!(
        (document.status, &document.headers[0]),
        (301, &("location", "/points/33.61,-111.9".to_owned()))
    );
    assert_eq!(get(&Script::none(), "/gridpoints/PSR/1,1").0, 404);
}

#[test]
fn a_moved_grid_is_found_through_its_point() {
    let script = with(Fault::GridMoved);
    let (before, after) = (grid(&Script::none()), grid(&script));
    assert_ne!(before, after);
    let (status, json) = get(&script, &before);
    assert_eq!((status, json["title"].as_str()), (404, Some("Marine Forecast Not Supported")));
    assert_eq!(get(&script, &after), get(&Script::none(), &before));
}

#[test]
fn faults_of_the_grid_do_what_they_say() {
    let path = grid(&Script::none());
    let (status, json) = get(&with(Fault::GridExpired), &path);
    assert_eq!(
        (status, json["title"].as_str(), &json["status"]),
        (503, Some("Forecast Grid Expired"), &json!(503))
    );
    let layer = |fault| get(&with(fault), &path).1["properties"]["minTemperature"].clone();
    assert_eq!(layer(Fault::MinimumMissing), Value::Null);
    assert_eq!(layer(Fault::UnknownUnit)["uom"], "wmoUnit:degR");
    let values = layer(Fault::MinimumNull)["values"].as_array().unwrap().clone();
    assert!(!values.is_empty() && values.iter().all(|one| one["value"].is_null()));
}
