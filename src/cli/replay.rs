//! `frostline replay`: files into a topic.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::input::open_lines;
use super::pace::{Pace, Rate};
use super::signals::stoppable;
use super::{Common, Failed, output, topics};
use crate::kafka::{ClientSettings, Outgoing, Producer};

const EXAMPLES: &str = "\
Examples:
  frostline replay 2016.csv.gz --topic noaa-csv-raw               as fast as Kafka takes it
  frostline replay 2016.csv.gz --topic noaa-csv-raw --rate 1000/s
  frostline replay day.jsonl --topic noaa-json --burst 500/1s     500 at once, then a pause, as in the talk
  frostline replay a.csv b.csv.gz --topic noaa-csv-raw --json     a summary for scripts";

/// Replay files into a topic: by_year CSV or newline-delimited JSON, plain or gzipped, keyed by station id
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReplayArguments {
    /// The files, in order
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The topic: a name as in the documentation (noaa-csv-raw), or any other topic as it is
    #[arg(long, value_name = "TOPIC")]
    topic: String,
    /// Send evenly at this rate, as in 1000/s
    #[arg(long, value_name = "N/s", conflicts_with = "burst")]
    rate: Option<Rate>,
    /// Send in bursts, as in 500/1s
    #[arg(long, value_name = "N/1s")]
    burst: Option<Rate>,
}

#[derive(Default, Serialize)]
struct ReplaySummary {
    topic: String,
    files: usize,
    records: u64,
    without_key: u64,
    bytes: u64,
    seconds: f64,
}

pub(super) async fn replay(common: &Common, arguments: &ReplayArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    let mut file_bytes = 0;
    for file in &arguments.files {
        let found =
            std::fs::metadata(file).with_context(|| format!("{}", file.display())).map_err(Failed::Usage)?;
        file_bytes += found.len();
    }
    let topic = config.resolve_topic(&arguments.topic);
    topics::check_exists(&config, &topic).await?;
    let settings = ClientSettings::new(&config)?;
    let job = Job {
        files: arguments.files.clone(),
        topic,
        pace: Pace::new(arguments.rate, arguments.burst),
        settings,
        stop: Arc::new(AtomicBool::new(false)),
        file_bytes,
    };
    let stop = Arc::clone(&job.stop);
    let (summary, interrupted) = stoppable(stop, move || job.send_all()).await?;
    let summary = summary?;
    if common.json {
        output::json(&summary)?;
    } else {
        let (records, rate) = (summary.records, summary.records as f64 / summary.seconds.max(0.001));
        output::line(&format!(
            "{} records into {} in {:.1} s ({} a second)",
            output::grouped(records),
            summary.topic,
            summary.seconds,
            output::grouped(rate as u64)
        ))?;
    }
    interrupted.map_or(Ok(()), |signal| Err(Failed::Interrupted(signal)))
}

struct Job {
    files: Vec<PathBuf>,
    topic: String,
    pace: Pace,
    settings: ClientSettings,
    stop: Arc<AtomicBool>,
    file_bytes: u64,
}

impl Job {
    fn send_all(&self) -> anyhow::Result<ReplaySummary> {
        let producer = Producer::new(&self.settings, None)?;
        let position = Arc::new(AtomicU64::new(0));
        let bar = output::bar(self.file_bytes, "{wide_bar} {percent}%  {msg}  {eta} left");
        let start = Instant::now();
        let mut summary = ReplaySummary { topic: self.topic.clone(), ..ReplaySummary::default() };
        for file in &self.files {
            let sent = self.send_file(
                file,
                &producer,
                &position,
                &mut summary,
                &mut |summary| {
                    bar.set_position(position.load(Ordering::Relaxed));
                    let rate = summary.records as f64 / start.elapsed().as_secs_f64().max(0.001);
                    bar.set_message(format!(
                        "{} records  {}/s",
                        output::grouped(summary.records),
                        output::grouped(rate as u64)
                    ));
                },
                start,
            );
            if let Err(error) = sent {
                // What was read so far is in the topic, and the user must know how much that is.
                producer.wait_acknowledged()?;
                bar.finish_and_clear();
                return Err(error.context(format!("{} records were sent before", summary.records)));
            }
            summary.files += 1;
        }
        producer.wait_acknowledged()?;
        bar.finish_and_clear();
        summary.seconds = start.elapsed().as_secs_f64();
        Ok(summary)
    }

    fn send_file(
        &self,
        path: &Path,
        producer: &Producer,
        position: &Arc<AtomicU64>,
        summary: &mut ReplaySummary,
        report: &mut dyn FnMut(&ReplaySummary),
        start: Instant,
    ) -> anyhow::Result<()> {
        let mut lines = open_lines(path, Arc::clone(position))?;
        let mut line = Vec::with_capacity(512);
        for number in 1_u64.. {
            line.clear();
            let read = lines.read_until(b'\n', &mut line);
            if read.with_context(|| format!("{}: line {number} cannot be read", path.display()))? == 0 {
                break;
            }
            while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                line.pop();
            }
            if line.is_empty() || (number == 1 && is_header(&line)) {
                continue;
            }
            if !self.wait_turn(summary, report, start) {
                break;
            }
            let key = key_of(&line);
            summary.without_key += u64::from(key.is_none());
            producer.send(&Outgoing {
                topic: &self.topic,
                partition: None,
                key: key.as_deref(),
                value: Some(&line),
                timestamp_ms: -1,
                headers: &[],
                changelog: None,
            })?;
            summary.records += 1;
            summary.bytes += line.len() as u64;
        }
        Ok(())
    }

    /// Waits until the next record may go. `false`: stop.
    fn wait_turn(
        &self,
        summary: &ReplaySummary,
        report: &mut dyn FnMut(&ReplaySummary),
        start: Instant,
    ) -> bool {
        if summary.records.is_multiple_of(4_096) {
            report(summary);
        }
        self.pace.wait_turn(summary.records, start, &self.stop, || report(summary))
    }
}

fn is_header(line: &[u8]) -> bool {
    line.starts_with(b"ID,DATE,ELEMENT")
}

/// The station id of a line: the first field of CSV, `station.id` or `station_id` of JSON. A line without one
/// is sent all the same, without a key: the stage that reads it knows what to say of it.
fn key_of(line: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct WithStation {
        station: Option<WithId>,
        station_id: Option<String>,
    }
    #[derive(Deserialize)]
    struct WithId {
        id: String,
    }
    if line.first() == Some(&b'{') {
        let found: WithStation = serde_json::from_slice(line).ok()?;
        return found.station.map(|station| station.id).or(found.station_id).map(String::into_bytes);
    }
    if line.first() == Some(&b'[') {
        return None;
    }
    let comma = memchr::memchr(b',', line)?;
    Some(line[..comma].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_keyed_by_their_station() {
        let key = |line: &str| key_of(line.as_bytes()).map(|key| String::from_utf8(key).unwrap());
        assert_eq!(key("USW00003192,20160215,AWND,14,,,W,").as_deref(), Some("USW00003192"));
        assert_eq!(
            key(r#"{"station":{"id":"USC00020287","x":1},"date":""}"#).as_deref(),
            Some("USC00020287")
        );
        assert_eq!(key(r#"{"station_id":"USC00020287"}"#).as_deref(), Some("USC00020287"));
        assert_eq!(key(r#"{"other":1}"#), None);
        assert_eq!(key("[{}]"), None);
        assert_eq!(key("no comma"), None);
    }
}
