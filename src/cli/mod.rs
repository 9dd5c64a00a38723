//! The command line: one file per command.
//!
//! Results go to stdout, progress and logs to stderr. Exit codes: 0 done; 1 failed while working, or a check found a
//! mistake; 2 wrong usage or configuration (nothing was started); 129, 130 and 143 after a signal that cut work
//! short.

mod admin;
mod alerts;
mod bench;
mod certificates;
mod chaos;
mod config;
mod convert;
mod core_dumps;
mod dead_letters;
mod demo;
mod descriptors;
mod explain;
mod explain_night;
mod file_output;
mod follow;
mod generate;
mod generate_arguments;
mod generate_job;
mod history_arguments;
mod journal;
mod notified;
mod notify;
mod outlook;
mod output;
mod pace;
mod pages;
mod panics;
mod replay;
mod replay_job;
mod reset;
mod rules;
mod run;
mod signals;
mod station_search;
mod stations;
mod stations_fetch;
mod stations_import;
mod tail;
mod top;
mod topics;
mod units;
mod weather_server;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use frostline_engine::kafka::KafkaError;
use frostline_engine::runtime::{Failure, StartError};
use frostline_engine::store::StateError;

use crate::config::{Config, Overrides};
use crate::publishing::PublishError;
use signals::Signal;

const EXAMPLES: &str = "\
Examples:
  frostline demo                               the whole path, on a broker inside the process
  frostline topics create                      create the topics on a real broker
  frostline stations fetch                     fill the station table with NOAA's files
  frostline run --config frostline.toml        the daemon
  frostline replay 2016.csv.gz --topic noaa-csv-raw
  frostline generate --days 7 --out week.csv   synthetic data of any size
  frostline rules new --near 33.61,-111.92 --below 28F --tonight --email anna@example.org
  frostline tail noaa-json-alerts              follow new alerts
  frostline notify test anna                   test whether notifications arrive
  frostline dead-letters list                  records that could not be processed, and why
  frostline top                                a running daemon in the terminal";

/// Watches weather stations through Kafka and warns people before the frost comes.
#[derive(Parser)]
#[command(name = "frostline", version, after_help = EXAMPLES, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// The heading in `--help` for the options of [`Common`], after those of the command itself.
const GLOBAL: &str = "Global options";

/// Options of every command.
#[derive(Args, Clone)]
struct Common {
    /// Read this configuration file [default: frostline.toml in the current directory, if it exists]
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set any setting, such as --set kafka.namespace=test. (may be repeated)
    #[arg(long = "set", global = true, help_heading = GLOBAL, value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Connect to Kafka at this address (the same as --set kafka.brokers=…; without it the demo starts its own
    /// broker)
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "HOST:PORT")]
    brokers: Option<String>,
    /// Print results as JSON, one object per line
    #[arg(long, global = true, help_heading = GLOBAL)]
    json: bool,
    /// Log to stderr at this level: error, warn, info or debug, or a filter such as frostline=debug
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        value_name = "LEVEL",
        env = "FROSTLINE_LOG",
        value_parser = output::log_filter,
        hide_env_values = true
    )]
    log: Option<String>,
    /// Log in this format [default: text; JSON if `run` has no terminal]
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        value_name = "FORMAT",
        env = "FROSTLINE_LOG_FORMAT",
        hide_env_values = true
    )]
    log_format: Option<output::LogFormat>,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::DemoArguments),
    Run(run::RunArguments),
    Topics(topics::TopicsArguments),
    Stations(stations::StationsArguments),
    Follow(follow::FollowArguments),
    Replay(replay::ReplayArguments),
    Convert(convert::ConvertArguments),
    Generate(generate_arguments::GenerateArguments),
    Tail(tail::TailArguments),
    Rules(rules::RulesArguments),
    Outlook(outlook::OutlookArguments),
    Explain(explain::ExplainArguments),
    Alerts(alerts::AlertsArguments),
    DeadLetters(dead_letters::DeadLettersArguments),
    Reset(reset::ResetArguments),
    Top(top::TopArguments),
    Notify(notify::NotifyArguments),
    Config(config::ConfigArguments),
    Completions(pages::CompletionsArguments),
    Man(pages::ManArguments),
    Bench(bench::BenchArguments),
    Chaos(chaos::ChaosArguments),
    #[command(hide = true)]
    WeatherServer(weather_server::WeatherServerArguments),
}

