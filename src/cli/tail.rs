//! `frostline tail`: shows the records of a topic. Committed records only.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use frostline_engine::kafka::{ClientSettings, Polled, Reader, StartAt};
use frostline_engine::record::Record;
use serde_json::{Map, Value, json};

use super::output::{BOLD, CYAN, DIM};
use super::signals::Signals;
use super::{Common, Failed, output, topics};
use crate::printable::printable_json;

const EXAMPLES: &str = "\
Examples:
  frostline tail noaa-json-alerts                         new records as they arrive, until Ctrl-C
  frostline tail noaa-json-alerts -n 5                    the last five
  frostline tail noaa-json --from-beginning -n 3          the first three
  frostline tail noaa-dead-letters --from-beginning --until-end --json";

/// Show the records of a topic: key, partition, offset, time and value
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TailArguments {
    /// Show this topic: a name as in the documentation, or the full name of any other topic
    topic: String,
    /// Show the last records, at most this many, then end; with --from-beginning the first ones
    #[arg(short = 'n', long, value_name = "COUNT")]
    number: Option<u64>,
    /// Begin with the oldest record
    #[arg(long)]
    from_beginning: bool,
    /// End at the end of the topic instead of waiting for more records
    #[arg(long)]
    until_end: bool,
}

pub(super) async fn tail(common: &Common, arguments: &TailArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    let topic = config.resolve_topic(&arguments.topic);
    let admin = topics::connect(&config).await?;
    let Some(partitions) = admin.partitions(&topic)? else {
        return Err(Failed::Usage(anyhow::anyhow!("no such topic: {topic}")));
    };
    let settings = ClientSettings::new(&config.kafka)?;
    if arguments.number == Some(0) {
        return Ok(());
    }
    let mut signals = Signals::listen()?;
    let shown = Shown { json: common.json };
    match arguments.number.filter(|_| !arguments.from_beginning) {
        Some(number) => {
            let kept = admin.log_offsets(&topic)?.into_iter();
            let spans = kept.map(|(partition, offsets)| (partition, offsets.end - offsets.start)).collect();
            let number = usize::try_from(number).unwrap_or(usize::MAX);
            last(&settings, &topic, spans, number, &mut signals, &shown).await
        }
        None => follow(arguments, &settings, &topic, partitions, &mut signals, &shown).await,
    }
}

struct Shown {
    json: bool,
}

/// Follows from the beginning, or from now on.
async fn follow(
    arguments: &TailArguments,
    settings: &ClientSettings,
    topic: &str,
    partitions: i32,
    signals: &mut Signals,
    shown: &Shown,
) -> Result<(), Failed> {
    let start = if arguments.from_beginning { StartAt::Beginning } else { StartAt::End };
    let starts: Vec<_> = (0..partitions).map(|partition| (partition, start)).collect();
    let mut reader = Reader::new(settings, topic, &starts)?;
    let mut printed = 0;
    // A partition of a live topic reports its end repeatedly.
    let mut open: BTreeSet<i32> = (0..partitions).collect();
    loop {
        let polled = step(&mut reader, signals, |polled| match polled {
            Polled::Record(record) => print(&record, shown).map(|()| None),
            Polled::EndOfPartition { partition, .. } => Ok(Some(partition)),
        })
        .await?;
        match polled {
            Some(Ok(None)) => printed += 1,
            Some(Ok(Some(ended))) => drop(open.remove(&ended)),
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
        if arguments.number.is_some_and(|number| printed >= number)
            || (arguments.until_end && open.is_empty())
        {
            return Ok(());
        }
    }
}

/// Timestamp, partition, offset and printed form of a record.
type Found = ((i64, i32, i64), String);

/// The last records of all partitions together, by their timestamps. `spans` has the number of offsets of each
/// partition. Some of them are transaction markers, so a partition that gives too few records is read again from
/// further back.
async fn last(
    settings: &ClientSettings,
    topic: &str,
    mut spans: Vec<(i32, i64)>,
    number: usize,
    signals: &mut Signals,
    shown: &Shown,
) -> Result<(), Failed> {
    let mut offsets = i64::try_from(number).unwrap_or(i64::MAX).saturating_mul(2);
    let mut found: Vec<Found> = Vec::new();
    while !spans.is_empty() {
        let starts: Vec<_> =
            spans.iter().map(|(partition, _)| (*partition, StartAt::Tail(offsets))).collect();
        let mut tails = tails(settings, topic, &starts, number, signals, shown).await?;
        spans.retain(|(partition, span)| {
            let tail = tails.remove(partition).unwrap_or_default();
            let is_enough = tail.len() >= number || *span <= offsets;
            if is_enough {
                found.extend(tail);
            }
            !is_enough
        });
        offsets = offsets.saturating_mul(8);
    }
    found.sort_unstable();
    for (_, text) in found.iter().skip(found.len().saturating_sub(number)) {
        output::line(text)?;
    }
    Ok(())
}

/// Reads partitions to their ends, and keeps the last `number` records of each.
async fn tails(
    settings: &ClientSettings,
    topic: &str,
    starts: &[(i32, StartAt)],
    number: usize,
    signals: &mut Signals,
    shown: &Shown,
) -> Result<BTreeMap<i32, VecDeque<Found>>, Failed> {
    let mut reader = Reader::new(settings, topic, starts)?;
    let mut open: BTreeSet<i32> = starts.iter().map(|(partition, _)| *partition).collect();
    let mut tails: BTreeMap<i32, VecDeque<Found>> = BTreeMap::new();
    while !open.is_empty() {
        step(&mut reader, signals, |polled| match polled {
            Polled::Record(record) => {
                let tail = tails.entry(record.partition).or_default();
                if tail.len() >= number {
                    tail.pop_front();
                }
                let place = (record.timestamp_ms, record.partition, record.offset);
                tail.push_back((place, text(&record, shown)));
            }
            Polled::EndOfPartition { partition, .. } => drop(open.remove(&partition)),
        })
        .await?;
    }
    reader.close();
    Ok(tails)
}

/// Polls once, in a short blocking step, so that signals are handled in between.
async fn step<R>(
    reader: &mut Reader,
    signals: &mut Signals,
    visit: impl FnOnce(Polled<'_>) -> R,
) -> Result<Option<R>, Failed> {
    let polled = reader.poll(Duration::from_millis(0), visit)?;
    if polled.is_some() {
        return Ok(polled);
    }
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(20)) => Ok(None),
        signal = signals.next() => Err(Failed::Interrupted(signal)),
    }
}

