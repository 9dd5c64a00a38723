//! Health and metrics over HTTP, of a real daemon on a real broker.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::support::{
    Frostline, Needs, Running, Test, Topics, broker, free_port, http, http_get, test, wait_for,
};

const BROKER: &[Needs] = &[Needs::Broker];

pub fn tests() -> Vec<Test> {
    vec![
        test("health_metrics_and_partitions_over_http", BROKER, over_http),
        test("another_address_needs_a_token", BROKER, needs_a_token),
        test("an_address_that_is_taken_does_not_stop_the_daemon", BROKER, address_taken),
        test("hostile_requests_are_answered_or_dropped_and_the_stream_goes_on", BROKER, hostile),
        test("lag_is_what_kafka_itself_says", BROKER, lag),
        test("top_shows_a_running_daemon", BROKER, top),
        test("rules_are_changed_over_http_by_those_who_have_the_token", BROKER, change_rules),
        test(
            "a_partition_that_is_held_turns_readiness_red_before_the_watchdog_ends_the_daemon",
            BROKER,
            held,
        ),
        test("a_daemon_without_a_terminal_logs_json", BROKER, json_log),
        test("each_process_answers_for_its_own_keys_and_names_who_has_the_others", BROKER, state_by_key),
    ]
}

const RULES: &str = "[[rule]]\nid = \"r\"\nwhere = \"true\"\nwhen = \"TMIN <= 10.0\"\n";

const HOST: &str = "Host: 127.0.0.1\r\n";

/// Asks until the answer is right.
#[track_caller]
fn wait_until(port: u16, path: &str, is_right: impl Fn(u16, &str) -> bool) -> String {
    wait_for(&format!("the right answer to {path}"), Duration::from_secs(60), || {
        http_get(port, path, &[]).filter(|(status, body)| is_right(*status, body)).map(|(_, body)| body)
    })
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
    wait_until(port, "/health/live", |status, body| status == 200 && body.contains("live"));
    let value = br#"{"station":{"id":"USC00020080"},"date":"2016-02-24","TMIN":1.5}"#;
    topics.send("noaa-json", &[(Some(b"USC00020080"), Some(value))]);
    wait_until(port, "/metrics", |status, body| {
        status == 200 && body.contains("frostline_stage_total{stage=\"alert\",kind=\"alerts\"} 1")
    });
    let metrics = wait_until(port, "/metrics", |_, body| body.contains("frostline_commit_seconds_bucket"));
    assert!(metrics.contains("# HELP frostline_stage_total"), "{metrics}");
    assert!(
        metrics.contains("frostline_partition_lag_records{stage=\"alert\",partition=\"0\"} 0"),
        "{metrics}"
    );
    let ready = wait_until(port, "/health/ready", |status, _| status == 200);
    let ready: Value = serde_json::from_str(&ready).unwrap();
    assert_eq!((&ready["partitions"], &ready["status"]), (&5.into(), &"ready".into()));
    let partitions: Value =
        serde_json::from_str(&wait_until(port, "/api/v1/partitions", |status, _| status == 200)).unwrap();
    assert_eq!(partitions.as_array().unwrap().len(), 5);
    assert!(partitions[0]["phase"] == "running" && partitions[0]["stage"] == "alert", "{partitions}");
    let stages: Value =
        serde_json::from_str(&wait_until(port, "/api/v1/stages", |status, _| status == 200)).unwrap();
    assert_eq!(stages[0]["counts"]["alerts"], 1);
    // A page in a browser that reaches us under a name of its own is none of us.
    assert_eq!(http_get(port, "/metrics", &[("Host", "evil.example")]).unwrap().0, 403);
    assert_eq!(http_get(port, "/nowhere", &[]).unwrap().0, 404);
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
    wait_until(port, "/health/live", |status, _| status == 200);
    assert_eq!(http_get(port, "/metrics", &[]).unwrap().0, 401);
    assert_eq!(http_get(port, "/metrics", &[("Authorization", "Bearer wrong")]).unwrap().0, 401);
    assert_eq!(http_get(port, "/metrics", &[("Authorization", &format!("Bearer {token}"))]).unwrap().0, 200);
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
    assert!(
        outcome.err.contains("running without page, health and metrics") && outcome.err.contains(&listen),
        "{outcome}"
    );
}

