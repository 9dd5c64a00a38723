//! `frostline stations`: fills and searches the station table.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::station_search::{self, SearchArguments, ShowArguments};
use super::stations_fetch::{self, FetchArguments};
use super::stations_import::import;
use super::{Common, Failed};

const EXAMPLES: &str = "\
Examples:
  frostline stations import ghcnd-stations.txt --countries ghcnd-countries.txt --states ghcnd-states.txt
  frostline stations import ghcnd-stations.txt --countries ghcnd-countries.txt --states ghcnd-states.txt \\
    --hourly ghcnh-station-list.csv
  frostline stations fetch                                        fetch these files from NOAA, and import them
  frostline stations search seligman --stations ghcnd-stations.txt
  frostline stations search --near 33.45,-112.07 -n 5             in the broker's station table
  frostline stations show USC00027716 --stations ghcnd-stations.txt --data 2016.csv.gz

The files are NOAA's: ghcnd-stations.txt, ghcnd-countries.txt and
ghcnd-states.txt of GHCN-Daily. Keep data and inventory of one age together:
stations move, and ids change. --hourly takes ghcnh-station-list.csv of GHCNh,
and belongs into each import: a later one without it takes the ICAO ids away
again.";

/// Fill the station table, search it, and show a station
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct StationsArguments {
    #[command(subcommand)]
    command: StationsCommand,
}

#[derive(Subcommand)]
enum StationsCommand {
    /// Publish NOAA's station inventory to the compacted topic noaa-stations
    #[command(after_help = EXAMPLES)]
    Import {
        /// Read stations from this ghcnd-stations.txt, plain or packed
        file: PathBuf,
        /// Read the names of countries from this ghcnd-countries.txt
        #[arg(long, value_name = "FILE")]
        countries: PathBuf,
        /// Read the names of states from this ghcnd-states.txt
        #[arg(long, value_name = "FILE")]
        states: PathBuf,
        /// Add ICAO ids, which METARs need, and hourly stations from this ghcnh-station-list.csv
        #[arg(long, value_name = "FILE")]
        hourly: Option<PathBuf>,
    },
    Fetch(FetchArguments),
    Search(SearchArguments),
    Show(ShowArguments),
}

pub(super) async fn stations(common: &Common, arguments: &StationsArguments) -> Result<(), Failed> {
    match &arguments.command {
        StationsCommand::Import { file, countries, states, hourly } => {
            import(common, file, (countries, states), hourly.as_deref(), &|path| path.display().to_string())
                .await
        }
        StationsCommand::Fetch(arguments) => stations_fetch::fetch(common, arguments).await,
        StationsCommand::Search(arguments) => station_search::search(common, arguments).await,
        StationsCommand::Show(arguments) => station_search::show(common, arguments).await,
    }
}
