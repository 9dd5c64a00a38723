//! A rule as it is evaluated: everything compiled and checked.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::definition::nearest_fingerprint;
use super::{
    Active, Address, Condition, EvaluationError, Evaluator, Identity, Near, Template, Terms, Verdict,
};
use crate::noaa::{Element, ObservationView, StationId};

/// How urgent an alert is; notifications may pass through quiet hours by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something should be done.
    #[default]
    Warning,
    /// Something must be done at once.
    Critical,
}

impl Severity {
    /// As written in rules and alerts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Which stations a rule watches.
#[derive(Clone, Debug)]
pub enum Place {
    /// This one; also the one that was found to be nearest.
    Station(StationId),
    /// All that satisfy a condition over `station`.
    Where(Arc<Condition>),
    /// The nearest to a point, as long as no station near enough is known to report what the rule asks for.
    Unresolved(Near),
}

/// One rule: a condition at some place, and whom to tell.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Unique among the rules; part of each alert's id.
    pub id: Arc<str>,
    /// Counts the changes of a published rule, from 1; 0 for rules that come from a file.
    pub version: u32,
    /// Where it watches.
    pub place: Place,
    /// When it fires.
    pub when: Arc<Condition>,
    /// When an episode is over; without it each matching day fires.
    pub clear: Option<Arc<Condition>>,
    /// How many reported days in a row must match before an episode fires.
    pub for_days: u16,
    /// After how many days an episode that lasts is told again.
    pub repeat_days: Option<u16>,
    /// How urgent it is, where the rule says so.
    pub severity: Option<Severity>,
    /// The text of its alerts, where the usual one is not wanted.
    pub message: Option<Box<Template>>,
    /// When in the year it may fire.
    pub active: Option<Box<Active>>,
    /// Whom to tell, by the ids of subscribers.
    pub subscribers: SmallVec<[Arc<str>; 1]>,
    /// An address that the rule itself names, as in the talk. It goes into the alert; never into a log.
    pub email: Option<Address>,
    /// What memories of days belong to.
    pub identity: Identity,
}

/// What a day says about a rule's condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DayVerdict {
    /// Nothing: what decides was not reported.
    Unknown,
    /// The condition holds.
    Matches,
    /// It does not hold, and the episode is not over either.
    Between,
    /// The condition does not hold, and `clear` does.
    Clears,
}

/// A [`DayVerdict`], and what it was made of.
#[derive(Clone, Copy, Debug)]
pub struct Judgement {
    /// Of `when`.
    pub when: Verdict,
    /// Of `clear`; `None` without one, or where `when` has decided already.
    pub clear: Option<Verdict>,
    /// Whether the rule may fire on this day of the year.
    pub is_active: bool,
    /// What follows.
    pub verdict: DayVerdict,
}

impl Rule {
    /// Whether it has episodes, which need a memory of days.
    pub fn has_episodes(&self) -> bool {
        self.clear.is_some()
    }

    /// The same rule at the station that was found for its `near`, exactly as if it had been compiled with that station.
    #[must_use]
    pub fn at(&self, station: StationId) -> Self {
        let identity = Identity { place: nearest_fingerprint(Some(station)), ..self.identity };
        Self { place: Place::Station(station), identity, ..self.clone() }
    }

    /// What decides about episodes, besides conditions.
    pub fn terms(&self) -> Terms {
        Terms { for_days: self.for_days, repeat_days: self.repeat_days }
    }

    /// Whether it watches the station of this observation.
    pub fn watches(&self, evaluator: &Evaluator, view: &ObservationView) -> bool {
        match &self.place {
            Place::Station(station) => *station == view.station.id,
            Place::Where(condition) => evaluator.evaluate(condition, view) == Ok(Verdict::Holds),
            Place::Unresolved(_) => false,
        }
    }

    /// Judges one day.
    ///
    /// # Errors
    /// Where a condition fails on these values (a division by zero, say).
    pub fn judge(&self, evaluator: &Evaluator, view: &ObservationView) -> Result<Judgement, EvaluationError> {
        let when = evaluator.evaluate(&self.when, view)?;
        let is_active = self.active.as_ref().is_none_or(|active| active.contains(view.date));
        let mut judgement = Judgement { when, clear: None, is_active, verdict: DayVerdict::Unknown };
        judgement.verdict = match when {
            Verdict::Unknown => DayVerdict::Unknown,
            Verdict::Holds if is_active => DayVerdict::Matches,
            // Outside its season a rule does not fire; what stands may still come to its end.
            Verdict::Holds => DayVerdict::Between,
            Verdict::HoldsNot => {
                let clear = self.clear.as_ref().map(|clear| evaluator.evaluate(clear, view)).transpose()?;
                judgement.clear = clear;
                if clear == Some(Verdict::Holds) { DayVerdict::Clears } else { DayVerdict::Between }
            }
        };
        Ok(judgement)
    }

    /// The elements that it reads, each once.
    pub fn elements(&self) -> Vec<Element> {
        let clear = self.clear.iter().flat_map(|clear| clear.elements());
        let mut elements: Vec<Element> = self.when.elements().chain(clear).collect();
        elements.sort_unstable();
        elements.dedup();
        elements
    }
}
