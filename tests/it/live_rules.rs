//! Rules in their topic, on a real broker: followed, quarantined; and the same alerts live as in a backtest.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::goldens::{INVENTORY_2024, LINES_2016, STATIONS};
use crate::support::{Frostline, Needs, Running, Test, Topics, data, read_data, test};

const BROKER: &[Needs] = &[Needs::Broker];
const REAL: &[Needs] = &[Needs::Broker, Needs::Data];

pub fn tests() -> Vec<Test> {
    vec![
        test("a_rule_works_in_three_processes_without_a_restart", BROKER, three_processes),
        test("a_broken_rule_in_the_topic_is_quarantined", BROKER, quarantine),
        test("the_nearest_station_is_one_that_reports", BROKER, nearest),
        test("rules_near_a_point_work_from_a_first_start", BROKER, || drop(first_start("rules.toml"))),
        test("published_rules_near_a_point_work_from_a_first_start", BROKER, first_start_and_restart),
        test("live_alerts_are_those_of_the_backtest", REAL, live_equals_backtest),
        test("an_alert_is_shown_with_its_raw_lines", BROKER, provenance),
    ]
}

/// A folder whose configuration follows the rules' topic, and alerts on all observations.
pub(crate) fn folder(rules: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rules.toml"), rules).unwrap();
    let config = "[alert]\nsource = \"noaa-json\"\nrules = \"topic\"\n";
    std::fs::write(dir.path().join("frostline.toml"), config).unwrap();
    dir
}

pub(crate) fn command(topics: &Topics, dir: &TempDir, arguments: &[&str]) -> Frostline {
    topics.frostline().args(arguments.iter().copied()).in_dir(dir.path())
}

pub(crate) fn apply(topics: &Topics, dir: &TempDir, rules: &str) -> Value {
    std::fs::write(dir.path().join("rules.toml"), rules).unwrap();
    command(topics, dir, &["rules", "apply", "rules.toml", "--yes", "--json"]).run().expect_code(0).summary()
}

pub(crate) fn rule(id: &str, place: &str, rest: &str) -> String {
    format!("[[rule]]\nid = \"{id}\"\n{place}\n{rest}\n\n")
}

pub(crate) const FARM: &str = "[[subscriber]]\nid = \"farm\"\nemail = \"grower@example.org\"\n\n";
pub(crate) const SCOTTSDALE: &str = "station = \"USW00003192\"";

fn document(station: usize, day: u32, tmin: f64) -> (String, String) {
    let id = format!("USC{station:08}");
    let value = format!(
        r#"{{"station":{{"id":"{id}","name":"S{station}","location":{{"lat":{}.0,"lon":-111.0}},"elevation":300.0}},"date":"2016-{:02}-{:02}","TMIN":{tmin:?}}}"#,
        station % 80,
        day / 28 + 1,
        day % 28 + 1
    );
    (id, value)
}

fn send(topics: &Topics, documents: &[(String, String)]) {
    let records: Vec<_> =
        documents.iter().map(|(key, value)| (Some(key.as_bytes()), Some(value.as_bytes()))).collect();
    topics.send("noaa-json", &records);
}

/// Waits until `done`, which looks at the alerts.
fn wait_for_alerts(topics: &Topics, mut done: impl FnMut(&[Value]) -> bool) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let alerts = topics.values("noaa-json-alerts");
        if done(&alerts) {
            return alerts;
        }
        assert!(Instant::now() < deadline, "not in time: {} alerts, {:?}", alerts.len(), alerts.last());
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn start(topics: &Topics, dir: &TempDir, state: &str) -> Running {
    command(topics, dir, &["run", "--stages", "alert", "--workers", "1", "--state-dir", state]).start()
}

