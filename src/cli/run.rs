//! `frostline run`: the daemon.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use frostline_engine::StageId;

use super::certificates::{self, Certificates};
use super::config::check_client;
use super::rules::at_start;
use super::signals::{Signal, Signals};
use super::{Common, Failed, admin, core_dumps, descriptors, output};
use crate::admin::Recorder;
use crate::app::{self, App, AppOptions, Delivering};
use crate::config::Config;
use crate::noaa::RecentDays;
use crate::notify::{Courier, Sender};
use crate::rules::{Channel, RuleSet};
use crate::stages::{self, count};

const EXAMPLES: &str = "\
Examples:
  frostline run                                            all stages, until SIGTERM or Ctrl-C
  frostline run --stages assemble,filter,alert             only these
  frostline run --until-caught-up --json                   process what is there, then end
  frostline run --state-dir /var/lib/frostline --workers 4";

/// Run the daemon: its stages, until SIGTERM, SIGHUP or Ctrl-C, which drain, commit and exit with 0
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunArguments {
    /// Run these stages, separated by commas: assemble, enrich, filter, outlook, alert, watch, notify, deliver, and
    /// sources for the services of [follow] [default: all; notify and deliver only with [notify], sources only with
    /// [follow]]
    #[arg(long, value_delimiter = ',', value_name = "STAGES")]
    stages: Vec<String>,
    /// Process up to the end offsets seen at the start, including downstream stages; then commit and end
    #[arg(long)]
    until_caught_up: bool,
    /// Process records with this many threads [default: runtime.workers, 0 for the number
    /// of cores]
    #[arg(long, value_name = "COUNT")]
    workers: Option<usize>,
    /// Keep the daemon's data in this directory [default: runtime.state_dir]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

pub(super) async fn run(common: &Common, arguments: &RunArguments) -> Result<(), Failed> {
    core_dumps::turn_off();
    let config = common.load(&[
        ("runtime.workers", arguments.workers.map(|workers| workers.to_string())),
        ("runtime.state_dir", arguments.state_dir.as_ref().map(|dir| dir.display().to_string())),
    ])?;
    let stages = choose_stages(&config, &arguments.stages)?;
    check_client(&config)?;
    descriptors::ensure(&config, &stages)?;
    let rules = Arc::new(at_start::load(&config, &stages).await?);
    let mut signals = Signals::listen()?;
    let certificates = Certificates::of(&config);
    // Checked before anything takes effect.
    let recorder = Recorder::install().map_err(|reason| Failed::Working(anyhow::anyhow!(reason)))?;
    let mut options = AppOptions::of_stages(stages);
    options.run.polls_sources = polls_sources(&config, arguments)?;
    let courier = start_courier(&config, &rules, &mut options)?;
    let listening = admin::listen(&config)?;
    options.run.advertised =
        listening.as_ref().map(|listening| config.admin.advertised(listening.address)).unwrap_or_default();
    let daemon = tokio::select! {
        daemon = App::start(&config, Arc::clone(&rules), &options) => daemon?,
        signal = signals.next() => return Err(Failed::Interrupted(signal)),
    };
    let watched = Arc::clone(&rules);
    let admin = match listening {
        Some(listening) => Some(admin::start(&config, listening, &daemon, &options, rules, recorder)?),
        None => None,
    };
    if arguments.until_caught_up {
        let end = work_until_caught_up(common, daemon, signals).await;
        drop(admin);
        return end;
    }
    tracing::info!(rules = watched.len(), channels = channels(&config), "running");
    let end = work_until_signal(common, daemon, signals, certificates.changed(&config)).await;
    drop(admin);
    drop(courier);
    match end? {
        Ended::BySignal => Ok(()),
        Ended::ToBeginAgain => Err(certificates::begin_again()),
    }
}

/// Why the daemon has ended in good order.
enum Ended {
    BySignal,
    /// Certificates have changed on disk.
    ToBeginAgain,
}

/// The channels of messages, for the log.
fn channels(config: &Config) -> String {
    let settings = config.deliver_settings();
    let on = Channel::all().filter(|channel| settings.has(*channel)).map(Channel::as_str);
    on.collect::<Vec<_>>().join(", ")
}

/// Whether this process polls the services of `[follow]`.
fn polls_sources(config: &Config, arguments: &RunArguments) -> Result<bool, Failed> {
    let is_asked = arguments.stages.iter().any(|name| name == SOURCES);
    if is_asked && !config.follow.is_on() {
        let reason = "--stages sources: no service is configured: add [follow.metar], [follow.ghcn] or \
                      [follow.forecast]";
        return Err(Failed::Usage(anyhow::anyhow!(reason)));
    }
    if config.follow.is_on() && arguments.until_caught_up {
        // A service never runs out of data.
        output::note("--until-caught-up: the services of [follow] are not polled");
    }
    Ok(config.follow.is_on() && !arguments.until_caught_up && (is_asked || arguments.stages.is_empty()))
}

/// The name of the sources in `--stages`.
const SOURCES: &str = "sources";

/// The requested stages; without any, all that have work.
fn choose_stages(config: &Config, asked: &[String]) -> Result<Vec<StageId>, Failed> {
    let topology = app::outline(config)?;
    let is_on = config.notify.is_on();
    let sends = |stage: StageId| stages::TO_PEOPLE.contains(&stage);
    if asked.is_empty() {
        let all = topology.stages().iter().map(|stage| stage.id);
        return Ok(all.filter(|stage| is_on || !sends(*stage)).collect());
    }
    let mut chosen = Vec::new();
    for name in asked.iter().filter(|name| *name != SOURCES) {
        let stage =
            topology.find(name).map_err(|error| Failed::Usage(anyhow::anyhow!("--stages: {error}")))?.id;
        if sends(stage) && !is_on {
            return Err(Failed::Usage(anyhow::anyhow!(
                "stage {stage} has no channel: configure {}",
                Channel::sections()
            )));
        }
        if !chosen.contains(&stage) {
            chosen.push(stage);
        }
    }
    Ok(chosen)
}

/// Starts the senders of messages, if a stage needs them.
pub(super) fn start_courier(
    config: &Config,
    rules: &Arc<RuleSet>,
    options: &mut AppOptions,
) -> Result<Option<Courier>, Failed> {
    if !config.notify.is_on() {
        return Ok(None);
    }
    let recent: Arc<RecentDays> = Arc::default();
    let sender = Sender::new(&config.notify, Arc::clone(rules), Arc::clone(&recent));
    let sender = sender.map_err(|reason| Failed::Usage(anyhow::anyhow!(reason)))?;
    let courier = Courier::start(sender)?;
    options.delivering = Some(Delivering {
        settings: Arc::new(config.deliver_settings()),
        has_alertmanager: config.notify.alertmanager.is_some(),
        outlet: courier.outlet(),
    });
    if options.run.stages.contains(&stages::DELIVER) && config.notify.email.is_some() {
        options.recent = Some(recent);
    }
    Ok(Some(courier))
}

async fn work_until_signal(
    common: &Common,
    mut daemon: App,
    mut signals: Signals,
    certificates_changed: impl Future<Output = ()>,
) -> Result<Ended, Failed> {
    let ended_by = tokio::select! {
        failure = daemon.engine.failed() => Err(failure),
        signal = signals.next() => {
            tracing::info!(?signal, "draining; a second Ctrl-C or SIGTERM ends at once");
            Ok(Some(signal))
        }
        () = certificates_changed => {
            tracing::info!("certificates for Kafka have changed on disk: draining, and beginning again with the new ones");
            Ok(None)
        }
    };
    let (summary, stopped) = daemon.stop().await;
    let Some(signal) = ended_by? else {
        stopped?;
        return Ok(Ended::ToBeginAgain);
    };
    let printed = output::summary(common, &summary);
    stopped?;
    // Output to a closed terminal has no reader.
    if signal != Signal::Hangup {
        printed?;
    }
    Ok(Ended::BySignal)
}

async fn work_until_caught_up(common: &Common, mut daemon: App, mut signals: Signals) -> Result<(), Failed> {
    let spinner = output::spinner();
    spinner.set_message("joining the groups");
    let mut interrupted: Option<Signal> = None;
    let mut failure = None;
    let watched = daemon.engine.watcher();
    tokio::select! {
        caught_up = watched.caught_up(|stage, behind| {
            spinner.set_message(format!("{stage}: {} records to go", output::grouped(behind.unsigned_abs())));
        }) => failure = caught_up.err(),
        failed = daemon.engine.failed() => failure = Some(failed),
        signal = signals.next() => interrupted = Some(signal),
    }
    spinner.finish_and_clear();
    let (summary, stopped) = daemon.stop().await;
    let printed = output::summary(common, &summary);
    if summary.counts[count::NOTICES] > 0 && !common.json {
        output::note(
            "messages that still wait (for others, quiet hours or limits) are sent by the next `frostline run`",
        );
    }
    match (failure, interrupted) {
        (Some(failure), _) => Err(failure.into()),
        (None, Some(signal)) => Err(Failed::Interrupted(signal)),
        (None, None) => {
            stopped?;
            Ok(printed?)
        }
    }
}
