//! The episodes of a rule with `clear` at one station; see the description of the folder.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::day_verdict::DayVerdict;
use super::days::Days;
use super::identity::Identity;
use super::transition::Transition;
use super::walk::{Contact, Due, Standing, Terms, Walk};
use crate::noaa::{Date, StationId};

/// A late day has an effect up to this long before the newest day.
pub const HORIZON_DAYS: i32 = 400;
/// Days beyond the horizon are dropped in batches of this size.
const TRIM_DAYS: i32 = 32;

/// An event that becomes an alert. Days count from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The kind of event; [`Transition::Retracted`] if `of` is withdrawn.
    pub transition: Transition,
    /// The subject of the event: the same kind, except for a retraction.
    pub of: Transition,
    /// The day that it is about.
    pub day: i32,
    /// The day on which its episode first fired.
    pub since: i32,
    /// How many times this event was alerted for this day, from 1: more than once only after a retraction.
    pub times: u16,
    /// Set if its episode fires again after a silence: the last day before that.
    pub silent_from: Option<i32>,
}

impl Event {
    /// The id of its alert, and of the one that it retracts, if it does.
    pub fn alert_ids(&self, rule: &str, station: StationId) -> Option<(String, Option<String>)> {
        let date = self.date()?;
        let times = if self.times > 1 { format!("/{}", self.times) } else { String::new() };
        let id = |transition: &str| format!("{rule}/{station}/{date}/{transition}{times}");
        Some(match (self.transition, self.of) {
            (Transition::Retracted, Transition::Fired) => (id("retracted"), Some(id("fired"))),
            (Transition::Retracted, of) => (id(&format!("retracted-{}", of.as_str())), Some(id(of.as_str()))),
            (transition, _) => (id(transition.as_str()), None),
        })
    }

    /// The date that it is about.
    pub fn date(&self) -> Option<Date> {
        Date::from_days_since_1970(self.day)
    }
}

/// The outcome of judging a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was new or different.
    Changed,
    /// It was known already.
    Known,
    /// A newer revision of the observation is known.
    Outdated,
    /// It is older than the remembered days.
    TooOld,
}

/// A revision that is not the newest known one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Newness {
    Older,
    Same,
    Newer,
}

/// An alert that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    day: i32,
    transition: Transition,
    since: i32,
    times: u16,
    stands: bool,
}

/// The state of a rule with `clear` at one station: its days, and the alerts written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episodes {
    /// The rule's fingerprint under which the days were judged.
    fingerprint: u32,
    /// The rule's: a rule that was removed and published again is a new one.
    incarnation: u32,
    /// How the rule chose the station at its last report.
    place: u32,
    /// Before the first remembered day.
    start: Walk,
    /// The day after the last one.
    tip: Walk,
    days: Days,
    /// The newest revision of days whose observation has been revised.
    revisions: Vec<(i32, u32)>,
    told: Vec<Told>,
    /// How far the calendar was at the last check for silence.
    waited_until: i32,
    /// The station's name, for alerts about its silence; empty if unknown.
    pub station_name: String,
}

impl Episodes {
    /// Nothing is known yet.
    pub fn new(identity: Identity) -> Self {
        Self {
            fingerprint: identity.fingerprint,
            incarnation: identity.incarnation,
            place: identity.place,
            start: Walk::START,
            tip: Walk::START,
            days: Days::default(),
            revisions: Vec::new(),
            told: Vec::new(),
            waited_until: i32::MIN,
            station_name: String::new(),
        }
    }

    /// Takes a judged day. Events are added to `events`: first retractions, then the others, each by date.
    pub fn judge(
        &mut self,
        (identity, terms): (Identity, Terms),
        day: i32,
        revision: u32,
        verdict: DayVerdict,
        events: &mut Vec<Event>,
    ) -> Taken {
        self.follow(identity);
        if !self.remembers(day) {
            return Taken::TooOld;
        }
        let before = self.days.get(day);
        match self.take_revision(day, revision, before != DayVerdict::Unknown) {
            Newness::Older => return Taken::Outdated,
            // One revision has one content; parts of an observation that arrive separately do not contradict each
            // other.
            Newness::Same if before != DayVerdict::Unknown => return Taken::Known,
            Newness::Same | Newness::Newer => {}
        }
        if before == verdict {
            return Taken::Known;
        }
        self.days.set(day, verdict);
        // After all known days, and not within a silence that was alerted.
        let is_next = before == DayVerdict::Unknown
            && self.tip.last_day.is_none_or(|last| day > last)
            && (!self.tip.standing.is_some_and(|standing| standing.is_stale())
                || self.tip.patience_ends().is_some_and(|end| day > end));
        if is_next {
            let mut due = Vec::new();
            self.tip.step(day, verdict, terms, &mut |told| due.push(told));
            self.tip.wait_until(self.waited_until, &mut |told| due.push(told));
            due.into_iter().for_each(|due| self.tell(due, events));
            self.trim(terms);
        } else {
            self.walk_again(terms, events);
        }
        Taken::Changed
    }

    /// Notices silence, if the calendar has come to `today`.
    pub fn wait_until(&mut self, today: i32, events: &mut Vec<Event>) {
        self.waited_until = self.waited_until.max(today);
        let mut due = Vec::new();
        self.tip.wait_until(today, &mut |told| due.push(told));
        due.into_iter().for_each(|due| self.tell(due, events));
    }

