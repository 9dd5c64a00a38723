//! `frostline follow`: polls one service once, and shows the result. Nothing is written.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use frostline_engine::record::unix_ms;
use frostline_engine::{Batch, PollError, Poller, Position, Source, SourceId, SourceRecord};

use super::output::{BOLD, DIM, YELLOW};
use super::rules::source;
use super::{Common, Failed, output};
use crate::app::{self, Ingredients};
use crate::config::Config;
use crate::noaa::Date;
use crate::publishing::Live;
use crate::rules::{Conditions, RuleSet};

const EXAMPLES: &str = "\
Examples:
  frostline follow metar --once                 what airports report now, for stations of the station table
  frostline follow ghcn --once --set follow.ghcn.since=2026-11-20   what has changed in NOAA's archive since that day
  frostline follow forecast --once --json       the forecast for a station that a rule watches, as records

The service must have its section, such as [follow.metar], and [follow] its
contact. `frostline run` follows all of them, and writes what comes; this
command writes nothing.";

/// Polls that follow each other at once end after this number.
const POLLS_MAX: u32 = 20;
/// If a service delays the next poll by more than this, the command does not wait for it.
const WAIT_MAX: Duration = Duration::from_secs(90);

/// How many days earlier the day of an example is.
const WEEK_DAYS: i32 = 7;

/// Poll a weather service once, and show the result
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct FollowArguments {
    /// Poll this service
    #[arg(value_parser = ["metar", "ghcn", "forecast"])]
    source: String,
    /// Poll once, write nothing, and end
    #[arg(long, required = true)]
    once: bool,
    /// Show at most this many records; --json prints all
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    show: usize,
}

pub(super) async fn follow(common: &Common, arguments: &FollowArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    let source = find(&config, &arguments.source).await?;
    let spinner = output::spinner();
    spinner.set_message(format!("asking {}", source.id));
    let id = source.id;
    let polled = tokio::task::spawn_blocking(move || poll(&source)).await;
    spinner.finish_and_clear();
    let batch = polled.map_err(|error| Failed::Working(error.into()))?;
    let batch = batch.map_err(|error| Failed::Working(anyhow::anyhow!("{id}: {error}")))?;
    print(common, arguments.show, &batch)?;
    if let Some(hint) = hint(&config, id, &batch) {
        output::note(&hint);
    }
    Ok(())
}

/// Why nothing came although that is normal: without a start day, a source begins after the newest difference.
fn hint(config: &Config, source: SourceId, batch: &Batch) -> Option<String> {
    let is_ghcn =
        source.as_str() == "ghcn" && config.follow.ghcn.as_ref().is_some_and(|ghcn| ghcn.since.is_empty());
    let newest =
        batch.newest_ms.and_then(Date::from_unix_ms).filter(|_| is_ghcn && batch.records.is_empty())?;
    let earlier = Date::from_days_since_1970(newest.days_since_1970() - WEEK_DAYS)?;
    Some(format!(
        "the source begins after the newest difference, which ends at {newest}; to fetch earlier ones, set follow.ghcn.since to \
         the day before them, for example with --set follow.ghcn.since={earlier}"
    ))
}

/// The configured source, with the stations and rules that it needs.
async fn find(config: &Config, name: &str) -> Result<Source, Failed> {
    let outline = app::outline(config)?;
    let known: Vec<&str> = outline.sources().iter().map(|source| source.id.as_str()).collect();
    if !known.contains(&name) {
        let reason = match known.as_slice() {
            [] => {
                format!("no source is configured: add [follow] with a contact, and [follow.{name}]")
            }
            known => format!("unknown source `{name}`: configured are {}", known.join(", ")),
        };
        return Err(Failed::Usage(anyhow::anyhow!(reason)));
    }
    let rules = match name {
        "forecast" => source::rules(config, None).await?.rule_set(&mut Conditions::default()),
        _ => RuleSet::default(),
    };
    let ingredients = Ingredients::new(config, Arc::new(rules), None)?;
    if name != "ghcn" {
        let stations = Live::connect(config).await?.stations()?;
        if stations.is_empty() {
            let reason = "the station table is empty: fill it with `frostline stations fetch`";
            return Err(Failed::Usage(anyhow::anyhow!(reason)));
        }
        stations.iter().for_each(|station| ingredients.stations.insert(station));
    }
    let topology = app::topology(config, &ingredients)?;
    let found = topology.sources().iter().find(|source| source.id.as_str() == name).cloned();
    found.ok_or_else(|| Failed::Working(anyhow::anyhow!("source {name} no longer exists")))
}

