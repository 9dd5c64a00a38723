//! Which forecast is asked for, and what is written of it.

use super::super::canned::{Canned, poll, version};
use super::*;

const NOW_MS: i64 = 1_795_888_800_000; // 2026-11-28T18:00:00Z
const MINUTE_MS: i64 = 60_000;

fn watched(id: &str, is_us: bool, longitude: f64) -> Watched {
    let id = StationId::parse(id.as_bytes()).unwrap();
    Watched { id, latitude: 33.6, longitude, elevation: Some(449.4), is_us }
}

fn forecasts(canned: &Arc<Canned>, stations: Vec<Watched>) -> Forecasts {
    let hour = Duration::from_secs(3_600);
    Forecasts::new(canned.clone(), Arc::new(move || stations.clone()), "https://nws/", "https://met", hour)
}

/// A poller for one station in the United States, which knows nothing yet.
fn scottsdale() -> (Arc<Canned>, Forecasts, Position) {
    let canned = Canned::new();
    let poller = forecasts(&canned, vec![watched("USW00003192", true, -111.91)]);
    (canned, poller, Position::default())
}

fn point(x: i64) -> String {
    format!(r#"{{"properties":{{"gridId":"PSR","gridX":{x},"gridY":57}}}}"#)
}

fn grid(issued: &str, lowest: &str) -> String {
    format!(
        r#"{{"properties":{{"updateTime":"{issued}","minTemperature":{{"uom":"wmoUnit:degC","values":[{{"validTime":"2026-11-29T02:00:00+00:00/PT14H","value":{lowest}}}]}}}}}}"#
    )
}

#[test]
fn a_station_of_the_us_is_asked_for_by_its_cell() {
    let (canned, mut poller, mut position) = scottsdale();
    canned.file(point(161), "");
    assert!(poll(&mut poller, &mut position, NOW_MS).unwrap().records.is_empty());
    canned.file(grid("2026-11-28T17:51:43+00:00", "-1.25"), "a");
    let batch = poll(&mut poller, &mut position, NOW_MS).unwrap();
    let urls: Vec<String> = canned.asked().into_iter().map(|asked| asked.url).collect();
    assert_eq!(urls, ["https://nws/points/33.6,-111.91", "https://nws/gridpoints/PSR/161,57"]);
    assert_eq!(batch.records.iter().map(|record| record.sink).collect::<Vec<_>>(), ["forecasts", "hourly"]);
    let forecast = Forecast::parse(&batch.records[1].value).unwrap();
    assert_eq!((forecast.night.to_string().as_str(), forecast.lowest_c), ("2026-11-28", -1.25));
    assert_eq!(batch.newest_ms, Some(forecast.issued * 1_000));
    // Not due yet; then unchanged; then the same words in another version of the file: nothing is written.
    let batch = poll(&mut poller, &mut position, NOW_MS + MINUTE_MS).unwrap();
    assert_eq!((batch.is_empty(), batch.next_in), (true, Some(Duration::from_secs(59 * 60))));
    canned.then(Ok(Answer::Unchanged { fresh_for: None }));
    assert!(poll(&mut poller, &mut position, NOW_MS + 61 * MINUTE_MS).unwrap().records.is_empty());
    assert_eq!(canned.asked()[0].validators, version("a"));
    canned.file(grid("2026-11-28T17:51:43+00:00", "-1.25"), "b");
    assert!(poll(&mut poller, &mut position, NOW_MS + 122 * MINUTE_MS).unwrap().records.is_empty());
    // A new one is.
    canned.file(grid("2026-11-28T20:00:00+00:00", "-2.5"), "c");
    assert_eq!(poll(&mut poller, &mut position, NOW_MS + 183 * MINUTE_MS).unwrap().records.len(), 2);
}

#[test]
fn a_cell_that_has_moved_is_looked_up_again() {
    let (canned, mut poller, mut position) = scottsdale();
    canned.file(point(33), "");
    canned.then(Ok(Answer::NotFound));
    canned.file(point(34), "");
    canned.file(grid("2026-11-28T17:51:43+00:00", "null"), "a");
    let mut remark = None;
    for _ in 0..4 {
        remark = poll(&mut poller, &mut position, NOW_MS).unwrap().remark;
    }
    assert_eq!(canned.asked().last().unwrap().url, "https://nws/gridpoints/PSR/34,57");
    assert!(remark.unwrap().contains("does not include the coming night"));
}

#[test]
fn a_file_that_stays_the_same_is_read_for_the_next_night_too() {
    let (canned, mut poller, mut position) = scottsdale();
    let night_before = r#""values":[{"validTime":"2026-11-28T02:00:00+00:00/PT14H","value":-3.5},"#;
    let file = grid("2026-11-28T12:00:00+00:00", "-1.25").replace(r#""values":["#, night_before);
    canned.file(point(161), "");
    canned.file(file.clone(), "a");
    canned.file(file, "a");
    let early_ms = NOW_MS - 180 * MINUTE_MS;
    let mut nights = Vec::new();
    for now_ms in [early_ms, early_ms, NOW_MS] {
        let records = poll(&mut poller, &mut position, now_ms).unwrap().records;
        nights.extend(records.iter().map(|record| Forecast::parse(&record.value).unwrap().night.to_string()));
    }
    assert_eq!(nights, ["2026-11-27", "2026-11-27", "2026-11-28", "2026-11-28"]);
    assert!(canned.asked().last().unwrap().validators.is_empty(), "unchanged would not say it");
}

#[test]
fn a_cell_without_a_forecast_is_not_asked_for_all_the_time() {
    let (canned, mut poller, mut position) = scottsdale();
    canned.file(point(33), "");
    canned.then(Ok(Answer::NotFound));
    canned.file(point(33), "");
    let mut remark = None;
    for _ in 0..3 {
        remark = poll(&mut poller, &mut position, NOW_MS).unwrap().remark;
    }
    assert!(remark.unwrap().contains("has no forecast for the place"));
    let batch = poll(&mut poller, &mut position, NOW_MS + 61 * MINUTE_MS).unwrap();
    assert!(batch.is_empty() && canned.asked().len() == 3, "not before tomorrow");
}

#[test]
fn a_time_in_the_position_that_is_far_ahead_is_not_waited_for() {
    let canned = Canned::new();
    let mut poller = forecasts(&canned, vec![watched("NO000001492", false, 10.72)]);
    let mut position = Position::default();
    canned.then(Ok(Answer::NotDue(Duration::from_secs(11 * 365 * 86_400))));
    poll(&mut poller, &mut position, NOW_MS).unwrap();
    canned.then(Ok(Answer::NotFound));
    assert!(
        poll(&mut poller, &mut position, NOW_MS + MINUTE_MS).unwrap().remark.is_some(),
        "it was asked again"
    );
}

#[test]
fn stations_take_turns_and_a_failure_says_whose() {
    let canned = Canned::new();
    let stations = vec![watched("NO000001492", false, 10.72), watched("SWE00137364", false, 18.05)];
    let mut poller = forecasts(&canned, stations);
    let mut position = Position::default();
    canned.then(Err(PollError::new("met answers 503")));
    let error = poll(&mut poller, &mut position, NOW_MS).unwrap_err();
    assert_eq!(error.reason, "forecast for NO000001492: met answers 503");
    assert_eq!(error.retry_in, Some(NEXT_MIN), "the other one is due");
    canned.then(Ok(Answer::Unchanged { fresh_for: Some(Duration::from_secs(7_200)) }));
    poll(&mut poller, &mut position, NOW_MS).unwrap();
    assert_eq!(poll(&mut poller, &mut position, NOW_MS).unwrap().next_in, Some(RETRY), "the first one waits");
    canned.then(Ok(Answer::NotFound));
    let later = NOW_MS + millis(RETRY);
    assert!(poll(&mut poller, &mut position, later).unwrap().remark.unwrap().contains("NO000001492"));
    let urls: Vec<String> = canned.asked().into_iter().map(|asked| asked.url).collect();
    assert!(urls[1].ends_with("complete?lat=33.6&lon=18.05&altitude=449"), "{urls:?}");
    // The second is due in two hours, the first tomorrow.
    let batch = poll(&mut poller, &mut position, later + MINUTE_MS).unwrap();
    assert_eq!(batch.next_in, Some(Duration::from_secs(3_600)), "at most its own interval");
    let idle = forecasts(&canned, Vec::new()).poll(&position, NOW_MS).unwrap();
    assert!(idle.is_empty() && idle.remark.unwrap().contains("no rule") && idle.next_in.is_some());
}

#[test]
fn an_older_forecast_of_the_same_night_is_not_written() {
    let (canned, mut poller, mut position) = scottsdale();
    canned.file(point(161), "");
    poll(&mut poller, &mut position, NOW_MS).unwrap();
    let (newer, older) = ("2026-11-28T17:51:43+00:00", "2026-11-28T15:51:43+00:00");
    let mut now_ms = NOW_MS;
    for (issued, records) in [(newer, 2), (older, 0), (newer, 0)] {
        canned.file(grid(issued, "-1.25"), issued);
        assert_eq!(poll(&mut poller, &mut position, now_ms).unwrap().records.len(), records, "{issued}");
        now_ms += 61 * MINUTE_MS;
    }
}

#[test]
fn a_file_older_than_the_last_one_is_not_used() {
    let (canned, mut poller, mut position) = scottsdale();
    canned.file(point(161), "");
    poll(&mut poller, &mut position, NOW_MS).unwrap();
    let mut now_ms = NOW_MS;
    // The same forecast, of which less of the night is left.
    for (hour, lowest, records) in [(17, "-3.5", 2), (18, "-1.25", 2), (17, "-3.5", 0), (19, "-1.0", 2)] {
        let last_modified = Some(format!("Sat, 28 Nov 2026 {hour}:00:00 GMT"));
        canned.then(Ok(Answer::New(Fresh {
            bytes: grid("2026-11-28T16:51:43+00:00", lowest).into_bytes(),
            validators: Validators { etag: None, last_modified },
            ..Fresh::default()
        })));
        assert_eq!(
            poll(&mut poller, &mut position, now_ms).unwrap().records.len(),
            records,
            "{hour} {lowest}"
        );
        now_ms += 61 * MINUTE_MS;
    }
}

#[test]
fn a_known_place_that_is_not_found_is_asked_about_again_soon() {
    let (canned, mut poller, mut position) = scottsdale();
    canned.file(point(161), "");
    canned.file(grid("2026-11-28T17:51:43+00:00", "-1.25"), "a");
    canned.then(Ok(Answer::NotFound));
    canned.then(Ok(Answer::NotFound));
    canned.file(point(161), "");
    canned.file(grid("2026-11-28T19:51:43+00:00", "-2.25"), "b");
    let mut written = 0;
    for minutes in [0, 0, 60, 60, 120, 120] {
        let batch = poll(&mut poller, &mut position, NOW_MS + minutes * MINUTE_MS).unwrap();
        written += batch.records.len();
    }
    let asked = canned.asked();
    assert_eq!((written, asked.len()), (4, 6));
    assert!(asked.last().unwrap().validators.is_empty(), "another cell, another file");
}
