//! The stages without a broker: records in, records out, the clock moved by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use frostline::noaa::{Compat, Date, Location, Station, StationId};
use frostline::rules::{Condition, RuleSet, Scope};
use frostline::stages;
use frostline::stages::count;
use frostline::stages::{
    Alert, Assemble, AssembleSettings, CHANGE_HEADER, Enrich, Filter, Limits, Question, StationIndex,
};
use frostline::synthetic::{Format, Generator, Line, Places, Settings, real_places};
use frostline_engine::Sink;
use frostline_engine::driver::{TestDriver, Written};
use frostline_engine::record::{HeaderList, NO_HEADERS, Record};
use frostline_engine::store::Store;
use proptest::prelude::*;
use proptest::test_runner::{Config as PropertyConfig, TestRunner};

use crate::support::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("assemble_settles_by_offsets_and_by_idleness", &[], assemble_settles),
        test("a_late_line_makes_a_revision", &[], a_late_line_makes_a_revision),
        test("a_line_with_an_old_timestamp_takes_no_neighbour_along", &[], old_timestamp),
        test("an_episode_survives_an_observation_with_an_old_timestamp", &[], old_timestamp_of_an_episode),
        test("a_deleted_reading_leaves_and_its_alert_is_retracted", &[], deleted_reading),
        test("repeated_lines_change_nothing", &[], repeated_lines_change_nothing),
        test("failed_quality_is_left_out_or_kept", &[], failed_quality),
        test("a_restart_at_any_record_gives_the_same_observations", &[], restart_at_any_record),
        test("assemble_rejects_what_cannot_be", &[], assemble_rejects),
        test("enrich_joins_records_and_arrays", &[], enrich_joins),
        test("filter_keeps_and_marks", &[], filter_keeps),
        test("alert_fires_once", &[], alert_fires_once),
    ]
}

const SCOTTSDALE: &str = "USW00003192";

fn station(id: &str, name: &str) -> Station {
    Station {
        id: StationId::parse(id.as_bytes()).unwrap(),
        country_code: id[..2].into(),
        country: "United States".into(),
        location: Location { lat: 33.6228, lon: -111.9106 },
        elevation: Some(449.0),
        state_code: Some("AZ".into()),
        state: Some("ARIZONA".into()),
        name: name.into(),
        gsn_flag: None,
        hcn_crn_flag: None,
        wmo_id: None,
        icao: None,
    }
}

fn stations() -> Arc<StationIndex> {
    let index = StationIndex::new(Compat::None);
    index.insert(&station(SCOTTSDALE, "SCOTTSDALE MUNI AP"));
    for place in real_places() {
        index.insert(&station(place.station.id.as_str(), &place.station.name));
    }
    Arc::new(index)
}

const SETTINGS: AssembleSettings = AssembleSettings {
    settle_records: 10,
    settle_ms: 1_000,
    compat: Compat::None,
    keep_failed_quality: false,
};

fn assemble(settings: AssembleSettings) -> TestDriver {
    let processor = Assemble::new(settings, stations(), Limits::default());
    TestDriver::new(stages::ASSEMBLE, Box::new(processor))
}

fn assemble_settles() {
    let mut driver = assemble(SETTINGS);
    driver.pipe(SCOTTSDALE, "USW00003192,20160224,TMIN,89,,,W,").unwrap();
    driver.pipe(SCOTTSDALE, "USW00003192,20160224,TMAX,233,,,W,").unwrap();
    // Nine more records: not yet. The tenth offset after the last line settles it.
    for _ in 0..9 {
        driver.pipe(SCOTTSDALE, "USW00003192,20160225,TMIN,94,,,W,").unwrap();
    }
    assert_eq!(driver.commit().unwrap().len(), 0);
    driver.pipe(SCOTTSDALE, "USW00003192,20160225,TMAX,283,,,W,").unwrap();
    let written = driver.commit().unwrap();
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].key.as_deref(), Some(SCOTTSDALE.as_bytes()));
    assert_eq!(
        written[0].text(),
        r#"{"station":{"id":"USW00003192","country_code":"US","country":"United States","location":{"lat":33.6228,"lon":-111.9106},"elevation":449.0,"state_code":"AZ","state":"ARIZONA","name":"SCOTTSDALE MUNI AP"},"date":"2016-02-24T00:00:00","TMAX":23.3,"TMIN":8.9,"TRANGE":{"gte":8.9,"lte":23.3}}"#
    );
    // The other settles when nothing comes for a second.
    driver.advance_ms(999).unwrap();
    assert_eq!(driver.commit().unwrap().len(), 0);
    driver.advance_ms(1).unwrap();
    let written = driver.commit().unwrap();
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].json()["date"], "2016-02-25T00:00:00");
}