fn three_processes() {
    const STATIONS: usize = 30;
    let topics = Topics::create();
    let dir = folder("");
    let mut running: Vec<Running> = ["a", "b", "c"].map(|state| start(&topics, &dir, state)).into();
    // Each has read the rules, of which there are none yet.
    running.iter_mut().for_each(|process| process.until_said("cli::run: running"));
    let mut day = 0;
    let mut feed_day = || {
        send(&topics, &(0..STATIONS).map(|station| document(station, day, -1.0)).collect::<Vec<_>>());
        day += 1;
        day
    };
    // All five partitions are read, by three members, before anything is applied.
    apply(&topics, &dir, &rule("first", "where = \"true\"", "when = \"TMIN <= 0.0\""));
    let stations = |alerts: &[Value], rule: &str| -> usize {
        let of_rule = alerts.iter().filter(|alert| alert["rule_id"] == rule);
        of_rule.map(|alert| alert["station"]["id"].to_string()).collect::<BTreeSet<_>>().len()
    };
    wait_for_alerts(&topics, |alerts| {
        feed_day();
        stations(alerts, "first") == STATIONS
    });
    let summary = apply(&topics, &dir, &rule("second", "where = \"true\"", "when = \"TMIN <= -0.5\""));
    assert_eq!((&summary["added"], &summary["removed"]), (&1.into(), &1.into()));
    let alerts = wait_for_alerts(&topics, |alerts| {
        feed_day();
        stations(alerts, "second") == STATIONS
    });
    let version =
        alerts.iter().find(|alert| alert["rule_id"] == "second").map(|alert| &alert["rule_version"]);
    assert_eq!(version, Some(&1.into()));
    for process in running {
        process.signal("TERM");
        let outcome = process.wait().expect_code(0);
        for line in [
            "rule changed key=rule `first` version=1",
            "removed key=rule `first`",
            "rule changed key=rule `second`",
        ] {
            assert!(outcome.err.contains(line), "{line}: {outcome}");
        }
    }
}

