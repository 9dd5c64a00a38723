//! Counts of the alerts of rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use frostline_engine::Counts;
use serde::{Deserialize, Serialize};

use crate::noaa::{Date, ObservationView};
use crate::rules::{Condition, Evaluator, Published, Transition, Verdict};
use crate::stages::count;

/// A month of a year.
pub type Month = (u16, u8);

/// The longest episode of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Longest {
    /// How many days, both ends included.
    pub days: i32,
    /// Its station.
    pub station: String,
    /// Its first day.
    pub since: String,
}

/// The alerts of one rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RuleStats {
    /// Alerts `fired`, including repeats of lasting episodes.
    pub fired: u64,
    /// Alerts `resolved`.
    pub resolved: u64,
    /// Alerts `retracted`.
    pub retracted: u64,
    /// Alerts `stale`.
    pub stale: u64,
    /// The number of stations with alerts.
    pub stations: usize,
    /// Alerts from observations that the live filter excludes.
    pub outside_filter: u64,
    /// The longest episode; for a rule without `clear`, the longest row of days.
    pub longest: Option<Longest>,
    /// Alerts `fired` by month.
    #[serde(serialize_with = "months")]
    pub by_month: BTreeMap<Month, u64>,
}

fn months<S: serde::Serializer>(months: &BTreeMap<Month, u64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(months.iter().map(|((year, month), count)| (format!("{year}-{month:02}"), count)))
}

/// Sums, as printed at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Rules that were tried.
    pub rules: usize,
    /// Rules without alerts.
    pub silent_rules: usize,
    /// Lines or documents read.
    pub records_in: u64,
    /// Observations judged.
    pub observations: u64,
    /// Lines or documents that cannot be processed, or are of unknown stations.
    pub dead_letters: u64,
    /// Alerts `fired`.
    pub fired: u64,
    /// Alerts `resolved`.
    pub resolved: u64,
    /// Alerts `retracted`.
    pub retracted: u64,
    /// Alerts `stale`.
    pub stale: u64,
    /// Failed evaluations.
    pub rule_errors: u64,
}

/// The alerts of all rules.
#[derive(Debug, Default)]
pub struct Stats {
    /// By rule, including rules without alerts.
    pub rules: BTreeMap<String, RuleStats>,
    /// Messages by subscriber: all alerts of rules that name it.
    pub messages: BTreeMap<String, u64>,
    /// Sums.
    pub summary: Summary,
    /// The first and the last day of all observations, where [`curves`](super::curves) has looked.
    pub period: Option<(Date, Date)>,
}

/// The fields of an alert that are counted.
#[derive(Deserialize)]
struct CountedAlert<'a> {
    #[serde(borrow)]
    rule_id: &'a str,
    transition: Transition,
    date: &'a str,
    #[serde(borrow)]
    station: CountedStation<'a>,
    #[serde(default)]
    days: Option<i32>,
    #[serde(borrow, default)]
    retracts: Option<&'a str>,
    #[serde(borrow, default)]
    subscribers: Vec<&'a str>,
    /// Only whether there is an address matters here.
    #[serde(default)]
    email: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct CountedStation<'a> {
    #[serde(borrow)]
    id: &'a str,
}

/// The counts of a lane.
pub(super) struct LaneStats {
    rules: BTreeMap<String, (RuleStats, Stretches)>,
    messages: BTreeMap<String, u64>,
    summary: Summary,
    filter: Option<Arc<Condition>>,
    /// Alerts of earlier days do not count.
    from: Option<Date>,
    /// How many observations were of earlier days.
    pub(super) earlier: u64,
}

/// When and where a rule fired: for each station the days that fired, and the longest episodes.
#[derive(Default)]
struct Stretches {
    fired_days: BTreeMap<String, BTreeSet<i32>>,
    episode: Option<Longest>,
    has_episodes: bool,
    /// Episodes that have not ended: by station, the day of the first alert.
    standing: BTreeMap<String, i32>,
    /// The newest day of all alerts.
    newest: i32,
}

impl LaneStats {
    pub(super) fn new(filter: Option<Arc<Condition>>, from: Option<Date>) -> Self {
        let (rules, messages, summary) = (BTreeMap::new(), BTreeMap::new(), Summary::default());
        Self { rules, messages, summary, filter, from, earlier: 0 }
    }

    pub(super) fn count(&mut self, assemble: &Counts, alert: &Counts) {
        // Documents come without lines.
        let documents = alert[count::RECORDS_IN] - assemble[count::OBSERVATIONS];
        self.summary.records_in = assemble[count::RECORDS_IN] + documents;
        self.summary.observations = alert[count::RECORDS_IN] - alert[count::DEAD_LETTERS] - self.earlier;
        self.summary.dead_letters = assemble[count::DEAD_LETTERS] + alert[count::DEAD_LETTERS];
        self.summary.rule_errors = alert[count::RULE_ERRORS];
    }

