//! `frostline dead-letters`: lists, shows and retries records that could not be processed.
//!
//! A retry is one transaction: it writes the record to its source again, and a mark with the place of the dead letter
//! to the dead letters. So a dead letter is retried once, even after crashes and with several retries at the same
//! time.

mod destination;
mod placement;
mod retry;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clap::{Args, Subcommand};
use frostline_engine::kafka::StartAt;
use frostline_engine::record::Record;
use frostline_engine::{HEADER_PREFIX, OutputHeader, RETRIED_HEADER};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::output::{BOLD, CYAN, DIM, YELLOW};
use super::{Common, Failed, output};
use crate::config::{Config, topic};
use crate::publishing::Live;

const EXAMPLES: &str = "\
Examples:
  frostline dead-letters list                              the newest twenty, and a count by reason
  frostline dead-letters list --stage assemble -n 100
  frostline dead-letters show 2@17                         one letter with its whole value
  frostline dead-letters retry 2@17 3@4                    these letters
  frostline dead-letters retry --all --reason 'station table' --dry-run

A retry puts the record back into the topic it came from, once, with a header
`frostline-retried-from`. A record that fails again becomes a new dead letter.
A letter returns only to the topic that its stage reads; an output that was
larger than its topic accepted returns to that topic. Other letters are listed
with the reason, and the exit code is 1.";

/// List, show and retry records that could not be processed
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DeadLettersArguments {
    #[command(subcommand)]
    command: DeadLettersCommand,
}

#[derive(Subcommand)]
enum DeadLettersCommand {
    /// List dead letters, newest first, with a count by reason
    #[command(after_help = EXAMPLES)]
    List(ListArguments),
    /// Show one dead letter, with its headers and its whole value
    #[command(after_help = EXAMPLES)]
    Show {
        /// Show the letter at this place in the dead letters, as `list` prints it
        #[arg(value_name = "PARTITION@OFFSET")]
        place: Place,
    },
    /// Write records to the topics they came from again
    #[command(after_help = EXAMPLES)]
    Retry(RetryArguments),
}

#[derive(Args)]
struct ListArguments {
    #[command(flatten)]
    choice: Choice,
    /// Show at most this many letters
    #[arg(short = 'n', long, default_value_t = 20, value_name = "COUNT")]
    number: usize,
    /// Include letters that were retried already
    #[arg(long)]
    retried: bool,
}

#[derive(Args)]
struct RetryArguments {
    /// Retry the letters at these places, as `list` prints them
    #[arg(value_name = "PARTITION@OFFSET", required_unless_present = "all", conflicts_with = "all")]
    places: Vec<Place>,
    /// Retry all letters that match the other options and were not retried yet
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    choice: Choice,
    /// Show what would be retried, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Selects dead letters.
#[derive(Args)]
struct Choice {
    /// Select only letters of this stage
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
    /// Select only letters whose reason contains this text
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// The place of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    partition: i32,
    offset: i64,
}

impl std::str::FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = text
            .split_once('@')
            .and_then(|(partition, offset)| Some((partition.parse().ok()?, offset.parse().ok()?)));
        let (partition, offset) = place.ok_or("expected PARTITION@OFFSET, as in 2@17")?;
        Ok(Self { partition, offset })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.partition, self.offset)
    }
}

/// The place of a record, and the hash of a value.
type Origin = (String, [u8; 32]);

/// A dead letter as it is in the topic.
struct Letter {
    place: Place,
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<OutputHeader>,
    is_retried: bool,
}

impl Letter {
    fn header(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(found, _)| found == name);
        let value = found.and_then(|(_, value)| value.as_deref()).unwrap_or_default();
        String::from_utf8_lossy(value).into_owned()
    }

    /// What it is about, if that came from a topic: the record and, because a record can hold several observations, the
    /// value. Two stages that read a topic may each have a letter of it.
    fn origin(&self) -> Option<Origin> {
        let is_placed =
            ["frostline-partition", "frostline-offset"].iter().all(|name| !self.header(name).is_empty());
        is_placed.then(|| (self.source(), Sha256::digest(self.value.as_deref().unwrap_or_default()).into()))
    }

    /// The place of the record; for an output that was larger than its topic accepted, only the topic.
    fn source(&self) -> String {
        let (topic, partition) = (self.header("frostline-topic"), self.header("frostline-partition"));
        match partition.as_str() {
            "" => topic,
            _ => format!("{topic}/{partition}@{}", self.header("frostline-offset")),
        }
    }

    fn as_json(&self) -> Value {
        let text =
            |bytes: &Option<Vec<u8>>| bytes.as_deref().map(|b| String::from_utf8_lossy(b).into_owned());
        json!({
            "place": self.place.to_string(),
            "timestamp_ms": self.timestamp_ms,
            "stage": self.header("frostline-stage"),
            "reason": self.header("frostline-reason"),
            "source": self.source(),
            "retried": self.is_retried,
            "key": text(&self.key),
            "value": text(&self.value),
        })
    }
}

