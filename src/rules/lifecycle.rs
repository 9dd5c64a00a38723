//! The life cycle of a rule at one station: from judged days to alerts.
//!
//! A rule without `clear` judges each day by itself ([`LoneDay`]): a day that matches fires once, and what fired is
//! retracted when a correction no longer matches.
//!
//! A rule with `clear` has *episodes* ([`Episodes`]). What should be told is a pure function of the days that are
//! known, taken in the order of the calendar: an episode fires on the `for_days`-th reported day in a row that matches,
//! again every `repeat_days` on days that match, and resolves on the first day that clears. Each time something becomes
//! known, that function is compared with what has been told: what is missing is told now, what should not have been told
//! is retracted. So late days, corrections and days in any order come to the same alerts in the end as an orderly
//! stream; a stream that is orderly never retracts.
//!
//! **Silence**: a day that was not reported, or lacks what the rule asks for, says nothing. After more than three times
//! the station's usual interval between such reports (three days at least), a standing episode becomes *stale*, as of the
//! last day on which it could still have been heard of. The calendar that decides is the newest date of the whole
//! partition, and it decides as it moves on: history that comes station by station is not taken for silence. A stale
//! episode goes on when the station is back. A row of matching days that has not fired yet does not survive a silence.
//!
//! **Bounds**: days are remembered up to [`HORIZON_DAYS`] before the station's newest one; older ones change nothing any
//! more. When a rule's conditions change, the days before are not judged again: a standing episode goes on under the
//! new ones.

use serde::{Deserialize, Serialize};

use super::DayVerdict;
use super::days::Days;
use crate::noaa::Date;

/// For how long before the newest day a late day still changes something.
pub const HORIZON_DAYS: i32 = 400;
/// Days beyond the horizon are dropped in batches of this size.
const TRIM_DAYS: i32 = 32;
/// A station is silent after so many times its usual interval.
const SILENT_INTERVALS: i32 = 3;
/// At least so many days.
const SILENT_DAYS_MIN: i32 = 3;
/// The usual interval is counted in these parts of a day.
const PARTS: i32 = 16;

/// What decides about episodes, besides conditions.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How many reported days in a row must match.
    pub for_days: u16,
    /// After how many days a standing episode is told again.
    pub repeat_days: Option<u16>,
}

/// What an alert tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transition {
    /// It happens, or happens still.
    Fired,
    /// It is over.
    Resolved,
    /// Nobody knows: the station is silent.
    Stale,
    /// Something that was told is withdrawn.
    Retracted,
}

impl Transition {
    /// As written in alerts and their ids.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Resolved => "resolved",
            Self::Stale => "stale",
            Self::Retracted => "retracted",
        }
    }
}

/// Something to tell. Days count from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What; [`Transition::Retracted`] where `of` is withdrawn.
    pub transition: Transition,
    /// What it is about: the same, but for a retraction.
    pub of: Transition,
    /// The day that it is about.
    pub day: i32,
    /// The day on which its episode fired first.
    pub since: i32,
    /// How often this has been told of this day, from 1: more than once only after a retraction.
    pub times: u16,
}

impl Event {
    /// The date that it is about.
    pub fn date(&self) -> Option<Date> {
        Date::from_days_since_1970(self.day)
    }
}

/// What became of a judged day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was new, or other than before.
    Changed,
    /// It was known already.
    Known,
    /// A newer revision of the observation was seen before.
    Outdated,
    /// It lies before the days that are remembered.
    TooOld,
}

/// Of a rule without `clear`: what is remembered of one day that has fired, or was corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoneDay {
    /// The revision that was judged last.
    revision: u32,
    /// How often it has fired.
    times: u16,
    /// Whether the last firing has not been retracted.
    stands: bool,
}

impl LoneDay {
    /// Judges a day. Returns what to remember, if that has changed, and what to tell.
    pub fn judge(
        known: Option<Self>,
        day: i32,
        revision: u32,
        verdict: DayVerdict,
    ) -> (Option<Self>, Option<Event>, Taken) {
        let matches = verdict == DayVerdict::Matches;
        let Some(before) = known else {
            // A first revision that does not match leaves nothing to remember: most days are so.
            let remembered = (matches || revision > 1).then_some(Self {
                revision,
                times: u16::from(matches),
                stands: matches,
            });
            let event = matches.then_some(Self::event(Transition::Fired, day, 1));
            return (remembered, event, Taken::Changed);
        };
        if revision < before.revision {
            return (None, None, Taken::Outdated);
        }
        if matches == before.stands {
            let newer = (revision > before.revision).then_some(Self { revision, ..before });
            return (newer, None, Taken::Known);
        }
        let times = before.times.saturating_add(u16::from(matches));
        let transition = if matches { Transition::Fired } else { Transition::Retracted };
        let event = Self::event(transition, day, times);
        (Some(Self { revision, times, stands: matches }), Some(event), Taken::Changed)
    }

