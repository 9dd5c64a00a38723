//! The layers of the design, checked: who may use whom, and where rdkafka, sled and unsafe code may be.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("layers_use_only_what_is_beneath", &[], layers_use_only_what_is_beneath),
        test("clients_are_named_in_one_place", &[], clients_are_named_in_one_place),
        test("no_shared_data_in_the_repository", &[], no_shared_data_in_the_repository),
    ]
}

/// Each module, and the modules of the crate that it may use.
const LAYERS: &[(&str, &[&str])] = &[
    ("bounded", &[]),
    ("printable", &[]),
    ("noaa", &["bounded"]),
    ("record", &[]),
    ("fault", &[]),
    ("demo", &[]),
    ("generate", &["noaa"]),
    ("history", &["bounded", "noaa"]),
    ("state", &[]),
    ("rules", &["noaa"]),
    ("stages", &["noaa", "record", "rules", "state"]),
    ("config", &["bounded", "noaa", "rules", "stages"]),
    ("kafka", &["config", "record"]),
    ("runtime", &["config", "fault", "kafka", "noaa", "record", "rules", "stages", "state"]),
    ("chaos", &["config", "demo", "fault", "kafka", "noaa", "record", "rules", "stages", "state"]),
    ("notify", &["config", "noaa", "record", "rules", "stages"]),
    ("admin", &["config", "noaa", "record", "rules", "runtime", "stages"]),
    ("backtest", &["noaa", "record", "rules", "stages", "state"]),
    ("bench", &["config", "generate", "kafka", "noaa", "runtime", "stages"]),
    (
        "cli",
        &[
            "admin",
            "backtest",
            "bench",
            "bounded",
            "chaos",
            "config",
            "demo",
            "fault",
            "generate",
            "history",
            "kafka",
            "noaa",
            "notify",
            "printable",
            "record",
            "rules",
            "runtime",
            "stages",
            "state",
        ],
    ),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The module of a file: the first part of its path under `src`.
fn module(file: &Path) -> String {
    let relative = file.strip_prefix(source()).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The code of a file without its unit tests and comments.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn layers_use_only_what_is_beneath() {
    let mut seen = 0;
    for file in files(&source()) {
        let own = module(&file);
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == own) else {
            assert!(own == "lib" || own == "main", "{own} is in no layer: add it to the list");
            continue;
        };
        if file.to_string_lossy().contains("_tests.rs") {
            continue;
        }
        for used in code(&file).split("crate::").skip(1) {
            let used: String = used.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let is_allowed = used == own || allowed.contains(&used.as_str());
            assert!(is_allowed, "{}: {own} may not use {used}", file.display());
            seen += 1;
        }
    }
    assert!(seen > 50, "only {seen} uses were found: does the search still work?");
}

fn clients_are_named_in_one_place() {
    for file in files(&source()) {
        let (own, code) = (module(&file), code(&file));
        assert!(own == "kafka" || !code.contains("rdkafka::"), "{} names rdkafka", file.display());
        assert!(own == "state" || !code.contains("sled::"), "{} names sled", file.display());
        let is_raw = file.parent().is_some_and(|folder| folder.ends_with("kafka/raw"));
        assert!(is_raw || !code.contains("unsafe "), "{} has unsafe code", file.display());
    }
}

fn no_shared_data_in_the_repository() {
    let output = std::process::Command::new("git")
        .args(["ls-files"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let names = String::from_utf8_lossy(&output.stdout);
    for forbidden in ["2016-hcn", "golden-", "ghcnd-stations", "1872.csv"] {
        assert!(!names.contains(forbidden), "{forbidden} is in the repository");
    }
}
