//! Plain words: texts that the program shows, comments and documentation avoid a few old habits.

use std::fs;
use std::path::Path;

use crate::support::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("texts_use_plain_words", &[], texts_use_plain_words),
        test("old_habits_are_found", &[], old_habits_are_found),
    ]
}

/// Words to avoid, and what to write in their place. The reason is the same for all: a reader should see at once who
/// does what, in the words of the field.
const HABITS: &[(&[&str], &str)] = &[
    (
        &["told", "tell", "tells", "telling"],
        "report, log, notify, send, return or print: say what the program does",
    ),
    (&["is none of", "are none of", "that is none", "that are none", "it is none"], "is not a …"),
    (&["meant so", "hardly meant"], "say what is wrong with it and what is accepted"),
    (&["what becomes of", "what became of", "what comes of"], "name the outcome"),
    (&["whoever"], "say who: anyone who …, the user, the process"),
    (&["bear out", "bears out"], "confirm"),
    (&["shall"], "must or will"),
    (&["mend", "mends", "mended"], "fix or repair"),
    (&["beside"], "next to or in addition to"),
    (&["anew"], "again"),
    (&["again and again"], "repeatedly"),
    (&["for ever"], "indefinitely"),
    (&["likewise"], "also"),
    (&["just now"], "at the moment"),
];

/// Files whose texts are quotes of an old habit, with the habit.
const QUOTES: &[(&str, &str)] = &[];

/// Text files that users read, apart from Rust.
const TEXTS: &[&str] = &["md", "toml", "yml", "yaml", "json", "js", "html", "txt", "service"];

