//! State directories that belong to another time: from before the topics were made again, away for too long, copied,
//! or of topics that have got more partitions.

use std::fs;
use std::path::Path;
use std::time::Duration;

use frostline::config::topic;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

use crate::support::{Frostline, Needs, Running, Test, Topics, broker, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("state_from_before_the_topics_were_made_again_is_not_believed", &[Needs::Broker], earlier_life),
        test("state_that_was_away_for_too_long_is_restored_whole", &[Needs::Broker], long_absence),
        test("two_directories_of_one_name_part", &[Needs::Broker], shared_name),
        test("partitions_that_are_added_end_the_stage_with_advice", &[Needs::Broker], grown_partitions),
        test("a_clock_that_the_broker_refuses_is_named", &[Needs::Broker], refused_clock),
    ]
}

const STATION: &[u8] = b"USC00020080";

/// Frosty days into the topic that the alert stage reads; the rule is written by [`rules`].
fn send_days(topics: &Topics, days: std::ops::Range<u32>) {
    let station = r#"{"id":"USC00020080","country_code":"US","state_code":"AZ"}"#;
    let day = |day: u32| {
        let date = format!("2016-{:02}-{:02}", day / 28 + 1, day % 28 + 1);
        format!("{{\"station\":{station},\"date\":\"{date}\",\"TMIN\":1.5}}").into_bytes()
    };
    let days: Vec<Vec<u8>> = days.map(day).collect();
    let records: Vec<_> = days.iter().map(|day| (Some(STATION), Some(day.as_slice()))).collect();
    topics.send(topic::JSON_US_AZ, &records);
}

/// Something that no rule is about into each partition, so that both of two processes commit.
fn send_other_stations(topics: &Topics) {
    let stations: Vec<String> = (10..40).map(|number| format!("USC000200{number}")).collect();
    let observation = |id: &String| {
        format!("{{\"station\":{{\"id\":\"{id}\"}},\"date\":\"2016-01-01\",\"TMIN\":1.5}}").into_bytes()
    };
    let values: Vec<Vec<u8>> = stations.iter().map(observation).collect();
    let records: Vec<_> = stations
        .iter()
        .zip(&values)
        .map(|(id, value)| (Some(id.as_bytes()), Some(value.as_slice())))
        .collect();
    topics.send(topic::JSON_US_AZ, &records);
}

fn rules(dir: &Path) {
    let rules = "[[rule]]\nid = \"r\"\nstation = \"USC00020080\"\nwhen = \"TMIN <= 10.0\"\n";
    fs::write(dir.join("rules.toml"), rules).unwrap();
}

fn alert_stage(topics: &Topics, dir: &Path, state: &str) -> Frostline {
    topics.frostline().args(["run", "--stages", "alert", "--json", "--state-dir", state]).in_dir(dir)
}

/// Alerts, and observations that were known already.
fn run(topics: &Topics, dir: &Path, state: &str) -> (u64, u64, String) {
    let outcome = alert_stage(topics, dir, state).args(["--until-caught-up"]).run().expect_code(0);
    let count = |name: &str| outcome.summary()[name].as_u64().unwrap();
    (count("alerts"), count("duplicates"), outcome.err.clone())
}

fn admin() -> AdminClient<DefaultClientContext> {
    rdkafka::ClientConfig::new().set("bootstrap.servers", broker()).create().unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Replaces the settings of a compacted topic.
fn configure(topics: &Topics, topic: &str, setting: (&str, &str)) {
    let name = format!("{}{topic}", topics.namespace);
    let config = AlterConfig::new(ResourceSpecifier::Topic(&name)).set("cleanup.policy", "compact");
    let config = config.set(setting.0, setting.1);
    wait(admin().alter_configs([&config], &AdminOptions::new())).unwrap().pop().unwrap().unwrap();
}

/// A processes; the topics are made again, and B writes more to them than A had read; A returns. Everything that A
/// remembers is of another life.
fn earlier_life() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    rules(dir.path());
    send_days(&topics, 0..20);
    assert_eq!(run(&topics, dir.path(), "a").0, 20);
    topics.frostline().args(["topics", "delete", "--yes"]).run().expect_code(0);
    topics.frostline().args(["topics", "create"]).run().expect_code(0);
    send_days(&topics, 20..60);
    assert_eq!(run(&topics, dir.path(), "b").0, 40);
    send_days(&topics, 0..20);
    let (alerts, duplicates, log) = run(&topics, dir.path(), "a");
    assert_eq!((alerts, duplicates), (20, 0), "{log}");
    assert!(log.contains("state of an earlier topic of this name"), "{log}");
}

