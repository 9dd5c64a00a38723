//! The stage `watch`: an evening, a night and a morning; restarts; silence.

use std::fmt::Write;

use super::*;
use crate::hourly::{HOUR, Hour, moisture, parse_time};
use crate::outlook::{Lessons, Nights, Observed, Spot, Taken};
use crate::stages;
use frostline_engine::driver::TestDriver;
use serde_json::Value;

const STATION: &str = "USW00014734";
const OTHER: &str = "USW00024229";
const RULES: &str = r#"
[[rule]]
id = "tonight"
station = "USW00014734"
when = "chance(-2.0) >= 0.3"
subscribers = ["anna"]
[[rule]]
id = "now"
station = "USW00014734"
when = "T <= 1.0 && WETBULB <= -1.0"
clear = "T > 2.0"
severity = "critical"
subscribers = ["anna"]
[[subscriber]]
id = "anna"
email = "anna@example.org"
"#;

fn watch() -> Box<Watch> {
    Box::new(Watch::new(Arc::new(RuleSet::parse(RULES).unwrap()), Limits::default()))
}

/// What the stage before would write of these observations.
struct Source {
    nights: Nights,
    lessons: Lessons,
    id: &'static str,
}

impl Source {
    fn new(id: &'static str) -> Self {
        Self { nights: Nights::default(), lessons: Lessons::default(), id }
    }

    fn records(&mut self, time: i64, temperature: f64) -> Vec<String> {
        let spot = Spot { latitude: 40.68, longitude: -74.17 };
        let station = StationId::parse(self.id.as_bytes()).unwrap();
        let hour = Hour { dew_point_c: Some(temperature.min(-5.0)), ..Hour::new(station, time, temperature) };
        let Taken::Newest(news) = self.nights.observe(&mut self.lessons, spot, &hour) else {
            return Vec::new();
        };
        let station: Value = serde_json::json!({
            "id": self.id, "country_code": "US", "name": "NEWARK", "location": { "lat": 40.68, "lon": -74.17 }
        });
        let record = |date: String| OutlookRecord {
            station: station.clone(),
            time,
            date,
            revision: 1,
            observed: None,
            expected: None,
            outcome: None,
            meta: None,
        };
        let outcome = news
            .outcome
            .map(|outcome| OutlookRecord { outcome: Some(outcome.clone()), ..record(outcome.night.date) });
        let now = OutlookRecord {
            observed: Some(Observed::of(&hour, moisture::SEA_LEVEL_HPA)),
            expected: news.expected,
            ..record(news.night.date.to_string())
        };
        outcome.into_iter().chain([now]).map(|record| serde_json::to_string(&record).unwrap()).collect()
    }
}

struct Run {
    driver: TestDriver,
    newark: Source,
    ids: Vec<String>,
    messages: Vec<String>,
}

impl Run {
    fn new() -> Self {
        Self::of(RULES)
    }

    fn of(rules: &str) -> Self {
        let rules = Arc::new(RuleSet::parse(rules).unwrap());
        let driver = TestDriver::new(stages::WATCH, Box::new(Watch::new(rules, Limits::default())));
        Self { driver, newark: Source::new(STATION), ids: Vec::new(), messages: Vec::new() }
    }

    fn observe(&mut self, time: &str, temperature: f64) -> Vec<String> {
        for record in self.newark.records(parse_time(time).unwrap(), temperature) {
            self.driver.pipe(STATION, &record).unwrap();
        }
        self.commit()
    }

    fn commit(&mut self) -> Vec<String> {
        let mut transitions = Vec::new();
        for written in self.driver.commit().unwrap() {
            let alert = written.json();
            let text = |name: &str| alert[name].as_str().unwrap_or_default().to_owned();
            assert_eq!(
                text("alert_id"),
                written.header("alert-id"),
                "{}",
                written.header("frostline-reason")
            );
            transitions.push(format!("{} {}", text("rule_id"), text("transition")));
            self.ids.push(text("alert_id"));
            self.messages.push(text("message"));
        }
        transitions
    }
}

