//! Rules as their owners meet them, without a broker: check, backtest, explain; on real data.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::goldens::{INVENTORY_2024, LINES_2016, STATIONS};
use crate::support::{Frostline, Needs, Test, data, read_data, test};

const REAL: &[Needs] = &[Needs::Data];

pub fn tests() -> Vec<Test> {
    vec![
        test("rules_check_finds_what_is_hardly_meant", &[], check_warns),
        test("rules_check_knows_stations_and_their_elements", &[], check_knows_stations),
        test("backtest_june_frost_that_failed_quality", &[], june_frost),
        test("backtest_seligman_episodes_of_2016", &[], seligman_episodes),
        test("backtest_counts_what_the_lines_say", REAL, backtest_counts),
        test("backtest_chooses_stations_and_finds_the_nearest", REAL, backtest_places),
        test("backtest_against_other_rules", &[], backtest_against),
        test("explain_tells_what_decided", &[], explain),
        test("a_rule_is_written_without_a_broker", &[], new_without_broker),
    ]
}

fn new_without_broker() {
    let outcome = Frostline::new()
        .args(["rules", "new", "--near", "33.61,-111.92", "--below", "28F", "--tonight"])
        .args(["--brokers", "127.0.0.1:1", "--set", "kafka.connect_timeout_ms=1500"])
        .run()
        .expect_code(0);
    assert!(outcome.err.contains("no Kafka broker answers"), "{outcome}");
    assert!(outcome.out.contains("near = { lat = 33.61, lon = -111.92 }"), "{outcome}");
}

/// A folder with a rule file.
pub fn folder(rules: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rules.toml"), rules).unwrap();
    dir
}

pub fn in_dir(dir: &TempDir, arguments: &[&str]) -> Frostline {
    Frostline::new().args(arguments.iter().copied()).in_dir(dir.path())
}

pub fn backtest(dir: &TempDir, file: &Path) -> Frostline {
    in_dir(dir, &["rules", "backtest"]).path(file).args(["--rules", "rules.toml", "--json"])
}

pub fn rule(id: &str, place: &str, rest: &str) -> String {
    format!("[[rule]]\nid = \"{id}\"\n{place}\n{rest}\n\n")
}

pub const SELIGMAN: &str = "station = \"USC00027716\"";

fn check_warns() {
    let rules = rule("fahrenheit", SELIGMAN, "when = \"TMIN <= 40\"")
        + &rule("never", SELIGMAN, "when = \"TMIN < 0.0 && TMIN > 5.0\"")
        + &rule("fine", SELIGMAN, "when = \"f(TMIN) <= 28\"\nclear = \"TMIN > 0.0\"")
        + &rule("peaches", SELIGMAN, "crop = \"peach\"\nstage = \"full bloom\"");
    let dir = folder(&rules);
    let outcome = in_dir(&dir, &["rules", "check", "rules.toml"]).run().expect_code(1);
    let crop = "rule peaches fires if chance(-2.8) >= 0.3: 10 % of peach buds at stage “full bloom” are killed at −2.8 °C";
    assert!(outcome.err.contains(crop), "{outcome}");
    assert!(
        outcome.out.contains("warning  rules.toml:4:9: rule `fahrenheit`: TMIN below 40.0 °C"),
        "{outcome}"
    );
    assert!(outcome.out.contains("f(TMIN)"), "{outcome}");
    assert!(outcome.out.contains("rules.toml:9:9: rule `never`: this never holds"), "{outcome}");
    assert!(!outcome.out.contains("fine"), "{outcome}");
    let lines = in_dir(&dir, &["rules", "check", "rules.toml", "--json", "--lenient"]).run().expect_code(0);
    assert_eq!(lines.summary()["warnings"], 2);
    // Too large, too deep: refused, like every other mistake.
    let deep = format!("when = \"{}true\"", "!".repeat(100));
    let large = format!("when = \"TMIN <= {}\"", "1".repeat(3_000));
    let dir = folder(&(rule("deep", SELIGMAN, &deep) + &rule("large", SELIGMAN, &large)));
    let outcome = in_dir(&dir, &["rules", "check", "rules.toml"]).run().expect_code(1);
    assert!(outcome.out.contains("nested deeper") && outcome.out.contains("the limit is"), "{outcome}");
}

