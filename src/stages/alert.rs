//! alert: evaluates the rules of the observation's station, walks each rule's life cycle, and writes each alert once.
//!
//! An alert's id is made of what it is about (rule, station, date, transition), so the same observation gives
//! the same id in any process at any time. What was told is remembered in the task's store: of rules without
//! episodes the days that have fired, of the others the days and alerts of a year (see [`crate::rules::Episodes`]).

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use super::alert_record::{AlertRecord, Cause};
use super::calendar::{self, Calendar, episodes_key, rule_and_station};
use super::json::RawObject;
use super::{Context, Limits, Processor, Validate, accepted_observation};
use crate::noaa::{ObservationView, StationId};
use crate::record::{Record, day_of};
use crate::rules::{
    DayVerdict, Episodes, Evaluator, Event, LoneDay, Rule, RuleSet, Taken, Terms, Transition,
};
use crate::state::{StateError, Store};

/// Store keys of days that have fired begin with this byte; the rule's id, `/`, station and date follow.
const LONE_DAY_KEY: u8 = b'a';

/// The processor.
pub struct Alert {
    rules: Arc<RuleSet>,
    evaluator: Evaluator,
    limits: Limits,
    /// Of `rules`, when what follows was found.
    generation: u64,
    has_conditions: bool,
    watched: HashMap<StationId, Watched, foldhash::fast::RandomState>,
    /// Found in the store with the first record.
    calendar: Option<Calendar>,
    /// Rules whose evaluation has failed since they were last changed: each is logged once.
    failing: HashSet<Arc<str>>,
    hasher: foldhash::fast::FixedState,
}

/// The rules of a station.
struct Watched {
    /// Of what rules may ask of a station, while some rules do.
    fields: u64,
    rules: Arc<[Arc<Rule>]>,
}

impl Alert {
    /// Evaluates `rules`, and follows their changes.
    pub fn new(rules: Arc<RuleSet>, limits: Limits) -> Self {
        let (generation, has_conditions) = (rules.generation(), rules.has_conditions());
        Self {
            rules,
            evaluator: Evaluator::new(),
            limits,
            generation,
            has_conditions,
            watched: HashMap::default(),
            calendar: None,
            failing: HashSet::new(),
            hasher: foldhash::fast::FixedState::default(),
        }
    }

    /// Forgets what was found, if rules have changed.
    fn follow_changes(&mut self) {
        let generation = self.rules.generation();
        if generation != self.generation {
            self.generation = generation;
            self.has_conditions = self.rules.has_conditions();
            self.watched.clear();
            self.failing.clear();
        }
    }

    /// Whether the value need not be read: no rule watches the station that the key names.
    fn is_needless(&mut self, record: &Record<'_>) -> bool {
        if self.limits.validate != Validate::Needed || record.value.is_none_or(<[u8]>::is_empty) {
            return false;
        }
        let Some(station) = record.key.and_then(StationId::parse) else { return false };
        match self.watched.get(&station) {
            Some(watched) => watched.rules.is_empty(),
            None if self.has_conditions || self.rules.names(station) => false,
            None => {
                self.watched.insert(station, Watched { fields: 0, rules: Arc::default() });
                true
            }
        }
    }

    /// The rules that watch the observation's station.
    fn rules_of(&mut self, view: &ObservationView<'_>) -> Arc<[Arc<Rule>]> {
        let fields = if self.has_conditions { self.station_fields(view) } else { 0 };
        match self.watched.get(&view.station.id) {
            Some(watched) if watched.fields == fields => Arc::clone(&watched.rules),
            _ => {
                let rules = self.rules.of_station(view, &self.evaluator);
                self.watched.insert(view.station.id, Watched { fields, rules: Arc::clone(&rules) });
                rules
            }
        }
    }

    /// A number that changes when the station does.
    fn station_fields(&self, view: &ObservationView<'_>) -> u64 {
        let station = &view.station;
        let mut hasher = self.hasher.build_hasher();
        (&station.country_code, &station.country, &station.state_code, &station.state, &station.name)
            .hash(&mut hasher);
        for number in [station.latitude, station.longitude, station.elevation] {
            number.map(f64::to_bits).hash(&mut hasher);
        }
        hasher.finish()
    }
}

