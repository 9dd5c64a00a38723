//! What an older version wrote is read by this one: its changelogs, topics and groups go on as if nothing had happened.
//!
//! The fixture was recorded with the version before the engine became a crate of its own (commit c4f1aa0): 40 synthetic
//! stations over 12 days, with rules that have episodes and rules that have not. To record it again, with that program in
//! `FROSTLINE_OLDER`, see [`record`].

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use frostline::config::topic;
use frostline_engine::kafka::{Admin, ClientSettings, OffsetCommit, Outgoing, Producer, Reader, StartAt};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::support::{Needs, Test, Topics, broker, test};

const RULES: &str = "[[rule]]\nid = \"cold\"\nwhere = \"station.id != ''\"\nwhen = \"TMIN <= 2.0\"\n\
                     [[rule]]\nid = \"warm\"\nwhere = \"station.id != ''\"\nwhen = \"TMAX >= 15.0\"\nclear = \"TMAX < 14.0\"\n\
                     for_days = 2\n";
/// With everything in the way of alerts that an older version kept.
const SETTINGS: &str = "[alert]\nsource = \"noaa-json\"\nrules = \"rules.toml\"\n";
/// Topics that state and positions depend on. The older version knew no others.
const RECORDED: [&str; 6] = [
    topic::CSV_RAW,
    topic::JSON,
    topic::ALERTS,
    topic::STATIONS,
    topic::ASSEMBLE_CHANGELOG,
    topic::ALERT_CHANGELOG,
];
const GROUPS: [(&str, &str); 2] = [("frostline-assemble", topic::CSV_RAW), ("frostline-alert", topic::JSON)];
const PARTITIONS: i32 = 5;

pub fn tests() -> Vec<Test> {
    if std::env::var_os("FROSTLINE_OLDER").is_some() {
        return vec![test("record_what_an_older_version_writes", &[Needs::Broker], record)];
    }
    vec![test("what_an_older_version_wrote_goes_on", &[Needs::Broker], goes_on)]
}

/// A record of the fixture.
#[derive(Serialize, Deserialize)]
struct Recorded {
    topic: String,
    partition: i32,
    key: Option<String>,
    value: Option<String>,
    timestamp_ms: i64,
    headers: Vec<(String, Option<String>)>,
}

fn fixture() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/older.jsonl.gz"].iter().collect()
}

fn prepare(topics: &Topics, dir: &std::path::Path) {
    std::fs::write(dir.join("rules.toml"), RULES).unwrap();
    std::fs::write(dir.join("frostline.toml"), SETTINGS).unwrap();
    let made = ["generate", "--stations", "40", "--days", "12", "--seed", "11", "--out", "lines.csv"];
    let files = ["--stations-file", "s.txt", "--countries-file", "c.txt", "--states-file", "st.txt"];
    topics.frostline().args(made).args(files).in_dir(dir).run().expect_code(0);
}

/// Runs the older program on a namespace of its own, and keeps what it has written.
fn record() {
    let older = std::env::var("FROSTLINE_OLDER").unwrap();
    let topics = Topics::unmade();
    let dir = tempfile::tempdir().unwrap();
    prepare(&topics, dir.path());
    let run = |words: &[&str]| {
        let namespace = format!("kafka.namespace={}", topics.namespace);
        let status = std::process::Command::new(&older)
            .args(["--brokers", broker(), "--set", &namespace])
            .args(words)
            .env("FROSTLINE_ADMIN_LISTEN", "")
            .current_dir(dir.path())
            .status();
        assert!(status.unwrap().success(), "{words:?}");
    };
    run(&["topics", "create"]);
    run(&["stations", "import", "s.txt", "--countries", "c.txt", "--states", "st.txt"]);
    run(&["replay", "lines.csv", "--topic", "noaa-csv-raw"]);
    run(&["run", "--until-caught-up", "--stages", "assemble,alert"]);
    let file = std::fs::File::create(fixture()).unwrap();
    let mut out = flate2::write::GzEncoder::new(file, flate2::Compression::best());
    let clients = ClientSettings::new(&topics.config().kafka).unwrap();
    for logical in RECORDED {
        let name = topics.config().topic(logical).name;
        Reader::read_to_end(&clients, &name, PARTITIONS, StartAt::Beginning, &mut |record| {
            let text = |bytes: Option<&[u8]>| bytes.map(|bytes| BASE64.encode(bytes));
            let mut headers = Vec::new();
            record.headers.visit(&mut |name, value| headers.push((name.to_owned(), text(value))));
            let recorded = Recorded {
                topic: logical.into(),
                partition: record.partition,
                key: text(record.key),
                value: text(record.value),
                timestamp_ms: record.timestamp_ms,
                headers,
            };
            writeln!(out, "{}", serde_json::to_string(&recorded).unwrap()).unwrap();
        })
        .unwrap();
    }
    out.finish().unwrap();
    state_directory_goes_on(&topics, dir.path());
}

