//! `frostline convert`: converts files of history into other files.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::json;

use super::file_output::{FileOutput, is_stdout};
use super::history_arguments::{HistoryArguments, OnError};
use super::rules::{StationFiles, source};
use super::signals::stoppable;
use super::{Common, Failed, output};
use crate::backtest::{self, Input, Setting};
use crate::history::{Bad, DayBook, Order, Place, Plan, Watch, is_hourly};
use crate::noaa::IcaoIndex;
use crate::stages::count;

use crate::stages::StationIndex;

const EXAMPLES: &str = "\
Examples:
  frostline convert 2016.csv.gz --sort date --stations ghcnd-stations.txt --out 2016.jsonl.gz
  frostline convert 2016.csv.gz --sort date --stations ghcnd-stations.txt --set assemble.compat=rally --out 2016.jsonl
  frostline convert USC00027716.dly --into lines --from 2016-01-01 --out 2016.csv
  frostline convert GHCNh_USW00003192_2025.psv --out hourly.jsonl    one observation a line, as in noaa-hourly
  frostline convert metars.cache.csv.gz --stations ghcnh-station-list.csv --out hourly.jsonl
  frostline convert old.json --sort date --out sorted.jsonl          an array of documents into lines, by date

With --sort date each station and day becomes one document, wherever its lines
are. Without it, lines are joined as the daemon does: a line that comes after
assemble.settle_records others makes a new revision of its document.";

/// Bytes that are collected before they are written.
const CHUNK_BYTES: usize = 1 << 20;
/// Invalid lines that are logged one by one; further ones are only counted.
const TOLD_MAX: u64 = 5;

