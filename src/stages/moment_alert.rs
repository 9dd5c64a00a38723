//! The value of an alert about an hour or a night: like one about a day, with [`Moment`] in place of elements.

use frostline_engine::record::Record;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::words::{Occasion, Speech};
use super::{Moment, NightFacts};
use crate::hourly::standard_offset;
use crate::noaa::{IsoDay, Meta, PartialStation, StationId, StationView};
use crate::outlook::OutlookRecord;
use crate::rules::{MomentView, NightEvent, Rule, Severity, Subject, TrackRecord, Transition, Units};

/// The origin of an alert.
pub(super) enum About<'a> {
    /// A record of the station.
    Outlook {
        /// The record.
        record: &'a OutlookRecord<&'a RawValue>,
        /// Its station.
        station: &'a StationView,
        /// The outcomes of the rule's last warnings at the station.
        track: TrackRecord,
        /// The rule's input, for its own text.
        view: Option<&'a MomentView>,
    },
    /// The station was silent for too long.
    Silence {
        /// The silent station.
        station: StationId,
        /// Its name; empty if unknown.
        name: &'a str,
        /// How far local standard time there is ahead of UTC, in seconds; `None` if that is unknown.
        offset: Option<i32>,
        /// The time of the last observation, in seconds since 1970.
        since: i64,
    },
}

/// An alert to write.
pub(super) struct MomentAlert<'a> {
    rule: &'a Rule,
    event: &'a NightEvent,
    about: &'a About<'a>,
}

/// An alert of a rule over hours or nights.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MomentAlert")]
pub(crate) struct MomentAlertDocument<'a> {
    /// The station.
    #[schemars(with = "PartialStation")]
    station: Value,
    /// The night, named by the date of its evening in local standard time.
    #[schemars(with = "IsoDay")]
    date: String,
    /// `STATION/DATE`.
    #[serde(rename = "_id")]
    id: String,
    /// Where the outlook was read. Absent if the station is silent.
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Meta>")]
    meta: Option<Value>,
    /// The e-mail address that the rule names.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    /// The id of the alert, the same however often it is made: `RULE/STATION/NIGHT/TRANSITION`, with a number after it if
    /// the night has more than one of a kind.
    alert_id: String,
    /// The id of the rule.
    rule_id: &'a str,
    /// What has happened.
    #[schemars(with = "Transition")]
    transition: &'a str,
    /// How urgent the alert is. Absent if the rule has no severity: then it is a `warning`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Severity>")]
    severity: Option<&'a str>,
    /// The alerts of one night have this in common: `RULE/STATION/NIGHT`.
    episode: String,
    /// The condition of the rule.
    when: &'a str,
    /// The condition that ends an episode of the rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    clear: Option<&'a str>,
    /// The alert in one readable line.
    message: String,
    /// The version of the published rule. Absent if the rule comes from a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule_version: Option<u32>,
    /// The ids of the subscribers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscribers: Vec<&'a str>,
    /// Rules over nights: the chance that the night reaches the limit, 0 to 1. Rules over hours: air temperature in °C.
    value: Option<f64>,
    /// The numbers of the alert.
    moment: Moment,
}

impl<'a> MomentAlert<'a> {
    pub(super) fn new(rule: &'a Rule, event: &'a NightEvent, about: &'a About<'a>) -> Self {
        Self { rule, event, about }
    }

    pub(super) fn id(&self) -> String {
        self.event.alert_id(&self.rule.id, self.station())
    }

    pub(super) fn station(&self) -> StationId {
        match self.about {
            About::Outlook { station, .. } => station.id,
            About::Silence { station, .. } => *station,
        }
    }

    /// Appends the value.
    pub(super) fn write(&self, record: Option<&Record<'_>>, out: &mut Vec<u8>) {
        let (rule, station, night) = (self.rule, self.station(), self.event.night);
        let moment = self.moment();
        let value = match &moment.night {
            Some(night) => night.chance,
            None => moment.observed.map(|observed| observed.temperature_c),
        };
        let message = self.own_text().unwrap_or_else(|| {
            let units = Units::of_condition(rule.when.text()).unwrap_or_default();
            let speech = Speech::new(units, None, moment.offset);
            let (transition, place, when) = (self.event.transition, self.place(), rule.when.text());
            speech.sentence(Occasion { transition, moment: &moment, place: &place, when })
        });
        let document = MomentAlertDocument {
            station: self.station_json(),
            date: format!("{night}T00:00:00"),
            id: format!("{station}/{night}"),
            meta: record.map(meta),
            email: rule.email.as_ref().map(|email| email.0.as_str()),
            alert_id: self.id(),
            rule_id: &rule.id,
            transition: self.event.transition.as_str(),
            severity: self.severity().map(Severity::as_str),
            episode: format!("{}/{station}/{night}", rule.id),
            when: rule.when.text(),
            clear: rule.clear.as_ref().map(|clear| clear.text()),
            message,
            rule_version: (rule.version > 0).then_some(rule.version),
            subscribers: rule.subscribers.iter().map(|id| &**id).collect(),
            value,
            moment,
        };
        // Strings and numbers into a vector cannot fail.
        let _ = serde_json::to_writer(out, &document);
    }

