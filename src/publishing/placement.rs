//! Warnings about the places that rules watch: stations whose observations the alert stage never reads, and "nearest"
//! stations that are far away.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use crate::config::{Config, topic};
use crate::noaa::{Compat, ObservationView, Station, StationId};
use crate::rules::{Condition, Conditions, Evaluator, Feed, Place, Published, Rule, Scope, Verdict, far};

/// Time limit for checking places at a start: with very many conditions over very many stations it would take
/// minutes.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// Advice about stations that the filter excludes.
const ADVICE: &str = "change filter.where, or set alert.source = \"noaa-json\" to judge all stations";

/// The stations of the table, divided by whether the filter lets their observations reach the alert stage.
pub struct Placement {
    kept: Vec<ObservationView>,
    /// The stations that the filter excludes.
    shut_out: HashSet<StationId>,
    evaluator: Evaluator,
}

impl Placement {
    /// `None` if the alert stage reads all observations.
    pub fn new(config: &Config, table: &BTreeMap<StationId, Station>) -> Option<Self> {
        if !is_filtered(config) {
            return None;
        }
        // A filter that does not compile is reported when it is used.
        let filter = Condition::compile(&config.filter.expression, Scope::Filter).ok()?;
        let evaluator = Evaluator::new();
        // If it depends on elements too, the result is not known yet.
        let is_kept = |view: &ObservationView| evaluator.evaluate(&filter, view) != Ok(Verdict::HoldsNot);
        let (kept, others): (Vec<_>, Vec<_>) = table.values().filter_map(as_view).partition(is_kept);
        let shut_out = others.into_iter().map(|view| view.station.id).collect();
        Some(Self { kept, shut_out, evaluator })
    }

    /// Why a rule never fires, if the filter excludes all its stations. Hours and nights do not pass through the
    /// filter.
    pub fn shut_out(&self, rule: &Rule) -> Option<String> {
        if rule.feed() != Feed::Day {
            return None;
        }
        match &rule.place {
            Place::Station(station) if self.shut_out.contains(station) => {
                Some(format!("filter.where excludes station {station}, so this rule never fires: {ADVICE}"))
            }
            Place::Where(condition) => {
                let is_watched =
                    |view: &ObservationView| self.evaluator.evaluate(condition, view) == Ok(Verdict::Holds);
                (!self.kept.iter().any(is_watched)).then(|| {
                    format!("filter.where excludes all its stations, so this rule never fires: {ADVICE}")
                })
            }
            Place::Station(_) | Place::Unresolved(_) => None,
        }
    }

    /// The same for the station that was found for `near`.
    pub fn shuts_out_nearest(&self, station: StationId) -> Option<String> {
        self.shut_out.contains(&station).then(|| {
            format!("filter.where excludes the nearest station, {station}, so it is not used: {ADVICE}")
        })
    }
}

/// Whether the alert stage reads only observations that the filter keeps.
pub fn is_filtered(config: &Config) -> bool {
    config.alert.source == topic::JSON_US_AZ
}

/// Which stations such a rule sees, and how to change that; `None` if it sees all.
pub fn filter_advice(config: &Config, feed: Feed) -> Option<String> {
    (feed == Feed::Day && is_filtered(config)).then(|| {
        format!(
            "rules over days see only stations that filter.where keeps ({}): {ADVICE}",
            config.filter.expression
        )
    })
}

/// A station as conditions see it, without elements and date.
pub fn as_view(station: &Station) -> Option<ObservationView> {
    let document = format!(r#"{{"station":{},"date":"2016-01-01"}}"#, station.to_json(Compat::None));
    ObservationView::parse(document.as_bytes()).ok()
}

/// Logs warnings about the places of rules at a start.
pub fn log(rules: &Published, placement: Option<&Placement>) {
    let (mut conditions, begun) = (Conditions::default(), Instant::now());
    for (checked, (id, published)) in rules.rules.iter().enumerate() {
        if begun.elapsed() > LOG_PATIENCE {
            let unchecked = rules.rules.len() - checked;
            tracing::info!(
                checked,
                unchecked,
                "not all places of rules were checked at the start; see `frostline rules check`"
            );
            return;
        }
        let shut_out = placement.and_then(|placement| {
            published.compile(&mut conditions).ok().and_then(|rule| placement.shut_out(&rule))
        });
        for reason in shut_out.into_iter().chain(published.nearest.as_ref().and_then(far)) {
            tracing::warn!(rule = id, reason, "this rule is probably a mistake");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Definition;

    fn station(id: &str, state: &str) -> (StationId, Station) {
        let document = format!(
            r#"{{"id":"{id}","country_code":"US","country":"United States","location":{{"lat":36.7,"lon":-119.8}},
                "elevation":100.0,"state_code":"{state}","state":"X","name":"A STATION"}}"#
        );
        let station: Station = serde_json::from_str(&document).unwrap();
        (station.id, station)
    }

    fn shut_out(placement: &Placement, definition: Definition) -> Option<String> {
        let definition = Definition { id: "r".into(), when: "TMIN <= 0.0".into(), ..definition };
        placement.shut_out(&definition.compile(1, None, &mut Conditions::default()).unwrap())
    }

    #[test]
    fn rules_outside_the_filter_never_fire() {
        let table = BTreeMap::from([station("USW00003192", "AZ"), station("USC00043747", "CA")]);
        let config = Config::default();
        let placement = Placement::new(&config, &table).unwrap();
        let at = |id: &str| Definition { station: Some(id.into()), ..Definition::default() };
        let in_state = |state: &str| Definition {
            stations: Some(format!("station.state_code == '{state}'")),
            ..Definition::default()
        };
        assert_eq!(shut_out(&placement, at("USW00003192")), None);
        assert_eq!(shut_out(&placement, in_state("AZ")), None);
        for outside in [at("USC00043747"), in_state("CA")] {
            let reason = shut_out(&placement, outside).unwrap();
            assert!(reason.contains("filter.where") && reason.contains("alert.source"), "{reason}");
        }
        let mut all = Config::default();
        all.alert.source = topic::JSON.into();
        assert!(Placement::new(&all, &table).is_none());
    }
}