/// A daemon whose alert stage is at work, with its admin port.
fn at_work(topics: &Topics, dir: &tempfile::TempDir) -> (Running, u16) {
    std::fs::write(dir.path().join("rules.toml"), RULES).unwrap();
    let port = free_port();
    let running = daemon(topics, &format!("127.0.0.1:{port}")).in_dir(dir.path()).start();
    wait_until(port, "/health/ready", |status, body| status == 200 && body.contains(":5,"));
    (running, port)
}

/// Connections that say nothing, or only half of it, on a thread of their own until this is dropped.
struct SlowConnections(Option<tokio::sync::oneshot::Sender<()>>, Option<std::thread::JoinHandle<()>>);

impl SlowConnections {
    /// Tries to open so many at once; `open` counts those that the server's system has taken. Most of the others wait in
    /// its queue for all of the test.
    fn open(port: u16, count: usize, open: &Arc<AtomicUsize>) -> Self {
        let (end, ended) = tokio::sync::oneshot::channel();
        let open = Arc::clone(open);
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            for number in 0..count {
                let open = Arc::clone(&open);
                runtime.spawn(async move {
                    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
                    if number % 2 == 0 {
                        stream.write_all(b"GET / HTT").await?;
                    }
                    open.fetch_add(1, Ordering::Relaxed);
                    std::future::pending::<std::io::Result<()>>().await
                });
            }
            let _ = runtime.block_on(ended);
        };
        Self(Some(end), Some(std::thread::spawn(run)))
    }
}

impl Drop for SlowConnections {
    fn drop(&mut self) {
        drop(self.0.take());
        let _ = self.1.take().map(std::thread::JoinHandle::join);
    }
}

