//! The texts of `--help`: each says what an option does, in the imperative, with words as placeholders.

use clap::{Arg, Command, CommandFactory};

use super::{Arguments, GLOBAL};

/// What the text of an option or a command may begin with. Add a verb that is missing; do not begin with a noun.
const VERBS: &[&str] = &[
    "Add", "Also", "Append", "Begin", "Check", "Choose", "Connect", "Continue", "Convert", "Count", "Create",
    "Delete", "End", "Evaluate", "Exit", "Explain", "Fetch", "Fill", "Find", "Generate", "Give", "Grow",
    "Imitate", "Include", "Inject", "Keep", "Let", "List", "Listen", "Load", "Log", "Measure", "Notify",
    "Plant", "Poll", "Print", "Process", "Publish", "Read", "Remove", "Repeat", "Replay", "Reset", "Restart",
    "Retry", "Run", "Score", "Search", "Select", "Send", "Set", "Show", "Shuffle", "Simulate", "Skip",
    "Sort", "Start", "Test", "Treat", "Try", "Turn", "Use", "Warn", "Watch", "Write",
];

/// Calls `see` with each command and its path.
fn each_command(command: &Command, path: &str, see: &mut dyn FnMut(&str, &Command)) {
    see(path, command);
    for sub in command.get_subcommands() {
        each_command(sub, &format!("{path} {}", sub.get_name()), see);
    }
}

/// What is wrong with the text of an option or a command.
fn fault(text: &str) -> Option<&'static str> {
    let first = text.split([' ', ',']).next().unwrap_or_default();
    if text.is_empty() {
        Some("has no text")
    } else if !VERBS.contains(&first) {
        Some("does not begin with one of the verbs")
    } else if text.split_whitespace().count() < 3 {
        Some("is too short to say anything")
    } else if text.ends_with('.') && !text.ends_with("...") {
        Some("ends with a full stop, unlike the others")
    } else {
        None
    }
}

fn help(argument: &Arg) -> String {
    argument.get_help().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn every_command_and_option_says_what_it_does() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    let root = Arguments::command();
    each_command(&root, "frostline", &mut |path, command| {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        // The program itself is described, not commanded.
        if path != "frostline" {
            wrong.extend(fault(&about).map(|fault| format!("{path} {fault}: {about:?}")));
        }
        for argument in command.get_arguments() {
            let text = help(argument);
            wrong.extend(fault(&text).map(|fault| format!("{path} {} {fault}: {text:?}", argument.get_id())));
            count += 1;
        }
    });
    assert!(count > 150, "only {count} options were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn placeholders_are_words() {
    let is_word =
        |word: &str| word.len() > 1 && word.chars().all(|sign| sign.is_ascii_uppercase() || sign == '_');
    let mut wrong = Vec::new();
    each_command(&Arguments::command(), "frostline", &mut |path, command| {
        for argument in command.get_arguments() {
            for name in argument.get_value_names().unwrap_or_default() {
                if !name.split(['=', ':', ',', '@', '-']).all(is_word) {
                    wrong.push(format!("{path} {}: <{name}> is no word", argument.get_id()));
                }
            }
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn options_of_all_commands_have_their_own_heading() {
    let mut wrong = Vec::new();
    each_command(&Arguments::command(), "frostline", &mut |path, command| {
        for argument in command.get_arguments() {
            let is_there = argument.get_help_heading() == Some(GLOBAL);
            if argument.is_global_set() != is_there {
                wrong.push(format!(
                    "{path} {}: `{GLOBAL}` is for the options of all commands",
                    argument.get_id()
                ));
            }
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
