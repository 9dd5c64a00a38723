//! The contracts in machine form, checked by programs of others: the topics' by AsyncAPI's parser, alerts as a feed and as CAP,
//! the API by schemathesis.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::goldens::STATIONS;
use crate::references::root;
use crate::support::{
    Frostline, Needs, Running, Test, Topics, data, free_port, http_get, parse_asyncapi, parse_cap,
    parse_feed, python_program, test, wait_for,
};

pub fn tests() -> Vec<Test> {
    let checked = &[Needs::Broker, Needs::Python];
    vec![
        test("alerts_are_a_feed_and_valid_cap", checked, feed_and_cap),
        test("the_api_is_as_its_description_says", checked, api),
        test("topics_asyncapi_prints_the_contract_of_the_installation", &[], print_asyncapi),
        test("the_asyncapi_document_is_valid", &[Needs::Node], valid_asyncapi),
    ]
}

const NEWARK: &str = "USW00014734";
const TOKEN: &str = "a-token-of-more-than-thirty-two-bytes";
/// How long the API is tested.
const API_SECONDS: u32 = 30;
const RULES: &str = r#"
[[rule]]
id = "tonight"
station = "USW00014734"
when = "chance(0.0) >= 0.3"
[[rule]]
id = "now"
station = "USW00014734"
when = "T <= 0.0"
clear = "T > 2.0"
severity = "critical"
[[rule]]
id = "cold"
station = "USW00014734"
when = "TMIN <= 0.0"
clear = "TMIN > 2.0"
severity = "info"
message = "A <cold> day & night at {station.name}"
"#;

fn valid_asyncapi() {
    let mut found = parse_asyncapi(&root().join("docs/api/asyncapi.json"));
    let sums = found.pop().unwrap();
    assert!(sums["channels"] == 19 && sums["operations"].as_u64().unwrap() > 20, "{sums}");
    // 0 is an error, 1 a warning; advice on optional tags is less.
    found.retain(|found| found["severity"].as_u64().unwrap() <= 1);
    assert!(found.is_empty(), "{found:#?}");
}

/// A daemon that shows the alerts of some weeks of a winter and of three days.
fn daemon(topics: &Topics, dir: &TempDir) -> (Running, u16) {
    std::fs::write(dir.path().join("rules.toml"), RULES).unwrap();
    let config = "[alert]\nsource = \"noaa-json\"\nrules = \"rules.toml\"\n[admin]\ncap_sender = \"frost@example.org\"\n";
    std::fs::write(dir.path().join("frostline.toml"), config).unwrap();
    topics.import_stations(STATIONS);
    let weeks = dir.path().join("weeks.jsonl");
    let convert = Frostline::new().args(["convert", "--to", "2013-01-20", "--out"]).path(&weeks);
    convert.path(&data("extract/newark-2013.csv.gz")).run().expect_code(0);
    topics.frostline().args(["replay", "--topic", "noaa-hourly"]).path(&weeks).run().expect_code(0);
    let day = |date: &str, revision: u32, tmin: f64| {
        let station = json!({ "id": NEWARK, "name": "NEWARK", "location": { "lat": 40.68, "lon": -74.17 } });
        json!({ "station": station, "date": date, "revision": revision, "TMIN": tmin }).to_string()
    };
    let days = [day("2016-01-05", 1, -3.0), day("2016-01-06", 1, 5.0), day("2016-01-08", 1, -1.0)];
    // Corrected: it was not cold.
    let days = days.into_iter().chain([day("2016-01-08", 2, 6.0)]);
    for value in days {
        topics.send("noaa-json", &[(Some(NEWARK.as_bytes()), Some(value.as_bytes()))]);
    }
    let run = |more: &[&str]| {
        let command = topics.frostline().args(["run", "--stages", "outlook,watch,alert"]);
        command.args(more.iter().copied()).in_dir(dir.path())
    };
    run(&["--until-caught-up"]).run().expect_code(0);
    let port = free_port();
    let running = run(&[])
        .env("TOKEN_OF_TEST", TOKEN)
        .args(["--set", "admin.token=${env:TOKEN_OF_TEST}"])
        .env("FROSTLINE_ADMIN_LISTEN", &format!("127.0.0.1:{port}"))
        .start();
    wait_for("a daemon that is ready", Duration::from_secs(60), || {
        http_get(port, "/health/ready", &[]).filter(|(status, _)| *status == 200)
    });
    (running, port)
}

fn get(port: u16, path: &str) -> (u16, String) {
    http_get(port, path, &[("Authorization", &format!("Bearer {TOKEN}"))]).unwrap()
}

