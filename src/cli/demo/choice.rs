//! The user's choices for the demo: rules and a mail server.
//!
//! Only the command line counts. A `frostline.toml` that happens to be in the directory belongs to a real
//! installation, whose subscribers must not get mail about synthetic weather.

use std::collections::HashMap;
use std::path::Path;

use super::super::output::{BOLD, DIM};
use super::super::rules::source;
use super::super::{Common, Failed, output};
use super::{feed, night};
use crate::config::{Config, NotifyConfig, topic};
use crate::noaa::{Compat, Line, ObservationView, Reading, StationId};
use crate::rules::{Conditions, Feed, Published, Reporting, RuleSet};
use crate::synthetic::{RealPlace, real_places};

/// The rules of the demo: the same file that users start from.
const RULES: &str = include_str!("../../../examples/rules.toml");
/// Rules of any kind can alert on the demo's weather.
const FEEDS: &[Feed] = &[Feed::Day, Feed::Hour, Feed::Night];
/// After this many days of weather, every station has reported all elements that it ever reports.
const DAYS: usize = 31;

/// The user's rules if the command line names some, otherwise those of the demo.
pub(super) fn rules(common: &Common, config: &Config) -> Result<RuleSet, Failed> {
    if !says(common, &["alert", "rules"]) {
        let mistake = |mistakes: Vec<_>| anyhow::anyhow!("the demo's rules: {}", mistakes[0]);
        return Ok(RuleSet::parse(RULES).map_err(mistake)?);
    }
    let path = config.alert.rule_file().ok_or_else(|| {
        usage("the demo has no published rules: name a rule file with --set alert.rules=rules.toml".into())
    })?;
    let mut conditions = Conditions::default();
    let mut rules = Published::of_file(source::rule_file(path)?);
    let without = rules.find_nearest(&reporting()?, &Published::default(), &mut conditions);
    if !without.is_empty() {
        return Err(usage(format!(
            "{}: no station of the demo that reports what these rules need is near enough for them: {}. Hourly observations \
             come from {} only, days from these stations:\n{}",
            path.display(),
            without.join(", "),
            night::station().name,
            station_list()
        )));
    }
    let rules = rules.rule_set(&mut conditions);
    if !rules.has_conditions(FEEDS) && !real_places().iter().any(|place| rules.names(place.station.id, FEEDS))
    {
        output::note(&format!(
            "{BOLD}no rule watches a station of the demo{BOLD:#}, which has these:\n{DIM}{}{DIM:#}",
            station_list()
        ));
    }
    Ok(rules)
}

/// Refuses choices that a live night would ignore.
pub(super) fn check_live(common: &Common) -> Result<(), Failed> {
    for (key, what) in [(&["alert", "rules"][..], "rules"), (&["notify", "email", "server"], "a mail server")]
    {
        if says(common, key) {
            return Err(usage(format!(
                "{} names {what}, but --live has a rule of its own, about an invented place, and sends nothing: leave out \
                 --live; or make hours of your own place with `frostline generate --near LAT,LON --format hours`, as in \
                 docs/getting-started.md",
                key.join(".")
            )));
        }
    }
    Ok(())
}

fn station_list() -> String {
    let name = |place: &RealPlace| format!("  {} {}", place.station.id, place.station.name);
    real_places().iter().map(name).collect::<Vec<_>>().join("\n")
}

/// The elements that each station reports, from a month of the weather to come.
fn reporting() -> Result<Reporting, Failed> {
    let mut reporting = Reporting::default();
    if let Some(hour) = night::hours_before().last() {
        let document = format!("{{\"station\":{}}}", night::station().to_json(Compat::None));
        reporting.take_moment(document.as_bytes(), hour.time * 1_000);
    }
    let stations: HashMap<StationId, String> =
        real_places().iter().map(|place| (place.station.id, place.station.to_json(Compat::None))).collect();
    let mut generator = feed::generator()?;
    for line in (0..DAYS).flat_map(|_| generator.next_day()) {
        // Unreadable lines are part of the weather, and so is an unknown station.
        let Ok(Line::Reading(reading)) = Reading::parse(line.text.as_bytes()) else { continue };
        let Some(station) = stations.get(&reading.station) else { continue };
        let (date, element) = (reading.date, reading.element);
        let document = format!("{{\"station\":{station},\"date\":\"{date}\",\"{element}\":1.0}}");
        if let Ok(view) = ObservationView::parse(document.as_bytes()) {
            reporting.take(&view);
        }
    }
    Ok(reporting)
}

/// Rules of one's own may be about any station, and the filter keeps Arizona.
pub(super) fn show_all_to_own_rules(common: &Common, config: &mut Config) {
    if says(common, &["alert", "rules"]) && !says(common, &["alert", "source"]) {
        config.alert.source = topic::JSON.into();
    }
}

