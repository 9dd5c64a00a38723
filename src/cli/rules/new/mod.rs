//! `frostline rules new`: writes a rule for a place, and prints what it would have done.

mod draft;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{ArgGroup, Args};

use super::super::history_arguments::station;
use super::super::outlook::{ByStation, read_hours};
use super::super::output::{BOLD, YELLOW};
use super::super::station_search::point;
use super::super::{Common, Failed, output};
use super::moments::{reporting, warned};
use super::{StationFiles, source};
use crate::backtest::{Forecasts, run_moments};
use crate::config::Config;
use crate::hourly::iso_time;
use crate::noaa::{Element, Station, StationId};
use crate::publishing::{Live, placement, unreachable_by, unsent};
use crate::rules::{
    Conditions, Feed, Limit, Near, Nearest, Needs, Reporting, RuleFile, RuleSet, far, km_between, lint,
};
use draft::{Draft, Request, draft};

const EXAMPLES: &str = "\
Examples:
  frostline rules new --near 33.61,-111.92 --below 28F --tonight --email anna@example.org
  frostline rules new --near 40.7,-74.2 --below=-2C --tonight --data KEWR-2013.csv.gz --stations ghcnd-stations.txt
  frostline rules new --station USW00003192 --below 32F --id frost --out rules.toml

The rule watches the nearest station that reports the elements it needs: in
the files of --data, or on the broker.";

/// Most other stations of the files that are named in the output.
const FILE_STATIONS_MAX: usize = 5;

/// Write a rule for a place
#[derive(Args)]
#[command(after_help = EXAMPLES)]
#[command(group(ArgGroup::new("place").required(true).args(["near", "station"])))]
pub(super) struct NewArguments {
    /// Watch the nearest station to this place that reports
    #[arg(long, value_name = "LAT,LON", value_parser = point, allow_hyphen_values = true)]
    near: Option<(f64, f64)>,
    /// Show the difference in elevation between the station and the place, at this many metres
    #[arg(long, value_name = "METRES", requires = "near", allow_hyphen_values = true)]
    elevation: Option<f64>,
    /// Watch this station
    #[arg(long, value_name = "ID", value_parser = station)]
    station: Option<StationId>,
    /// Warn at or below this limit, given with its unit, such as 28F or -2C
    #[arg(long, value_name = "LIMIT", allow_hyphen_values = true)]
    below: Limit,
    /// Warn in the evening before, from hourly observations, instead of after the day
    #[arg(long)]
    tonight: bool,
    /// Notify this address, which becomes a subscriber
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Give the rule this id [default: frost-tonight or frost, with a number if --out has it already]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Try the rule on these files of hourly observations (may be repeated)
    #[arg(long, value_name = "FILE", requires = "stations")]
    data: Vec<PathBuf>,
    #[command(flatten)]
    stations: StationFiles,
    /// Append to this rule file instead of printing
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) async fn new(common: &Common, arguments: &NewArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    let needs = if arguments.tonight { Needs::Hours } else { Needs::Elements(vec![tmin()?]) };
    let (reporting, hours) = match arguments.data.is_empty() {
        true => (of_broker(&config, arguments).await?, ByStation::new()),
        false => {
            let (reporting, hours) = of_files(arguments).await?;
            (Some(reporting), hours)
        }
    };
    let watched = watched(arguments, reporting.as_ref().unwrap_or(&Reporting::default()), &needs);
    let existing = match &arguments.out {
        Some(path) if path.exists() => source::read_rule_file(path)?,
        _ => String::new(),
    };
    let draft = draft(&arguments.request(), watched.as_ref(), &existing).map_err(|reason| {
        let out = arguments.out.as_ref().map(|out| format!("{}: ", out.display())).unwrap_or_default();
        Failed::Usage(anyhow::anyhow!("{out}{reason}"))
    })?;
    if reporting.is_some() {
        describe(arguments, &needs, watched.as_ref());
    }
    describe_files(arguments, watched.as_ref(), &hours)?;
    would_have_done(&config, arguments, &draft, watched.as_ref(), &hours)?;
    warn(&config, &draft);
    note_filter(&config, arguments, watched.as_ref());
    let Some(path) = &arguments.out else { return Ok(output::line(draft.text.trim())?) };
    append(path, &draft.text)?;
    if let Some(subscriber) = &draft.reused {
        output::note(&format!(
            "subscriber `{subscriber}` already has this address and also receives these alerts"
        ));
    }
    let next = match config.alert.rule_file() {
        Some(_) => "the daemon reads its rule file when it starts",
        None => "publish it with `frostline rules apply`",
    };
    output::note(&format!("appended rule `{}` to {}: {next}", draft.id, path.display()));
    if arguments.email.is_some() && draft.reused.is_none() && arguments.tonight {
        output::note(
            "times in its mails are standard time by the longitude of the station: for others add a time zone to the \
             subscriber, such as timezone = \"America/Phoenix\"",
        );
    }
    if arguments.email.is_none() {
        output::note(
            "it notifies nobody yet: add `subscribers = [\"ID\"]` to it, or begin with --email ADDRESS",
        );
    }
    Ok(())
}

