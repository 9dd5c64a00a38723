//! How the program begins and ends: signals, and limits of the system.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Needs, Test, Topics, test, wait_for};

pub fn tests() -> Vec<Test> {
    vec![
        test("a_terminal_that_is_closed_drains_the_daemon", &[Needs::Broker], hangup),
        test("a_daemon_that_crashes_leaves_no_core_dump", &[], core_dump),
        test("too_few_file_descriptors_are_refused_at_the_start", &[], descriptors),
        test("lines_for_the_journal_begin_with_their_level", &[], journal),
    ]
}

/// Whether the tests themselves run under `nohup`, which their children inherit.
fn is_under_nohup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() & 1 != 0
}

fn hangup() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    if is_under_nohup() {
        return;
    }
    let daemon = topics.frostline().args(["run", "--stages", "filter", "--json"]).in_dir(dir.path()).start();
    wait_for("the state directory", Duration::from_secs(30), || {
        dir.path().join("state/store/db").exists().then_some(())
    });
    std::thread::sleep(Duration::from_secs(2));
    // As a terminal that is closed does: once through the shell, once by itself.
    daemon.signal("HUP");
    daemon.signal("HUP");
    let outcome = daemon.wait().expect_code(0);
    assert!(outcome.err.contains("draining") && outcome.err.contains("Hangup"), "{outcome}");
    let tail = topics.frostline().args(["tail", "noaa-raw"]).start();
    std::thread::sleep(Duration::from_secs(2));
    tail.signal("HUP");
    tail.wait().expect_code(129);
}

/// Sends SIGABRT to what the shell command starts; returns whether the kernel wrote a core dump.
fn dumps_core(dir: &Path, command: &str) -> bool {
    let command = format!("ulimit -c unlimited && exec {command}");
    let mut child =
        Command::new("sh").args(["-c", &command]).current_dir(dir).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let sent = Command::new("kill").args(["-ABRT", &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(6), "it ended before: {status}");
    status.core_dumped()
}

fn core_dump() {
    let dir = tempfile::tempdir().unwrap();
    if !dumps_core(dir.path(), "sleep 60") {
        eprintln!("no core dumps on this machine (ulimit -c, kernel.core_pattern): nothing to compare with");
    }
    let run = format!(
        "{} run --stages filter --brokers 127.0.0.1:1 --set kafka.connect_timeout_ms=60000 --set admin.listen=",
        env!("CARGO_BIN_EXE_frostline")
    );
    assert!(!dumps_core(dir.path(), &run));
}

fn descriptors() {
    let dir = tempfile::tempdir().unwrap();
    let run = |limits: &str| {
        let command = format!(
            "ulimit {limits} && exec {} run --stages filter --workers 2 --brokers 127.0.0.1:1 --set \
             kafka.connect_timeout_ms=100 --set admin.listen=",
            env!("CARGO_BIN_EXE_frostline")
        );
        let output = Command::new("sh").args(["-c", &command]).current_dir(dir.path()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, err) = run("-n 60");
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("may open 60 files") && err.contains("ulimit -n"), "{err}");
    // The soft limit alone is no obstacle: it is raised, and the start goes on, up to the broker that is not there.
    let (code, err) = run("-S -n 60");
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("no Kafka broker answers"), "{err}");
}

fn journal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stderr");
    let stderr = std::fs::File::create(&path).unwrap();
    let place = stderr.metadata().unwrap();
    // A port that is in use: a warning comes before the error.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("admin.listen={}", taken.local_addr().unwrap());
    let run = |stream: String, stderr| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_frostline"));
        command.args(["run", "--stages", "filter", "--brokers", "127.0.0.1:1", "--set", &listen]);
        command.args(["--set", "kafka.connect_timeout_ms=500"]).env_remove("FROSTLINE_LOG_FORMAT");
        command.current_dir(dir.path()).env("JOURNAL_STREAM", stream).stderr(stderr);
        assert_eq!(command.status().unwrap().code(), Some(1));
        std::fs::read_to_string(&path).unwrap()
    };
    let text = run(format!("{}:{}", place.dev(), place.ino()), stderr);
    let (log, error) = text.trim_end().rsplit_once('\n').unwrap();
    assert!(error.starts_with("<3>error: no Kafka broker"), "{text}");
    assert!(log.contains("<4>{"), "{text}");
    assert!(log.lines().all(|line| line.starts_with("<6>{") || line.starts_with("<4>{")), "{text}");
    let text = run("1:1".to_owned(), std::fs::File::create(&path).unwrap());
    assert!(!text.contains('<'), "stderr is not the journal: {text}");
}
