//! `frostline rules new`: writes a rule for a place, and says what it would have done.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::super::history_arguments::station;
use super::super::outlook::{ByStation, read_hours};
use super::super::output::{BOLD, YELLOW};
use super::super::station_search::point;
use super::super::{Common, Failed, output};
use super::StationFiles;
use crate::hourly::{HOUR, iso_time};
use crate::noaa::{Compat, Element, Station, StationId};
use crate::outlook::{Issue, Score, Spot, tally};
use crate::publishing::Live;
use crate::rules::{Near, Nearest, Needs, Reporting, RuleSet, Unit, far};

const EXAMPLES: &str = "\
Examples:
  frostline rules new --near 33.61,-111.92 --below 28F --tonight --email anna@example.org
  frostline rules new --near 40.7,-74.2 --below=-2C --tonight --data KEWR-2013.csv.gz --stations ghcnd-stations.txt
  frostline rules new --station USW00003192 --below 32F --id frost --out rules.toml

The station is the nearest one that reports what the rule needs: in the files of --data, else on the broker.";

/// From this chance on such a rule warns.
const CHANCE: f64 = 0.3;
/// What the rule would have done is shown for this hour, local standard time.
const EVENING: i64 = 18 * HOUR;

/// Write a rule for a place
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct NewArguments {
    /// The place: the nearest station that reports is watched
    #[arg(long, value_name = "LAT,LON", value_parser = point, allow_hyphen_values = true)]
    near: Option<(f64, f64)>,
    /// How high the place is, in metres: the station's difference is shown
    #[arg(long, value_name = "METRES", requires = "near", allow_hyphen_values = true)]
    elevation: Option<f64>,
    /// This station
    #[arg(long, value_name = "ID", value_parser = station, conflicts_with = "near", required_unless_present = "near")]
    station: Option<StationId>,
    /// The limit, as in 28F, -2C or -2
    #[arg(long, value_name = "LIMIT", allow_hyphen_values = true)]
    below: Limit,
    /// Warn in the evening before, from hourly observations, instead of after the day
    #[arg(long)]
    tonight: bool,
    /// Who gets it: becomes a subscriber
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// The rule's id [default: frost-tonight, or frost]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Files of hourly observations: says what the rule would have done (may be repeated)
    #[arg(long, value_name = "FILE", requires = "stations")]
    data: Vec<PathBuf>,
    #[command(flatten)]
    stations: StationFiles,
    /// Append to this rule file instead of printing
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A temperature as somebody writes it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Limit {
    value: f64,
    is_fahrenheit: bool,
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim().trim_end_matches('°');
        let (number, is_fahrenheit) = match text.strip_suffix(['F', 'f']) {
            Some(number) => (number, true),
            None => (text.strip_suffix(['C', 'c']).unwrap_or(text), false),
        };
        let value = number.trim().trim_end_matches('°').trim_end().parse::<f64>().ok();
        let limit = value.map(|value| Self { value, is_fahrenheit });
        limit
            .filter(|limit| (-60.0..=50.0).contains(&limit.celsius()))
            .ok_or_else(|| "expected a temperature, as in 28F or -2C".to_owned())
    }
}

impl Limit {
    /// To a tenth, as stations report.
    fn celsius(self) -> f64 {
        let celsius = if self.is_fahrenheit { Unit::Fahrenheit.invert(self.value) } else { self.value };
        (celsius * 10.0).round() / 10.0
    }

    /// A condition: chances of a night, or the lowest temperature of a day.
    fn condition(self, tonight: bool) -> String {
        match (tonight, self.is_fahrenheit) {
            (true, true) => format!("chance(c({})) >= {CHANCE}", self.value),
            (true, false) => format!("chance({:?}) >= {CHANCE}", self.value),
            (false, true) => format!("f(TMIN) <= {:?}", self.value),
            (false, false) => format!("TMIN <= {:?}", self.value),
        }
    }
}