fn a_late_line_makes_a_revision() {
    let mut driver = assemble(SETTINGS);
    driver.pipe(SCOTTSDALE, "USW00003192,20160224,TMIN,89,,,W,").unwrap();
    driver.advance_ms(1_000).unwrap();
    let first = driver.commit().unwrap();
    assert!(first[0].json().get("revision").is_none());
    driver.pipe(SCOTTSDALE, "USW00003192,20160224,TMAX,233,,,W,").unwrap();
    driver.advance_ms(1_000).unwrap();
    let second = driver.commit().unwrap();
    assert_eq!(second[0].json()["revision"], 2);
    assert_eq!(second[0].json()["TMIN"], 8.9, "the whole observation, not only what came late");
    // A reading that now fails quality control leaves the observation.
    driver.pipe(SCOTTSDALE, "USW00003192,20160224,TMIN,-44,,S,W,").unwrap();
    driver.advance_ms(1_000).unwrap();
    let third = driver.commit().unwrap();
    assert_eq!(third[0].json()["revision"], 3);
    assert!(third[0].json().get("TMIN").is_none());
    let date = Date::new(2016, 2, 24).unwrap();
    let question = Question::Observation(StationId::parse(SCOTTSDALE.as_bytes()).unwrap(), date);
    let remembered = question.answer(&driver.store, &RuleSet::default()).unwrap();
    assert_eq!(remembered.len(), 1);
    assert_eq!(
        (&remembered[0]["revision"], &remembered[0]["observation"]["TMAX"]),
        (&3.into(), &23.3.into())
    );
    let mut entries = 0;
    driver.store.scan(|_, _| entries += 1).unwrap();
    assert_eq!(entries, 1, "one entry for each observation, whatever happened to it");
}

fn deleted_reading() {
    let mut driver = assemble(SETTINGS);
    let rules = "[[rule]]\nid = \"frost\"\nstation = \"USW00003192\"\nwhen = \"TMIN <= 0.0\"\n";
    let alert = Alert::new(Arc::new(RuleSet::parse(rules).unwrap()), Limits::default());
    let mut alerts = TestDriver::new(stages::ALERT, Box::new(alert));
    let mut settle = |driver: &mut TestDriver| {
        driver.advance_ms(1_000).unwrap();
        let written = driver.commit().unwrap();
        for written in &written {
            alerts.pipe(SCOTTSDALE, &written.text()).unwrap();
        }
        let ids = alerts.commit().unwrap().iter().map(|alert| alert.header("alert-id")).collect::<Vec<_>>();
        (written, ids)
    };
    driver.pipe(SCOTTSDALE, "USW00003192,20160224,TMIN,-11,,,W,").unwrap();
    driver.pipe(SCOTTSDALE, "USW00003192,20160224,TMAX,133,,,W,").unwrap();
    assert_eq!(settle(&mut driver).1, ["frost/USW00003192/2016-02-24/fired"]);
    let delete = |driver: &mut TestDriver, element: &str| {
        let headers = [(CHANGE_HEADER.to_owned(), Some(b"delete".to_vec()))];
        let line = format!("USW00003192,20160224,{element},-11,,,W,");
        driver.pipe_bytes(Some(SCOTTSDALE.as_bytes()), Some(line.as_bytes()), &headers).unwrap();
    };
    delete(&mut driver, "TMIN");
    let (written, ids) = settle(&mut driver);
    assert_eq!(written[0].json()["revision"], 2);
    assert!(written[0].json().get("TMIN").is_none() && written[0].json()["TMAX"] == 13.3);
    assert_eq!(ids, ["frost/USW00003192/2016-02-24/retracted"]);
    // Deleted again, and what never was there: nothing new. Inserted again it counts again.
    delete(&mut driver, "TMIN");
    delete(&mut driver, "SNOW");
    assert!(settle(&mut driver).0.is_empty());
    driver.pipe(SCOTTSDALE, "USW00003192,20160224,TMIN,21,,,W,").unwrap();
    let (written, ids) = settle(&mut driver);
    assert_eq!((&written[0].json()["TMIN"], ids.len()), (&2.1.into(), 0));
}

