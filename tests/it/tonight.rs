//! Outlooks, and rules over hours and nights, on a real broker with a real year.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::goldens::{INVENTORY_2024, LINES_2016, STATIONS};
use crate::support::{Frostline, Needs, Test, Topics, data, test, wait_for};

pub fn tests() -> Vec<Test> {
    let broker = &[Needs::Broker];
    vec![
        test("outlooks_are_as_good_as_promised", &[Needs::Data], as_good_as_promised),
        test(
            "the_daemon_says_what_the_back_test_says_and_a_kill_changes_nothing",
            broker,
            daemon_and_back_test,
        ),
        test("the_page_tonight_works_word_for_word", broker, page_tonight),
        test("a_back_test_of_nights_refuses_what_it_cannot_use", &[], refusals),
    ]
}

const NEWARK: &str = "../hourly/KEWR-2013.csv.gz";
const PORTLAND: &str = "../hourly/KPDX-2014.csv.gz";
/// The first three months of Newark's year, in the repository.
const WINTER: &str = "extract/newark-2013.csv.gz";

/// Rules of a grower near Newark: one that warns, one that watches.
const RULES: &str = r#"
[[rule]]
id = "tonight"
near = { lat = 40.7, lon = -74.2 }
when = "chance(0.0) >= 0.3"
subscribers = ["anna"]
[[rule]]
id = "now"
station = "USW00014734"
when = "T <= 0.0 && WETBULB <= -1.0"
clear = "T > 2.0"
severity = "critical"
subscribers = ["anna"]
[[subscriber]]
id = "anna"
email = "anna@example.org"
units = "us"
timezone = "America/New_York"
"#;

fn backtest(issued: &str, more: &[&str]) -> Vec<Value> {
    let command = Frostline::new().args(["outlook", "backtest", "--json", "--issued", issued]);
    let command = command.args(more.iter().copied()).arg("--stations").path(&data(INVENTORY_2024));
    command.path(&data(NEWARK)).path(&data(PORTLAND)).run().expect_code(0).json_lines()
}

fn as_good_as_promised() {
    // Mean of both station-years: error of the lowest temperature in K, Brier skill over the 14 nights before.
    for (issued, rmse, skill) in
        [("18:00", 1.85, 0.6), ("21:00", 1.45, 0.68), ("00:00", 1.1, 0.78), ("03:00", 0.8, 0.8)]
    {
        let scores = backtest(issued, &[]);
        let mean = |name: &str| scores.iter().map(|score| score[name].as_f64().unwrap()).sum::<f64>() / 2.0;
        assert_eq!(scores.len(), 2);
        assert!(mean("rmse") <= rmse, "{issued}: {}", mean("rmse"));
        assert!(1.0 - mean("brier") / mean("brier_climatology") >= skill, "{issued}: {scores:?}");
        let sum = |name: &str| scores.iter().map(|score| score[name].as_f64().unwrap()).sum::<f64>();
        assert!(sum("hits") >= 0.9 * sum("frosts"), "{issued}: nine frost nights in ten are warned of");
        assert!(sum("false_alarms") <= 0.22 * (sum("hits") + sum("false_alarms")), "{issued}");
        assert!(scores.iter().all(|score| score["nights"].as_u64().unwrap() > 320));
    }
}

/// The first weeks of Newark's year, which have frost in most nights.
fn weeks(dir: &TempDir) -> std::path::PathBuf {
    let out = dir.path().join("weeks.jsonl");
    let convert = Frostline::new().args(["convert", "--to", "2013-02-20", "--out"]).path(&out);
    convert.path(&data(WINTER)).run().expect_code(0);
    out
}

fn run(topics: &Topics, dir: &Path, state: &str) -> Frostline {
    let stages = ["run", "--until-caught-up", "--stages", "outlook,watch", "--json", "--state-dir", state];
    topics.frostline().args(stages).in_dir(dir)
}