impl NewArguments {
    fn request(&self) -> Request<'_> {
        Request {
            id: self.id.as_deref(),
            email: self.email.as_deref(),
            near: self.near.map(|point| (point, self.elevation)),
            station: self.station,
            below: self.below,
            tonight: self.tonight,
        }
    }
}

/// The warnings of `rules check` about the new rule, and a warning if no one would be notified.
fn warn(config: &Config, draft: &Draft) {
    let rule = draft.file.rules.iter().find(|(definition, _)| definition.id == draft.id);
    let problems = rule.map(|(_, rule)| lint(rule)).unwrap_or_default();
    let reasons = problems.into_iter().map(|problem| problem.message);
    // With no channel at all, one warning is enough.
    let unreachable = match config.notify.is_on() {
        true => unreachable_by(&config.deliver_settings(), &draft.file),
        false => Vec::new(),
    };
    let unreachable = unreachable.into_iter().map(|mistake| mistake.message);
    for reason in reasons.chain(unsent(config, &draft.file.subscribers, false)).chain(unreachable) {
        output::note(&format!("{YELLOW}warning{YELLOW:#}  {reason}"));
    }
}

/// Rules over days see only what the filter keeps, which the nearest station on the broker has passed.
fn note_filter(config: &Config, arguments: &NewArguments, watched: Option<&Nearest>) {
    let has_passed = arguments.near.is_some() && watched.is_some();
    let feed = if arguments.tonight { Feed::Night } else { Feed::Day };
    if let Some(advice) = placement::filter_advice(config, feed).filter(|_| !has_passed) {
        output::note(&advice);
    }
}

fn tmin() -> Result<Element, Failed> {
    Element::parse(b"TMIN").ok_or_else(|| Failed::Working(anyhow::anyhow!("TMIN is not an element")))
}

/// The elements that stations report on the broker. Not needed if a station is named; `None`, with a warning, if no
/// broker answers.
async fn of_broker(config: &Config, arguments: &NewArguments) -> Result<Option<Reporting>, Failed> {
    if arguments.near.is_none() {
        return Ok(Some(Reporting::default()));
    }
    match Live::connect(config).await {
        Ok(live) => Ok(Some(live.reporting()?)),
        Err(error) => {
            output::note(&format!(
                "{YELLOW}warning{YELLOW:#}  {error} (so which stations are near that place is unknown; the daemon will look for \
                 one as observations arrive)"
            ));
            Ok(None)
        }
    }
}

