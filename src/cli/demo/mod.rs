//! `frostline demo`: the whole path on synthetic weather, with nothing to install.

mod choice;
mod feed;
mod live;
mod night;
mod printer;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use frostline_engine::RunOptions;
use frostline_engine::kafka::{Admin, ClientSettings, EmbeddedBroker};
use indicatif::ProgressBar;

use feed::{Feed, YEAR};
use live::LiveNight;
use night::{hours_before, hours_of_frost};
use printer::Printer;

use super::output::{BOLD, DIM};
use super::signals::{Signal, Signals};
use super::{Common, Failed, admin, descriptors, output, run, stations_import, topics};
use crate::admin::{Admin as Server, Recorder};
use crate::app::{App, AppOptions};
use crate::config::{Config, FollowConfig, Guarantee, Secret, topic};
use crate::hourly::iso_time;
use crate::noaa::{Date, Station};
use crate::rules::RuleSet;
use crate::stages::{self, count};
use crate::synthetic::real_places;

const EXAMPLES: &str = "\
Examples:
  frostline demo                               a year of weather, then day after day until Ctrl-C
  frostline demo --once                        the year only
  frostline demo --once --json                 alerts and summary for scripts
  frostline demo --live                        a night in two minutes, from imitated weather services
  frostline demo --brokers 127.0.0.1:9092      on a real broker; topics are deleted at the end
  frostline demo --set alert.rules=rules.toml  your own rules
  frostline demo --config try.toml             rules and mail server that this file names

Mail is sent only if --set or the file of --config sets notify.email.server.
With `scripts/mail-server mails 2525` running, that file is:
  [notify.email]
  server = \"localhost:2525\"
  ca = \"mails/ca.pem\"
  from = \"frost@example.org\"
  user = \"frost\"
  password = \"dew\"";

/// Suggestions after the demo.
const NEXT: &str = "\
Next:
  frostline demo --set alert.rules=FILE        your rules on this weather; examples/rules.toml is a file to begin with
  frostline demo --help                        all options, with mail, or on a real broker
  frostline topics create                      the real thing on a real broker: then `stations import`,
                                               `run` and `replay`, as in the README";

/// The last notices wait for others (one second in the demo), and then for the mail server.
const LAST_MESSAGES: Duration = Duration::from_secs(3);
/// Time between two days after the year: observations settle when their partition has been idle for a second.
const DAY_INTERVAL: Duration = Duration::from_secs(2);
/// Time between two hours of the night.
const HOUR_INTERVAL: Duration = Duration::from_millis(700);

/// Show the whole path on synthetic weather: lines into observations, the filter, rules, alerts
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DemoArguments {
    /// End when the year has been processed
    #[arg(long)]
    once: bool,
    /// Show a night instead of the year: the daemon follows weather services, which this process imitates
    #[arg(long, conflicts_with = "once")]
    live: bool,
    /// Let that night last this many seconds
    #[arg(long, hide = true, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u16).range(10..=3_600))]
    live_seconds: u16,
    /// Keep the topics at the end (with --brokers)
    #[arg(long)]
    keep: bool,
}

pub(super) async fn demo(common: &Common, arguments: &DemoArguments) -> Result<(), Failed> {
    let mut config = common.load(&[])?;
    let state = tempfile::tempdir()?;
    config.runtime.state_dir = state.path().join("state");
    // Follow services only if the demo is about following.
    config.follow = FollowConfig::default();
    let night = if arguments.live {
        choice::check_live(common)?;
        Some(LiveNight::begin(&mut config, Duration::from_secs(arguments.live_seconds.into()))?)
    } else {
        None
    };
    let rules = match &night {
        Some(night) => night.rules()?,
        None => choice::rules(common, &config)?,
    };
    choice::restrict_notify(common, &mut config.notify);
    choice::show_all_to_own_rules(common, &mut config);
    let mut signals = Signals::listen()?;
    let broker = Broker::prepare(common, &mut config).await?;
    let outcome = show(common, (arguments, night.as_ref()), &config, rules, &broker, &mut signals).await;
    broker.clean_up(&config, arguments.keep).await;
    outcome
}

/// The broker of the demo.
enum Broker {
    Embedded { _broker: EmbeddedBroker },
    Real(Admin),
}