const NIGHT: [(&str, f64); 8] = [
    ("2025-11-28T23:00:00Z", 1.5),
    ("2025-11-29T01:00:00Z", 0.5),
    ("2025-11-29T03:00:00Z", -0.5),
    ("2025-11-29T05:00:00Z", -1.5),
    ("2025-11-29T07:00:00Z", -2.0),
    ("2025-11-29T09:00:00Z", -2.5),
    ("2025-11-29T11:00:00Z", -2.8),
    ("2025-11-29T13:00:00Z", 0.0),
];

#[test]
fn an_evening_a_night_and_a_morning() {
    let mut run = Run::new();
    let told: Vec<String> =
        NIGHT.into_iter().flat_map(|(time, temperature)| run.observe(time, temperature)).collect();
    assert_eq!(told, ["tonight expected", "now fired", "tonight confirmed"]);
    assert_eq!(run.observe("2025-11-29T15:00:00Z", 4.0), ["now resolved"]);
    assert_eq!(run.ids[0], "tonight/USW00014734/2025-11-28/expected");
    assert!(
        run.messages[0].starts_with("Frost ") && run.messages[0].contains("tonight at NEWARK: "),
        "{}",
        run.messages[0]
    );
    assert!(
        run.messages[2].starts_with("Frost at NEWARK: -2.0 °C at 02:00, at your limit"),
        "{}",
        run.messages[2]
    );
    // The next warning knows how this one turned out.
    run.observe("2025-11-29T23:00:00Z", 0.5);
    let last = run.messages.last().unwrap();
    assert!(last.ends_with("The last such warning here came true."), "{last}");
}

#[test]
fn a_restart_at_any_record_changes_nothing() {
    let run = |restart_after: Option<usize>| {
        let mut run = Run::new();
        for (at, (time, temperature)) in NIGHT.into_iter().enumerate() {
            run.observe(time, temperature);
            if restart_after == Some(at) {
                run.driver.restart(watch());
            }
        }
        run.observe("2025-11-29T15:00:00Z", 4.0);
        (run.ids, run.messages)
    };
    let whole = run(None);
    for at in 0..NIGHT.len() {
        assert_eq!(run(Some(at)), whole, "restarted after {at}");
    }
}

#[test]
fn silence_is_reported_and_never_means_no_frost() {
    let mut run = Run::new();
    for (time, temperature) in &NIGHT[..3] {
        run.observe(time, *temperature);
    }
    // Another station of the partition goes on.
    let mut other = Source::new(OTHER);
    let begin = parse_time(NIGHT[2].0).unwrap();
    let mut told = Vec::new();
    for hour in 1..=5 {
        for record in other.records(begin + hour * HOUR, 5.0) {
            run.driver.pipe(OTHER, &record).unwrap();
        }
        told.extend(run.commit());
    }
    assert_eq!(told, ["now stale", "tonight stale"]);
    let message = run.messages.last().unwrap();
    assert!(message.starts_with("No report from NEWARK since 22:00"), "{message}");
    // It comes back after the morning: the night is unknown, and was said to be.
    assert!(run.observe("2025-11-29T16:00:00Z", 6.0).iter().all(|told| told == "now resolved"));
}

/// Another station of the partition reports so many hours after the third observation.
fn silent_for(run: &mut Run, other: &mut Source, hours: i64) -> Vec<String> {
    for record in other.records(parse_time(NIGHT[2].0).unwrap() + hours * HOUR, 5.0) {
        run.driver.pipe(OTHER, &record).unwrap();
    }
    run.commit()
}

#[test]
fn silence_ends_no_alert_of_a_rule_without_clear() {
    let mut run = Run::of(&RULES.replace("clear = \"T > 2.0\"\n", ""));
    let mut other = Source::new(OTHER);
    for (time, temperature) in &NIGHT[..3] {
        run.observe(time, *temperature);
    }
    assert!(run.ids.contains(&"now/USW00014734/2025-11-28/fired".to_owned()), "{:?}", run.ids);
    // It has nothing to wait for, and the others go on.
    assert_eq!(silent_for(&mut run, &mut other, 5), ["tonight stale"]);
    assert!(silent_for(&mut run, &mut other, 6).is_empty());
    assert_eq!(run.observe("2025-11-29T16:00:00Z", 6.0), [""; 0]);
}

