//! Hourly observations from files, by station.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::super::signals::stoppable;
use super::super::{Failed, output};
use crate::history::{Expected, Kind, Order, Plan, ReadSettings, Selection, Watch};
use crate::hourly::Hour;
use crate::noaa::{IcaoIndex, Station, StationId};

/// Observations by station.
pub(in super::super) type ByStation = BTreeMap<StationId, Vec<Hour>>;

/// Reads files until all are read or a signal comes. METARs are of these stations. Also returns how many records are
/// not observations. `by` is the name of the command, for errors.
pub(in super::super) async fn read_hours(
    files: &[PathBuf],
    stations: Option<&[Station]>,
    by: &str,
) -> Result<(ByStation, u64), Failed> {
    let plan = Plan {
        files: files.to_vec(),
        settings: ReadSettings {
            expected: Some(Expected { kind: Kind::Hourly, by: by.to_owned() }),
            icao: stations.map(|stations| Arc::new(IcaoIndex::new(stations))),
            ..ReadSettings::default()
        },
        selection: Selection::default(),
        order: Order::AsGiven,
        memory_bytes: 0,
        folder: std::env::temp_dir(),
    };
    let stop = Arc::<AtomicBool>::default();
    let (reads, stopped) = (Arc::clone(&stop), Arc::clone(&stop));
    let spinner = output::spinner();
    spinner.set_message("reading observations");
    let (done, interrupted) = stoppable(stop, move || read(&plan, &reads)).await?;
    spinner.finish_and_clear();
    match interrupted.filter(|_| stopped.load(Ordering::Relaxed)) {
        Some(signal) => Err(Failed::Interrupted(signal)),
        None => Ok(done?),
    }
}

/// Reads all observations, sorted by time within each station, and counts invalid records.
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
                // Keep only the values that outlooks use: years of many stations fit into memory.
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
