//! alert: evaluates the rules of the observation's station, walks each rule's life cycle, and writes each alert once.
//!
//! An alert's id is made of its subject (rule, station, date, transition), so the same observation gives the same id
//! in any process at any time. Alerts that were written are remembered in the task's store: for rules without
//! episodes the days that have fired, for the others the days and alerts of a year (see [`crate::rules::Episodes`]).

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use frostline_engine::record::Record;
use frostline_engine::store::{StateError, Store};
use frostline_engine::{Context, Processor};

use super::alert_record::{AlertRecord, Cause};
use super::calendar::Calendar;
use super::json::RawObject;
use super::memory;
use super::memory::{episodes_key, rule_and_station};
use super::rule_errors;
use super::{Limits, Validate, accepted_observation};
use crate::noaa::{KnownStations, ObservationView, StationId, StationView};
use crate::rules::{DayVerdict, Episodes, Evaluator, Event, Feed, LoneDay, Rule, RuleSet, Taken};
use crate::stages::count;

/// The processor of alerts about days.
pub struct Alert {
    rules: Arc<RuleSet>,
    evaluator: Evaluator,
    limits: Limits,
    known: KnownStations,
    /// The generation of `rules` that the fields below belong to.
    generation: u64,
    has_conditions: bool,
    watched: HashMap<StationId, Watched, foldhash::fast::RandomState>,
    /// Read from the store with the first record.
    calendar: Option<Calendar>,
}

/// The rules of a station.
struct Watched {
    /// Set if some rules depend on a station's fields: the station for which `rules` were found.
    station: Option<Rc<StationView>>,
    rules: Rc<[Arc<Rule>]>,
}

impl Watched {
    /// Whether the rules that watch this station are known.
    fn is_of(&self, station: &Rc<StationView>) -> bool {
        self.station.as_ref().is_none_or(|known| Rc::ptr_eq(known, station) || known == station)
    }
}

impl Alert {
    /// Evaluates `rules`, and follows their changes.
    pub fn new(rules: Arc<RuleSet>, limits: Limits) -> Self {
        let (generation, has_conditions) = (rules.generation(), rules.has_conditions(Feed::DAYS));
        Self {
            rules,
            evaluator: Evaluator::new(),
            limits,
            known: KnownStations::default(),
            generation,
            has_conditions,
            watched: HashMap::default(),
            calendar: None,
        }
    }

    /// Forgets cached rules if the rules have changed.
    fn follow_changes(&mut self) {
        let generation = self.rules.generation();
        if generation != self.generation {
            self.generation = generation;
            self.has_conditions = self.rules.has_conditions(Feed::DAYS);
            self.watched.clear();
        }
    }

    /// Whether the value need not be read: no rule watches the station that the key names.
    fn is_needless(&mut self, record: &Record<'_>) -> bool {
        if self.limits.validate != Validate::Needed || record.value.is_none_or(<[u8]>::is_empty) {
            return false;
        }
        let Some(key) = record.key.and_then(|key| <&[u8; 11]>::try_from(key).ok()) else { return false };
        if let Some(watched) = self.watched.get(key) {
            return watched.rules.is_empty();
        }
        match StationId::parse(key) {
            Some(station) if !self.has_conditions && !self.rules.names(station, Feed::DAYS) => {
                self.watched.insert(station, Watched { station: None, rules: Rc::default() });
                true
            }
            _ => false,
        }
    }

    /// The rules that watch the observation's station.
    fn rules_of(&mut self, view: &ObservationView) -> Rc<[Arc<Rule>]> {
        match self.watched.get(&view.station.id) {
            Some(watched) if watched.is_of(&view.station) => Rc::clone(&watched.rules),
            _ => {
                let rules = self.rules.of_station(&view.station, &self.evaluator, Feed::DAYS);
                let station = self.has_conditions.then(|| Rc::clone(&view.station));
                self.watched.insert(view.station.id, Watched { station, rules: Rc::clone(&rules) });
                rules
            }
        }
    }
}

