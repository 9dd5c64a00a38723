//! Bad input on a real broker: a dead letter with its reason, and the stream goes on.

use std::time::Duration;

use frostline::config::topic;

use crate::support::{
    Frostline, KeyValue, Needs, Test, Topics, broker, free_port, http_get, script, test, wait_for,
};

pub fn tests() -> Vec<Test> {
    vec![
        test("bad_records_become_dead_letters", &[Needs::Broker], bad_records),
        test("a_large_bad_record_does_not_stop_the_stream", &[Needs::Broker], large_record),
        test("a_second_daemon_on_the_same_state_is_refused", &[Needs::Broker], second_daemon),
        test("a_changelog_that_does_not_fit_is_refused", &[Needs::Broker], changelog_that_does_not_fit),
        test("an_empty_station_table_is_refused", &[Needs::Broker], empty_station_table),
        test("a_bad_inventory_is_refused_with_its_line", &[Needs::Broker], bad_inventory),
        test("topics_made_anew_do_not_meet_old_state", &[Needs::Broker], topics_made_anew),
        test("a_committed_offset_that_is_gone_is_said", &[Needs::Broker], committed_offset_gone),
        test("a_broker_that_goes_away_is_waited_for", &[Needs::Broker], broker_goes_away),
    ]
}

fn bad_records() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("rules.toml"),
        "[[rule]]\nid = \"r\"\nstation = \"USC00020080\"\nwhen = \"TMIN <= 10.0\"\n",
    )
    .unwrap();
    topics.import_stations(crate::goldens::STATIONS);
    let ajo: Option<&[u8]> = Some(b"USC00020080");
    let lines: &[KeyValue<'_>] = &[
        (ajo, Some(b"USC00020080,20160101,TMAX,144,,,7,")),
        (ajo, Some(b"unreadable")),
        (ajo, Some(b"USC00020080,20160101,TMIN,\xff\xfe,,,7,")),
        (ajo, Some(b"")),
        (ajo, None),
        (ajo, Some(b"USC00020080,20160230,TMIN,11,,,7,")),
        (ajo, Some(b"USC00020080,29990101,TMIN,11,,,7,")),
        (ajo, Some(b"USC00020080,20160101,TMIN,eleven,,,7,")),
        (Some(b"ZZ000000001"), Some(b"ZZ000000001,20160101,TMIN,11,,,7,")),
        (None, Some(b"USC00020080,20160101,TOBS,44,,,7,")),
        (ajo, Some(b"USC00020080,20160101,TMIN,11,,,7,")),
    ];
    topics.send(topic::CSV_RAW, lines);
    let deep = format!(
        "{{\"station\":{{\"id\":\"USC00020080\"}},\"date\":\"2016-01-02\",\"x\":{}",
        "[".repeat(50_000)
    );
    let observations: &[KeyValue<'_>] = &[
        (ajo, Some(br#"{"station":{"id":"USC00020080""#)),
        (ajo, Some(deep.as_bytes())),
        (ajo, Some(br#"{"station":{"id":"USC00020080"},"date":"2016-01-02","TMIN":"cold"}"#)),
        (ajo, Some(br#"{"date":"2016-01-02","TMIN":1}"#)),
    ];
    topics.send(topic::JSON, observations);
    let run = topics.frostline().args(["run", "--until-caught-up", "--json"]).in_dir(dir.path());
    let summary = run.run().expect_code(0).summary();
    assert_eq!(summary["observations"], 1, "{summary}");
    assert_eq!(summary["alerts"], 1, "the good lines around them went through: {summary}");
    assert_eq!(summary["skipped"], 1, "a tombstone is harmless: {summary}");
    assert_eq!(summary["dead_letters"], 8 + 4, "{summary}");

    let letters = topics.records("noaa-dead-letters");
    assert_eq!(letters.len(), 12);
    let reason =
        |letter: &serde_json::Value| letter["headers"]["frostline-reason"].as_str().unwrap().to_owned();
    for expected in
        ["empty", "20160230", "in the future", "eleven", "ZZ000000001", "no key", "TMIN", "station"]
    {
        let found = letters.iter().any(|letter| reason(letter).contains(expected));
        assert!(
            found,
            "no dead letter says {expected:?}: {:#?}",
            letters.iter().map(reason).collect::<Vec<_>>()
        );
    }
    for letter in &letters {
        let headers = &letter["headers"];
        assert_eq!(headers["trace"], "abc", "original headers are kept");
        assert!(headers["frostline-topic"].as_str().unwrap().starts_with(&topics.namespace));
        for name in ["frostline-partition", "frostline-offset", "frostline-stage"] {
            assert!(headers[name].is_string(), "{name}: {letter}");
        }
    }
    let unkeyed = letters.iter().find(|letter| reason(letter).contains("no key")).unwrap();
    assert!(unkeyed["key"].is_null());
    assert_eq!(unkeyed["value"], "USC00020080,20160101,TOBS,44,,,7,");
    let broken = letters.iter().find(|letter| letter.get("value_hex").is_some()).unwrap();
    assert!(broken["value_hex"].as_str().unwrap().contains("fffe"), "bytes are kept as they were");
}

fn large_record() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    let station: Option<&[u8]> = Some(b"USC00020080");
    // As large as the broker takes, and larger than is processed.
    let mut large = br#"{"station":{"id":"USC00020080"},"date":"2016-01-02","x":""#.to_vec();
    let mut state = 1_u32;
    while large.len() < 1_040_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        large.push(b'a' + (state >> 24) as u8 % 26);
    }
    large.extend_from_slice(b"\"}");
    let good: &[u8] =
        br#"{"station":{"id":"USC00020080","country_code":"US","state_code":"AZ"},"date":"2016-01-02"}"#;
    topics.send(topic::JSON, &[(station, Some(&large)), (station, Some(good))]);
    let command = topics.frostline().args(["run", "--stages", "filter", "--until-caught-up", "--json"]);
    let summary = command.in_dir(dir.path()).run().expect_code(0).summary();
    assert_eq!((summary["kept"].as_u64(), summary["dead_letters"].as_u64()), (Some(1), Some(1)), "{summary}");
    let letters = topics.records("noaa-dead-letters");
    assert!(letters[0]["headers"]["frostline-reason"].as_str().unwrap().contains("limit"));
    assert_eq!(letters[0]["value"]["x"].as_str().unwrap().len() + 59, large.len(), "whole");
}

fn second_daemon() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    let run = || topics.frostline().args(["run", "--stages", "filter"]).in_dir(dir.path());
    let mut first = run().start();
    while !dir.path().join("state/store/db").exists() {
        assert!(first.is_running());
        std::thread::sleep(Duration::from_millis(50));
    }
    let outcome = run().run().expect_code(1);
    assert!(outcome.err.contains("another frostline process uses the state directory"), "{outcome}");
    assert!(first.is_running());
    first.signal("TERM");
    first.wait().expect_code(0);
}

fn changelog_that_does_not_fit() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rules.toml"), "").unwrap();
    // The source of the alert stage is replaced by one with more partitions.
    let name = format!("{}twelve", topics.namespace);
    let wide = format!("topics.noaa-json-us-az={{ name = \"{name}\", partitions = 12 }}");
    let frostline = |arguments: &[&str]| {
        topics.frostline().args(["--set", &wide]).args(arguments.iter().copied()).in_dir(dir.path()).run()
    };
    let created = frostline(&["topics", "create"]).expect_code(1);
    assert!(created.out.contains("5 partitions do not match the 12 of its source"), "{created}");
    let outcome = frostline(&["run", "--stages", "alert"]).expect_code(2);
    let said = &outcome.err;
    assert!(
        said.contains("frostline-alert-changelog has 5 partitions") && said.contains("has 12"),
        "{outcome}"
    );
    frostline(&["topics", "delete", "--yes"]).expect_code(0);
}

fn empty_station_table() {
    let topics = Topics::create();
    let outcome = topics.frostline().args(["run", "--stages", "assemble"]).run().expect_code(2);
    assert!(outcome.err.contains("noaa-stations is empty"), "{outcome}");
    assert!(outcome.err.contains("stations import"), "{outcome}");
}

fn bad_inventory() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("countries.txt", "US United States\n");
    write("states.txt", "AZ ARIZONA\n");
    let good = "USW00003192  33.6228 -111.9106  449.0 AZ SCOTTSDALE MUNI AP                        \n";
    write("stations.txt", &format!("{good}USW00003193  99.9000 -111.9106  449.0 AZ NORTH OF THE POLE\n"));
    let import = || {
        Frostline::new()
            .args(["--brokers", broker(), "--set", &format!("kafka.namespace={}", topics.namespace)])
            .args([
                "stations",
                "import",
                "stations.txt",
                "--countries",
                "countries.txt",
                "--states",
                "states.txt",
                "--json",
            ])
    };
    let outcome = import().in_dir(dir.path()).run().expect_code(2);
    assert!(outcome.err.contains("stations.txt:2"), "{outcome}");
    assert!(topics.records("noaa-stations").is_empty(), "nothing was sent");
    write("stations.txt", good);
    assert_eq!(import().in_dir(dir.path()).run().expect_code(0).summary()["stations"], 1);
    assert_eq!(topics.values("noaa-stations")[0]["country"], "United States");
}

