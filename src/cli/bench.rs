//! `frostline bench`: measures on the user's own broker how the work scales.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::output::{BOLD, DIM, RED};
use super::{Common, Failed, chaos, output, signals, topics};
use crate::bench::{BenchError, Job, Options, Report, Row, chart, run};
use crate::config::Guarantee;
use crate::stages::Validate;

const EXAMPLES: &str = "\
Examples:
  frostline bench --brokers 127.0.0.1:9092 --limit          1, 5 and 10 partitions, both guarantees
  frostline bench --partitions 1,2,4,8,16 --workers 1,4 --processes 1,2 --records 4000000 --rounds 5
  frostline bench --job path                                lines into observations into alerts
  frostline bench --conditions 1000 --partitions 10         a heavy stage: 1,000 conditions a record
  frostline bench --validate needed --limit                 skip records that no output depends on

It creates its own topics and groups (bench-SEED-…), and deletes them at the
end. It runs real daemons with your settings, except topics, rules and filter.
It prints a table to stdout, and writes bench.json, bench.csv and bench.svg
(speed-up by number of partitions).";

/// Measure partitions, workers, processes and guarantees on your own broker
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct BenchArguments {
    /// Choose the work: one stage, or the whole path
    #[arg(long, value_enum, default_value_t = JobName::Alert)]
    job: JobName,
    /// Load this many records for each number of partitions
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    records: u64,
    /// Measure these numbers of partitions, separated by commas
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_value = "1,5,10", value_parser = clap::value_parser!(i32).range(1..=5_000))]
    partitions: Vec<i32>,
    /// Measure these numbers of worker threads, separated by commas [default: 1 and the number of cores]
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Vec<u16>,
    /// Measure these numbers of processes that share the work, separated by commas
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_value = "1", value_parser = clap::value_parser!(u16).range(1..=50))]
    processes: Vec<u16>,
    /// Measure these guarantees, separated by commas [default: both]
    #[arg(long, value_name = "GUARANTEES", value_delimiter = ',', value_enum)]
    guarantees: Vec<GuaranteeName>,
    /// Choose which records are read completely (runtime.validate)
    #[arg(long, value_enum, default_value_t = ValidateName::All)]
    validate: ValidateName,
    /// Evaluate this many conditions for each observation, none of which holds; 1 is the talk's rule for the stations
    /// of Arizona
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    conditions: u32,
    /// Measure each point this many times, after a warm-up
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Measure the bare client too: it consumes and counts, nothing else
    #[arg(long)]
    limit: bool,
    /// Send this many records a second while latency is measured; 0 skips the latency
    #[arg(long, value_name = "RATE", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    latency_rate: u32,
    /// Measure latency for this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    latency_seconds: u32,
    /// Write bench.json, bench.csv and bench.svg to this directory
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Repeat the input of an earlier run: its seed in hexadecimal, as printed [default: random]
    #[arg(long, value_name = "SEED", value_parser = chaos::parse_seed)]
    seed: Option<u64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum JobName {
    Alert,
    Filter,
    Assemble,
    Path,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum GuaranteeName {
    AtLeastOnce,
    ExactlyOnce,
}

#[derive(Clone, Copy, ValueEnum)]
enum ValidateName {
    All,
    Needed,
}

impl BenchArguments {
    fn options(&self) -> Options {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let counts = |numbers: &[u16]| numbers.iter().copied().map(usize::from).collect::<Vec<_>>();
        let guarantee = |name: &GuaranteeName| match name {
            GuaranteeName::AtLeastOnce => Guarantee::AtLeastOnce,
            GuaranteeName::ExactlyOnce => Guarantee::ExactlyOnce,
        };
        let mut options = Options {
            job: match self.job {
                JobName::Alert => Job::Alert,
                JobName::Filter => Job::Filter,
                JobName::Assemble => Job::Assemble,
                JobName::Path => Job::Path,
            },
            records: self.records,
            partitions: self.partitions.clone(),
            workers: if self.workers.is_empty() { vec![1, cores] } else { counts(&self.workers) },
            processes: counts(&self.processes),
            guarantees: self.guarantees.iter().map(guarantee).collect(),
            validate: match self.validate {
                ValidateName::All => Validate::All,
                ValidateName::Needed => Validate::Needed,
            },
            conditions: self.conditions,
            rounds: self.rounds,
            limit: self.limit,
            // Only alerts can be seen to arrive.
            latency_rate: if matches!(self.job, JobName::Alert) { self.latency_rate } else { 0 },
            latency_seconds: self.latency_seconds,
            // Short enough to type.
            seed: self.seed.unwrap_or_else(|| fastrand::u64(..1 << 32)),
        };
        if options.guarantees.is_empty() {
            options.guarantees = vec![Guarantee::AtLeastOnce, Guarantee::ExactlyOnce];
        }
        options.workers.dedup();
        options
    }
}

pub(super) async fn bench(common: &Common, arguments: &BenchArguments) -> Result<(), Failed> {
    let user = common.load(&[])?;
    let options = arguments.options();
    if !arguments.out.is_dir() {
        return Err(Failed::Usage(anyhow::anyhow!("--out {}: no such directory", arguments.out.display())));
    }
    let admin = topics::connect(&user).await?;
    announce(&options);
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Handle::current();
    let stopped = Arc::clone(&stop);
    let work = move || {
        let spinner = output::spinner();
        let mut tell = |text: &str| {
            if spinner.is_hidden() {
                output::note(text);
            } else if text.starts_with("round") || text.starts_with("left behind") {
                spinner.suspend(|| output::note(text));
            } else {
                spinner.set_message(text.to_owned());
            }
        };
        let report = run(&user, &options, &admin, &runtime, &stopped, &mut tell);
        spinner.finish_and_clear();
        report
    };
    let (report, signal) = signals::stoppable(stop, work).await.map_err(Failed::Working)?;
    let report = match (report, signal) {
        (Err(BenchError::Interrupted), Some(signal)) => return Err(Failed::Interrupted(signal)),
        (report, _) => report.map_err(failed)?,
    };
    write_files(arguments, &report)?;
    if common.json {
        output::json(&report)?;
    } else {
        print(&report)?;
    }
    if report.rows.is_empty() && report.latencies.is_empty() {
        return Err(Failed::Working(anyhow::anyhow!("nothing could be measured")));
    }
    Ok(())
}

/// Prints what follows and what to expect of it.
fn announce(options: &Options) {
    let cells =
        options.partitions.len() * options.workers.len() * options.processes.len() * options.guarantees.len();
    let runs = cells as u64 * u64::from(options.rounds);
    let records = output::grouped(options.records);
    output::note(&format!("seed {BOLD}{:x}{BOLD:#}, {runs} runs over {records} records each", options.seed));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let most = options.workers.iter().max().unwrap_or(&1) * options.processes.iter().max().unwrap_or(&1);
    if most > cores {
        output::note(&format!(
            "up to {most} workers on {cores} cores, which the broker may share: expect no speed-up beyond {cores}"
        ));
    }
}

fn failed(error: BenchError) -> Failed {
    match error {
        BenchError::Kafka(error) => error.into(),
        other => Failed::Working(other.into()),
    }
}

fn write_files(arguments: &BenchArguments, report: &Report) -> Result<(), Failed> {
    let json = serde_json::to_string_pretty(report).context("writing the report").map_err(Failed::Working)?;
    for (name, text) in [("bench.json", json), ("bench.csv", report.csv()), ("bench.svg", chart(report))] {
        let path = arguments.out.join(name);
        std::fs::write(&path, text)
            .with_context(|| format!("writing {}", path.display()))
            .map_err(Failed::Working)?;
    }
    Ok(())
}

fn print(report: &Report) -> Result<(), Failed> {
    output::line(&format!(
        "{BOLD}{:>10} {:>9} {:>7}  {:<13} {:>11} {:>7} {:>13} {:>8} {:>10} {:>10} {:>8} {:>7}{BOLD:#}",
        "partitions",
        "processes",
        "workers",
        "guarantee",
        "records/s",
        "MB/s",
        "records/CPU-s",
        "of limit",
        "commit p50",
        "commit p99",
        "memory",
        "threads"
    ))?;
    for row in &report.rows {
        print_row(row)?;
    }
    for latency in &report.latencies {
        output::line(&format!(
            "\nproduce to visible alert at {} records/s, {}: {BOLD}p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms{BOLD:#}, \
             at most {:.1} ms, {} alerts",
            latency.rate,
            latency.cell.guarantee,
            latency.p50_ms,
            latency.p99_ms,
            latency.p999_ms,
            latency.max_ms,
            output::grouped(latency.alerts)
        ))?;
    }
    for (what, reason) in &report.failed {
        output::line(&format!("\n{RED}failed:{RED:#} {what}: {reason}"))?;
    }
    let machine = &report.machine;
    Ok(output::line(&format!(
        "\n{DIM}medians of {} rounds; {}, {} cores, {} GiB, Linux {}, load {} before; frostline {}, librdkafka {}{DIM:#}",
        report.rounds,
        machine.processor,
        machine.cores,
        machine.memory_bytes >> 30,
        machine.kernel,
        machine.load,
        machine.frostline,
        machine.librdkafka
    ))?)
}

fn print_row(row: &Row) -> Result<(), Failed> {
    let (processes, workers, guarantee) = match row.cell {
        Some(cell) => (cell.processes.to_string(), cell.workers.to_string(), cell.guarantee.to_string()),
        None => (String::new(), String::new(), "bare client".to_owned()),
    };
    let of_limit = row.of_limit.map_or_else(String::new, |part| format!("{part:.2}"));
    let rest = match row.cell {
        Some(_) => format!(
            "{:>7.1} ms {:>7.1} ms {:>5} MB {:>7}",
            row.commit_p50_ms,
            row.commit_p99_ms,
            row.memory_bytes >> 20,
            row.threads
        ),
        None => String::new(),
    };
    Ok(output::line(&format!(
        "{:>10} {processes:>9} {workers:>7}  {guarantee:<13} {:>11} {:>7.1} {:>13} {of_limit:>8} {rest}",
        row.partitions,
        output::grouped(row.records_per_second as u64),
        row.megabytes_per_second,
        output::grouped(row.records_per_cpu_second as u64),
    ))?)
}
