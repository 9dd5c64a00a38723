//! State on a real disk and in real changelogs: damaged, forgotten, unreadable, no room for it.

use std::fs;
use std::path::Path;
use std::process::Command;

use frostline::config::topic;

use crate::support::{Needs, Test, Topics, broker, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("damaged_state_is_moved_aside_and_restored", &[Needs::Broker], damaged_state),
        test("an_unreadable_changelog_record_is_named", &[Needs::Broker], unreadable_changelog),
        test("old_state_is_forgotten_with_tombstones", &[Needs::Broker], old_state),
        test("a_full_disk_ends_the_daemon_and_loses_nothing", &[Needs::Broker], full_disk),
    ]
}

const STATION: &[u8] = b"USC00020080";
const DAY_MS: i64 = 86_400_000;
/// 2026-01-01.
const NEW_YEAR_MS: i64 = 1_767_225_600_000;

fn frosty(day: u32) -> Vec<u8> {
    let date = format!("2016-{:02}-{:02}", day / 28 + 1, day % 28 + 1);
    let station = r#"{"id":"USC00020080","country_code":"US","state_code":"AZ"}"#;
    format!("{{\"station\":{station},\"date\":\"{date}\",\"TMIN\":1.5}}").into_bytes()
}

/// Rules in `dir`, and some frosty days in the topic that the alert stage reads.
fn prepare(topics: &Topics, dir: &Path, days: std::ops::Range<u32>, timestamp_ms: i64) {
    let rules = "[[rule]]\nid = \"r\"\nstation = \"USC00020080\"\nwhen = \"TMIN <= 10.0\"\n";
    fs::write(dir.join("rules.toml"), rules).unwrap();
    let days: Vec<Vec<u8>> = days.map(frosty).collect();
    let records: Vec<_> = days.iter().map(|day| (Some(STATION), Some(day.as_slice()))).collect();
    topics.send_at(timestamp_ms, topic::JSON_US_AZ, &records);
}

fn alert_stage(topics: &Topics, dir: &Path) -> crate::support::Frostline {
    topics.frostline().args(["run", "--stages", "alert", "--until-caught-up", "--json"]).in_dir(dir)
}

/// sled cannot open what has another's words in it: the changelog brings the memory of alerts back.
fn damaged_state() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    prepare(&topics, dir.path(), 0..20, NEW_YEAR_MS);
    assert_eq!(alert_stage(&topics, dir.path()).run().expect_code(0).summary()["alerts"], 20);
    fs::write(dir.path().join("state/store/conf"), "nothing that sled could have written").unwrap();
    prepare(&topics, dir.path(), 10..30, NEW_YEAR_MS);
    let outcome = alert_stage(&topics, dir.path()).run().expect_code(0);
    assert!(outcome.err.contains("rebuilding state from its changelogs"), "{outcome}");
    assert_eq!(outcome.summary()["alerts"], 10, "ten were new\n{outcome}");
    assert_eq!(outcome.summary()["duplicates"], 10, "{outcome}");
    assert!(dir.path().join("state/store.damaged").is_dir(), "kept for those who want to look");
}

/// Somebody else writes into a changelog.
fn unreadable_changelog() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    prepare(&topics, dir.path(), 0..1, NEW_YEAR_MS);
    topics.send("frostline-alert-changelog", &[(Some(b"\x00?"), Some(b"value"))]);
    let place = &topics.records("frostline-alert-changelog")[0];
    let place = format!("frostline-alert-changelog/{}@{}", place["partition"], place["offset"]);
    let outcome = alert_stage(&topics, dir.path()).run().expect_code(1);
    assert!(outcome.err.contains("corrupted changelog"), "{outcome}");
    assert!(outcome.err.contains(&place), "{place}\n{outcome}");
}

/// By the clock of the records, what is older than `remember_days` is forgotten: the same day fires again, and
/// the changelog gets tombstones for the rest.
fn old_state() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    let run = || {
        let command = alert_stage(&topics, dir.path()).args(["--set", "runtime.remember_days=30"]);
        command.run().expect_code(0).summary()
    };
    prepare(&topics, dir.path(), 0..5, NEW_YEAR_MS);
    assert_eq!(run()["alerts"], 5);
    prepare(&topics, dir.path(), 0..2, NEW_YEAR_MS + 29 * DAY_MS);
    assert_eq!((run()["alerts"].clone(), tombstones(&topics)), (0.into(), 0), "still known");
    prepare(&topics, dir.path(), 0..1, NEW_YEAR_MS + 40 * DAY_MS);
    assert_eq!(run()["alerts"], 1, "forgotten, so it counts as new");
    // The sweep runs with commits.
    prepare(&topics, dir.path(), 6..7, NEW_YEAR_MS + 41 * DAY_MS);
    assert_eq!(run()["alerts"], 1);
    assert_eq!(tombstones(&topics), 4, "all old ones but the one that fired again");
}

fn tombstones(topics: &Topics) -> usize {
    let changelog = topics.records("frostline-alert-changelog");
    changelog.iter().filter(|record| record["value"].is_null() && record.get("value_hex").is_none()).count()
}

/// Files may not grow beyond a limit, which is what a full disk looks like: the daemon says so and ends; with
/// room again it goes on, and every alert is there once.
fn full_disk() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    prepare(&topics, dir.path(), 0..1, NEW_YEAR_MS);
    assert_eq!(alert_stage(&topics, dir.path()).run().expect_code(0).summary()["alerts"], 1);
    let days: Vec<Vec<u8>> = (0..20_000_u32).map(numbered_day).collect();
    let records: Vec<_> = days.iter().map(|day| (Some(STATION), Some(day.as_slice()))).collect();
    topics.send_at(NEW_YEAR_MS, topic::JSON_US_AZ, &records);
    let limited = format!(
        "trap '' XFSZ; ulimit -f 600; exec {} --brokers {} --set kafka.namespace={} run --stages alert --until-caught-up",
        env!("CARGO_BIN_EXE_frostline"),
        broker(),
        topics.namespace
    );
    let outcome = Command::new("bash").args(["-c", &limited]).current_dir(dir.path()).output().unwrap();
    let err = String::from_utf8_lossy(&outcome.stderr);
    assert_eq!(outcome.status.code(), Some(1), "{err}");
    assert!(err.contains("cannot be read or written") && err.contains("nothing is lost"), "{err}");
    alert_stage(&topics, dir.path()).run().expect_code(0);
    let mut ids: Vec<String> =
        topics.values("noaa-json-alerts").iter().map(|alert| alert["alert_id"].to_string()).collect();
    assert_eq!(ids.len(), 20_001);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20_001, "none twice");
}

/// Distinct days in the past, none of them in 2016.
fn numbered_day(n: u32) -> Vec<u8> {
    let date = format!("{:04}-{:02}-{:02}", 1800 + n / 336, n % 336 / 28 + 1, n % 28 + 1);
    let station = r#"{"id":"USC00020080","country_code":"US","state_code":"AZ"}"#;
    format!("{{\"station\":{station},\"date\":\"{date}\",\"TMIN\":1.5}}").into_bytes()
}