impl Processor for Alert {
    fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError> {
        self.follow_changes();
        if self.is_needless(record) {
            context.skip_unread();
            return Ok(());
        }
        let Some(view) = accepted_observation(record, &self.limits, &mut self.known, context) else {
            return Ok(());
        };
        // The key chose the partition; only with the station's own key does the station always meet the same
        // remembered alerts.
        let station = &view.station.id;
        if record.key != Some(station.as_bytes()) {
            let key =
                record.key.map_or("no key".into(), |key| format!("key {:?}", String::from_utf8_lossy(key)));
            context.reject(record, &format!("{key}: expected the station id {station}"));
            return Ok(());
        }
        if context.muted {
            return Ok(());
        }
        let mut observed = Observed::new(record, &view, context.record_day(record.timestamp_ms));
        let rules = self.rules_of(&view);
        let outcome = self.judge_all(&rules, &mut observed, context);
        match outcome {
            // The store had nothing about it, so nothing is lost.
            Err(Unfit::Record(reason)) => {
                context.reject(record, &reason);
                Ok(())
            }
            Err(Unfit::State(error)) => Err(error),
            Ok(()) => Ok(()),
        }
    }
}

/// Why a record cannot be processed.
enum Unfit {
    Record(String),
    State(StateError),
}

impl From<StateError> for Unfit {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

/// An observation, with the data that alerts repeat.
struct Observed<'a> {
    record: &'a Record<'a>,
    view: &'a ObservationView,
    /// The day of the record; see [`Context::record_day`].
    record_day: u32,
    /// Read when the first alert is written: most records cause none.
    object: Option<RawObject<'a>>,
}

impl<'a> Observed<'a> {
    fn new(record: &'a Record<'a>, view: &'a ObservationView, record_day: u32) -> Self {
        Self { record, view, record_day, object: None }
    }

    /// Reads the parts of the observation that alerts repeat, before anything is remembered as alerted.
    fn prepare(&mut self) -> Result<(), Unfit> {
        if self.object.is_none() {
            let value = self.record.value.unwrap_or_default();
            self.object = Some(RawObject::parse(value).map_err(Unfit::Record)?);
        }
        Ok(())
    }
}

