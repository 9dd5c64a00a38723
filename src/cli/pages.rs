//! `frostline completions` and `man`: files that packages install with the program.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Arguments, Failed, output};

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  frostline completions bash > ~/.local/share/bash-completion/completions/frostline
  frostline completions zsh > ~/.zfunc/_frostline
  frostline completions fish > ~/.config/fish/completions/frostline.fish";

/// Print completions for a shell
#[derive(Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub(super) struct CompletionsArguments {
    /// Print completions for this shell
    shell: Shell,
}

const MAN_EXAMPLES: &str = "\
Examples:
  frostline man | man -l -
  frostline man --dir ~/.local/share/man/man1        one page per command";

/// Print the manual page, or write one for each command
#[derive(Args)]
#[command(after_help = MAN_EXAMPLES)]
pub(super) struct ManArguments {
    /// Write one page per command to this directory, which is created if it does not exist
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn completions(arguments: &CompletionsArguments) -> Result<(), Failed> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "frostline", &mut text);
    Ok(output::bytes(&text)?)
}

pub(super) fn man(arguments: &ManArguments) -> Result<(), Failed> {
    let command = Arguments::command();
    match &arguments.dir {
        None => Ok(output::bytes(&page(command)?)?),
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("{} cannot be created", folder.display()))
                .map_err(Failed::Usage)?;
            let written = clap_mangen::generate_to(command, folder);
            Ok(written.with_context(|| format!("{} cannot be written", folder.display()))?)
        }
    }
}

fn page(command: clap::Command) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command).render(&mut text)?;
    Ok(text)
}
