//! The walk through a station's days in the order of the calendar, which finds the events to alert.

use serde::{Deserialize, Serialize};

use super::day_verdict::DayVerdict;
use super::transition::Transition;

/// A station is silent after this many times its usual interval.
const SILENT_INTERVALS: i32 = 3;
/// A station is silent after this many days at the earliest.
const SILENT_DAYS_MIN: i32 = 3;
/// The usual interval is counted in these parts of a day.
const PARTS: i32 = 16;

/// The parameters of episodes, besides conditions.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How many reported days in a row must match.
    pub for_days: u16,
    /// A standing episode alerts again after this many days.
    pub repeat_days: Option<u16>,
}

/// The state of the walk through the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Walk {
    /// The last day with a verdict.
    pub(super) last_day: Option<i32>,
    /// The usual interval between such days, in parts of a day.
    interval: u16,
    /// Matching days in a row that have not fired yet.
    pub(super) in_a_row: u16,
    pub(super) standing: Option<Standing>,
}

/// An episode that has fired and is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    pub(super) since: i32,
    pub(super) told: i32,
    pub(super) contact: Contact,
}

/// Whether the station of a standing episode reports. The first two are stored as the bytes of `false` and `true`:
/// earlier versions stored only whether the episode is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Contact {
    /// It reports.
    Heard,
    /// It is silent, and that was alerted.
    Stale,
    /// It reports again, but no day has matched since; the next matching day is alerted. Holds the last day before
    /// the silence.
    Back(i32),
}

impl Standing {
    pub(super) fn is_stale(&self) -> bool {
        self.contact == Contact::Stale
    }

    /// The last day before a silence without an alert since; `before`: the last day with a verdict.
    fn silent_from(&self, before: Option<i32>) -> Option<i32> {
        match self.contact {
            Contact::Heard => None,
            Contact::Stale => before,
            Contact::Back(day) => Some(day),
        }
    }
}

/// An event that should be alerted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) day: i32,
    pub(super) transition: Transition,
    pub(super) since: i32,
    /// Set if an episode fires again after a silence: the last day before it.
    pub(super) silent_from: Option<i32>,
}

impl Due {
    fn new(day: i32, transition: Transition, since: i32) -> Self {
        Self { day, transition, since, silent_from: None }
    }
}

impl Walk {
    pub(super) const START: Self =
        Self { last_day: None, interval: PARTS as u16, in_a_row: 0, standing: None };

    /// The last day of a silence of usual length.
    pub(super) fn patience_ends(&self) -> Option<i32> {
        let usual = (SILENT_INTERVALS * i32::from(self.interval) + PARTS - 1) / PARTS;
        self.last_day.map(|last| last + usual.max(SILENT_DAYS_MIN))
    }

    /// Notices silence if the calendar has reached `today`.
    pub(super) fn wait_until(&mut self, today: i32, tell: &mut impl FnMut(Due)) {
        let Some(end) = self.patience_ends().filter(|end| today > *end) else { return };
        if let Some(standing) = self.standing.as_mut().filter(|standing| !standing.is_stale()) {
            standing.contact = Contact::Stale;
            tell(Due::new(end, Transition::Stale, standing.since));
        }
    }

    /// Takes the next day with a verdict.
    pub(super) fn step(&mut self, day: i32, verdict: DayVerdict, terms: Terms, tell: &mut impl FnMut(Due)) {
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
        let before = self.last_day.replace(day);
        match (verdict, &mut self.standing) {
            (DayVerdict::Unknown, _) => {}
            (DayVerdict::Matches, None) => {
                self.in_a_row += 1;
                if self.in_a_row >= terms.for_days {
                    self.in_a_row = 0;
                    self.standing = Some(Standing { since: day, told: day, contact: Contact::Heard });
                    tell(Due::new(day, Transition::Fired, day));
                }
            }
            (DayVerdict::Matches, Some(standing)) => {
                let silent_from = standing.silent_from(before);
                let is_again = terms.repeat_days.is_some_and(|days| day - standing.told >= i32::from(days));
                standing.contact = Contact::Heard;
                if silent_from.is_some() || is_again {
                    standing.told = day;
                    tell(Due { silent_from, ..Due::new(day, Transition::Fired, standing.since) });
                }
            }
            (DayVerdict::Between, None) | (DayVerdict::Clears, None) => self.in_a_row = 0,
            (DayVerdict::Between, Some(standing)) => {
                standing.contact = standing.silent_from(before).map_or(Contact::Heard, Contact::Back);
            }
            (DayVerdict::Clears, Some(standing)) => {
                tell(Due::new(day, Transition::Resolved, standing.since));
                self.standing = None;
            }
        }
    }
}
