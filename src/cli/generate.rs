//! `frostline generate`: makes synthetic data of any size.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use anyhow::anyhow;
use frostline_engine::kafka::ClientSettings;

use super::file_output::is_stdout;
use super::generate_arguments::{FormatName, GenerateArguments};
use super::generate_job::{GenerateSummary, Job};
use super::signals::stoppable;
use super::{Common, Failed, output, replay, topics};
use crate::config::Config;
use crate::history::Kind;
use crate::noaa::{Date, Location};
use crate::synthetic::{Format, Places, Settings};

pub(super) async fn generate(common: &Common, arguments: GenerateArguments) -> Result<(), Failed> {
    let format = match arguments.format {
        FormatName::Ghcn => Format::Ghcn,
        FormatName::Json => Format::Json,
        FormatName::Hours => Format::Hours,
    };
    let GenerateArguments { seed, stations, start, days, oddities, .. } = arguments;
    let places = match arguments.near {
        Some((lat, lon)) => Places::Near(Location { lat, lon }),
        None if arguments.real_places => Places::Real,
        None => Places::Invented(stations),
    };
    let settings = Settings { seed, places, start, days, format, oddities };
    settings.check().map_err(|error| Failed::Usage(anyhow!(error)))?;
    let topic = match &arguments.topic {
        None => None,
        Some(name) => {
            let config = common.load(&[])?;
            let topic = config.resolve_topic(name);
            check_kind(&config, &topic, arguments.format)?;
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

/// Refuses data that no stage behind the topic takes: each line would become a dead letter.
fn check_kind(config: &Config, topic: &str, format: FormatName) -> Result<(), Failed> {
    let is_hourly = matches!(format, FormatName::Hours);
    match replay::expected(config, topic).map(|expected| expected.kind) {
        Some(Kind::Hourly) if !is_hourly => {
            Err(Failed::Usage(anyhow!("{topic} takes hourly observations: add --format hours")))
        }
        Some(Kind::Daily) if is_hourly => Err(Failed::Usage(anyhow!(
            "{topic} takes daily data: use another --format, or the topic of hourly observations"
        ))),
        _ => Ok(()),
    }
}

/// The stages refuse days in the future; this note is better than a million dead letters.
fn warn_of_days_ahead(settings: &Settings) {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let today = i64::try_from(since_1970.as_millis()).ok().and_then(Date::from_unix_ms);
    if let Some((last, _)) = settings.last_day().zip(today).filter(|(last, today)| last > today) {
        output::note(&format!("note: the data ends on {last}, but the stages refuse days in the future"));
    }
}

/// Prints the result; on stderr if stdout carries the data.
fn tell(common: &Common, summary: &GenerateSummary, to_stdout: bool) -> Result<(), Failed> {
    let GenerateSummary { records, seconds, .. } = *summary;
    let rate = output::grouped((records as f64 / seconds.max(0.001)) as u64);
    let text = match &summary.to {
        _ if common.json => serde_json::to_string(summary).map_err(|error| Failed::Working(error.into()))?,
        None => output::counted(summary.stations, "station"),
        Some(to) if summary.complete => {
            format!("{} into {to} in {seconds:.1} s ({rate} a second)", output::counted(records, "record"))
        }
        Some(to) => format!("stopped after {} for {to}", output::counted(records, "record")),
    };
    if to_stdout {
        output::note(&text)
    } else {
        output::line(&text)?
    }
    Ok(())
}