/// A is away while B writes, for longer than the changelog keeps tombstones: what A has may be gone by now.
fn long_absence() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    rules(dir.path());
    send_days(&topics, 0..20);
    assert_eq!(run(&topics, dir.path(), "a").0, 20);
    configure(&topics, "frostline-alert-changelog", ("delete.retention.ms", "10"));
    let advice = "local state is older than the changelog keeps tombstones";
    let (_, _, log) = run(&topics, dir.path(), "a");
    assert!(!log.contains(advice), "nobody has written meanwhile\n{log}");
    send_days(&topics, 20..25);
    assert_eq!(run(&topics, dir.path(), "b").0, 5);
    send_days(&topics, 0..20);
    let (alerts, duplicates, log) = run(&topics, dir.path(), "a");
    assert!(log.contains(advice), "{log}");
    assert_eq!((alerts, duplicates), (0, 20), "restored whole\n{log}");
}

/// Two processes with one name fence each other, until one of them takes another.
fn shared_name() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    rules(dir.path());
    let name = |state: &str| fs::read_to_string(dir.path().join(state).join("instance")).unwrap();
    for state in ["a", "b"] {
        fs::create_dir(dir.path().join(state)).unwrap();
        fs::write(dir.path().join(state).join("instance"), "f0ecb778").unwrap();
    }
    let daemons: Vec<Running> =
        ["a", "b"].map(|state| alert_stage(&topics, dir.path(), state).start()).into();
    for round in 0..60 {
        assert!(round < 59, "both are still called {}", name("a"));
        send_days(&topics, round..round + 1);
        send_other_stations(&topics);
        std::thread::sleep(Duration::from_millis(500));
        if name("a") != name("b") {
            break;
        }
    }
    send_days(&topics, 60..100);
    for daemon in &daemons {
        daemon.signal("TERM");
    }
    let mut logs = String::new();
    for daemon in daemons {
        logs += &daemon.wait().expect_code(0).err;
    }
    assert!(logs.contains("taking a new name"), "{logs}");
    run(&topics, dir.path(), "a");
    let mut ids: Vec<String> =
        topics.values("noaa-json-alerts").iter().map(|alert| alert["alert_id"].to_string()).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() == count && count >= 41, "{count} alerts, {} different", ids.len());
}

/// Keys move to other partitions and their state does not: the stage ends within moments, and says what to do.
fn grown_partitions() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    rules(dir.path());
    let daemon = alert_stage(&topics, dir.path(), "a").patience(Duration::from_secs(60)).start();
    send_days(&topics, 0..1);
    while topics.values("noaa-json-alerts").is_empty() {
        std::thread::sleep(Duration::from_millis(200));
    }
    let name = format!("{}noaa-json-us-az", topics.namespace);
    let more = NewPartitions::new(&name, 8);
    wait(admin().create_partitions([&more], &AdminOptions::new())).unwrap().pop().unwrap().unwrap();
    let outcome = daemon.wait().expect_code(1);
    assert!(outcome.err.contains("has 8 partitions, its changelog"), "{outcome}");
    assert!(outcome.err.contains("frostline topics create"), "{outcome}");
}

/// The changelog refuses records that are older than now: as far as the daemon can see, its clock is wrong.
fn refused_clock() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    rules(dir.path());
    configure(&topics, "frostline-alert-changelog", ("message.timestamp.before.max.ms", "0"));
    send_days(&topics, 0..3);
    let outcome = alert_stage(&topics, dir.path(), "a").args(["--until-caught-up"]).run().expect_code(1);
    assert!(outcome.err.contains("the clock of this machine says"), "{outcome}");
    assert!(topics.values("noaa-json-alerts").is_empty());
}