impl Broker {
    async fn prepare(common: &Common, config: &mut Config) -> Result<Self, Failed> {
        if common.brokers.is_none() {
            config.kafka.client.clear();
            config.runtime.guarantee = Guarantee::AtLeastOnce;
            let broker = EmbeddedBroker::start(config.all_topics())?;
            config.kafka.brokers = broker.brokers().to_owned();
            output::note(&format!(
                "{BOLD}frostline demo{BOLD:#} on a broker inside this process ({}).\n\
                 {DIM}It is a toy: in memory, one node, no transactions, so the demo runs with at_least_once. On a real \
                 one:\n  scripts/kafka start && frostline demo --brokers 127.0.0.1:9092{DIM:#}",
                broker.brokers()
            ));
            return Ok(Self::Embedded { _broker: broker });
        }
        // A new place each time, whatever is configured: each run shows its alerts, and its topics, which are deleted
        // at the end, must never belong to anything else.
        config.topics.clear();
        config.kafka.namespace =
            format!("frostline-demo-{}-{:06}.", std::process::id(), fastrand::u32(..1_000_000));
        let admin = topics::connect(config).await?;
        topics::create_all(config, &admin).await?;
        let namespace = &config.kafka.namespace;
        output::note(&format!(
            "{BOLD}frostline demo{BOLD:#} on {} (topics {namespace}noaa-…)",
            config.kafka.brokers
        ));
        Ok(Self::Real(admin))
    }

    fn is_real(&self) -> bool {
        matches!(self, Self::Real(_))
    }

    async fn clean_up(self, config: &Config, keep: bool) {
        let Self::Real(admin) = self else { return };
        if keep {
            output::note(&format!("{DIM}topics kept: {}noaa-…{DIM:#}", config.kafka.namespace));
            return;
        }
        for plan in config.all_topics() {
            if let Err(error) = admin.delete(&plan.name).await {
                output::note(&format!("topic {} could not be deleted: {error}", plan.name));
            }
        }
    }
}

/// Starts the page for this machine, at its usual address, or at another one if that is taken or open to other
/// machines.
fn start_page(
    config: &Config,
    daemon: &App,
    options: &AppOptions,
    rules: Arc<RuleSet>,
    recorder: Recorder,
) -> Result<Option<Server>, Failed> {
    let mut config = config.clone();
    config.admin.token = Secret::default();
    let is_usable = |address: SocketAddr| address.ip().is_loopback() && TcpListener::bind(address).is_ok();
    if config.admin.address().is_some_and(|address| !is_usable(address)) {
        config.admin.listen = "127.0.0.1:0".into();
    }
    let Some(listening) = admin::listen(&config)? else { return Ok(None) };
    let server = admin::start(&config, listening, daemon, options, rules, recorder)?;
    output::note(&format!("See the page: {BOLD}http://{}/{BOLD:#}", server.address));
    Ok(Some(server))
}

/// Runs the pipeline while the weather is fed in, then sums up.
async fn show(
    common: &Common,
    (arguments, night): (&DemoArguments, Option<&LiveNight>),
    config: &Config,
    rules: RuleSet,
    broker: &Broker,
    signals: &mut Signals,
) -> Result<(), Failed> {
    let settings = ClientSettings::new(&config.kafka)?;
    let table: Vec<Station> = match night {
        Some(night) => night.stations(),
        None => real_places().iter().map(|place| place.station.clone()).collect(),
    };
    stations_import::publish(&settings, &config.topic(topic::STATIONS).name, &table)?;
    let mut stages = vec![stages::ASSEMBLE, stages::FILTER, stages::ALERT, stages::OUTLOOK, stages::WATCH];
    if config.notify.is_on() {
        stages.extend([stages::NOTIFY, stages::DELIVER]);
    }
    descriptors::ensure(config, &stages)?;
    let mut options = AppOptions::of_stages(stages);
    options.run =
        RunOptions { describe_topics: broker.is_real(), polls_sources: night.is_some(), ..options.run };
    let recorder = Recorder::install().map_err(|reason| anyhow::anyhow!(reason))?;
    let rules: Arc<RuleSet> = Arc::new(rules);
    let courier = run::start_courier(config, &rules, &mut options)?;
    let spinner = output::spinner();
    let printer = Printer::start(common, config, &settings, spinner.clone())?;
    let feed = Feed::new(config, &settings)?;
    let mut daemon = App::start(config, Arc::clone(&rules), &options).await?;
    let work = async {
        let _page = start_page(config, &daemon, &options, rules, recorder)?;
        match night {
            Some(night) => {
                night.announce();
                night.pass(&mut daemon, &spinner).await
            }
            None => work(arguments, config.notify.is_on(), &mut daemon, feed, &spinner).await,
        }
    };
    // No `?` before the daemon has stopped: errors too are reported only when nothing uses the topics any more.
    let worked: Result<Option<Signal>, Failed> = tokio::select! {
        worked = work => worked.map(|()| None),
        signal = signals.next() => Ok(Some(signal)),
        // It ends by itself only if its output is closed or the alerts cannot be read.
        () = printer.ended() => Ok(None),
    };
    spinner.set_message("committing");
    let (summary, stopped) = daemon.stop().await;
    drop(courier);
    let printed = printer.finish();
    spinner.finish_and_clear();
    let interrupted = worked?;
    printed?;
    stopped?;
    if !common.json {
        output::line("")?;
    }
    output::summary(common, &summary)?;
    if !common.json {
        output::note(&format!("\n{DIM}{NEXT}{DIM:#}"));
    }
    match interrupted {
        // Ctrl-C ends streaming, so it is not a failure. It cuts `--once` short.
        Some(signal) if arguments.once => Err(Failed::Interrupted(signal)),
        _ => Ok(()),
    }
}

