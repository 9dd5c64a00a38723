//! `frostline outlook backtest`: outlooks over files of hourly observations, scored.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use clap::Args;

use super::super::signals::stoppable;
use super::super::{Common, Failed, output};
use super::clock::{Clock, chance};
use super::print::{Shown, print};
use crate::history::{Order, Plan, Selection, Watch};
use crate::hourly::Hour;
use crate::noaa::{Station, StationId};
use crate::outlook::{BacktestQuestion, Spot, scored_nights};

const EXAMPLES: &str = "\
Examples:
  frostline outlook backtest KEWR-2013.csv.gz --stations ghcnd-stations.txt
  frostline outlook backtest KEWR-2013.csv.gz --stations ghcnd-stations.txt --issued 00:00 --limit=-2.0
  frostline outlook backtest *.psv --stations ghcnd-stations.txt.gz --nights --json

Runs the code of the stage `outlook`, observation by observation: an outlook knows nothing of what came after it.
Nights are scored from the 31st on; one with a gap of more than four hours is not. Skill compares the Brier score with
that of the 14 nights before: 0 is no better, 1 is perfect.";

/// Score outlooks over hourly observations, as the daemon would have made them
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct BacktestArguments {
    /// Files of hourly observations: hourly CSV, GHCNh PSV, METAR or JSON lines, plain or packed
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where the stations stand: NOAA's ghcnd-stations.txt, plain or packed
    #[arg(long, value_name = "FILE")]
    stations: PathBuf,
    /// When the outlook is issued, local standard time
    #[arg(long, value_name = "HH:MM", default_value = "18:00")]
    issued: Clock,
    /// The limit, in °C
    #[arg(long, value_name = "°C", default_value_t = 0.0, allow_hyphen_values = true)]
    limit: f64,
    /// From which chance on a night is warned of, 0 to 1
    #[arg(long, value_name = "CHANCE", default_value_t = 0.3, value_parser = chance)]
    chance: f64,
    /// How many minutes after its time an observation is known
    #[arg(long, value_name = "MINUTES", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=720))]
    lag: u16,
    /// Print each scored night before its station's scores
    #[arg(long)]
    nights: bool,
}

/// Observations by station.
type ByStation = BTreeMap<StationId, Vec<Hour>>;

pub(super) async fn backtest(common: &Common, arguments: &BacktestArguments) -> Result<(), Failed> {
    let stations =
        super::super::stations::read_inventory(&arguments.stations, None, None).map_err(Failed::Usage)?;
    let spots: BTreeMap<StationId, Spot> =
        stations.iter().map(|station| (station.id, spot(station))).collect();
    let plan = Plan {
        files: arguments.files.clone(),
        units: None,
        selection: Selection::default(),
        order: Order::AsGiven,
        memory_bytes: 0,
        folder: std::env::temp_dir(),
    };
    let question = BacktestQuestion {
        issued: arguments.issued.issued(),
        limit_c: arguments.limit,
        lag: i64::from(arguments.lag) * 60,
    };
    let stop = Arc::<AtomicBool>::default();
    let (reads, stopped) = (Arc::clone(&stop), Arc::clone(&stop));
    let spinner = output::spinner();
    spinner.set_message("reading observations");
    let (done, interrupted) = stoppable(stop, move || read(&plan, &reads)).await?;
    let (by_station, bad) = done?;
    if let Some(signal) = interrupted.filter(|_| stopped.load(Ordering::Relaxed)) {
        return Err(Failed::Interrupted(signal));
    }
    if by_station.is_empty() {
        let reason = format!("no hourly observation among {} records", output::grouped(bad));
        return Err(Failed::Working(anyhow::anyhow!(reason)));
    }
    if bad > 0 {
        output::note(&format!(
            "{} records that are not hourly observations are left out",
            output::grouped(bad)
        ));
    }
    for (station, hours) in by_station {
        let Some(spot) = spots.get(&station) else {
            let file = arguments.stations.display();
            return Err(Failed::Usage(anyhow::anyhow!("station {station} does not stand in {file}")));
        };
        spinner.set_message(format!("scoring {station}"));
        let nights = scored_nights(station, *spot, &hours, question);
        let shown = Shown { limit_c: arguments.limit, warn_from: arguments.chance, nights: arguments.nights };
        spinner.suspend(|| print(common, shown, station, &nights))?;
    }
    spinner.finish_and_clear();
    Ok(())
}

fn spot(station: &Station) -> Spot {
    Spot { latitude: station.location.lat, longitude: station.location.lon }
}

/// Reads all observations, sorted by time within each station, and counts the records that are none.
fn read(plan: &Plan, stop: &Arc<AtomicBool>) -> anyhow::Result<(ByStation, u64)> {
    let (mut by_station, mut bad) = (ByStation::new(), 0_u64);
    let position = Arc::<AtomicU64>::default();
    let bad_lines = &mut 0_u64;
    plan.run(
        Watch { position: &position, stop },
        &mut |_, _, _| {
            *bad_lines += 1;
            Ok(false)
        },
        &mut |_, text| {
            match Hour::parse(text) {
                // Only what outlooks are made of: years of many stations fit into memory.
                Ok(hour) => {
                    by_station.entry(hour.station).or_default().push(Hour { raw: None, source: None, ..hour })
                }
                Err(_) => bad += 1,
            }
            Ok(std::ops::ControlFlow::Continue(()))
        },
    )?;
    by_station.values_mut().for_each(|hours| hours.sort_by_key(|hour| hour.time));
    Ok((by_station, bad + *bad_lines))
}
