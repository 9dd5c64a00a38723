//! `frostline outlook backtest`: scores outlooks over files of hourly observations.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use super::super::{Common, Failed, output};
use super::print::print;
use super::read::read_hours;
use super::scoring::Scoring;
use crate::noaa::{Station, StationId};
use crate::outlook::{Spot, tally};

const EXAMPLES: &str = "\
Examples:
  frostline outlook backtest KEWR-2013.csv.gz --stations ghcnd-stations.txt
  frostline outlook backtest KEWR-2013.csv.gz --stations ghcnd-stations.txt --issued 00:00 --limit 28F --units us
  frostline outlook backtest *.psv --stations ghcnd-stations.txt.gz --nights --json

Runs the code of the stage `outlook`, observation by observation: an outlook
uses no later data. Nights are scored from the 31st on, except those with a
gap of more than four hours. Skill compares the Brier score with that of the
previous 14 nights: 0 is no better, 1 is perfect.";

/// Score outlooks over hourly observations, as the daemon would have made them
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct BacktestArguments {
    /// Read these files of hourly observations: hourly CSV, GHCNh PSV, METAR or JSON lines, plain or packed
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Read the positions of stations from this file: NOAA's ghcnd-stations.txt, plain or packed
    #[arg(long, value_name = "FILE")]
    stations: PathBuf,
    #[command(flatten)]
    scoring: Scoring,
    /// Treat each observation as known this many minutes after its time
    #[arg(long, value_name = "MINUTES", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=720))]
    lag: u16,
    /// Print each scored night before its station's scores
    #[arg(long)]
    nights: bool,
}

pub(super) async fn backtest(common: &Common, arguments: &BacktestArguments) -> Result<(), Failed> {
    let stations = super::super::stations_import::read_inventory(&arguments.stations, None, None)
        .map_err(Failed::Usage)?;
    let spots: BTreeMap<StationId, Spot> =
        stations.iter().map(|station| (station.id, spot(station))).collect();
    let (issue, shown) = (arguments.scoring.issue(arguments.lag), arguments.scoring.shown(arguments.nights));
    let (by_station, bad) = read_hours(&arguments.files, Some(&stations), "outlook backtest").await?;
    if by_station.is_empty() {
        let reason = format!("no hourly observation among {}", output::counted(bad, "record"));
        return Err(Failed::Working(anyhow::anyhow!(reason)));
    }
    if bad > 0 {
        output::note(&format!(
            "{} records are not hourly observations and were skipped",
            output::grouped(bad)
        ));
    }
    let spinner = output::spinner();
    for (station, hours) in by_station {
        let Some(spot) = spots.get(&station) else {
            let file = arguments.stations.display();
            return Err(Failed::Usage(anyhow::anyhow!("station {station} is not in {file}")));
        };
        spinner.set_message(format!("scoring {station}"));
        let nights: Vec<_> = tally(station, *spot, &hours, issue).nights(shown.limit_c).collect();
        spinner.suspend(|| print(common, shown, station, &nights))?;
    }
    spinner.finish_and_clear();
    Ok(())
}

fn spot(station: &Station) -> Spot {
    Spot { latitude: station.location.lat, longitude: station.location.lon }
}