/// Feeds the year, waits until it has been processed, then feeds day after day. `sends`: notices become messages, which
/// wait for each other.
async fn work(
    arguments: &DemoArguments,
    sends: bool,
    daemon: &mut App,
    mut feed: Feed,
    spinner: &ProgressBar,
) -> Result<(), Failed> {
    while let Some(day) = feed.day().filter(|day| day.year() == YEAR) {
        feed.next_day()?;
        spinner.set_message(format!("{} lines written, up to {day}", output::grouped(feed.lines_count)));
        // Rebalances and signals are served in between.
        tokio::task::yield_now().await;
    }
    feed.hours(hours_before())?;
    if arguments.once {
        feed.hours(hours_of_frost())?;
    }
    let lines = output::grouped(feed.lines_count);
    let watcher = daemon.engine.watcher();
    let totals = daemon.engine.totals();
    let caught_up = watcher.caught_up(|stage, behind| {
        let done = totals.of(stages::ASSEMBLE)[count::RECORDS_IN];
        spinner.set_message(if done == 0 {
            format!("{lines} lines are waiting; joining the groups takes about 3 s")
        } else {
            let behind = output::grouped(behind.unsigned_abs());
            format!(
                "{} of {lines} lines processed; {stage} has {behind} records to go",
                output::grouped(done)
            )
        });
    });
    tokio::select! {
        caught_up = caught_up => caught_up?,
        failure = daemon.engine.failed() => return Err(failure.into()),
    }
    if arguments.once {
        if sends {
            spinner.set_message("sending the last messages");
            tokio::time::sleep(LAST_MESSAGES).await;
        }
        return Ok(());
    }
    tonight(daemon, &mut feed, spinner).await?;
    stream(daemon, feed, spinner).await
}

/// A night with frost, hour by hour: a warning in the evening, its outcome, and the morning.
async fn tonight(daemon: &mut App, feed: &mut Feed, spinner: &ProgressBar) -> Result<(), Failed> {
    spinner.suspend(|| {
        output::note(&format!(
            "{DIM}the year is over; now a night at SCOTTSDALE MUNI AP, hour by hour{DIM:#}"
        ))
    });
    let mut next = tokio::time::interval(HOUR_INTERVAL);
    for hour in hours_of_frost() {
        tokio::select! {
            _ = next.tick() => {}
            failure = daemon.engine.failed() => return Err(failure.into()),
        }
        let shown = format!("{}: {:.1} °C; Ctrl-C ends the demo", iso_time(hour.time), hour.temperature_c);
        feed.hours(std::iter::once(hour))?;
        spinner.set_message(shown);
    }
    // Wait for the last alerts.
    tokio::time::sleep(DAY_INTERVAL).await;
    Ok(())
}

/// A new day every two seconds, up to today.
async fn stream(daemon: &mut App, mut feed: Feed, spinner: &ProgressBar) -> Result<(), Failed> {
    spinner.suspend(|| {
        output::note(&format!("{DIM}the night is over; now a new day every two seconds, until Ctrl-C{DIM:#}"))
    });
    let mut next = tokio::time::interval(DAY_INTERVAL);
    loop {
        tokio::select! {
            _ = next.tick() => {}
            failure = daemon.engine.failed() => return Err(failure.into()),
        }
        let today = Date::parse_iso(&jiff::Zoned::now().date().to_string());
        let Some(day) = feed.day().filter(|day| Some(*day) <= today) else {
            spinner.set_message("today is reached; no more days; Ctrl-C ends the demo");
            continue;
        };
        feed.next_day()?;
        let lines = output::grouped(feed.lines_count);
        spinner.set_message(format!("{day}: {lines} lines so far; Ctrl-C ends the demo"));
    }
}