fn quarantine() {
    let topics = Topics::create();
    let dir = folder("");
    apply(
        &topics,
        &dir,
        &(rule("good", "where = \"true\"", "when = \"TMIN <= 0.0\"")
            + &rule("bad", "where = \"true\"", "when = \"TMIN <= 0.0\"")),
    );
    topics.send(
        "noaa-rules",
        &[
            (Some(b"rule/bad"), Some(br#"{"format":1,"version":2,"rule":{"id":"bad","station":"USW00003192","when":"TMIN <"}}"#)),
            (Some(b"rule/newer"), Some(br#"{"format":7,"something":"else"}"#)),
            (Some(b"who knows"), Some(b"x")),
            (Some(b"rule/json"), Some(b"{")),
        ],
    );
    let process = start(&topics, &dir, "state");
    send(&topics, &[document(1, 0, -1.0)]);
    wait_for_alerts(&topics, |alerts| alerts.len() == 1 && alerts[0]["rule_id"] == "good");
    // The same while it runs.
    topics.send(
        "noaa-rules",
        &[(Some(b"rule/worse"), Some(br#"{"format":1,"version":1,"rule":{"id":"worse","when":"1"}}"#))],
    );
    send(&topics, &[document(1, 1, -1.0)]);
    wait_for_alerts(&topics, |alerts| alerts.len() == 2);
    process.signal("TERM");
    let outcome = process.wait().expect_code(0);
    assert!(outcome.err.contains("rules=1 quarantined=3"), "{outcome}");
    assert!(
        outcome.err.contains("quarantined: this rule or subscriber has no effect")
            && outcome.err.contains("it has format 7"),
        "{outcome}"
    );
    assert!(outcome.err.contains("rule `worse`"), "{outcome}");
    let list = command(&topics, &dir, &["rules", "list", "--json"]).run().expect_code(0).json_lines();
    let quarantined: Vec<&str> = list.iter().filter_map(|line| line["quarantined"].as_str()).collect();
    assert_eq!(quarantined, ["rule/bad", "rule/json", "rule/newer", "rule/worse"]);
    // What another version wrote stays in the topic; what is broken goes, if the file is applied without it.
    let good = rule("good", "where = \"true\"", "when = \"TMIN <= 0.0\"");
    assert_eq!(apply(&topics, &dir, &good)["removed"], 3);
    let list = command(&topics, &dir, &["rules", "list", "--json"]).run().expect_code(0).json_lines();
    assert!(list.iter().any(|line| line["quarantined"] == "rule/newer"), "{list:?}");
}

fn nearest() {
    let topics = Topics::create();
    let rules = rule(
        "near",
        "near = { lat = 40.2, lon = -111.0, elevation = 200, max_km = 150 }",
        "when = \"TMIN <= 0.0\"",
    );
    let dir = folder(&rules);
    let nobody = command(&topics, &dir, &["rules", "apply", "rules.toml", "--dry-run"]).run().expect_code(0);
    assert!(nobody.err.contains("rules.toml:3:8: rule `near`: no station within reach"), "{nobody}");
    // Station 40 is the nearest but reports no TMIN; 41 is next.
    let without = document(40, 0, 0.0).1.replace("TMIN", "PRCP");
    send(&topics, &[(document(40, 0, 0.0).0, without), document(41, 0, 5.0), document(39, 0, 5.0)]);
    let applied = command(&topics, &dir, &["rules", "apply", "rules.toml", "--yes"]).run().expect_code(0);
    assert!(applied.out.contains("nearest: USC00000041 S41 (89 km, 100 m higher)"), "{applied}");
    let process = start(&topics, &dir, "state");
    send(&topics, &[document(41, 1, -1.0), document(39, 1, -1.0)]);
    let alerts = wait_for_alerts(&topics, |alerts| !alerts.is_empty());
    assert_eq!(alerts[0]["alert_id"], "near/USC00000041/2016-01-02/fired");
    process.signal("TERM");
    let outcome = process.wait().expect_code(0);
    assert!(outcome.err.contains("USC00000041 S41, 89 km away"), "a start warns as apply does: {outcome}");
}

/// The order of a newcomer: rules, the daemon, observations.
fn first_start(source: &str) -> (Topics, TempDir) {
    let topics = Topics::create();
    let near = "near = { lat = 40.2, lon = -111.0, max_km = 150 }";
    let far = rule("far", "station = \"USC00000005\"", "when = \"TMIN <= 0.0\"");
    let dir = folder(&(far + &rule("near", near, "when = \"TMIN <= 0.0\"")));
    let config = format!("[alert]\nsource = \"noaa-json\"\nrules = \"{source}\"\n");
    std::fs::write(dir.path().join("frostline.toml"), config).unwrap();
    if source == "topic" {
        command(&topics, &dir, &["rules", "apply", "rules.toml", "--yes"]).run().expect_code(0);
    }
    let process = start(&topics, &dir, "state");
    // It works, and none near it has reported.
    send(&topics, &[document(5, 0, -1.0)]);
    wait_for_alerts(&topics, |alerts| alerts.len() == 1);
    let mut day = 0;
    let alerts = wait_for_alerts(&topics, |alerts| {
        send(&topics, &[document(41, day, -1.0), document(39, day, -1.0)]);
        day += 1;
        alerts.len() > 1
    });
    let mut of_near = alerts.iter().filter(|alert| alert["rule_id"] == "near");
    assert!(of_near.all(|alert| alert["station"]["id"] == "USC00000041"), "{alerts:?}");
    process.signal("TERM");
    let outcome = process.wait().expect_code(0);
    assert_eq!(outcome.err.matches("no station near this rule").count(), 1, "{outcome}");
    assert_eq!(outcome.err.matches("station found near this rule").count(), 1, "{outcome}");
    assert!(outcome.err.contains("frostline rules backtest --topic"), "{outcome}");
    (topics, dir)
}

/// A daemon that starts again knows the station before the first record, also where the topic does not.
fn first_start_and_restart() {
    let (topics, dir) = first_start("topic");
    let meanwhile = [document(41, 250, -1.0)];
    send(&topics, &meanwhile);
    command(&topics, &dir, &["run", "--stages", "alert", "--until-caught-up"]).run().expect_code(0);
    let alerts = topics.values("noaa-json-alerts");
    let date = alerts.iter().filter_map(|alert| alert["date"].as_str()).max().unwrap();
    assert!(meanwhile[0].1.contains(date), "{date} is the newest alert");
}

/// 1,000 rules of both kinds over a month (with `--soak` over all of 2016) through the real broker: the same alerts, one by one, as the backtest.
fn live_equals_backtest() {
    // The whole year takes two minutes, a month of winter has everything but the seasons.
    let is_soak = Needs::Soak.missing().is_none();
    let (file, alerts) = if is_soak { ("2016-hcn.csv.gz", 20_000) } else { ("2016-02-hcn.csv.gz", 4_000) };
    let stations: BTreeSet<String> = read_data(file).lines().map(|line| line[..11].to_owned()).collect();
    let stations: Vec<String> = stations.into_iter().collect();
    let rules: String = (0..1_000)
        .map(|number| {
            let place = format!("station = \"{}\"", stations[number % stations.len()]);
            let limit = -5.0 + (number % 20) as f64 / 10.0;
            let episodes =
                if number % 2 == 0 { "" } else { "\nclear = \"TMIN > 3.0\"\nfor_days = 2\nrepeat_days = 7" };
            rule(&format!("r{number}"), &place, &format!("when = \"TMIN <= {limit:?}\"{episodes}"))
        })
        .collect();
    let dir = folder(&rules);
    let backtest = Frostline::new()
        .args(["rules", "backtest", "--rules", "rules.toml", "--json", "--alerts", "--stations"])
        .path(&data(INVENTORY_2024))
        .path(&data(file))
        .in_dir(dir.path())
        .run()
        .expect_code(0);
    let ids = |values: &[Value]| -> Vec<String> {
        let mut ids: Vec<String> =
            values.iter().filter_map(|value| value["alert_id"].as_str().map(str::to_owned)).collect();
        ids.sort_unstable();
        ids
    };
    let expected = ids(&backtest.json_lines());
    assert!(expected.len() > alerts, "{}", expected.len());
    let topics = Topics::create();
    topics.import_stations_of(file, INVENTORY_2024);
    apply(&topics, &dir, &rules);
    topics.replay(file, "noaa-csv-raw");
    command(&topics, &dir, &["run", "--stages", "assemble,alert", "--until-caught-up", "--json"])
        .patience(Duration::from_secs(300))
        .run()
        .expect_code(0);
    let found = ids(&topics.values("noaa-json-alerts"));
    let (found_set, expected_set): (BTreeSet<_>, BTreeSet<_>) =
        (found.iter().collect(), expected.iter().collect());
    let missing: Vec<_> = expected_set.difference(&found_set).take(5).collect();
    let more: Vec<_> = found_set.difference(&expected_set).take(5).collect();
    assert!(missing.is_empty() && more.is_empty(), "missing {missing:?}, more {more:?}");
    assert_eq!(found.len(), expected.len(), "none twice");
    // The topic's history gives the same as the file.
    let of_topic =
        command(&topics, &dir, &["rules", "backtest", "--topic", "noaa-json", "--rules", "live", "--json"]);
    let summary = of_topic.run().expect_code(0).summary();
    let of_file = backtest.summary();
    for name in ["fired", "resolved", "retracted", "observations"] {
        assert_eq!(summary[name], of_file[name], "{name}");
    }
}

fn provenance() {
    let topics = Topics::create();
    topics.import_stations(STATIONS);
    let farm_rule =
        rule("frost", "station = \"USC00027716\"", "when = \"TMIN <= 0.0\"\nsubscribers = [\"farm\"]");
    let dir = folder(&(FARM.to_owned() + &farm_rule));
    // The whole path, with the filter between.
    std::fs::write(dir.path().join("frostline.toml"), "[alert]\nrules = \"rules.toml\"\n").unwrap();
    topics.replay(LINES_2016, "noaa-csv-raw");
    command(&topics, &dir, &["run", "--stages", "assemble,filter,alert", "--until-caught-up"])
        .run()
        .expect_code(0);
    let list = |more: &[&str]| {
        command(&topics, &dir, &["alerts", "--json"])
            .args(more.iter().copied())
            .run()
            .expect_code(0)
            .json_lines()
    };
    assert_eq!(list(&[]).len(), 20, "the last twenty");
    assert_eq!(list(&["-n", "1000"]).len(), 134);
    let january = ["--since", "2016-01-01", "--until", "2016-01-31", "-n", "1000", "--subscriber", "farm"];
    let january = list(&january);
    assert!((20..=31).contains(&january.len()), "{}", january.len());
    assert_eq!(january[0]["subscribers"], serde_json::json!(["farm"]));
    assert!(january[0].get("email").is_none(), "addresses of subscribers stay out of records");
    assert!(list(&["--subscriber", "nobody"]).is_empty() && list(&["--transition", "stale"]).is_empty());
    assert!(list(&["--rule", "other"]).is_empty() && list(&["--station", "USC00020080"]).is_empty());
    let id = "frost/USC00027716/2016-01-15/fired";
    let shown = command(&topics, &dir, &["alerts", "show", id, "--json"]).run().expect_code(0).summary();
    assert_eq!(shown["alert"]["alert_id"], id);
    let from: Vec<&str> =
        shown["from"].as_array().unwrap().iter().map(|place| place["topic"].as_str().unwrap()).collect();
    let named = |logical: &str| format!("{}{logical}", topics.namespace);
    assert_eq!(from, [named("noaa-json-us-az"), named("noaa-json")]);
    let lines: BTreeSet<&str> =
        shown["lines"].as_array().unwrap().iter().map(|line| line["line"].as_str().unwrap()).collect();
    let text = read_data(LINES_2016);
    let expected: BTreeSet<&str> =
        text.lines().filter(|line| line.starts_with("USC00027716,20160115,")).collect();
    assert!(expected.len() > 1);
    assert_eq!(lines, expected, "the lines it came from, and no others");
    command(&topics, &dir, &["alerts", "show", "frost/none"]).run().expect_code(1);
    let live = command(
        &topics,
        &dir,
        &["explain", "--rule", "frost", "--station", "USC00027716", "--date", "2016-01-15"],
    );
    let explained = live.run().expect_code(0);
    assert!(explained.out.contains(id), "{explained}");
}
