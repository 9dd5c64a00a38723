//! Warnings about rules that are valid but probably mistaken.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::placement::{self, Placement};
use crate::config::Config;
use crate::noaa::{Station, StationId};
use crate::rules::{
    Channel, Evaluator, Feed, MISTAKES_MAX, Mistake, Near, Needs, Place, Problem, Reporting, Rule, RuleFile,
    Subscriber, Verdict, far, lint,
};
use crate::stages::DeliverSettings;

/// Facts about stations; `None` if they are unknown.
#[derive(Default)]
pub struct Known {
    /// The station table.
    pub table: Option<BTreeMap<StationId, Station>>,
    /// Which station reports which element.
    pub reporting: Option<Reporting>,
    /// The configured channels.
    pub channels: Option<DeliverSettings>,
    /// The stations of the table that the filter lets through; `None` if it lets all through, or there is no table.
    pub placement: Option<Placement>,
}

impl Known {
    /// The configuration's channels, if any is configured, and its filter.
    pub fn with_config(self, config: &Config) -> Self {
        Self {
            channels: config.notify.is_on().then(|| config.deliver_settings()),
            placement: self.table.as_ref().and_then(|table| Placement::new(config, table)),
            ..self
        }
    }
}

/// A table of stations.
pub fn by_id(stations: Vec<Station>) -> BTreeMap<StationId, Station> {
    stations.into_iter().map(|station| (station.id, station)).collect()
}

/// Time limit for looking at all stations for all rules: with very many of both it would take hours.
const PATIENCE: Duration = Duration::from_secs(5);

/// The rules that choose stations by a condition that no station of the table meets; none if `patience` is over first.
fn choose_nobody(file: &RuleFile, table: &BTreeMap<StationId, Station>, patience: Duration) -> Vec<bool> {
    let mut choose_nobody: Vec<bool> =
        file.rules.iter().map(|(_, rule)| matches!(rule.place, Place::Where(_))).collect();
    let (evaluator, begun) = (Evaluator::new(), Instant::now());
    for station in table.values() {
        if !choose_nobody.contains(&true) {
            break;
        }
        if begun.elapsed() > patience {
            tracing::warn!("not all places of rules were checked: there are too many rules and stations");
            return vec![false; file.rules.len()];
        }
        let Some(view) = placement::as_view(station) else { continue };
        for ((_, rule), is_alone) in file.rules.iter().zip(&mut choose_nobody) {
            if let Place::Where(condition) = &rule.place
                && *is_alone
            {
                *is_alone = evaluator.evaluate(condition, &view) != Ok(Verdict::Holds);
            }
        }
    }
    choose_nobody
}

/// Warnings about valid rules; if there are very many, the first ones.
pub fn warnings(file: &RuleFile, known: &Known) -> Vec<Mistake> {
    let mut found = known.channels.as_ref().map_or_else(Vec::new, |channels| unreachable_by(channels, file));
    let lacks_email = known.channels.as_ref().is_some_and(|channels| !channels.has(Channel::Email));
    let choose_nobody = known.table.as_ref().map(|table| choose_nobody(file, table, PATIENCE));
    let choose_nobody = choose_nobody.unwrap_or_default();
    let begun = Instant::now();
    for (index, (definition, rule)) in file.rules.iter().enumerate() {
        let mut problems = lint(rule);
        if lacks_email && definition.email.is_some() {
            let message = "[notify.email] is not configured, so no mail is sent there".to_owned();
            problems.push(Problem { field: "email", offset: 0, message });
        }
        let mut add = |field, message| problems.push(Problem { field, offset: 0, message });
        let placement = known.placement.as_ref();
        if choose_nobody.get(index) == Some(&true) {
            add("where", "it chooses no station of the station table, so nothing will ever match".into());
        } else if matches!(rule.place, Place::Where(_)) && begun.elapsed() < PATIENCE {
            placement
                .and_then(|placement| placement.shut_out(rule))
                .into_iter()
                .for_each(|reason| add("where", reason));
        }
        if let Place::Station(station) = rule.place {
            of_station(station, rule, known).into_iter().for_each(|reason| add("station", reason));
        }
        if let (Some(near), Some(reporting)) = (&definition.near, &known.reporting) {
            of_near(near, rule, reporting, placement).into_iter().for_each(|reason| add("near", reason));
        }
        // Finding the place takes long in a large file.
        let room = MISTAKES_MAX.saturating_sub(found.len());
        found.extend(problems.into_iter().take(room).map(|problem| Mistake {
            position: file.locate(index, &problem),
            message: format!("rule `{}`: {}", rule.id, problem.message),
        }));
    }
    found
}

