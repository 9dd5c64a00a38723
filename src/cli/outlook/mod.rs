//! `frostline outlook`: how good outlooks of the coming night are.

mod backtest;

use clap::{Args, Subcommand};

use super::{Common, Failed};

const EXAMPLES: &str = "\
Examples:
  frostline outlook backtest KEWR-2013.csv.gz --stations ghcnd-stations.txt
  frostline outlook backtest *.csv.gz --stations ghcnd-stations.txt --issued 21:00 --limit=-2 --json";

/// How good outlooks of the coming night are
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct OutlookArguments {
    #[command(subcommand)]
    command: OutlookCommand,
}

#[derive(Subcommand)]
enum OutlookCommand {
    Backtest(backtest::BacktestArguments),
}

pub(super) async fn outlook(common: &Common, arguments: &OutlookArguments) -> Result<(), Failed> {
    match &arguments.command {
        OutlookCommand::Backtest(arguments) => backtest::backtest(common, arguments).await,
    }
}
