//! `frostline alerts`: lists and follows alerts.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use clap::{Args, Subcommand};
use frostline_engine::kafka::{Admin, ClientSettings, Polled, Reader, StartAt};
use frostline_engine::record::Record;
use serde_json::{Value, json};

use super::output::{BOLD, CYAN, DIM, GREEN, RED, YELLOW};
use super::signals::Signals;
use super::{Common, Failed, notified, output, topics};
use crate::config::{Config, topic};
use crate::noaa::Date;
use crate::publishing::Live;
use crate::rules::Transition;
use crate::stages::LINES_HEADER;

const EXAMPLES: &str = "\
Examples:
  frostline alerts                                             the last 20
  frostline alerts --rule scottsdale-frost --since 2016-12-01 -n 100
  frostline alerts --subscriber saguaro-farm --follow          and new ones, until Ctrl-C
  frostline alerts show scottsdale-frost/USW00003192/2016-02-24/fired";

/// How long to wait for a record whose place is known.
const RECORD_PATIENCE: Duration = Duration::from_secs(10);
/// Most records that are traced back: alert, kept observation, observation, and a few stages that others may put in
/// between.
const HOPS_MAX: usize = 6;
/// Most raw lines that are shown.
const LINES_MAX: usize = 50;

/// List, filter and follow alerts; trace one back to its origin
#[derive(Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct AlertsArguments {
    #[command(subcommand)]
    command: Option<AlertsCommand>,
    #[command(flatten)]
    list: ListArguments,
}

#[derive(Subcommand)]
enum AlertsCommand {
    /// List alerts (the same as without a subcommand)
    #[command(after_help = EXAMPLES)]
    List(ListArguments),
    /// Show one alert, its origin (observation and raw lines), and who was notified
    #[command(after_help = EXAMPLES)]
    Show {
        /// Show the alert with this id, such as scottsdale-frost/USW00003192/2016-02-24/fired
        id: String,
    },
}

#[derive(Args)]
struct ListArguments {
    /// Show only alerts of this rule
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// Show only alerts of this station
    #[arg(long, value_name = "ID")]
    station: Option<String>,
    /// Show only alerts for this subscriber
    #[arg(long, value_name = "ID")]
    subscriber: Option<String>,
    /// Show only alerts of this kind: fired, resolved, retracted or stale, and of rules over nights expected, confirmed,
    /// averted or withdrawn
    #[arg(long, value_name = "KIND", value_parser = Transition::ALL.map(Transition::as_str), hide_possible_values = true)]
    transition: Option<String>,
    /// Show only alerts for this day or later days
    #[arg(long, value_name = "DATE", value_parser = super::rules::date)]
    since: Option<Date>,
    /// Show only alerts for this day or earlier days
    #[arg(long, value_name = "DATE", value_parser = super::rules::date)]
    until: Option<Date>,
    /// Show at most this many alerts, the newest
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
    number: usize,
    /// Keep running, and show new alerts as they arrive
    #[arg(long, short = 'f')]
    follow: bool,
}

pub(super) async fn alerts(common: &Common, arguments: &AlertsArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    match &arguments.command {
        None => list(common, &config, &arguments.list).await,
        Some(AlertsCommand::List(arguments)) => list(common, &config, arguments).await,
        Some(AlertsCommand::Show { id }) => show(common, &config, id).await,
    }
}

impl ListArguments {
    fn matches(&self, alert: &Value) -> bool {
        let is = |wanted: &Option<String>, found: &Value| {
            wanted.as_ref().is_none_or(|wanted| found.as_str() == Some(wanted))
        };
        let date = alert["date"].as_str().and_then(Date::parse_iso);
        let subscribers = alert["subscribers"].as_array();
        is(&self.rule, &alert["rule_id"])
            && is(&self.station, &alert["station"]["id"])
            && is(&self.transition, &alert["transition"])
            && self.since.is_none_or(|since| date.is_some_and(|date| date >= since))
            && self.until.is_none_or(|until| date.is_some_and(|date| date <= until))
            && self.subscriber.as_ref().is_none_or(|wanted| {
                subscribers.is_some_and(|ids| ids.iter().any(|id| id.as_str() == Some(wanted)))
            })
    }
}