#[test]
fn a_rule_that_turns_to_another_station_does_not_call_the_old_one_silent() {
    let mut run = Run::new();
    for (time, temperature) in &NIGHT[..3] {
        run.observe(time, *temperature);
    }
    let elsewhere = Arc::new(RuleSet::parse(&RULES.replace(STATION, "USW00003192")).unwrap());
    run.driver.restart(Box::new(Watch::new(elsewhere, Limits::default())));
    assert!(silent_for(&mut run, &mut Source::new(OTHER), 5).is_empty());
}

#[test]
fn what_becomes_stale_first_does_not_depend_on_restarts() {
    // The warning stands before the rule over hours fires, and both hear of the station for the last time together.
    let rules = RULES.replace("T <= 1.0", "T <= -0.5");
    let stale = |restarts: bool| {
        let mut run = Run::of(&rules);
        assert_eq!(run.observe(NIGHT[0].0, 0.0), ["tonight expected"]);
        assert!(run.observe(NIGHT[1].0, -1.0).contains(&"now fired".to_owned()));
        if restarts {
            let rules = Arc::new(RuleSet::parse(&rules).unwrap());
            run.driver.restart(Box::new(Watch::new(rules, Limits::default())));
        }
        silent_for(&mut run, &mut Source::new(OTHER), 9)
    };
    assert_eq!(stale(false), ["now stale", "tonight stale"]);
    assert_eq!(stale(true), stale(false));
}

#[test]
fn where_all_is_silent_the_clock_decides_but_not_over_history() {
    let silent_for = |age_hours: i64| {
        let mut run = Run::new();
        let begin = parse_time(NIGHT[0].0).unwrap();
        run.driver.now_ms = (begin + age_hours * HOUR) * 1_000;
        for (time, temperature) in &NIGHT[..3] {
            run.observe(time, *temperature);
        }
        run.driver.advance_ms(59_000).unwrap();
        let mut told = run.commit();
        run.driver.advance_ms(4 * 3_600_000).unwrap();
        told.extend(run.commit());
        told
    };
    assert_eq!(silent_for(5), ["now stale", "tonight stale"]);
    assert!(silent_for(24 * 30).is_empty(), "history is not silence");
}

#[test]
fn nights_and_days_are_fed_apart() {
    let mut text = RULES.to_owned();
    let _ = write!(text, "[[rule]]\nid = \"day\"\nstation = \"{STATION}\"\nwhen = \"TMIN <= 50.0\"\n");
    let rules = Arc::new(RuleSet::parse(&text).unwrap());
    let mut driver = TestDriver::new(stages::WATCH, Box::new(Watch::new(rules, Limits::default())));
    for record in Source::new(STATION).records(parse_time(NIGHT[0].0).unwrap(), -9.0) {
        driver.pipe(STATION, &record).unwrap();
    }
    let ids: Vec<Value> =
        driver.commit().unwrap().iter().map(|written| written.json()["rule_id"].clone()).collect();
    assert_eq!(ids, ["now", "tonight"]);
    driver.pipe(STATION, "{}").unwrap();
    driver.pipe(OTHER, &Source::new(STATION).records(1_764_370_800, 1.0)[0]).unwrap();
    let reasons: Vec<String> =
        driver.commit().unwrap().iter().map(|written| written.header("frostline-reason")).collect();
    assert!(reasons[0].contains("not an outlook") && reasons[1].contains("key"), "{reasons:?}");
}

#[test]
fn a_partition_without_any_record_is_quiet() {
    let mut driver = TestDriver::new(stages::WATCH, watch());
    driver.turn().unwrap();
    driver.advance_ms(10 * 60_000).unwrap();
    assert!(driver.commit().unwrap().is_empty());
}