fn texts_use_plain_words() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(str::to_owned).to_vec();
    for dir in ["src", "crates", "docs", "deploy", "examples"] {
        collect(root, dir, &mut files);
    }
    assert!(files.len() > 300, "only {} files were found", files.len());
    let mut wrong = Vec::new();
    for file in &files {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let passages = if file.ends_with(".rs") { passages(product_code(&text)) } else { paragraphs(&text) };
        for (line, passage) in passages {
            for (habit, place, instead) in habits(&passage) {
                if !QUOTES.contains(&(file.as_str(), habit)) {
                    wrong.push(format!(
                        "{file}, from line {line}: `{habit}` in \"…{place}…\". Better: {instead}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Adds the files below a directory that hold texts, without unit tests.
fn collect(root: &Path, dir: &str, files: &mut Vec<String>) {
    for entry in fs::read_dir(root.join(dir)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{dir}/{name}");
        if entry.file_type().unwrap().is_dir() {
            if !["tests", "benches", "fuzz", "vendor"].contains(&name.as_str()) {
                collect(root, &path, files);
            }
            continue;
        }
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        if TEXTS.contains(&extension) || (extension == "rs" && !name.ends_with("tests.rs")) {
            files.push(path);
        }
    }
}

/// A file without its unit tests, which stand at its end.
pub fn product_code(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

/// The paragraphs of a text, each with the number of its first line, without the signs that comments begin with.
fn paragraphs(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut is_open = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim().trim_start_matches(['#', '>', '/', '*', ' ']);
        match found.last_mut() {
            _ if line.is_empty() => is_open = false,
            Some((_, paragraph)) if is_open => {
                paragraph.push(' ');
                paragraph.push_str(line);
            }
            _ => {
                found.push((index + 1, line.to_owned()));
                is_open = true;
            }
        }
    }
    found
}

/// The comments and the string literals of a Rust file, each with the number of its first line. Literals of one word
/// are names, which do not change; comments in lines that follow each other are one.
fn passages(code: &str) -> Vec<(usize, String)> {
    let mut comments = Vec::new();
    let mut literals = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(['/', '"', '\'']) {
        let line = 1 + code[..code.len() - rest.len() + at].matches('\n').count();
        let before = &rest[..at];
        rest = &rest[at..];
        let length = if rest.starts_with("//") {
            let length = rest.find('\n').unwrap_or(rest.len());
            comments.push((line, &rest[..length]));
            length
        } else if rest.starts_with('"') {
            let length = literal(before, rest);
            literals.push((line, rest[..length].to_owned()));
            length
        } else {
            // A character such as '"', or a lifetime, or a division.
            ["'\"'", "'\\\"'", "'/'", "'\\''"]
                .iter()
                .find(|quoted| rest.starts_with(**quoted))
                .map_or(1, |q| q.len())
        };
        rest = &rest[length..];
    }
    literals.retain(|(_, text)| text.contains(' '));
    // An empty line in between keeps comments apart.
    let mut joined = String::new();
    let mut next = 1;
    for (line, comment) in comments {
        joined.push_str(&"\n".repeat(line - next));
        joined.push_str(comment);
        joined.push('\n');
        next = line + 1;
    }
    let mut found = paragraphs(&joined);
    found.extend(literals);
    found
}

/// The length of the string literal that `rest` begins with, quotes included. `before` ends with `r`, `r#` and so on
/// if it is a raw one.
fn literal(before: &str, rest: &str) -> usize {
    let hashes = before.len() - before.trim_end_matches('#').len();
    let is_raw = before[..before.len() - hashes].ends_with('r');
    if is_raw {
        let end = format!("\"{}", "#".repeat(hashes));
        return rest[1..].find(&end).map_or(rest.len(), |at| 1 + at + end.len());
    }
    let mut is_escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The old habits in a text: each with its surroundings, and what to write in its place. Names of code do not count.
fn habits(text: &str) -> Vec<(&'static str, String, &'static str)> {
    let words: Vec<&str> = text.split([' ', '\n', '\\']).filter(|word| !word.is_empty()).collect();
    let text = words.join(" ").to_ascii_lowercase();
    let mut found = Vec::new();
    for (habits, instead) in HABITS {
        for habit in *habits {
            for (at, _) in text.match_indices(habit) {
                let (before, after) = (&text[..at], &text[at + habit.len()..]);
                if !is_name(before, after) {
                    let from = before.char_indices().rev().nth(30).map_or(0, |(from, _)| from);
                    let to = after.char_indices().nth(30).map_or(after.len(), |(to, _)| to);
                    let place = format!("{}{habit}{}", &before[from..], &after[..to]);
                    found.push((*habit, place, *instead));
                }
            }
        }
    }
    found
}

/// Whether what stands between the two is a part of a word, or a name: `a.tell(b)`, `"told": 1`, `{told}`.
fn is_name(before: &str, after: &str) -> bool {
    before.ends_with(|sign: char| sign.is_alphanumeric() || "_-.:/{$".contains(sign))
        || after.starts_with(|sign: char| sign.is_alphanumeric() || "_-(=}`".contains(sign))
        || after.starts_with("\":")
}

fn old_habits_are_found() {
    let code = r##"
//! The stage that is
//! told of it.

/// Sets `told` and calls `tell(x)`.
fn a<'a>(told: &'a str) -> char {
    log("it was mended \
        just now: {told}"); // shall we
    json(r#"{ "told": 1, "note": "for ever" }"#, "told");
    '"'
}
"##;
    let found: Vec<(usize, &str)> = passages(code)
        .iter()
        .flat_map(|(line, text)| habits(text).into_iter().map(|(habit, ..)| (*line, habit)))
        .collect();
    assert_eq!(found, [(2, "told"), (8, "shall"), (7, "mended"), (7, "just now"), (9, "for ever")]);
    let of_text =
        paragraphs("# A shoulder, a besided word\n# that lasts for\n# ever. It was retold.\n\nAnew");
    let found: Vec<&str> =
        of_text.iter().flat_map(|(_, text)| habits(text)).map(|(habit, ..)| habit).collect();
    assert_eq!(found, ["for ever", "anew"]);
}