fn check_knows_stations() {
    let rules = rule("nowhere", "station = \"USC00099999\"", "when = \"TMIN <= 0.0\"")
        + &rule("no-wind", SELIGMAN, "when = \"AWND > 10.0\"")
        + &rule("far", "near = { lat = 0.0, lon = -30.0 }", "when = \"TMIN <= 0.0\"")
        + &rule("atlantis", "where = \"station.state_code == 'QQ'\"", "when = \"TMIN <= 0.0\"")
        + &rule("fine", SELIGMAN, "when = \"TMIN <= 0.0\"")
        + &rule("fine-too", "where = \"station.state_code == 'AZ'\"", "when = \"TMIN <= 0.0\"");
    let dir = folder(&rules);
    let outcome = in_dir(&dir, &["rules", "check", "rules.toml", "--stations"])
        .path(&data(STATIONS))
        .arg("--data")
        .path(&data(LINES_2016))
        .run()
        .expect_code(1);
    assert!(
        outcome.out.contains("rules.toml:3:11: rule `nowhere`: station USC00099999 is not in"),
        "{outcome}"
    );
    assert!(outcome.out.contains("rule `no-wind`: station USC00027716 has never reported AWND"), "{outcome}");
    assert!(outcome.out.contains("rule `far`: no station near it reports TMIN"), "{outcome}");
    assert!(outcome.out.contains("rule `atlantis`: it chooses no station of the station table"), "{outcome}");
    assert!(!outcome.out.contains("fine"), "{outcome}");
}

/// On 2016-06-15 Seligman reported -4.4 °C, which failed NOAA's spatial check: `USC00027716,20160615,TMIN,-44,,S,7,`.
fn june_frost() {
    let dir = folder(&rule("june", SELIGMAN, "when = \"TMIN <= 0.0\"\nactive = { months = [6] }"));
    let file = data(LINES_2016);
    let run = |more: &[&str]| backtest(&dir, &file).args(more.iter().copied()).run().expect_code(0);
    assert_eq!(run(&[]).summary()["fired"], 0);
    let kept = run(&["--keep-failed-quality", "--alerts"]);
    assert_eq!(kept.summary()["fired"], 1);
    assert_eq!(kept.json_lines()[0]["alert_id"], "june/USC00027716/2016-06-15/fired");
}

/// Read by hand from the file: the first day at or below -5.0 °C, and the first above 0.0 °C after it.
const EPISODES: [(&str, &str); 10] = [
    ("2016-01-01", "2016-01-04"),
    ("2016-01-08", "2016-01-31"),
    ("2016-02-02", "2016-02-15"),
    ("2016-02-21", "2016-03-06"),
    ("2016-03-07", "2016-03-11"),
    ("2016-03-20", "2016-03-22"),
    ("2016-03-30", "2016-04-04"),
    ("2016-11-29", "2016-12-16"),
    ("2016-12-18", "2016-12-23"),
    ("2016-12-26", "2016-12-31"),
];

fn seligman_episodes() {
    let dir = folder(&rule("hard", SELIGMAN, "when = \"TMIN <= -5.0\"\nclear = \"TMIN > 0.0\""));
    let outcome = backtest(&dir, &data(LINES_2016)).arg("--alerts").run().expect_code(0);
    let lines = outcome.json_lines();
    let ids: Vec<&str> = lines.iter().filter_map(|line| line["alert_id"].as_str()).collect();
    let expected: Vec<String> = EPISODES
        .iter()
        .flat_map(|(fired, resolved)| [(fired, "fired"), (resolved, "resolved")])
        .map(|(date, transition)| format!("hard/USC00027716/{date}/{transition}"))
        .collect();
    assert_eq!(ids, expected);
    let result = &lines[lines.len() - 2]["result"];
    assert_eq!((&result["longest"]["days"], &result["longest"]["since"]), (&24.into(), &"2016-01-08".into()));
    assert_eq!((&result["by_month"]["2016-03"], &result["stale"]), (&3.into(), &0.into()));
}

