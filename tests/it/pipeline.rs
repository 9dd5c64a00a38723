//! The whole path on a real broker and real data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use frostline::config::topic;
use frostline_engine::kafka::{Admin, ClientSettings};
use serde_json::Value;
use tempfile::TempDir;

use crate::goldens::{INVENTORY_2020, INVENTORY_2024};
use crate::support::{Frostline, Needs, Running, Test, Topics, read_data, same, test, wait_for};

const REAL: &[Needs] = &[Needs::Broker, Needs::Data];

pub fn tests() -> Vec<Test> {
    vec![
        test("one_process_gives_the_reference_alerts", REAL, one_process),
        test("two_processes_give_the_reference_alerts", REAL, two_processes),
        test("sigterm_in_the_middle_changes_nothing", REAL, sigterm_in_the_middle),
        test("the_talks_documents_give_the_talks_results", REAL, talk_documents),
        test("rally_documents_through_the_broker", REAL, rally_documents),
        test("all_stations_load_within_memory", REAL, stations_memory),
    ]
}

/// Stations of the rules: HCN stations with and without frost in February 2016, in several states.
const WATCHED: &[(&str, f64)] = &[
    ("USC00020080", 10.0),
    ("USC00027716", -5.0),
    ("USC00029359", 0.0),
    ("USC00011084", 10.0),
    ("USW00014922", -12.5),
    ("USC00042319", 5.0),
    ("USC00305512", -10.0),
    ("USC00021248", -2.2),
];

/// A folder with rules and configuration. The filter keeps all of the US, so that most rules see records.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let rules: String = WATCHED
        .iter()
        .enumerate()
        .map(|(number, (station, limit))| {
            format!(
                "[[rule]]\nid = \"cold-{number}\"\nstation = \"{station}\"\nwhen = \"TMIN <= {limit:?}\"\n"
            )
        })
        .collect();
    std::fs::write(dir.path().join("rules.toml"), rules).unwrap();
    std::fs::write(dir.path().join("frostline.toml"), "[filter]\nwhere = \"station.country_code == 'US'\"\n")
        .unwrap();
    dir
}

/// The alert ids that a file must give, computed from its lines alone, in another way than the engine.
fn reference(file: &str) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for line in read_data(file).lines() {
        let fields: Vec<&str> = line.split(',').collect();
        let [id, date, "TMIN", value, _, "", ..] = fields[..] else { continue };
        for (number, (station, limit)) in WATCHED.iter().enumerate() {
            if id == *station && value.parse::<f64>().unwrap() / 10.0 <= *limit {
                let (year, month, day) = (&date[..4], &date[4..6], &date[6..]);
                ids.insert(format!("cold-{number}/{id}/{year}-{month}-{day}/fired"));
            }
        }
    }
    assert!(ids.len() > 50, "only {} alerts: a weak test", ids.len());
    ids
}

/// Asserts that the topic has exactly these alerts, none twice, also by their headers.
fn assert_alerts(topics: &Topics, expected: &BTreeSet<String>) {
    let mut found = BTreeSet::new();
    for record in topics.records("noaa-json-alerts") {
        let id = record["value"]["alert_id"].as_str().unwrap().to_owned();
        assert_eq!(record["headers"]["alert-id"], id.as_str());
        assert_eq!(record["key"], record["value"]["station"]["id"]);
        assert!(found.insert(id.clone()), "{id} twice");
    }
    let missing: Vec<_> = expected.difference(&found).collect();
    let without_cause: Vec<_> = found.difference(expected).collect();
    assert!(
        missing.is_empty() && without_cause.is_empty(),
        "missing {missing:?}, without cause {without_cause:?}"
    );
}

const FILE: &str = "2016-02-hcn.csv.gz";

fn run(topics: &Topics, dir: &Path, state: &str) -> Frostline {
    topics.frostline().args(["run", "--until-caught-up", "--json", "--state-dir", state]).in_dir(dir)
}

