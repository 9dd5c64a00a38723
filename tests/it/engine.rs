//! What the engine's parts promise to each other, on a real broker.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use frostline::config::topic;
use frostline::kafka::{ClientSettings, Outgoing, Producer};

use crate::support::{Needs, Test, Topics, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("waiting_for_acknowledgements_ends_while_others_send", &[Needs::Broker], waiting_ends),
        test("slices_that_end_early_lose_nothing", &[Needs::Broker], slices_end_early),
    ]
}

/// A commit waits for what was sent before it, while the worker goes on sending.
fn waiting_ends() {
    let topics = Topics::create();
    let config = topics.config();
    let name = config.topic(topic::DEAD_LETTERS).name;
    let producer = Producer::new(&ClientSettings::new(&config).unwrap(), None).unwrap();
    let (is_over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let send = |text: &str| {
        let record = Outgoing {
            topic: &name,
            partition: None,
            key: None,
            value: Some(text.as_bytes()),
            timestamp_ms: -1,
            headers: &[],
            changelog: None,
        };
        producer.send(&record).unwrap();
        sent.fetch_add(1, Ordering::Relaxed);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Ends too when the waiting has failed.
            let deadline = Instant::now() + Duration::from_secs(60);
            while !is_over.load(Ordering::Relaxed) && Instant::now() < deadline {
                send("meanwhile");
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        for _ in 0..20 {
            send("waited for");
            producer.wait_acknowledged().unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    producer.wait_acknowledged().unwrap();
    assert_eq!(topics.values("noaa-dead-letters").len() as u64, sent.load(Ordering::Relaxed));
}

/// Records that take long are taken in shorter slices; what a slice leaves comes in the next one, in order.
fn slices_end_early() {
    let topics = Topics::unmade();
    let dir = tempfile::tempdir().unwrap();
    let mut rules = String::from(
        "[[rule]]\nid = \"all\"\nwhere = \"station.id != ''\"\nwhen = \"date > '1900-01-01'\"\n",
    );
    for number in 0..2_000 {
        let rule =
            format!("id = \"r{number}\"\nwhere = \"station.id != ''\"\nwhen = \"TMIN <= -{number}999.0\"");
        writeln!(rules, "[[rule]]\n{rule}").unwrap();
    }
    std::fs::write(dir.path().join("rules.toml"), rules).unwrap();
    std::fs::write(
        dir.path().join("frostline.toml"),
        "[alert]\nsource = \"noaa-json\"\n[topics]\nnoaa-json = { partitions = 1 }\n",
    )
    .unwrap();
    let frostline = |words: &[&str]| {
        topics.frostline().args(words.iter().copied()).in_dir(dir.path()).run().expect_code(0)
    };
    frostline(&["topics", "create"]);
    let made = ["--format", "json", "--stations", "20", "--days", "300", "--seed", "5", "--json"];
    let made = frostline(&[&["generate", "--topic", "noaa-json"], &made[..]].concat()).summary();
    let records = made["records"].as_u64().unwrap();
    assert!(records > 4_000, "{made}");
    let summary = frostline(&["run", "--stages", "alert", "--until-caught-up", "--json"]).summary();
    let counted = (summary["records_in"].as_u64(), summary["alerts"].as_u64());
    assert_eq!(counted, (Some(records), Some(records)), "{summary}");
    frostline(&["topics", "delete", "--yes"]);
}
