//! Records that are larger than their topics take, on a real broker.

use std::time::Duration;

use frostline::config::topic;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use serde_json::Value;

use crate::support::{KeyValue, Needs, Test, Topics, broker, free_port, http_get, test, wait_for};

pub fn tests() -> Vec<Test> {
    vec![
        test("an_output_that_is_too_large_is_a_dead_letter_that_can_be_retried", &[Needs::Broker], retried),
        test("a_limit_that_is_lowered_while_it_runs_stops_nothing", &[Needs::Broker], lowered),
    ]
}

const STATION: &[u8] = b"USC00020080";
const RULES: &str = "[[rule]]\nid = \"r\"\nstation = \"USC00020080\"\nwhen = \"TMIN <= 10.0\"\n";

fn set(topics: &Topics, logical: &str, settings: &[(&str, &str)]) {
    let mut client = rdkafka::ClientConfig::new();
    let admin: AdminClient<_> = client.set("bootstrap.servers", broker()).create().unwrap();
    let name = topics.config().topic(logical).name;
    let mut change = AlterConfig::new(ResourceSpecifier::Topic(&name));
    for (key, value) in settings {
        change = change.set(key, value);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let results = runtime.block_on(admin.alter_configs([&change], &AdminOptions::new())).unwrap();
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

fn observe(topics: &Topics, days: std::ops::Range<u32>) {
    let day = |day: u32| {
        format!(
            "{{\"station\":{{\"id\":\"USC00020080\",\"country_code\":\"US\",\"state_code\":\"AZ\"}},\
             \"date\":\"2016-01-{day:02}\",\"TMIN\":1.5}}"
        )
    };
    let values: Vec<String> = days.map(day).collect();
    let records: Vec<KeyValue<'_>> =
        values.iter().map(|value| (Some(STATION), Some(value.as_bytes()))).collect();
    topics.send(topic::JSON, &records);
}

fn ids(records: &[Value]) -> Vec<String> {
    let mut ids: Vec<String> =
        records.iter().map(|record| record["headers"]["alert-id"].as_str().unwrap().to_owned()).collect();
    ids.sort_unstable();
    ids
}

/// The limit is known when the stage starts: nothing is refused by the broker.
fn retried() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rules.toml"), RULES).unwrap();
    set(&topics, topic::ALERTS, &[("max.message.bytes", "300")]);
    observe(&topics, 1..21);
    let command = topics.frostline().args(["run", "--stages", "filter,alert", "--until-caught-up", "--json"]);
    let outcome = command.in_dir(dir.path()).run().expect_code(0);
    let summary = outcome.summary();
    assert_eq!((&summary["kept"], &summary["dead_letters"]), (&20.into(), &20.into()), "{outcome}");
    assert!(!outcome.err.contains("worker failed"), "{outcome}");
    assert!(topics.records("noaa-json-alerts").is_empty());
    let letters = topics.records("noaa-dead-letters");
    let headers = &letters[0]["headers"];
    let reason = headers["frostline-reason"].as_str().unwrap();
    let name = format!("{}noaa-json-alerts", topics.namespace);
    assert!(
        reason.contains("accepts at most 300")
            && reason.contains(&format!("max.message.bytes of topic {name}")),
        "{reason}"
    );
    assert_eq!((&headers["frostline-topic"], headers.get("frostline-partition")), (&name.into(), None));

    // A limit under which each alert fits and several do not: the batches are small enough.
    set(&topics, topic::ALERTS, &[("max.message.bytes", "900")]);
    let retried = topics.frostline().args(["dead-letters", "retry", "--all", "--json"]).run();
    assert_eq!(retried.expect_code(0).summary()["retried"], 20);
    let alerts = topics.records("noaa-json-alerts");
    assert_eq!(ids(&alerts), ids(&letters), "all of them, once");
    observe(&topics, 21..31);
    let command = topics.frostline().args(["run", "--stages", "filter,alert", "--until-caught-up", "--json"]);
    let outcome = command.in_dir(dir.path()).run().expect_code(0);
    assert_eq!((&outcome.summary()["alerts"], &outcome.summary()["dead_letters"]), (&10.into(), &0.into()));
    assert!(!outcome.err.contains("worker failed"), "{outcome}");
    assert_eq!(topics.records("noaa-json-alerts").len(), 30);
}

/// The daemon learns of a lower limit when the broker refuses a record. What cannot be a dead letter waits.
fn lowered() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rules.toml"), RULES).unwrap();
    let port = free_port();
    let daemon = topics.frostline().args(["run", "--stages", "filter,alert"]).in_dir(dir.path());
    let mut daemon = daemon.env("FROSTLINE_ADMIN_LISTEN", &format!("127.0.0.1:{port}")).start();
    let readiness = |wanted: u16, text: &str| {
        let found = || {
            http_get(port, "/health/ready", &[])
                .filter(|(status, body)| *status == wanted && body.contains(text))
        };
        wait_for(&format!("readiness {wanted} with {text:?}"), Duration::from_secs(30), found)
    };
    let count = |topic: &str, wanted: usize| {
        let found = || Some(topics.records(topic)).filter(|records| records.len() == wanted);
        wait_for(&format!("{wanted} records in {topic}"), Duration::from_secs(30), found)
    };
    readiness(200, "\"partitions\":10");
    observe(&topics, 1..4);
    let first = count("noaa-json-alerts", 3);
    set(&topics, topic::ALERTS, &[("max.message.bytes", "300")]);
    observe(&topics, 4..8);
    let letters = count("noaa-dead-letters", 4);
    assert!(ids(&letters).iter().all(|id| !ids(&first).contains(id)));
    assert_eq!(topics.records("noaa-json-alerts").len(), 3);

    let compact = ("cleanup.policy", "compact");
    set(&topics, topic::ALERT_CHANGELOG, &[compact, ("max.message.bytes", "90")]);
    observe(&topics, 8..10);
    let changelog = topics.config().topic(topic::ALERT_CHANGELOG).name;
    readiness(503, &format!("raise max.message.bytes of {changelog}"));
    assert_eq!(count("noaa-json-us-az", 9).len(), 9, "the filter goes on");
    assert!(daemon.is_running());
    set(&topics, topic::ALERT_CHANGELOG, &[compact]);
    count("noaa-dead-letters", 6);
    readiness(200, "\"partitions\":10");
    daemon.signal("TERM");
    daemon.wait().expect_code(0);
}
