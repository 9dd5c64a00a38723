//! `frostline weather-server`: public weather services, imitated with their faults.

use std::net::SocketAddr;

use clap::Args;

use super::Failed;
use super::signals::Signals;
use crate::hourly::parse_time;
use crate::weather_server::{Clock, SPEED_MAX, STATIONS_MAX, Script, WeatherServer, World};

const EXAMPLES: &str = "\
Examples:
  frostline weather-server                                        services without faults, in real time
  frostline weather-server --faults cut-body,stops --speed 60     an hour per minute, with two faults
  frostline weather-server --start 2026-11-28T00:00:00Z --speed 0 a clock that only POST /control moves";

/// Imitate public weather services on loopback, with their faults, to test programs that follow them.
///
/// Prints its address when it answers, and ends on Ctrl-C or SIGTERM. All weather is synthetic. GET /control shows
/// the time and the requests by minute; POST /control sets the time, the speed and the faults.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct WeatherServerArguments {
    /// Listen on this address; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Use this seed; the same seed makes the same world
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Start at this simulated time, such as 2026-11-28T17:53:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    start: Option<i64>,
    /// Run the clock this many times faster; 0 stops it
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// Inject these faults, separated by commas, or none or all, at times that depend on the seed
    #[arg(long, value_name = "NAMES", default_value = "none")]
    faults: String,
    /// Simulate this many stations
    #[arg(long, value_name = "COUNT", default_value_t = 36, value_parser = stations)]
    stations: usize,
}

fn time(text: &str) -> Result<i64, String> {
    let time = parse_time(text).filter(|time| *time >= 0);
    time.ok_or_else(|| "expected a time in UTC, such as 2026-11-28T17:53:00Z".to_owned())
}

fn speed(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=SPEED_MAX).contains(number));
    number.ok_or_else(|| format!("expected a number from 0 to {SPEED_MAX}"))
}

fn stations(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=STATIONS_MAX).contains(number));
    number.ok_or_else(|| format!("expected a number from 1 to {STATIONS_MAX}"))
}

pub(super) async fn weather_server(arguments: &WeatherServerArguments) -> Result<(), Failed> {
    let mut signals = Signals::listen()?;
    let start = arguments.start.unwrap_or_else(|| jiff::Timestamp::now().as_second());
    let script = Script::drawn(&arguments.faults, arguments.seed, start);
    let script = script.map_err(|reason| Failed::Usage(anyhow::anyhow!("--faults: {reason}")))?;
    let world = World::new(arguments.seed, arguments.stations);
    let clock = Clock::new(start, arguments.speed);
    let server = WeatherServer::start(arguments.listen, world, script, clock);
    let server = server.map_err(|error| Failed::Usage(anyhow::anyhow!("--listen: {error}")))?;
    super::output::line(&format!("http://{}", server.address))?;
    signals.next().await;
    Ok(())
}
