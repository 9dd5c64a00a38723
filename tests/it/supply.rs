//! What comes from others: each dependency is there for a reason, and under a licence that lets frostline be what it is.

use std::fs;
use std::process::Command;

use crate::references::root;
use crate::support::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("each_dependency_says_what_it_is_for", &[], reasons),
        test("no_dependency_needs_a_newer_rust", &[], minimum_rust),
        test("licences_and_sources_are_allowed", &[], cargo_deny),
    ]
}

/// Each has a comment right above it, for itself: a heading (`##`) is for several.
fn reasons() {
    let mut wrong = Vec::new();
    for file in ["Cargo.toml", "crates/engine/Cargo.toml"] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        let (mut is_section, mut count, mut before) = (false, 0, "");
        for line in text.lines() {
            if line.starts_with('[') {
                is_section = line.ends_with("dependencies]");
            } else if is_section && !line.is_empty() && !line.starts_with('#') {
                count += 1;
                if !before.starts_with("# ") {
                    wrong.push(format!("{file}: {line}: the line above must say what it is for (`# …`)"));
                }
            }
            before = line;
        }
        assert!(count > 10, "{file}: only {count} dependencies were found");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `rust-version` is a promise for the whole tree: cargo refuses to build a package that needs more than is there.
fn minimum_rust() {
    // Crates of other systems need not be on this machine.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &platform])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let version = |package: &serde_json::Value| -> Vec<u32> {
        let text = package["rust_version"].as_str().unwrap_or("1");
        text.split('.').map(|part| part.parse().unwrap()).collect()
    };
    let ours = packages.iter().find(|package| package["name"] == "frostline").map(version).unwrap();
    let newer: Vec<String> = packages
        .iter()
        .filter(|package| version(package) > ours)
        .map(|package| {
            format!("{} {} needs {}", package["name"], package["version"], package["rust_version"])
        })
        .collect();
    assert!(newer.is_empty(), "rust-version is {ours:?}: {}", newer.join(", "));
}

/// `deny.toml`, where cargo-deny is installed. Known weaknesses are not looked for: that needs the internet.
fn cargo_deny() {
    let deny = || {
        let mut command = Command::new("cargo-deny");
        command.current_dir(root());
        command
    };
    if deny().arg("--version").output().is_err() {
        eprintln!(
            "cargo-deny is not installed (cargo install cargo-deny --locked): deny.toml is not checked"
        );
        return;
    }
    let output = deny().args(["--offline", "check", "licenses", "bans", "sources"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\nwhere crates are missing: cargo fetch --locked");
}