/// The state directory outlives its topics: what it remembers must not swallow what the new ones bring.
fn topics_made_anew() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    let rules = "[[rule]]\nid = \"r\"\nstation = \"USC00020080\"\nwhen = \"TMIN <= 10.0\"\n";
    std::fs::write(dir.path().join("rules.toml"), rules).unwrap();
    let value: &[u8] = br#"{"station":{"id":"USC00020080","country_code":"US","state_code":"AZ"},"date":"2016-01-02","TMIN":1.5}"#;
    let run = || {
        topics.send(topic::JSON, &[(Some(b"USC00020080"), Some(value))]);
        let command =
            topics.frostline().args(["run", "--stages", "filter,alert", "--until-caught-up", "--json"]);
        command.in_dir(dir.path()).run().expect_code(0).summary()["alerts"].as_u64().unwrap()
    };
    assert_eq!((run(), run()), (1, 0), "once, and then it is known");
    topics.frostline().args(["topics", "delete", "--yes"]).run().expect_code(0);
    topics.frostline().args(["topics", "create"]).run().expect_code(0);
    assert_eq!(run(), 1);
}

/// Records are deleted before they were processed: the daemon says so, and goes on with what is left.
fn committed_offset_gone() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    let run = || {
        let command = topics.frostline().args(["run", "--stages", "filter", "--until-caught-up", "--json"]);
        command.in_dir(dir.path()).run().expect_code(0)
    };
    let value: &[u8] =
        br#"{"station":{"id":"USC00020080","country_code":"US","state_code":"AZ"},"date":"2016-01-02"}"#;
    let records = vec![(Some(b"USC00020080".as_slice()), Some(value)); 30];
    topics.send(topic::JSON, &records);
    assert_eq!(run().summary()["kept"], 30);
    topics.send(topic::JSON, &records);
    let partition = &topics.records("noaa-json")[0]["partition"];
    let partition = i32::try_from(partition.as_i64().unwrap()).unwrap();
    topics.delete_records("noaa-json", partition, 50);
    let outcome = run();
    assert_eq!(outcome.summary()["kept"], 10, "{outcome}");
    assert!(outcome.err.contains("the committed offset is not in the log"), "{outcome}");
    assert!(outcome.err.contains("committed=30") && outcome.err.contains("log_start=50"), "{outcome}");
}

