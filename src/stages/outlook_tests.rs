//! The stage `outlook`, observation by observation.

use super::*;
use crate::noaa::{Compat, Date, Station};
use crate::outlook::OutlookRecord;
use crate::stages;
use frostline_engine::driver::TestDriver;
use serde_json::Value;

const STATION: &str = "USW00014734";

fn processor() -> Box<Outlook> {
    let stations = StationIndex::new(Compat::None);
    let newark = format!(
        r#"{{"id":"{STATION}","country_code":"US","country":"United States","location":{{"lat":40.6825,"lon":-74.1694}},"name":"NEWARK LIBERTY INTL AP"}}"#
    );
    stations.insert(&serde_json::from_str::<Station>(&newark).unwrap());
    stations.insert_unknown(StationId::parse(b"USC00000001").unwrap());
    Box::new(Outlook::new(Arc::new(stations), Limits::default()))
}

fn driver() -> TestDriver {
    TestDriver::new(stages::OUTLOOK, processor())
}

fn hour(time: &str, temperature: f64) -> String {
    format!(
        r#"{{"station_id":"{STATION}","time":"{time}","temperature_c":{temperature},"dew_point_c":-6.0,"wind_m_s":2.0}}"#
    )
}

fn pipe(driver: &mut TestDriver, time: &str, temperature: f64) -> Vec<Value> {
    driver.pipe(STATION, &hour(time, temperature)).unwrap();
    driver
        .commit()
        .unwrap()
        .iter()
        .map(|written| {
            let reason = written.header("frostline-reason");
            if reason.is_empty() { written.json() } else { Value::String(reason) }
        })
        .collect()
}

#[test]
fn an_evening_gives_outlooks_and_the_morning_an_outcome() {
    let mut driver = driver();
    let noon = pipe(&mut driver, "2025-11-28T17:00:00Z", 8.0);
    assert_eq!((noon.len(), &noon[0]["date"]), (1, &Value::from("2025-11-28")));
    assert!(noon[0]["expected"].is_null() && noon[0]["observed"]["temperature_c"] == 8.0);
    let evening = &pipe(&mut driver, "2025-11-28T23:00:00Z", 2.0)[0];
    let record: OutlookRecord<Value> = serde_json::from_value(evening.clone()).unwrap();
    let expected = record.expected.unwrap();
    assert!(expected.distribution.quantile(0.5) < 2.0 && expected.distribution.chance(0.0) > 0.3);
    assert_eq!(evening["station"]["name"], "NEWARK LIBERTY INTL AP");
    assert!(expected.curve.windows(2).all(|pair| pair[1].p50_c <= pair[0].p50_c));
    assert_eq!(expected.inputs, ["temperature", "dew point", "wind"]);
    for (at, temperature) in
        ["01", "03", "05", "07", "09", "11", "13"].into_iter().zip([1.0, 0.0, -1.0, -2.0, -2.5, -3.0, 0.0])
    {
        pipe(&mut driver, &format!("2025-11-29T{at}:00:00Z"), temperature);
    }
    let morning = pipe(&mut driver, "2025-11-29T15:00:00Z", 4.0);
    assert_eq!(morning.len(), 2);
    assert_eq!(
        (&morning[0]["outcome"]["lowest_c"], &morning[0]["outcome"]["is_complete"]),
        (&Value::from(-3.0), &Value::from(true))
    );
    assert_eq!(
        (&morning[0]["date"], &morning[1]["date"]),
        (&Value::from("2025-11-28"), &Value::from("2025-11-29"))
    );
    let next = &pipe(&mut driver, "2025-11-29T23:00:00Z", 3.0)[0];
    assert_eq!(next["expected"]["nights"], 1);
}

#[test]
fn repetitions_corrections_and_late_observations() {
    let mut driver = driver();
    pipe(&mut driver, "2025-11-28T23:00:00Z", 2.0);
    assert!(pipe(&mut driver, "2025-11-28T23:00:00Z", 2.0).is_empty(), "known");
    let corrected = pipe(&mut driver, "2025-11-28T23:00:00Z", 1.0);
    assert_eq!(
        (&corrected[0]["revision"], &corrected[0]["expected"]["lowest_so_far_c"]),
        (&Value::from(2), &Value::from(1.0))
    );
    assert!(pipe(&mut driver, "2025-11-28T22:30:00Z", 1.5).is_empty(), "late, and not the lowest");
    let late = pipe(&mut driver, "2025-11-28T22:30:00Z", 0.5);
    assert_eq!(
        (&late[0]["revision"], &late[0]["time"]),
        (&Value::from(3), &Value::from("2025-11-28T23:00:00Z"))
    );
    assert_eq!(late[0]["expected"]["lowest_so_far_c"], 0.5);
    assert!(late[0]["observed"].is_null(), "what it shows now was said");
    assert!(pipe(&mut driver, "2025-11-28T22:30:00Z", 0.5).is_empty());
    assert_eq!(driver.counts[count::DUPLICATES], 3);
}