/// Keeps the mail server that the command line names, and removes all other channels.
pub(super) fn restrict_notify(common: &Common, notify: &mut NotifyConfig) {
    let email = notify.email.take().filter(|_| says(common, &["notify", "email", "server"]));
    *notify = NotifyConfig {
        email,
        // The demo's year is in the past, and passes within seconds.
        max_age_days: 1_000_000,
        per_hour: 10_000,
        group_wait_ms: notify.group_wait_ms.min(1_000),
        ..NotifyConfig::default()
    };
}

/// Whether the command line sets this: with `--set`, or in the file that `--config` names.
fn says(common: &Common, key: &[&str]) -> bool {
    let dotted = key.join(".");
    let sets = |setting: &String| setting.split('=').next().is_some_and(|name| name.trim() == dotted);
    common.settings.iter().any(sets) || common.config.as_deref().is_some_and(|path| file_says(path, key))
}

/// The file has been read before: it is sound.
fn file_says(path: &Path, key: &[&str]) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let Ok(table) = text.parse::<toml::Table>() else { return false };
    let (first, rest) = (table.get(key[0]), &key[1..]);
    rest.iter().fold(first, |value, name| value.and_then(|value| value.get(name))).is_some()
}

fn usage(reason: String) -> Failed {
    Failed::Usage(anyhow::anyhow!(reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EmailConfig;
    use crate::noaa::Element;

    fn common(settings: &[&str], config: Option<&Path>) -> Common {
        Common {
            config: config.map(Path::to_owned),
            settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
            brokers: None,
            json: false,
            log: None,
            log_format: None,
        }
    }

    #[test]
    fn only_the_command_line_names_rules_and_a_mail_server() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("try.toml");
        std::fs::write(&file, "[alert]\nrules = \"own.toml\"\n").unwrap();
        assert!(says(&common(&["alert.rules=own.toml"], None), &["alert", "rules"]));
        assert!(says(&common(&[], Some(&file)), &["alert", "rules"]));
        assert!(!says(&common(&["alert.source=noaa-json"], None), &["alert", "rules"]));
        let notify = || NotifyConfig { email: Some(EmailConfig::default()), ..NotifyConfig::default() };
        let mut of_a_file_nearby = notify();
        restrict_notify(&common(&[], None), &mut of_a_file_nearby);
        assert!(!of_a_file_nearby.is_on());
        let mut asked_for = notify();
        restrict_notify(&common(&["notify.email.server=localhost:2525"], None), &mut asked_for);
        assert!(asked_for.is_on() && asked_for.sms.is_none());
        let source_of = |settings: &[&str]| {
            let mut config = Config::default();
            show_all_to_own_rules(&common(settings, None), &mut config);
            config.alert.source
        };
        assert_eq!(source_of(&["alert.rules=own.toml"]), topic::JSON, "stations outside Arizona");
        assert_eq!(source_of(&[]), Config::default().alert.source);
    }

    #[test]
    fn a_live_night_refuses_what_it_would_ignore() {
        assert!(check_live(&common(&["kafka.brokers=a:1"], None)).is_ok());
        for setting in ["alert.rules=own.toml", "notify.email.server=localhost:2525"] {
            let Err(Failed::Usage(error)) = check_live(&common(&[setting], None)) else {
                panic!("{setting}")
            };
            assert!(error.to_string().contains("leave out --live"), "{error}");
        }
    }

    #[test]
    fn rules_of_the_users_own_take_the_place_of_the_demos() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("own.toml");
        let near = "[[rule]]\nid = \"near-phoenix\"\nnear = { lat = 33.5, lon = -112.0 }\nwhen = \"TMIN <= 5.0\"\nemail = \"a@example.org\"\n";
        std::fs::write(&path, near).unwrap();
        let mut config = Config::default();
        let shipped = rules(&common(&[], None), &config).ok().unwrap();
        assert!(shipped.get("scottsdale-frost").is_some());
        config.alert.rules = path;
        let own = rules(&common(&["alert.rules=own.toml"], None), &config).ok().unwrap();
        assert_eq!(own.len(), 1);
        let is_watched = |rules: &RuleSet, id: StationId| rules.names(id, FEEDS);
        assert!(real_places().iter().any(|place| is_watched(&own, place.station.id)), "near was resolved");
        let night = near
            .replace("TMIN <= 5.0", "chance(-2.0) >= 0.3")
            .replace("33.5, lon = -112.0", "33.61, lon = -111.92");
        std::fs::write(&config.alert.rules, night).unwrap();
        let own = rules(&common(&["alert.rules=own.toml"], None), &config).ok().unwrap();
        assert!(
            is_watched(&own, night::station().id),
            "the station that reports hours is found for a rule about nights"
        );
        config.alert.rules = dir.path().join("none.toml");
        assert!(matches!(rules(&common(&["alert.rules=x"], None), &config), Err(Failed::Usage(_))));
        let reporting = reporting().ok().unwrap();
        assert!(reporting.reports(night::station().id, Element::TMIN));
    }
}