fn feed_and_cap() {
    let (topics, dir) = (Topics::create(), tempfile::tempdir().unwrap());
    let (running, port) = daemon(&topics, &dir);
    assert_eq!(http_get(port, "/api/v1/alerts.atom", &[]).unwrap().0, 401);
    let (status, alerts) = get(port, "/api/v1/alerts?limit=500");
    assert_eq!(status, 200);
    let alerts: Vec<Value> = serde_json::from_str(&alerts).unwrap();
    let feed = parse_feed(&get(port, "/api/v1/alerts.atom?limit=500").1);
    assert_eq!(feed["version"], "atom10");
    let entries = feed["entries"].as_array().unwrap();
    assert!(entries.len() == alerts.len() && alerts.len() > 20, "{} of {}", entries.len(), alerts.len());
    let ids: BTreeSet<&str> = entries.iter().map(|entry| entry["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), entries.len(), "each entry has an id of its own");
    let messages: Vec<String> = entries
        .iter()
        .map(|entry| {
            let (status, xml) = get(port, entry["link"].as_str().unwrap());
            assert_eq!(status, 200, "{entry}: {xml}");
            xml
        })
        .collect();
    for ((alert, entry), message) in alerts.iter().zip(entries).zip(parse_cap(&messages)) {
        assert_eq!(entry["title"], alert["alert"]["message"]);
        let episode = &alert["alert"]["episode"];
        let is_begun = alerts.iter().any(|other| {
            let other = &other["alert"];
            other["transition"] == "fired" && other["episode"] == *episode
        });
        check_message(&alert["alert"], &message, is_begun);
    }
    let transitions: BTreeSet<&str> =
        alerts.iter().map(|alert| alert["alert"]["transition"].as_str().unwrap()).collect();
    for transition in ["fired", "resolved", "retracted", "expected", "confirmed"] {
        assert!(transitions.contains(transition), "{transitions:?}");
    }
    assert_eq!(get(port, "/api/v1/alerts/no/such/alert.cap").0, 404);
    assert_eq!(get(port, "/api/v1/alerts.atom?limit=-1").0, 400);
    running.signal("TERM");
    running.wait().expect_code(0);
}

/// One message against its alert; `is_begun`: the alert with which its episode began is there too.
fn check_message(alert: &Value, message: &Value, is_begun: bool) {
    let transition = alert["transition"].as_str().unwrap();
    let info = &message["info"];
    assert_eq!(message["identifier"], alert["alert_id"]);
    assert_eq!((&message["sender"], &message["status"]), (&"frost@example.org".into(), &"Actual".into()));
    let expected = match transition {
        "fired" | "confirmed" => ("Immediate", "Observed"),
        "resolved" | "averted" => ("Past", "Observed"),
        "retracted" | "withdrawn" => ("Past", "Unlikely"),
        "stale" => ("Unknown", "Unknown"),
        _ => ("Expected", info["certainty"].as_str().unwrap()),
    };
    assert_eq!((info["urgency"].as_str().unwrap(), info["certainty"].as_str().unwrap()), expected, "{alert}");
    let kind = message["msgType"].as_str().unwrap();
    match transition {
        "retracted" | "withdrawn" => assert_eq!(kind, "Cancel", "{message:#}"),
        // Where its beginning is not among the alerts, there is nothing to update.
        "resolved" | "averted" if is_begun => assert_eq!(kind, "Update", "{message:#}"),
        _ => {}
    }
    assert_eq!(message["references"].is_string(), kind != "Alert", "{message:#}");
    if let Some(retracts) = alert["retracts"].as_str() {
        assert!(message["references"].as_str().unwrap().contains(retracts), "{message:#}");
    }
    assert!(info["area"]["circle"].as_str().unwrap().starts_with("40.6"), "{message:#}");
    assert_eq!(info["area"]["geocode"]["value"], NEWARK);
    assert!(info["onset"].is_string() || transition == "stale", "{message:#}");
}

/// Asks in all ways that the description allows, and in some that it does not.
fn api() {
    let (topics, dir) = (Topics::create(), tempfile::tempdir().unwrap());
    let (running, port) = daemon(&topics, &dir);
    let seconds = API_SECONDS.to_string();
    let output = python_program("st")
        .arg("--config-file")
        .arg(root().join("tests/it/tools/schemathesis.toml"))
        .args(["run", &format!("http://127.0.0.1:{port}/api/v1/openapi.json")])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        // It never ends.
        .args(["--exclude-path", "/api/v1/events"])
        .args(["--max-time", &seconds, "--seed", "1", "--no-color"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(http_get(port, "/health/ready", &[]).unwrap().0, 200);
    running.signal("TERM");
    running.wait().expect_code(0);
}

/// It needs no broker, and names the topics as the installation does.
fn print_asyncapi() {
    let command = Frostline::new().args(["topics", "asyncapi", "--set", "kafka.namespace=test."]);
    let document: Value = serde_json::from_str(&command.run().expect_code(0).out).unwrap();
    assert_eq!(document["channels"]["noaa-json"]["address"], "test.noaa-json");
}