/// Warnings about a rule's station.
fn of_station(station: StationId, rule: &Rule, known: &Known) -> Vec<String> {
    if known.table.as_ref().is_some_and(|table| !table.contains_key(&station)) {
        return vec![format!(
            "station {station} is not in the station table, so it will have no observations"
        )];
    }
    let shut_out = known.placement.as_ref().and_then(|placement| placement.shut_out(rule));
    let mut reasons: Vec<String> = shut_out.into_iter().collect();
    match &known.reporting {
        Some(reporting) if rule.feed() != Feed::Day => {
            // If no outlooks were read, this is unknown.
            let is_silent = reporting.has_hours() && !reporting.still_reports(station, &rule.needs());
            let reason = || {
                format!("station {station} has no hourly reports: name another station, or a point with near")
            };
            reasons.extend(is_silent.then(reason));
        }
        Some(reporting) if !reporting.knows(station) => {
            reasons.push(format!("the observations have nothing from station {station}"));
        }
        Some(reporting) => {
            let missing = rule.elements().into_iter().filter(|element| !reporting.reports(station, *element));
            reasons.extend(missing.map(|element| format!("station {station} has never reported {element}")));
        }
        None => {}
    }
    reasons
}

/// Warnings about the nearest station.
fn of_near(near: &Near, rule: &Rule, reporting: &Reporting, placement: Option<&Placement>) -> Option<String> {
    let needs = rule.needs();
    match reporting.nearest(near, &needs) {
        Some(nearest) => {
            let shut_out = placement.filter(|_| rule.feed() == Feed::Day);
            let shut_out = shut_out.and_then(|placement| placement.shuts_out_nearest(nearest.station));
            shut_out.or_else(|| far(&nearest))
        }
        // If no outlooks were read, this is unknown.
        None if needs == Needs::Hours && !reporting.has_hours() => None,
        None => Some(format!("no station near it reports {needs}")),
    }
}

/// The warning that no messages are sent although subscribers or rules have addresses, because no channel is
/// configured. `None` if there is a channel, or no address.
pub fn unsent<'a>(
    config: &Config,
    subscribers: impl IntoIterator<Item = &'a Subscriber>,
    has_own_address: bool,
) -> Option<String> {
    if config.notify.is_on() {
        return None;
    }
    let settings = config.deliver_settings();
    let missing = subscribers.into_iter().flat_map(|subscriber| settings.channels_and_missing(subscriber).1);
    let mut sections: BTreeSet<String> = missing.map(|(_, section)| section).collect();
    if has_own_address {
        sections.insert(Channel::Email.section(""));
    }
    let sections: Vec<String> = sections.into_iter().collect();
    (!sections.is_empty()).then(|| {
        format!(
            "no messages are sent: the rules have addresses, but the configuration has no {}; without a channel alerts are \
             only written to their topic. Add the section, then try `frostline notify test`",
            sections.join(" and no ")
        )
    })
}

/// Subscribers with addresses of channels that are not configured.
pub fn unreachable_by(channels: &DeliverSettings, file: &RuleFile) -> Vec<Mistake> {
    let of_subscriber = |(index, subscriber)| {
        let (_, missing) = channels.channels_and_missing(subscriber);
        missing.into_iter().map(move |(field, section)| Mistake {
            position: file.locate_subscriber(index, &Problem { field, offset: 0, message: String::new() }),
            message: format!(
                "subscriber `{}`: {section} is not configured, so no messages are sent there: add the section, then try \
                 `frostline notify test {0}`",
                subscriber.id
            ),
        })
    };
    file.subscribers.iter().enumerate().flat_map(of_subscriber).take(MISTAKES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Conditions;

    #[test]
    fn the_search_for_rules_that_choose_nobody_ends() {
        let text = "[[rule]]\nid = \"none\"\nwhere = \"station.id == 'x'\"\nwhen = \"TMIN < 0.0\"\n\
                    [[rule]]\nid = \"all\"\nwhere = \"true\"\nwhen = \"TMIN < 0.0\"\n";
        let file = RuleFile::parse(text, &mut Conditions::default(), &|_| false).unwrap();
        let station = r#"{"id":"USC00020080","country_code":"US","country":"United States",
            "location":{"lat":36.7,"lon":-119.8},"elevation":100.0,"state_code":"AZ","state":"X","name":"A STATION"}"#;
        let table = by_id(vec![serde_json::from_str(station).unwrap()]);
        assert_eq!(choose_nobody(&file, &table, PATIENCE), [true, false]);
        assert_eq!(choose_nobody(&file, &table, Duration::ZERO), [false, false]);
    }

    #[test]
    fn addresses_without_any_channel_are_reported() {
        let subscriber = |json: &str| serde_json::from_str::<Subscriber>(json).unwrap();
        let anna = subscriber(r#"{"id":"anna","email":"anna@example.org","phone":"+15551234567"}"#);
        let mut config = Config::default();
        let reason = unsent(&config, [&anna], false).unwrap();
        assert!(reason.contains("no [notify.email] and no [notify.sms];"), "{reason}");
        assert!(!reason.contains("example.org"), "addresses are not repeated");
        assert!(unsent(&config, [], true).is_some_and(|reason| reason.contains("[notify.email]")));
        assert_eq!(unsent(&config, [], false), None);
        config.notify.ntfy = Some(crate::config::NtfyConfig::default());
        assert_eq!(unsent(&config, [&anna], true), None, "what is missing then is found for each subscriber");
    }
}
