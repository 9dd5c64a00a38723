//! `frostline generate`: files, stdout and topics.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use crate::support::{Frostline, Needs, Test, Topics, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("generate_writes_the_same_bytes_again", &[], same_bytes),
        test("generate_makes_lines_as_odd_as_real_ones", &[], oddities),
        test("generate_refuses_what_cannot_be", &[], refused),
        test("generate_is_cut_short_without_a_trace", &[], interrupted),
        test("generate_fills_topics_and_table", &[Needs::Broker], into_topics),
    ]
}

fn names(dir: &Path) -> Vec<String> {
    let names =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

fn same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let generate = |more: &[&str]| {
        let command = Frostline::new().args(["generate", "--stations", "50", "--days", "10"]);
        command.args(more.iter().copied()).in_dir(dir.path()).run().expect_code(0)
    };
    let summary = generate(&["--out", "a.csv", "--json"]).summary();
    let stdout = generate(&["--out", "-"]);
    let file = std::fs::read_to_string(dir.path().join("a.csv")).unwrap();
    assert_eq!(file, stdout.out);
    assert!(stdout.err.contains("records into -"), "{stdout}");
    assert_eq!(summary["records"], file.lines().count());
    assert_eq!(summary["bytes"], file.len());
    assert_eq!((&summary["first_date"], &summary["last_date"]), (&"2024-01-01".into(), &"2024-01-10".into()));
    assert_ne!(generate(&["--out", "-", "--seed", "2"]).out, file);
    generate(&["--out", "a.csv.gz"]);
    let packed = std::fs::File::open(dir.path().join("a.csv.gz")).unwrap();
    let unpacked = std::io::read_to_string(flate2::read::GzDecoder::new(packed)).unwrap();
    assert_eq!(unpacked, file);
    let documents = generate(&["--out", "-", "--format", "json"]).out;
    let ids = documents.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    assert!(ids.map(|document| document["station"]["id"].to_string()).collect::<HashSet<_>>().len() > 40);
}

fn oddities() {
    let dir = tempfile::tempdir().unwrap();
    let generate = |more: &[&str]| {
        let command = Frostline::new().args(["generate", "--real-places", "--days", "100", "--json"]);
        command.args(more.iter().copied()).in_dir(dir.path()).run().expect_code(0).summary()
    };
    let files = ["--stations-file", "s", "--countries-file", "c", "--states-file", "st"];
    assert_eq!(generate(&files)["stations"], 67);
    let inventory = std::fs::read_to_string(dir.path().join("s")).unwrap();
    assert!(inventory.lines().any(|line| line.contains(" SCOTTSDALE MUNI AP ")), "{inventory}");
    let (clean, odd) = (generate(&["--out", "clean.csv"]), generate(&["--oddities", "--out", "odd.csv"]));
    assert_eq!(clean["bad_lines"], 0);
    let bad = odd["bad_lines"].as_u64().unwrap();
    assert!((2..=4).contains(&bad), "{odd}");
    let text = std::fs::read_to_string(dir.path().join("odd.csv")).unwrap();
    assert_eq!(odd["records"], text.lines().count());
    assert_eq!(odd["bytes"], text.len());
    let of_leap_day = text.lines().map(|line| line.get(12..20).unwrap_or_default());
    let of_leap_day: Vec<&str> = of_leap_day.filter(|date| ["20240228", "20240229"].contains(date)).collect();
    let backwards = of_leap_day.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!(backwards > 40, "{backwards} times back");
}

fn refused() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, message) in [
        (&["--days", "3"][..], "--out"),
        (&["--out", "a.csv", "--topic", "noaa-json"], "--topic"),
        (&["--out", "a.csv", "--start", "2023-02-29"], "2024-02-29"),
        (&["--out", "a.csv", "--stations", "0"], "1 to 10000000"),
        (&["--out", "a.csv", "--stations", "9", "--real-places"], "--real-places"),
        (&["--out", "a.json", "--format", "json", "--oddities"], "oddities are only possible in lines"),
        (&["--out", "a.csv", "--days", "4000000"], "9999-12-31"),
        (&["--out", "a.csv", "--rate", "5/s"], "--rate"),
        (&["--out", "nowhere/a.csv"], "nowhere/a.csv cannot be written"),
    ] {
        let command = Frostline::new().arg("generate").args(arguments.iter().copied()).in_dir(dir.path());
        let outcome = command.run().expect_code(2);
        assert!(outcome.err.contains(message), "{arguments:?}\n{outcome}");
    }
    assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));
}

fn interrupted() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.csv.gz"), "before").unwrap();
    let endless = Frostline::new()
        .args(["generate", "--stations", "20000", "--days", "100000", "--start", "1700-01-01", "--json"])
        .args(["--out", "a.csv.gz"])
        .in_dir(dir.path())
        .start();
    std::thread::sleep(Duration::from_millis(1_500));
    endless.signal("INT");
    let outcome = endless.wait().expect_code(130);
    assert_eq!(outcome.summary()["complete"], false, "{outcome}");
    assert_eq!(names(dir.path()), ["a.csv.gz"]);
    assert_eq!(std::fs::read_to_string(dir.path().join("a.csv.gz")).unwrap(), "before");
}

fn into_topics() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    let frostline = || topics.frostline().in_dir(dir.path());
    let generate = |more: &[&str]| {
        let command = frostline().args(["generate", "--stations", "40", "--days", "5", "--json"]);
        command.args(more.iter().copied()).run().expect_code(0).summary()
    };
    let files = ["--stations-file", "s", "--countries-file", "c", "--states-file", "st"];
    generate(&files);
    let import =
        frostline().args(["stations", "import", "s", "--countries", "c", "--states", "st", "--json"]);
    assert_eq!(import.run().expect_code(0).summary()["stations"], 40);
    let lines = generate(&["--topic", "noaa-csv-raw"]);
    let documents = generate(&["--out", "documents", "--format", "json"]);
    let run = frostline().args(["run", "--until-caught-up", "--stages", "assemble", "--json"]);
    let summary = run.run().expect_code(0).summary();
    assert_eq!(summary["records_in"], lines["records"]);
    assert_eq!(summary["dead_letters"], 0);
    assert_eq!(summary["observations"], documents["records"]);
    let records = topics.records("noaa-json");
    assert_eq!(documents["records"], records.len());
    let expected: HashSet<String> = std::fs::read_to_string(dir.path().join("documents"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap().to_string())
        .collect();
    assert!(records.iter().all(|record| {
        let value = &record["value"];
        record["key"] == value["station"]["id"] && expected.contains(&value.to_string())
    }));
}
