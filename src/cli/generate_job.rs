//! The work of `frostline generate`: writes the generator's output into a file or a topic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use frostline_engine::kafka::{ClientSettings, Outgoing, Producer};
use indicatif::ProgressBar;
use serde::Serialize;

use super::file_output::FileOutput;
use super::generate_arguments::{FormatName, GenerateArguments};
use super::pace::Pace;
use super::{Failed, output};
use crate::noaa::StationId;
use crate::synthetic::{Generator, Settings, code_lists, inventory};

/// How much is collected before it is written, in bytes.
const CHUNK_BYTES: usize = 1 << 18;

/// The result of a run.
#[derive(Serialize)]
pub(super) struct GenerateSummary {
    /// The file or topic; null if only station files were written.
    pub(super) to: Option<String>,
    pub(super) format: FormatName,
    pub(super) stations: u64,
    pub(super) days: u32,
    pub(super) first_date: String,
    pub(super) last_date: String,
    /// Lines or documents written.
    pub(super) records: u64,
    /// Size of the records, before compression.
    pub(super) bytes: u64,
    pub(super) failed_quality: u64,
    /// Lines made by `--oddities` that are unreadable or of an unknown station: each becomes a dead letter.
    pub(super) bad_lines: u64,
    pub(super) seconds: f64,
    /// `false` after a signal: a topic has the records so far, a file was not created.
    pub(super) complete: bool,
}

/// Everything that the work needs, to be moved to its own thread.
pub(super) struct Job {
    pub(super) settings: Settings,
    pub(super) arguments: GenerateArguments,
    /// The topic's name in Kafka, and how to reach it.
    pub(super) topic: Option<(String, ClientSettings)>,
    pub(super) stop: Arc<AtomicBool>,
}

/// Progress of the work.
struct Work {
    summary: GenerateSummary,
    start: Instant,
    bar: ProgressBar,
    steps: u64,
}

impl Job {
    /// Writes everything, or stops early if `stop` is set.
    pub(super) fn run(&self) -> Result<GenerateSummary, Failed> {
        self.write_station_files()?;
        let mut work = self.begin();
        if let Some((topic, settings)) = &self.topic {
            self.send(topic, settings, &mut work)?;
        } else if let Some(path) = &self.arguments.out {
            let mut output = FileOutput::create(path).map_err(Failed::Usage)?;
            self.write(&mut output, &mut work)?;
            if work.summary.complete {
                output.finish()?;
            }
        }
        work.bar.finish_and_clear();
        work.summary.seconds = work.start.elapsed().as_secs_f64();
        Ok(work.summary)
    }

    fn begin(&self) -> Work {
        let Settings { places, days, start, .. } = self.settings;
        let stations = places.count();
        let out = self.arguments.out.as_ref().map(|path| path.display().to_string());
        let summary = GenerateSummary {
            to: self.topic.as_ref().map(|(topic, _)| topic.clone()).or(out),
            format: self.arguments.format,
            stations,
            days,
            first_date: start.to_string(),
            last_date: self.settings.last_day().unwrap_or(start).to_string(),
            records: 0,
            bytes: 0,
            failed_quality: 0,
            bad_lines: 0,
            seconds: 0.0,
            complete: !self.stop.load(Ordering::Relaxed),
        };
        let bar = output::bar(self.settings.steps(), "{wide_bar} {percent}%  {msg}  {eta} left");
        Work { summary, start: Instant::now(), bar, steps: 0 }
    }

    fn write_station_files(&self) -> Result<(), Failed> {
        let (countries, states) = code_lists();
        let GenerateArguments { stations_file, countries_file, states_file, .. } = &self.arguments;
        for (path, text) in [(countries_file, countries), (states_file, states)] {
            if let Some(path) = path {
                let mut output = FileOutput::create(path).map_err(Failed::Usage)?;
                output.write(text.as_bytes())?;
                output.finish()?;
            }
        }
        let Some(path) = stations_file else { return Ok(()) };
        let mut output = FileOutput::create(path).map_err(Failed::Usage)?;
        for lines in inventory(&self.settings) {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            output.write(lines.as_bytes())?;
        }
        output.finish()
    }

    fn generator(&self) -> Result<Generator, Failed> {
        Generator::new(self.settings).map_err(|error| Failed::Usage(error.into()))
    }

    fn write(&self, output: &mut FileOutput, work: &mut Work) -> Result<(), Failed> {
        let mut generator = self.generator()?;
        let mut chunk = Vec::with_capacity(CHUNK_BYTES + 4_096);
        loop {
            let is_last = work.append(&mut generator, &mut chunk, CHUNK_BYTES).is_none();
            output.write(&chunk)?;
            chunk.clear();
            work.report();
            if is_last {
                return Ok(());
            }
            if self.stop.load(Ordering::Relaxed) {
                work.summary.complete = false;
                return Ok(());
            }
        }
    }

    fn send(&self, topic: &str, settings: &ClientSettings, work: &mut Work) -> Result<(), Failed> {
        let producer = Producer::new(settings, None)?;
        let pace = Pace::new(self.arguments.rate, self.arguments.burst);
        let mut generator = self.generator()?;
        let mut lines = Vec::new();
        let mut sent = 0;
        // One station and day at a time, because a record's key is its station.
        while let Some(station) = work.append(&mut generator, &mut lines, 1) {
            for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                if !pace.wait_turn(sent, work.start, &self.stop, || work.report()) {
                    work.summary.complete = false;
                    work.summary.records = sent;
                    return Ok(producer.wait_acknowledged()?);
                }
                producer.send(&Outgoing {
                    topic,
                    partition: None,
                    key: Some(station.as_bytes()),
                    value: Some(line),
                    timestamp_ms: -1,
                    headers: &[],
                    changelog: None,
                })?;
                sent += 1;
                if sent.is_multiple_of(4_096) {
                    work.report();
                }
            }
            lines.clear();
        }
        Ok(producer.wait_acknowledged()?)
    }
}

impl Work {
    /// Appends until there are at least this many bytes. Returns the last station, or `None` after the last day.
    fn append(
        &mut self,
        generator: &mut Generator,
        out: &mut Vec<u8>,
        bytes_min: usize,
    ) -> Option<StationId> {
        let before = out.len();
        let mut last = None;
        while out.len() < bytes_min {
            let part = generator.append_next(out);
            last = part.map(|part| part.station);
            let Some(part) = part else { break };
            self.steps += 1;
            self.summary.records += part.records;
            self.summary.failed_quality += part.failed_quality;
        }
        self.summary.bad_lines = generator.bad_lines();
        self.summary.bytes += (out.len() - before) as u64;
        last
    }

    fn report(&self) {
        self.bar.set_position(self.steps);
        if self.bar.is_hidden() {
            return;
        }
        let records = self.summary.records;
        let rate = records as f64 / self.start.elapsed().as_secs_f64().max(0.001);
        let (records, rate) = (output::grouped(records), output::grouped(rate as u64));
        self.bar.set_message(format!("{records} records  {rate}/s"));
    }
}
