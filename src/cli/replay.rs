//! `frostline replay`: sends files into a topic.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use frostline_engine::kafka::ClientSettings;

use super::history_arguments::{HistoryArguments, OnError};
use super::pace::{Calendar, Pace, Rate};
use super::replay_job::Job;
use super::signals::stoppable;
use super::{Common, Failed, output, stations_import, topics};
use crate::config::{Config, Guarantee, topic};
use crate::history::{Expected, Kind};
use crate::noaa::IcaoIndex;

const EXAMPLES: &str = "\
Examples:
  frostline replay 2016.csv.gz --topic noaa-csv-raw               as fast as Kafka accepts it
  frostline replay 2016.csv.gz --topic noaa-csv-raw --sort date --speed 1day/s
  frostline replay USC00027716.dly 2016.csv.xz --topic noaa-csv-raw --station USC00027716
  frostline replay day.jsonl --topic noaa-json --burst 500/1s     500 at once, then a pause, as in the talk
  frostline replay 2016.csv.gz --topic noaa-csv-raw --resume      continue where the same replay stopped
  frostline replay GHCNh_USW00003192_2025.psv --topic noaa-hourly --speed 1h/s
  frostline replay metars.cache.csv.gz --topic noaa-hourly --stations ghcnh-station-list.csv
  zcat 2016.csv.gz | frostline replay - --topic noaa-csv-raw --json

Each block of records is one transaction with the position after it (unless
runtime.guarantee is \"at_least_once\"): a killed replay continues with
--resume, and no record is sent twice.";

/// Replay files into a topic, keyed by station id
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReplayArguments {
    #[command(flatten)]
    history: HistoryArguments,
    /// Send to this topic: a name as in the documentation (noaa-csv-raw), or the full name of any other topic
    #[arg(long, value_name = "TOPIC")]
    topic: String,
    /// Send evenly at this rate, such as 1000/s
    #[arg(long, value_name = "RATE", conflicts_with_all = ["burst", "speed"])]
    rate: Option<Rate>,
    /// Send in bursts, such as 500/1s
    #[arg(long, value_name = "BURST", conflicts_with = "speed")]
    burst: Option<Rate>,
    /// Send at a pace of the records' own calendar, such as 1day/s or 1h/s; best with --sort date
    #[arg(long, value_name = "SPEED")]
    speed: Option<Calendar>,
    /// Read the GHCN ids of the stations in METARs from this file: NOAA's ghcnh-station-list.csv
    #[arg(long, value_name = "FILE")]
    stations: Option<PathBuf>,
    /// Continue where the same replay (topic, files, order, selection, --on-error) stopped
    #[arg(long)]
    resume: bool,
    /// Choose what to do with a line that cannot be parsed
    #[arg(long, value_name = "ACTION", default_value = "pass")]
    on_error: OnError,
}

pub(super) async fn replay(common: &Common, arguments: &ReplayArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    let mut plan = arguments.history.plan()?;
    let topic = config.resolve_topic(&arguments.topic);
    plan.settings.expected = expected(&config, &topic);
    if let Some(file) = &arguments.stations {
        let stations = stations_import::read_inventory(file, None, None).map_err(Failed::Usage)?;
        plan.settings.icao = Some(Arc::new(IcaoIndex::new(&stations)));
    }
    topics::check_writable(&config, &topic).await?;
    if arguments.on_error == OnError::DeadLetter {
        topics::check_writable(&config, &config.topic(topic::DEAD_LETTERS).name).await?;
    }
    let is_exactly_once = config.runtime.guarantee == Guarantee::ExactlyOnce;
    if arguments.resume && !is_exactly_once {
        let reason = "--resume needs transactions, but runtime.guarantee is \"at_least_once\"";
        return Err(Failed::Usage(anyhow::anyhow!(reason)));
    }
    let job = Job {
        file_bytes: arguments.history.files_bytes()?,
        plan,
        stations: arguments.stations.clone(),
        topic,
        dead_letters: config.topic(topic::DEAD_LETTERS).name,
        pace: Pace::new(arguments.rate, arguments.burst),
        calendar: arguments.speed,
        resume: arguments.resume,
        on_error: arguments.on_error,
        is_exactly_once,
        namespace: config.kafka.namespace.clone(),
        transaction_timeout_ms: config.runtime.transaction_timeout_ms,
        settings: ClientSettings::new(&config.kafka)?,
        stop: Arc::new(AtomicBool::new(false)),
    };
    let (stop, is_passed_on) = (Arc::clone(&job.stop), job.on_error == OnError::Pass);
    let (done, interrupted) = stoppable(stop, move || job.send_all()).await?;
    let (summary, stopped_at) = done?;
    if interrupted.is_some() {
        let advice =
            if is_exactly_once { ": run the same command with --resume to continue there" } else { "" };
        output::note(&format!("stopped {stopped_at}{advice}"));
    }
    if common.json {
        output::json(&summary)?;
    } else {
        let (records, rate) = (summary.records, summary.records as f64 / summary.seconds.max(0.001));
        output::line(&format!(
            "{} into {} in {:.1} s ({} a second)",
            output::counted(records, "record"),
            summary.topic,
            summary.seconds,
            output::grouped(rate as u64)
        ))?;
        if summary.resumed_after > 0 {
            output::note(&format!("continued after {}", output::counted(summary.resumed_after, "record")));
        }
        if summary.bad > 0 {
            let what = if is_passed_on { "passed through" } else { "skipped" };
            output::note(&format!("{} {what}", output::counted(summary.bad, "invalid line")));
        }
    }
    interrupted.map_or(Ok(()), |signal| Err(Failed::Interrupted(signal)))
}

/// The kind of observations that a topic accepts; topics with other names accept all.
pub(super) fn expected(config: &Config, name: &str) -> Option<Expected> {
    let topics = [
        (topic::HOURLY, Kind::Hourly),
        (topic::CSV_RAW, Kind::Daily),
        (topic::RAW, Kind::Daily),
        (topic::JSON, Kind::Daily),
        (topic::JSON_US_AZ, Kind::Daily),
    ];
    let (_, kind) = topics.into_iter().find(|(logical, _)| config.resolve_topic(logical) == name)?;
    Some(Expected { kind, by: name.to_owned() })
}