fn hostile() {
    const SLOW: usize = 10_000;
    let (topics, dir) = (Topics::create(), tempfile::tempdir().unwrap());
    let (running, port) = at_work(&topics, &dir);
    let raw = |bytes: &[u8]| -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // It may hang up in the middle of it.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
    };
    let get = |path: &str| raw(format!("GET {path} HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n").as_bytes());
    for path in [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/app.js/../openapi.json",
        "/api/v1/..",
        "/api/v2/x",
    ] {
        let answer = get(path);
        assert!(answer.contains("404") || answer.contains("400"), "{path}: {answer}");
    }
    assert!(get("/api/v1/stations/..%2f..%2fx").contains("404"));
    let (status, body) = http_get(port, "/api/v1/alerts?limit=minus", &[]).unwrap();
    assert!(status == 400 && serde_json::from_str::<Value>(&body).unwrap()["error"].is_string(), "{body}");
    assert!(get("/api/v1/alerts?limit=99999999").contains("200"), "more than there is");
    let huge = format!("GET / HTTP/1.1\r\n{HOST}X: {}\r\n\r\n", "x".repeat(1 << 20));
    let answer = raw(huge.as_bytes());
    assert!(answer.is_empty() || answer.contains("431") || answer.contains("400"), "{answer}");
    let post = format!(
        "POST /api/v1/rules HTTP/1.1\r\n{HOST}Connection: close\r\nContent-Length: 9\r\n\r\n[[rule]]\n"
    );
    assert!(raw(post.as_bytes()).contains("40"), "nothing here is changed from outside");
    for garbage in [&b"\x16\x03\x01\x02\x00"[..], b"GET\r\n\r\n", b"\0\0\0\0", b"GET / HTTP/9.9\r\n\r\n"] {
        let answer = raw(garbage);
        assert!(
            answer.is_empty() || answer.contains("400") || answer.contains("505") || answer.contains("408"),
            "{answer}"
        );
    }
    // Thousands of connections that say nothing, or only half of it.
    let open = Arc::new(AtomicUsize::new(0));
    let slow = SlowConnections::open(port, SLOW, &open);
    wait_for("a thousand of them", Duration::from_secs(30), || {
        (open.load(Ordering::Relaxed) > 1_000).then_some(())
    });
    wait_until(port, "/health/live", |status, _| status == 200);
    let before = Instant::now();
    let values: Vec<String> = (0..200)
        .map(|n| format!(r#"{{"station":{{"id":"USC{n:08}"}},"date":"2016-02-24","TMIN":1.5}}"#))
        .collect();
    let keys: Vec<String> = (0..200).map(|n| format!("USC{n:08}")).collect();
    let records: Vec<_> =
        keys.iter().zip(&values).map(|(key, value)| (Some(key.as_bytes()), Some(value.as_bytes()))).collect();
    topics.send("noaa-json", &records);
    let alerts = || topics.records("noaa-json-alerts").len();
    while alerts() < 200 {
        assert!(before.elapsed() < Duration::from_secs(30), "the stream stands still");
    }
    let (after, open) = (before.elapsed(), open.load(Ordering::Relaxed));
    println!("200 alerts after {after:?}, beside {SLOW} slow connections, {open} of them open");
    drop(slow);
    wait_until(port, "/health/live", |status, _| status == 200);
    running.signal("TERM");
    running.wait().expect_code(0);
}

/// Lag of the stage `assemble`, as the daemon tells it.
fn own_lag(port: u16) -> Option<i64> {
    let (_, body) = http_get(port, "/api/v1/stages", &[])?;
    let stages: Value = serde_json::from_str(&body).unwrap();
    stages[0]["lag_records"].as_i64()
}

/// The same, as Kafka's own tool tells it.
/// `None` while a partition has no commit.
fn kafka_lag(group: &str) -> Option<i64> {
    let libs = concat!(env!("CARGO_MANIFEST_DIR"), "/target/kafka-libs/*");
    let tool = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
    let output = std::process::Command::new("java")
        .args(["-cp", libs, tool, "--bootstrap-server", broker(), "--describe", "--group", group])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let head = text.lines().find(|line| line.contains("LAG")).unwrap_or_else(|| panic!("{text}"));
    let column = head.split_whitespace().position(|name| name == "LAG").unwrap();
    let rows = text.lines().filter(|line| line.contains(group));
    let lags: Vec<i64> =
        rows.filter_map(|row| row.split_whitespace().nth(column)?.parse::<i64>().ok()).collect();
    (lags.len() == 5).then(|| lags.iter().sum())
}

fn lag() {
    let (topics, dir) = (Topics::create(), tempfile::tempdir().unwrap());
    let run =
        |arguments: &[&str]| topics.frostline().args(arguments.iter().copied()).in_dir(dir.path()).run();
    std::fs::write(dir.path().join("rules.toml"), RULES).unwrap();
    run(&["generate", "--topic", "noaa-csv-raw", "--stations", "2000", "--days", "150"]).expect_code(0);
    run(&["generate", "--stations-file", "s.txt", "--stations", "2000"]).expect_code(0);
    std::fs::write(dir.path().join("c.txt"), "US United States\n").unwrap();
    std::fs::write(dir.path().join("st.txt"), "AZ ARIZONA\n").unwrap();
    run(&["stations", "import", "s.txt", "--countries", "c.txt", "--states", "st.txt"]).expect_code(0);
    let port = free_port();
    let running = topics
        .frostline()
        .args(["run", "--stages", "assemble", "--workers", "1"])
        .env("FROSTLINE_ADMIN_LISTEN", &format!("127.0.0.1:{port}"))
        .in_dir(dir.path())
        .start();
    let group = format!("{}frostline-assemble", topics.namespace);
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut compared = Vec::new();
    loop {
        assert!(Instant::now() < deadline, "it does not catch up: {compared:?}");
        let Some(before) = own_lag(port) else {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        // Nothing new is written, so what Kafka says lies between two looks of ours.
        let Some(kafka) = kafka_lag(&group) else { continue };
        // The daemon knows of its commit a moment after Kafka does.
        let after = wait_for("the commit that Kafka tells of", Duration::from_secs(10), || {
            own_lag(port).filter(|after| *after <= kafka)
        });
        assert!(kafka <= before, "{after} <= {kafka} <= {before}");
        compared.push((before, kafka, after));
        if before == 0 {
            break;
        }
    }
    println!("lag of the daemon, of Kafka's tool, of the daemon again: {compared:?}");
    running.signal("TERM");
    running.wait().expect_code(0);
}

/// Asks one of two processes for a station, and the other one where that is told to have it. Status of the first answer,
/// and the right answer.
fn ask_either(port: u16, station: &str, other: u16) -> Option<(u16, Value)> {
    let path = format!("/api/v1/state/alert/{station}");
    let (status, body) = http_get(port, &path, &[])?;
    let answer: Value = serde_json::from_str(&body).unwrap();
    match status {
        200 => Some((200, answer)),
        307 => {
            assert_eq!(answer["owner"]["address"], format!("127.0.0.1:{other}"), "{answer}");
            let (status, body) = http_get(other, &path, &[])?;
            (status == 200).then(|| (307, serde_json::from_str(&body).unwrap()))
        }
        // A rebalance is under way.
        503 => None,
        _ => panic!("{status}: {answer}"),
    }
}

fn state_by_key() {
    let topics = Topics::create();
    let rules = format!(
        "{RULES}[[rule]]\nid = \"e\"\nwhere = \"true\"\nwhen = \"TMIN <= 10.0\"\nclear = \"TMIN > 12.0\"\n"
    );
    let start = |port: u16| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("rules.toml"), &rules).unwrap();
        (daemon(&topics, &format!("127.0.0.1:{port}")).in_dir(dir.path()).start(), dir)
    };
    let (one, two) = (free_port(), free_port());
    let (first, _first_dir) = start(one);
    wait_until(one, "/health/ready", |status, body| status == 200 && body.contains(":5,"));
    let (second, _second_dir) = start(two);
    wait_until(two, "/health/ready", |status, body| status == 200 && !body.contains(":0,"));
    let stations: Vec<String> = (0..40).map(|n| format!("USC{n:08}")).collect();
    let value =
        |station: &String| format!(r#"{{"station":{{"id":"{station}"}},"date":"2016-02-24","TMIN":1.5}}"#);
    let values: Vec<String> = stations.iter().map(value).collect();
    let records: Vec<_> =
        stations.iter().zip(&values).map(|(k, v)| (Some(k.as_bytes()), Some(v.as_bytes()))).collect();
    topics.send("noaa-json", &records);
    wait_for("the alerts", Duration::from_secs(30), || {
        (topics.records("noaa-json-alerts").len() == 80).then_some(())
    });
    // Where partitions end with the marks of transactions, the last records are found all the same.
    let tail = topics.frostline().args(["tail", "noaa-json-alerts", "-n", "7", "--json"]).run();
    assert_eq!(tail.expect_code(0).json_lines().len(), 7);
    let ask_all = |port: u16, other: u16| -> Vec<u16> {
        let ask = |station: &String| {
            let what = format!("the state of {station}");
            let (status, answer) =
                wait_for(&what, Duration::from_secs(30), || ask_either(port, station, other));
            let entries = answer["entries"].as_array().unwrap();
            assert_eq!((answer["key"].as_str(), entries.len()), (Some(station.as_str()), 2), "{answer}");
            let episode = entries.iter().find(|entry| entry["rule"] == "e").unwrap();
            assert_eq!(episode["standing_since"], "2016-02-24", "{answer}");
            let day = entries.iter().find(|entry| entry["rule"] == "r").unwrap();
            assert_eq!((&day["date"], &day["stands"]), (&"2016-02-24".into(), &true.into()), "{answer}");
            status
        };
        stations.iter().map(ask).collect()
    };
    let here = |statuses: &[u16]| statuses.iter().filter(|status| **status == 200).count();
    let (of_one, of_two) = (ask_all(one, two), ask_all(two, one));
    println!(
        "of 40 stations {} are with the first process, {} with the second",
        here(&of_one),
        here(&of_two)
    );
    assert!(here(&of_one) > 0 && here(&of_two) > 0 && here(&of_one) + here(&of_two) == 40);
    for (path, expected) in [
        ("/api/v1/state/alert/USC99999999", "entries"),
        ("/api/v1/state/alert/short", "11 characters"),
        ("/api/v1/state/filter/USC00000001", "keeps no state"),
        ("/api/v1/state/nothing/USC00000001", "unknown stage"),
        ("/api/v1/state/deliver/subscriber/ops", "no process has partition"),
    ] {
        let (status, body) = http_get(one, path, &[]).unwrap();
        let is_elsewhere = status == 307 && path.contains("99999999");
        assert!(body.contains(expected) || is_elsewhere, "{path}: {status} {body}");
    }
    let processes: Value = serde_json::from_str(&http_get(one, "/api/v1/processes", &[]).unwrap().1).unwrap();
    let processes = processes.as_array().unwrap();
    let of = |port: u16| {
        let address = format!("127.0.0.1:{port}");
        processes
            .iter()
            .find(|process| process["address"] == address.as_str())
            .unwrap_or_else(|| panic!("{processes:?}"))
    };
    let partitions = |port: u16| of(port)["partitions"]["alert"].as_array().unwrap().len();
    assert_eq!((processes.len(), partitions(one) + partitions(two)), (2, 5));
    assert_eq!((&of(one)["is_this"], &of(two)["is_this"]), (&true.into(), &false.into()));
    // The one that stays takes over what the other one had.
    second.signal("TERM");
    second.wait().expect_code(0);
    wait_until(one, "/health/ready", |status, body| status == 200 && body.contains(":5,"));
    assert_eq!(here(&ask_all(one, two)), 40);
    first.signal("TERM");
    first.wait().expect_code(0);
}

fn top() {
    let (topics, dir) = (Topics::create(), tempfile::tempdir().unwrap());
    let (running, port) = at_work(&topics, &dir);
    let url = format!("http://127.0.0.1:{port}");
    let value = br#"{"station":{"id":"USC00020080"},"date":"2016-02-24","TMIN":1.5}"#;
    topics.send("noaa-json", &[(Some(b"USC00020080"), Some(value))]);
    wait_until(port, "/api/v1/alerts", |_, body| body.contains("USC00020080"));
    let shown = Frostline::new().args(["top", "--once", "--url", &url]).run().expect_code(0);
    assert!(
        shown.out.contains("ready") && shown.out.contains("1 alerts") && shown.out.contains("TMIN 1.5"),
        "{shown}"
    );
    let refused = Frostline::new().args(["top", "--url", &url]).run().expect_code(2);
    assert!(refused.err.contains("--once"), "{refused}");
    running.signal("TERM");
    running.wait().expect_code(0);
    let nobody = Frostline::new().args(["top", "--once", "--url", &url]).run().expect_code(1);
    assert!(nobody.err.contains("connection refused") && nobody.err.contains(&url), "{nobody}");
}

fn json_log() {
    let (topics, dir) = (Topics::create(), tempfile::tempdir().unwrap());
    std::fs::write(dir.path().join("rules.toml"), RULES).unwrap();
    let run = |format: Option<&str>| {
        let listen = format!("127.0.0.1:{}", free_port());
        let command = daemon(&topics, &listen).arg("--until-caught-up").in_dir(dir.path());
        match format {
            Some(format) => command.args(["--log-format", format]).run(),
            None => command.env_remove("FROSTLINE_LOG_FORMAT").run(),
        }
    };
    for outcome in [run(None).expect_code(0), run(Some("json")).expect_code(0)] {
        assert!(outcome.err.lines().count() > 0, "{outcome}");
        for line in outcome.err.lines() {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(
                event["level"].is_string() && event["timestamp"].is_string() && event["message"].is_string()
            );
        }
    }
    let text = run(Some("text")).expect_code(0);
    assert!(!text.err.contains('{') || !text.err.starts_with('{'), "{text}");
}

fn held() {
    let (topics, dir) = (Topics::create(), tempfile::tempdir().unwrap());
    std::fs::write(dir.path().join("rules.toml"), RULES).unwrap();
    let port = free_port();
    // The thread of all partitions hangs in its second commit; after half of the time-out that shows.
    let running = daemon(&topics, &format!("127.0.0.1:{port}"))
        .args(["--set", "runtime.stall_timeout_ms=10000", "--set", "runtime.transaction_timeout_ms=5000"])
        .args(["--set", "runtime.shutdown_timeout_ms=1000"])
        .env("FROSTLINE_FAULT_POINT", "after-sled:2:hang")
        .in_dir(dir.path())
        .start();
    wait_until(port, "/health/ready", |status, body| status == 200 && body.contains(":5,"));
    let sent = Instant::now();
    for day in 1..=2 {
        let value = format!(r#"{{"station":{{"id":"USC00020080"}},"date":"2016-02-0{day}","TMIN":1.5}}"#);
        topics.send("noaa-json", &[(Some(b"USC00020080"), Some(value.as_bytes()))]);
    }
    let body = wait_until(port, "/health/ready", |status, _| status == 503);
    println!("readiness was red {:?} after the first record: {body}", sent.elapsed());
    assert!(body.contains("stage alert has not moved in partition"), "{body}");
    let outcome = running.wait().expect_code(1);
    assert!(outcome.err.contains("error: ") && outcome.err.contains("stage alert"), "{outcome}");
}

fn change_rules() {
    let (topics, dir) = (Topics::create(), tempfile::tempdir().unwrap());
    let (port, token) = (free_port(), "a-token-of-more-than-thirty-two-bytes");
    std::fs::write(dir.path().join("rules.toml"), RULES).unwrap();
    let start = |token: &str, rules: &str| {
        daemon(&topics, &format!("127.0.0.1:{port}"))
            .args(["--set", &format!("alert.rules={rules}"), "--set", &format!("admin.token={token}")])
            .in_dir(dir.path())
            .start()
    };
    let bearer = format!("Bearer {token}");
    let ask = |method: &str, path: &str, body: &str| -> (u16, Value) {
        let (status, body) = http(port, method, path, &[("Authorization", &bearer)], body).unwrap();
        (status, serde_json::from_str(&body).unwrap())
    };
    // Without a token nobody can, not even from here.
    let running = start("", "topic");
    wait_until(port, "/health/live", |status, _| status == 200);
    let (status, body) = ask("POST", "/api/v1/rules", RULES);
    assert!(status == 403 && body["error"].as_str().unwrap().contains("admin.token"), "{body}");
    running.signal("TERM");
    running.wait().expect_code(0);

    let running = start(token, "topic");
    wait_until(port, "/health/live", |status, _| status == 200);
    assert_eq!(http(port, "POST", "/api/v1/rules", &[], RULES).unwrap().0, 401);
    let (status, body) =
        ask("POST", "/api/v1/rules", "[[rule]]\nid = \"r\"\nwhere = \"true\"\nwhen = \"TMIM < 1\"\n");
    assert!(status == 422 && body["mistakes"][0]["line"] == 4, "{body}");
    let (status, body) = ask("POST", "/api/v1/rules", RULES);
    assert_eq!((status, &body["added"], &body["published"]), (200, &1.into(), &true.into()), "{body}");
    assert!(body["note"].is_null(), "{body}");
    // In force at once.
    let value = br#"{"station":{"id":"USC00020080"},"date":"2016-02-24","TMIN":1.5}"#;
    topics.send("noaa-json", &[(Some(b"USC00020080"), Some(value))]);
    wait_for("the alert", Duration::from_secs(30), || {
        (topics.records("noaa-json-alerts").len() == 1).then_some(())
    });
    let rules = ask("GET", "/api/v1/rules", "").1;
    assert_eq!((&rules[0]["id"], &rules[0]["version"]), (&"r".into(), &1.into()));
    let (status, body) = ask("DELETE", "/api/v1/rules/nobody", "");
    assert!(status == 422 && body["error"].as_str().unwrap().contains("nobody"), "{body}");
    let (status, body) = ask("DELETE", "/api/v1/rules/r", "");
    assert_eq!((status, &body["removed"]), (200, &1.into()), "{body}");
    // Two at once wait for each other.
    let changes = std::thread::scope(|scope| {
        let two = [0, 1].map(|_| scope.spawn(|| ask("POST", "/api/v1/rules", RULES).1));
        two.map(|change| change.join().unwrap())
    });
    let added: u64 = changes.iter().map(|change| change["added"].as_u64().expect("it was published")).sum();
    assert_eq!(added, 1, "{changes:?}");
    let too_much = "#".repeat(5 << 20);
    assert!(
        http(port, "POST", "/api/v1/rules", &[("Authorization", &bearer)], &too_much)
            .is_none_or(|(s, _)| s == 413)
    );
    running.signal("TERM");
    let outcome = running.wait().expect_code(0);
    assert!(outcome.err.contains("rules changed over HTTP") && !outcome.err.contains(token), "{outcome}");

    // A daemon that reads a file publishes too, and says that it does not follow.
    let running = start(token, "rules.toml");
    wait_until(port, "/health/live", |status, _| status == 200);
    let (status, body) = ask("DELETE", "/api/v1/rules/r", "");
    assert!(status == 200 && body["note"].as_str().unwrap().contains("alert.rules"), "{body}");
    running.signal("TERM");
    assert!(running.wait().expect_code(0).err.contains("does not reach this daemon"));
}