impl Processor for Alert {
    fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError> {
        self.follow_changes();
        if self.is_needless(record) {
            context.skip_unread();
            return Ok(());
        }
        let Some(view) = accepted_observation(record, &self.limits, context) else { return Ok(()) };
        // The key chose the partition; only with the station's own key does the station always meet the same
        // memory of what was alerted before.
        let station = view.station.id;
        if record.key != Some(station.as_bytes()) {
            let key =
                record.key.map_or("no key".into(), |key| format!("key {:?}", String::from_utf8_lossy(key)));
            context.reject(record, &format!("{key}: expected the station id {station}"));
            return Ok(());
        }
        if context.muted {
            return Ok(());
        }
        self.advance(record, &view, context)?;
        for rule in self.rules_of(&view).iter() {
            match rule.judge(&self.evaluator, &view) {
                Ok(judgement) if rule.has_episodes() => {
                    self.judge_episodes(rule, judgement.verdict, record, &view, context)?;
                }
                Ok(judgement) => self.judge_lone_day(rule, judgement.verdict, record, &view, context)?,
                // One rule's mistake must not keep the others from firing.
                Err(reason) => self.evaluation_failed(rule, &reason, context),
            }
        }
        Ok(())
    }
}

impl Alert {
    fn evaluation_failed(&mut self, rule: &Rule, reason: &str, context: &mut Context<'_>) {
        context.counts.rule_errors += 1;
        metrics::counter!("frostline_rule_errors_total", "rule" => rule.id.to_string()).increment(1);
        if self.failing.insert(Arc::clone(&rule.id)) {
            tracing::warn!(
                rule = &*rule.id,
                reason,
                "a rule cannot be evaluated; told once until rules change"
            );
        }
    }

    /// Moves the partition's calendar on; episodes of stations that have been silent for too long become stale.
    fn advance(
        &mut self,
        record: &Record<'_>,
        view: &ObservationView<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), StateError> {
        let record_day = day_of(record.timestamp_ms);
        let calendar = match &mut self.calendar {
            Some(calendar) => calendar,
            None => self.calendar.insert(Calendar::load(context.store, record_day)?),
        };
        if !calendar.advance(view.date.days_since_1970(), context.store, record_day) {
            return Ok(());
        }
        while let Some((listed, key)) = calendar.next_due() {
            let Some((rule_id, station)) = rule_and_station(&key) else { continue };
            let Some(rule) = self.rules.get(rule_id) else { continue };
            let Some(mut episodes) = read_episodes(context.store, &key, record_day)? else { continue };
            if episodes.deadline().is_some_and(|deadline| deadline > listed) {
                // It was heard of since: its day is another.
                calendar.list(&key, &episodes);
                continue;
            }
            let mut events = Vec::new();
            episodes.wait_until(calendar.today(), &mut events);
            calendar.list(&key, &episodes);
            if !events.is_empty() {
                context.store.put(&key, record_day, &calendar::encode(&episodes));
            }
            for event in events {
                let cause = Cause::Silence { station, name: &episodes.station_name };
                emit(&rule, &event, &cause, record, view, context);
            }
        }
        Ok(())
    }

    /// A rule without episodes: the day fires, or what it fired is retracted.
    fn judge_lone_day(
        &self,
        rule: &Rule,
        verdict: DayVerdict,
        record: &Record<'_>,
        view: &ObservationView<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), StateError> {
        // Nothing to tell, and nothing to withdraw: most days are so, and cost no look into the store.
        if verdict != DayVerdict::Matches && view.revision == 1 {
            return Ok(());
        }
        let record_day = day_of(record.timestamp_ms);
        let key =
            [&[LONE_DAY_KEY], rule.id.as_bytes(), b"/", view.station.id.as_bytes(), &view.date.to_be_bytes()]
                .concat();
        let known =
            context.store.get(&key, record_day, |value| postcard::from_bytes::<LoneDay>(value).ok())?;
        let known = match known {
            None => None,
            Some(Some(known)) => Some(known),
            Some(None) => return Err(context.store.corrupted("a day that has fired cannot be read")),
        };
        let day = view.date.days_since_1970();
        let (remembered, event, taken) = LoneDay::judge(known, day, view.revision, verdict);
        context.counts.duplicates += u64::from(taken == Taken::Known && verdict == DayVerdict::Matches);
        if let Some(event) = event {
            emit(rule, &event, &Cause::Observation, record, view, context);
        }
        if let Some(remembered) = remembered {
            // Plain numbers into a vector: there is nothing that can fail.
            context.store.put(&key, record_day, &postcard::to_allocvec(&remembered).unwrap_or_default());
        }
        Ok(())
    }

