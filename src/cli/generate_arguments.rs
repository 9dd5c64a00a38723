//! The arguments of `frostline generate`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use serde::Serialize;

use super::pace::Rate;
use super::station_search::point;
use crate::noaa::Date;

const EXAMPLES: &str = "\
Examples:
  frostline generate --out 2024.csv.gz                       1,000 stations, all days of 2024
  frostline generate --stations 100000 --days 3650 --start 2014-01-01 --out ten-years.csv
  frostline generate --days 7 --format json --out - | head   enriched observations, one a line
  frostline generate --topic noaa-csv-raw --rate 5000/s      straight into Kafka
  frostline generate --near 33.61,-111.92 --format hours --days 90 --out hours.json
                                                             nights at a place of your own
  frostline generate --real-places --oddities --out odd.csv  with errors as in real files, as in the demo
  frostline generate --stations-file s.txt --countries-file c.txt --states-file st.txt
  frostline stations import s.txt --countries c.txt --states st.txt

The station files match the data of the same --seed. More --stations or --days
only add data.";

/// Generate any number of stations and days, or their hours, to a file or into a topic
#[derive(Args)]
#[command(after_help = EXAMPLES)]
#[command(group(ArgGroup::new("target").required(true).multiple(true).args(["out", "topic", "stations_file"])))]
pub(super) struct GenerateArguments {
    /// Write to this file, gzipped if its name ends in .gz; - is stdout. It appears when it is complete
    #[arg(long, short, value_name = "FILE", conflicts_with = "topic")]
    pub(super) out: Option<PathBuf>,
    /// Write to this topic: a name as in the documentation (noaa-csv-raw), or the full name of any other topic
    #[arg(long, value_name = "TOPIC")]
    pub(super) topic: Option<String>,
    /// Write lines for the stage assemble, documents as assemble and enrich write them, or hours for outlook
    #[arg(long, value_enum, default_value_t = FormatName::Ghcn)]
    pub(super) format: FormatName,
    /// Generate this many stations, from all over the world; 1.3 % are in Arizona
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    pub(super) stations: u64,
    /// Use the demo's real places instead, 27 of them in Arizona; their weather is synthetic too
    #[arg(long, conflicts_with = "stations")]
    pub(super) real_places: bool,
    /// Use one invented station at this place instead
    #[arg(
        long, value_name = "LAT,LON", value_parser = point, allow_hyphen_values = true,
        conflicts_with_all = ["stations", "real_places"]
    )]
    pub(super) near: Option<(f64, f64)>,
    /// Add errors as in real files: lines out of order, repeated, truncated, of an unknown station
    #[arg(long)]
    pub(super) oddities: bool,
    /// Generate this many days
    #[arg(long, value_name = "COUNT", default_value_t = 366)]
    pub(super) days: u32,
    /// Begin with this day
    #[arg(long, value_name = "DATE", default_value = "2024-01-01", value_parser = parse_day)]
    pub(super) start: Date,
    /// Use this seed; the same seed gives the same bytes
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub(super) seed: u64,
    /// Also write the stations to this file, in the form of ghcnd-stations.txt
    #[arg(long, value_name = "FILE")]
    pub(super) stations_file: Option<PathBuf>,
    /// Also write the names of the stations' countries to this file, in the form of ghcnd-countries.txt
    #[arg(long, value_name = "FILE", requires = "stations_file")]
    pub(super) countries_file: Option<PathBuf>,
    /// Also write the names of the stations' states to this file, in the form of ghcnd-states.txt
    #[arg(long, value_name = "FILE", requires = "stations_file")]
    pub(super) states_file: Option<PathBuf>,
    /// Send evenly at this rate, such as 1000/s
    #[arg(long, value_name = "RATE", conflicts_with_all = ["burst", "out"], requires = "topic")]
    pub(super) rate: Option<Rate>,
    /// Send in bursts, such as 500/1s
    #[arg(long, value_name = "BURST", conflicts_with = "out", requires = "topic")]
    pub(super) burst: Option<Rate>,
}

#[derive(Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FormatName {
    /// One line per element, as in NOAA's by_year files
    Ghcn,
    /// One document per station and day, as in noaa-json
    Json,
    /// One document per station and hour, as in noaa-hourly
    Hours,
}

fn parse_day(text: &str) -> Result<Date, String> {
    let date = Date::parse_iso(text).filter(|_| text.len() == 10);
    date.ok_or_else(|| "expected an existing day, such as 2024-02-29".to_owned())
}