async fn list(common: &Common, config: &Config, arguments: &ListArguments) -> Result<(), Failed> {
    if let (Some(since), Some(until)) = (arguments.since, arguments.until)
        && since > until
    {
        return Err(Failed::Usage(anyhow::anyhow!("--since {since} is later than --until {until}")));
    }
    let topic = config.topic(topic::ALERTS).name;
    let Some(partitions) = topics::connect(config).await?.partitions(&topic)? else {
        let advice = "create the topics with `frostline topics create`";
        return Err(Failed::Usage(anyhow::anyhow!("no such topic: {topic}: {advice}")));
    };
    let settings = ClientSettings::new(&config.kafka)?;
    let mut signals = Signals::listen()?;
    let starts: Vec<_> = (0..partitions).map(|partition| (partition, StartAt::Beginning)).collect();
    let mut reader = Reader::new(&settings, &topic, &starts)?;
    let mut open: BTreeSet<i32> = (0..partitions).collect();
    let mut found: Vec<((i64, i32, i64), Value)> = Vec::new();
    let (mut is_history, mut skipped) = (true, 0);
    loop {
        let mut fresh = Vec::new();
        let read = reader.read(Duration::ZERO, 500, &mut |polled| match polled {
            Polled::Record(record) => {
                fresh.extend(parsed(&record).filter(|(_, alert)| arguments.matches(alert)))
            }
            Polled::EndOfPartition { partition, .. } => drop(open.remove(&partition)),
        })?;
        if is_history {
            found.append(&mut fresh);
            if found.len() > 2 * arguments.number + 10_000 {
                found.sort_by_key(|(place, _)| *place);
                let skip = found.len() - arguments.number;
                skipped += skip;
                drop(found.drain(..skip));
            }
            if open.is_empty() {
                is_history = false;
                found.sort_by_key(|(place, _)| *place);
                let skip = found.len().saturating_sub(arguments.number);
                if skip + skipped > 0 && !common.json {
                    let count = output::grouped((skip + skipped) as u64);
                    output::note(&format!("{DIM}… {count} earlier alerts: -n shows more{DIM:#}"));
                }
                if found.is_empty() && !arguments.follow {
                    output::note(&format!("{DIM}no alert in {topic} matches{DIM:#}"));
                }
                found.drain(..).skip(skip).try_for_each(|(_, alert)| print(common, &alert))?;
            }
        }
        fresh.iter().try_for_each(|(_, alert)| print(common, alert))?;
        if !is_history && !arguments.follow {
            return Ok(());
        }
        let pause = if read == 0 { Duration::from_millis(20) } else { Duration::ZERO };
        tokio::select! {
            biased;
            // Following ends this way, so it is not a failure.
            signal = signals.next() => {
                return if is_history { Err(Failed::Interrupted(signal)) } else { Ok(()) };
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Time, place and value of an alert; `None` if frostline did not write it.
fn parsed(record: &Record<'_>) -> Option<((i64, i32, i64), Value)> {
    let alert = serde_json::from_slice(record.value?).ok()?;
    Some(((record.timestamp_ms, record.partition, record.offset), alert))
}

fn print(common: &Common, alert: &Value) -> Result<(), Failed> {
    if common.json {
        return Ok(output::json(alert)?);
    }
    let text = |name: &str| output::clean(alert[name].as_str().unwrap_or_default());
    let transition = text("transition");
    let colour = match transition.as_str() {
        "fired" => RED,
        "resolved" => GREEN,
        _ => YELLOW,
    };
    let date = text("date").chars().take(10).collect::<String>();
    let (rule, message) = (text("rule_id"), text("message"));
    Ok(output::line(&format!(
        "{date}  {colour}{transition:<9}{colour:#}  {BOLD}{rule:<24}{BOLD:#} {message}"
    ))?)
}

/// Most ids that are suggested for one that does not exist.
const SIMILAR_MAX: usize = 10;

/// A record that was read, with the parts that its origin is traced by.
struct Found {
    topic: String,
    partition: i32,
    offset: i64,
    value: Value,
    lines: Option<String>,
}

async fn show(common: &Common, config: &Config, id: &str) -> Result<(), Failed> {
    let topic = config.topic(topic::ALERTS).name;
    let live = Live::connect(config).await?;
    let (mut alert, mut similar) = (None, VecDeque::new());
    live.read(&topic, StartAt::Beginning, &mut |record| {
        record.headers.visit(&mut |name, value| match value.map(String::from_utf8_lossy) {
            Some(found_id) if name == "alert-id" && found_id == id => alert = found(record),
            Some(found_id) if name == "alert-id" && found_id.contains(id) => {
                similar.push_front(output::clean(&found_id));
                similar.truncate(SIMILAR_MAX);
            }
            _ => {}
        });
    })?;
    let Some(alert) = alert else {
        let advice = match similar.is_empty() {
            true => "`frostline alerts --json` shows ids".to_owned(),
            false => format!("the newest that contain it:\n  {}", Vec::from(similar).join("\n  ")),
        };
        return Err(Failed::Working(anyhow::anyhow!("no alert {id:?} in {topic}; {advice}")));
    };
    let admin = live.admin();
    let mut chain = vec![alert];
    let mut notes = Vec::new();
    // From the alert to the record that the alert stage read, and on to the one that the filter read.
    while chain.len() < HOPS_MAX
        && let Some((topic, partition, offset)) = chain.last().and_then(|found| origin(&found.value))
    {
        match record_at(config, admin, &topic, partition, offset)? {
            Some(found) => chain.push(found),
            None => {
                notes.push(format!("{topic}/{partition}@{offset} is no longer in the topic"));
                break;
            }
        }
    }
    let lines = match chain.last().and_then(|found| found.lines.as_deref().and_then(parse_lines)) {
        Some(range) => raw_lines(config, admin, &range, &chain[0].value)?,
        None => Vec::new(),
    };
    let outcomes = notified::outcomes(config, &live, id)?;
    print_chain(common, &chain, &lines, &notes, &outcomes)
}

fn found(record: &Record<'_>) -> Option<Found> {
    let mut lines = None;
    record.headers.visit(&mut |name, value| {
        if name == LINES_HEADER {
            lines = value.map(|value| String::from_utf8_lossy(value).into_owned());
        }
    });
    let value = serde_json::from_slice(record.value?).ok()?;
    let (topic, partition, offset) = (record.topic.to_owned(), record.partition, record.offset);
    Some(Found { topic, partition, offset, value, lines })
}

/// The place of the record that this one was made from.
fn origin(value: &Value) -> Option<(String, i32, i64)> {
    let meta = value.get("_meta")?;
    let partition = i32::try_from(meta["partition"].as_i64()?).ok()?;
    Some((meta["topic"].as_str()?.to_owned(), partition, meta["offset"].as_i64()?))
}

/// The record at this place; `None` if it is gone.
fn record_at(
    config: &Config,
    admin: &Admin,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<Option<Found>, Failed> {
    let mut result = None;
    read_range(config, admin, (topic, partition, offset, offset), &mut |record| result = found(record))?;
    Ok(result)
}

/// Reads the records of a partition from the first to the last offset, as far as they are kept.
fn read_range(
    config: &Config,
    admin: &Admin,
    (topic, partition, first, last): (&str, i32, i64, i64),
    visit: &mut dyn FnMut(&Record<'_>),
) -> Result<(), Failed> {
    if admin.partitions(topic)?.is_none() {
        return Ok(());
    }
    let mut kept = admin.log_offsets(topic)?;
    let Some(kept) = kept.remove(&partition).filter(|kept| last >= kept.start && first < kept.end) else {
        return Ok(());
    };
    let settings = ClientSettings::new(&config.kafka)?;
    let mut reader = Reader::new(&settings, topic, &[(partition, StartAt::Offset(first.max(kept.start)))])?;
    let (deadline, mut is_done) = (std::time::Instant::now() + RECORD_PATIENCE, false);
    while !is_done && std::time::Instant::now() < deadline {
        reader.read(Duration::from_millis(100), 500, &mut |polled| match polled {
            Polled::Record(record) if record.offset <= last => {
                visit(&record);
                is_done |= record.offset == last;
            }
            Polled::Record(_) | Polled::EndOfPartition { .. } => is_done = true,
        })?;
    }
    reader.close();
    Ok(())
}

/// Reads `topic/partition@first-last`.
fn parse_lines(text: &str) -> Option<(String, i32, i64, i64)> {
    let (place, range) = text.rsplit_once('@')?;
    let (topic, partition) = place.rsplit_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((topic.to_owned(), partition.parse().ok()?, first.parse().ok()?, last.parse().ok()?))
}

/// The raw lines of the alert's station and day.
fn raw_lines(
    config: &Config,
    admin: &Admin,
    (topic, partition, first, last): &(String, i32, i64, i64),
    alert: &Value,
) -> Result<Vec<(i64, String)>, Failed> {
    let date: String =
        alert["date"].as_str().unwrap_or_default().chars().take(10).filter(|c| *c != '-').collect();
    let prefix = format!("{},{date},", alert["station"]["id"].as_str().unwrap_or_default());
    let mut lines = Vec::new();
    read_range(config, admin, (topic, *partition, *first, *last), &mut |record| {
        if let Some(value) = record.value.filter(|value| value.starts_with(prefix.as_bytes())) {
            lines.push((record.offset, output::clean(&String::from_utf8_lossy(value))));
        }
    })?;
    Ok(lines)
}

fn print_chain(
    common: &Common,
    chain: &[Found],
    lines: &[(i64, String)],
    notes: &[String],
    outcomes: &[Value],
) -> Result<(), Failed> {
    let Some(alert) = chain.first() else { return Ok(()) };
    let place = |found: &Found| format!("{}/{}@{}", found.topic, found.partition, found.offset);
    let raw = chain.last().and_then(|found| found.lines.clone());
    if common.json {
        let from: Vec<Value> = chain[1..]
            .iter()
            .map(
                |found| json!({ "topic": found.topic, "partition": found.partition, "offset": found.offset }),
            )
            .collect();
        let lines: Vec<Value> =
            lines.iter().map(|(offset, line)| json!({ "offset": offset, "line": line })).collect();
        return Ok(output::json(&json!({
            "alert": alert.value, "at": place(alert), "from": from, "raw_lines": raw, "lines": lines, "notes": notes,
            "deliveries": outcomes
        }))?);
    }
    print(common, &alert.value)?;
    for name in ["alert_id", "severity", "when", "clear", "episode", "retracts"] {
        if let Some(text) = alert.value[name].as_str() {
            output::line(&format!("  {CYAN}{name:<12}{CYAN:#} {}", output::clean(text)))?;
        }
    }
    if let Some(version) = alert.value["rule_version"].as_u64() {
        output::line(&format!("  {CYAN}{:<12}{CYAN:#} {version}", "rule version"))?;
    }
    output::line(&format!("  {CYAN}{:<12}{CYAN:#} {}", "alert", place(alert)))?;
    // An alert about silence has no observation of its own: the place is that of the observation that moved the
    // calendar on.
    let from = if alert.value["transition"] == "stale" { "calendar" } else { "observation" };
    for found in &chain[1..] {
        output::line(&format!("  {CYAN}{from:<12}{CYAN:#} {}", place(found)))?;
    }
    notified::print(outcomes)?;
    if let Some(raw) = raw {
        output::line(&format!("  {CYAN}{:<12}{CYAN:#} {raw}", "raw lines"))?;
    }
    for (offset, line) in lines.iter().take(LINES_MAX) {
        output::line(&format!("    {DIM}{offset}{DIM:#}  {line}"))?;
    }
    notes.iter().try_for_each(|note| output::line(&format!("  {YELLOW}{note}{YELLOW:#}")))?;
    Ok(())
}
