//! watch: evaluates the rules over hours and nights with each record of `noaa-outlooks`, walks each rule's life cycle (see
//! [`NightWatch`] and [`HourWatch`]), and writes each alert once.
//!
//! Alerts that were written are remembered in the task's store, by rule and station. Silence is measured by the
//! reports of others: a station is silent when the partition's newest observation is four hours after its own. If a
//! whole partition falls silent, the clock decides, but only for a live stream, whose newest observation is less than
//! a day and a half old. So a replay of history does not count as silence.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use frostline_engine::record::Record;
use frostline_engine::store::{StateError, Store};
use frostline_engine::{Context, Processor};
use serde_json::value::RawValue;

use super::moment_alert::{About, MomentAlert};
use super::rule_errors;
use super::silence::Silence;
use super::watch_memory::{
    NIGHT_KEY, NOW_KEY, forget_as_planted, key_of, load, read, read_or, rule_and_station, write,
};
use super::{Limits, accepted_value};
use crate::hourly::standard_offset;
use crate::noaa::{Date, ObservationView, StationId, StationView};
use crate::outlook::OutlookRecord;
use crate::rules::{
    DayVerdict, Evaluator, Feed, HourValues, HourWatch, Judgement, MomentView, NightWatch, Place, Rule,
    RuleSet, Settled, Sight, Verdict,
};
use crate::stages::count;

/// A partition without records for this long may be silent, in milliseconds.
const QUIET_MS: i64 = 60_000;
/// A stream is live while its newest observation is at most this old, in seconds.
const LIVE: i64 = 36 * 3_600;

type Parsed<'a> = OutlookRecord<&'a RawValue>;

/// The processor of outlooks.
pub struct Watch {
    rules: Arc<RuleSet>,
    evaluator: Evaluator,
    limits: Limits,
    /// The generation of `rules` that the fields below belong to.
    generation: u64,
    has_conditions: bool,
    watched: HashMap<StationId, Watched, foldhash::fast::RandomState>,
    /// Read from the store with the first record or turn.
    silence: Option<Silence>,
    /// When the last record arrived, by the clock, in milliseconds since 1970.
    last_record_ms: i64,
}

/// A station, and the rules that watch it.
type StationRules = (Rc<StationView>, Rc<[Arc<Rule>]>);

/// A station's rules.
struct Watched {
    /// The bytes of its JSON, and the parsed station.
    json: Box<str>,
    station: Rc<StationView>,
    rules: Rc<[Arc<Rule>]>,
}

impl Watch {
    /// Evaluates `rules`, and follows their changes.
    pub fn new(rules: Arc<RuleSet>, limits: Limits) -> Self {
        let (generation, has_conditions) = (rules.generation(), rules.has_conditions(Feed::MOMENTS));
        Self {
            rules,
            evaluator: Evaluator::new(),
            limits,
            generation,
            has_conditions,
            watched: HashMap::default(),
            silence: None,
            last_record_ms: i64::MAX,
        }
    }

    fn follow_changes(&mut self) {
        let generation = self.rules.generation();
        if generation != self.generation {
            self.generation = generation;
            self.has_conditions = self.rules.has_conditions(Feed::MOMENTS);
            self.watched.clear();
        }
    }

    /// The station of a record, and the rules that watch it.
    fn rules_of(&mut self, record: &Parsed<'_>) -> Result<StationRules, String> {
        let json = record.station.get();
        let station = read_station(json, &record.date)?;
        if let Some(watched) = self.watched.get(&station.id).filter(|watched| *watched.json == *json) {
            return Ok((Rc::clone(&watched.station), Rc::clone(&watched.rules)));
        }
        let rules = self.rules.of_station(&station, &self.evaluator, Feed::MOMENTS);
        let (found, json) = ((Rc::clone(&station), Rc::clone(&rules)), json.into());
        self.watched.insert(station.id, Watched { json, station, rules });
        Ok(found)
    }

