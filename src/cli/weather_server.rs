//! `frostline weather-server`: public weather services, imitated with their faults.

use std::net::SocketAddr;

use clap::Args;

use super::Failed;
use super::signals::Signals;
use crate::hourly::parse_time;
use crate::weather_server::{Clock, SPEED_MAX, STATIONS_MAX, Script, WeatherServer, World};

const EXAMPLES: &str = "\
Examples:
  frostline weather-server                                        orderly services, in real time
  frostline weather-server --faults cut-body,stops --speed 60     an hour a minute, with two faults
  frostline weather-server --start 2026-11-28T00:00:00Z --speed 0 a clock that only POST /control moves";

/// Imitate public weather services on loopback, with their faults, to test what follows them.
///
/// Prints its address when it answers, and ends on Ctrl-C or SIGTERM. All weather is invented. GET /control shows the time and the
/// requests by minute; POST /control sets the time, the speed and the faults.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct WeatherServerArguments {
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The same seed makes the same world
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Simulated time at the start, as in 2026-11-28T17:53:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    start: Option<i64>,
    /// Simulated seconds a second; 0 stands still
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// none, all, or names with commas between: they come at times that the seed draws
    #[arg(long, value_name = "NAMES", default_value = "none")]
    faults: String,
    /// How many stations there are
    #[arg(long, value_name = "N", default_value_t = 36, value_parser = stations)]
    stations: usize,
}

fn time(text: &str) -> Result<i64, String> {
    let time = parse_time(text).filter(|time| *time >= 0);
    time.ok_or_else(|| "expected a time in UTC, as in 2026-11-28T17:53:00Z".to_owned())
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