pub(super) async fn new(common: &Common, arguments: &NewArguments) -> Result<(), Failed> {
    let needs = if arguments.tonight { Needs::Hours } else { Needs::Elements(vec![tmin()?]) };
    let (reporting, hours) = match arguments.data.is_empty() {
        true => (of_broker(common, arguments).await?, ByStation::new()),
        false => of_files(arguments).await?,
    };
    let text = rule_text(arguments);
    RuleSet::parse(&text).map_err(|mistakes| {
        let found = mistakes.first().map(ToString::to_string).unwrap_or_default();
        Failed::Usage(anyhow::anyhow!("the rule would not work: {found}"))
    })?;
    let watched = watched(arguments, &reporting, &needs);
    describe(arguments, &needs, watched.as_ref())?;
    if let Some((station, spot)) = watched.as_ref().and_then(|watched| {
        let id = watched.station;
        Some((id, spot(&arguments.stations.read().ok()??, id)?))
    }) {
        would_have_done(arguments, station, spot, &hours);
    }
    let Some(path) = &arguments.out else { return Ok(output::line(text.trim_end())?) };
    append(path, &text)?;
    output::note(&format!(
        "appended to {}: publish it with `frostline rules apply`, or restart the daemon",
        path.display()
    ));
    Ok(())
}

fn tmin() -> Result<Element, Failed> {
    Element::parse(b"TMIN").ok_or_else(|| Failed::Working(anyhow::anyhow!("TMIN is not an element")))
}

/// What stations report on the broker. For a station that is named nothing needs to be known.
async fn of_broker(common: &Common, arguments: &NewArguments) -> Result<Reporting, Failed> {
    if arguments.near.is_none() {
        return Ok(Reporting::default());
    }
    let config = common.load(&[])?;
    Ok(Live::connect(&config).await?.reporting()?)
}

/// What stations report in the files, and their hours.
async fn of_files(arguments: &NewArguments) -> Result<(Reporting, ByStation), Failed> {
    let stations = arguments.stations.read()?.unwrap_or_default();
    let (hours, _) = read_hours(&arguments.data, "rules new --data").await?;
    let mut reporting = Reporting::default();
    let newest = hours.values().flatten().map(|hour| hour.time).max().unwrap_or(0);
    for station in stations.iter().filter(|station| hours.contains_key(&station.id)) {
        let document = format!("{{\"station\":{}}}", station.to_json(Compat::None));
        reporting.take_moment(document.as_bytes(), newest * 1_000);
    }
    Ok((reporting, hours))
}

fn rule_text(arguments: &NewArguments) -> String {
    let id = arguments.id.as_deref().unwrap_or(if arguments.tonight { "frost-tonight" } else { "frost" });
    let subscriber = arguments.email.as_deref().map(subscriber_id);
    let mut text = format!("\n[[rule]]\nid = {}\n", quoted(id));
    if let Some(subscriber) = &subscriber {
        text.push_str(&format!("subscribers = [{}]\n", quoted(subscriber)));
    }
    match (arguments.near, arguments.station) {
        (Some((lat, lon)), _) => {
            let elevation = arguments.elevation.map(|metres| format!(", elevation = {metres:?}"));
            text.push_str(&format!(
                "near = {{ lat = {lat:?}, lon = {lon:?}{} }}\n",
                elevation.unwrap_or_default()
            ));
        }
        (None, Some(station)) => text.push_str(&format!("station = \"{station}\"\n")),
        (None, None) => {}
    }
    text.push_str(&format!(
        "when = \"{}\"\nseverity = \"warning\"\n",
        arguments.below.condition(arguments.tonight)
    ));
    if let Some((subscriber, email)) = subscriber.zip(arguments.email.as_deref()) {
        text.push_str(&format!(
            "\n[[subscriber]]\nid = {}\nemail = {}\n",
            quoted(&subscriber),
            quoted(email)
        ));
        text.push_str(if arguments.below.is_fahrenheit {
            "units = \"us\"\n"
        } else {
            "units = \"metric\"\n"
        });
    }
    text
}

/// What stands before the @, as an id.
fn subscriber_id(email: &str) -> String {
    let name = email.split('@').next().unwrap_or_default();
    let id: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    if id.trim_matches('-').is_empty() { "me".to_owned() } else { id }
}

