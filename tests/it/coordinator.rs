//! Answers of the broker that come later than somebody waits for them.

use std::path::Path;
use std::time::Duration;

use frostline::config::topic;
use frostline_engine::KafkaSettings;
use frostline_engine::kafka::{Admin, ClientSettings, Outgoing, Producer};
use frostline_engine::record::unix_ms;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Frostline, Needs, Test, script, test, transactional, wait_for};

pub fn tests() -> Vec<Test> {
    vec![test("an_answer_that_comes_too_late_does_no_harm", &[Needs::Broker], late)]
}

const PATIENCE: Duration = Duration::from_secs(60);

fn late() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = |command: &str| {
        let done = script().arg(command).arg("--dir").arg(dir.path()).output().unwrap();
        assert!(done.status.success(), "{command}: {done:?}");
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    };
    let brokers = kafka("start");
    late_acknowledgement(&brokers, dir.path());
    let settings = KafkaSettings { brokers, ..KafkaSettings::default() };
    let admin = Admin::new(&ClientSettings::new(&settings).unwrap()).unwrap();
    let members = || admin.count_members("nobody");
    // Until there is a coordinator, and the client knows it. With a shorter time-out of the request librdkafka aborts
    // the process as soon as the broker is back.
    wait_for("an answer", PATIENCE, || members().ok());
    kafka("kill");
    assert!(members().is_err());
    kafka("start");
    assert_eq!(wait_for("an answer", PATIENCE, || members().ok()), 0);
    kafka("stop");
}

/// A record is written, but not acknowledged in time, and its transaction is aborted. The client would give its sequence
/// number to the next record, which the broker would take for a repetition and not write.
fn late_acknowledgement(brokers: &str, dir: &Path) {
    let frostline = |words: &[&str]| {
        Frostline::new().args(["--brokers", brokers]).args(words.iter().copied()).run().expect_code(0)
    };
    frostline(&["topics", "create"]);
    let client = [("socket.timeout.ms".to_owned(), "1000".to_owned())].into();
    let settings = KafkaSettings { brokers: brokers.to_owned(), client, ..KafkaSettings::default() };
    let producer = || transactional(&settings, "late");
    let send = |producer: &Producer, text: &str| {
        producer.send(&Outgoing::keyed(topic::CSV_RAW, b"USC00000001", text.as_bytes())).unwrap();
    };
    let pid = std::fs::read_to_string(dir.join("pid"))
        .unwrap()
        .trim()
        .parse()
        .ok()
        .and_then(Pid::from_raw)
        .unwrap();
    let mut producer_now = producer();
    send(&producer_now, "acknowledged");
    producer_now.wait_acknowledged().unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    send(&producer_now, "written");
    // The request is in the broker's socket, and the client ends the connection.
    std::thread::sleep(Duration::from_millis(2_500));
    std::thread::scope(|scope| {
        scope.spawn(|| producer_now.abort());
        std::thread::sleep(Duration::from_millis(500));
        kill_process(pid, Signal::CONT).unwrap();
    });
    if producer_now.is_spent() {
        drop(producer_now);
        producer_now = producer();
    }
    send(&producer_now, "committed");
    producer_now.commit().unwrap();
    // Also if somebody has seen the failure before.
    let refused = producer();
    let far_ahead_ms = unix_ms() + 48 * 3_600_000;
    let record = Outgoing::keyed(topic::CSV_RAW, b"USC00000001", b"refused");
    refused.send(&Outgoing { timestamp_ms: far_ahead_ms, ..record }).unwrap();
    assert!(refused.wait_acknowledged().is_err());
    refused.abort();
    assert!(refused.is_spent());
    let read = ["tail", topic::CSV_RAW, "--from-beginning", "--until-end", "--json"];
    let records = frostline(&read).json_lines();
    assert_eq!(records.iter().map(|record| &record["value"]).collect::<Vec<_>>(), ["committed"]);
}
