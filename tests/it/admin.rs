//! Health and metrics over HTTP, of a real daemon on a real broker.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Frostline, Needs, Test, Topics, test};

const BROKER: &[Needs] = &[Needs::Broker];

pub fn tests() -> Vec<Test> {
    vec![
        test("health_metrics_and_partitions_over_http", BROKER, over_http),
        test("another_address_needs_a_token", BROKER, needs_a_token),
        test("an_address_that_is_taken_does_not_stop_the_daemon", BROKER, address_taken),
    ]
}

const RULES: &str = "[[rule]]\nid = \"r\"\nwhere = \"true\"\nwhen = \"TMIN <= 10.0\"\n";

/// Status and body of a request with these headers.
fn get(port: u16, path: &str, headers: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

const HOST: &str = "Host: 127.0.0.1\r\n";

/// Asks until the answer is right.
fn wait_for(port: u16, path: &str, is_right: impl Fn(u16, &str) -> bool) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = get(port, path, HOST);
        if let Some((status, body)) = &answer
            && is_right(*status, body)
        {
            return body.clone();
        }
        assert!(Instant::now() < deadline, "{path}: {answer:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn daemon(topics: &Topics, listen: &str) -> Frostline {
    let settings = ["--set", "alert.source=noaa-json", "--set", "runtime.workers=1"];
    topics.frostline().args(["run", "--stages", "alert"]).args(settings).env("FROSTLINE_ADMIN_LISTEN", listen)
}

fn over_http() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rules.toml"), RULES).unwrap();
    let port = free_port();
    let running = daemon(&topics, &format!("127.0.0.1:{port}")).in_dir(dir.path()).start();
    wait_for(port, "/health/live", |status, body| status == 200 && body.contains("live"));
    let value = br#"{"station":{"id":"USC00020080"},"date":"2016-02-24","TMIN":1.5}"#;
    topics.send("noaa-json", &[(Some(b"USC00020080"), Some(value))]);
    wait_for(port, "/metrics", |status, body| {
        status == 200 && body.contains("frostline_stage_total{stage=\"alert\",kind=\"alerts\"} 1")
    });
    let metrics = wait_for(port, "/metrics", |_, body| body.contains("frostline_commit_seconds_bucket"));
    assert!(metrics.contains("# HELP frostline_stage_total"), "{metrics}");
    assert!(
        metrics.contains("frostline_partition_lag_records{stage=\"alert\",partition=\"0\"} 0"),
        "{metrics}"
    );
    let ready = wait_for(port, "/health/ready", |status, _| status == 200);
    let ready: Value = serde_json::from_str(&ready).unwrap();
    assert_eq!((&ready["partitions"], &ready["status"]), (&5.into(), &"ready".into()));
    let partitions: Value =
        serde_json::from_str(&wait_for(port, "/api/v1/partitions", |status, _| status == 200)).unwrap();
    assert_eq!(partitions.as_array().unwrap().len(), 5);
    assert!(partitions[0]["phase"] == "running" && partitions[0]["stage"] == "alert", "{partitions}");
    let stages: Value =
        serde_json::from_str(&wait_for(port, "/api/v1/stages", |status, _| status == 200)).unwrap();
    assert_eq!(stages[0]["counts"]["alerts"], 1);
    // A page in a browser that reaches us under a name of its own is none of us.
    assert_eq!(get(port, "/metrics", "Host: evil.example\r\n").unwrap().0, 403);
    assert_eq!(get(port, "/nowhere", HOST).unwrap().0, 404);
    running.signal("TERM");
    running.wait().expect_code(0);
}

fn needs_a_token() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rules.toml"), RULES).unwrap();
    let port = free_port();
    let refused = daemon(&topics, &format!("0.0.0.0:{port}")).in_dir(dir.path()).run().expect_code(2);
    assert!(refused.err.contains("admin.token"), "{refused}");
    let token = "a-token-of-more-than-thirty-two-bytes";
    let running = daemon(&topics, &format!("0.0.0.0:{port}"))
        .env("TOKEN_OF_TEST", token)
        .args(["--set", "admin.token=${env:TOKEN_OF_TEST}"])
        .in_dir(dir.path())
        .start();
    wait_for(port, "/health/live", |status, _| status == 200);
    assert_eq!(get(port, "/metrics", HOST).unwrap().0, 401);
    assert_eq!(get(port, "/metrics", &format!("{HOST}Authorization: Bearer wrong\r\n")).unwrap().0, 401);
    assert_eq!(get(port, "/metrics", &format!("{HOST}Authorization: Bearer {token}\r\n")).unwrap().0, 200);
    running.signal("TERM");
    let outcome = running.wait().expect_code(0);
    assert!(!outcome.err.contains(token), "{outcome}");
}

fn address_taken() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rules.toml"), RULES).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let outcome = daemon(&topics, &listen).arg("--until-caught-up").in_dir(dir.path()).run().expect_code(0);
    assert!(outcome.err.contains("no health and metrics") && outcome.err.contains(&listen), "{outcome}");
}
