//! Dead letters seen and retried, on a real broker.

use frostline_engine::kafka::{ClientSettings, Outgoing, Producer};

use crate::support::{Frostline, Needs, Test, Topics, test};

const BROKER: &[Needs] = &[Needs::Broker];

pub fn tests() -> Vec<Test> {
    vec![
        test("a_dead_letter_is_retried_once_and_counts", BROKER, retried_once),
        test("each_part_of_a_record_is_retried", BROKER, parts),
        test("a_letter_that_comes_after_a_retry_is_another_one", BROKER, later),
        test("a_forged_dead_letter_goes_nowhere_and_stops_no_other", BROKER, forged),
    ]
}

/// Fills the station table with stations in Arizona.
fn import(topics: &Topics, ids: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    file("countries.txt", "US United States\n");
    file("states.txt", "AZ ARIZONA\n");
    let line = |id: &&str| format!("{id}  33.4300 -112.0000  339.2 AZ {:<30}              \n", "A STATION");
    file("stations.csv", &ids.iter().map(line).collect::<String>());
    let words =
        ["stations", "import", "stations.csv", "--countries", "countries.txt", "--states", "states.txt"];
    topics.frostline().args(words).in_dir(dir.path()).run().expect_code(0);
}

fn retried_once() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| -> Frostline {
        topics.frostline().args(arguments.iter().copied()).in_dir(dir.path())
    };
    import(&topics, &["USC00020001"]);
    topics.send(
        "noaa-csv-raw",
        &[
            (Some(b"USC00020002"), Some(b"USC00020002,20240101,TMIN,-11,,,7,")),
            (Some(b"USC00020001"), Some(b"no line at all")),
        ],
    );
    let stages = ["run", "--stages", "assemble", "--until-caught-up", "--json"];
    assert_eq!(run(&stages).run().expect_code(0).summary()["dead_letters"], 2);
    let listed = run(&["dead-letters", "list"]).run().expect_code(0);
    assert!(
        listed.out.contains("2 dead letters") && listed.out.contains("not in the station table"),
        "{listed}"
    );
    let unknown = run(&["dead-letters", "list", "--reason", "station table", "--json"]).run().expect_code(0);
    let unknown = unknown.json_lines();
    assert_eq!((unknown.len(), &unknown[0]["key"]), (1, &"USC00020002".into()));
    let place = unknown[0]["place"].as_str().unwrap();
    let shown = run(&["dead-letters", "show", place]).run().expect_code(0);
    assert!(
        shown.out.contains("USC00020002,20240101,TMIN,-11") && shown.out.contains("trace: abc"),
        "{shown}"
    );
    // Nothing happens by looking.
    let dry = run(&["dead-letters", "retry", "--all", "--dry-run", "--json"]).run().expect_code(0).summary();
    assert_eq!((&dry["retried"], &dry["chosen"]), (&0.into(), &2.into()));

    // The station is known now: what was lost is processed.
    import(&topics, &["USC00020001", "USC00020002"]);
    let retried = run(&["dead-letters", "retry", place]).run().expect_code(0);
    assert!(retried.out.contains("1 written again to"), "{retried}");
    assert_eq!(run(&stages).run().expect_code(0).summary()["observations"], 1);
    let observation = &topics.records("noaa-json")[0];
    assert_eq!(observation["value"]["TMIN"], -1.1);
    let source = topics.records("noaa-csv-raw");
    let back = source.iter().find(|record| record["headers"]["frostline-retried-from"] == place).unwrap();
    assert_eq!((&back["key"], &back["headers"]["trace"]), (&"USC00020002".into(), &"abc".into()));

    // Once.
    let again = run(&["dead-letters", "retry", place]).run().expect_code(1);
    assert!(again.err.contains("was retried before"), "{again}");
    let all = run(&["dead-letters", "retry", "--all", "--json"]).run().expect_code(0).summary();
    assert_eq!(all["retried"], 1, "the other one: {all}");
    // It fails again, as a new dead letter; the two old ones are done with.
    assert_eq!(run(&stages).run().expect_code(0).summary()["dead_letters"], 1);
    let left = run(&["dead-letters", "list", "--json"]).run().expect_code(0).json_lines();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(run(&["dead-letters", "list", "--retried", "--json"]).run().json_lines().len(), 3);
    assert!(run(&["dead-letters", "show", "0@99999"]).run().expect_code(2).err.contains("no dead letter"));
}