fn daemon_and_back_test() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rules.toml"), RULES).unwrap();
    std::fs::write(dir.path().join("frostline.toml"), "[alert]\nrules = \"rules.toml\"\n").unwrap();
    let weeks = weeks(&dir);
    let (quiet, killed) = (Topics::create(), Topics::create());
    for topics in [&quiet, &killed] {
        topics.import_stations(STATIONS);
        topics.frostline().args(["replay", "--topic", "noaa-hourly"]).path(&weeks).run().expect_code(0);
    }
    let summary = run(&quiet, dir.path(), "state").run().expect_code(0).summary();
    assert_eq!(summary["dead_letters"], 0, "{summary}");
    // The other daemon is killed while it works, twice, and its state directory is lost once.
    for state in ["state-1", "state-1", "state-2"] {
        let mut daemon = run(&killed, dir.path(), state).start();
        wait_for("outlooks", Duration::from_secs(60), || {
            (!daemon.is_running() || !killed.records("noaa-outlooks").is_empty()).then_some(())
        });
        daemon.signal("KILL");
        daemon.wait();
    }
    run(&killed, dir.path(), "state-1").run().expect_code(0);
    // Where the hours were read differs with the installation.
    let without_place = |mut record: Value| {
        record.as_object_mut().unwrap().remove("_meta");
        record
    };
    let values = |topics: &Topics| -> Vec<Value> {
        topics.values("noaa-outlooks").into_iter().map(without_place).collect()
    };
    assert_eq!(values(&quiet), values(&killed), "the same outlooks, each once");
    same_as_back_test(&weeks, &values(&quiet));
    let (alerts, of_killed) = (alerts(&quiet), alerts(&killed));
    assert_eq!(alerts, of_killed, "no warning is lost, and none comes twice");
    check_alerts(&alerts);
    // Nothing is new in the same hours again.
    quiet.frostline().args(["replay", "--topic", "noaa-hourly"]).path(&weeks).run().expect_code(0);
    let summary = run(&quiet, dir.path(), "state").run().expect_code(0).summary();
    assert_eq!((&summary["outlooks"], &summary["alerts"]), (&Value::from(0), &Value::from(0)), "{summary}");
    same_alerts_as_rules_backtest(&weeks, dir.path(), &alerts);
    check_score(&quiet);
    check_explain(&quiet, dir.path(), &alerts);
}

/// What led to a warning: the inputs, the model's state, the clause.
fn check_explain(topics: &Topics, dir: &Path, alerts: &BTreeMap<String, String>) {
    let id = alerts.keys().find(|id| id.starts_with("tonight/") && id.ends_with("/expected")).unwrap();
    let night = id.split('/').nth(2).unwrap();
    let asked = ["explain", "--rule", "tonight", "--station", "USW00014734", "--date", night];
    let outcome = topics.frostline().args(asked).in_dir(dir).run().expect_code(0);
    for words in [
        "chance(0.0) >= 0.3  holds",
        "from temperature, dew point, wind; learned from",
        id.as_str(),
        "  the lowest temperature was ",
    ] {
        assert!(outcome.out.contains(words), "{words}\n{outcome}");
    }
    let us = topics.frostline().args(asked).args(["--units", "us"]).in_dir(dir).run().expect_code(0);
    assert!(us.out.contains(" % for 32 °F or less; lowest ") && !us.out.contains("°C"), "{us}");
    // Rules that nobody has run on these hours, and the reason for each.
    let rule =
        |id: &str, place: &str, when: &str| format!("[[rule]]\nid = \"{id}\"\n{place}\nwhen = \"{when}\"\n");
    let here = "station = \"USW00014734\"";
    let others = rule("never", here, "chance(-40.0) >= 0.9")
        + &rule("elsewhere", "station = \"USW00024229\"", "chance(0.0) >= 0.3")
        + &rule("new", here, "chance(0.0) >= 0.3");
    std::fs::write(dir.join("others.toml"), others).unwrap();
    for (id, reason) in [
        ("never", "the condition held at no observation"),
        ("elsewhere", "the rule does not watch this station: USW00024229"),
        ("new", "but there is no alert: when that hour was judged, the rule watched no station"),
    ] {
        let asked =
            ["explain", "--rule", id, "--station", "USW00014734", "--date", night, "--rules", "others.toml"];
        let outcome = topics.frostline().args(asked).in_dir(dir).run().expect_code(0);
        assert!(outcome.out.contains(reason), "{reason}\n{outcome}");
    }
}

