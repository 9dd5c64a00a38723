//! `frostline generate`: synthetic data of any size.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use anyhow::anyhow;
use clap::{ArgGroup, Args, ValueEnum};
use frostline_engine::kafka::ClientSettings;
use serde::Serialize;

use super::file_output::is_stdout;
use super::generate_job::{GenerateSummary, Job};
use super::pace::Rate;
use super::signals::stoppable;
use super::{Common, Failed, output, topics};
use crate::noaa::Date;
use crate::synthetic::{Format, Places, Settings};

const EXAMPLES: &str = "\
Examples:
  frostline generate --out 2024.csv.gz                       1,000 stations, all days of 2024
  frostline generate --stations 100000 --days 3650 --start 2014-01-01 --out ten-years.csv
  frostline generate --days 7 --format json --out - | head   enriched observations, one a line
  frostline generate --topic noaa-csv-raw --rate 5000/s      straight into Kafka
  frostline generate --real-places --oddities --out odd.csv  what a program must cope with, as in the demo
  frostline generate --stations-file s.txt --countries-file c.txt --states-file st.txt
  frostline stations import s.txt --countries c.txt --states st.txt

The station files belong to the data of the same --seed. More --stations or --days only add to what fewer give.";

/// Make up any number of stations and days: GHCN lines or enriched JSON, to a file or into a topic
#[derive(Args)]
#[command(after_help = EXAMPLES)]
#[command(group(ArgGroup::new("target").required(true).multiple(true).args(["out", "topic", "stations_file"])))]
pub(super) struct GenerateArguments {
    /// The file to write, gzipped if its name ends in .gz; - is stdout. It appears when it is whole
    #[arg(long, short, value_name = "FILE", conflicts_with = "topic")]
    pub(super) out: Option<PathBuf>,
    /// The topic to write to: a name as in the documentation (noaa-csv-raw), or any other topic as it is
    #[arg(long, value_name = "TOPIC")]
    pub(super) topic: Option<String>,
    /// Lines for the stage assemble, or documents as assemble and enrich write them
    #[arg(long, value_enum, default_value_t = FormatName::Ghcn)]
    pub(super) format: FormatName,
    /// How many stations, from all over the world; 1.3 % are in Arizona
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    stations: u64,
    /// The demo's real places instead, 27 of them in Arizona; their weather is invented too
    #[arg(long, conflicts_with = "stations")]
    real_places: bool,
    /// Lines as odd as in real files: out of order, twice, cut short, of an unknown station
    #[arg(long)]
    oddities: bool,
    /// How many days
    #[arg(long, value_name = "N", default_value_t = 366)]
    days: u32,
    /// The first day
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "2024-01-01", value_parser = parse_day)]
    start: Date,
    /// The same seed gives the same bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Also write the stations, in the form of ghcnd-stations.txt
    #[arg(long, value_name = "FILE")]
    pub(super) stations_file: Option<PathBuf>,
    /// With the stations, write the names of their countries, in the form of ghcnd-countries.txt
    #[arg(long, value_name = "FILE", requires = "stations_file")]
    pub(super) countries_file: Option<PathBuf>,
    /// With the stations, write the names of their states, in the form of ghcnd-states.txt
    #[arg(long, value_name = "FILE", requires = "stations_file")]
    pub(super) states_file: Option<PathBuf>,
    /// Send evenly at this rate, as in 1000/s
    #[arg(long, value_name = "N/s", conflicts_with_all = ["burst", "out"], requires = "topic")]
    pub(super) rate: Option<Rate>,
    /// Send in bursts, as in 500/1s
    #[arg(long, value_name = "N/1s", conflicts_with = "out", requires = "topic")]
    pub(super) burst: Option<Rate>,
}

#[derive(Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FormatName {
    /// One line an element, as in NOAA's by_year files
    Ghcn,
    /// One document a station and day, as in noaa-json
    Json,
}

fn parse_day(text: &str) -> Result<Date, String> {
    let date = Date::parse_iso(text).filter(|_| text.len() == 10);
    date.ok_or_else(|| "expected a day that exists, as in 2024-02-29".to_owned())
}

pub(super) async fn generate(common: &Common, arguments: GenerateArguments) -> Result<(), Failed> {
    let format = match arguments.format {
        FormatName::Ghcn => Format::Ghcn,
        FormatName::Json => Format::Json,
    };
    let GenerateArguments { seed, stations, start, days, oddities, .. } = arguments;
    let places = if arguments.real_places { Places::Real } else { Places::Invented(stations) };
    let settings = Settings { seed, places, start, days, format, oddities };
    settings.check().map_err(|error| Failed::Usage(anyhow!(error)))?;
    let topic = match &arguments.topic {
        None => None,
        Some(name) => {
            let config = common.load(&[])?;
            let topic = config.resolve_topic(name);
            topics::check_writable(&config, &topic).await?;
            Some((topic, ClientSettings::new(&config.kafka)?))
        }
    };
    warn_of_days_ahead(&settings);
    let to_stdout =
        [&arguments.out, &arguments.stations_file].into_iter().flatten().any(|path| is_stdout(path));
    let stop = Arc::new(AtomicBool::new(false));
    let job = Job { settings, arguments, topic, stop: Arc::clone(&stop) };
    let (summary, interrupted) = stoppable(stop, move || job.run()).await?;
    tell(common, &summary?, to_stdout)?;
    interrupted.map_or(Ok(()), |signal| Err(Failed::Interrupted(signal)))
}

/// The stages refuse what has not happened yet: better said here than by a million dead letters.
fn warn_of_days_ahead(settings: &Settings) {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let today = i64::try_from(since_1970.as_millis()).ok().and_then(Date::from_unix_ms);
    if let Some((last, _)) = settings.last_day().zip(today).filter(|(last, today)| last > today) {
        output::note(&format!(
            "note: the data goes on to {last}, and the stages take no days that lie ahead"
        ));
    }
}

/// Prints what was done; on stderr where stdout carries the data.
fn tell(common: &Common, summary: &GenerateSummary, to_stdout: bool) -> Result<(), Failed> {
    let GenerateSummary { records, seconds, .. } = *summary;
    let rate = output::grouped((records as f64 / seconds.max(0.001)) as u64);
    let text = match &summary.to {
        _ if common.json => serde_json::to_string(summary).map_err(|error| Failed::Working(error.into()))?,
        None => format!("{} stations", output::grouped(summary.stations)),
        Some(to) if summary.complete => {
            format!("{} records into {to} in {seconds:.1} s ({rate} a second)", output::grouped(records))
        }
        Some(to) => format!("stopped after {} records for {to}", output::grouped(records)),
    };
    if to_stdout {
        output::note(&text)
    } else {
        output::line(&text)?
    }
    Ok(())
}
