//! A rule as it is evaluated: everything compiled and checked.

use std::rc::Rc;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::definition::nearest_fingerprint;
use super::feed;
use super::{
    Active, Address, Condition, Crop, EvaluationError, Evaluator, Feed, Identity, MomentView, Near, Needs,
    Template, Terms, Verdict,
};
use crate::noaa::{Date, Element, ObservationView, StationId, StationView};

/// How urgent an alert is. Urgent alerts may pass through quiet hours.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
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
    /// The crop whose critical temperature `when` asks for, where the rule names one.
    pub crop: Option<Box<Crop>>,
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

    /// The kind of record that decides it.
    pub fn feed(&self) -> Feed {
        feed::of_rule(&self.when, self.clear.as_deref())
    }

    /// For a rule about nights: the temperature, in °C, that confirms its warning if the night gets as cold as that.
    pub fn night_limit(&self) -> Option<f64> {
        self.when.night_limit()
    }

    /// Whether it watches this station.
    pub fn watches(&self, evaluator: &Evaluator, station: &Rc<StationView>) -> bool {
        match &self.place {
            Place::Station(id) => *id == station.id,
            Place::Where(condition) => evaluator.evaluate_station(condition, station) == Ok(Verdict::Holds),
            Place::Unresolved(_) => false,
        }
    }

    /// Judges one day.
    ///
    /// # Errors
    /// Where a condition fails on these values (a division by zero, say).
    pub fn judge(&self, evaluator: &Evaluator, view: &ObservationView) -> Result<Judgement, EvaluationError> {
        self.judge_by(view.date, |condition| evaluator.evaluate(condition, view))
    }

    /// Judges an hour and its night, which takes the place of a day: its date decides whether the rule is active.
    ///
    /// # Errors
    /// As [`judge`](Self::judge).
    pub fn judge_moment(
        &self,
        evaluator: &Evaluator,
        moment: &MomentView,
    ) -> Result<Judgement, EvaluationError> {
        self.judge_by(moment.date, |condition| evaluator.evaluate_moment(condition, moment))
    }

    fn judge_by(
        &self,
        date: Date,
        evaluate: impl Fn(&Condition) -> Result<Verdict, EvaluationError>,
    ) -> Result<Judgement, EvaluationError> {
        let when = evaluate(&self.when)?;
        let is_active = self.active.as_ref().is_none_or(|active| active.contains(date));
        let mut judgement = Judgement { when, clear: None, is_active, verdict: DayVerdict::Unknown };
        judgement.verdict = match when {
            Verdict::Unknown => DayVerdict::Unknown,
            Verdict::Holds if is_active => DayVerdict::Matches,
            // Outside its season a rule does not fire; what stands may still come to its end.
            Verdict::Holds => DayVerdict::Between,
            Verdict::HoldsNot => {
                let clear = self.clear.as_ref().map(|clear| evaluate(clear)).transpose()?;
                judgement.clear = clear;
                if clear == Some(Verdict::Holds) { DayVerdict::Clears } else { DayVerdict::Between }
            }
        };
        Ok(judgement)
    }

    /// What a station must report so that the rule can watch it.
    pub fn needs(&self) -> Needs {
        match self.feed() {
            Feed::Day => Needs::Elements(self.elements()),
            Feed::Hour | Feed::Night => Needs::Hours,
        }
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