    fn silence(&mut self, store: &Store, today: u32) -> Result<&mut Silence, StateError> {
        if self.silence.is_none() {
            self.silence = Some(load(store, today)?);
        }
        // It was set above.
        self.silence.as_mut().ok_or_else(|| store.corrupted("the calendar is missing"))
    }

    /// The partition's observations have reached `now`: alerts of stations that have been silent for too long become
    /// stale, in the order of their deadlines. An entry with reports since it was listed is listed again, always for
    /// a later time; the entry of a rule without `clear` is not, because it would come back forever.
    fn advance(
        &mut self,
        now: i64,
        record: Option<&Record<'_>>,
        context: &mut Context<'_>,
    ) -> Result<(), StateError> {
        let timestamp_ms = record.map_or(context.now_ms, |record| record.timestamp_ms);
        let today = context.record_day(timestamp_ms);
        let silence = self.silence(context.store, today)?;
        if now <= silence.now {
            return Ok(());
        }
        silence.now = now;
        context.store.put(NOW_KEY, today, &now.to_be_bytes());
        while let Some((listed, key)) = self.silence(context.store, today)?.next_due(now) {
            let is_due = |deadline: Option<i64>| deadline.is_some_and(|deadline| deadline <= listed);
            let Some((rule_id, station)) = rule_and_station(&key) else { continue };
            let Some(rule) = self.rules.get(rule_id).filter(|rule| may_watch(rule, station, &key)) else {
                continue;
            };
            let (deadline, events, (name, offset), heard) = match key[0] {
                NIGHT_KEY => {
                    let Some((mut entry, day)) = read::<NightWatch>(context.store, &key, today)? else {
                        continue;
                    };
                    let watch = &mut entry.watch;
                    let (mut events, heard) = (Vec::new(), watch.heard());
                    if is_due(watch.deadline()) && watch.is_of(rule.identity) {
                        watch.wait_until(now, &mut events);
                    }
                    let deadline = watch.deadline();
                    write(&entry, day, &key, !events.is_empty(), context);
                    (deadline, events, (entry.watch.station_name, entry.offset), heard)
                }
                _ => {
                    let Some((mut entry, day)) = read::<HourWatch>(context.store, &key, today)? else {
                        continue;
                    };
                    let watch = &mut entry.watch;
                    let (mut events, heard) = (Vec::new(), watch.heard());
                    if is_due(watch.deadline()) && watch.is_of(rule.identity) {
                        watch.wait_until(rule.clear.is_some(), now, &mut events);
                    }
                    let deadline = watch.deadline();
                    write(&entry, day, &key, !events.is_empty(), context);
                    (deadline, events, (entry.watch.station_name, entry.offset), heard)
                }
            };
            self.silence(context.store, today)?.list(&key, deadline.filter(|deadline| *deadline > listed));
            let about = About::Silence { station, name: &name, offset, since: heard };
            for event in &events {
                emit(&MomentAlert::new(&rule, event, &about), record, timestamp_ms, context);
            }
        }
        Ok(())
    }