/// By id, the message.
fn alerts(topics: &Topics) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for alert in topics.values("noaa-json-alerts") {
        let text = |name: &str| alert[name].as_str().unwrap().to_owned();
        assert!(found.insert(text("alert_id"), text("message")).is_none(), "{} twice", text("alert_id"));
    }
    found
}

fn check_alerts(alerts: &BTreeMap<String, String>) {
    let count = |transition: &str| {
        alerts
            .keys()
            .filter(|id| id.starts_with("tonight/") && id.contains(&format!("/{transition}")))
            .count()
    };
    let nights: BTreeSet<&str> = alerts.keys().filter_map(|id| id.split('/').nth(2)).collect();
    assert!(nights.len() > 25 && count("expected") > 15 && count("confirmed") > 15, "{alerts:#?}");
    assert!(count("averted") + count("withdrawn") > 0, "{alerts:#?}");
    let expected = alerts.iter().find(|(id, _)| id.ends_with("/expected")).unwrap().1;
    assert!(
        expected.starts_with("Frost ")
            && expected.contains(" % for 0.0 °C or less")
            && expected.contains("; lowest ")
            && expected.contains("in 8 of 10 such nights"),
        "{expected}"
    );
}

/// What the records say is what the back-test says of the same hours, night by night.
fn same_as_back_test(weeks: &Path, records: &[Value]) {
    let command = Frostline::new().args(["outlook", "backtest", "--nights", "--json", "--stations"]);
    let lines = command.path(&data(STATIONS)).path(weeks).run().expect_code(0).json_lines();
    let (nights, score) = lines.split_at(lines.len() - 1);
    assert!(nights.len() > 15 && score[0]["nights"] == nights.len(), "{score:?}");
    for night in nights {
        let record = records
            .iter()
            .find(|record| record["time"] == night["issued_at"] && record["expected"].is_object());
        let expected = &record.unwrap_or_else(|| panic!("{night}"))["expected"];
        assert_eq!(expected["night"]["date"], night["night"]);
        let quantiles = &expected["quantiles_c"];
        let lowest_so_far = expected["lowest_so_far_c"].as_f64().unwrap_or(f64::INFINITY);
        for (at, name) in [(4, "p10"), (9, "p50"), (14, "p90")] {
            let quantile = quantiles[at].as_f64().unwrap().min(lowest_so_far);
            assert!((quantile - night[name].as_f64().unwrap()).abs() < 0.006, "{night} {expected}");
        }
        let outcome = records.iter().find(|record| record["outcome"]["night"]["date"] == night["night"]);
        assert_eq!(outcome.unwrap()["outcome"]["lowest_c"], night["observed"]);
    }
}

/// The alerts are those that `rules backtest` finds in the same hours.
fn same_alerts_as_rules_backtest(weeks: &Path, dir: &Path, alerts: &BTreeMap<String, String>) {
    let command = Frostline::new().args(["rules", "backtest", "--alerts", "--json", "--stations"]);
    let lines = command.path(&data(STATIONS)).path(weeks).in_dir(dir).run().expect_code(0).json_lines();
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let tried = lines.iter().filter(|line| line["alert_id"].is_string());
    let tried: BTreeMap<String, String> =
        tried.map(|line| (text(line, "alert_id"), text(line, "message"))).collect();
    assert_eq!(*alerts, tried);
    let night = &lines.iter().find(|line| line["rule"] == "tonight").unwrap()["result"];
    assert!(night["warnings"]["came_true"].as_u64().unwrap() > 15, "{night}");
    assert_eq!(lines.last().unwrap()["stations"], 1, "the sums come last");
}