/// 1,000 rules over all of 2016, against a count of the lines in another way.
fn backtest_counts() {
    let text = read_data("2016-hcn.csv.gz");
    let stations: BTreeSet<&str> = text.lines().map(|line| &line[..11]).collect();
    let stations: Vec<&str> = stations.into_iter().collect();
    let limit = |number: usize| -50 + i64::try_from(number % 20).unwrap();
    let watched: Vec<&str> = (0..1_000).map(|number| stations[number % stations.len()]).collect();
    let rules: String = watched
        .iter()
        .enumerate()
        .map(|(number, id)| {
            let when = format!("when = \"TMIN <= {:?}\"", limit(number) as f64 / 10.0);
            rule(&format!("r{number}"), &format!("station = \"{id}\""), &when)
        })
        .collect();
    let dir = folder(&rules);
    let mut expected = 0;
    let mut by_station: std::collections::HashMap<&str, Vec<usize>> = std::collections::HashMap::new();
    watched.iter().enumerate().for_each(|(number, id)| by_station.entry(id).or_default().push(number));
    for line in text.lines() {
        let fields: Vec<&str> = line.split(',').collect();
        let [id, _, "TMIN", value, _, "", ..] = fields[..] else { continue };
        let value: i64 = value.parse().unwrap();
        expected +=
            by_station.get(id).into_iter().flatten().filter(|number| value <= limit(**number)).count();
    }
    let summary = backtest(&dir, &data("2016-hcn.csv.gz")).run().expect_code(0).summary();
    assert_eq!(summary["fired"], expected);
    assert_eq!((&summary["records_in"], &summary["rules"]), (&1_924_173.into(), &1_000.into()));
    assert_eq!((&summary["retracted"], &summary["dead_letters"]), (&0.into(), &0.into()));
    assert!(summary["seconds"].as_f64().unwrap() > 0.0);
}

