//! The examples do what their first lines say. `cargo test` builds them.

// A failed unwrap is a failed test.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::Command;

fn run(example: &str) -> String {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples");
    path.push(example);
    assert!(path.exists(), "{} is not built: run `cargo test`, which builds it", path.display());
    let output = Command::new(path).output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn word_count_counts_words() {
    let counts = run("word_count");
    assert_eq!(counts, "  2 before\n  2 came\n  2 frost\n  4 the\n  2 warning\n");
}

#[test]
fn silent_sensors_are_reported() {
    let reports = run("silent_sensors");
    assert_eq!(reports, "orchard is silent\n");
}