/// This version goes on with the older one's state directory, on the topics themselves.
fn state_directory_goes_on(topics: &Topics, dir: &std::path::Path) {
    topics.frostline().args(["topics", "create"]).in_dir(dir).run().expect_code(0);
    topics
        .frostline()
        .args(["replay", "lines.csv", "--topic", "noaa-csv-raw"])
        .in_dir(dir)
        .run()
        .expect_code(0);
    let stages = ["run", "--until-caught-up", "--json", "--stages", "assemble,alert", "--log", "info"];
    let again = topics.frostline().args(stages).in_dir(dir).run().expect_code(0);
    println!("{again}");
    let summary = again.summary();
    assert_eq!((summary["observations"].as_u64(), summary["alerts"].as_u64()), (Some(0), Some(0)), "{again}");
    assert!(summary["duplicates"].as_u64() > Some(300), "{again}");
}

fn recorded() -> Vec<Recorded> {
    let mut text = String::new();
    let file = std::fs::File::open(fixture()).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Puts the fixture into topics, and the groups where the older version left them.
fn put_back(topics: &Topics, records: &[Recorded]) {
    let clients = ClientSettings::new(&topics.config().kafka).unwrap();
    let producer = Producer::new(&clients, None).unwrap();
    let bytes = |text: &Option<String>| text.as_ref().map(|text| BASE64.decode(text).unwrap());
    let mut ends = BTreeMap::<(&str, i32), i64>::new();
    for record in records {
        let (key, value) = (bytes(&record.key), bytes(&record.value));
        let headers: Vec<_> =
            record.headers.iter().map(|(name, value)| (name.clone().into(), bytes(value))).collect();
        let name = topics.config().topic(&record.topic).name;
        producer
            .send(&Outgoing {
                topic: &name,
                partition: Some(record.partition),
                key: key.as_deref(),
                value: value.as_deref(),
                timestamp_ms: record.timestamp_ms,
                headers: &headers,
                changelog: None,
            })
            .unwrap();
        *ends.entry((&record.topic, record.partition)).or_default() += 1;
    }
    producer.wait_acknowledged().unwrap();
    let admin = Admin::new(&clients).unwrap();
    for (group, logical) in GROUPS {
        let positions: Vec<OffsetCommit> = (0..PARTITIONS)
            .map(|partition| {
                OffsetCommit::new(partition, ends.get(&(logical, partition)).copied().unwrap_or_default())
            })
            .collect();
        let group = admin.group(&format!("{}{group}", topics.namespace)).unwrap();
        group.commit(&topics.config().topic(logical).name, &positions).unwrap();
    }
}

fn goes_on() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    prepare(&topics, dir.path());
    let records = recorded();
    put_back(&topics, &records);
    let count = |logical: &str| records.iter().filter(|record| record.topic == logical).count();
    let (observations, alerts) = (count(topic::JSON), count(topic::ALERTS));
    assert!(observations > 300 && alerts > 50, "{observations} {alerts}");
    let run = || {
        let stages = ["run", "--until-caught-up", "--json", "--stages", "assemble,alert"];
        topics.frostline().args(stages).in_dir(dir.path()).run().expect_code(0).summary()
    };
    let of = |summary: &Value, name: &str| summary[name].as_u64().unwrap();
    assert_eq!(of(&run(), "records_in"), 0, "the groups are where they were");
    // The same lines once more: everything is known.
    let replay = |file: &str| {
        let replay = topics.frostline().args(["replay", file, "--topic", "noaa-csv-raw"]);
        replay.in_dir(dir.path()).run().expect_code(0);
    };
    replay("lines.csv");
    let again = run();
    assert_eq!((of(&again, "observations"), of(&again, "alerts")), (0, 0), "{again}");
    assert_eq!(of(&again, "duplicates"), observations as u64);
    // A correction of a day that fired: a new revision of what the older version wrote, and its alert is taken back.
    let fired = records.iter().filter(|record| record.topic == topic::ALERTS).find_map(|record| {
        let value = BASE64.decode(record.value.as_ref().unwrap()).unwrap();
        let alert: Value = serde_json::from_slice(&value).unwrap();
        (alert["rule_id"] == "cold" && alert["transition"] == "fired").then_some(alert)
    });
    let fired = fired.unwrap();
    let (station, date) = (fired["station"]["id"].as_str().unwrap(), fired["date"].as_str().unwrap());
    let day = date[..10].replace('-', "");
    std::fs::write(dir.path().join("correction.csv"), format!("{station},{day},TMIN,250,,,7,\n")).unwrap();
    replay("correction.csv");
    let corrected = run();
    assert_eq!((of(&corrected, "observations"), of(&corrected, "alerts")), (1, 1), "{corrected}");
    let newest = topics.values("noaa-json-alerts").pop().unwrap();
    assert!(
        topics.values("noaa-json-alerts").iter().any(|alert| alert["retracts"] == fired["alert_id"]),
        "{newest}"
    );
    let revised =
        topics.values("noaa-json").into_iter().find(|value| value.get("revision").is_some()).unwrap();
    assert_eq!((&revised["station"]["id"], &revised["revision"]), (&station.into(), &2.into()));
}