/// Pipes a record in whose timestamp is another than the clock's.
fn pipe_at(driver: &mut TestDriver, offset: i64, timestamp_ms: i64, key: &str, value: &str) {
    let headers = HeaderList(NO_HEADERS);
    let record = Record {
        topic: "source",
        partition: 0,
        offset,
        timestamp_ms,
        key: Some(key.as_bytes()),
        value: Some(value.as_bytes()),
        headers: &headers,
    };
    driver.pipe_record(&record).unwrap();
}

fn old_timestamp() {
    // Much too old, of some years ago, and from a clock that is years ahead.
    for odd in [1, 1_700_000_000_000, 1_999_999_999_999] {
        let mut driver = assemble(SETTINGS);
        driver.store = Store::in_memory_for(400);
        let now_ms = driver.now_ms;
        let mut written = Vec::new();
        for (offset, timestamp_ms, line) in [
            (0, now_ms, "USW00003192,20251101,TMIN,50,,,7,"),
            (1, now_ms, "USW00003192,20251101,TMAX,150,,,7,"),
            (2, odd, "USW00003192,20251103,TMIN,60,,,7,"),
            (3, now_ms, "USW00003192,20251101,TMIN,-31,,,7,"),
        ] {
            pipe_at(&mut driver, offset, timestamp_ms, SCOTTSDALE, line);
            driver.advance_ms(1_000).unwrap();
            written.extend(driver.commit().unwrap());
        }
        let last = written[3].json();
        assert_eq!((written.len(), &last["revision"]), (4, &3.into()), "timestamp {odd}: {last}");
        assert_eq!((&last["TMAX"], &last["TMIN"]), (&15.0.into(), &(-3.1).into()), "timestamp {odd}");
    }
}

fn old_timestamp_of_an_episode() {
    let text = "[[rule]]\nid = \"frost\"\nstation = \"USC00020080\"\nwhen = \"TMIN <= 0.0\"\nclear = \"TMIN > 2.0\"\n";
    let alert = || {
        let rules = RuleSet::parse(text).unwrap();
        Box::new(Alert::new(Arc::new(rules), Limits::default()))
    };
    let mut driver = TestDriver::new(stages::ALERT, alert());
    driver.store = Store::in_memory_for(400);
    let now_ms = driver.now_ms;
    let days = [("2025-12-28", now_ms), ("2025-12-29", 1), ("2025-12-30", now_ms)];
    for (offset, (date, timestamp_ms)) in (0..).zip(days) {
        let frost = observation("USC00020080", "AZ", date, "\"TMIN\":-1.5,");
        pipe_at(&mut driver, offset, timestamp_ms, "USC00020080", &frost);
        let written = driver.commit().unwrap();
        assert_eq!(written.len(), usize::from(offset == 0), "the episode goes on: {date}");
        driver.restart(alert());
    }
}

fn repeated_lines_change_nothing() {
    let mut driver = assemble(SETTINGS);
    for _ in 0..2 {
        driver.pipe(SCOTTSDALE, "USW00003192,20160224,TMIN,89,,,W,").unwrap();
        driver.advance_ms(1_000).unwrap();
    }
    assert_eq!(driver.commit().unwrap().len(), 1);
    assert_eq!(driver.counts[count::DUPLICATES], 1);
}

fn failed_quality() {
    // The false frost of June 2016 in Seligman: it failed the spatial check.
    let line = "USC00027716,20160615,TMIN,-44,,S,7,";
    for keep_failed_quality in [false, true] {
        let mut driver = assemble(AssembleSettings { keep_failed_quality, ..SETTINGS });
        driver.pipe("USC00027716", line).unwrap();
        driver.pipe("USC00027716", "USC00027716,20160615,TMAX,311,,,7,").unwrap();
        driver.advance_ms(1_000).unwrap();
        let written = driver.commit().unwrap();
        assert_eq!(written[0].json().get("TMIN").is_some(), keep_failed_quality);
        assert_eq!(driver.counts[count::FAILED_QUALITY], u64::from(!keep_failed_quality));
    }
}

/// Lines with all the oddities of real ones.
fn weather(days: u32) -> Vec<Line> {
    let start = Date::new(2024, 2, 25).unwrap();
    let settings =
        Settings { seed: 7, places: Places::Real, start, days, format: Format::Ghcn, oddities: true };
    let mut generator = Generator::new(settings).unwrap();
    let mut lines = Vec::new();
    while generator.date().is_some() {
        lines.extend(generator.next_day());
    }
    lines
}

