//! Exactly once: who may commit, and what is said where it cannot be had. `frostline chaos` (see the tests
//! of that name) has the crashes.

use std::time::Duration;

use frostline::config::Config;
use frostline_engine::kafka::{ClientSettings, KafkaError, Producer, TransactionSettings};

use crate::rebalance::{assert_each_once_in_order, numbered};
use crate::support::{Needs, Test, Topics, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("a_broker_without_transactions_is_named", &[], without_transactions),
        test("a_paused_process_commits_nothing_late", &[Needs::Broker], paused_process),
        test("a_thread_that_hangs_ends_the_daemon", &[Needs::Broker], hanging_thread),
        test("a_static_member_gets_its_partitions_back", &[Needs::Broker], static_member),
    ]
}

/// The embedded broker, told to know nothing of producer ids.
fn without_transactions() {
    let cluster = rdkafka::mocking::MockCluster::new(1).unwrap();
    cluster.apiversion(rdkafka::types::RDKafkaApiKey::InitProducerId, Some(-1), Some(-1)).unwrap();
    let mut config = Config::default();
    config.kafka.brokers = cluster.bootstrap_servers();
    let transaction = TransactionSettings { transactional_id: "t".into(), timeout_ms: 5_000 };
    let settings = ClientSettings::new(&config.kafka).unwrap();
    let producer = Producer::new(&settings, Some(&transaction)).unwrap();
    let error = producer.ready().unwrap_err();
    assert!(matches!(error, KafkaError::Fatal(_)), "{error}");
    assert!(error.to_string().contains("runtime.guarantee = \"at_least_once\""), "{error}");
}

/// One of two processes sleeps through its session and wakes up as a zombie: what it then still wants to
/// commit is refused, and nothing of it is seen.
fn paused_process() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("numbered.jsonl"), numbered(12_000)).unwrap();
    let member = |state: &str| {
        let quick = ["--set", "runtime.session_timeout_ms=6000"];
        let command =
            topics.frostline().args(["run", "--stages", "filter", "--state-dir", state]).args(quick);
        command.in_dir(dir.path()).start()
    };
    let (zombie, other) = (member("state-1"), member("state-2"));
    std::thread::sleep(Duration::from_secs(4));
    let replay = ["replay", "numbered.jsonl", "--topic", "noaa-json", "--rate", "600/s"];
    let replay = topics.frostline().args(replay).in_dir(dir.path()).start();
    std::thread::sleep(Duration::from_secs(4));
    zombie.signal("STOP");
    std::thread::sleep(Duration::from_secs(9));
    zombie.signal("CONT");
    replay.wait().expect_code(0);
    other.signal("TERM");
    other.wait().expect_code(0);
    zombie.signal("TERM");
    let outcome = zombie.wait().expect_code(0);
    assert!(outcome.err.contains("partitions lost"), "it slept through its session\n{outcome}");
    let rest = ["run", "--stages", "filter", "--until-caught-up", "--state-dir", "state-1"];
    topics.frostline().args(rest).in_dir(dir.path()).run().expect_code(0);
    assert_each_once_in_order(&topics, 12_000);
}

/// A worker's thread that hangs is noticed; the daemon names the task and ends, and the next one has lost
/// nothing.
fn hanging_thread() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("numbered.jsonl"), numbered(500)).unwrap();
    let replay = ["replay", "numbered.jsonl", "--topic", "noaa-json"];
    topics.frostline().args(replay).in_dir(dir.path()).run().expect_code(0);
    let impatient = ["runtime.transaction_timeout_ms=5000", "runtime.stall_timeout_ms=10000"];
    let impatient = impatient.into_iter().chain(["runtime.shutdown_timeout_ms=1000"]);
    let impatient = impatient.flat_map(|setting| ["--set", setting]);
    let hanging = topics.frostline().args(["run", "--stages", "filter"]).args(impatient);
    let hanging = hanging.env("FROSTLINE_FAULT_POINT", "after-sled:1:hang").in_dir(dir.path()).run();
    let outcome = hanging.expect_code(1);
    assert!(outcome.err.contains("hanging here, as planted"), "{outcome}");
    assert!(outcome.err.contains("stage filter has not moved in partition"), "{outcome}");
    let rest = ["run", "--stages", "filter", "--until-caught-up"];
    topics.frostline().args(rest).in_dir(dir.path()).run().expect_code(0);
    assert_each_once_in_order(&topics, 500);
}

/// With static membership a killed process is back at work long before its session has ended.
fn static_member() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("numbered.jsonl"), numbered(500)).unwrap();
    let daemon = || {
        let settings =
            ["--set", "runtime.group_instance_id=one", "--set", "runtime.session_timeout_ms=120000"];
        topics.frostline().args(["run", "--stages", "filter"]).args(settings).in_dir(dir.path()).start()
    };
    let replay = ["replay", "numbered.jsonl", "--topic", "noaa-json"];
    let killed = daemon();
    topics.frostline().args(replay).in_dir(dir.path()).run().expect_code(0);
    wait_for(&topics, 500);
    killed.signal("KILL");
    killed.wait();
    let _back = daemon();
    topics.frostline().args(replay).in_dir(dir.path()).run().expect_code(0);
    wait_for(&topics, 1_000);
}

/// Waits for so many records behind the filter, for much less than a session.
fn wait_for(topics: &Topics, count: usize) {
    for _ in 0..60 {
        if topics.values("noaa-json-us-az").len() == count {
            return;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    panic!("{} of {count} records", topics.values("noaa-json-us-az").len());
}
