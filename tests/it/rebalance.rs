//! Members that come and go while records flow.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::{Needs, Test, Topics, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("members_come_and_go_under_load", &[Needs::Broker], || members_come_and_go(60_000, "5000/s")),
        // Slow enough that every partition is read to its end between records: that is where librdkafka once
        // lost the next record of each partition at each rebalance.
        test("members_come_and_go_at_the_end_of_the_log", &[Needs::Broker], || {
            members_come_and_go(2_400, "200/s")
        }),
    ]
}

/// Numbered observations of many stations go through the filter while a second and a third member join and
/// leave in good order: each comes out exactly once, in order for each key.
fn members_come_and_go(count: u32, rate: &str) {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("numbered.jsonl"), numbered(count)).unwrap();
    let replay = topics
        .frostline()
        .args(["replay", "numbered.jsonl", "--topic", "noaa-json", "--rate", rate])
        // A broker that stands still for a while must not end it.
        .args(["--set", "runtime.transaction_timeout_ms=60000"])
        .in_dir(dir.path())
        .start();
    let member = |state: &str| {
        topics
            .frostline()
            .args(["run", "--stages", "filter", "--state-dir", state])
            .in_dir(dir.path())
            .start()
    };
    let [first, second, third] = ["state-1", "state-2", "state-3"].map(|state| {
        let mut member = member(state);
        member.until_said("partitions assigned");
        // It works for a while before the next one joins.
        std::thread::sleep(Duration::from_secs(1));
        member
    });
    second.signal("TERM");
    second.wait().expect_code(0);
    replay.wait().expect_code(0);
    third.signal("TERM");
    third.wait().expect_code(0);
    first.signal("TERM");
    first.wait().expect_code(0);
    let command =
        topics.frostline().args(["run", "--stages", "filter", "--until-caught-up", "--state-dir", "state-1"]);
    command.in_dir(dir.path()).run().expect_code(0);

    let mut by_station: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut seen = 0;
    for value in topics.values("noaa-json-us-az") {
        let station = value["station"]["id"].as_str().unwrap().to_owned();
        by_station.entry(station).or_default().push(value["SNOW"].as_u64().unwrap());
        seen += 1;
    }
    assert_eq!(seen, count);
    for (station, numbers) in by_station {
        assert!(numbers.is_sorted(), "{station} is out of order");
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{station} has a number twice");
    }
}

/// Numbered observations of many stations, as lines; the number is `SNOW`.
pub fn numbered(count: u32) -> String {
    let line = |n: u32| {
        let station = n % 97;
        format!(
            "{{\"station\":{{\"id\":\"USC000{station:05}\",\"country_code\":\"US\",\"state_code\":\"AZ\"}},\"date\":\"2016-02-24T00:00:00\",\"SNOW\":{n}}}\n"
        )
    };
    (0..count).map(line).collect()
}

/// Asserts that the filter has written each of `count` numbered observations once, in order for each station.
pub fn assert_each_once_in_order(topics: &Topics, count: u32) {
    let mut next: BTreeMap<u64, u64> = BTreeMap::new();
    let mut seen = 0;
    for value in topics.values("noaa-json-us-az") {
        let n = value["SNOW"].as_u64().unwrap();
        let expected = next.entry(n % 97).or_insert(n % 97);
        assert_eq!(n, *expected, "station {}", n % 97);
        *expected += 97;
        seen += 1;
    }
    assert_eq!(seen, count);
}
