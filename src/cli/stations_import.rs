//! `frostline stations import`: reads NOAA's inventories, and fills the station table with them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use frostline_engine::kafka::{ClientSettings, Outgoing, Producer};

use super::{Common, Failed, output, topics};
use crate::bounded::read_line;
use crate::config::topic;
use crate::history;
use crate::noaa::{Codes, Compat, HourlyList, Station, StationId};

/// Longest line of an inventory, in bytes.
const LINE_BYTES_MAX: usize = 4_096;
/// Byte order mark, which some editors put before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// `name`: the file's name in errors and logs.
pub(super) async fn import(
    common: &Common,
    file: &Path,
    (countries, states): (&Path, &Path),
    hourly: Option<&Path>,
    name: &dyn Fn(&Path) -> String,
) -> Result<(), Failed> {
    let config = common.load(&[])?;
    // A bad file is found before anything is sent.
    let read =
        |file: &Path| read_named(file, &name(file), Some(countries), Some(states)).map_err(Failed::Usage);
    let mut stations = read(file)?;
    if let Some(list) = hourly {
        let hourly = read(list)?;
        if hourly.iter().all(|station| station.icao.is_none()) {
            let reason = "no station in it has an ICAO id: use ghcnh-station-list.csv with --hourly";
            return Err(Failed::Usage(anyhow::anyhow!("{}: {reason}", name(list))));
        }
        add_hourly(&mut stations, hourly);
    }
    let topic = config.topic(topic::STATIONS).name;
    topics::check_writable(&config, &topic).await?;
    let settings = ClientSettings::new(&config.kafka)?;
    let start = Instant::now();
    let count = stations.len() as u64;
    let sent = topic.clone();
    tokio::task::spawn_blocking(move || publish(&settings, &sent, &stations))
        .await
        .map_err(|error| Failed::Working(error.into()))??;
    let seconds = start.elapsed().as_secs_f64();
    if common.json {
        output::json(&serde_json::json!({ "topic": topic, "stations": count, "seconds": seconds }))?;
    } else {
        output::line(&format!("{} into {topic} in {seconds:.1} s", output::counted(count, "station")))?;
    }
    Ok(())
}

/// Reads NOAA's inventory, or its list of hourly stations. Without the files of names, countries appear as codes, and
/// states are missing.
pub(super) fn read_inventory(
    file: &Path,
    countries_file: Option<&Path>,
    states_file: Option<&Path>,
) -> anyhow::Result<Vec<Station>> {
    read_named(file, &file.display().to_string(), countries_file, states_file)
}

/// As [`read_inventory`]; `name`: the file's name in errors and logs.
fn read_named(
    file: &Path,
    name: &str,
    countries_file: Option<&Path>,
    states_file: Option<&Path>,
) -> anyhow::Result<Vec<Station>> {
    let codes = |path: Option<&Path>| -> anyhow::Result<Codes> {
        let Some(path) = path else { return Ok(Codes::parse(&b""[..])?) };
        let lines = history::open(path, Arc::default())?;
        Codes::parse(lines).with_context(|| path.display().to_string())
    };
    let (countries, states) = (codes(countries_file)?, codes(states_file)?);
    let mut lines = history::open(file, Arc::default())?;
    let mut stations = Vec::new();
    let (mut line, mut list, mut left_out) = (Vec::new(), None, 0_u64);
    for number in 1_u64.. {
        let place = || format!("{name}:{number}");
        if !read_line(&mut lines, &mut line, LINE_BYTES_MAX).with_context(place)? {
            break;
        }
        let text = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line);
        if text.trim_ascii().is_empty() {
            continue;
        }
        if number == 1 {
            list = HourlyList::parse(&String::from_utf8_lossy(text));
            if list.is_some() {
                continue;
            }
        }
        let Some(list) = &list else {
            stations.push(Station::parse_line(text, &countries, &states).with_context(place)?);
            continue;
        };
        // NOAA's published list of hourly stations has invalid lines.
        match list.station(&String::from_utf8_lossy(text), &countries, &states) {
            Ok(station) => stations.push(station),
            Err(error) => {
                left_out += 1;
                tracing::debug!(at = place(), %error, "station skipped");
            }
        }
    }
    if left_out > 0 {
        tracing::warn!(file = name, stations = left_out, "stations skipped because their lines are invalid");
    }
    if stations.is_empty() {
        bail!("{name}: no station in it");
    }
    if let Some((countries_file, states_file)) = countries_file.zip(states_file)
        && known_names(&stations, &states, &countries) > known_names(&stations, &countries, &states)
    {
        bail!(
            "{} has fewer countries of these stations than {}: the two files may be swapped",
            countries_file.display(),
            states_file.display()
        );
    }
    Ok(stations)
}

/// Adds the ICAO ids of hourly stations, and those stations that only report hourly.
fn add_hourly(stations: &mut Vec<Station>, hourly: Vec<Station>) {
    let places: HashMap<StationId, usize> =
        stations.iter().enumerate().map(|(place, station)| (station.id, place)).collect();
    for station in hourly {
        match places.get(&station.id) {
            Some(place) => stations[*place].icao = station.icao,
            None => stations.push(station),
        }
    }
}

/// How many codes of the stations have a name.
fn known_names(stations: &[Station], countries: &Codes, states: &Codes) -> usize {
    let has_country = |station: &&Station| countries.name(&station.country_code).is_some();
    let has_state =
        |station: &&Station| station.state_code.as_ref().is_some_and(|code| states.name(code).is_some());
    stations.iter().filter(has_country).count() + stations.iter().filter(has_state).count()
}

/// Sends stations to the table's topic, and waits until the broker has them.
pub(super) fn publish(settings: &ClientSettings, topic: &str, stations: &[Station]) -> anyhow::Result<()> {
    let producer = Producer::new(settings, None)?;
    let bar = output::bar(stations.len() as u64, "{wide_bar} {pos}/{len} stations  {eta} left");
    for station in stations {
        let value = station.to_json(Compat::None);
        producer.send(&Outgoing {
            topic,
            partition: None,
            key: Some(station.id.as_bytes()),
            value: Some(value.as_bytes()),
            timestamp_ms: -1,
            headers: &[],
            changelog: None,
        })?;
        bar.inc(1);
    }
    producer.wait_acknowledged()?;
    bar.finish_and_clear();
    Ok(())
}