    /// A rule with episodes: the day joins those that are known.
    fn judge_episodes(
        &mut self,
        rule: &Rule,
        verdict: DayVerdict,
        record: &Record<'_>,
        view: &ObservationView<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), StateError> {
        let Some(calendar) = &mut self.calendar else { return Ok(()) };
        let record_day = day_of(record.timestamp_ms);
        let key = episodes_key(&rule.id, view.station.id);
        let mut episodes = read_episodes(context.store, &key, record_day)?
            .unwrap_or_else(|| Episodes::new(rule.fingerprint));
        let terms = (rule.fingerprint, Terms { for_days: rule.for_days, repeat_days: rule.repeat_days });
        let (day, mut events) = (view.date.days_since_1970(), Vec::new());
        let taken = episodes.judge(terms, day, view.revision, verdict, &mut events);
        context.counts.duplicates += u64::from(taken == Taken::Known && verdict == DayVerdict::Matches);
        if taken == Taken::Changed || taken == Taken::Known && view.revision > 1 {
            if let Some(name) = view.station.name.as_deref().filter(|name| *name != episodes.station_name) {
                name.clone_into(&mut episodes.station_name);
            }
            context.store.put(&key, record_day, &calendar::encode(&episodes));
            calendar.list(&key, &episodes);
        }
        for event in events {
            emit(rule, &event, &Cause::Observation, record, view, context);
        }
        Ok(())
    }
}

fn read_episodes(store: &Store, key: &[u8], today: u32) -> Result<Option<Episodes>, StateError> {
    match store.get(key, today, calendar::decode)? {
        None => Ok(None),
        Some(Some(episodes)) => Ok(Some(episodes)),
        Some(None) => {
            let what = format!("the episodes {:?} cannot be read", String::from_utf8_lossy(key));
            Err(store.corrupted(&what))
        }
    }
}

/// Writes one alert.
fn emit(
    rule: &Rule,
    event: &Event,
    cause: &Cause<'_>,
    record: &Record<'_>,
    view: &ObservationView<'_>,
    context: &mut Context<'_>,
) {
    let object = match record.value.map(RawObject::parse) {
        Some(Ok(object)) => object,
        Some(Err(reason)) => return context.reject(record, &reason),
        None => return,
    };
    let Some(date) = event.date() else { return };
    let station = cause.station(view);
    let id = |transition: &str| {
        let times = if event.times > 1 { format!("/{}", event.times) } else { String::new() };
        format!("{}/{station}/{date}/{transition}{times}", rule.id)
    };
    let alert_id = match (event.transition, event.of) {
        (Transition::Retracted, Transition::Fired) => id("retracted"),
        (Transition::Retracted, of) => id(&format!("retracted-{}", of.as_str())),
        (transition, _) => id(transition.as_str()),
    };
    let retracts = (event.transition == Transition::Retracted).then(|| id(event.of.as_str()));
    let alert = AlertRecord {
        alert_id: &alert_id,
        retracts: retracts.as_deref(),
        rule,
        event,
        date,
        cause,
        object: &object,
        record,
        view,
    };
    context.counts.alerts += 1;
    context.collector.emit(station.as_bytes(), record.timestamp_ms, |out| alert.write(out));
    context.collector.header("alert-id", alert_id.as_bytes());
}

#[cfg(test)]
#[path = "alert_tests.rs"]
mod tests;