    fn event(transition: Transition, day: i32, times: u16) -> Event {
        Event { transition, of: Transition::Fired, day, since: day, times }
    }

    /// Whether it has fired and was not retracted.
    pub fn stands(&self) -> bool {
        self.stands
    }
}

/// Where the walk through the calendar stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Walk {
    /// The last day that said something.
    last_day: Option<i32>,
    /// The usual interval between such days, in parts of a day.
    interval: u16,
    /// Matching days in a row that have not fired yet.
    in_a_row: u16,
    standing: Option<Standing>,
}

/// An episode that has fired and is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Standing {
    since: i32,
    told: i32,
    is_stale: bool,
}

/// Something that should be told.
type Due = (i32, Transition, i32);

impl Walk {
    const START: Self = Self { last_day: None, interval: PARTS as u16, in_a_row: 0, standing: None };

    /// The last day of a silence that is still usual.
    fn patience_ends(&self) -> Option<i32> {
        let usual = (SILENT_INTERVALS * i32::from(self.interval) + PARTS - 1) / PARTS;
        self.last_day.map(|last| last + usual.max(SILENT_DAYS_MIN))
    }

    /// Notices silence, if the calendar has come to `today`.
    fn wait_until(&mut self, today: i32, tell: &mut impl FnMut(Due)) {
        let Some(end) = self.patience_ends().filter(|end| today > *end) else { return };
        if let Some(standing) = self.standing.as_mut().filter(|standing| !standing.is_stale) {
            standing.is_stale = true;
            tell((end, Transition::Stale, standing.since));
        }
    }

    /// Takes the next day that says something.
    fn step(&mut self, day: i32, verdict: DayVerdict, terms: Terms, tell: &mut impl FnMut(Due)) {
        self.wait_until(day, tell);
        if self.patience_ends().is_some_and(|end| day > end) {
            self.in_a_row = 0;
        }
        if let Some(last) = self.last_day {
            // A running mean, which one long silence does not move far.
            let interval = i32::from(self.interval);
            let found = ((day - last).min(i32::from(u16::MAX) / PARTS) * PARTS).min(2 * interval + PARTS);
            self.interval = u16::try_from(interval + (found - interval) / 4).unwrap_or(u16::MAX);
        }
        self.last_day = Some(day);
        match (verdict, &mut self.standing) {
            (DayVerdict::Unknown, _) => {}
            (DayVerdict::Matches, None) => {
                self.in_a_row += 1;
                if self.in_a_row >= terms.for_days {
                    self.in_a_row = 0;
                    self.standing = Some(Standing { since: day, told: day, is_stale: false });
                    tell((day, Transition::Fired, day));
                }
            }
            (DayVerdict::Matches, Some(standing)) => {
                standing.is_stale = false;
                if terms.repeat_days.is_some_and(|days| day - standing.told >= i32::from(days)) {
                    standing.told = day;
                    tell((day, Transition::Fired, standing.since));
                }
            }
            (DayVerdict::Between, None) | (DayVerdict::Clears, None) => self.in_a_row = 0,
            (DayVerdict::Between, Some(standing)) => standing.is_stale = false,
            (DayVerdict::Clears, Some(standing)) => {
                tell((day, Transition::Resolved, standing.since));
                self.standing = None;
            }
        }
    }
}

/// Something that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    day: i32,
    transition: Transition,
    since: i32,
    times: u16,
    stands: bool,
}

/// Of a rule with `clear` at one station: its days, and what was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episodes {
    /// The rule's, under which the days were judged.
    fingerprint: u32,
    /// Before the first remembered day.
    start: Walk,
    /// Behind the last one.
    tip: Walk,
    days: Days,
    /// Of days whose observation has been revised: the newest revision.
    revisions: Vec<(i32, u32)>,
    told: Vec<Told>,
    /// How far the calendar had come when silence was looked for last.
    waited_until: i32,
    /// For alerts that come when the station itself is silent; empty where it is not known.
    pub station_name: String,
}

