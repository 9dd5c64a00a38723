//! `frostline stations search` and `show`: find stations, and show one.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use clap::Args;
use serde_json::json;

use super::output::{BOLD, CYAN, DIM};
use super::rules::{History, Repeatable, StationFiles, source};
use super::{Common, Failed, output};
use crate::backtest;
use crate::config::Config;
use crate::noaa::{Date, Element, NameMatch, ObservationView, Station, StationId, StationSearch};
use crate::publishing::Live;
use crate::rules::km_between;

const SEARCH_EXAMPLES: &str = "\
Examples:
  frostline stations search 'phoenix arizona' --stations ghcnd-stations.txt
  frostline stations search 'muni ap' --country US --state AZ
  frostline stations search --near 33.45,-112.07 -n 5 --json";

/// Search stations by name, id, place, country or state
#[derive(Args)]
#[command(after_help = SEARCH_EXAMPLES)]
pub(super) struct SearchArguments {
    /// Find stations that contain all these words, in any case, in name, id, state or country
    text: Option<String>,
    /// List the stations nearest to this point first
    #[arg(long, value_name = "LAT,LON", value_parser = point, allow_hyphen_values = true)]
    near: Option<(f64, f64)>,
    /// Find only stations of this country: a FIPS code or part of its name
    #[arg(long, value_name = "COUNTRY")]
    country: Option<String>,
    /// Find only stations of this state: a code or part of its name
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Show at most this many stations
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
    number: usize,
    #[command(flatten)]
    files: StationFiles,
}

const SHOW_EXAMPLES: &str = "\
Examples:
  frostline stations show USC00027716 --stations ghcnd-stations.txt
  frostline stations show USC00027716 --stations ghcnd-stations.txt --data 2016.csv.gz
  frostline stations show USC00027716                from the broker: its table, and its observations in noaa-json";

/// Show a station, with its elements and the period of each
#[derive(Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub(super) struct ShowArguments {
    /// Show the station with this id
    #[arg(value_parser = super::history_arguments::station)]
    id: StationId,
    #[command(flatten)]
    files: StationFiles,
    /// Read elements and their periods from these files of history (may be repeated) [default: the topic noaa-json,
    /// without --stations]
    #[arg(long, value_name = "FILE")]
    data: Vec<PathBuf>,
}

pub(super) fn point(text: &str) -> Result<(f64, f64), String> {
    let expected = || "expected latitude and longitude in degrees, such as 33.45,-112.07".to_owned();
    let (lat, lon) = text.split_once(',').ok_or_else(expected)?;
    let (lat, lon): (f64, f64) =
        (lat.trim().parse().map_err(|_| expected())?, lon.trim().parse().map_err(|_| expected())?);
    if !(-90.0..=90.0).contains(&lat) {
        return Err(format!("latitude {lat}: expected a number from -90 to 90"));
    }
    if !(-180.0..=180.0).contains(&lon) {
        return Err(format!("longitude {lon}: expected a number from -180 to 180"));
    }
    Ok((lat, lon))
}

/// The stations of the named files, otherwise of the broker's table.
async fn table(config: &Config, files: &StationFiles) -> Result<Vec<Station>, Failed> {
    match files.read()? {
        Some(stations) => Ok(stations),
        None => Ok(Live::connect(config).await?.stations()?),
    }
}

/// A station that matches.
struct Found<'a> {
    km: Option<f64>,
    name: NameMatch,
    station: &'a Station,
}

impl Found<'_> {
    /// The nearest first if a point is given, otherwise the best match first.
    fn compare(&self, other: &Self) -> Ordering {
        let by_distance = self.km.unwrap_or(0.0).total_cmp(&other.km.unwrap_or(0.0));
        by_distance.then(self.name.cmp(&other.name)).then(self.station.id.cmp(&other.station.id))
    }
}

pub(super) async fn search(common: &Common, arguments: &SearchArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    let stations = table(&config, &arguments.files).await?;
    let search = StationSearch::new(arguments.text.as_deref().unwrap_or_default());
    let mut found: Vec<Found<'_>> = stations
        .iter()
        .filter_map(|station| {
            let name = search.matches(station)?;
            let place = (station.location.lat, station.location.lon);
            let km = arguments.near.map(|near| km_between(near, place));
            arguments.passes(station).then_some(Found { km, name, station })
        })
        .collect();
    found.sort_by(Found::compare);
    for Found { km, station, .. } in found.iter().take(arguments.number) {
        print(common, *km, station)?;
    }
    if !common.json {
        let (shown, all) = (found.len().min(arguments.number), output::grouped(found.len() as u64));
        output::note(&match found.len() {
            0 if stations.is_empty() => {
                "the station table is empty: fill it with `frostline stations fetch`".to_owned()
            }
            0 => format!("none of {} matches", output::counted(stations.len() as u64, "station")),
            _ => format!("{DIM}{shown} of {all} matching stations shown{DIM:#}"),
        });
    }
    if found.is_empty() { Err(Failed::Mistakes) } else { Ok(()) }
}

impl SearchArguments {
    /// Whether a station is in the requested country and state.
    fn passes(&self, station: &Station) -> bool {
        let has = |text: &str, part: &str| text.to_lowercase().contains(&part.to_lowercase());
        let is = |code: Option<&str>, name: Option<&str>, wanted: &str| {
            code.is_some_and(|code| code.eq_ignore_ascii_case(wanted))
                || wanted.len() > 2 && name.is_some_and(|name| has(name, wanted))
        };
        self.country
            .as_ref()
            .is_none_or(|country| is(Some(&station.country_code), Some(&station.country), country))
            && self
                .state
                .as_ref()
                .is_none_or(|state| is(station.state_code.as_deref(), station.state.as_deref(), state))
    }
}