fn one_process() {
    let topics = Topics::create();
    let dir = folder();
    topics.import_stations_of(FILE, INVENTORY_2024);
    topics.replay(FILE, "noaa-csv-raw");
    let expected = reference(FILE);
    let summary = run(&topics, dir.path(), "state").run().expect_code(0).summary();
    assert_alerts(&topics, &expected);
    assert_eq!(summary["records_in"], 151_809);
    assert_eq!(summary["alerts"], expected.len());
    assert_eq!(summary["dead_letters"], 0);
    assert_eq!(summary["failed_quality"], 396);
    assert_eq!(summary["kept"], summary["observations"]);
    let observations = summary["observations"].as_u64().unwrap();

    // The same file once more: everything is known.
    topics.replay(FILE, "noaa-csv-raw");
    let summary = run(&topics, dir.path(), "state").run().expect_code(0).summary();
    assert_eq!(summary["alerts"], 0);
    assert_eq!(summary["observations"], 0);
    assert_eq!(summary["duplicates"], observations);
    assert_alerts(&topics, &expected);

    // And once more without the state directory: it is rebuilt from the changelogs.
    std::fs::remove_dir_all(dir.path().join("state")).unwrap();
    topics.replay(FILE, "noaa-csv-raw");
    let summary = run(&topics, dir.path(), "state").run().expect_code(0).summary();
    assert_eq!((summary["alerts"].as_u64(), summary["duplicates"].as_u64()), (Some(0), Some(observations)));
    assert_alerts(&topics, &expected);
}

fn two_processes() {
    let topics = Topics::create();
    let dir = folder();
    topics.import_stations_of(FILE, INVENTORY_2024);
    topics.replay(FILE, "noaa-csv-raw");
    let first = run(&topics, dir.path(), "state-1").start();
    let second = run(&topics, dir.path(), "state-2").start();
    let (first, second) = (first.wait().expect_code(0).summary(), second.wait().expect_code(0).summary());
    assert_alerts(&topics, &reference(FILE));
    let both = |name: &str| first[name].as_u64().unwrap() + second[name].as_u64().unwrap();
    assert_eq!(both("records_in"), 151_809);
    assert_eq!(both("dead_letters"), 0);
    let ids = |values: Vec<Value>| -> BTreeSet<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        values.iter().map(|value| (text(&value["station"]["id"]), text(&value["date"]))).collect()
    };
    let observations = topics.values("noaa-json");
    let count = observations.len();
    assert_eq!(ids(observations).len(), count, "no observation twice");
}

/// Starts the daemon and waits until it has written something, besides what an earlier one wrote.
fn daemon_at_work(topics: &Topics, dir: &Path) -> Running {
    // Not the records themselves: while all of them are read, the rest of the input would be over.
    let admin = Admin::new(&ClientSettings::new(&topics.config().kafka).unwrap()).unwrap();
    let name = topics.config().topic(topic::JSON).name;
    let written = || admin.ends(&name).unwrap().values().sum::<i64>();
    let before = written();
    let daemon = topics.frostline().args(["run", "--state-dir", "state"]).in_dir(dir).start();
    wait_for("the daemon to write something", Duration::from_secs(60), || (written() > before).then_some(()));
    daemon
}

fn sigterm_in_the_middle() {
    let topics = Topics::create();
    let dir = folder();
    topics.import_stations_of(FILE, INVENTORY_2024);
    // Slow enough that the daemon is stopped in the middle, twice, also where it takes long to start.
    let replay = topics
        .frostline()
        .arg("replay")
        .path(&crate::support::data(FILE))
        .args(["--topic", "noaa-csv-raw", "--rate", "5000/s"])
        // It is the daemon that is under test: a broker that stands still must not end the replay.
        .args(["--set", "runtime.transaction_timeout_ms=60000"])
        .start();
    for _ in 0..2 {
        let mut daemon = daemon_at_work(&topics, dir.path());
        std::thread::sleep(Duration::from_millis(1_500));
        assert!(daemon.is_running());
        daemon.signal("TERM");
        daemon.wait().expect_code(0);
    }
    replay.wait().expect_code(0);
    run(&topics, dir.path(), "state").run().expect_code(0);
    assert_alerts(&topics, &reference(FILE));
    let observations = topics.values("noaa-json");
    let revised = observations.iter().filter(|value| value.get("revision").is_some()).count();
    // A pause in the flow settles what is open; its later lines then revise it. Rare, and nothing is lost.
    assert!(revised < 50, "{revised} of {} observations were revised", observations.len());
}