impl Command {
    /// The default log level. The daemon logs events; for chaos an unreachable broker is not an event.
    fn log_level(&self) -> &'static str {
        match self {
            Self::Run(_) => "info,actix_server=warn",
            Self::Bench(_) | Self::Chaos(_) => "error",
            _ => "warn",
        }
    }
}

/// How a command ends, other than successfully.
enum Failed {
    /// Wrong usage or configuration; nothing was started. Exit code 2.
    Usage(anyhow::Error),
    /// It failed while working. Exit code 1.
    Working(anyhow::Error),
    /// A check found mistakes, which have been printed. Exit code 1.
    Mistakes,
    /// A signal cut the work short. Exit code 129, 130 or 143.
    Interrupted(Signal),
    /// The reader of stdout has closed it: nothing more to print.
    NobodyReads,
}

impl From<crate::config::ConfigError> for Failed {
    fn from(error: crate::config::ConfigError) -> Self {
        Self::Usage(error.into())
    }
}

impl From<StartError> for Failed {
    fn from(error: StartError) -> Self {
        if is_for_people(&error) { Self::Usage(error.into()) } else { Self::Working(error.into()) }
    }
}

/// Whether the same start will fail again until somebody changes something: exit code 2, after which a service
/// manager does not restart the daemon. Unreachable brokers come back, and so does a directory that is in use.
fn is_for_people(error: &StartError) -> bool {
    let of_kafka = |error: &KafkaError| {
        matches!(error, KafkaError::Settings(_) | KafkaError::Topic(_) | KafkaError::Denied { .. })
    };
    let of_state = |error: &StateError| matches!(error, StateError::Unusable { .. });
    match error {
        StartError::Usage(_) => true,
        StartError::Kafka(error) | StartError::Part(Failure::Kafka(error)) => of_kafka(error),
        StartError::State(error) | StartError::Part(Failure::State(error)) => of_state(error),
        StartError::Part(Failure::Stalled { .. } | Failure::Panic(_) | Failure::Neighbour { .. }) => false,
    }
}

impl From<KafkaError> for Failed {
    fn from(error: KafkaError) -> Self {
        match error {
            KafkaError::Settings(_) | KafkaError::Denied { .. } => Self::Usage(error.into()),
            other => Self::Working(other.into()),
        }
    }
}

impl From<PublishError> for Failed {
    fn from(error: PublishError) -> Self {
        if error.is_for_people() { Self::Usage(error.into()) } else { Self::Working(error.into()) }
    }
}

impl From<Failure> for Failed {
    fn from(error: Failure) -> Self {
        Self::Working(error.into())
    }
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self::Working(error)
    }
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::NobodyReads,
            _ => Self::Working(error.into()),
        }
    }
}

/// Parses the arguments, runs the command, and turns its result into an exit code.
pub fn main() -> ExitCode {
    frostline_engine::kafka::obtain_tokens_with(crate::outbound::obtain_token);
    let arguments = Arguments::parse_from(settings_last(std::env::args_os()));
    let is_daemon = matches!(arguments.command, Command::Run(_));
    output::start_log(&arguments.common, arguments.command.log_level(), is_daemon);
    if is_daemon {
        panics::into_log();
    }
    let common = arguments.common.clone();
    let result = actix::System::new().block_on(dispatch(arguments));
    match result {
        Ok(()) | Err(Failed::NobodyReads) => ExitCode::SUCCESS,
        Err(Failed::Mistakes) => ExitCode::FAILURE,
        Err(Failed::Interrupted(signal)) => ExitCode::from(signal.exit_code()),
        Err(Failed::Working(error)) => {
            output::error(&common, &error);
            ExitCode::FAILURE
        }
        Err(Failed::Usage(error)) => {
            output::error(&common, &error);
            ExitCode::from(2)
        }
    }
}

/// Moves `--set KEY=VALUE` after everything else, keeping the order. Otherwise clap would silently let those after
/// the subcommand replace those before it.
fn settings_last(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let (mut kept, mut settings) = (Vec::new(), Vec::new());
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy().into_owned();
        if text == "--" {
            kept.extend(settings);
            kept.push(argument);
            kept.extend(arguments);
            return kept;
        }
        if text == "--set" {
            settings.push(argument);
            settings.extend(arguments.next());
        } else if text.starts_with("--set=") {
            settings.push(argument);
        } else {
            kept.push(argument);
        }
    }
    kept.extend(settings);
    kept
}