    /// Counts one alert, unless it is of a day before the first that counts. Returns whether it counts.
    pub(super) fn alert(&mut self, value: &[u8]) -> bool {
        // frostline's own output: it parses without a copy, unless a name contains escapes.
        let Ok(alert) = serde_json::from_slice::<CountedAlert<'_>>(value) else { return true };
        let Some(date) = Date::parse_iso(alert.date) else { return true };
        if self.from.is_some_and(|from| date < from) {
            return false;
        }
        let passes = match &self.filter {
            Some(filter) if alert.transition != Transition::Stale => {
                let view = ObservationView::parse(value);
                view.is_ok_and(|view| Evaluator::new().evaluate(filter, &view) == Ok(Verdict::Holds))
            }
            _ => true,
        };
        let (rule, stretches) = match self.rules.get_mut(alert.rule_id) {
            Some(found) => found,
            None => self.rules.entry(alert.rule_id.to_owned()).or_default(),
        };
        rule.outside_filter += u64::from(!passes);
        let count = match alert.transition {
            Transition::Fired => &mut rule.fired,
            Transition::Resolved => &mut rule.resolved,
            Transition::Retracted => &mut rule.retracted,
            Transition::Stale => &mut rule.stale,
            // Transitions of nights; rules over days have none of these.
            Transition::Expected | Transition::Confirmed | Transition::Averted | Transition::Withdrawn => {
                return true;
            }
        };
        *count += 1;
        if alert.transition == Transition::Fired {
            *rule.by_month.entry((date.year(), date.month())).or_default() += 1;
        }
        stretches.take(&alert, date.days_since_1970());
        if alert.email.is_some() {
            *self.messages.entry(format!("(the address of {})", alert.rule_id)).or_default() += 1;
        }
        for subscriber in &alert.subscribers {
            *self.messages.entry((*subscriber).to_owned()).or_default() += 1;
        }
        true
    }
}

impl Stretches {
    fn take(&mut self, alert: &CountedAlert<'_>, day: i32) {
        let is_retracted_firing = alert.retracts.is_some_and(|id| id.contains("/fired"));
        let days = match self.fired_days.get_mut(alert.station.id) {
            Some(days) => days,
            None => self.fired_days.entry(alert.station.id.to_owned()).or_default(),
        };
        match alert.transition {
            Transition::Fired => drop(days.insert(day)),
            Transition::Retracted if is_retracted_firing => drop(days.remove(&day)),
            _ => {}
        }
        self.newest = self.newest.max(day);
        if let Some(days) = alert.days {
            self.has_episodes = true;
            match alert.transition {
                Transition::Fired => drop(self.standing.insert(alert.station.id.to_owned(), day - days + 1)),
                Transition::Resolved | Transition::Stale => drop(self.standing.remove(alert.station.id)),
                Transition::Retracted if is_retracted_firing => {
                    self.standing.remove(alert.station.id);
                }
                _ => {}
            }
            if alert.transition != Transition::Retracted {
                let since = Date::from_days_since_1970(day - days + 1)
                    .map_or_else(String::new, |date| date.to_string());
                let episode = Longest { days, station: alert.station.id.to_owned(), since };
                self.episode = self.episode.take().max(Some(episode));
            }
        }
    }

    fn longest(self) -> Option<Longest> {
        if self.has_episodes {
            let newest = self.newest;
            let standing = self.standing.into_iter().map(|(station, since)| Longest {
                days: newest - since + 1,
                station,
                since: Date::from_days_since_1970(since).map_or_else(String::new, |date| date.to_string()),
            });
            return self.episode.into_iter().chain(standing).max();
        }
        let of_station = |(station, days): (String, BTreeSet<i32>)| {
            let (mut best, mut run, mut last) = ((0, 0), 0, i32::MIN);
            for day in days {
                run = if last.checked_add(1) == Some(day) { run + 1 } else { 1 };
                last = day;
                best = best.max((run, -(day - run + 1)));
            }
            let since = Date::from_days_since_1970(-best.1).map_or_else(String::new, |date| date.to_string());
            Longest { days: best.0, station, since }
        };
        self.fired_days.into_iter().map(of_station).max().filter(|longest| longest.days > 0)
    }
}

impl Stats {
    pub(super) fn new(rules: &Published) -> Self {
        let summary = Summary { rules: rules.rules.len(), ..Summary::default() };
        let silent = rules.rules.keys().map(|id| (id.clone(), RuleStats::default())).collect();
        let messages = rules.subscribers.keys().map(|id| (id.clone(), 0)).collect();
        Self { rules: silent, messages, summary, period: None }
    }

    pub(super) fn add(&mut self, lane: LaneStats) {
        for (id, (found, stretches)) in lane.rules {
            let rule = self.rules.entry(id).or_default();
            rule.fired += found.fired;
            rule.resolved += found.resolved;
            rule.retracted += found.retracted;
            rule.stale += found.stale;
            rule.outside_filter += found.outside_filter;
            rule.stations += stretches.fired_days.len();
            rule.longest = rule.longest.take().max(stretches.longest());
            for (month, count) in found.by_month {
                *rule.by_month.entry(month).or_default() += count;
            }
            self.summary.fired += found.fired;
            self.summary.resolved += found.resolved;
            self.summary.retracted += found.retracted;
            self.summary.stale += found.stale;
        }
        for (subscriber, count) in lane.messages {
            *self.messages.entry(subscriber).or_default() += count;
        }
        self.summary.records_in += lane.summary.records_in;
        self.summary.observations += lane.summary.observations;
        self.summary.dead_letters += lane.summary.dead_letters;
        self.summary.rule_errors += lane.summary.rule_errors;
        self.summary.silent_rules = self.rules.values().filter(|rule| rule.fired == 0).count();
    }
}