/// The elements that stations report in the files, and their hours.
async fn of_files(arguments: &NewArguments) -> Result<(Reporting, ByStation), Failed> {
    let stations = arguments.stations.read()?;
    let (hours, _) = read_hours(&arguments.data, stations.as_deref(), "rules new --data").await?;
    Ok((reporting(&hours, &stations.unwrap_or_default()), hours))
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

fn describe(arguments: &NewArguments, needs: &Needs, watched: Option<&Nearest>) {
    let Some(found) = watched else {
        let near = if arguments.data.is_empty() { "" } else { " in these files" };
        return output::note(&format!(
            "{YELLOW}warning{YELLOW:#}  no station near that place reports {needs}{near} yet: the daemon will \
             look for one as observations arrive"
        ));
    };
    if arguments.near.is_none() {
        return;
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
}

/// Names the stations in the files if they have no data of the watched one.
fn describe_files(
    arguments: &NewArguments,
    watched: Option<&Nearest>,
    hours: &ByStation,
) -> Result<(), Failed> {
    if hours.is_empty() || watched.is_some_and(|watched| hours.contains_key(&watched.station)) {
        return Ok(());
    }
    let stations = arguments.stations.read()?.unwrap_or_default();
    let of = |id: &StationId| stations.iter().find(|station| station.id == *id);
    let here = arguments.near.or_else(|| place(of(&watched?.station)?));
    let shown = hours.keys().take(FILE_STATIONS_MAX).map(|id| match of(id) {
        Some(station) => held(station, here),
        None => format!("station {id}, which is not in the station file"),
    });
    let more = hours.len().saturating_sub(FILE_STATIONS_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let shown = shown.collect::<Vec<_>>().join("; ");
    output::note(&format!("{YELLOW}warning{YELLOW:#}  the files of --data hold {shown}{more}"));
    Ok(())
}

/// A station of the files, with its distance.
fn held(station: &Station, here: Option<(f64, f64)>) -> String {
    let distance =
        here.zip(place(station)).map(|(here, there)| format!(", {:.0} km away", km_between(here, there)));
    format!("{} ({}){}", station.name, station.id, distance.unwrap_or_default())
}

fn place(station: &Station) -> Option<(f64, f64)> {
    let (lat, lon) = (station.location.lat, station.location.lon);
    (lat.is_finite() && lon.is_finite()).then_some((lat, lon))
}

/// What the rule would have done, by the daemon's own stages over the station's hours.
fn would_have_done(
    config: &Config,
    arguments: &NewArguments,
    draft: &Draft,
    watched: Option<&Nearest>,
    hours: &ByStation,
) -> Result<(), Failed> {
    let hours = watched.and_then(|watched| hours.get_key_value(&watched.station));
    let Some((station, hours)) = hours.filter(|_| arguments.tonight) else { return Ok(()) };
    // Without the other rules of the file. The draft has been parsed before.
    let Ok(file) = RuleFile::parse(&draft.text, &mut Conditions::default(), &|_| true) else { return Ok(()) };
    let setting = source::setting(config, arguments.stations.read()?.as_deref())?;
    let dates = [hours.first(), hours.last()].map(|hour| {
        hour.map(|hour| iso_time(hour.time).chars().take(10).collect::<String>()).unwrap_or_default()
    });
    let hours = ByStation::from([(*station, hours.clone())]);
    let stats =
        run_moments((&hours, &Forecasts::new()), &Arc::new(RuleSet::of_file(file)), &setting, &mut |_| ());
    let Some(rule) = stats.rules.get(&draft.id) else { return Ok(()) };
    if let Some(sums) = &rule.warnings {
        let warned = warned(sums, &arguments.below.shown(), rule.messages);
        output::note(&format!("from {} to {} it would have {warned}", dates[0], dates[1]));
    }
    Ok(())
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
    use crate::noaa::Codes;

    #[test]
    fn a_station_elsewhere_is_named_with_its_distance() {
        let line = b"USW00024229  45.5908 -122.6003    5.8 OR PORTLAND INTL AP                       72698";
        let (countries, states) = (Codes::parse(&b"US United States"[..]), Codes::parse(&b"OR OREGON"[..]));
        let station = Station::parse_line(line, &countries.unwrap(), &states.unwrap()).unwrap();
        assert_eq!(held(&station, Some((40.7, -74.2))), "PORTLAND INTL AP (USW00024229), 3904 km away");
        assert_eq!(held(&station, None), "PORTLAND INTL AP (USW00024229)");
    }
}