fn parts() {
    let topics = Topics::create();
    let ids = ["USC00020001", "USC00020002", "USC00020003"];
    import(&topics, &["USC00029999"]);
    let days = ids.map(|id| format!(r#"{{"station_id":"{id}","date":"2024-01-01","TMIN":-1.1}}"#)).join(",");
    topics.send("noaa-raw", &[(None, Some(format!("[{days}]").as_bytes()))]);
    let enrich = || {
        let words = ["run", "--stages", "enrich", "--until-caught-up", "--json"];
        topics.frostline().args(words).run().expect_code(0).summary()
    };
    assert_eq!(enrich()["dead_letters"], 3);
    import(&topics, &ids);
    let retry = topics.frostline().args(["dead-letters", "retry", "--all", "--json"]).run().expect_code(0);
    assert_eq!(retry.summary()["retried"], 3, "{retry}");
    assert_eq!(enrich()["observations"], 3);
    let left = topics.frostline().args(["dead-letters", "list", "--json"]).run().expect_code(0);
    assert!(left.json_lines().is_empty(), "{left}");
}

/// Writes a dead letter with these headers, `frostline-` before each name.
fn forge(topics: &Topics, headers: &[(&str, &str)]) {
    let config = topics.config();
    let producer = Producer::new(&ClientSettings::new(&config.kafka).unwrap(), None).unwrap();
    let headers = headers
        .iter()
        .map(|(name, value)| (format!("frostline-{name}").into(), Some(value.as_bytes().to_vec())))
        .collect::<Vec<_>>();
    producer
        .send(&Outgoing {
            topic: &config.topic("noaa-dead-letters").name,
            partition: Some(0),
            key: Some(b"rule/forged"),
            value: Some(br#"{"id":"forged","when":"true"}"#),
            timestamp_ms: -1,
            headers: &headers,
            changelog: None,
        })
        .unwrap();
    producer.wait_acknowledged().unwrap();
}

fn later() {
    let topics = Topics::create();
    let own = topics.config().topic("noaa-csv-raw").name;
    let place = [("stage", "assemble"), ("topic", own.as_str()), ("partition", "1"), ("offset", "9")];
    let letter = || forge(&topics, &[place.as_slice(), &[("timestamp-ms", "1700000000000")]].concat());
    let retry = || topics.frostline().args(["dead-letters", "retry", "--all", "--json"]).run().expect_code(0);
    letter();
    letter();
    assert_eq!(retry().summary()["retried"], 1, "one record");
    letter();
    assert_eq!(retry().summary()["retried"], 1, "it has failed since");
}

fn forged() {
    let (topics, others) = (Topics::create(), Topics::unmade());
    let of = |topics: &Topics, logical: &str| topics.config().topic(logical).name;
    let own = of(&topics, "noaa-csv-raw");
    let letter = |topic: &str, partition: &str, timestamp: &str| {
        let headers = [("stage", "assemble"), ("topic", topic), ("partition", partition)];
        forge(&topics, &[headers.as_slice(), &[("timestamp-ms", timestamp)]].concat());
    };
    let now = "1700000000000";
    // 0: the rules' topic; 1: another installation's; 2: one of Kafka's own; 3: no topic at all; 4: a partition too far.
    for topic in [&of(&topics, "noaa-rules"), &of(&others, "noaa-csv-raw"), "__consumer_offsets", "../../x"] {
        letter(topic, "0", now);
    }
    letter(&own, "99", now);
    // 5: as it should be. 6: the broker does not take a time so far ahead. 7: as it should be.
    letter(&own, "1", now);
    let ahead_ms = frostline_engine::record::unix_ms() + 2 * 3_600_000;
    letter(&own, "2", &ahead_ms.to_string());
    letter(&own, "3", now);
    let retry = |more: &[&str]| {
        topics.frostline().args(["dead-letters", "retry", "--all", "--json"]).args(more.iter().copied()).run()
    };
    let dry = retry(&["--dry-run"]).expect_code(1).summary();
    assert_eq!((&dry["topics"], &dry["not_retried"]), (&serde_json::json!({ own.clone(): 3 }), &5.into()));
    let outcome = retry(&[]).expect_code(1);
    let done = outcome.summary();
    assert_eq!((&done["retried"], &done["not_retried"]), (&2.into(), &6.into()), "{outcome}");
    let reason = |place: &str| {
        let refused = done["refused"].as_array().unwrap();
        let found = refused.iter().find(|refused| refused["place"] == place).unwrap();
        found["reason"].as_str().unwrap().to_owned()
    };
    for place in ["0@0", "0@1", "0@2", "0@3"] {
        assert!(
            reason(place).contains(&format!("stage assemble of this installation reads {own}")),
            "{done}"
        );
    }
    assert!(reason("0@4").contains("partitions 0 to 4"), "{done}");
    assert!(reason("0@6").contains("Kafka refuses it"), "{done}");
    assert_eq!(topics.records("noaa-csv-raw").len(), 2, "the good ones, each once");
    assert!(topics.records("noaa-rules").is_empty(), "no rule is in force");
    // Those that stayed are still to be decided about, and people see why.
    let again = topics.frostline().args(["dead-letters", "retry", "--all", "--dry-run"]).run().expect_code(1);
    assert!(again.out.contains("5 not retried") && again.err.contains("noaa-rules"), "{again}");
}
