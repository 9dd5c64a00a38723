//! Tries rules over nights and hours on files of hourly observations, with the stages `outlook` and `watch` as in the
//! daemon, one station after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use frostline_engine::Sink;
use serde::Serialize;
use serde_json::Value;

use super::Setting;
use super::lane::{driver, process};
use crate::hourly::{Forecast, Hour};
use crate::noaa::{Date, StationId};
use crate::outlook::{WarningLog, WarningSums};
use crate::rules::{Feed, RuleSet};
use crate::stages::{self, Outlook, StationIndex, Watch};

/// The forecasts of each station, in their order, each with the number of the station's observations that came before it.
pub type Forecasts = BTreeMap<StationId, Vec<(usize, Forecast)>>;

/// The alerts of rules over nights and hours.
#[derive(Default)]
pub struct MomentStats {
    /// By rule, including rules without alerts.
    pub rules: BTreeMap<String, MomentRule>,
    /// Observations that were read of watched stations.
    pub hours: u64,
    /// Watched stations in the files.
    pub stations: usize,
}

/// The alerts of one rule.
#[derive(Default, Serialize)]
pub struct MomentRule {
    /// How many alerts of each transition.
    pub alerts: BTreeMap<String, u64>,
    /// Messages to each subscriber, without all-clears, which are sent only to those who want them.
    pub messages: u64,
    /// For a rule over nights: the outcomes of its warnings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnings: Option<WarningSums>,
    #[serde(skip)]
    log: WarningLog,
}

impl MomentRule {
    fn take(&mut self, alert: &Value) {
        let text = |name: &str| alert[name].as_str().unwrap_or_default();
        let transition = text("transition");
        *self.alerts.entry(transition.to_owned()).or_default() += 1;
        self.messages += u64::from(transition != "averted");
        let time = alert["moment"]["time"].as_i64().unwrap_or_default();
        self.log.take(text("episode"), transition, time);
    }
}

/// Runs `hours`, for each station in the order in which a daemon reads them, and `forecasts` through the stages under
/// `rules`. `each_alert` gets each alert whose night counts. Stations that are not in the table are skipped.
pub fn run_moments(
    (hours, forecasts): (&BTreeMap<StationId, Vec<Hour>>, &Forecasts),
    rules: &Arc<RuleSet>,
    setting: &Setting,
    each_alert: &mut dyn FnMut(&Value),
) -> MomentStats {
    let mut stats = MomentStats::default();
    for rule in rules.all().iter().filter(|rule| rule.feed() != Feed::Day) {
        stats.rules.insert(rule.id.to_string(), MomentRule::default());
    }
    let Some(stations) = &setting.stations else { return stats };
    let watches_all = rules.has_conditions(Feed::MOMENTS);
    for (station, hours) in hours {
        if (!watches_all && !rules.names(*station, Feed::MOMENTS)) || stations.get(*station).is_none() {
            continue;
        }
        stats.stations += 1;
        stats.hours += hours.len() as u64;
        let forecasts = forecasts.get(station).map_or(&[][..], Vec::as_slice);
        of_station((hours, forecasts), (rules, stations), setting, &mut |value| {
            let Ok(alert) = serde_json::from_slice::<Value>(value) else { return };
            let date = alert["date"].as_str().and_then(Date::parse_iso);
            let counts = date.is_some_and(|date| {
                setting.from.is_none_or(|from| date >= from) && setting.to.is_none_or(|to| date <= to)
            });
            let rule = alert["rule_id"].as_str().and_then(|id| stats.rules.get_mut(id));
            if let Some(rule) = rule.filter(|_| counts) {
                rule.take(&alert);
                each_alert(&alert);
            }
        });
    }
    for rule in rules.all().iter().filter(|rule| rule.feed() == Feed::Night) {
        if let Some(found) = stats.rules.get_mut(&*rule.id) {
            found.warnings = Some(found.log.sums());
        }
    }
    stats
}

