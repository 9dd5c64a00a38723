//! The alert stage on the test driver.

use std::collections::{BTreeMap, BTreeSet};

use frostline_engine::driver::{TestDriver, Written};

use super::*;
use crate::stages;
use crate::stages::count;
use proptest::prelude::*;

fn driver(rules: &str) -> TestDriver {
    let rules = Arc::new(RuleSet::parse(rules).unwrap_or_else(|mistakes| panic!("{mistakes:#?}")));
    TestDriver::new(stages::ALERT, Box::new(Alert::new(rules, Limits::default())))
}

fn document(station: &str, date: &str, rest: &str) -> String {
    format!(r#"{{"station":{{"id":"{station}","name":"X"}},"date":"{date}"{rest}}}"#)
}

fn ids(written: &[Written]) -> Vec<String> {
    written.iter().map(|alert| alert.header("alert-id")).collect()
}

#[test]
fn unread_records_are_those_of_stations_without_rules() {
    let rules = "[[rule]]\nid = \"r\"\nstation = \"USC00020080\"\nwhen = \"TMIN <= 10.0\"\n";
    let rules = Arc::new(RuleSet::parse(rules).unwrap());
    for (validate, dead_letters, skipped_unread) in [(Validate::All, 3, 0), (Validate::Needed, 2, 2)] {
        let limits = Limits { validate, ..Limits::default() };
        let mut driver = TestDriver::new(stages::ALERT, Box::new(Alert::new(Arc::clone(&rules), limits)));
        let document = |id: &str| document(id, "2016-02-24", ",\"TMIN\":5.0");
        driver.pipe("USC00020080", &document("USC00020080")).unwrap();
        driver.pipe("USC00029999", &document("USC00029999")).unwrap();
        // Broken, without rules; broken, with them; under a key that is no station id.
        driver.pipe("USC00029999", "{").unwrap();
        driver.pipe("USC00020080", "{").unwrap();
        driver.pipe("ajo", &document("USC00020080")).unwrap();
        assert_eq!(driver.counts[count::ALERTS], 1, "{validate:?}");
        let counts = driver.counts;
        assert_eq!(
            (counts[count::DEAD_LETTERS], counts[count::SKIPPED_UNREAD]),
            (dead_letters, skipped_unread),
            "{validate:?}"
        );
    }
}

const A: &str = "USC00020080";
const B: &str = "USC00027716";

#[test]
fn a_correction_retracts_and_an_older_revision_changes_nothing() {
    let mut driver = driver("[[rule]]\nid = \"r\"\nstation = \"USC00020080\"\nwhen = \"TMIN <= 10.0\"\n");
    let mut pipe = |rest: &str| {
        driver.pipe(A, &document(A, "2016-02-24", rest)).unwrap();
        driver.commit().unwrap()
    };
    assert_eq!(ids(&pipe(",\"TMIN\":5.0")), ["r/USC00020080/2016-02-24/fired"]);
    assert!(pipe(",\"TMIN\":5.0").is_empty());
    assert!(pipe(",\"TMIN\":50.0").is_empty(), "one revision has one content");
    let retracted = pipe(",\"revision\":2,\"TMIN\":15.0");
    assert_eq!(ids(&retracted), ["r/USC00020080/2016-02-24/retracted"]);
    assert_eq!(retracted[0].json()["retracts"], "r/USC00020080/2016-02-24/fired");
    assert_eq!(retracted[0].json()["value"], 15.0);
    assert!(pipe(",\"TMIN\":5.0").is_empty(), "delivered again");
    assert_eq!(ids(&pipe(",\"revision\":3,\"TMIN\":4.0")), ["r/USC00020080/2016-02-24/fired/2"]);
    // The reading failed its quality control, and left the observation.
    assert_eq!(ids(&pipe(",\"revision\":4,\"PRCP\":0.0")), ["r/USC00020080/2016-02-24/retracted/2"]);
}

const EPISODES: &str = "[[rule]]\nid = \"r\"\nwhere = \"true\"\nwhen = \"TMIN <= 0.0\"\nclear = \"TMIN > 2.0\"\n\
                        severity = \"critical\"\nmessage = \"{TMIN} at {station.name}\"\n";

#[test]
fn an_episode_is_told_with_what_people_need() {
    let mut driver = driver(EPISODES);
    for (day, tmin) in [(1, "-1.0"), (2, "-2.0"), (3, "1.0"), (4, "2.5")] {
        driver.pipe(A, &document(A, &format!("2016-03-0{day}"), &format!(",\"TMIN\":{tmin}"))).unwrap();
    }
    let written = driver.commit().unwrap();
    assert_eq!(ids(&written), ["r/USC00020080/2016-03-01/fired", "r/USC00020080/2016-03-04/resolved"]);
    let (fired, resolved) = (written[0].json(), written[1].json());
    assert_eq!((&fired["severity"], &fired["message"]), (&"critical".into(), &"-1.0 at X".into()));
    assert_eq!((&resolved["episode"], &resolved["days"]), (&"r/USC00020080/2016-03-01".into(), &4.into()));
    assert_eq!((&resolved["TMIN"], resolved.get("rule_version")), (&2.5.into(), None));
}

#[test]
fn an_alert_speaks_in_the_units_of_its_rule() {
    let rules = "[[rule]]\nid = \"r\"\nwhere = \"true\"\nwhen = \"f(TMIN) <= 32 || inches(PRCP) > 9\"\n";
    let mut driver = driver(rules);
    driver.pipe(A, &document(A, "2016-03-01", ",\"TMIN\":-1.0,\"PRCP\":25.4")).unwrap();
    let message = driver.commit().unwrap()[0].json()["message"].clone();
    let values = "PRCP 1.00 in, TMIN 30.2 °F at X (USC00020080) on 2016-03-01";
    assert_eq!(message, format!("{values}: f(TMIN) <= 32 || inches(PRCP) > 9"));
}

/// What people read counts days as `days` does: the day on which the episode fired is day 1.
#[test]
fn texts_count_days_as_the_alert_does() {
    let rules = "[[rule]]\nid = \"r\"\nwhere = \"true\"\nwhen = \"TMIN <= 0.0\"\nclear = \"TMIN > 2.0\"\nrepeat_days = 3\n";
    let mut driver = driver(rules);
    for (day, tmin) in
        [(1, "-1.0"), (2, "-1.0"), (3, "-1.0"), (4, "-1.0"), (5, "2.5"), (6, "-1.0"), (20, "-1.0")]
    {
        driver.pipe(A, &document(A, &format!("2016-03-{day:02}"), &format!(",\"TMIN\":{tmin}"))).unwrap();
    }
    let written: Vec<serde_json::Value> = driver.commit().unwrap().iter().map(Written::json).collect();
    let texts: Vec<(i64, &str)> = written
        .iter()
        .map(|alert| (alert["days"].as_i64().unwrap(), alert["message"].as_str().unwrap()))
        .collect();
    let place = "at X (USC00020080) on 2016-03";
    assert_eq!(
        texts,
        [
            (1, format!("TMIN -1.0 °C {place}-01: TMIN <= 0.0")),
            (4, format!("TMIN -1.0 °C {place}-04: TMIN <= 0.0, day 4")),
            (5, format!("TMIN 2.5 °C {place}-05: over (TMIN > 2.0) on day 5")),
            (1, format!("TMIN -1.0 °C {place}-06: TMIN <= 0.0")),
            (
                4,
                "No report from X (USC00020080) up to 2016-03-09: whether TMIN <= 0.0 still holds on day 4 is unknown"
                    .to_owned()
            ),
            (
                15,
                format!(
                    "TMIN -1.0 °C {place}-20: TMIN <= 0.0, day 15 (first alert since the station fell silent after \
                     2016-03-06)"
                )
            ),
        ]
        .each_ref()
        .map(|(days, text)| (*days, text.as_str()))
    );
}

/// Frost in February, silence until November: who was warned then is warned again.
#[test]
fn frost_after_a_long_silence_is_an_alert() {
    let mut driver = driver(EPISODES);
    for date in ["2016-02-20", "2016-02-21", "2016-11-05", "2016-11-06", "2016-11-07"] {
        driver.pipe(A, &document(A, date, ",\"TMIN\":-4.0")).unwrap();
    }
    let written = driver.commit().unwrap();
    assert_eq!(
        ids(&written),
        [
            "r/USC00020080/2016-02-20/fired",
            "r/USC00020080/2016-02-24/stale",
            "r/USC00020080/2016-11-05/fired"
        ]
    );
    let again = written[2].json();
    assert_eq!(again["episode"], "r/USC00020080/2016-02-20");
    assert_eq!(again["message"], "-4.0 at X (first alert since the station fell silent after 2016-02-21)");
}

#[test]
fn a_rule_that_is_set_aside_is_not_evaluated_and_the_others_go_on() {
    let text = "[[rule]]\nid = \"a\"\nwhere = \"true\"\nwhen = \"TMIN <= 0.0\"\n\
                [[rule]]\nid = \"b\"\nwhere = \"true\"\nwhen = \"TMIN <= 0.0\"\n";
    let rules = Arc::new(RuleSet::parse(text).unwrap());
    let mut driver =
        TestDriver::new(stages::ALERT, Box::new(Alert::new(Arc::clone(&rules), Limits::default())));
    let mut pipe = |date: &str| {
        driver.pipe(A, &document(A, date, ",\"TMIN\":-4.0")).unwrap();
        driver.commit().unwrap().len()
    };
    assert_eq!(pipe("2016-02-20"), 2);
    rules.set_aside(&rules.get("a").unwrap(), "the interpreter panicked");
    assert_eq!(pipe("2016-02-21"), 1);
}

#[test]
fn a_silent_station_becomes_stale_when_others_go_on_also_after_a_restart() {
    let alert = || {
        let rules = Arc::new(RuleSet::parse(EPISODES).unwrap());
        Box::new(Alert::new(rules, Limits::default()))
    };
    let mut driver = TestDriver::new(stages::ALERT, alert());
    let pipe = |driver: &mut TestDriver, station: &str, day: u32, tmin: &str| {
        let document = document(station, &format!("2016-03-{day:02}"), &format!(",\"TMIN\":{tmin}"));
        driver.pipe(station, &document).unwrap();
        driver.commit().unwrap()
    };
    assert_eq!(pipe(&mut driver, A, 1, "-1.0").len(), 1);
    assert!(pipe(&mut driver, B, 4, "5.0").is_empty(), "three days are no silence");
    driver.restart(alert());
    let stale = pipe(&mut driver, B, 5, "5.0");
    assert_eq!(ids(&stale), ["r/USC00020080/2016-03-04/stale"]);
    let stale = stale[0].json();
    assert_eq!((&stale["station"]["name"], &stale["value"]), (&"X".into(), &serde_json::Value::Null));
    assert!(pipe(&mut driver, B, 20, "5.0").is_empty(), "told once");
    // A late report: it was not silent then, but after that day it was.
    let late = pipe(&mut driver, A, 3, "1.0");
    assert_eq!(ids(&late), ["r/USC00020080/2016-03-04/retracted-stale"]);
    assert_eq!(late[0].json()["station"]["id"], A);
    let back = ["r/USC00020080/2016-03-07/stale", "r/USC00020080/2016-03-21/resolved"];
    assert_eq!(ids(&pipe(&mut driver, A, 21, "3.0")), back, "told as the calendar moves on");
}

#[test]
fn a_rule_that_turns_to_another_station_does_not_call_the_old_one_silent() {
    let rules = Arc::new(RuleSet::default());
    let mut conditions = crate::rules::Conditions::default();
    let mut put = |station: &str, created_ms: i64| {
        let definition = crate::rules::Definition {
            id: "r".into(),
            station: Some(station.into()),
            when: "TMIN <= 0.0".into(),
            clear: Some("TMIN > 2.0".into()),
            ..Default::default()
        };
        let published = crate::rules::PublishedRule { version: 1, created_ms, definition, nearest: None };
        rules.put(published.compile(&mut conditions).unwrap());
    };
    let mut driver =
        TestDriver::new(stages::ALERT, Box::new(Alert::new(Arc::clone(&rules), Limits::default())));
    let pipe = |driver: &mut TestDriver, station: &str, day: u32, tmin: &str| {
        let document = document(station, &format!("2016-03-{day:02}"), &format!(",\"TMIN\":{tmin}"));
        driver.pipe(station, &document).unwrap();
        ids(&driver.commit().unwrap())
    };
    put(A, 1);
    assert_eq!(pipe(&mut driver, A, 1, "-1.0"), ["r/USC00020080/2016-03-01/fired"]);
    put(B, 1);
    assert_eq!(pipe(&mut driver, B, 8, "-1.0"), ["r/USC00027716/2016-03-08/fired"]);
    // Removed, and published again later: another rule of the same name, which knows of no episode.
    rules.remove("r");
    assert!(pipe(&mut driver, B, 9, "-1.0").is_empty());
    put(B, 2);
    assert_eq!(pipe(&mut driver, B, 20, "-1.0"), ["r/USC00027716/2016-03-20/fired"]);
}

#[test]
fn a_record_that_cannot_be_repeated_is_rejected_before_anything_is_remembered() {
    let mut driver = driver(EPISODES);
    let deep = format!(",\"TMIN\":-1.0,\"x\":{}{}", "[".repeat(80), "]".repeat(80));
    driver.pipe(A, &document(A, "2016-03-01", &deep)).unwrap();
    assert_eq!((driver.counts[count::ALERTS], driver.counts[count::DEAD_LETTERS]), (0, 1));
    driver.pipe(A, &document(A, "2016-03-01", ",\"TMIN\":-1.0")).unwrap();
    assert_eq!(driver.counts[count::ALERTS], 1, "nothing was told of the day before");
}

#[test]
fn rules_change_while_records_come() {
    let rules = Arc::new(RuleSet::default());
    let mut driver =
        TestDriver::new(stages::ALERT, Box::new(Alert::new(Arc::clone(&rules), Limits::default())));
    let day = |driver: &mut TestDriver, day: u32| {
        driver.pipe(A, &document(A, &format!("2016-03-{day:02}"), ",\"TMIN\":-1.0,\"SNOW\":0")).unwrap();
        driver.commit().unwrap().len()
    };
    let mut conditions = crate::rules::Conditions::default();
    let mut put = |when: &str, clear: Option<&str>| {
        let definition = crate::rules::Definition {
            id: "r".into(),
            station: Some(A.into()),
            when: when.into(),
            clear: clear.map(str::to_owned),
            ..Default::default()
        };
        rules.put(definition.compile(1, None, &mut conditions).unwrap());
    };
    assert_eq!(day(&mut driver, 1), 0);
    put("TMIN <= 0.0", None);
    assert_eq!(day(&mut driver, 2), 1);
    put("TMIN <= -5.0", None);
    assert_eq!(day(&mut driver, 3), 0);
    put("TMIN <= 0.0", Some("TMIN > 2.0"));
    assert_eq!((day(&mut driver, 4), day(&mut driver, 5)), (1, 0));
    // Another condition: the episode that stands goes on.
    put("TMIN <= -0.5", Some("TMIN > 2.0"));
    assert_eq!(day(&mut driver, 6), 0);
    put("1 / SNOW > 0", None);
    assert_eq!((day(&mut driver, 7), driver.counts[count::RULE_ERRORS]), (0, 1));
    rules.remove("r");
    assert_eq!(day(&mut driver, 8), 0);
}

/// What stands at the end, from alerts alone: rule, station, day, transition.
fn standing(written: &[Written]) -> BTreeSet<String> {
    let mut standing = BTreeSet::new();
    for alert in written {
        let id = alert.header("alert-id");
        let alert = alert.json();
        // Without the number of a repeated telling.
        let subject = |id: &str| id.split('/').take(4).collect::<Vec<_>>().join("/");
        match alert["retracts"].as_str() {
            Some(retracted) => assert!(standing.remove(&subject(retracted)), "{id} retracts what was told"),
            None => assert!(standing.insert(subject(&id)), "{id} is told once"),
        }
    }
    standing
}

fn property_driver() -> Box<Alert> {
    let rules = "[[rule]]\nid = \"lone\"\nwhere = \"true\"\nwhen = \"TMIN <= 0.0\"\n\
                 [[rule]]\nid = \"spell\"\nwhere = \"true\"\nwhen = \"TMIN <= 0.0\"\nclear = \"TMIN > 2.0\"\n\
                 for_days = 2\nrepeat_days = 4\n";
    Box::new(Alert::new(Arc::new(RuleSet::parse(rules).unwrap()), Limits::default()))
}

type Arrival = (u8, u8, u32, usize);

/// The observation: its content is that of its revision, however often it is delivered.
fn arrival_document((station, day, revision, tmin): Arrival) -> (String, String) {
    let values = [",\"TMIN\":-1.0", ",\"TMIN\":1.0", ",\"TMIN\":3.0", ",\"PRCP\":0.0"];
    let id = format!("USC0000000{station}");
    let rest = format!(",\"revision\":{revision}{}", values[tmin]);
    let document = document(&id, &format!("2016-03-{:02}", day + 1), &rest);
    (id, document)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any order of arrival, duplicates, revisions, and a crash at any record: what stands at the end is what an
    /// orderly stream of the newest revisions gives.
    #[test]
    fn order_and_crashes_do_not_matter(
        arrivals in proptest::collection::vec((0..3_u8, 0..20_u8, 1..4_u32, 0..4_usize), 1..80),
        steps in proptest::collection::vec(0..10_u8, 400),
    ) {
        let mut contents: BTreeMap<(u8, u8, u32), usize> = BTreeMap::new();
        let arrivals: Vec<Arrival> = arrivals
            .into_iter()
            .map(|(s, d, r, tmin)| (s, d, r, *contents.entry((s, d, r)).or_insert(tmin)))
            .collect();
        let mut driver = TestDriver::new(stages::ALERT, property_driver());
        let (mut written, mut next, mut steps) = (Vec::new(), 0, steps.into_iter());
        while next < arrivals.len() {
            let (key, value) = arrival_document(arrivals[next]);
            driver.pipe(&key, &value).unwrap();
            next += 1;
            match steps.next().unwrap_or(1) {
                0 => next = usize::try_from(driver.restart(property_driver())).unwrap(),
                1..4 => written.extend(driver.commit().unwrap()),
                _ => {}
            }
        }
        // Silence is told as the calendar moves on.
        let end = ("USC00000009", document("USC00000009", "2016-03-22", ",\"PRCP\":0.0"));
        driver.pipe(end.0, &end.1).unwrap();
        written.extend(driver.commit().unwrap());
        let mut newest: BTreeMap<(u8, u8), (u32, usize)> = BTreeMap::new();
        for (s, d, r, tmin) in arrivals {
            let known = newest.entry((d, s)).or_insert((r, tmin));
            *known = (*known).max((r, tmin));
        }
        let mut reference = TestDriver::new(stages::ALERT, property_driver());
        for ((d, s), (r, tmin)) in newest {
            let (key, value) = arrival_document((s, d, r, tmin));
            reference.pipe(&key, &value).unwrap();
        }
        reference.pipe(end.0, &end.1).unwrap();
        let expected = reference.commit().unwrap();
        prop_assert!(expected.iter().all(|alert| alert.json()["transition"] != "retracted"));
        prop_assert_eq!(standing(&written), standing(&expected));
    }
}

#[test]
fn a_rule_that_cannot_be_evaluated_is_logged_once_for_all_partitions() {
    let rules = "[[rule]]\nid = \"r\"\nstation = \"USC00020080\"\nwhen = \"10 / SNOW > 1\"\n";
    let rules = Arc::new(RuleSet::parse(rules).unwrap());
    let logged = crate::rules::logged_by(|| {
        for _partition in 0..3 {
            let alert = Alert::new(Arc::clone(&rules), Limits::default());
            let mut driver = TestDriver::new(stages::ALERT, Box::new(alert));
            for day in ["2016-02-24", "2016-02-25"] {
                driver.pipe(A, &document(A, day, ",\"SNOW\":0")).unwrap();
            }
            assert_eq!(driver.counts[count::RULE_ERRORS], 2);
        }
    });
    let failures = logged.iter().filter(|line| line.contains("cannot evaluate a rule")).count();
    assert_eq!(failures, 1, "{logged:#?}");
}
