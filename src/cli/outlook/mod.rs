//! `frostline outlook`: how good outlooks of the coming night are.

mod backtest;
mod print;
mod read;
mod score;
mod scoring;

use clap::{Args, Subcommand};

use super::{Common, Failed};

pub(super) use read::{ByStation, read_hours};

const EXAMPLES: &str = "\
Examples:
  frostline outlook backtest KEWR-2013.csv.gz --stations ghcnd-stations.txt
  frostline outlook backtest *.csv.gz --stations ghcnd-stations.txt --issued 21:00 --limit=-2 --json
  frostline outlook score                              score this installation's outlooks and warnings";

/// Score outlooks of the coming night
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct OutlookArguments {
    #[command(subcommand)]
    command: OutlookCommand,
}

#[derive(Subcommand)]
enum OutlookCommand {
    Backtest(backtest::BacktestArguments),
    Score(score::ScoreArguments),
}

pub(super) async fn outlook(common: &Common, arguments: &OutlookArguments) -> Result<(), Failed> {
    match &arguments.command {
        OutlookCommand::Backtest(arguments) => backtest::backtest(common, arguments).await,
        OutlookCommand::Score(arguments) => score::score(common, arguments).await,
    }
}