async fn dispatch(arguments: Arguments) -> Result<(), Failed> {
    let common = arguments.common;
    match arguments.command {
        Command::Demo(arguments) => demo::demo(&common, &arguments).await,
        Command::Run(arguments) => run::run(&common, &arguments).await,
        Command::Topics(arguments) => topics::topics(&common, &arguments).await,
        Command::Stations(arguments) => stations::stations(&common, &arguments).await,
        Command::Follow(arguments) => follow::follow(&common, &arguments).await,
        Command::Replay(arguments) => replay::replay(&common, &arguments).await,
        Command::Convert(arguments) => convert::convert(&common, arguments).await,
        Command::Generate(arguments) => generate::generate(&common, arguments).await,
        Command::Tail(arguments) => tail::tail(&common, &arguments).await,
        Command::Rules(arguments) => rules::rules(&common, &arguments).await,
        Command::Outlook(arguments) => outlook::outlook(&common, &arguments).await,
        Command::Explain(arguments) => explain::explain(&common, &arguments).await,
        Command::Alerts(arguments) => alerts::alerts(&common, &arguments).await,
        Command::Top(arguments) => top::top(&common, &arguments).await,
        Command::DeadLetters(arguments) => dead_letters::dead_letters(&common, &arguments).await,
        Command::Reset(arguments) => reset::reset(&common, &arguments).await,
        Command::Notify(arguments) => notify::notify(&common, &arguments).await,
        Command::Config(arguments) => config::config(&common, &arguments),
        Command::Completions(arguments) => pages::completions(&arguments),
        Command::Man(arguments) => pages::man(&arguments),
        Command::Bench(arguments) => bench::bench(&common, &arguments).await,
        Command::Chaos(arguments) => chaos::chaos(&common, &arguments).await,
        Command::WeatherServer(arguments) => weather_server::weather_server(&arguments).await,
    }
}

impl Common {
    /// Loads the configuration; `more` holds settings from the command's own flags.
    fn load(&self, more: &[(&str, Option<String>)]) -> Result<Config, crate::config::ConfigError> {
        let mut settings = self.settings.clone();
        let brokers = ("kafka.brokers", self.brokers.clone());
        for (key, value) in std::iter::once(&brokers).chain(more) {
            if let Some(value) = value {
                settings.push(format!("{key}={value}"));
            }
        }
        // Other variables may hold anything, even invalid text.
        let own = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        crate::config::load(&Overrides { file: self.config.clone(), settings }, own)
    }
}

#[cfg(test)]
mod docs_tests;
#[cfg(test)]
mod help_tests;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn a_refused_start_is_for_people_unless_it_may_pass() {
        let code_of = |error: StartError| match Failed::from(error) {
            Failed::Usage(_) => 2,
            _ => 1,
        };
        let message = String::new;
        assert_eq!(code_of(StartError::Usage(message())), 2);
        // A property that the client does not know; a topic that is missing, or a changelog that does not fit.
        assert_eq!(code_of(KafkaError::Settings(message()).into()), 2);
        assert_eq!(code_of(KafkaError::Topic(message()).into()), 2);
        assert_eq!(code_of(Failure::from(KafkaError::Settings(message())).into()), 2);
        let unusable = StateError::Unusable { path: "state".into(), reason: message() };
        assert_eq!(code_of(unusable.into()), 2);
        let away = KafkaError::Unreachable { brokers: message(), waited_ms: 1, last: message() };
        assert_eq!(code_of(away.into()), 1);
        assert_eq!(code_of(KafkaError::Retry(message()).into()), 1);
        assert_eq!(code_of(StateError::Busy("state".into()).into()), 1);
        assert_eq!(code_of(Failure::Panic(message()).into()), 1);
    }

    #[test]
    fn global_options_have_a_heading_of_their_own() {
        let mut command = Arguments::command();
        command.build();
        let demo = command.find_subcommand_mut("demo").unwrap();
        let help = demo.render_long_help().to_string();
        let (own, global) = help.split_once("Global options:").unwrap();
        assert!(own.contains("--once") && own.contains("--keep"), "{help}");
        for option in ["--config", "--set", "--brokers", "--json", "--log", "--log-format"] {
            assert!(global.contains(option), "{option} in {help}");
        }
        assert!(!own.contains("--config") && !global.contains("--keep"), "{help}");
    }

    #[test]
    fn settings_before_and_after_the_command_all_count() {
        let line = "frostline --set kafka.namespace=a. tail t --set=runtime.workers=2 -n 3 --set x=1";
        let arguments = Arguments::parse_from(settings_last(line.split(' ').map(OsString::from)));
        assert_eq!(arguments.common.settings, ["kafka.namespace=a.", "runtime.workers=2", "x=1"]);
    }
}
