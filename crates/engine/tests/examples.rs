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

/// The guide quotes the examples, which are compiled.
#[test]
fn the_guide_quotes_the_examples() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let guide = read("../../docs/writing-a-stage.md");
    let code = ["examples/word_count.rs", "examples/silent_sensors.rs"].map(read).concat();
    let known: Vec<&str> = code.lines().map(str::trim).collect();
    let blocks = guide.split("```rust\n").skip(1).map(|block| block.split("```").next().unwrap());
    let mut quoted = 0;
    for line in blocks.flat_map(str::lines).map(str::trim).filter(|line| !line.is_empty() && *line != "// …")
    {
        assert!(known.contains(&line), "{line:?} of the guide is not in the examples");
        quoted += 1;
    }
    assert!(quoted > 30, "only {quoted} lines are quoted");
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
