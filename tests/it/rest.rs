//! A process that has nothing to do.

use std::time::{Duration, Instant};

use crate::support::{Needs, Test, Topics, test};

pub fn tests() -> Vec<Test> {
    vec![test("a_process_at_rest_asks_rarely", &[Needs::Broker], asks_rarely)]
}

const SPAN: Duration = Duration::from_secs(2);
/// A thread sleeps once for each request. Under a backlog there are 50 a second, and at rest five.
const SLEEPS_MAX: u64 = 20 * SPAN.as_secs();

fn asks_rarely() {
    let (topics, dir) = (Topics::create(), tempfile::tempdir().unwrap());
    let rule = "[[rule]]\nid = \"r\"\nstation = \"USC00020080\"\nwhen = \"TMIN <= 10.0\"\n";
    std::fs::write(dir.path().join("rules.toml"), rule).unwrap();
    let mut daemon = topics.frostline().args(["run", "--stages", "alert"]).in_dir(dir.path()).start();
    daemon.until_said("running");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let before = daemon.sleeps("rdk:broker");
        std::thread::sleep(SPAN);
        let after = daemon.sleeps("rdk:broker");
        let most =
            after.iter().map(|(thread, sleeps)| sleeps - before.get(thread).unwrap_or(&0)).max().unwrap();
        if most <= SLEEPS_MAX {
            break;
        }
        assert!(Instant::now() < deadline, "a thread that asks for records slept {most} times in {SPAN:?}");
    }
    daemon.signal("TERM");
    daemon.wait().expect_code(0);
}
