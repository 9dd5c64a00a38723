//! `frostline chaos`: tries to break frostline on the user's own broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use frostline_engine::fault::Sabotage;
use frostline_engine::kafka::Admin;
use indicatif::ProgressBar;

use super::output::{BOLD, DIM, GREEN, RED};
use super::signals::Signals;
use super::{Common, Failed, output, topics};
use crate::chaos::{
    ChaosError, ChaosOptions, FaultKind, Installation, Kind, Progress, Recovery, Report, breaks, refusal, run,
};
use crate::config::topic;

const EXAMPLES: &str = "\
Examples:
  frostline chaos --brokers 127.0.0.1:9092                 each fault once, on its own topics
  frostline chaos --rounds 200 --processes 5 --partitions 12
  frostline chaos --rounds 1000 --rate 100                 for hours, on a small machine
  frostline chaos --seed 5eed                              the same input and faults again
  frostline chaos --restart-broker 'scripts/kafka restart'  the broker too
  frostline chaos --group-protocol consumer                the groups of KIP-848 (Kafka 4.0 or newer)
  frostline chaos --faults topics-recreated,partitions-grown  these faults only
  frostline chaos --faults network:half-open,network:cut-at-end-txn  a bad network
  frostline chaos --follow                                 the daemons also follow imitated weather services
  frostline chaos --break no-fencing                       plants a bug: the check must find it

It creates its own topics and groups (chaos-SEED-…), and deletes them at the
end. The daemons run with your settings, except for short timeouts and their
own topics, rules and filter. Their logs are kept if a check fails.";

/// The brokers' own default, if they do not report how long they wait for a silent member.
const UNKNOWN_SESSION: Duration = Duration::from_secs(45);

/// Try to break the daemons: kill, pause and damage real ones under load, then check every record
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ChaosArguments {
    /// Try this many faults [default: 28, with --follow 33]
    #[arg(long, value_name = "COUNT")]
    rounds: Option<u32>,
    /// Try only these kinds of faults, separated by commas: kill, terminate, pause, add, remove, delete-state,
    /// flip-bytes, old-state, shared-name, outage, clock-ahead, clock-behind, topics-recreated (first, and once),
    /// partitions-grown; deaths at named points: point:after-produce, point:after-offsets-sent, point:after-commit,
    /// point:after-sled, point:in-restore, point:in-revoke; a bad network between a process and the brokers, by a proxy
    /// that needs connections without TLS: network:slow, network:drip, network:cut, network:half-open,
    /// network:cut-at-end-txn, network:cut-at-add-offsets, network:cut-at-commit-offsets; with --follow, deaths of the process that polls a weather
    /// service: kill-poller, poller:before-send, poller:after-produce, poller:after-position-sent,
    /// poller:after-commit [default: all]
    #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = parse_fault)]
    faults: Vec<FaultKind>,
    /// Repeat an earlier run: its seed in hexadecimal, as printed [default: random]
    #[arg(long, value_name = "SEED", value_parser = parse_seed)]
    seed: Option<u64>,
    /// Start with this many daemons
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=20))]
    processes: u16,
    /// Give each topic this many partitions
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=100))]
    partitions: i32,
    /// Send this many records a second: lines, observations and hours together
    #[arg(long, value_name = "COUNT", default_value_t = ChaosOptions::default().rate, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: u64,
    /// Let the daemons also follow weather services, imitated on this machine with their own faults; hourly
    /// observations then come only from these
    #[arg(long)]
    follow: bool,
    /// Restart the broker with this shell command; it becomes one of the faults
    #[arg(long, value_name = "COMMAND")]
    restart_broker: Option<String>,
    /// Set the daemons' kafka.client."group.protocol": classic or consumer [default: as configured]
    #[arg(long, value_name = "PROTOCOL", value_parser = ["classic", "consumer"])]
    group_protocol: Option<String>,
    /// Plant bugs, separated by commas, to see whether the checks find them: commit-before-produce,
    /// sled-before-commit, no-fencing, old-state, no-renaming, blind-readiness, earlier-topics, grow-without-state,
    /// stubborn-clock, position-apart, forgotten-nights. Without --faults, only faults that reveal them are tried,
    /// and --restart-broker
    #[arg(long = "break", value_name = "BUGS", value_delimiter = ',', value_parser = parse_sabotage)]
    sabotage: Vec<Sabotage>,
    /// Keep topics, logs and state at the end
    #[arg(long)]
    keep: bool,
}

pub(super) fn parse_seed(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16).map_err(|_| "expected up to 16 hexadecimal digits".to_owned())
}