    /// Judges the measured and expected values by one rule.
    fn judge(
        &mut self,
        rule: &Arc<Rule>,
        parsed: &Parsed<'_>,
        moment: &MomentView,
        record: &Record<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), StateError> {
        let judgement = match rule.judge_moment(&self.evaluator, moment) {
            Ok(judgement) => judgement,
            Err(error) => {
                rule_errors::evaluation_failed(&self.rules, rule, &error, context);
                return Ok(());
            }
        };
        let today = context.record_day(record.timestamp_ms);
        let key = key_of(rule, moment.station.id);
        let name = moment.station.name.as_deref().unwrap_or_default();
        let offset = moment.station.longitude.map(|longitude| standard_offset(longitude) as i32);
        let (mut events, is_night) = (Vec::new(), rule.feed() == Feed::Night);
        let (deadline, track) = if is_night {
            let Some(sight) = sight(rule, parsed, moment, judgement) else { return Ok(()) };
            let (mut entry, day) = read_or(context.store, &key, today, || NightWatch::new(rule.identity))?;
            let before = entry.clone();
            entry.offset = offset;
            name.clone_into(&mut entry.watch.station_name);
            entry.watch.judge(rule.identity, sight, &mut events);
            write(&entry, day, &key, entry != before, context);
            (entry.watch.deadline(), entry.watch.track())
        } else {
            let (mut entry, day) = read_or(context.store, &key, today, || HourWatch::new(rule.identity))?;
            let before = entry.watch.deadline();
            entry.offset = offset;
            name.clone_into(&mut entry.watch.station_name);
            let at = (moment.date, parsed.time);
            entry.watch.judge((rule.identity, rule.clear.is_some()), at, judgement.verdict, &mut events);
            // A report matters here only while an alert stands.
            let deadline = entry.watch.deadline();
            write(&entry, day, &key, !events.is_empty() || deadline != before, context);
            (deadline, Default::default())
        };
        self.silence(context.store, today)?.list(&key, deadline);
        let about = About::Outlook { record: parsed, station: &moment.station, track, view: Some(moment) };
        for event in &events {
            emit(&MomentAlert::new(rule, event, &about), Some(record), record.timestamp_ms, context);
        }
        Ok(())
    }

    /// A night is over.
    fn settle(
        &mut self,
        rule: &Arc<Rule>,
        parsed: &Parsed<'_>,
        station: &Rc<StationView>,
        record: &Record<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), StateError> {
        let Some((outcome, limit)) = parsed.outcome.as_ref().zip(rule.night_limit()) else { return Ok(()) };
        let Some(night) = outcome.night.date() else { return Ok(()) };
        let (is_reached, is_complete) = (outcome.lowest_c <= limit, outcome.is_complete);
        let today = context.record_day(record.timestamp_ms);
        let key = key_of(rule, station.id);
        let Some((mut entry, day)) = read::<NightWatch>(context.store, &key, today)? else { return Ok(()) };
        let (mut events, before) = (Vec::new(), entry.clone());
        entry.watch.settle(rule.identity, Settled { night, is_reached, is_complete }, &mut events);
        write(&entry, day, &key, entry != before, context);
        let about = About::Outlook { record: parsed, station, track: entry.watch.track(), view: None };
        for event in &events {
            emit(&MomentAlert::new(rule, event, &about), Some(record), record.timestamp_ms, context);
        }
        Ok(())
    }
}

impl Processor for Watch {
    fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError> {
        self.follow_changes();
        if self.silence.is_none() {
            forget_as_planted(context.store)?;
        }
        self.last_record_ms = context.now_ms;
        let Some(value) = accepted_value(record, &self.limits, context) else { return Ok(()) };
        let parsed: Parsed<'_> = match serde_json::from_slice(value) {
            Ok(parsed) => parsed,
            Err(error) => {
                context.reject(record, &format!("it is not an outlook: {error}"));
                return Ok(());
            }
        };
        let found = self.rules_of(&parsed).and_then(|(station, rules)| {
            let date = Date::parse_iso(&parsed.date).ok_or_else(|| format!("date {:?}", parsed.date))?;
            let is_key = record.key == Some(station.id.as_bytes());
            is_key
                .then_some((station, rules, date))
                .ok_or_else(|| "the key is not the station's id".to_owned())
        });
        let (station, rules, date) = match found {
            Ok(found) => found,
            Err(reason) => {
                context.reject(record, &reason);
                return Ok(());
            }
        };
        self.advance(parsed.time, Some(record), context)?;
        if parsed.outcome.is_some() {
            for rule in rules.iter().filter(|rule| rule.feed() == Feed::Night) {
                self.settle(rule, &parsed, &station, record, context)?;
            }
            return Ok(());
        }
        let moment = moment(&parsed, station, date);
        for rule in rules.iter() {
            // A late observation changes the outlook, but not the present values.
            if parsed.observed.is_some() || rule.feed() == Feed::Night {
                self.judge(rule, &parsed, &moment, record, context)?;
            }
        }
        Ok(())
    }

    fn turn(&mut self, context: &mut Context<'_>) -> Result<(), StateError> {
        let now = context.now_ms / 1_000;
        if self.last_record_ms == i64::MAX {
            self.last_record_ms = context.now_ms;
        }
        if context.now_ms - self.last_record_ms < QUIET_MS {
            return Ok(());
        }
        let today = context.record_day(context.now_ms);
        let silence = self.silence(context.store, today)?;
        let is_live = (0..LIVE).contains(&now.saturating_sub(silence.now));
        if is_live && silence.has_due(now) { self.advance(now, None, context) } else { Ok(()) }
    }
}