impl Episodes {
    /// Nothing is known yet.
    pub fn new(fingerprint: u32) -> Self {
        Self {
            fingerprint,
            start: Walk::START,
            tip: Walk::START,
            days: Days::default(),
            revisions: Vec::new(),
            told: Vec::new(),
            waited_until: i32::MIN,
            station_name: String::new(),
        }
    }

    /// Takes a judged day. What is to be told is pushed to `events`: first retractions, then the rest, each by date.
    pub fn judge(
        &mut self,
        (fingerprint, terms): (u32, Terms),
        day: i32,
        revision: u32,
        verdict: DayVerdict,
        events: &mut Vec<Event>,
    ) -> Taken {
        if fingerprint != self.fingerprint {
            self.begin_anew(fingerprint);
        }
        if !self.remembers(day) {
            return Taken::TooOld;
        }
        if !self.take_revision(day, revision) {
            return Taken::Outdated;
        }
        let before = self.days.get(day);
        if before == verdict {
            return Taken::Known;
        }
        self.days.set(day, verdict);
        // Behind all days, and not within a silence that was told already.
        let is_next = before == DayVerdict::Unknown
            && self.tip.last_day.is_none_or(|last| day > last)
            && (!self.tip.standing.is_some_and(|standing| standing.is_stale)
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

    /// The last day on which silence says nothing yet; `None` where no episode stands, or it is stale already.
    pub fn deadline(&self) -> Option<i32> {
        self.tip.standing.filter(|standing| !standing.is_stale).and_then(|_| self.tip.patience_ends())
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
            Some(Standing { since, told, is_stale }) => {
                let stale = if is_stale { ", stale" } else { "" };
                format!("an episode stands since {}, last told on {}{stale}", date(since), date(told))
            }
            None if self.tip.in_a_row > 0 => {
                format!("no episode; {} of {} days in a row match", self.tip.in_a_row, terms.for_days)
            }
            None => "no episode".into(),
        }
    }

    /// Days judged by other conditions are not judged again; where they led to stays.
    fn begin_anew(&mut self, fingerprint: u32) {
        self.fingerprint = fingerprint;
        self.tip.in_a_row = 0;
        self.start = self.tip;
        self.days = Days::default();
        self.revisions.clear();
        self.told.clear();
    }

    fn remembers(&self, day: i32) -> bool {
        let newest = self.tip.last_day.unwrap_or(day);
        day > newest - HORIZON_DAYS && self.start.last_day.is_none_or(|last| day > last)
    }

    /// `false` where a newer revision is known.
    fn take_revision(&mut self, day: i32, revision: u32) -> bool {
        match self.revisions.iter_mut().find(|(known, _)| *known == day) {
            Some((_, newest)) if revision < *newest => return false,
            Some((_, newest)) => *newest = revision,
            None if revision > 1 => self.revisions.push((day, revision)),
            None => {}
        }
        true
    }

    /// Walks through all remembered days, and compares with what was told.
    fn walk_again(&mut self, terms: Terms, events: &mut Vec<Event>) {
        let mut due = Vec::new();
        let mut walk = self.start;
        for (day, verdict) in self.days.iter() {
            walk.step(day, verdict, terms, &mut |told| due.push(told));
        }
        walk.wait_until(self.waited_until, &mut |told| due.push(told));
        self.tip = walk;
        for told in self.told.iter_mut().filter(|told| told.stands) {
            if !due.contains(&(told.day, told.transition, told.since)) {
                told.stands = false;
                let Told { day, transition, since, times, .. } = *told;
                events.push(Event { transition: Transition::Retracted, of: transition, day, since, times });
            }
        }
        for due in due {
            self.tell(due, events);
        }
        self.told.sort_unstable_by_key(|told| (told.day, told.transition));
    }

    /// Tells what has not been told.
    fn tell(&mut self, (day, transition, since): Due, events: &mut Vec<Event>) {
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
        events.push(Event { transition, of: transition, day, since, times });
    }

    /// Drops what lies beyond the horizon.
    fn trim(&mut self, terms: Terms) {
        let (Some(first), Some(newest)) = (self.days.first(), self.tip.last_day) else { return };
        let horizon = newest - HORIZON_DAYS;
        if first + TRIM_DAYS > horizon {
            return;
        }
        for (day, verdict) in self.days.take_before(horizon) {
            self.start.step(day, verdict, terms, &mut |_| ());
        }
        self.revisions.retain(|(day, _)| *day >= horizon);
        self.told.retain(|told| told.day >= horizon);
    }
}

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
