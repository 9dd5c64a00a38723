//! Tries rules over nights and hours on hourly observations, for `rules backtest` and `rules new`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use frostline_engine::kafka::StartAt;
use frostline_engine::record::Record;
use serde_json::{Value, json};

use super::super::outlook::{ByStation, read_hours};
use super::super::output::{BOLD, DIM, YELLOW};
use super::super::{Common, Failed, output, topics};
use super::{StationFiles, source};
use crate::backtest::{self, Forecasts, MomentRule, MomentStats, Setting};
use crate::config::{Config, topic};
use crate::history::{self, Kind};
use crate::hourly::{Forecast, Hour};
use crate::noaa::{Compat, Date, Station};
use crate::outlook::WarningSums;
use crate::publishing::{Live, place};
use crate::rules::{Conditions, Feed, Published, Reporting, Units};

/// The request.
pub(super) struct Asked<'a> {
    pub(super) files: &'a [PathBuf],
    pub(super) topic: Option<&'a str>,
    pub(super) stations: &'a StationFiles,
    pub(super) period: (Option<Date>, Option<Date>),
    /// Whether to print each alert.
    pub(super) prints: bool,
}

/// The part that is left for the rules over days.
pub(super) enum Rest {
    /// These files, or the topic, and these rules.
    Days(Vec<PathBuf>, Published),
    Nothing,
}

/// The stations of these hours, with their places.
pub(super) fn reporting(hours: &ByStation, stations: &[Station]) -> Reporting {
    let mut reporting = Reporting::default();
    let newest = hours.values().flatten().map(|hour| hour.time).max().unwrap_or(0);
    for station in stations.iter().filter(|station| hours.contains_key(&station.id)) {
        let document = format!("{{\"station\":{}}}", station.to_json(Compat::None));
        reporting.take_moment(document.as_bytes(), newest * 1_000);
    }
    reporting
}

/// Tries the rules over nights and hours on the hourly observations among the files, or of the topic.
pub(super) async fn backtest(
    common: &Common,
    config: &Config,
    asked: &Asked<'_>,
    rules: &Published,
) -> Result<Rest, Failed> {
    let (moments, others) = split_rules(rules);
    if moments.rules.is_empty() {
        return Ok(Rest::Days(asked.files.to_vec(), others));
    }
    let (hourly, rest) = split_files(asked.files, !others.rules.is_empty())?;
    let is_topic =
        asked.topic.is_some_and(|name| config.resolve_topic(name) == config.topic(topic::HOURLY).name);
    if hourly.is_empty() && !is_topic {
        for id in moments.rules.keys() {
            output::note(&format!(
                "{YELLOW}warning{YELLOW:#}  rule `{id}` is over hours or nights and was not tried: name files of hourly \
                 observations, or --topic {}",
                topic::HOURLY
            ));
        }
        return Ok(Rest::Days(asked.files.to_vec(), others));
    }
    let started = std::time::Instant::now();
    let (hours, forecasts, stations) = match is_topic {
        true => of_topic(config).await?,
        false => {
            let stations = asked.stations.read()?.ok_or_else(|| {
                Failed::Usage(anyhow::anyhow!(
                    "rules over nights and hours need the positions of stations: give --stations ghcnd-stations.txt"
                ))
            })?;
            let hours = read_hours(&hourly, Some(&stations), "rules backtest").await?.0;
            (hours, Forecasts::new(), stations)
        }
    };
    let stats = try_them(common, config, asked, moments, (&hours, &forecasts, &stations), rules)?;
    print_sums(common, &stats, started.elapsed().as_secs_f64())?;
    if rest.is_empty() {
        for id in others.rules.keys() {
            output::note(&format!(
                "{YELLOW}warning{YELLOW:#}  rule `{id}` is over days and was not tried: name files of daily observations"
            ));
        }
        return Ok(Rest::Nothing);
    }
    Ok(Rest::Days(rest, others))
}

fn try_them(
    common: &Common,
    config: &Config,
    asked: &Asked<'_>,
    mut moments: Published,
    (hours, forecasts, stations): (&ByStation, &Forecasts, &[Station]),
    rules: &Published,
) -> Result<MomentStats, Failed> {
    let mut conditions = Conditions::default();
    for id in moments.find_nearest(&reporting(hours, stations), &Published::default(), &mut conditions) {
        output::note(&format!(
            "{YELLOW}warning{YELLOW:#}  rule `{id}`: no station near it reports hourly observations here"
        ));
    }
    let (from, to) = asked.period;
    let setting = Setting { from, to, ..source::setting(config, Some(stations))? };
    let rule_set = Arc::new(moments.rule_set(&mut conditions));
    let mut printed = Ok(());
    let stats = backtest::run_moments((hours, forecasts), &rule_set, &setting, &mut |alert| {
        if asked.prints && printed.is_ok() {
            printed = super::backtest_report::print_alert(common, alert);
        }
    });
    printed?;
    for (id, rule) in &stats.rules {
        let units = rules.rules.get(id).and_then(|rule| Units::of_condition(&rule.definition.condition()));
        let limit = rule_set.get(id).and_then(|rule| rule.night_limit());
        let limit = limit.map(|limit| units.unwrap_or_default().degrees(limit));
        print_rule(common, id, rule, limit.as_deref(), &moments)?;
    }
    Ok(stats)
}