/// Whether the entry `key` of a station is still the rule's. If the rule has turned to another station, hearing nothing
/// from this one means nothing.
fn may_watch(rule: &Rule, station: StationId, key: &[u8]) -> bool {
    let is_elsewhere = matches!(rule.place, Place::Station(other) if other != station);
    key_of(rule, station) == key && !is_elsewhere
}

/// Reads a station as observations have it.
fn read_station(json: &str, date: &str) -> Result<Rc<StationView>, String> {
    let document = format!("{{\"station\":{json},\"date\":\"{date}\"}}");
    ObservationView::parse(document.as_bytes()).map(|view| view.station).map_err(|error| error.to_string())
}

/// A record of `noaa-outlooks` as rules see it.
///
/// # Errors
/// A station or a date that cannot be read, in a sentence.
pub fn moment_of(record: &OutlookRecord<&RawValue>) -> Result<MomentView, String> {
    let date = Date::parse_iso(&record.date).ok_or_else(|| format!("date {:?}", record.date))?;
    Ok(moment(record, read_station(record.station.get(), &record.date)?, date))
}

fn moment(record: &Parsed<'_>, station: Rc<StationView>, date: Date) -> MomentView {
    let night = record.expected.as_ref().map(|expected| expected.distribution);
    let temperature = record.expected.as_ref().map_or(0.0, |expected| expected.temperature_c);
    let observed = record.observed.as_ref();
    MomentView {
        station,
        date,
        hour: HourValues {
            temperature_c: observed.map_or(temperature, |observed| observed.temperature_c),
            dew_point_c: observed.and_then(|observed| observed.dew_point_c),
            wet_bulb_c: observed.and_then(|observed| observed.wet_bulb_c),
            wind_m_s: observed.and_then(|observed| observed.wind_m_s),
            humidity_percent: observed.and_then(|observed| observed.humidity_percent),
        },
        night,
    }
}

/// The input of a rule over nights; `None` in the daytime.
fn sight(rule: &Rule, record: &Parsed<'_>, moment: &MomentView, judgement: Judgement) -> Option<Sight> {
    let (expected, limit) = record.expected.as_ref().zip(rule.night_limit())?;
    let holds = match judgement.when {
        Verdict::Unknown => None,
        _ => Some(judgement.verdict == DayVerdict::Matches),
    };
    Some(Sight {
        night: moment.date,
        time: record.time,
        ends: expected.night.ends,
        holds,
        clears: rule.clear.is_some().then_some(judgement.verdict == DayVerdict::Clears),
        is_reached: expected.distribution.lowest_so_far_c().is_some_and(|lowest| lowest <= limit),
        crossing: expected.crossing(limit, record.time),
    })
}

/// Writes one alert.
fn emit(alert: &MomentAlert<'_>, record: Option<&Record<'_>>, timestamp_ms: i64, context: &mut Context<'_>) {
    let id = alert.id();
    context.counts[count::ALERTS] += 1;
    context.collector.emit(alert.station().as_bytes(), timestamp_ms, |out| alert.write(record, out));
    context.collector.header("alert-id", id.as_bytes());
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
