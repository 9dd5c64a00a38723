//! What the engine's parts promise to each other, on a real broker.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use frostline::config::topic;
use frostline_engine::kafka::{
    ClientSettings, Outgoing, Polled, Producer, Reader, Readers, StartAt, TransactionSettings,
};

use crate::support::{KeyValue, Needs, Test, Topics, test, transactional, wait_for};

const PATIENCE: Duration = Duration::from_secs(60);

pub fn tests() -> Vec<Test> {
    vec![
        test("waiting_for_acknowledgements_ends_while_others_send", &[Needs::Broker], waiting_ends),
        test("slices_that_end_early_lose_nothing", &[Needs::Broker], slices_end_early),
        test(
            "an_alert_does_not_wait_for_a_backlog_that_does_not_come",
            &[Needs::Broker],
            backlog_does_not_come,
        ),
        test("an_abort_ends_a_producer_whose_records_are_unacknowledged", &[Needs::Broker], abort_ends),
        test("readers_share_a_client_and_leave_each_other_alone", &[Needs::Broker], readers_share),
    ]
}

/// The client would give the sequence numbers of such records to others, which a broker may take for repetitions.
fn abort_ends() {
    let topics = Topics::create();
    let config = topics.config();
    let name = config.topic(topic::CSV_RAW).name;
    let producer = || transactional(&config.kafka, &format!("{}abort", topics.namespace));
    let send = |producer: &Producer, text: &str| {
        producer.send(&Outgoing::keyed(&name, b"USC00000001", text.as_bytes())).unwrap();
    };
    let first = producer();
    send(&first, "unacknowledged");
    first.abort();
    assert!(first.is_spent());
    drop(first);
    let second = producer();
    send(&second, "acknowledged");
    second.wait_acknowledged().unwrap();
    second.abort();
    assert!(!second.is_spent());
    send(&second, "committed");
    second.commit().unwrap();
    assert_eq!(topics.values(topic::CSV_RAW), ["committed"]);
}

/// Readers of one client come and go. A partition has one of them, and after that the next one.
fn readers_share() {
    let topics = Topics::create();
    let config = topics.config();
    let settings = ClientSettings::new(&config.kafka).unwrap();
    let producer = Producer::new(&settings, None).unwrap();
    let [alerts, outlooks] = [topic::ALERTS, topic::OUTLOOKS].map(|logical| config.topic(logical).name);
    let send = |topic: &str, text: &str| {
        let record = Outgoing { partition: Some(0), ..Outgoing::keyed(topic, b"k", text.as_bytes()) };
        producer.send(&record).unwrap();
        producer.wait_acknowledged().unwrap();
    };
    let next = |reader: &mut Reader| -> String {
        wait_for("a record", PATIENCE, || {
            let read = reader.poll(Duration::from_millis(100), |polled| match polled {
                Polled::Record(record) => Some(String::from_utf8_lossy(record.value.unwrap()).into_owned()),
                Polled::EndOfPartition { .. } => None,
            });
            read.unwrap().flatten()
        })
    };
    let readers = Readers::new(&settings).unwrap();
    let start = [(0, StartAt::Beginning)];
    let mut of_alerts = readers.read(&alerts, &start).unwrap();
    send(&alerts, "first");
    assert_eq!(next(&mut of_alerts), "first");
    let mut of_outlooks = readers.read(&outlooks, &start).unwrap();
    assert!(readers.read(&alerts, &start).is_err(), "it has a reader");
    send(&outlooks, "other");
    send(&alerts, "second");
    assert_eq!((next(&mut of_outlooks), next(&mut of_alerts)), ("other".into(), "second".into()));
    drop(of_alerts);
    let mut again = readers.read(&alerts, &[(0, StartAt::Offset(1))]).unwrap();
    assert_eq!(next(&mut again), "second");
    // At rest, and with no reader to come, both go on.
    drop(readers);
    [&mut again, &mut of_outlooks].into_iter().for_each(|reader| reader.keep_pace(false));
    send(&outlooks, "later");
    send(&alerts, "third");
    assert_eq!((next(&mut again), next(&mut of_outlooks)), ("third".into(), "later".into()));
}

/// A commit waits for what was sent before it, while the worker goes on sending.
fn waiting_ends() {
    let topics = Topics::create();
    let config = topics.config();
    let name = config.topic(topic::DEAD_LETTERS).name;
    let producer = Producer::new(&ClientSettings::new(&config.kafka).unwrap(), None).unwrap();
    let is_over = AtomicBool::new(false);
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
    };
    std::thread::scope(|scope| {
        // Without a pause, so that there is hardly a moment without one on its way.
        let sender = scope.spawn(|| {
            (0..2_000_000).any(|_| {
                send("meanwhile");
                is_over.load(Ordering::Relaxed)
            })
        });
        for _ in 0..3 {
            send("waited for");
            producer.wait_acknowledged().unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(sender.join().unwrap(), "the waits ended only when nothing more was sent");
    });
    producer.wait_acknowledged().unwrap();
}

/// Records that take long are taken in shorter slices; what a slice leaves comes in the next one, in order.
fn slices_end_early() {
    let topics = Topics::unmade();
    let dir = tempfile::tempdir().unwrap();
    let rule = |id: &str, when: &str| {
        format!("[[rule]]\nid = \"{id}\"\nwhere = \"station.id != ''\"\nwhen = \"{when}\"\n")
    };
    let never = (0..2_000).map(|number| rule(&format!("r{number}"), &format!("TMIN <= -{number}999.0")));
    let rules: String = never.chain([rule("all", "date > '1900-01-01'")]).collect();
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
}

/// Outputs are sent in bunches while a partition goes on; but where nothing more comes (here somebody's transaction is
/// open) they go out soon, long before the commit.
fn backlog_does_not_come() {
    let topics = Topics::unmade();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("rules.toml"),
        "[[rule]]\nid = \"r\"\nstation = \"USC00000001\"\nwhen = \"TMIN <= 10.0\"\n",
    )
    .unwrap();
    std::fs::write(
        dir.path().join("frostline.toml"),
        "[alert]\nsource = \"noaa-json\"\n[topics]\nnoaa-json = { partitions = 1 }\n\
         [runtime]\nguarantee = \"at_least_once\"\ncommit_interval_ms = 60000\n\
         transaction_timeout_ms = 240000\nstall_timeout_ms = 480000\n",
    )
    .unwrap();
    let frostline = || topics.frostline().in_dir(dir.path());
    frostline().args(["topics", "create"]).run().expect_code(0);
    let value =
        r#"{"station":{"id":"USC00000001","country_code":"US"},"date":"2024-01-01T00:00:00","TMIN":5.0}"#;
    let record: KeyValue<'_> = (Some(b"USC00000001"), Some(value.as_bytes()));
    topics.send(topic::JSON, &[record]);
    let transaction =
        TransactionSettings { transactional_id: format!("{}open", topics.namespace), timeout_ms: 60_000 };
    let settings = ClientSettings::new(&topics.config().kafka).unwrap();
    let somebody = Producer::new(&settings, Some(&transaction)).unwrap();
    somebody.ready().unwrap();
    topics.send_through(&somebody, -1, topic::JSON, &[record; 2_000]);
    let daemon = frostline().args(["run", "--stages", "alert"]).start();
    wait_for("the alert", Duration::from_secs(20), || {
        let alerts = topics.records(topic::ALERTS);
        (alerts.len() == 1).then_some(())
    });
    daemon.signal("TERM");
    daemon.wait().expect_code(0);
    somebody.abort();
}
