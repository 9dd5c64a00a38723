//! Health and metrics over HTTP, of a real daemon on a real broker.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Frostline, Needs, Running, Test, Topics, broker, free_port, http, http_get, test};

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

/// A daemon whose alert stage is at work, with its admin port.
fn at_work(topics: &Topics, dir: &tempfile::TempDir) -> (Running, u16) {
    std::fs::write(dir.path().join("rules.toml"), RULES).unwrap();
    let port = free_port();
    let running = daemon(topics, &format!("127.0.0.1:{port}")).in_dir(dir.path()).start();
    wait_for(port, "/health/ready", |status, body| status == 200 && body.contains(":5,"));
    (running, port)
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
    assert!(get("/api/v1/alerts?limit=minus").contains("400"));
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
    let slow: Vec<TcpStream> = (0..SLOW)
        .filter_map(|number| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
            if number % 2 == 0 {
                stream.write_all(b"GET / HTT").ok()?;
            }
            Some(stream)
        })
        .collect();
    println!("{} slow connections were open", slow.len());
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
    println!("200 alerts beside them after {:?}", before.elapsed());
    drop(slow);
    wait_for(port, "/health/live", |status, _| status == 200);
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
        let after =
            crate::support::wait_for("the commit that Kafka tells of", Duration::from_secs(10), || {
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

fn top() {
    let (topics, dir) = (Topics::create(), tempfile::tempdir().unwrap());
    let (running, port) = at_work(&topics, &dir);
    let url = format!("http://127.0.0.1:{port}");
    let value = br#"{"station":{"id":"USC00020080"},"date":"2016-02-24","TMIN":1.5}"#;
    topics.send("noaa-json", &[(Some(b"USC00020080"), Some(value))]);
    wait_for(port, "/api/v1/alerts", |_, body| body.contains("USC00020080"));
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
    assert!(nobody.err.contains("nobody answers") && nobody.err.contains(&url), "{nobody}");
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
    wait_for(port, "/health/ready", |status, body| status == 200 && body.contains(":5,"));
    let sent = Instant::now();
    for day in 1..=2 {
        let value = format!(r#"{{"station":{{"id":"USC00020080"}},"date":"2016-02-0{day}","TMIN":1.5}}"#);
        topics.send("noaa-json", &[(Some(b"USC00020080"), Some(value.as_bytes()))]);
    }
    let body = wait_for(port, "/health/ready", |status, _| status == 503);
    println!("readiness was red {:?} after the first record: {body}", sent.elapsed());
    assert!(body.contains("stage alert has not moved in partition"), "{body}");
    let outcome = running.wait().expect_code(1);
    assert!(outcome.err.contains("error: ") && outcome.err.contains("stage alert"), "{outcome}");
}

fn change_rules() {
    let (topics, dir) = (Topics::create(), tempfile::tempdir().unwrap());
    let (port, token) = (free_port(), "a-token-of-more-than-thirty-two-bytes");
    let start = |token: &str| {
        daemon(&topics, &format!("127.0.0.1:{port}"))
            .args(["--set", "alert.rules=topic", "--set", &format!("admin.token={token}")])
            .in_dir(dir.path())
            .start()
    };
    let bearer = format!("Bearer {token}");
    let ask = |method: &str, path: &str, body: &str| -> (u16, Value) {
        let (status, body) = http(port, method, path, &[("Authorization", &bearer)], body).unwrap();
        (status, serde_json::from_str(&body).unwrap())
    };
    // Without a token nobody can, not even from here.
    let running = start("");
    wait_for(port, "/health/live", |status, _| status == 200);
    let (status, body) = ask("POST", "/api/v1/rules", RULES);
    assert!(status == 403 && body["error"].as_str().unwrap().contains("admin.token"), "{body}");
    running.signal("TERM");
    running.wait().expect_code(0);

    let running = start(token);
    wait_for(port, "/health/live", |status, _| status == 200);
    assert_eq!(http(port, "POST", "/api/v1/rules", &[], RULES).unwrap().0, 401);
    let (status, body) =
        ask("POST", "/api/v1/rules", "[[rule]]\nid = \"r\"\nwhere = \"true\"\nwhen = \"TMIM < 1\"\n");
    assert!(status == 422 && body["mistakes"][0]["line"] == 4, "{body}");
    let (status, body) = ask("POST", "/api/v1/rules", RULES);
    assert_eq!((status, &body["added"], &body["published"]), (200, &1.into(), &true.into()), "{body}");
    // In force at once.
    let value = br#"{"station":{"id":"USC00020080"},"date":"2016-02-24","TMIN":1.5}"#;
    topics.send("noaa-json", &[(Some(b"USC00020080"), Some(value))]);
    crate::support::wait_for("the alert", Duration::from_secs(30), || {
        (topics.records("noaa-json-alerts").len() == 1).then_some(())
    });
    let rules = ask("GET", "/api/v1/rules", "").1;
    assert_eq!((&rules[0]["id"], &rules[0]["version"]), (&"r".into(), &1.into()));
    let (status, body) = ask("DELETE", "/api/v1/rules/nobody", "");
    assert!(status == 422 && body["error"].as_str().unwrap().contains("nobody"), "{body}");
    let (status, body) = ask("DELETE", "/api/v1/rules/r", "");
    assert_eq!((status, &body["removed"]), (200, &1.into()), "{body}");
    let too_much = "#".repeat(5 << 20);
    assert!(
        http(port, "POST", "/api/v1/rules", &[("Authorization", &bearer)], &too_much)
            .is_none_or(|(s, _)| s == 413)
    );
    running.signal("TERM");
    let outcome = running.wait().expect_code(0);
    assert!(
        outcome.err.contains("rules were changed over HTTP") && !outcome.err.contains(token),
        "{outcome}"
    );
}