/// Key, value and headers of everything that was written.
fn contents(written: Vec<Written>) -> Vec<(Option<Vec<u8>>, String)> {
    written.into_iter().map(|written| (written.key.clone(), written.text())).collect()
}

fn restart_at_any_record() {
    let lines = weather(7);
    let settings = AssembleSettings { settle_records: 150, ..SETTINGS };
    let feed = |driver: &mut TestDriver, line: &Line| {
        driver
            .pipe_bytes(Some(line.station.as_bytes().as_slice()), Some(line.text.as_bytes()), NO_HEADERS)
            .unwrap()
    };
    let mut whole = assemble(settings);
    for line in &lines {
        feed(&mut whole, line);
    }
    whole.advance_ms(1_000).unwrap();
    let expected = contents(whole.commit().unwrap());
    assert!(expected.len() > 300, "{}", expected.len());

    let mut runner =
        TestRunner::new(PropertyConfig { cases: 48, failure_persistence: None, ..PropertyConfig::default() });
    let cuts = prop::collection::vec((0..lines.len(), 0..40_usize), 1..5);
    runner
        .run(&cuts, |cuts| {
            let mut driver = assemble(settings);
            let mut written = Vec::new();
            let mut at = 0;
            for (cut, uncommitted) in cuts {
                // Work up to the cut, commit; work on a little, and die.
                while at < cut {
                    feed(&mut driver, &lines[at]);
                    at += 1;
                }
                written.extend(driver.commit().unwrap());
                for line in lines.iter().skip(at).take(uncommitted) {
                    feed(&mut driver, line);
                }
                let processor = Assemble::new(settings, stations(), Limits::default());
                at = usize::try_from(driver.restart(Box::new(processor))).unwrap();
            }
            for line in &lines[at..] {
                feed(&mut driver, line);
            }
            driver.advance_ms(1_000).unwrap();
            written.extend(driver.commit().unwrap());
            prop_assert_eq!(contents(written), expected.clone());
            Ok(())
        })
        .unwrap();
}

fn assemble_rejects() {
    let mut driver = assemble(SETTINGS);
    // The driver's clock stands on 2026-01-01.
    let cases: &[(Option<&str>, &[u8], &str)] = &[
        (Some(SCOTTSDALE), b"", "empty"),
        (Some(SCOTTSDALE), b"nonsense", "instead of 8"),
        (Some(SCOTTSDALE), b"USW00003192,20160230,TMIN,89,,,W,", "20160230"),
        (Some(SCOTTSDALE), b"USW00003192,20160224,TMIN,abc,,,W,", "abc"),
        (Some(SCOTTSDALE), b"USW00003192,20160224,TMIN,\xff\xfe,,,W,", ""),
        (Some(SCOTTSDALE), b"USW00003192,20260103,TMIN,89,,,W,", "in the future"),
        (None, b"USW00003192,20160224,TMIN,89,,,W,", "no key"),
        (Some("USC00020080"), b"USW00003192,20160224,TMIN,89,,,W,", "expected the station id"),
        (Some("ZZ000000001"), b"ZZ000000001,20160224,TMIN,89,,,W,", "not in the station table"),
    ];
    for (key, value, reason) in cases {
        let headers = [("trace".to_owned(), Some(b"1".to_vec()))];
        let offset = driver.pipe_bytes(key.map(str::as_bytes), Some(value), &headers).unwrap();
        let written = driver.commit().unwrap();
        assert_eq!(written.len(), 1, "{reason}");
        let letter = &written[0];
        assert_eq!(letter.sink, Sink::DeadLetters);
        assert_eq!(letter.key.as_deref(), key.map(str::as_bytes));
        assert_eq!(letter.value.as_deref(), Some(*value), "original bytes");
        assert!(letter.header("frostline-reason").contains(reason), "{}", letter.header("frostline-reason"));
        assert_eq!(letter.header("frostline-offset"), offset.to_string());
        assert_eq!(letter.header("frostline-stage"), "assemble");
        assert_eq!(letter.header("frostline-topic"), "source");
        assert_eq!(letter.header("trace"), "1");
    }
    // Harmless: a header line, a tombstone. Tomorrow is still allowed.
    driver.pipe(SCOTTSDALE, "ID,DATE,ELEMENT,DATA_VALUE,M_FLAG,Q_FLAG,S_FLAG,OBS_TIME").unwrap();
    driver.pipe_bytes(Some(SCOTTSDALE.as_bytes()), None, NO_HEADERS).unwrap();
    driver.pipe(SCOTTSDALE, "USW00003192,20260102,TMIN,89,,,W,").unwrap();
    assert_eq!(driver.commit().unwrap().len(), 0);
    assert_eq!(driver.counts[count::SKIPPED], 2);
    assert_eq!(driver.counts[count::DEAD_LETTERS], cases.len() as u64);
    let too_large = vec![b'x'; 1_000_001];
    driver.pipe_bytes(Some(SCOTTSDALE.as_bytes()), Some(&too_large), NO_HEADERS).unwrap();
    assert!(driver.commit().unwrap()[0].header("frostline-reason").contains("1000001 bytes"));
}