/// A broker of its own is killed under the daemon and comes back; the daemon goes on where it was.
fn broker_goes_away() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = |command: &str| {
        let output = script().args([command, "--dir"]).arg(dir.path().join("kafka")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let address = kafka("start");
    let frostline = || Frostline::new().args(["--brokers", &address]).in_dir(dir.path());
    frostline().args(["topics", "create"]).run().expect_code(0);
    let line = |n: u32| {
        format!(
            "{{\"station\":{{\"id\":\"USC00020080\",\"country_code\":\"US\",\"state_code\":\"AZ\"}},\"date\":\"2016-02-24\",\"SNOW\":{n}}}\n"
        )
    };
    let replay = |name: &str, numbers: std::ops::Range<u32>| {
        std::fs::write(dir.path().join(name), numbers.map(line).collect::<String>()).unwrap();
        frostline().args(["replay", name, "--topic", "noaa-json"]).run().expect_code(0);
    };
    let port = free_port();
    let daemon = frostline().args(["run", "--stages", "filter"]);
    let mut daemon = daemon.env("FROSTLINE_ADMIN_LISTEN", &format!("127.0.0.1:{port}")).start();
    let readiness = |wanted: u16, text: &str| {
        let found = || {
            http_get(port, "/health/ready", &[])
                .filter(|(status, body)| *status == wanted && body.contains(text))
        };
        wait_for(&format!("readiness {wanted} with {text:?}"), Duration::from_secs(60), found)
    };
    readiness(200, "\"partitions\":5");
    replay("first.jsonl", 0..500);
    std::thread::sleep(Duration::from_secs(2));
    kafka("kill");
    // Until the group's patience has ended the partitions stay, and afterwards there is none: never ready.
    readiness(503, "stage filter");
    std::thread::sleep(Duration::from_secs(1));
    readiness(503, "stage filter");
    kafka("start");
    readiness(200, "\"partitions\":5");
    replay("second.jsonl", 500..1_000);
    std::thread::sleep(Duration::from_secs(3));
    assert!(daemon.is_running());
    daemon.signal("TERM");
    daemon.wait().expect_code(0);
    frostline().args(["run", "--stages", "filter", "--until-caught-up"]).run().expect_code(0);
    let tail = ["tail", "noaa-json-us-az", "--from-beginning", "--until-end", "--json"];
    let records = frostline().args(tail).run().expect_code(0).json_lines();
    let mut numbers: Vec<u64> =
        records.iter().map(|record| record["value"]["SNOW"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..1_000), "none is lost, and none comes twice");
    kafka("stop");
}
