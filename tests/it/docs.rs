//! The pages of the documentation: their commands are run as a reader would, and their links lead somewhere.
//!
//! Above each block of commands stands a comment that nobody sees on the page: `<!-- run -->` with what it needs besides
//! the data, `<!-- not run: reason -->`, or `<!-- run elsewhere: place -->`. A block of TOML whose first line names a file
//! is that file. Blocks are run in their order, each by a shell of its own that ends at the first command that fails, in a
//! folder with extracts of NOAA's data.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::doc_run::Reader;
use crate::references::root;
use crate::support::{Needs, Test, test};

const BROKER: &[Needs] = &[Needs::Broker];

pub fn tests() -> Vec<Test> {
    vec![
        test("links_of_the_documentation_lead_somewhere", &[], links),
        test("each_block_of_commands_says_whether_it_is_run", &[], all_blocks_say),
        test("commands_of_readme", BROKER, || run("README.md")),
        test("commands_of_getting_started", BROKER, || run("docs/getting-started.md")),
        test("commands_of_rules", BROKER, || run("docs/rules.md")),
        test("commands_of_tonight", &[], || run("docs/tonight.md")),
        test("commands_of_sources", BROKER, || run("docs/sources.md")),
        test("commands_of_notifications", &[Needs::Broker, Needs::MailServer], || {
            run("docs/notifications.md")
        }),
        test("commands_of_records", BROKER, || run("docs/records.md")),
        test("commands_of_production", BROKER, || run("docs/production.md")),
        test("commands_of_operations", BROKER, || run("docs/operations.md")),
        test("commands_of_configuration", &[], || run("docs/configuration.md")),
    ]
}

/// The pages that people read.
pub fn pages() -> Vec<String> {
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|entry| format!("docs/{}", entry.unwrap().file_name().to_string_lossy()));
    let others = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "deploy/README.md"];
    let mut pages: Vec<String> = docs.filter(|name| name.ends_with(".md")).collect();
    pages.extend(others.map(str::to_owned));
    pages.sort_unstable();
    pages
}

/// Something that is done in the order of the page.
enum Step {
    /// A file with its content.
    File(String, String),
    /// Commands, and what they need.
    Run(Vec<String>, String),
    /// Commands that are not run here.
    Leave,
    /// Commands without a word about it.
    Silent(String),
}

fn steps(page: &str) -> Vec<Step> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let (mut steps, mut rest, mut said) = (Vec::new(), text.lines(), String::new());
    while let Some(line) = rest.next() {
        let language = line.strip_prefix("```");
        if let Some(comment) = line.strip_prefix("<!-- ") {
            said = comment.trim_end_matches(" -->").to_owned();
            continue;
        }
        let Some(language) = language else { continue };
        let block: Vec<&str> = rest.by_ref().take_while(|line| *line != "```").collect();
        let said = std::mem::take(&mut said);
        let name = block.first().and_then(|first| first.strip_prefix("# ")).unwrap_or_default();
        if language == "toml" && name.ends_with(".toml") && !name.contains(' ') {
            steps.push(Step::File(name.to_owned(), block.join("\n")));
        } else if language == "sh" {
            let needs = said.strip_prefix("run").filter(|rest| rest.is_empty() || rest.starts_with(": "));
            steps.push(match needs {
                Some(needs) => {
                    let needs = needs.trim_start_matches(": ").split(", ").map(str::to_owned);
                    Step::Run(needs.filter(|need| !need.is_empty()).collect(), block.join("\n"))
                }
                None if said.starts_with("not run: ") || said.starts_with("run elsewhere: ") => Step::Leave,
                None => Step::Silent(block.join("\n")),
            });
        }
    }
    steps
}

fn run(page: &str) {
    let mut reader = Reader::new(page);
    let mut count = 0;
    for step in steps(page) {
        match step {
            Step::File(name, content) => reader.write(&name, &content),
            Step::Run(needs, script) => {
                reader.run(&needs, &script);
                count += 1;
            }
            Step::Leave | Step::Silent(_) => {}
        }
    }
    assert!(count > 0, "{page}: nothing was run");
}

fn all_blocks_say() {
    let pages = pages();
    let tested: BTreeSet<String> = tests().iter().map(|test| test.name.replace('_', "-")).collect();
    for page in &pages {
        let steps = steps(page);
        for step in &steps {
            if let Step::Silent(script) = step {
                panic!(
                    "{page}: say whether these are run, with <!-- run --> or <!-- not run: reason -->\n{script}"
                );
            }
        }
        let name = page.trim_start_matches("docs/").trim_end_matches(".md").to_lowercase();
        let is_run = steps.iter().any(|step| matches!(step, Step::Run(..)));
        assert!(
            !is_run || tested.contains(&format!("commands-of-{name}")),
            "{page} has no test in tests/it/docs.rs"
        );
    }
}

/// As GitHub makes anchors of headings.
fn anchor(heading: &str) -> String {
    let plain = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = plain.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(page: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(page).unwrap();
    let mut in_block = false;
    let headings = text.lines().filter(|line| {
        in_block ^= line.starts_with("```");
        !in_block && line.starts_with('#')
    });
    headings.map(anchor).collect()
}

fn links() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for page in pages() {
        let path = root().join(&page);
        let text = fs::read_to_string(&path).unwrap();
        let folder = path.parent().unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") || link.contains(' ') || link.contains('\n') {
                continue;
            }
            count += 1;
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target: PathBuf = if file.is_empty() { path.clone() } else { folder.join(file) };
            if !target.exists() {
                wrong.push(format!("{page}: {link}: there is no such file"));
            } else if !fragment.is_empty() && !anchors(&target).contains(fragment) {
                wrong.push(format!("{page}: {link}: there is no such heading"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 80, "only {count} links were found: does the search still work?");
}