fn enrich_joins() {
    let processor = Enrich::new(stations(), Limits::default());
    let mut driver = TestDriver::new(stages::ENRICH, Box::new(processor));
    let one = r#"{"station_id":"USW00003192","date":"2016-02-24T00:00:00","TMIN":8.9,"note":{"a":[1]}}"#;
    driver.pipe_bytes(None, Some(one.as_bytes()), NO_HEADERS).unwrap();
    let written = driver.commit().unwrap();
    assert_eq!(written[0].key.as_deref(), Some(SCOTTSDALE.as_bytes()), "keyed by its station");
    let json = written[0].json();
    assert_eq!(json["station"]["name"], "SCOTTSDALE MUNI AP");
    assert_eq!(json["TMIN"], 8.9);
    assert_eq!(json["note"]["a"][0], 1);
    assert!(json.get("station_id").is_none());

    let array = r#"[{"station_id":"USW00003192","date":"2016-02-24"}, {"station_id":"ZZ000000001","date":"2016-02-24"}, {"station_id":"USC00020080","date":"2016-02-30"}, 7]"#;
    driver.pipe_bytes(None, Some(array.as_bytes()), NO_HEADERS).unwrap();
    let written = driver.commit().unwrap();
    let letters: Vec<&Written> = written.iter().filter(|written| written.sink == Sink::DeadLetters).collect();
    assert_eq!((written.len(), letters.len()), (4, 3), "one bad element is one dead letter");
    assert!(letters[0].header("frostline-reason").contains("element 1: station ZZ000000001"));
    assert_eq!(letters[0].text(), r#"{"station_id":"ZZ000000001","date":"2016-02-24"}"#);
    assert!(letters[1].header("frostline-reason").contains("2016-02-30"));

    let deep =
        format!("{{\"station_id\":\"USW00003192\",\"date\":\"2016-02-24\",\"x\":{}", "[".repeat(100_000));
    for (bad, reason) in [
        (deep.as_str(), "nested"),
        (r#"{"station_id":"USW0000"#, "EOF"),
        (r#"{"date":"2016-02-24"}"#, "station_id is missing"),
        (r#"{"station_id":"USW00003192"}"#, "date is missing"),
        ("[1,", "not a JSON array"),
        ("\"text\"", "not a JSON object"),
    ] {
        driver.pipe_bytes(None, Some(bad.as_bytes()), NO_HEADERS).unwrap();
        let written = driver.commit().unwrap();
        assert_eq!(written.len(), 1, "{reason}");
        assert!(
            written[0].header("frostline-reason").contains(reason),
            "{}",
            written[0].header("frostline-reason")
        );
    }
}

fn observation(id: &str, state: &str, date: &str, tmin: &str) -> String {
    format!(
        r#"{{"station":{{"id":"{id}","country_code":"US","state_code":"{state}","name":"A \"B\""}},"date":"{date}T00:00:00",{tmin}"x":1}}"#
    )
}

fn filter_keeps() {
    let condition =
        Condition::compile("station.country_code == 'US' && station.state_code == 'AZ'", Scope::Filter);
    let filter = Filter::new(Arc::new(condition.unwrap()), Limits::default());
    let mut driver = TestDriver::new(stages::FILTER, Box::new(filter));
    driver.pipe("USC00020080", &observation("USC00020080", "AZ", "2016-02-24", "\"TMIN\":1.5,")).unwrap();
    driver.pipe("USC00011084", &observation("USC00011084", "AL", "2016-02-24", "")).unwrap();
    // No state at all: unknown is not Arizona.
    driver
        .pipe("AE000041196", r#"{"station":{"id":"AE000041196","country_code":"AE"},"date":"2016-02-24"}"#)
        .unwrap();
    let written = driver.commit().unwrap();
    assert_eq!(written.len(), 1);
    let json = written[0].json();
    assert_eq!(json["_id"], "USC00020080/2016-02-24");
    assert_eq!(json["_meta"]["topic"], "source");
    assert_eq!(json["_meta"]["offset"], 0);
    assert_eq!(json["TMIN"], 1.5);
    assert_eq!(driver.counts[count::KEPT], 1);
    let with_element = |element: &str| observation("USC00020080", "AZ", "2016-02-24", element);
    for (bad, reason) in [
        (r#"{"station":{"id":"USC00020080""#.to_owned(), ""),
        (with_element("\"TMIN\":\"cold\","), "TMIN"),
        (observation("USC00020080", "AZ", "2016-02-30", ""), "date"),
        (observation("USC00020080", "AZ", "2030-01-01", ""), "in the future"),
        (format!("{{\"a\":{}", "[".repeat(100_000)), ""),
    ] {
        driver.pipe("USC00020080", &bad).unwrap();
        let written = driver.commit().unwrap();
        assert_eq!((written.len(), written[0].sink), (1, Sink::DeadLetters));
        assert!(
            written[0].header("frostline-reason").contains(reason),
            "{}",
            written[0].header("frostline-reason")
        );
    }
}

fn alert_fires_once() {
    let rules = RuleSet::parse(
        "[[rule]]\nid = \"frost\"\nstation = \"USC00020080\"\nwhen = \"TMIN <= 10.0\"\nemail = \"a@example.com\"\n\
         [[rule]]\nid = \"zero\"\nstation = \"USC00020080\"\nwhen = \"10 / SNOW > 0\"\n\
         [[rule]]\nid = \"cold\"\nstation = \"USC00020080\"\nwhen = \"TMIN <= 0.0 || TMAX <= 0.0\"\n",
    )
    .unwrap();
    let mut driver = TestDriver::new(stages::ALERT, Box::new(Alert::new(Arc::new(rules), Limits::default())));
    let frost = observation("USC00020080", "AZ", "2016-02-24", "\"TMIN\":1.5,\"SNOW\":0,");
    driver.pipe("USC00020080", &frost).unwrap();
    let written = driver.commit().unwrap();
    assert_eq!(written.len(), 1);
    let json = written[0].json();
    assert_eq!(json["alert_id"], "frost/USC00020080/2016-02-24/fired");
    assert_eq!(written[0].header("alert-id"), "frost/USC00020080/2016-02-24/fired");
    assert_eq!(json["value"], 1.5);
    assert_eq!(json["email"], "a@example.com");
    assert_eq!(json["transition"], "fired");
    assert_eq!(json["when"], "TMIN <= 10.0");
    assert_eq!(json["_meta"]["offset"], 0);
    assert!(json["message"].as_str().unwrap().contains("TMIN 1.5 °C"), "{}", json["message"]);
    assert_eq!(driver.counts[count::RULE_ERRORS], 1, "one rule's mistake is counted, the others go on");
    // The same observation again, after a restart even: nothing new.
    driver.pipe("USC00020080", &frost).unwrap();
    assert_eq!(driver.commit().unwrap().len(), 0);
    assert_eq!(driver.counts[count::DUPLICATES], 1);
    // A missing element is unknown: no alert. Without a key, or with another's, a dead letter.
    driver.pipe("USC00020080", &observation("USC00020080", "AZ", "2016-02-25", "")).unwrap();
    assert_eq!(driver.commit().unwrap().len(), 0);
    driver.pipe_bytes(None, Some(frost.as_bytes()), NO_HEADERS).unwrap();
    assert!(driver.commit().unwrap()[0].header("frostline-reason").contains("no key"));
    // Two elements: the value is an object of those that are known.
    driver
        .pipe("USC00020080", &observation("USC00020080", "AZ", "2016-02-26", "\"TMIN\":-3.5,\"TMAX\":9.0,"))
        .unwrap();
    let written = driver.commit().unwrap();
    let by_rule: BTreeMap<String, serde_json::Value> = written
        .iter()
        .map(|alert| (alert.json()["rule_id"].as_str().unwrap().to_owned(), alert.json()["value"].clone()))
        .collect();
    assert_eq!(by_rule["cold"], serde_json::json!({"TMAX": 9.0, "TMIN": -3.5}));
    assert_eq!(by_rule["frost"], serde_json::json!(-3.5));
}
