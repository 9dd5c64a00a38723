//! Outlooks and alerts of a month of faults beside those of the same observations without faults.
//!
//! A wrong observation that is corrected before the next one comes leaves nothing behind. One that is corrected later, because
//! nobody could fetch it in time, does: what its station has learnt from that night differs a little from then on.

use std::collections::{BTreeMap, BTreeSet};

use frostline::hourly::parse_time;
use serde_json::Value;

use super::downstream::{Alert, Nights};
use super::follower::Follower;

/// Observations that came when a newer one of their station was known, by station and time.
#[derive(Default)]
pub struct Late {
    newest: BTreeMap<String, i64>,
    found: BTreeMap<String, BTreeSet<i64>>,
}

impl Late {
    /// Takes an observation as it comes.
    pub fn take(&mut self, station: &str, time: i64) {
        let newest = self.newest.entry(station.to_owned()).or_insert(time);
        if time < *newest {
            self.found.entry(station.to_owned()).or_default().insert(time);
        }
        *newest = time.max(*newest);
    }

    /// Whether one of the station's is of this time.
    fn is_late(&self, station: &str, time: i64) -> bool {
        self.found.get(station).is_some_and(|times| times.contains(&time))
    }

    /// Whether one of the station's was before this time.
    fn came_before(&self, station: &str, time: i64) -> bool {
        self.found.get(station).and_then(BTreeSet::first).is_some_and(|first| *first < time)
    }

    /// Whether one of the station's was in this night.
    fn came_in(&self, station: &str, night: &Value) -> bool {
        let (from, to) = (seconds(&night["begins"]), seconds(&night["ends"]));
        self.found.get(station).is_some_and(|times| times.range(from..=to).next().is_some())
    }
}

/// Compares the daemon's with the script's, and counts what is the same. What differs must come of late observations.
pub fn compare(daemon: &Nights, script: &Nights, late: &Late, follower: &mut Follower<'_>) {
    compare_outlooks(daemon, script, late, follower);
    compare_outcomes(daemon, script, late, follower);
    compare_alerts(daemon, script, follower, |station, ends, _, _| late.came_before(station, ends));
}

/// The same for forecasts that came or did not come in time: observations, and what they say of limits, are the same.
pub fn compare_guided(daemon: &Nights, script: &Nights, follower: &mut Follower<'_>) {
    for (place, expected) in &script.outlooks {
        let found = &daemon.outlooks[place];
        assert_eq!(found["observed"], expected["observed"], "{place:?}");
        let name = if found == expected { "outlooks" } else { "outlooks with other forecasts" };
        follower.count(name, 1);
    }
    compare_outcomes(daemon, script, &Late::default(), follower);
    let is_confirmed = |standing: &Standing| standing.0.as_deref() == Some("confirmed");
    compare_alerts(daemon, script, follower, |_, _, found, expected| {
        is_confirmed(found) == is_confirmed(expected)
    });
}

fn compare_outlooks(daemon: &Nights, script: &Nights, late: &Late, follower: &mut Follower<'_>) {
    let places: BTreeSet<_> = script.outlooks.keys().chain(daemon.outlooks.keys()).collect();
    for place in places {
        let ((station, time), found, expected) =
            (place, daemon.outlooks.get(place), script.outlooks.get(place));
        let at = parse_time(time).unwrap();
        if late.is_late(station, at) {
            follower.count("outlooks of late observations", 1);
        } else if found == expected {
            follower.count("outlooks", 1);
        } else {
            assert!(late.came_before(station, at), "{place:?}: {found:?}, not {expected:?}");
            let observed = |outlook: Option<&Value>| outlook.map(|outlook| outlook["observed"].clone());
            assert_eq!(observed(found), observed(expected), "{place:?}");
            follower.count("outlooks with other lessons", 1);
        }
    }
}

fn compare_outcomes(daemon: &Nights, script: &Nights, late: &Late, follower: &mut Follower<'_>) {
    for (place, expected) in &script.outcomes {
        let found = daemon.outcomes.get(place);
        if found == Some(expected) {
            follower.count("nights", 1);
        } else {
            assert!(late.came_in(&place.0, &expected["night"]), "{place:?}: {found:?}, not {expected:?}");
            follower.count("nights with late observations", 1);
        }
    }
}

/// Compares what stands at the end of each night, after all that was taken back. `may_differ` gets the station, the end of the
/// night, and both.
fn compare_alerts(
    daemon: &Nights,
    script: &Nights,
    follower: &mut Follower<'_>,
    may_differ: impl Fn(&str, i64, &Standing, &Standing) -> bool,
) {
    let rules: BTreeSet<&String> = script.alerts.keys().chain(daemon.alerts.keys()).collect();
    for rule in rules {
        let station = rule.split('-').nth(1).unwrap();
        for ((of, date), outcome) in script.outcomes.iter().filter(|((of, _), _)| of == station) {
            let (night, ends) = (format!("{date}T00:00:00"), seconds(&outcome["night"]["ends"]));
            let found = Standing::at(daemon.alerts.get(rule), rule, &night, ends);
            let expected = Standing::at(script.alerts.get(rule), rule, &night, ends);
            if found == expected {
                follower.count("alerts", u64::from(found.0.is_some()));
                continue;
            }
            let list = daemon.alerts.get(rule);
            assert!(may_differ(of, ends, &found, &expected), "{rule}, {night}: {list:?}, not {expected:?}");
            follower.count("other alerts", 1);
        }
    }
}

/// The last transition of a rule, unless it says that nothing stands.
#[derive(Default, PartialEq, Eq, Debug)]
struct Standing(Option<String>);

impl Standing {
    /// What stands when a night ends. Rules over nights begin each with nothing; an episode of hours goes on.
    fn at(alerts: Option<&Vec<Alert>>, rule: &str, night: &str, ends: i64) -> Self {
        let counts = |alert: &&Alert| match rule.starts_with("night-") {
            true => alert.night == night,
            false => alert.time <= ends,
        };
        let last = alerts.into_iter().flatten().rfind(counts).map(|alert| alert.transition.clone());
        Self(last.filter(|last| !["withdrawn", "resolved"].contains(&last.as_str())))
    }
}

fn seconds(time: &Value) -> i64 {
    parse_time(time.as_str().unwrap()).unwrap()
}