#[test]
fn a_doubtful_version_of_an_observation_leaves_the_accepted_one() {
    let mut driver = driver();
    pipe(&mut driver, "2025-11-28T23:00:00Z", 1.0);
    pipe(&mut driver, "2025-11-29T00:00:00Z", -2.2);
    assert!(pipe(&mut driver, "2025-11-29T00:00:00Z", 28.0)[0].as_str().unwrap().contains("10 K"));
    let next = pipe(&mut driver, "2025-11-29T01:00:00Z", -1.9);
    assert_eq!(next[0]["expected"]["lowest_so_far_c"], -2.2);
    // A late one is not believed any more easily than one in time.
    assert!(pipe(&mut driver, "2025-11-28T23:30:00Z", -14.0).is_empty());
}

#[test]
fn a_forecast_of_a_night_far_ahead_is_a_dead_letter() {
    let mut driver = driver();
    let of = |night: &str| {
        let station = StationId::parse(STATION.as_bytes()).unwrap();
        let night = Date::parse_iso(night).unwrap();
        Forecast { station, source: "own".into(), issued: 0, night, lowest_c: -1.0 }.to_json()
    };
    driver.pipe(STATION, &of("2062-01-01")).unwrap();
    driver.pipe(STATION, &of("2025-12-02")).unwrap();
    assert_eq!((driver.counts[count::DEAD_LETTERS], driver.counts[count::FORECASTS]), (1, 1));
}

#[test]
fn what_cannot_be_used_is_a_dead_letter() {
    let mut driver = driver();
    let reason = |written: Vec<Value>| written[0].as_str().unwrap_or_default().to_owned();
    assert!(reason(pipe(&mut driver, "2026-11-28T23:00:00Z", 2.0)).contains("in the future"));
    assert!(reason(pipe(&mut driver, "2025-11-28T23:00:00Z", 99.0)).contains("temperature_c"));
    pipe(&mut driver, "2025-11-28T23:00:00Z", 2.0);
    assert!(reason(pipe(&mut driver, "2025-11-29T00:00:00Z", -30.0)).contains("10 K"));
    assert!(
        reason(pipe(&mut driver, "2025-11-29T00:00:00Z", -30.0)).contains("10 K"),
        "a repetition confirms nothing"
    );
    assert_eq!(pipe(&mut driver, "2025-11-29T01:00:00Z", -31.0).len(), 1, "another one does");
    for (key, value) in [
        ("USC00000002", hour("2025-11-29T02:00:00Z", 1.0)),
        ("USC00000001", hour("2025-11-29T02:00:00Z", 1.0).replace(STATION, "USC00000001")),
        ("USC00000003", hour("2025-11-29T02:00:00Z", 1.0).replace(STATION, "USC00000003")),
    ] {
        driver.pipe(key, &value).unwrap();
    }
    let reasons: Vec<String> =
        driver.commit().unwrap().iter().map(|written| written.header("frostline-reason")).collect();
    assert!(
        reasons[0].contains("key")
            && reasons[1].contains("no coordinates")
            && reasons[2].contains("station table"),
        "{reasons:?}"
    );
}

#[test]
fn a_restart_changes_nothing() {
    let run = |restarts: bool| {
        let (mut driver, mut written) = (driver(), Vec::new());
        for day in 1..=12 {
            for at in 0..24 {
                let time = format!("2025-11-{day:02}T{at:02}:00:00Z");
                let temperature = 5.0 + 6.0 * (f64::from(at - 19) / 24.0 * std::f64::consts::TAU).cos()
                    - f64::from(day % 4);
                written.extend(pipe(&mut driver, &time, (temperature * 10.0).round() / 10.0));
                if restarts && (day * 24 + at) % 7 == 0 {
                    driver.restart(processor());
                }
            }
        }
        written
    };
    assert_eq!(run(false), run(true));
}

#[test]
fn a_station_takes_few_bytes_however_often_it_reports() {
    let mut driver = driver();
    for day in 1..=20 {
        for minute in (0..24 * 60).step_by(5) {
            let time = format!("2025-11-{day:02}T{:02}:{:02}:00Z", minute / 60, minute % 60);
            let warmth = 5.0 + 6.0 * ((f64::from(minute) / 60.0 - 19.0) / 24.0 * std::f64::consts::TAU).cos();
            pipe(&mut driver, &time, ((warmth - f64::from(day % 4)) * 10.0).round() / 10.0);
        }
    }
    let mut bytes = std::collections::BTreeMap::new();
    let visit = |key: &[u8], value: &[u8]| {
        bytes.insert(key[0] as char, key.len() + value.len());
    };
    driver.store.scan(visit).unwrap();
    assert!(bytes[&'l'] < 420 && bytes.values().sum::<usize>() < 1_200, "{bytes:?}");
}