/// The rules over nights and hours, and those over days. Broken ones are in the quarantine already.
fn split_rules(rules: &Published) -> (Published, Published) {
    let (mut moments, mut days) = (rules.clone(), rules.clone());
    let mut conditions = Conditions::default();
    let mut is_moment = |id: &str| {
        let rule = rules.rules.get(id).and_then(|rule| rule.compile(&mut conditions).ok());
        rule.is_some_and(|rule| rule.feed() != Feed::Day)
    };
    moments.rules.retain(|id, _| is_moment(id));
    days.rules.retain(|id, _| !moments.rules.contains_key(id));
    (moments, days)
}

/// The rules over days; only these are compared with others.
pub(super) fn of_days(rules: &Published) -> Published {
    split_rules(rules).1
}

/// Files of hourly observations, and the others. A file of unknown content counts as daily if there are rules over
/// days.
fn split_files(files: &[PathBuf], has_days: bool) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Failed> {
    let (mut hourly, mut daily) = (Vec::new(), Vec::new());
    for file in files {
        let kind =
            if history::is_stdin(file) { None } else { history::kind_of(file).map_err(Failed::Usage)? };
        match kind {
            Some(Kind::Hourly) => hourly.push(file.clone()),
            None if !has_days => hourly.push(file.clone()),
            Some(Kind::Daily) | None => daily.push(file.clone()),
        }
    }
    Ok((hourly, daily))
}

/// All observations and forecasts of the topic, in its order, with the station table.
async fn of_topic(config: &Config) -> Result<(ByStation, Forecasts, Vec<Station>), Failed> {
    let plan = config.topic(topic::HOURLY);
    topics::check_exists(config, &plan.name).await?;
    let live = Live::connect(config).await?;
    let stations = live.stations()?;
    let (mut hours, mut forecasts) = (ByStation::new(), Forecasts::new());
    let mut push = |record: &Record<'_>| {
        let value = record.value.unwrap_or_default();
        if Forecast::is_one(value) {
            let Ok(forecast) = Forecast::parse(value) else { return };
            let before = hours.get(&forecast.station).map_or(0, Vec::len);
            forecasts.entry(forecast.station).or_default().push((before, forecast));
        } else if let Ok(hour) = Hour::parse(value) {
            hours.entry(hour.station).or_default().push(Hour { raw: None, source: None, ..hour });
        }
    };
    live.read(&plan.name, StartAt::Beginning, &mut push).map_err(|error| Failed::Working(error.into()))?;
    Ok((hours, forecasts, stations))
}

/// `warned of 101 nights: 79 reached 32 °F, 22 did not; 3 nights reached it without a warning; 250 messages`
pub(super) fn warned(sums: &WarningSums, limit: &str, messages: u64) -> String {
    let nights = |count: usize| output::counted(count as u64, "night");
    let mut text = format!(
        "warned of {}: {} reached {limit}, {} did not",
        nights(sums.nights),
        sums.came_true,
        sums.false_alarms
    );
    for (count, words) in [(sums.unknown, "unknown because the station was silent"), (sums.open, "not over")]
    {
        if count > 0 {
            text.push_str(&format!(", {count} {words}"));
        }
    }
    let (missed, messages) = (nights(sums.missed), output::counted(messages, "message"));
    text.push_str(&format!("; {missed} reached it without a warning; {messages}"));
    text
}

fn print_rule(
    common: &Common,
    id: &str,
    rule: &MomentRule,
    limit: Option<&str>,
    rules: &Published,
) -> Result<(), Failed> {
    if common.json {
        return Ok(output::json(&json!({ "rule": id, "result": rule }))?);
    }
    let published = rules.rules.get(id);
    let place = published.map(place).unwrap_or_default();
    let when = published.map(|rule| rule.definition.condition()).unwrap_or_default();
    output::line(&format!("{BOLD}{id}{BOLD:#}  {DIM}{place}{DIM:#}  {when}"))?;
    let text = match (&rule.warnings, limit) {
        (Some(sums), Some(limit)) => warned(sums, limit, rule.messages),
        _ => counted(&rule.alerts),
    };
    Ok(output::line(&format!("  {text}"))?)
}

fn counted(alerts: &BTreeMap<String, u64>) -> String {
    if alerts.is_empty() {
        return "fired 0".to_owned();
    }
    alerts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(" · ")
}

fn print_sums(common: &Common, stats: &MomentStats, seconds: f64) -> Result<(), Failed> {
    let messages: u64 = stats.rules.values().map(|rule| rule.messages).sum();
    if common.json {
        let seconds = (seconds * 1_000.0).round() / 1_000.0;
        let sums: Value = json!({
            "hours": stats.hours, "stations": stats.stations, "rules": stats.rules.len(), "messages": messages,
            "seconds": seconds,
        });
        return Ok(output::json(&sums)?);
    }
    let rows = [("hours", stats.hours), ("stations", stats.stations as u64), ("messages", messages)];
    rows.iter().try_for_each(|(name, value)| {
        output::line(&format!("{name:>20}  {BOLD}{:>12}{BOLD:#}", output::grouped(*value)))
    })?;
    Ok(output::line(&format!("{:>20}  {BOLD}{seconds:>12.1}{BOLD:#}", "seconds"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_warnings_is_one_sentence() {
        let sums =
            WarningSums { nights: 101, came_true: 79, false_alarms: 22, missed: 3, ..WarningSums::default() };
        assert_eq!(
            warned(&sums, "32 °F", 250),
            "warned of 101 nights: 79 reached 32 °F, 22 did not; 3 nights reached it without a warning; 250 messages"
        );
        let sums = WarningSums { nights: 1, unknown: 1, missed: 1, ..WarningSums::default() };
        assert!(warned(&sums, "0.0 °C", 1).contains(
            "1 night: 0 reached 0.0 °C, 0 did not, 1 unknown because the station was silent; 1 night "
        ));
    }
}