/// One station: its silence shows in its own next observation, not in those of others.
fn of_station(
    (hours, forecasts): (&[Hour], &[(usize, Forecast)]),
    (rules, stations): (&Arc<RuleSet>, &Arc<StationIndex>),
    setting: &Setting,
    each_alert: &mut dyn FnMut(&[u8]),
) {
    let outlook = Outlook::new(Arc::clone(stations), setting.limits);
    let watch = Watch::new(Arc::clone(rules), setting.limits);
    let mut outlook = driver(stages::OUTLOOK, Box::new(outlook), setting.now_ms);
    let mut watch = driver(stages::WATCH, Box::new(watch), setting.now_ms);
    let mut forecasts = forecasts.iter().peekable();
    for (index, hour) in hours.iter().enumerate() {
        while let Some((_, forecast)) = forecasts.next_if(|(before, _)| *before <= index) {
            process(&mut outlook, forecast.station.as_bytes(), forecast.to_json().as_bytes());
            outlook.clear();
        }
        process(&mut outlook, hour.station.as_bytes(), hour.to_json().as_bytes());
        for record in outlook.outputs() {
            let (Sink::Output, Some(key), Some(value)) = (record.sink, record.key, record.value) else {
                continue;
            };
            process(&mut watch, key, value);
            for alert in watch.outputs() {
                if let (Sink::Output, Some(value)) = (alert.sink, alert.value) {
                    each_alert(value);
                }
            }
            watch.clear();
        }
        outlook.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noaa::{Compat, Location, Station};
    use crate::stages::AssembleSettings;

    const RULES: &str = "[[rule]]\nid = \"night\"\nstation = \"USW00014734\"\nwhen = \"chance(0.0) >= 0.3\"\n\
                         [[rule]]\nid = \"hour\"\nstation = \"USW00014734\"\nwhen = \"T <= 0.0\"\nclear = \"T > 2.0\"\n\
                         [[rule]]\nid = \"elsewhere\"\nstation = \"USW00000001\"\nwhen = \"T <= 0.0\"\n";

    fn station() -> Station {
        let id = StationId::parse(b"USW00014734").unwrap();
        Station {
            id,
            country_code: "US".into(),
            country: "United States".into(),
            location: Location { lat: 40.68, lon: -74.17 },
            elevation: Some(2.1),
            state_code: Some("NJ".into()),
            state: Some("NEW JERSEY".into()),
            name: "NEWARK INTL AP".into(),
            gsn_flag: None,
            hcn_crn_flag: None,
            wmo_id: None,
            icao: None,
        }
    }

    /// Sixty days that swing between a mild afternoon and a morning; each fourth morning has frost.
    fn hours() -> BTreeMap<StationId, Vec<Hour>> {
        let station = station().id;
        let begin = crate::hourly::parse_time("2013-01-01T05:00:00Z").unwrap();
        let hour = |number: i64| {
            let (day, of_day) = (number / 24, number % 24);
            let lowest = if day % 4 == 0 { -3.0 } else { 4.0 };
            // Coldest at six, warmest at fifteen.
            let swing = (1.0 - ((of_day - 6) as f64 / 24.0 * std::f64::consts::TAU).cos()) / 2.0;
            Hour {
                dew_point_c: Some(lowest - 2.0),
                wind_m_s: Some(1.0),
                ..Hour::new(station, begin + number * 3_600, lowest + 9.0 * swing)
            }
        };
        BTreeMap::from([(station, (0..60 * 24).map(hour).collect())])
    }

    #[test]
    fn nights_are_followed_hour_by_hour_as_in_the_daemon() {
        let stations = StationIndex::new(Compat::None);
        stations.insert(&station());
        let setting = Setting {
            assemble: AssembleSettings {
                settle_records: 1,
                settle_ms: 1,
                compat: Compat::None,
                keep_failed_quality: false,
            },
            limits: Default::default(),
            stations: Some(Arc::new(stations)),
            filter: None,
            from: None,
            to: None,
            lanes: 1,
            now_ms: 1_767_225_600_000,
        };
        let rules = Arc::new(RuleSet::parse(RULES).unwrap());
        let mut ids = std::collections::BTreeSet::new();
        let stats = run_moments((&hours(), &Forecasts::new()), &rules, &setting, &mut |alert| {
            assert!(ids.insert(alert["alert_id"].as_str().unwrap().to_owned()), "{alert}");
        });
        assert_eq!((stats.stations, stats.hours), (1, 60 * 24));
        let night = &stats.rules["night"];
        let sums = night.warnings.as_ref().unwrap();
        // Fifteen mornings with frost; the first is in the night before the files begin.
        assert!(sums.came_true + sums.missed >= 13, "{sums:?}");
        let ends = ["confirmed", "averted", "withdrawn", "stale"]
            .map(|name| night.alerts.get(name).copied().unwrap_or(0));
        assert_eq!(ends[0] as usize, sums.came_true + sums.missed, "{:?}", night.alerts);
        assert_eq!(night.messages, night.alerts.values().sum::<u64>() - ends[1]);
        assert!(stats.rules["hour"].alerts["fired"] >= 14 && stats.rules["hour"].warnings.is_none());
        assert_eq!(stats.rules["elsewhere"].messages, 0, "it is there, with nothing");
        // Forecasts count as in the daemon: here each of them says that the night will be warm.
        let mut forecasts = Forecasts::new();
        for (index, hour) in hours().into_values().flatten().enumerate().filter(|(index, _)| index % 24 == 0)
        {
            let night = Date::from_unix_ms(hour.time * 1_000).unwrap();
            let forecast = Forecast {
                station: hour.station,
                source: "nws".into(),
                issued: hour.time,
                night,
                lowest_c: 20.0,
            };
            forecasts.entry(hour.station).or_default().push((index, forecast));
        }
        let guided = run_moments((&hours(), &forecasts), &rules, &setting, &mut |_| ());
        assert!(guided.rules["night"].alerts != night.alerts, "{:?}", guided.rules["night"].alerts);
        assert_eq!(guided.rules["hour"].alerts, stats.rules["hour"].alerts);
        // What does not count is left out, but taught the model.
        let late = Setting { from: Date::new(2013, 2, 1), ..setting };
        let later = run_moments((&hours(), &Forecasts::new()), &rules, &late, &mut |_| ());
        assert!(later.rules["night"].messages < night.messages && later.rules["night"].messages > 0);
    }
}