fn print(record: &Record<'_>, shown: &Shown) -> std::io::Result<()> {
    output::line(&text(record, shown))
}

fn text(record: &Record<'_>, shown: &Shown) -> String {
    if shown.json { printable_json(&as_json(record).to_string()).into_owned() } else { as_text(record) }
}

fn time(record: &Record<'_>) -> String {
    jiff::Timestamp::from_millisecond(record.timestamp_ms)
        .map_or_else(|_| "-".to_owned(), |time| time.to_string())
}

/// One object: JSON values unchanged, other text as a string, other bytes as hexadecimal digits.
fn as_json(record: &Record<'_>) -> Value {
    let mut object = Map::new();
    object.insert("topic".into(), record.topic.into());
    object.insert("partition".into(), record.partition.into());
    object.insert("offset".into(), record.offset.into());
    object.insert("timestamp_ms".into(), record.timestamp_ms.into());
    object.insert("time".into(), time(record).into());
    object.insert("key".into(), record.key.map_or(Value::Null, |key| String::from_utf8_lossy(key).into()));
    match record.value.map(|value| (std::str::from_utf8(value), value)) {
        None => object.insert("value".into(), Value::Null),
        Some((Ok(text), _)) => {
            object.insert("value".into(), serde_json::from_str(text).unwrap_or_else(|_| text.into()))
        }
        Some((Err(_), bytes)) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            object.insert("value_hex".into(), digits.into())
        }
    };
    let mut headers = Map::new();
    record.headers.visit(&mut |name, value| {
        let value = value.map_or(Value::Null, |value| String::from_utf8_lossy(value).into());
        headers.insert(name.to_owned(), value);
    });
    if !headers.is_empty() {
        object.insert("headers".into(), json!(headers));
    }
    Value::Object(object)
}

fn as_text(record: &Record<'_>) -> String {
    let key = record.key.map_or("(no key)".into(), String::from_utf8_lossy);
    let (partition, offset, time) = (record.partition, record.offset, time(record));
    let mut text = format!(
        "{DIM}{time}{DIM:#} {CYAN}{partition}@{offset}{CYAN:#} {BOLD}{}{BOLD:#} ",
        output::clean(&key)
    );
    match record.value {
        None => text.push_str("(tombstone)"),
        Some(value) => text.push_str(&shown_value(&String::from_utf8_lossy(value))),
    }
    record.headers.visit(&mut |name, value| {
        let value = value.map_or("(null)".into(), String::from_utf8_lossy);
        text.push_str(&format!("\n    {DIM}{}: {}{DIM:#}", output::clean(name), output::clean(&value)));
    });
    text
}

/// JSON on several lines for a terminal, on one line for pipes.
fn shown_value(text: &str) -> String {
    let pretty = std::io::stdout().is_terminal().then(|| serde_json::from_str::<Value>(text).ok()).flatten();
    match pretty.and_then(|value| serde_json::to_string_pretty(&value).ok()) {
        Some(pretty) => pretty.lines().map(output::clean).collect::<Vec<_>>().join("\n"),
        None => output::clean(text),
    }
}
