//! `frostline bench`: it measures, and leaves nothing behind.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Frostline, Needs, Test, broker, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("bench_measures_and_leaves_nothing", &[Needs::Broker], measures),
        test("a_slow_worker_does_not_collect_its_backlog", &[Needs::Broker], slow_worker),
        test("bench_interrupted_leaves_nothing", &[Needs::Broker], interrupted),
        test("bench_refuses_what_cannot_be", &[], refused),
    ]
}

/// A worker that is slower than the network has no more in memory than it may fetch ahead: about 20 MB of 180.
fn slow_worker() {
    let dir = tempfile::tempdir().unwrap();
    let report = bench(&["--records", "300000", "--partitions", "1", "--workers", "1", "--conditions", "10"])
        .args(["--rounds", "1", "--seed", "510e", "--json", "--latency-rate", "0"])
        .args(["--guarantees", "at_least_once"])
        .in_dir(dir.path())
        .run()
        .expect_code(0)
        .summary();
    assert_eq!(report["failed"], serde_json::json!([]), "{report:#}");
    let memory_mb = report["rows"][0]["memory_bytes"].as_u64().unwrap() / 1_000_000;
    println!("a backlog of 300,000 records: {memory_mb} MB at most");
    assert!(memory_mb < 100, "{report:#}");
}

/// Other tests may run on the same cores at the same time.
const PATIENCE: Duration = Duration::from_secs(300);

fn bench(arguments: &[&str]) -> Frostline {
    Frostline::new().args(["bench", "--brokers", broker()]).args(arguments.iter().copied()).patience(PATIENCE)
}

/// Whether any topic of the run with this seed is there.
fn leftovers(seed: &str) -> Vec<String> {
    let config = frostline::config::Config {
        kafka: frostline::config::KafkaSettings { brokers: broker().into(), ..Default::default() },
        ..Default::default()
    };
    let settings = frostline_engine::kafka::ClientSettings::new(&config.kafka).unwrap();
    let admin = frostline_engine::kafka::Admin::new(&settings).unwrap();
    let mut found = admin.names(&format!("bench-{seed}-")).unwrap();
    // A deletion shows a moment later.
    for _ in 0..50 {
        if found.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
        found = admin.names(&format!("bench-{seed}-")).unwrap();
    }
    found
}

fn measures() {
    let dir = tempfile::tempdir().unwrap();
    let report =
        bench(&["--records", "20000", "--partitions", "1,3", "--workers", "1", "--processes", "1,2"])
            .args(["--rounds", "1", "--limit", "--seed", "be9c", "--json", "--validate", "needed"])
            .args(["--latency-rate", "200", "--latency-seconds", "1"])
            .in_dir(dir.path())
            .run()
            .expect_code(0)
            .summary();
    assert_eq!(report["failed"], serde_json::json!([]), "{report:#}");
    let rows = report["rows"].as_array().unwrap();
    // The bare client; one and two processes with two guarantees; on two topics.
    assert_eq!(rows.len(), 2 * (1 + 2 * 2), "{report:#}");
    for row in rows {
        assert!(row["records"].as_u64().unwrap() >= 20_000, "{row}");
        assert!(row["records_per_second"].as_f64().unwrap() > 0.0, "{row}");
        let is_limit = row["cell"].is_null();
        assert_eq!(row["of_limit"].is_null(), is_limit, "{row}");
        assert_eq!(row["threads"] == 0, is_limit, "{row}");
    }
    let latencies = report["latencies"].as_array().unwrap();
    assert_eq!(latencies.len(), 2);
    for latency in latencies {
        // Each observation fires once; the warm-up is not counted.
        let alerts = latency["alerts"].as_u64().unwrap();
        assert!((150..=201).contains(&alerts), "{latency}");
        let at = |name: &str| latency[name].as_f64().unwrap();
        assert!(at("p50_ms") <= at("p99_ms") && at("p99_ms") <= at("max_ms"), "{latency}");
    }
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&read("bench.json")).unwrap()["seed"], "be9c");
    assert_eq!(read("bench.csv").lines().count(), 1 + rows.len());
    assert_eq!(read("bench.svg").matches("<polyline").count(), 4);
    assert_eq!(leftovers("be9c"), Vec::<String>::new());
}

fn interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let running =
        bench(&["--records", "300000", "--partitions", "3", "--seed", "1be9c"]).in_dir(dir.path()).start();
    std::thread::sleep(Duration::from_secs(8));
    running.signal("INT");
    running.wait().expect_code(130);
    assert_eq!(leftovers("1be9c"), Vec::<String>::new());
}

fn refused() {
    for (arguments, message) in [
        (&["--partitions", "0"][..], "--partitions"),
        (&["--out", "nowhere"], "nowhere: no such directory"),
        (&["--validate", "some"], "needed"),
        (&["--guarantees", "at_most_once"], "exactly_once"),
    ] {
        let outcome = Frostline::new().arg("bench").args(arguments.iter().copied()).run().expect_code(2);
        assert!(outcome.err.contains(message), "{outcome}");
    }
}
