//! The walk through a station's days, in the order of the calendar: what should be told.

use serde::{Deserialize, Serialize};

use super::{DayVerdict, Terms, Transition};

/// A station is silent after so many times its usual interval.
const SILENT_INTERVALS: i32 = 3;
/// At least so many days.
const SILENT_DAYS_MIN: i32 = 3;
/// The usual interval is counted in these parts of a day.
const PARTS: i32 = 16;

/// Where the walk through the calendar stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Walk {
    /// The last day that said something.
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
    pub(super) is_stale: bool,
}

/// Something that should be told.
pub(super) type Due = (i32, Transition, i32);

impl Walk {
    pub(super) const START: Self =
        Self { last_day: None, interval: PARTS as u16, in_a_row: 0, standing: None };

    /// The last day of a silence that is still usual.
    pub(super) fn patience_ends(&self) -> Option<i32> {
        let usual = (SILENT_INTERVALS * i32::from(self.interval) + PARTS - 1) / PARTS;
        self.last_day.map(|last| last + usual.max(SILENT_DAYS_MIN))
    }

    /// Notices silence, if the calendar has come to `today`.
    pub(super) fn wait_until(&mut self, today: i32, tell: &mut impl FnMut(Due)) {
        let Some(end) = self.patience_ends().filter(|end| today > *end) else { return };
        if let Some(standing) = self.standing.as_mut().filter(|standing| !standing.is_stale) {
            standing.is_stale = true;
            tell((end, Transition::Stale, standing.since));
        }
    }

    /// Takes the next day that says something.
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
