//! The parts of `docs` that are generated from the code: every setting, every metric, every topic.
//!
//! A test fails where a page differs; `FROSTLINE_BLESS=1 cargo test --test it -- references` writes the pages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use frostline::admin::{METRICS, Metric};
use frostline::app;
use frostline::config::Config;
use frostline::contract::asyncapi;
use frostline_engine::Counter;

use crate::settings_reference::settings_reference;
use crate::support::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("references_of_settings_are_as_the_code", &[], settings),
        test("references_of_metrics_are_as_the_code", &[], metrics),
        test("each_metric_of_the_code_is_in_the_list", &[], metric_names),
        test("references_of_topics_are_as_the_code", &[], topics),
        test("references_of_paths_are_as_the_api", &[], paths),
    ]
}

const END: &str = "<!-- end of what is generated -->";

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares the generated part of a page with `expected`, or writes it.
fn check(page: &str, name: &str, expected: &str) {
    let path = root().join(page);
    let text = fs::read_to_string(&path).unwrap();
    let begin = text.find(&format!("<!-- generated: {name}.")).unwrap_or_else(|| panic!("{page}: no {name}"));
    let begin = begin + text[begin..].find('\n').unwrap() + 1;
    let end = begin + text[begin..].find(END).unwrap_or_else(|| panic!("{page}: no end of {name}"));
    let expected = format!("\n{}\n\n", expected.trim());
    if std::env::var_os("FROSTLINE_BLESS").is_some() {
        fs::write(&path, format!("{}{expected}{}", &text[..begin], &text[end..])).unwrap();
    } else {
        let advice = "write it with FROSTLINE_BLESS=1 cargo test --test it -- references";
        let differs = expected.lines().zip(text[begin..end].lines()).find(|(left, right)| left != right);
        assert!(text[begin..end] == expected, "{page} differs from the code: {advice}\n{differs:?}");
    }
}

fn settings() {
    check("docs/configuration.md", "configuration", &settings_reference());
}

/// The whole document.
fn topics() {
    let path = root().join("docs/api/asyncapi.json");
    let expected = format!("{:#}\n", asyncapi(&Config::default()).unwrap());
    if std::env::var_os("FROSTLINE_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, expected).unwrap();
    } else {
        let advice = "write it with FROSTLINE_BLESS=1 cargo test --test it -- references";
        let found = fs::read_to_string(&path).unwrap_or_default();
        let differs = expected.lines().zip(found.lines()).find(|(left, right)| left != right);
        assert!(found == expected, "docs/api/asyncapi.json differs from the code: {advice}\n{differs:?}");
    }
}

/// In the notation of lists: `a`, `b`.
fn code_list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn metrics() {
    let mut text = String::from("| metric | kind | labels | meaning |\n|---|---|---|---|\n");
    for Metric { name, kind, labels, help } in METRICS {
        let labels = code_list(labels.iter().copied());
        writeln!(text, "| `{name}` | {} | {labels} | {help} |", kind.as_str()).unwrap();
    }
    text.push_str("\nKinds of `frostline_stage_total`:\n\n| kind | stages | meaning |\n|---|---|---|\n");
    let outline = app::outline(&Config::default()).unwrap();
    for counter in outline.counters() {
        let stages = outline.stages().iter().filter(|stage| stage.counters.contains(&counter));
        let stages = code_list(stages.map(|stage| stage.id.as_str()));
        let stages = if Counter::ENGINE.contains(&counter) { "all".to_owned() } else { stages };
        writeln!(text, "| `{}` | {stages} | {} |", counter.name(), counter.meaning()).unwrap();
    }
    check("docs/operations.md", "metrics", &text);
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The names in the code that look like those of metrics.
fn metric_names() {
    let is_of_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let files = [rust_files(&root().join("src")), rust_files(&root().join("crates/engine/src"))].concat();
    let mut used = BTreeMap::new();
    for file in files.iter().filter(|file| !file.ends_with("admin/metric_list.rs")) {
        let text = fs::read_to_string(file).unwrap();
        // Without tests, which may name what they like.
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        // Those of the process are made in one place; elsewhere such names are something else.
        let of_process = if file.ends_with("admin/metrics.rs") { "\"process_" } else { "\"frostline_" };
        for (at, _) in code.match_indices("\"frostline_").chain(code.match_indices(of_process)) {
            let name: String = code[at + 1..].chars().take_while(|c| is_of_name(*c)).collect();
            let is_whole = code[at + 1 + name.len()..].starts_with('"');
            if is_whole && !name.starts_with("frostline_engine") {
                used.insert(name, file.display().to_string());
            }
        }
    }
    let listed: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(listed.len(), METRICS.len(), "each once");
    for (name, file) in &used {
        assert!(listed.contains(name.as_str()), "{name} ({file}) is not in src/admin/metric_list.rs");
    }
    for name in listed {
        assert!(used.contains_key(name), "{name} of src/admin/metric_list.rs is used nowhere");
    }
}

/// Every path of the API is on the page.
fn paths() {
    let text = fs::read_to_string(root().join("src/admin/openapi.json")).unwrap();
    let api: serde_json::Value = serde_json::from_str(&text).unwrap();
    let page = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    // As the page writes them: /api/v1/stations/ID for /api/v1/stations/{id}.
    let names = |path: &str| {
        let fixed = path.split('{').next().unwrap();
        fixed.trim_end_matches('/').to_owned()
    };
    let paths: Vec<String> = api["paths"].as_object().unwrap().keys().map(|path| names(path)).collect();
    assert!(paths.len() > 15, "{paths:?}");
    for path in paths {
        assert!(page.contains(&path), "{path} is not in docs/operations.md");
    }
}
