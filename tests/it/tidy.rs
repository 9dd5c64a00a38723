//! What keeps the code as it is meant to be: one subject a file, functions that fit on a screen, words on top of each file.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("files_say_what_they_are_and_stay_short", &[], short_files),
        test("functions_fit_on_a_screen", &[], short_functions),
    ]
}

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// Longer files, the most that they may have, and why.
const LONG_FILES: &[(&str, usize, &str)] = &[
    ("tests/it/notify.rs", 660, "all channels share their servers"),
    ("tests/it/admin.rs", 560, "one server with everything that is asked of it"),
    ("tests/it/topology.rs", 490, "one test a stage"),
    ("tests/it/history.rs", 490, "one test a form of file"),
    ("tests/it/commands.rs", 460, "one test a command"),
];

/// Longer functions, and why.
const LONG_FUNCTIONS: &[(&str, &str)] = &[
    ("validate", "one check after the other of what settings say about each other"),
    ("state_by_key", "one story of two processes, told in order"),
    ("look", "one visit to the page, step by step"),
    ("explain", "one question asked in every way"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files, by their path below the repository.
fn sources() -> Vec<(String, String)> {
    fn collect(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for dir in ["src", "tests", "benches", "crates"] {
        collect(&root().join(dir), &mut found);
    }
    found.sort_unstable();
    let read = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    found.into_iter().map(read).collect()
}

fn short_files() {
    let sources = sources();
    assert!(sources.len() > 300, "only {} files were found", sources.len());
    let mut wrong = Vec::new();
    for (name, text) in &sources {
        let lines = text.lines().count();
        let max =
            LONG_FILES.iter().find(|(long, ..)| long == name).map_or(FILE_LINES_MAX, |(_, max, _)| *max);
        if lines > max {
            wrong.push(format!("{name} has {lines} lines, at most {max} are allowed: split it by subject"));
        }
        if !text.starts_with("//! ") {
            wrong.push(format!("{name} does not begin with a line (`//! …`) that says what it is"));
        }
    }
    for (name, ..) in LONG_FILES {
        let lines = sources.iter().find(|(found, _)| found == name).map(|(_, text)| text.lines().count());
        if lines.is_none_or(|lines| lines <= FILE_LINES_MAX) {
            wrong.push(format!("{name} is no longer long: take it off the list"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn short_functions() {
    let mut wrong = Vec::new();
    for (name, text) in &sources() {
        for (function, lines) in functions(text) {
            let is_excepted = LONG_FUNCTIONS.iter().any(|(long, _)| *long == function);
            if lines > FUNCTION_LINES_MAX && !is_excepted {
                wrong.push(format!(
                    "{name}: {function} has {lines} lines, at most {FUNCTION_LINES_MAX} are allowed"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The functions of a file with their lines: from `fn` to the brace at the same depth, as rustfmt writes them.
fn functions(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut open: Option<(String, usize, usize)> = None;
    for (number, line) in text.lines().enumerate() {
        let depth = line.len() - line.trim_start().len();
        let code = line.trim_start();
        if let Some((name, start, of)) = &open {
            if depth == *of && code.starts_with('}') {
                found.push((name.clone(), number - start + 1));
                open = None;
            }
            continue;
        }
        let head = code.split('(').next().unwrap_or_default();
        if let Some((_, name)) = format!(" {head}").rsplit_once(" fn ")
            && !code.starts_with("//")
            && !line.ends_with('}')
            && !line.ends_with(';')
        {
            open = Some((name.split('<').next().unwrap_or_default().to_owned(), number, depth));
        }
    }
    found
}