impl Choice {
    fn fits(&self, letter: &Letter) -> bool {
        self.stage.as_ref().is_none_or(|stage| letter.header("frostline-stage") == *stage)
            && self.reason.as_ref().is_none_or(|part| letter.header("frostline-reason").contains(part))
    }
}

pub(super) async fn dead_letters(common: &Common, arguments: &DeadLettersArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    if let DeadLettersCommand::Retry(RetryArguments { all: false, choice, .. }) = &arguments.command
        && (choice.stage.is_some() || choice.reason.is_some())
    {
        let reason = "--stage and --reason select among all letters: give --all instead of places";
        return Err(Failed::Usage(anyhow::anyhow!(reason)));
    }
    // The producer comes first: it ends any other retry, whose commits are then read.
    let sender = match &arguments.command {
        DeadLettersCommand::Retry(arguments) if !arguments.dry_run => {
            Some(retry::Sender::new(&config).await?)
        }
        _ => None,
    };
    let letters = read(&config).await?;
    match &arguments.command {
        DeadLettersCommand::List(arguments) => list(common, &letters, arguments),
        DeadLettersCommand::Show { place } => show(common, find(&letters, *place)?),
        DeadLettersCommand::Retry(arguments) => {
            let chosen: Vec<&Letter> = if arguments.all {
                letters.values().filter(|l| !l.is_retried && arguments.choice.fits(l)).collect()
            } else {
                // Each once, however often it was named.
                let places: BTreeSet<Place> = arguments.places.iter().copied().collect();
                let found: Result<Vec<&Letter>, Failed> =
                    places.into_iter().map(|place| find(&letters, place)).collect();
                found?
            };
            let sources = destination::sources(&config).await?;
            retry::retry(common, &config, &sources, &chosen, sender).await
        }
    }
}

/// All dead letters, oldest place first, without the marks of retries.
async fn read(config: &Config) -> Result<BTreeMap<Place, Letter>, Failed> {
    let mut letters = BTreeMap::new();
    let retried = read_each(config, |letter| drop(letters.insert(letter.place, letter))).await?;
    let mut marks: HashMap<Origin, Vec<Place>> = HashMap::new();
    for (place, mark) in retried {
        if let Some(letter) = letters.get_mut(&place) {
            letter.is_retried = true;
            letter.origin().into_iter().for_each(|origin| marks.entry(origin).or_default().push(mark));
        }
    }
    // A record that is written again reaches every stage that reads its topic. A letter after the mark is about
    // something that failed only later, such as another channel of a message.
    for letter in letters.values_mut().filter(|letter| !letter.is_retried) {
        let (place, marks) = (letter.place, letter.origin().and_then(|origin| marks.get(&origin)));
        // In another partition it is not known which came first.
        let is_before = |mark: &Place| mark.partition != place.partition || place.offset < mark.offset;
        letter.is_retried = marks.is_some_and(|marks| marks.iter().any(is_before));
    }
    Ok(letters)
}

/// The places of the letters that have been retried.
async fn retried_places(config: &Config) -> Result<BTreeSet<Place>, Failed> {
    Ok(read_each(config, drop).await?.into_keys().collect())
}

/// Reads the topic: passes each letter on, and returns the letters that marks of retries name, with the marks' places.
async fn read_each(
    config: &Config,
    mut on_letter: impl FnMut(Letter),
) -> Result<BTreeMap<Place, Place>, Failed> {
    let live = Live::connect(config).await?;
    let mut retried = BTreeMap::new();
    live.read(&config.topic(topic::DEAD_LETTERS).name, StartAt::Beginning, &mut |record| {
        let letter = letter(record);
        match letter.header(RETRIED_HEADER).parse::<Place>() {
            Ok(place) => drop(retried.insert(place, letter.place)),
            Err(_) => on_letter(letter),
        }
    })?;
    Ok(retried)
}

fn letter(record: &Record<'_>) -> Letter {
    let mut headers: Vec<OutputHeader> = Vec::new();
    record
        .headers
        .visit(&mut |name, value| headers.push((name.to_owned().into(), value.map(<[u8]>::to_vec))));
    Letter {
        place: Place { partition: record.partition, offset: record.offset },
        timestamp_ms: record.timestamp_ms,
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers,
        is_retried: false,
    }
}