    /// The last day on which silence has no effect yet; `None` if no episode stands, or it is stale already.
    pub fn deadline(&self) -> Option<i32> {
        self.tip.standing.filter(|standing| !standing.is_stale()).and_then(|_| self.tip.patience_ends())
    }

    /// Whether an episode stands, and since which day.
    pub fn standing_since(&self) -> Option<i32> {
        self.tip.standing.map(|standing| standing.since)
    }

    /// In a sentence, for people.
    pub fn describe(&self, terms: Terms) -> String {
        let date =
            |day: i32| Date::from_days_since_1970(day).map_or_else(|| "?".into(), |date| date.to_string());
        match self.tip.standing {
            Some(Standing { since, told, contact }) => {
                let silence = match contact {
                    Contact::Heard => String::new(),
                    Contact::Stale => ", stale".into(),
                    Contact::Back(day) => {
                        format!(", no day has matched since the silence after {}", date(day))
                    }
                };
                format!("an episode stands since {}, last alerted on {}{silence}", date(since), date(told))
            }
            None if self.tip.in_a_row > 0 => {
                format!("no episode; {} of {} days in a row match", self.tip.in_a_row, terms.for_days)
            }
            None => "no episode".into(),
        }
    }

    /// Whether the rule still chooses the station in the same way as at its last report.
    pub fn is_chosen_by(&self, identity: Identity) -> bool {
        self.place == identity.place && self.incarnation == identity.incarnation
    }

    /// Days judged by other conditions are not judged again, and their alerts stay; nothing is kept of a former rule
    /// with the same id.
    fn follow(&mut self, identity: Identity) {
        self.place = identity.place;
        if identity.incarnation != self.incarnation {
            *self = Self { station_name: std::mem::take(&mut self.station_name), ..Self::new(identity) };
        } else if identity.fingerprint != self.fingerprint {
            self.fingerprint = identity.fingerprint;
            self.tip.in_a_row = 0;
            self.start = self.tip;
            self.days = Days::default();
            self.revisions.clear();
            self.told.clear();
        }
    }

    fn remembers(&self, day: i32) -> bool {
        let newest = self.tip.last_day.unwrap_or(day);
        day > newest - HORIZON_DAYS && self.start.last_day.is_none_or(|last| day > last)
    }

    fn take_revision(&mut self, day: i32, revision: u32, is_known: bool) -> Newness {
        let known = self.revisions.iter_mut().find(|(known, _)| *known == day);
        let newest = known.as_ref().map_or(u32::from(is_known), |(_, newest)| *newest);
        match revision.cmp(&newest) {
            Ordering::Less => return Newness::Older,
            Ordering::Equal => return Newness::Same,
            Ordering::Greater => {}
        }
        match known {
            Some((_, newest)) => *newest = revision,
            None if revision > 1 => {
                self.revisions.push((day, revision));
                let horizon = self.revisions.iter().map(|(day, _)| *day).max().unwrap_or(day) - HORIZON_DAYS;
                self.revisions.retain(|(day, _)| *day >= horizon);
            }
            None => {}
        }
        Newness::Newer
    }

    /// Walks through all remembered days, and compares with the alerts written.
    fn walk_again(&mut self, terms: Terms, events: &mut Vec<Event>) {
        let mut due = Vec::new();
        let mut walk = self.start;
        for (day, verdict) in self.days.iter() {
            walk.step(day, verdict, terms, &mut |told| due.push(told));
        }
        walk.wait_until(self.waited_until, &mut |told| due.push(told));
        self.tip = walk;
        for told in self.told.iter_mut().filter(|told| told.stands) {
            let is_due =
                |due: &Due| (due.day, due.transition, due.since) == (told.day, told.transition, told.since);
            if !due.iter().any(is_due) {
                told.stands = false;
                let Told { day, transition, since, times, .. } = *told;
                let (of, transition, silent_from) = (transition, Transition::Retracted, None);
                events.push(Event { transition, of, day, since, times, silent_from });
            }
        }
        for due in due {
            self.tell(due, events);
        }
        self.told.sort_unstable_by_key(|told| (told.day, told.transition));
    }

    /// Adds events that have not been alerted.
    fn tell(&mut self, due: Due, events: &mut Vec<Event>) {
        let Due { day, transition, since, silent_from } = due;
        let known = self.told.iter_mut().find(|told| (told.day, told.transition) == (day, transition));
        let times = match known {
            Some(told) if told.stands && told.since == since => return,
            Some(told) => {
                *told = Told { since, times: told.times.saturating_add(1), stands: true, ..*told };
                told.times
            }
            None => {
                self.told.push(Told { day, transition, since, times: 1, stands: true });
                1
            }
        };
        events.push(Event { transition, of: transition, day, since, times, silent_from });
    }

    /// Drops everything beyond the horizon.
    fn trim(&mut self, terms: Terms) {
        let (Some(first), Some(newest)) = (self.days.first(), self.tip.last_day) else { return };
        let horizon = newest - HORIZON_DAYS;
        if first + TRIM_DAYS > horizon {
            return;
        }
        for (day, verdict) in self.days.take_before(horizon) {
            self.start.step(day, verdict, terms, &mut |_| ());
        }
        // An alert about a silence before the horizon is not repeated.
        self.start.wait_until(horizon, &mut |_| ());
        self.revisions.retain(|(day, _)| *day >= horizon);
        self.told.retain(|told| told.day >= horizon);
    }
}

#[cfg(test)]
#[path = "episodes_tests.rs"]
mod tests;
