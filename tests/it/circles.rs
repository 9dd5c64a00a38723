//! Circles: files of a folder that use each other, so that none of them can be read, tested or moved alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::layers::files;
use crate::support::{Test, test};
use crate::words::product_code;

pub fn tests() -> Vec<Test> {
    vec![test("no_files_use_each_other_in_a_circle", &[], no_circles)]
}

fn no_circles() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut folders) = (BTreeSet::new(), 0);
    for source in ["src", "crates/engine/src"] {
        let mut by_folder = BTreeMap::<PathBuf, Vec<PathBuf>>::new();
        for file in files(&root.join(source)) {
            by_folder.entry(file.parent().unwrap().to_owned()).or_default().push(file);
        }
        folders += by_folder.len();
        for (folder, files) in by_folder {
            let name = folder.strip_prefix(root).unwrap().display().to_string();
            found.extend(circles(&uses_in(&files)).into_iter().map(|circle| (name.clone(), circle)));
        }
    }
    assert!(folders > 50, "only {folders} folders were found");
    assert!(
        found.is_empty(),
        "these files use each other: move what they share into a file below both: {found:#?}"
    );
}

/// The files of a folder, each with the others that it uses: by their names, or by what the folder's own file passes on.
fn uses_in(files: &[PathBuf]) -> BTreeMap<String, BTreeSet<String>> {
    let mut texts = BTreeMap::new();
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        if name != "tests" && !name.ends_with("_tests") {
            texts.insert(name, code(&std::fs::read_to_string(file).unwrap()));
        }
    }
    let own = ["mod", "lib", "main"]
        .map(|name| texts.remove(name))
        .into_iter()
        .flatten()
        .next()
        .unwrap_or_default();
    let mut passed_on = BTreeMap::new();
    for statement in statements(&own, " use ").chain(statements(&own, "\nuse ")) {
        let mut words = words(statement);
        if let Some(file) = words.next().filter(|file| texts.contains_key(*file)) {
            words.for_each(|name| drop(passed_on.insert(name.to_owned(), file.to_owned())));
        }
    }
    let mut all = BTreeMap::new();
    for (file, text) in &texts {
        let named = statements(text, "use super::").flat_map(words);
        let used = named.filter_map(|name| match texts.contains_key(name) {
            true => Some(name.to_owned()),
            false => passed_on.get(name).cloned(),
        });
        all.insert(file.clone(), used.filter(|used| used != file).collect());
    }
    all
}

/// The text without comments and unit tests.
fn code(text: &str) -> String {
    let lines = product_code(text).lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// What follows `start`, up to the semicolon, wherever it stands.
fn statements<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).map(|rest| rest.split(';').next().unwrap_or_default())
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// The files from which a way leads back to themselves, together with those on the way.
fn circles(uses: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        uses.keys().map(|file| (file, reach(uses, file))).collect();
    let circle = |file: &String| -> Option<String> {
        let others = reached[file].iter().filter(|other| reached[**other].contains(file));
        let files: Vec<&str> = others.map(|other| other.as_str()).collect();
        (files.len() > 1).then(|| files.join(" "))
    };
    uses.keys().filter_map(circle).collect()
}

/// All files that one uses, directly or through others.
fn reach<'a>(uses: &'a BTreeMap<String, BTreeSet<String>>, from: &'a String) -> BTreeSet<&'a String> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(file) = open.pop() {
        open.extend(uses[file].iter().filter(|used| reached.insert(*used)));
    }
    reached
}