fn find(letters: &BTreeMap<Place, Letter>, place: Place) -> Result<&Letter, Failed> {
    letters.get(&place).ok_or_else(|| {
        Failed::Usage(anyhow::anyhow!("there is no dead letter {place}: see `frostline dead-letters list`"))
    })
}

fn list(common: &Common, letters: &BTreeMap<Place, Letter>, arguments: &ListArguments) -> Result<(), Failed> {
    let chosen = letters.values().filter(|letter| arguments.retried || !letter.is_retried);
    let mut chosen: Vec<&Letter> = chosen.filter(|letter| arguments.choice.fits(letter)).collect();
    chosen.sort_by_key(|letter| std::cmp::Reverse((letter.timestamp_ms, letter.place)));
    if common.json {
        return Ok(chosen
            .iter()
            .take(arguments.number)
            .try_for_each(|letter| output::json(&letter.as_json()))?);
    }
    for letter in chosen.iter().take(arguments.number) {
        let mark = if letter.is_retried { format!("  {DIM}retried{DIM:#}") } else { String::new() };
        output::line(&format!(
            "{BOLD}{:<8}{BOLD:#} {CYAN}{:<9}{CYAN:#} {}  {DIM}{}{DIM:#}{mark}",
            letter.place.to_string(),
            output::clean(&letter.header("frostline-stage")),
            output::clean(&letter.header("frostline-reason")),
            output::clean(&letter.source()),
        ))?;
    }
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    chosen
        .iter()
        .for_each(|letter| *reasons.entry(kind(&letter.header("frostline-reason"))).or_default() += 1);
    let mut reasons: Vec<(String, usize)> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    output::line(&format!("{BOLD}{}{BOLD:#} dead letters", output::grouped(chosen.len() as u64)))?;
    for (reason, count) in reasons.iter().take(10) {
        output::line(&format!("{:>10}  {}", output::grouped(*count as u64), output::clean(reason)))?;
    }
    Ok(())
}

/// A reason without the parts that differ from record to record: numbers, ids, quoted text.
fn kind(reason: &str) -> String {
    let mut words = Vec::new();
    let mut quoted_until: Option<char> = None;
    for word in reason.split(' ') {
        if let Some(quote) = quoted_until {
            quoted_until = quoted_until.filter(|_| !word.contains(quote));
            continue;
        }
        quoted_until = word.chars().next().filter(|first| "'\"`".contains(*first));
        let is_own = quoted_until.is_some() || word.chars().any(|c| c.is_ascii_digit());
        words.push(if is_own { "…" } else { word });
        quoted_until = quoted_until.filter(|quote| !word[1..].contains(*quote));
    }
    words.join(" ")
}

fn show(common: &Common, letter: &Letter) -> Result<(), Failed> {
    if common.json {
        let mut shown = letter.as_json();
        let headers = letter.headers.iter().map(|(name, _)| (name.to_string(), letter.header(name).into()));
        shown["headers"] = Value::Object(headers.collect());
        return Ok(output::json(&shown)?);
    }
    let text = |bytes: &Option<Vec<u8>>| match bytes {
        Some(bytes) => output::clean(&String::from_utf8_lossy(bytes)),
        None => format!("{DIM}none{DIM:#}"),
    };
    let row = |name: &str, value: &str| output::line(&format!("{name:>10}  {value}"));
    row("place", &letter.place.to_string())?;
    row("stage", &output::clean(&letter.header("frostline-stage")))?;
    row("reason", &format!("{YELLOW}{}{YELLOW:#}", output::clean(&letter.header("frostline-reason"))))?;
    row("source", &output::clean(&letter.source()))?;
    row("retried", if letter.is_retried { "yes" } else { "no" })?;
    for (name, _) in letter.headers.iter().filter(|(name, _)| !name.starts_with(HEADER_PREFIX)) {
        row("header", &format!("{}: {}", output::clean(name), output::clean(&letter.header(name))))?;
    }
    row("key", &text(&letter.key))?;
    Ok(row("value", &text(&letter.value))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_one_kind_are_counted_together() {
        assert_eq!(kind("2 fields instead of 8"), kind("3 fields instead of 8"));
        assert_eq!(
            kind("station ZZ000000001 is not in the station table"),
            "station … is not in the station table"
        );
        assert_eq!(
            kind("there is no subscriber `orchard`: publish it with `frostline rules apply`, or not"),
            "there is no subscriber … publish it with … or not"
        );
        assert_eq!("3@17".parse::<Place>(), Ok(Place { partition: 3, offset: 17 }));
        assert!("3/17".parse::<Place>().is_err());
    }
}
