//! The program accepts the command lines in the documentation.

use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use super::*;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All pages, by their names, with their texts.
fn pages() -> Vec<(String, String)> {
    let in_docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let markdown = in_docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let others = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md", "deploy/README.md"];
    let others = others.iter().map(|name| root().join(name));
    let read = |path: PathBuf| (path.display().to_string(), fs::read_to_string(path).unwrap());
    markdown.chain(others).map(read).collect()
}

/// The lines of the blocks with commands, and the commands within sentences, with whether they are whole.
fn commands(page: &str) -> Vec<(String, bool)> {
    let (mut found, mut prose, mut in_block, mut is_shell) = (Vec::new(), String::new(), false, false);
    let page = page.replace("\\\n", " ");
    for line in page.lines() {
        if line.starts_with("```") {
            (in_block, is_shell) = (!in_block, line == "```sh");
        } else if !in_block {
            prose.push_str(line);
            prose.push(' ');
        } else if is_shell {
            let line = line.split(" #").next().unwrap_or_default();
            let parts =
                line.split(" && ").flat_map(|part| part.split("; ")).flat_map(|part| part.split(" | "));
            found.extend(parts.map(|part| (part.trim().trim_end_matches(" &").to_owned(), true)));
        }
    }
    found.extend(prose.split('`').skip(1).step_by(2).map(|code| (code.to_owned(), false)));
    found.retain(|(command, _)| command.starts_with("frostline ") && !command.contains('…'));
    found
}

/// The words of a line as a shell splits them, without redirections.
fn words(line: &str) -> Vec<OsString> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in line.chars() {
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (' ', None) => words.push(std::mem::take(&mut word)),
            (c, _) => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty() && !word.starts_with('>') && !word.starts_with("2>"));
    words.into_iter().map(OsString::from).collect()
}

#[test]
fn commands_of_the_documentation_can_be_run() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (page, text) in pages() {
        for (command, is_whole) in commands(&text) {
            count += 1;
            let Err(error) = Arguments::try_parse_from(settings_last(words(&command).into_iter())) else {
                continue;
            };
            // Within a sentence, a command may omit parts or have letters in place of values.
            let is_part = matches!(
                error.kind(),
                ErrorKind::MissingRequiredArgument
                    | ErrorKind::MissingSubcommand
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                    | ErrorKind::ValueValidation
            );
            if is_whole || !is_part {
                wrong.push(format!("{page}: {command}\n{error}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 100, "only {count} commands were found: does the search still work?");
}

#[test]
fn the_readme_names_each_command() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let table = readme.split("\n## Commands\n").nth(1).unwrap().split("\n## ").next().unwrap();
    for command in Arguments::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = command.get_name();
        assert!(
            table.contains(&format!("`{name}`")) || name == "help",
            "{name} is not in the README's table"
        );
    }
}

/// Sentences that are broken by hand are broken once more on a terminal that is narrower.
#[test]
fn sentences_below_the_options_fit_on_a_usual_terminal() {
    let (mut open, mut long) = (vec![Arguments::command()], Vec::new());
    while let Some(command) = open.pop() {
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let sentences = text.lines().filter(|line| !line.starts_with(' '));
        long.extend(
            sentences
                .filter(|line| line.chars().count() > 80)
                .map(|line| format!("{}: {line}", command.get_name())),
        );
        open.extend(command.get_subcommands().cloned());
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}