impl Alert {
    fn judge_all(
        &mut self,
        rules: &[Arc<Rule>],
        observed: &mut Observed<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Unfit> {
        self.advance(observed, context)?;
        for rule in rules {
            match rule.judge(&self.evaluator, observed.view) {
                Ok(judgement) if rule.has_episodes() => {
                    self.judge_episodes(rule, judgement.verdict, observed, context)?;
                }
                Ok(judgement) => judge_lone_day(rule, judgement.verdict, observed, context)?,
                // A mistake in one rule must not prevent the others from firing.
                Err(error) => rule_errors::evaluation_failed(&self.rules, rule, &error, context),
            }
        }
        Ok(())
    }

    /// Moves the partition's calendar on; episodes of stations that have been silent for too long become stale.
    fn advance(&mut self, observed: &mut Observed<'_>, context: &mut Context<'_>) -> Result<(), Unfit> {
        let (day, record_day) = (observed.view.date.days_since_1970(), observed.record_day);
        let calendar = match &mut self.calendar {
            Some(calendar) => calendar,
            None => self.calendar.insert(Calendar::load(context.store, record_day)?),
        };
        if day <= calendar.today() {
            return Ok(());
        }
        if calendar.has_due(day) {
            observed.prepare()?;
        }
        calendar.advance(day, context.store, record_day);
        while let Some((listed, key)) = calendar.next_due() {
            let Some((rule_id, station)) = rule_and_station(&key) else { continue };
            let Some(rule) = self.rules.get(rule_id).filter(has_episodes_of_days) else {
                // The rule may come back unchanged, and the station may still be silent then.
                calendar.put_off(key);
                continue;
            };
            let (Some(mut episodes), written_day) = read_episodes(context.store, &key, record_day)? else {
                continue;
            };
            let hears_nothing = self
                .watched
                .get(&station)
                .is_some_and(|watched| !watched.rules.iter().any(|watching| watching.id == rule.id));
            if hears_nothing || !episodes.is_chosen_by(rule.identity) {
                // The rule has turned to other stations, so hearing nothing from this one means nothing.
                continue;
            }
            if episodes.deadline().is_some_and(|deadline| deadline > listed) {
                // The station has reported since, so its deadline is later.
                calendar.list(&key, &episodes);
                continue;
            }
            let mut events = Vec::new();
            episodes.wait_until(calendar.today(), &mut events);
            calendar.list(&key, &episodes);
            if !events.is_empty() {
                context.store.put(&key, written_day, &memory::encode(&episodes));
            }
            let cause = Cause::Silence { station, name: &episodes.station_name };
            events.iter().for_each(|event| emit(&rule, event, &cause, observed, context));
        }
        Ok(())
    }

    /// A rule with episodes: the day joins the known days.
    fn judge_episodes(
        &mut self,
        rule: &Rule,
        verdict: DayVerdict,
        observed: &mut Observed<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Unfit> {
        let Some(calendar) = &mut self.calendar else { return Ok(()) };
        let view = observed.view;
        let key = episodes_key(&rule.id, view.station.id);
        let (known, written_day) = read_episodes(context.store, &key, observed.record_day)?;
        let mut episodes = known.unwrap_or_else(|| Episodes::new(rule.identity));
        let (day, mut events) = (view.date.days_since_1970(), Vec::new());
        let terms = (rule.identity, rule.terms());
        let taken = episodes.judge(terms, day, view.revision, verdict, &mut events);
        if !events.is_empty() {
            observed.prepare()?;
        }
        context.counts[count::DUPLICATES] +=
            u64::from(taken == Taken::Known && verdict == DayVerdict::Matches);
        let is_newer = taken == Taken::Known && view.revision > 1;
        if taken == Taken::Changed || is_newer {
            if let Some(name) = view.station.name.as_deref().filter(|name| *name != episodes.station_name) {
                name.clone_into(&mut episodes.station_name);
            }
            context.store.put(&key, written_day, &memory::encode(&episodes));
            calendar.list(&key, &episodes);
        }
        events.iter().for_each(|event| emit(rule, event, &Cause::Observation, observed, context));
        Ok(())
    }
}

/// Whether the episodes in this stage's store belong to this form of the rule.
fn has_episodes_of_days(rule: &Arc<Rule>) -> bool {
    rule.has_episodes() && rule.feed() == Feed::Day
}

/// A rule without episodes: the day fires, or its alert is retracted.
fn judge_lone_day(
    rule: &Rule,
    verdict: DayVerdict,
    observed: &mut Observed<'_>,
    context: &mut Context<'_>,
) -> Result<(), Unfit> {
    let view = observed.view;
    // Most days cause no alert and withdraw none, and cost no look into the store.
    if verdict != DayVerdict::Matches && view.revision == 1 {
        return Ok(());
    }
    let key = memory::lone_day_key(&rule.id, view.station.id, view.date);
    let (known, written_day) =
        context.store.get_for_update(&key, observed.record_day, memory::decode::<LoneDay>)?;
    let known =
        known.transpose().map_err(|()| context.store.corrupted("a day that has fired cannot be read"))?;
    let day = view.date.days_since_1970();
    let (remembered, event, taken) = LoneDay::judge(known.flatten(), day, view.revision, verdict);
    context.counts[count::DUPLICATES] += u64::from(taken == Taken::Known && verdict == DayVerdict::Matches);
    if let Some(event) = event {
        observed.prepare()?;
        emit(rule, &event, &Cause::Observation, observed, context);
    }
    if let Some(remembered) = remembered {
        context.store.put(&key, written_day, &memory::encode(&remembered));
    }
    Ok(())
}

/// The episodes under a key, with the day under which to write them again.
fn read_episodes(store: &Store, key: &[u8], today: u32) -> Result<(Option<Episodes>, u32), StateError> {
    let (found, day) = store.get_for_update(key, today, memory::decode)?;
    let found = found.transpose().map_err(|()| {
        store.corrupted(&format!("the episodes {:?} cannot be read", String::from_utf8_lossy(key)))
    })?;
    Ok((found.flatten(), day))
}

/// Writes one alert for an observation that was prepared for it.
fn emit(rule: &Rule, event: &Event, cause: &Cause<'_>, observed: &Observed<'_>, context: &mut Context<'_>) {
    let (view, record) = (observed.view, observed.record);
    let station = cause.station(view);
    let ids = event.alert_ids(&rule.id, station).zip(event.date());
    let (Some(((alert_id, retracts), date)), Some(object)) = (ids, &observed.object) else { return };
    let (alert_id, retracts) = (alert_id.as_str(), retracts.as_deref());
    let alert = AlertRecord { alert_id, retracts, rule, event, date, cause, object, record, view };
    context.counts[count::ALERTS] += 1;
    context.collector.emit(station.as_bytes(), record.timestamp_ms, |out| alert.write(out));
    context.collector.header("alert-id", alert_id.as_bytes());
}

#[cfg(test)]
#[path = "alert_tests.rs"]
mod tests;
