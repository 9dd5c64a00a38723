//! The coordinator of a group is away for longer than somebody waits for its answer.

use std::time::Duration;

use frostline_engine::KafkaSettings;
use frostline_engine::kafka::{Admin, ClientSettings};

use crate::support::{Needs, Test, script, test, wait_for};

pub fn tests() -> Vec<Test> {
    vec![test("an_answer_that_comes_too_late_does_no_harm", &[Needs::Broker], late)]
}

const PATIENCE: Duration = Duration::from_secs(60);

/// With a shorter time-out of the request librdkafka aborts the process as soon as the broker is back.
fn late() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = |command: &str| {
        let done = script().arg(command).arg("--dir").arg(dir.path()).output().unwrap();
        assert!(done.status.success(), "{command}: {done:?}");
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    };
    let settings = KafkaSettings { brokers: kafka("start"), ..KafkaSettings::default() };
    let admin = Admin::new(&ClientSettings::new(&settings).unwrap()).unwrap();
    let members = || admin.count_members("nobody");
    // Until there is a coordinator, and the client knows it.
    wait_for("an answer", PATIENCE, || members().ok());
    kafka("kill");
    assert!(members().is_err());
    kafka("start");
    assert_eq!(wait_for("an answer", PATIENCE, || members().ok()), 0);
    kafka("stop");
}
