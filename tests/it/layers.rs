//! The layers of the design, checked: who may use whom, and where rdkafka, sled and unsafe code may be.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("layers_use_only_what_is_beneath", &[], layers_use_only_what_is_beneath),
        test("the_layout_is_told_as_it_is", &[], the_layout_is_told_as_it_is),
        test("clients_are_named_in_one_place", &[], clients_are_named_in_one_place),
        test("the_engine_knows_no_weather", &[], the_engine_knows_no_weather),
        test("no_shared_data_in_the_repository", &[], no_shared_data_in_the_repository),
    ]
}

/// Each module, and the modules of the crate that it may use.
const LAYERS: &[(&str, &[&str])] = &[
    ("bounded", &[]),
    ("noaa", &["bounded", "printable"]),
    ("printable", &[]),
    ("spelling", &[]),
    ("outbound", &[]),
    ("synthetic", &["hourly", "noaa"]),
    ("hourly", &["noaa"]),
    ("weather_server", &["hourly", "noaa", "synthetic"]),
    ("outlook", &["hourly", "noaa"]),
    ("history", &["bounded", "hourly", "noaa"]),
    ("rules", &["bounded", "noaa", "outlook", "printable", "spelling"]),
    ("stages", &["hourly", "noaa", "outlook", "rules"]),
    ("tables", &["noaa", "rules", "stages"]),
    ("config", &["bounded", "noaa", "rules", "spelling", "stages"]),
    ("near_search", &["noaa", "rules"]),
    ("publishing", &["config", "noaa", "printable", "rules", "stages"]),
    ("app", &["config", "near_search", "noaa", "rules", "sources", "stages", "tables"]),
    ("contract", &["app", "config", "hourly", "noaa", "outlook", "rules", "stages"]),
    ("chaos", &["app", "config", "hourly", "noaa", "rules", "stages", "synthetic", "weather_server"]),
    ("notify", &["bounded", "config", "noaa", "outbound", "printable", "rules", "stages"]),
    ("sources", &["bounded", "config", "hourly", "noaa", "outbound", "stages"]),
    (
        "admin",
        &[
            "app",
            "config",
            "hourly",
            "noaa",
            "outlook",
            "printable",
            "publishing",
            "rules",
            "spelling",
            "stages",
        ],
    ),
    ("backtest", &["hourly", "noaa", "outlook", "printable", "rules", "stages"]),
    ("bench", &["app", "config", "noaa", "stages", "synthetic"]),
    (
        "cli",
        &[
            "admin",
            "app",
            "backtest",
            "bench",
            "bounded",
            "chaos",
            "config",
            "contract",
            "history",
            "hourly",
            "noaa",
            "notify",
            "outbound",
            "outlook",
            "printable",
            "publishing",
            "rules",
            "sources",
            "stages",
            "synthetic",
            "weather_server",
        ],
    ),
];

/// The same for the engine, whose compiler does not know of the application at all.
const ENGINE_LAYERS: &[(&str, &[&str])] = &[
    ("random", &[]),
    ("fault", &[]),
    ("record", &["fault"]),
    ("settings", &[]),
    ("counters", &[]),
    ("store", &["random", "sim", "Store"]),
    ("collector", &["record", "topology", "Stage"]),
    ("processor", &["collector", "counters", "record", "store", "topology"]),
    ("topology", &["Sink", "TopicPlan", "counters", "processor", "record", "source", "table"]),
    ("source", &["TopicPlan"]),
    ("kafka", &["KafkaSettings", "Traffic", "TopicPlan", "fault", "random", "record", "settings"]),
    ("table", &["Stage", "Store", "TopicPlan", "kafka", "record", "store"]),
    (
        "growth",
        &[
            "EngineSettings",
            "Owner",
            "OutputHeader",
            "StageId",
            "StateKeys",
            "Topology",
            "fault",
            "kafka",
            "link",
            "record",
        ],
    ),
    ("table_copy", &["Opening", "StateError", "kafka", "record", "store"]),
    ("link", &["kafka"]),
    ("sim", ANY),
    ("driver", ANY),
    ("runtime", ANY),
];

/// May use whatever there is.
const ANY: &[&str] = &["*"];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn engine_source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/engine/src")
}

pub fn files(dir: &Path) -> Vec<PathBuf> {
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

/// The module of a file: the first part of its path under `source`.
fn module(source: &Path, file: &Path) -> String {
    let relative = file.strip_prefix(source).unwrap();
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
    let seen = check_layers(&source(), LAYERS) + check_layers(&engine_source(), ENGINE_LAYERS);
    assert!(seen > 100, "only {seen} uses were found: does the search still work?");
}

/// The table on the crate's front page has the modules that there are.
fn the_layout_is_told_as_it_is() {
    let text = fs::read_to_string(source().join("lib.rs")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    let mut shown: Vec<&str> =
        rows.filter_map(|row| row.split('`').next()).map(|name| name.trim_start_matches("mod@")).collect();
    let mut there: Vec<&str> = LAYERS.iter().map(|(name, _)| *name).collect();
    shown.sort_unstable();
    there.sort_unstable();
    assert_eq!(shown, there);
}

/// Returns how many uses were looked at.
fn check_layers(source: &Path, layers: &[(&str, &[&str])]) -> usize {
    let mut seen = 0;
    for file in files(source) {
        let own = module(source, &file);
        let Some((_, allowed)) = layers.iter().find(|(name, _)| *name == own) else {
            assert!(own == "lib" || own == "main", "{own} is in no layer: add it to the list");
            continue;
        };
        let name = file.to_string_lossy();
        if name.contains("_tests.rs") || name.contains("/tests/") || name.ends_with("/tests.rs") {
            continue;
        }
        for used in uses(&code(&file)) {
            let is_allowed = used == own || allowed.contains(&used.as_str()) || *allowed == ANY;
            assert!(is_allowed, "{}: {own} may not use {used}", file.display());
            seen += 1;
        }
    }
    seen
}

/// What a text names behind `crate::`, also in braces.
fn uses(code: &str) -> Vec<String> {
    let is_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    let first = |text: &str| text.trim_start().chars().take_while(is_name).collect::<String>();
    let mut found = Vec::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => {
                let list = list.split('}').next().unwrap_or_default();
                found.extend(list.split(',').map(first).filter(|name| !name.is_empty()));
            }
            None => found.push(first(rest)),
        }
    }
    found
}

fn clients_are_named_in_one_place() {
    for (source, is_engine) in [(source(), false), (engine_source(), true)] {
        for file in files(&source) {
            let (own, code) = (module(&source, &file), code(&file));
            let may = |module: &str| is_engine && own == module;
            assert!(may("kafka") || !code.contains("rdkafka::"), "{} names rdkafka", file.display());
            assert!(may("store") || !code.contains("sled::"), "{} names sled", file.display());
            let is_raw = file.parent().is_some_and(|folder| folder.ends_with("kafka/raw"));
            assert!(is_raw || !code.contains("unsafe "), "{} has unsafe code", file.display());
        }
    }
}

/// The engine is of use to others only as long as it knows nothing of its first user.
fn the_engine_knows_no_weather() {
    for file in files(&engine_source()) {
        let text = code(&file).to_lowercase();
        for word in ["noaa", "ghcn", "station", "weather", "forecast"] {
            assert!(!text.contains(word), "{} speaks of {word}", file.display());
        }
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