/// The first commands of the page, on a winter of NOAA's data.
fn page_tonight() {
    let dir = tempfile::tempdir().unwrap();
    for (name, file) in [
        ("ghcnd-stations.txt", STATIONS),
        ("ghcnd-countries.txt", "extract/countries.txt"),
        ("ghcnd-states.txt", "extract/states.txt"),
        ("GHCNh_USW00014734_2013.psv", WINTER),
    ] {
        std::fs::copy(data(file), dir.path().join(name)).unwrap();
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tonight.md");
    let page = std::fs::read_to_string(page).unwrap();
    let commands = page.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let commands = commands.lines().filter_map(|line| line.strip_prefix("frostline "));
    let topics = Topics::unmade();
    let run = |command: &str| {
        let words = command.split(" #").next().unwrap_or_default().split_whitespace();
        // A broker under all other tests may take longer than ten seconds to answer.
        let patient = ["--set", "runtime.transaction_timeout_ms=60000"];
        topics.frostline().args(words).args(patient).in_dir(dir.path()).run().expect_code(0)
    };
    let mut outcomes = Vec::new();
    for command in commands {
        outcomes.push((command, run(command)));
        if command.starts_with("topics create") {
            let early = run("outlook score");
            assert!(early.err.contains("no night has been scored yet"), "{early}");
        }
    }
    let of = |name: &str| &outcomes.iter().find(|(command, _)| command.starts_with(name)).unwrap().1;
    let new = of("rules new");
    assert!(new.err.contains("NEWARK") && new.err.contains("km away"), "{new}");
    assert!(new.err.contains("no [notify.email]") && of("run").err.contains("no [notify.email]"), "{new}");
    assert!(of("alerts").out.contains("frost-tonight"), "{}", of("alerts"));
    assert!(of("alerts").out.contains("32 °F"), "the limit is in the rule's unit\n{}", of("alerts"));
    // The back-test and the daemon count the same.
    let number = |text: &str, before: &str| -> u64 {
        let at = text.split(before).next().unwrap();
        at.split_whitespace().last().unwrap().parse().unwrap_or_else(|_| panic!("{before}: {text}"))
    };
    let score = of("outlook score");
    let warnings = score.out.lines().find(|line| line.starts_with("frost-tonight")).unwrap();
    assert_eq!(number(&new.err, " reached 32"), number(warnings, " came true"), "{new}{score}");
    assert!(number(warnings, " came true") > 40, "{score}");
}

fn check_score(topics: &Topics) {
    let lines = topics.frostline().args(["outlook", "score", "--json"]).run().expect_code(0).json_lines();
    let station = lines.iter().find(|line| line["station"] == "USW00014734").unwrap();
    assert!(
        station["nights"].as_u64().unwrap() > 40 && station["brier"].as_f64().unwrap() < 0.15,
        "{station}"
    );
    let rule = lines.iter().find(|line| line["rule"] == "tonight").unwrap();
    assert!(rule["warnings"]["came_true"].as_u64().unwrap() > 15, "{rule}");
    assert!(rule["warnings"]["lead_hours_p50"].as_f64().unwrap() > 2.0, "{rule}");
    let us = topics.frostline().args(["outlook", "score", "--units", "us"]).run().expect_code(0);
    assert!(us.out.contains("at or below 32 °F: ") && !us.out.contains("°C"), "{us}");
}

fn refusals() {
    let command = || Frostline::new().args(["outlook", "backtest"]);
    let daily = command().path(&data(LINES_2016)).arg("--stations").path(&data(STATIONS));
    let outcome = daily.run();
    assert!(outcome.err.contains("holds daily lines"), "{outcome}");
    let late =
        command().args(["--issued", "12:00"]).path(&data(WINTER)).arg("--stations").path(&data(STATIONS));
    let outcome = late.run().expect_code(2);
    assert!(outcome.err.contains("between 15:00 and 09:00"), "{outcome}");
}