fn parse_sabotage(text: &str) -> Result<Sabotage, String> {
    breaks().find(|sabotage| sabotage.name() == text).ok_or_else(|| {
        format!("expected one of {}", breaks().map(Sabotage::name).collect::<Vec<_>>().join(", "))
    })
}

fn parse_fault(text: &str) -> Result<FaultKind, String> {
    FaultKind::choices().find(|kind| kind.name() == text).ok_or_else(|| {
        format!(
            "expected one of {}",
            FaultKind::choices().map(FaultKind::name).collect::<Vec<_>>().join(", ")
        )
    })
}

pub(super) async fn chaos(common: &Common, arguments: &ChaosArguments) -> Result<(), Failed> {
    let mut user = common.load(&[])?;
    if let Some(protocol) = &arguments.group_protocol {
        user.kafka.client.insert("group.protocol".to_owned(), protocol.clone());
    }
    let rounds = arguments.rounds.unwrap_or(ChaosOptions::usual_rounds(arguments.follow));
    let options = ChaosOptions {
        rounds,
        // Short enough to type.
        seed: arguments.seed.unwrap_or_else(|| fastrand::u64(..1 << 32)),
        processes: arguments.processes.into(),
        partitions: arguments.partitions,
        rate: arguments.rate,
        restart_broker: arguments.restart_broker.clone(),
        follow: arguments.follow,
        faults: arguments.faults.clone(),
        sabotage: arguments.sabotage.clone(),
    };
    if let Some(reason) = refusal(&options, &user) {
        return Err(Failed::Usage(anyhow::anyhow!(reason)));
    }
    let mut signals = Signals::listen()?;
    let mut installation = Installation::new(&user, options.clone()).map_err(failed)?;
    let admin = topics::connect(&installation.config).await?;
    if let Some(group) = installation.group_of_brokers_session() {
        let session_timeout = admin.session_timeout(&group).await?;
        installation.sessions_last(session_timeout.unwrap_or(UNKNOWN_SESSION));
    }
    output::note(&format!("seed {BOLD}{:x}{BOLD:#}, {} rounds", options.seed, options.rounds));
    if !options.sabotage.is_empty() {
        output::note(&format!("planted bugs: {}. This run is expected to fail", options.broken()));
    }
    let made = topics::create_each(installation.topics(), &admin).await;
    refuse_leftovers(&installation, &admin)?;
    let (mut installation, outcome) = match made {
        Ok(()) => work(installation, &mut signals).await?,
        Err(error) => (installation, Err(error.into())),
    };
    if !arguments.keep {
        delete_topics(&installation, &admin).await;
    }
    // If a check failed, or the checker itself, the logs are useful.
    let is_clean = outcome.as_ref().map_or_else(|error| matches!(error, Failed::Interrupted(_)), |r| r.ok);
    let is_kept = arguments.keep || !is_clean;
    if is_kept {
        installation.keep_dir();
        output::note(&format!("logs and state are in {}", installation.dir().display()));
    }
    let mut report = outcome?;
    report.kept = is_kept.then(|| installation.dir().to_owned());
    print(common, &report)?;
    if report.ok { Ok(()) } else { Err(Failed::Mistakes) }
}

/// Otherwise records of an earlier run would be compared with this one's.
fn refuse_leftovers(installation: &Installation, admin: &Admin) -> Result<(), Failed> {
    let source = installation.config.topic(topic::CSV_RAW).name;
    if admin.ends(&source)?.values().all(|end| *end == 0) {
        return Ok(());
    }
    let namespace = &installation.config.kafka.namespace;
    Err(Failed::Usage(anyhow::anyhow!(
        "an earlier run with this seed left topic {source}: delete it with \
         `frostline topics delete --yes --set kafka.namespace={namespace}`"
    )))
}

/// Runs the blocking part and waits for signals. It ends soon after the first signal, with its processes.
async fn work(
    installation: Installation,
    signals: &mut Signals,
) -> Result<(Installation, Result<Report, Failed>), Failed> {
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, rounds) = (Arc::clone(&stop), installation.rounds());
    let mut job = tokio::task::spawn_blocking(move || {
        let spinner = output::spinner();
        let report = run(&installation, &stopped, &mut |progress| show(&spinner, rounds, progress));
        spinner.finish_and_clear();
        (installation, report)
    });
    let (joined, interrupted) = tokio::select! {
        joined = &mut job => (joined, None),
        signal = signals.next() => {
            stop.store(true, Ordering::Relaxed);
            output::note("stopping the processes and deleting the topics");
            (job.await, Some(signal))
        }
    };
    let (installation, report) = joined.map_err(|error| Failed::Working(error.into()))?;
    let report = match interrupted {
        Some(signal) => Err(Failed::Interrupted(signal)),
        None => report.map_err(failed),
    };
    Ok((installation, report))
}