/// Convert files of history, such as by_year CSV, into enriched documents, sorted or not, with little memory
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ConvertArguments {
    #[command(flatten)]
    history: HistoryArguments,
    /// Write to this file, gzipped if its name ends in .gz; - is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
    /// Turn daily lines into enriched documents, or into by_year lines
    #[arg(long = "into", value_name = "FORM", default_value = "documents")]
    form: Into,
    #[command(flatten)]
    stations: StationFiles,
    /// Choose what to do with a line that cannot be parsed
    #[arg(long, value_name = "ACTION", default_value = "stop")]
    on_error: OnError,
    /// Write invalid lines to this file with --on-error dead-letter, as JSON lines with file, line and reason
    #[arg(long, value_name = "FILE", required_if_eq("on_error", "dead-letter"))]
    dead_letters: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Into {
    /// Enriched observations, one JSON object a line
    Documents,
    /// Lines of by_year CSV
    Lines,
}

/// The result of a run.
#[derive(Clone, Debug, Default, Serialize)]
struct Summary {
    records_in: u64,
    records_out: u64,
    bytes_out: u64,
    failed_quality: u64,
    /// Observations of stations that are not in the given files, or of days in the future.
    unknown_stations: u64,
    bad: u64,
    seconds: f64,
}

pub(super) async fn convert(common: &Common, arguments: ConvertArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    let mut plan = arguments.history.plan()?;
    if arguments.on_error == OnError::Pass {
        let reason = "--on-error pass is for replay: convert can stop at an invalid line, skip it, or write it to --dead-letters";
        return Err(Failed::Usage(anyhow::anyhow!(reason)));
    }
    if arguments.dead_letters.as_ref() == Some(&arguments.out) {
        return Err(Failed::Usage(anyhow::anyhow!("--out and --dead-letters name the same file")));
    }
    let stations = arguments.stations.read()?;
    plan.settings.icao = stations.as_deref().map(|stations| Arc::new(IcaoIndex::new(stations)));
    let setting = source::setting(&config, stations.as_deref())?;
    let is_to_stdout = is_stdout(&arguments.out);
    let job = Job {
        file_bytes: arguments.history.files_bytes()?,
        plan,
        setting,
        stop: Arc::new(AtomicBool::new(false)),
        arguments,
    };
    let stop = Arc::clone(&job.stop);
    let (summary, interrupted) = stoppable(stop, move || job.run()).await?;
    let summary = summary?;
    if let Some(signal) = interrupted {
        output::note("stopped: the output file was not created");
        return Err(Failed::Interrupted(signal));
    }
    let (records, rate) = (summary.records_out, summary.records_in as f64 / summary.seconds.max(0.001));
    let mut text = format!(
        "{} from {} in {:.1} s ({} a second)",
        output::counted(records, "record"),
        output::grouped(summary.records_in),
        summary.seconds,
        output::grouped(rate as u64)
    );
    for (count, what) in [
        (summary.bad, "invalid lines"),
        (summary.unknown_stations, "of unknown stations or future days"),
        (summary.failed_quality, "readings that failed quality control"),
    ] {
        if count > 0 {
            text.push_str(&format!("; left out: {} {what}", output::grouped(count)));
        }
    }
    match (common.json, is_to_stdout) {
        (true, false) => Ok(output::json(&summary)?),
        (false, false) => Ok(output::line(&text)?),
        // Results go to stdout, everything else to stderr.
        (_, true) => {
            output::note(&text);
            Ok(())
        }
    }
}

struct Job {
    arguments: ConvertArguments,
    plan: Plan,
    setting: Setting,
    file_bytes: u64,
    stop: Arc<AtomicBool>,
}

/// Collects the output in large pieces.
struct Out {
    file: FileOutput,
    chunk: Vec<u8>,
    summary: Summary,
    nobody_reads: bool,
}

impl Out {
    fn write(&mut self, record: &[u8]) -> anyhow::Result<()> {
        self.chunk.extend_from_slice(record);
        self.chunk.push(b'\n');
        self.summary.records_out += 1;
        if self.chunk.len() >= CHUNK_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.summary.bytes_out += self.chunk.len() as u64;
        let written = self.file.write(&self.chunk);
        self.chunk.clear();
        written.map_err(|failed| match failed {
            Failed::Working(error) | Failed::Usage(error) => error,
            _ => {
                self.nobody_reads = true;
                anyhow::anyhow!("the reader of the output has gone")
            }
        })
    }
}

impl Job {
    fn run(&self) -> Result<Summary, Failed> {
        let start = Instant::now();
        let file = FileOutput::create(&self.arguments.out)?;
        let mut out = Out {
            file,
            chunk: Vec::with_capacity(CHUNK_BYTES + 4_096),
            summary: Summary::default(),
            nobody_reads: false,
        };
        let bar = output::bar(self.file_bytes, "{wide_bar} {percent}%  {msg}  {eta} left");
        let (form, order) = (self.arguments.form, self.plan.order);
        let done = match (form, order) {
            (Into::Documents, Order::ByDay) => self.documents_by_day(&mut out, &bar),
            (Into::Documents, _) => self.documents(&mut out, &bar),
            (Into::Lines, _) => self.lines(&mut out, &bar),
        };
        bar.finish_and_clear();
        if out.nobody_reads {
            return Err(Failed::NobodyReads);
        }
        if let Err(failed) = done {
            // A reader of standard output gets everything up to here; a file appears complete or not at all.
            if is_stdout(&self.arguments.out) {
                out.flush()?;
            }
            return Err(failed);
        }
        out.summary.seconds = start.elapsed().as_secs_f64();
        if self.stop.load(Ordering::Relaxed) {
            return Ok(out.summary);
        }
        out.flush()?;
        out.file.finish()?;
        Ok(out.summary)
    }

    /// Reads all records in order.
    fn read(
        &self,
        bar: &ProgressBar,
        summary: &Mutex<Summary>,
        take: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> Result<(), Failed> {
        let position = Arc::<AtomicU64>::default();
        let mut dead_letters = self.arguments.dead_letters.as_deref().map(FileOutput::create).transpose()?;
        let mut records = 0_u64;
        let mut on_bad = |place: Place<'_>, text: &[u8], bad: &Bad| -> anyhow::Result<bool> {
            let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
            summary.bad += 1;
            let at = format!("{}:{}", place.file.display(), place.line);
            if self.arguments.on_error == OnError::Stop {
                anyhow::bail!("{at}: {} (--on-error skip skips such lines)", bad.reason);
            }
            if summary.bad <= TOLD_MAX {
                bar.suspend(|| tracing::warn!(at, reason = bad.reason, "skipped an invalid line"));
            }
            if let Some(file) = &mut dead_letters {
                let value = String::from_utf8_lossy(text);
                let (file_name, line) = (place.file.display().to_string(), place.line);
                let letter = json!({ "file": file_name, "line": line, "reason": bad.reason, "value": value });
                let written = file.write(format!("{letter}\n").as_bytes());
                anyhow::ensure!(written.is_ok(), "the dead letters cannot be written");
            }
            Ok(false)
        };
        self.plan.run(Watch { position: &position, stop: &self.stop }, &mut on_bad, &mut |_, text| {
            records += 1;
            if records.is_multiple_of(65_536) {
                bar.set_position(position.load(Ordering::Relaxed));
                bar.set_message(format!("{} records", output::grouped(records)));
                if self.stop.load(Ordering::Relaxed) {
                    return Ok(ControlFlow::Break(()));
                }
            }
            take(text)?;
            Ok(ControlFlow::Continue(()))
        })?;
        summary.lock().unwrap_or_else(PoisonError::into_inner).records_in += records;
        // A file that lacks the rest does not take the place of an earlier one.
        if self.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        dead_letters.map_or(Ok(()), FileOutput::finish)
    }

    fn lines(&self, out: &mut Out, bar: &ProgressBar) -> Result<(), Failed> {
        let summary = Mutex::new(Summary::default());
        self.read(bar, &summary, &mut |text| out.write(text))?;
        out.add(&summary);
        Ok(())
    }

    /// Lines in the order of their days: each day is complete before it is written.
    fn documents_by_day(&self, out: &mut Out, bar: &ProgressBar) -> Result<(), Failed> {
        let summary = Mutex::new(Summary::default());
        let stations = self.setting.stations.clone();
        let find = |station| stations.as_ref().and_then(|stations| stations.get(station));
        let (compat, keep) = (self.setting.assemble.compat, self.setting.assemble.keep_failed_quality);
        let mut book = DayBook::new(&find, compat, keep);
        self.read(bar, &summary, &mut |text| {
            if text.first() == Some(&b'{') {
                return out.write(text);
            }
            needs_stations(stations.as_ref())?;
            book.take(text, &mut |document| out.write(document))
        })?;
        book.end_day(&mut |document| out.write(document))?;
        out.summary.failed_quality = book.failed_quality;
        out.summary.unknown_stations = book.unknown_stations;
        out.add(&summary);
        Ok(())
    }

    /// Lines in their original order, joined as the daemon does it.
    fn documents(&self, out: &mut Out, bar: &ProgressBar) -> Result<(), Failed> {
        let summary = Mutex::new(Summary::default());
        let failed = Mutex::new(None);
        let shared = Mutex::new(&mut *out);
        let push = |feed: &mut backtest::Feed<'_>| {
            let read = self.read(bar, &summary, &mut |text| {
                if is_hourly(text) {
                    return shared.lock().unwrap_or_else(PoisonError::into_inner).write(text);
                }
                if text.first() != Some(&b'{') {
                    needs_stations(self.setting.stations.as_ref())?;
                }
                feed.push_of_partition(0, text, false);
                Ok(())
            });
            read.map_err(|failed| match failed {
                Failed::Working(error) | Failed::Usage(error) => error,
                _ => anyhow::anyhow!("interrupted"),
            })
        };
        let visited = backtest::visit_observations(&Input::Topic(1, &push), &self.setting, &|document| {
            let mut out = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = out.write(document) {
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                self.stop.store(true, Ordering::Relaxed);
            }
        });
        if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error.into());
        }
        let counts = visited?;
        out.summary.failed_quality = counts[count::FAILED_QUALITY];
        out.summary.unknown_stations = counts[count::DEAD_LETTERS];
        out.add(&summary);
        Ok(())
    }
}

impl Out {
    fn add(&mut self, read: &Mutex<Summary>) {
        let read = read.lock().unwrap_or_else(PoisonError::into_inner);
        self.summary.records_in = read.records_in;
        self.summary.bad = read.bad;
    }
}

fn needs_stations(stations: Option<&Arc<StationIndex>>) -> anyhow::Result<()> {
    anyhow::ensure!(
        stations.is_some(),
        "documents need their stations: give --stations ghcnd-stations.txt, or use --into lines"
    );
    Ok(())
}
