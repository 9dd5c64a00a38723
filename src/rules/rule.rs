//! A rule in compiled and checked form.

use std::rc::Rc;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    Active, Address, Condition, Crop, DayVerdict, EvaluationError, Evaluator, Feed, Identity, MomentView,
    Near, Needs, Severity, Template, Terms, Verdict,
};
use crate::noaa::{Date, Element, ObservationView, StationId, StationView};

/// The stations that a rule watches.
#[derive(Clone, Debug)]
pub enum Place {
    /// This station; also the one that was found to be nearest.
    Station(StationId),
    /// All stations that satisfy a condition over `station`.
    Where(Arc<Condition>),
    /// The nearest station to a point, while no station near enough is known to report what the rule needs.
    Unresolved(Near),
}

/// One rule: a condition, a place, and the subscribers.
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
    /// The condition that ends an episode; without it, each matching day fires.
    pub clear: Option<Arc<Condition>>,
    /// The crop whose critical temperature `when` uses, if the rule names one.
    pub crop: Option<Box<Crop>>,
    /// How many reported days in a row must match before an episode fires.
    pub for_days: u16,
    /// A lasting episode alerts again after this many days.
    pub repeat_days: Option<u16>,
    /// The severity, if the rule sets one.
    pub severity: Option<Severity>,
    /// The text of its alerts, if it has its own.
    pub message: Option<Box<Template>>,
    /// When in the year it may fire.
    pub active: Option<Box<Active>>,
    /// The ids of the subscribers to notify.
    pub subscribers: SmallVec<[Arc<str>; 1]>,
    /// An address in the rule itself, as in the talk. It is written into the alert, but never into a log.
    pub email: Option<Address>,
    /// The identity of its remembered days.
    pub identity: Identity,
}

/// A [`DayVerdict`], with its parts.
#[derive(Clone, Copy, Debug)]
pub struct Judgement {
    /// The verdict of `when`.
    pub when: Verdict,
    /// The verdict of `clear`; `None` without one, or if `when` decided already.
    pub clear: Option<Verdict>,
    /// Whether the rule may fire on this day of the year.
    pub is_active: bool,
    /// The result.
    pub verdict: DayVerdict,
}

impl Rule {
    /// Whether it has episodes, which need remembered days.
    pub fn has_episodes(&self) -> bool {
        self.clear.is_some()
    }

    /// The same rule at the station found for its `near`, exactly as if it had been compiled with that station.
    #[must_use]
    pub fn at(&self, station: StationId) -> Self {
        let identity = Identity { place: Identity::of_nearest(Some(station)), ..self.identity };
        Self { place: Place::Station(station), identity, ..self.clone() }
    }

    /// The parameters of episodes, besides conditions.
    pub fn terms(&self) -> Terms {
        Terms { for_days: self.for_days, repeat_days: self.repeat_days }
    }

    /// The kind of record that decides it.
    pub fn feed(&self) -> Feed {
        feed_of(&self.when, self.clear.as_deref())
    }

    /// For a rule about nights: a night that gets as cold as this, in °C, confirms the warning.
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
    /// A condition fails on these values, for example with a division by zero.
    pub fn judge(&self, evaluator: &Evaluator, view: &ObservationView) -> Result<Judgement, EvaluationError> {
        self.judge_by(view.date, |condition| evaluator.evaluate(condition, view))
    }

    /// Judges an hour and its night in place of a day: its date decides whether the rule is active.
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
            // Outside its season a rule does not fire, but an alert that stands may still end.
            Verdict::Holds => DayVerdict::Between,
            Verdict::HoldsNot => {
                let clear = self.clear.as_ref().map(|clear| evaluate(clear)).transpose()?;
                judgement.clear = clear;
                if clear == Some(Verdict::Holds) { DayVerdict::Clears } else { DayVerdict::Between }
            }
        };
        Ok(judgement)
    }

    /// The reports that the rule needs from a station.
    pub fn needs(&self) -> Needs {
        match self.feed() {
            Feed::Day => Needs::Elements(self.elements()),
            Feed::Hour | Feed::Night => Needs::Hours,
        }
    }

    /// The elements that it reads, without duplicates.
    pub fn elements(&self) -> Vec<Element> {
        let clear = self.clear.iter().flat_map(|clear| clear.elements());
        let mut elements: Vec<Element> = self.when.elements().chain(clear).collect();
        elements.sort_unstable();
        elements.dedup();
        elements
    }
}

/// The feed of a rule with these conditions. A condition with only `station` and `date` takes the feed of the other.
pub(super) fn feed_of(when: &Condition, clear: Option<&Condition>) -> Feed {
    let asked = when.asked().or_else(|| clear.and_then(Condition::asked));
    asked.map_or(Feed::Day, |asked| asked.feed)
}