fn failed(error: ChaosError) -> Failed {
    match error {
        ChaosError::Kafka(error) => error.into(),
        other => Failed::Working(other.into()),
    }
}

/// Names the topics and groups that cannot be deleted; that does not fail the run.
async fn delete_topics(installation: &Installation, admin: &Admin) {
    for plan in installation.topics() {
        if let Err(error) = admin.delete(&plan.name).await {
            output::note(&format!("{error}"));
        }
    }
}

/// A spinner on a terminal, plain lines elsewhere; a step with the same text as before is shown once.
fn show(spinner: &ProgressBar, rounds: u32, progress: Progress) {
    let text = match progress {
        Progress::Step(text) => text,
        Progress::Fault { round, kind, detail, lag } => {
            let lag = output::grouped(lag.unsigned_abs());
            format!("round {round}/{rounds}  {kind}: {detail}  lag {lag}")
        }
    };
    if !spinner.is_hidden() {
        spinner.set_message(text);
    } else if !text.starts_with("draining") {
        output::note(&text);
    }
}

fn print(common: &Common, report: &Report) -> Result<(), Failed> {
    if common.json {
        return Ok(output::json(report)?);
    }
    let row = |name: &str, value: String| output::line(&format!("{name:>29}  {BOLD}{value:>12}{BOLD:#}"));
    for (kind, count) in &report.faults {
        row(kind, output::grouped(*count))?;
    }
    output::line("")?;
    row("rounds", report.rounds.to_string())?;
    row("points not reached", report.points_not_reached.to_string())?;
    row("processes started", report.starts.to_string())?;
    row("seconds", format!("{:.1}", report.seconds))?;
    row("records in", output::grouped(report.records_in))?;
    if let Some(fewest) = report.records_in_round_min {
        row("fewest in a round", output::grouped(fewest))?;
        row("rounds without records", output::grouped(report.idle_rounds))?;
    }
    for (what, count) in &report.compared {
        row(&format!("compared: {what}"), output::grouped(*count))?;
    }
    for (transition, count) in &report.alerts {
        row(&format!("alerts: {transition}"), output::grouped(*count))?;
    }
    row("compared: state", output::grouped(report.state_entries))?;
    row("messages", output::grouped(report.messages))?;
    row("messages that came again", output::grouped(report.messages_repeated))?;
    row("messages not sent", output::grouped(report.messages_suppressed))?;
    for (source, followed) in &report.sources {
        let faults = followed.faults.values().sum();
        row(&format!("{source}: steps"), output::grouped(followed.steps))?;
        row(&format!("{source}: faults"), output::grouped(faults))?;
        row(&format!("{source}: longest, s"), format!("{:.1}", followed.longest_step_seconds))?;
    }
    print_recovery(report)?;
    output::line("")?;
    for kind in Kind::ALL {
        let count = report.violations.get(&kind).copied().unwrap_or_default();
        let colour = if count == 0 { GREEN } else { RED };
        let (words, count) = (kind.words(), output::grouped(count));
        output::line(&format!("{words:>29}  {colour}{count:>12}{colour:#}"))?;
        for example in report.examples.get(&kind).into_iter().flatten() {
            output::line(&format!("{DIM}    {example}{DIM:#}"))?;
        }
    }
    let (mark, word) = if report.ok { (GREEN, "no violations") } else { (RED, "VIOLATIONS") };
    let (guarantee, seed) = (&report.guarantee, &report.seed);
    Ok(output::line(&format!("\n{mark}{word}{mark:#}  {guarantee}; repeat this run with --seed {seed}"))?)
}

/// How long recoveries took, next to a plain producer.
fn print_recovery(report: &Report) -> std::io::Result<()> {
    if report.recovery.is_empty() {
        return Ok(());
    }
    let titles = ["recovery, s", "median", "longest", "plain producer", "longest"];
    let [name, median, longest, plain, plain_longest] = titles;
    output::line(&format!("\n{name:>29}  {median:>8}  {longest:>8}  {plain:>16}  {plain_longest:>8}"))?;
    for (kind, recovery) in &report.recovery {
        let Recovery {
            median_seconds,
            longest_seconds,
            plain_producer_median_seconds,
            plain_producer_longest_seconds,
        } = recovery;
        output::line(&format!(
            "{kind:>29}  {median_seconds:>8.1}  {longest_seconds:>8.1}  {plain_producer_median_seconds:>16.1}  \
             {plain_producer_longest_seconds:>8.1}"
        ))?;
    }
    Ok(())
}