/// As a string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// The station that the rule will watch.
fn watched(arguments: &NewArguments, reporting: &Reporting, needs: &Needs) -> Option<Nearest> {
    match (arguments.near, arguments.station) {
        (Some((lat, lon)), _) => {
            let near = Near { lat, lon, max_km: None, elevation: arguments.elevation };
            reporting.nearest(&near, needs)
        }
        (None, station) => station.map(|station| Nearest { station, name: None, km: 0.0, higher_by_m: None }),
    }
}

fn describe(arguments: &NewArguments, needs: &Needs, watched: Option<&Nearest>) -> Result<(), Failed> {
    let Some(found) = watched else {
        output::note(&format!(
            "{YELLOW}warning{YELLOW:#}  no station near that place reports {needs} yet: the daemon looks for one as \
             observations come"
        ));
        return Ok(());
    };
    if arguments.near.is_none() {
        return Ok(());
    }
    let height = match found.higher_by_m {
        Some(metres) if metres < 0.0 => format!(", {} m lower", -metres),
        Some(metres) => format!(", {metres} m higher"),
        None => String::new(),
    };
    let name = found.name.as_deref().unwrap_or_default();
    output::note(&format!("watches {BOLD}{name}{BOLD:#} ({}), {} km away{height}", found.station, found.km));
    if let Some(reason) = far(found) {
        output::note(&format!("{YELLOW}warning{YELLOW:#}  {reason}"));
    }
    Ok(())
}

fn spot(stations: &[Station], id: StationId) -> Option<Spot> {
    let station = stations.iter().find(|station| station.id == id)?;
    Some(Spot { latitude: station.location.lat, longitude: station.location.lon })
}

fn would_have_done(arguments: &NewArguments, station: StationId, spot: Spot, hours: &ByStation) {
    let Some(hours) = hours.get(&station).filter(|_| arguments.tonight) else { return };
    let limit_c = arguments.below.celsius();
    let tally = tally(station, spot, hours, Issue { issued: EVENING, lag: 0 });
    let nights: Vec<_> = tally.nights(limit_c).collect();
    let score = Score::of(nights.iter(), CHANCE);
    let (from, to) = (hours.first().map_or(0, |hour| hour.time), hours.last().map_or(0, |hour| hour.time));
    let date = |time: i64| iso_time(time).chars().take(10).collect::<String>();
    output::note(&format!(
        "from {} to {} it would have warned at 18:00 of {} of {} such nights, with {} false warnings",
        date(from),
        date(to),
        score.hits,
        score.frosts,
        score.false_alarms
    ));
}

fn append(path: &PathBuf, text: &str) -> Result<(), Failed> {
    use std::io::Write;
    let open = std::fs::OpenOptions::new().create(true).append(true).open(path);
    let write = open.and_then(|mut file| file.write_all(text.as_bytes()));
    write.map_err(|error| Failed::Working(anyhow::anyhow!("{} cannot be written: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_people_write_them() {
        let limit = |text: &str| text.parse::<Limit>().map(Limit::celsius);
        assert_eq!(limit("28F"), Ok(-2.2));
        assert_eq!(limit("28 °F"), Ok(-2.2));
        assert_eq!(limit("-2C"), Ok(-2.0));
        assert_eq!(limit("-2"), Ok(-2.0));
        for wrong in ["", "cold", "400F", "F"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
        let condition = |text: &str, tonight| text.parse::<Limit>().unwrap().condition(tonight);
        assert_eq!(condition("28F", true), "chance(c(28)) >= 0.3");
        assert_eq!(condition("-2", true), "chance(-2.0) >= 0.3");
        assert_eq!(condition("32F", false), "f(TMIN) <= 32.0");
    }

    #[test]
    fn ids_of_subscribers_come_from_addresses() {
        assert_eq!(subscriber_id("Anna.Huber@example.org"), "anna-huber");
        assert_eq!(subscriber_id("@"), "me");
    }
}