fn backtest_places() {
    let rules = "[[subscriber]]\nid = \"farm\"\nemail = \"a@example.org\"\n".to_owned()
        + &rule(
            "high",
            "where = \"station.state_code == 'AZ' && station.elevation > 1500.0\"",
            "when = \"TMIN <= 0.0\"\nsubscribers = [\"farm\"]",
        )
        + &rule(
            "near",
            "near = { lat = 35.3, lon = -112.9, elevation = 1600, max_km = 30 }",
            "when = \"TMIN <= 0.0\"",
        )
        + &rule("same", SELIGMAN, "when = \"TMIN <= 0.0\"");
    let dir = folder(&rules);
    let file = data("2016-hcn-AZ.csv.gz");
    let stations = data(INVENTORY_2024);
    let with_stations = || backtest(&dir, &file).arg("--stations").path(&stations);
    let outcome = with_stations().args(["--html", "page.html", "--svg", "chart.svg"]).run().expect_code(0);
    let lines = outcome.json_lines();
    let of = |id: &str| lines.iter().find(|line| line["rule"] == id).unwrap()["result"].clone();
    // Seligman is the nearest; its frost is the same by either name.
    assert_eq!(of("near")["fired"], of("same")["fired"]);
    assert_eq!(of("same")["fired"], 134);
    assert_eq!(of("same")["longest"]["days"], 25);
    // Of the Arizona stations in the file, those above 1,500 m, by the inventory.
    let high = of("high");
    assert!(high["stations"].as_u64().unwrap() >= 2, "{high}");
    let messages = outcome.summary()["messages"].clone();
    assert_eq!(messages["farm"], high["fired"]);
    let page = std::fs::read_to_string(dir.path().join("page.html")).unwrap();
    for part in [
        "Back-test of 3 rules, 2016-01-01 to 2016-12-31",
        "from 2016-hcn-AZ.csv.gz.",
        "nearest: USC00027716 SELIGMAN (",
        "<code>TMIN &lt;= 0.0</code>",
        "aria-label=\"Temperatures around the longest time of near\"",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    // July, in which nothing fired, has its place in each rule's year.
    assert_eq!(page.matches("<td").count(), 3 * 12 + 2, "{page}");
    assert!(std::fs::read_to_string(dir.path().join("chart.svg")).unwrap().contains("</svg>"));
    // For people: the place that was found, and bars.
    let shown =
        in_dir(&dir, &["rules", "backtest", "--rules", "rules.toml", "--from", "2016-11-01", "--stations"])
            .path(&stations)
            .path(&file)
            .run()
            .expect_code(0);
    assert!(shown.out.contains("nearest: USC00027716 SELIGMAN"), "{shown}");
    assert!(shown.out.contains("2016  · · · · · · · · · · "), "{shown}");
    // What asks for more than a station's id needs the stations.
    let outcome = backtest(&dir, &file).run().expect_code(2);
    assert!(outcome.err.contains("--stations"), "{outcome}");
}

fn backtest_against() {
    let dir = folder(
        &(rule("a", SELIGMAN, "when = \"TMIN <= 0.0\"") + &rule("b", SELIGMAN, "when = \"TMIN <= -5.0\"")),
    );
    let old =
        rule("a", SELIGMAN, "when = \"TMIN <= -1.0\"") + &rule("c", SELIGMAN, "when = \"TMIN <= -9.0\"");
    std::fs::write(dir.path().join("old.toml"), old).unwrap();
    let outcome = backtest(&dir, &data(LINES_2016)).args(["--against", "old.toml"]).run().expect_code(0);
    let differences: Vec<Value> =
        outcome.json_lines().iter().filter_map(|line| line.get("difference").cloned()).collect();
    let words: Vec<(&str, &str)> = differences
        .iter()
        .map(|difference| (difference["rule"].as_str().unwrap(), difference["change"].as_str().unwrap()))
        .collect();
    assert_eq!(words, [("a", "changed"), ("b", "added"), ("c", "removed")]);
    let a = &differences[0];
    let number = |name: &str| a[name].as_u64().unwrap();
    assert_eq!(number("fired"), number("fired_before") + number("gained"));
    assert_eq!((number("fired"), number("lost")), (134, 0));
}

fn explain() {
    let rules = rule(
        "hard",
        SELIGMAN,
        "when = \"TMIN <= -5.0 && (SNOW > 0 || TMAX < 5.0)\"\nclear = \"TMIN > 0.0\"\nfor_days = 2",
    ) + &rule("lone", SELIGMAN, "when = \"TMIN <= 0.0\"");
    let dir = folder(&rules);
    let file = data(LINES_2016);
    let explain = |rule: &str, date: &str, more: &[&str]| {
        in_dir(
            &dir,
            &["explain", "--rule", rule, "--station", "USC00027716", "--date", date, "--rules", "rules.toml"],
        )
        .path(&file)
        .args(more.iter().copied())
        .run()
        .expect_code(0)
    };
    let fired = explain("lone", "2016-01-15", &[]);
    assert!(fired.out.contains("TMIN = -5.6 °C"), "{fired}");
    let us = explain("lone", "2016-01-15", &["--units", "us"]);
    assert!(us.out.contains("TMIN = 22 °F") && !us.out.contains("°C"), "{us}");
    let json = explain("lone", "2016-01-15", &["--units", "us", "--json"]).summary();
    assert!(json.to_string().contains("TMIN = -5.6\""), "{json}");
    assert!(fired.out.contains("lone/USC00027716/2016-01-15/fired"), "{fired}");
    let elsewhere =
        in_dir(&dir, &["explain", "--rule", "lone", "--station", "USC00020080", "--date", "2016-01-15"])
            .args(["--rules", "rules.toml"])
            .path(&file)
            .run()
            .expect_code(0);
    assert!(elsewhere.out.contains("does not watch this station: USC00027716"), "{elsewhere}");
    let unobserved =
        in_dir(&dir, &["explain", "--rule", "lone", "--station", "USC00029999", "--date", "2016-01-15"])
            .args(["--rules", "rules.toml"])
            .path(&file)
            .run()
            .expect_code(0);
    assert!(unobserved.out.contains("does not watch this station: USC00027716"), "{unobserved}");
    let near = "[[rule]]\nid = \"near\"\nnear = { lat = 35.3, lon = -112.9 }\nwhen = \"TMIN <= 0.0\"\n";
    std::fs::write(dir.path().join("near.toml"), near).unwrap();
    let unknown =
        in_dir(&dir, &["explain", "--rule", "near", "--station", "USC00027716", "--date", "2016-01-15"])
            .args(["--rules", "near.toml"])
            .path(&file)
            .run()
            .expect_code(2);
    assert!(unknown.err.contains("give --stations ghcnd-stations.txt"), "{unknown}");
    let quality = explain("lone", "2016-06-15", &[]);
    assert!(quality.out.contains("unknown: the deciding values were not reported"), "{quality}");
    let nothing = explain("lone", "2017-01-01", &[]);
    assert!(nothing.out.contains("nothing was observed"), "{nothing}");
    let json = explain("hard", "2016-01-01", &["--json"]).summary();
    let observation = &json["observations"][0];
    let clauses: Vec<&str> = observation["clauses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|clause| clause["clause"].as_str().unwrap())
        .collect();
    assert_eq!(
        clauses,
        [
            "TMIN <= -5.0 && (SNOW > 0 || TMAX < 5.0)",
            "TMIN <= -5.0",
            "(SNOW > 0 || TMAX < 5.0)",
            "SNOW > 0",
            "TMAX < 5.0",
            "TMIN > 0.0",
        ]
    );
    assert_eq!(observation["before"], "no episode");
    assert!(observation["why_nothing"].is_string(), "{json}");
    in_dir(
        &dir,
        &[
            "explain",
            "--rule",
            "none",
            "--station",
            "USC00027716",
            "--date",
            "2016-01-01",
            "--rules",
            "rules.toml",
        ],
    )
    .path(&file)
    .run()
    .expect_code(2);
}