fn talk_documents() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    let text = read_data("talk-readme-docs.jsonl");
    let documents: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    std::fs::write(dir.path().join("rules.toml"), "[[rule]]\nid = \"scottsdale-frost\"\nstation = \"USW00003192\"\nwhen = \"TMIN <= 10.0\"\nemail = \"alerts@example.com\"\n").unwrap();
    // The first four go through the filter: two of Arizona are kept. The two alerts' observations go in
    // where the alert stage reads.
    let write = |name: &str, part: &[Value]| {
        let lines: String = part.iter().map(|document| format!("{document}\n")).collect();
        std::fs::write(dir.path().join(name), lines).unwrap();
    };
    write("json.jsonl", &documents[..4]);
    let observed: Vec<Value> = documents[4..]
        .iter()
        .cloned()
        .map(|mut document| {
            document.as_object_mut().unwrap().remove("email");
            document
        })
        .collect();
    write("us-az.jsonl", &observed);
    for (file, topic) in [("json.jsonl", "noaa-json"), ("us-az.jsonl", "noaa-json-us-az")] {
        topics.frostline().args(["replay", file, "--topic", topic]).in_dir(dir.path()).run().expect_code(0);
    }
    let stages = ["run", "--stages", "filter,alert", "--until-caught-up", "--json"];
    let summary = topics.frostline().args(stages).in_dir(dir.path()).run().expect_code(0).summary();
    assert_eq!((summary["kept"].as_u64(), summary["alerts"].as_u64()), (Some(2), Some(2)), "{summary}");

    // Apart from `_id` and `_meta`, what comes out is what went in; alerts have more.
    let by_station_day = |values: Vec<Value>| -> BTreeMap<(String, String), Value> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        values
            .into_iter()
            .map(|value| ((text(&value["station"]["id"]), text(&value["date"])), value))
            .collect()
    };
    let kept = by_station_day(topics.values("noaa-json-us-az"));
    let alerts = by_station_day(topics.values("noaa-json-alerts"));
    let key = |document: &Value| {
        (
            document["station"]["id"].as_str().unwrap().to_owned(),
            document["date"].as_str().unwrap().to_owned(),
        )
    };
    let bare = |document: &Value| {
        let mut document = document.clone();
        for own in ["_id", "_meta", "alert_id", "rule_id", "transition", "value", "when", "message"] {
            document.as_object_mut().unwrap().remove(own);
        }
        document
    };
    for document in &documents[2..4] {
        let found = &kept[&key(document)];
        assert!(same(&bare(found), &bare(document)), "{found}\n{document}");
        assert!(found["_id"].is_string());
        assert_eq!(found["_meta"]["topic"], format!("{}noaa-json", topics.namespace));
    }
    assert_eq!(alerts.len(), 2);
    for document in &documents[4..] {
        let found = &alerts[&key(document)];
        assert!(same(&bare(found), &bare(document)), "{found}\n{document}");
        assert_eq!(found["email"], "alerts@example.com");
        assert_eq!(found["_meta"]["topic"], format!("{}noaa-json-us-az", topics.namespace));
    }
}

fn rally_documents() {
    let topics = Topics::create();
    let dir = folder();
    topics.import_stations_of("2016-hcn-AZ.csv.gz", INVENTORY_2020);
    topics.replay("2016-hcn-AZ.csv.gz", "noaa-csv-raw");
    let settings = ["--set", "assemble.compat=rally", "--set", "assemble.keep_failed_quality=true"];
    let command = topics.frostline().args(["run", "--stages", "assemble", "--until-caught-up", "--json"]);
    let summary = command.args(settings).in_dir(dir.path()).run().expect_code(0).summary();
    assert_eq!(summary["observations"], 4_432);
    let golden = read_data("golden-2016-hcn-AZ-process.py.jsonl.gz");
    let key = |value: &Value| format!("{} {}", value["station"]["id"], value["date"]);
    let mut found: BTreeMap<String, Value> =
        topics.values("noaa-json").into_iter().map(|value| (key(&value), value)).collect();
    for line in golden.lines() {
        let expected: Value = serde_json::from_str(line).unwrap();
        let ours = found.remove(&key(&expected)).unwrap_or_else(|| panic!("missing: {line}"));
        assert!(same(&ours, &expected), "{ours}\n{expected}");
    }
    assert_eq!(found.len(), 1, "the station-day that the old script forgets");
}

fn stations_memory() {
    let topics = Topics::create();
    let dir = folder();
    topics.import_stations(INVENTORY_2024);
    // The second start reads them from the state directory.
    for _ in 0..2 {
        let mut daemon = topics
            .frostline()
            .args(["run", "--state-dir", "state", "--log", "info"])
            .in_dir(dir.path())
            .start();
        daemon.until_said("partitions assigned");
        let resident_mb = daemon.resident_mb();
        daemon.signal("TERM");
        let outcome = daemon.wait().expect_code(0);
        assert!(outcome.err.contains("stations=128024"), "{outcome}");
        println!("128,024 stations loaded: {resident_mb:.0} MB resident");
        // docs/benchmarks.md states about 105; this only catches a leak.
        assert!(resident_mb < 200.0, "{resident_mb} MB");
    }
}