/// Polls from the beginning until a record came, or until the service has nothing more at the moment.
fn poll(source: &Source) -> Result<Batch, PollError> {
    let mut poller: Box<dyn Poller> = (source.poller)();
    let (mut position, mut batch) = (Position::default(), Batch::default());
    for _ in 0..POLLS_MAX {
        batch = poller.poll(&position, unix_ms())?;
        for (key, value) in &batch.changes {
            position.apply(key, value.as_deref());
        }
        match batch.next_in {
            Some(wait) if batch.records.is_empty() && wait <= WAIT_MAX => std::thread::sleep(wait),
            _ => break,
        }
    }
    Ok(batch)
}

fn print(common: &Common, show: usize, batch: &Batch) -> Result<(), Failed> {
    if common.json {
        return Ok(batch.records.iter().try_for_each(|record| output::json(&as_json(record)))?);
    }
    for record in batch.records.iter().take(show) {
        let headers: Vec<String> = record
            .headers
            .iter()
            .map(|(name, value)| format!("{name}={}", output::clean(&String::from_utf8_lossy(value))))
            .collect();
        let value = output::clean(&String::from_utf8_lossy(&record.value));
        output::line(&format!("{DIM}{:<9} {}{DIM:#} {value}", record.sink, headers.join(" ")))?;
    }
    let more = batch.records.len().saturating_sub(show);
    if more > 0 {
        output::line(&format!("{DIM}… and {} more{DIM:#}", output::grouped(more as u64)))?;
    }
    let age = batch.newest_ms.map(|newest_ms| (unix_ms() - newest_ms).max(0) / 60_000);
    let age =
        age.map_or_else(|| "no data yet".to_owned(), |minutes| format!("newest data {minutes} minutes old"));
    output::line(&format!("{BOLD}{}{BOLD:#} records, {age}", output::grouped(batch.records.len() as u64)))?;
    if let Some(remark) = &batch.remark {
        output::note(&format!("{YELLOW}warning{YELLOW:#}  {}", output::clean(remark)));
    }
    Ok(())
}

fn as_json(record: &SourceRecord) -> serde_json::Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: serde_json::Map<String, serde_json::Value> =
        record.headers.iter().map(|(name, value)| ((*name).to_owned(), text(value).into())).collect();
    serde_json::json!({
        "sink": record.sink, "key": text(&record.key), "value": text(&record.value), "headers": headers,
        "timestamp_ms": record.timestamp_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GhcnFollow;

    #[test]
    fn a_source_that_begins_at_the_newest_difference_says_so() {
        let mut config = Config::default();
        config.follow.ghcn = Some(GhcnFollow::default());
        let ghcn = SourceId::new("ghcn");
        let nothing = Batch { newest_ms: Some(1_795_824_000_000), ..Batch::default() };
        let said = hint(&config, ghcn, &nothing).unwrap();
        assert!(
            said.contains("ends at 2026-11-28;") && said.ends_with("follow.ghcn.since=2026-11-21"),
            "{said}"
        );
        assert_eq!(hint(&config, SourceId::new("metar"), &nothing), None);
        let mut lines = nothing.clone();
        lines.emit("lines", "key", "value", 0);
        assert_eq!(hint(&config, ghcn, &lines), None);
        config.follow.ghcn = Some(GhcnFollow { since: "2026-11-27".into(), ..GhcnFollow::default() });
        assert_eq!(hint(&config, ghcn, &nothing), None, "nothing new has come since");
    }
}