    /// A night that went well wakes nobody.
    fn severity(&self) -> Option<Severity> {
        if self.event.transition == Transition::Averted { Some(Severity::Info) } else { self.rule.severity }
    }

    /// The rule's own text, if it has one for this transition.
    fn own_text(&self) -> Option<String> {
        let About::Outlook { view: Some(view), .. } = self.about else { return None };
        let begins = matches!(self.event.transition, Transition::Fired | Transition::Expected);
        let template = self.rule.message.as_ref().filter(|_| begins)?;
        let subject = Subject {
            rule: &self.rule.id,
            when: self.rule.when.text(),
            severity: self.rule.severity.unwrap_or_default().as_str(),
            date: self.event.night,
            days: 1,
        };
        Some(template.render_moment(&subject, view, self.rule.night_limit()))
    }

    fn station_json(&self) -> Value {
        match self.about {
            About::Outlook { record, .. } => serde_json::from_str(record.station.get()).unwrap_or_default(),
            About::Silence { station, name, .. } => match *name {
                "" => serde_json::json!({ "id": station }),
                name => serde_json::json!({ "id": station, "name": name }),
            },
        }
    }

    fn place(&self) -> String {
        let name = match self.about {
            About::Outlook { station, .. } => station.name.as_deref().unwrap_or_default(),
            About::Silence { name, .. } => name,
        };
        if name.is_empty() { self.station().to_string() } else { name.to_owned() }
    }

    fn moment(&self) -> Moment {
        let limit_c = self.rule.night_limit();
        match self.about {
            About::Silence { since, offset, .. } => Moment {
                time: *since,
                offset: offset.unwrap_or_default(),
                night: limit_c.map(|limit_c| NightFacts { limit_c, ..NightFacts::default() }),
                ..Moment::default()
            },
            About::Outlook { record, station, track, .. } => Moment {
                time: record.time,
                offset: station.longitude.map_or(0, |longitude| standard_offset(longitude) as i32),
                observed: record.observed,
                night: limit_c.map(|limit_c| NightFacts {
                    crossing_before: self.event.crossing_before,
                    ..facts(limit_c, record, *track)
                }),
                crop: self.rule.crop.as_ref().map(|crop| format!("{crop}.")),
            },
        }
    }
}

fn facts(limit_c: f64, record: &OutlookRecord<&RawValue>, track: TrackRecord) -> NightFacts {
    let facts = NightFacts {
        limit_c,
        warnings: track.warnings(),
        came_true: track.came_true(),
        ..NightFacts::default()
    };
    if let Some(outcome) = &record.outcome {
        return NightFacts {
            ends: outcome.night.ends,
            lowest_so_far_c: Some(outcome.lowest_c),
            lowest_at: Some(outcome.lowest_at),
            ..facts
        };
    }
    let Some(expected) = &record.expected else { return facts };
    let distribution = &expected.distribution;
    NightFacts {
        ends: expected.night.ends,
        chance: Some((distribution.chance(limit_c) * 1_000.0).round() / 1_000.0),
        p10_c: Some(distribution.quantile(0.1)),
        p50_c: Some(distribution.quantile(0.5)),
        p90_c: Some(distribution.quantile(0.9)),
        lowest_at: Some(expected.lowest_at),
        crossing_at: expected.crossing(limit_c, record.time),
        lowest_so_far_c: distribution.lowest_so_far_c(),
        nights_learnt: expected.nights,
        inputs: expected.inputs.clone(),
        ..facts
    }
}

/// The place where a record was read.
pub(super) fn meta(record: &Record<'_>) -> Value {
    serde_json::json!({
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "key": record.key.map(String::from_utf8_lossy),
        "timestamp": record.timestamp_ms,
    })
}
