//! What a back-test reads: documents, bad input, a period of time, and pipes.

use std::path::Path;

use crate::goldens::{INVENTORY_2024, LINES_2016};
use crate::rules::{SELIGMAN, backtest, folder, rule};
use crate::support::{Needs, Test, data, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("backtest_of_documents_and_bad_input", &[], backtest_documents),
        test("backtest_of_a_period_remembers_what_was_before", &[], backtest_period),
        test("backtest_reads_a_pipe_once", &[Needs::Data], backtest_pipe),
    ]
}

fn backtest_period() {
    let dir = folder(&rule("r", SELIGMAN, "when = \"TMIN <= 0.0\"\nclear = \"TMIN > 2.0\""));
    let days = [("20151230", -30), ("20151231", -20), ("20160101", -10), ("20160102", 50), ("20160103", 50)];
    let lines: String =
        days.iter().map(|(day, tmin)| format!("USC00027716,{day},TMIN,{tmin},,,7,\n")).collect();
    std::fs::write(dir.path().join("days.csv"), lines).unwrap();
    let counts = |more: &[&str]| {
        let summary =
            backtest(&dir, Path::new("days.csv")).args(more.iter().copied()).run().expect_code(0).summary();
        ["fired", "resolved", "observations"].map(|name| summary[name].as_u64().unwrap())
    };
    assert_eq!(counts(&[]), [1, 1, 5]);
    assert_eq!(counts(&["--from", "2016-01-01"]), [0, 1, 3], "the episode began before");
    assert_eq!(counts(&["--to", "2015-12-31"]), [1, 0, 2]);
}

fn backtest_pipe() {
    let near = "near = { lat = 35.3, lon = -112.9, elevation = 1600, max_km = 30 }";
    let dir = folder(&rule("near", near, "when = \"TMIN <= 0.0\""));
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (from, to) = (data(LINES_2016), pipe.clone());
    let writer = std::thread::spawn(move || {
        let mut pipe = std::fs::OpenOptions::new().write(true).open(to).unwrap();
        std::io::copy(&mut std::fs::File::open(from).unwrap(), &mut pipe).unwrap();
    });
    let outcome = backtest(&dir, &pipe).arg("--stations").path(&data(INVENTORY_2024)).run().expect_code(0);
    writer.join().unwrap();
    assert_eq!(outcome.summary()["fired"], 134, "{outcome}");
}

fn backtest_documents() {
    let dir = folder(&rule("r", SELIGMAN, "when = \"TMIN <= 0.0\""));
    let document = |day: u32, rest: &str| {
        format!("{{\"station\": {{\"id\": \"USC00027716\"}}, \"date\": \"2016-03-{day:02}\"{rest}}}\n")
    };
    let text = document(1, ",\"TMIN\":-1.0")
        + &document(2, ",\"TMIN\":3.0")
        + &document(2, ",\"revision\":2,\"TMIN\":-3.0")
        + &document(1, ",\"revision\":2,\"TMIN\":1.0")
        + "{broken\nnot a line\n";
    std::fs::write(dir.path().join("documents.jsonl"), text).unwrap();
    let summary = backtest(&dir, Path::new("documents.jsonl")).run().expect_code(0).summary();
    let counts =
        ["fired", "retracted", "observations", "dead_letters"].map(|name| summary[name].as_u64().unwrap());
    assert_eq!(counts, [2, 1, 4, 2], "{summary}");
    backtest(&dir, Path::new("nowhere.csv")).run().expect_code(2);
    std::fs::write(dir.path().join("junk.csv"), "\0\0\0\n").unwrap();
    let junk = backtest(&dir, Path::new("junk.csv")).run().expect_code(1);
    assert!(junk.err.contains("none of the 1 records"), "{junk}");
}
