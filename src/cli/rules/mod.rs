//! `frostline rules`: commands for owners of rules.

mod apply;
pub(super) mod at_start;
mod backtest;
mod backtest_report;
mod check;
mod history;
mod moments;
mod new;
mod repeatable;
pub(super) mod source;
mod view;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Common, Failed};

pub(super) use backtest::{check_needs, date};
pub(super) use history::History;
pub(super) use repeatable::Repeatable;

const EXAMPLES: &str = "\
Examples:
  frostline rules new --near 33.61,-111.92 --below 28F --tonight --email anna@example.org
  frostline rules check rules.toml                     every mistake with its line and column
  frostline rules backtest 2016.csv.gz --rules rules.toml --stations ghcnd-stations.txt
  frostline rules apply rules.toml                     shows what would change, asks, publishes
  frostline rules list
  frostline rules export > rules.toml

With the setting alert.rules = \"topic\" the daemon takes its rules from the
topic noaa-rules.";

/// Write, check, try, publish and show rules
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RulesArguments {
    #[command(subcommand)]
    command: RulesCommand,
}

#[derive(Subcommand)]
enum RulesCommand {
    New(new::NewArguments),
    Check(check::CheckArguments),
    Apply(apply::ApplyArguments),
    Remove(apply::RemoveArguments),
    List(view::ListArguments),
    Show(view::ShowArguments),
    Export(view::ExportArguments),
    Backtest(backtest::BacktestArguments),
}

pub(super) async fn rules(common: &Common, arguments: &RulesArguments) -> Result<(), Failed> {
    match &arguments.command {
        RulesCommand::New(arguments) => new::new(common, arguments).await,
        RulesCommand::Check(arguments) => check::check(common, arguments).await,
        RulesCommand::Apply(arguments) => apply::apply(common, arguments).await,
        RulesCommand::Remove(arguments) => apply::remove(common, arguments).await,
        RulesCommand::List(arguments) => view::list(common, arguments).await,
        RulesCommand::Show(arguments) => view::show(common, arguments).await,
        RulesCommand::Export(arguments) => view::export(common, arguments).await,
        RulesCommand::Backtest(arguments) => backtest::backtest(common, arguments).await,
    }
}

/// The files of a station table.
#[derive(Args, Clone)]
pub(super) struct StationFiles {
    /// Read stations from this file: NOAA's ghcnd-stations.txt, or ghcnh-station-list.csv for METARs; plain or
    /// gzipped
    #[arg(long, value_name = "FILE")]
    stations: Option<PathBuf>,
    /// Read the names of countries from this ghcnd-countries.txt [default: the one next to the stations, if it
    /// exists]
    #[arg(long, value_name = "FILE", requires = "stations")]
    countries: Option<PathBuf>,
    /// Read the names of states from this ghcnd-states.txt [default: the one next to the stations, if it exists]
    #[arg(long, value_name = "FILE", requires = "stations")]
    states: Option<PathBuf>,
}

impl StationFiles {
    /// Whether no file was named.
    pub(super) fn are_missing(&self) -> bool {
        self.stations.is_none()
    }
}