fn print(common: &Common, km: Option<f64>, station: &Station) -> Result<(), Failed> {
    if common.json {
        let mut value = serde_json::to_value(station).map_err(|error| Failed::Working(error.into()))?;
        if let Some(km) = km {
            value["km"] = json!((km * 10.0).round() / 10.0);
        }
        return Ok(output::json(&value)?);
    }
    let km = km.map_or_else(String::new, |km| format!("{km:>8.1} km  "));
    let height = station.elevation.map_or_else(String::new, |metres| format!("{metres:.0} m"));
    let state = station.state.as_deref().unwrap_or_default();
    let (lat, lon) = (station.location.lat, station.location.lon);
    Ok(output::line(&format!(
        "{km}{CYAN}{}{CYAN:#}  {BOLD}{:<30}{BOLD:#} {lat:>9.4} {lon:>10.4} {height:>7}  {state} {DIM}{}{DIM:#}",
        station.id, station.name, station.country
    ))?)
}

/// The reports of a station about one element.
#[derive(Clone, Copy)]
struct Period {
    first: Date,
    last: Date,
    days: u64,
}

pub(super) async fn show(common: &Common, arguments: &ShowArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    let stations = table(&config, &arguments.files).await?;
    let Some(station) = stations.iter().find(|station| station.id == arguments.id) else {
        return Err(Failed::Working(anyhow::anyhow!("no station {}", arguments.id)));
    };
    let is_live = arguments.files.are_missing();
    let periods = if !arguments.data.is_empty() {
        let files = Repeatable::of(&arguments.data)?;
        periods(&config, &History::Files(files.paths.clone()), arguments.id)?
    } else if is_live {
        periods(&config, &History::of_topic(&config, "noaa-json").await?, arguments.id)?
    } else {
        BTreeMap::new()
    };
    if common.json {
        let elements: Vec<serde_json::Value> = periods
            .iter()
            .map(|(element, Period { first, last, days })| {
                let (first, last) = (first.to_string(), last.to_string());
                json!({ "element": element.as_str(), "first": first, "last": last, "days": days })
            })
            .collect();
        return Ok(output::json(&json!({ "station": station, "elements": elements }))?);
    }
    print(common, None, station)?;
    for (element, Period { first, last, days }) in &periods {
        let what = element.description().unwrap_or("not documented by NOAA");
        let days = output::grouped(*days);
        output::line(&format!(
            "  {BOLD}{element}{BOLD:#}  {first} to {last}  {days:>8} days  {DIM}{what}{DIM:#}"
        ))?;
    }
    Ok(())
}

/// The elements that a station has in some history.
fn periods(config: &Config, history: &History, id: StationId) -> Result<BTreeMap<Element, Period>, Failed> {
    let setting = source::setting(config, None)?;
    let found = Mutex::new(Days::new());
    history.with_input(|input| {
        backtest::visit_observations(input, &setting, &|value| {
            let Ok(view) = ObservationView::parse(value) else { return };
            if view.station.id == id {
                take(&mut found.lock().unwrap_or_else(PoisonError::into_inner), &view);
            }
        })
    })?;
    Ok(by_element(&found.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

/// The newest revision of each day of a station, and the elements in it.
type Days = BTreeMap<Date, (u32, Vec<Element>)>;

fn take(days: &mut Days, view: &ObservationView) {
    let day = days.entry(view.date).or_default();
    if view.revision >= day.0 {
        *day = (view.revision, view.elements.iter().map(|(element, _)| *element).collect());
    }
}

fn by_element(days: &Days) -> BTreeMap<Element, Period> {
    let mut periods = BTreeMap::new();
    for (date, (_, elements)) in days {
        for element in elements {
            let period = periods.entry(*element).or_insert(Period { first: *date, last: *date, days: 0 });
            period.last = *date;
            period.days += 1;
        }
    }
    periods
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_the_elements_of_its_newest_revision() {
        let mut days = Days::new();
        for (date, revision, elements) in [
            ("2016-01-01", 1, r#""TMAX":1.0,"SNOW":0"#),
            ("2016-01-02", 1, r#""TMAX":1.0"#),
            ("2016-01-02", 3, r#""TMIN":1.0,"TMAX":1.0"#),
            ("2016-01-02", 2, r#""TMAX":1.0,"PRCP":1.0"#),
            ("2016-01-01", 2, r#""TMAX":2.0"#),
        ] {
            let document = format!(
                r#"{{"station":{{"id":"USC00020080"}},"date":"{date}","revision":{revision},{elements}}}"#
            );
            take(&mut days, &ObservationView::parse(document.as_bytes()).unwrap());
        }
        let found: Vec<String> = by_element(&days)
            .iter()
            .map(|(element, Period { first, last, days })| format!("{element} {first} {last} {days}"))
            .collect();
        assert_eq!(found, ["TMAX 2016-01-01 2016-01-02 2", "TMIN 2016-01-02 2016-01-02 1"]);
    }

    #[test]
    fn points_are_read() {
        assert_eq!(point("33.45,-112.07"), Ok((33.45, -112.07)));
        for wrong in ["", "33.45", "91,0", "0,181", "a,b"] {
            assert!(point(wrong).is_err(), "{wrong}");
        }
    }
}
