//! A rule in its written form, in a file or in a record of the rules' topic.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::feed;
use super::plain_words::shown;
use super::{
    Active, ActiveDefinition, Address, Condition, ConditionError, Crop, Feed, Identity, Place, Rule, Scope,
    Severity, Template,
};
use crate::noaa::StationId;

/// Longest id of a rule or subscriber, in bytes.
const ID_BYTES_MAX: usize = 100;
/// Most subscribers of one rule.
const SUBSCRIBERS_MAX: usize = 1_000;
/// With fewer conditions than this, unused ones are kept.
const SWEEP_MIN: usize = 10_000;
/// Default distance limit of a station, in kilometres.
const MAX_KM: f64 = 100.0;
/// Longest `for_days` and `repeat_days`.
const DAYS_MAX: u16 = 366;

/// A rule, as in a rule file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Rule")]
pub struct Definition {
    /// The id, unique among the rules.
    pub id: String,
    /// The ids of the subscribers that get its alerts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscribers: Vec<String>,
    /// An e-mail address, instead of a subscriber.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<Address>,
    /// The station that the rule watches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub station: Option<String>,
    /// A point. The rule watches the nearest station that reports the elements of its condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub near: Option<Near>,
    /// A condition over `station`. The rule watches all stations that meet it.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub stations: Option<String>,
    /// The condition on which the rule fires. Absent if `crop` stands for it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub when: String,
    /// A crop that stands for a condition over the coming night, such as `peach`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<String>,
    /// The growth stage of the crop, as in `full bloom`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// With `crop`: the chance, 0 to 1, from which on the rule fires.
    #[schemars(range(min = 0, max = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
    /// The condition that ends an episode. A rule without it judges each day alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clear: Option<String>,
    /// How many reported days in a row must match before the rule fires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_days: Option<u16>,
    /// After how many days an episode that lasts fires again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat_days: Option<u16>,
    /// How urgent its alerts are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// The text of its alerts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The part of the year in which the rule may fire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<ActiveDefinition>,
}

/// A point on the earth, and how far away a station may be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Near {
    /// Latitude in degrees, north positive.
    pub lat: f64,
    /// Longitude in degrees, east positive.
    pub lon: f64,
    /// Metres above sea level, to show how much higher or lower the station is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elevation: Option<f64>,
    /// How far away the station may be, in kilometres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_km: Option<f64>,
}

/// One mistake in a definition: the field, the offset in its text, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field's name in the file.
    pub field: &'static str,
    /// Bytes from the start of the field's text.
    pub offset: usize,
    /// What is wrong and what is expected, in a sentence.
    pub message: String,
}

/// Conditions compiled so far: many rules share their text, and compiling one takes long.
#[derive(Default)]
pub struct Conditions {
    of_observations: HashMap<Arc<str>, Arc<Condition>>,
    of_stations: HashMap<Arc<str>, Arc<Condition>>,
    /// Ids of subscribers, which rules share too.
    subscribers: HashSet<Arc<str>>,
    /// With this many conditions, unused ones are dropped.
    sweep_at: usize,
}

impl Conditions {
    fn compile(&mut self, text: &str, scope: Scope) -> Result<Arc<Condition>, ConditionError> {
        let compiled = match scope {
            Scope::Station => &mut self.of_stations,
            Scope::Observation | Scope::Filter => &mut self.of_observations,
        };
        if let Some(condition) = compiled.get(text) {
            return Ok(Arc::clone(condition));
        }
        let condition = Arc::new(Condition::compile(text, scope)?);
        if compiled.len() >= self.sweep_at.max(SWEEP_MIN) {
            // Conditions of rules that have changed since.
            compiled.retain(|_, condition| Arc::strong_count(condition) > 1);
            self.sweep_at = 2 * compiled.len();
        }
        compiled.insert(text.into(), Arc::clone(&condition));
        Ok(condition)
    }

    fn subscriber(&mut self, id: &str) -> Arc<str> {
        if let Some(known) = self.subscribers.get(id) {
            return Arc::clone(known);
        }
        let id: Arc<str> = id.into();
        self.subscribers.insert(Arc::clone(&id));
        id
    }
}

/// When a rule fires, compiled.
struct Fires {
    when: Arc<Condition>,
    clear: Option<Arc<Condition>>,
    crop: Option<Crop>,
}

/// Collects mistakes while a definition is read.
#[derive(Default)]
pub(super) struct Problems(pub(super) Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, field: &'static str, offset: usize, message: impl Into<String>) {
        self.0.push(Problem { field, offset, message: message.into() });
    }
}

impl Definition {
    /// Checks the definition and compiles it. `nearest`: the station that was found for `near`.
    ///
    /// # Errors
    /// All mistakes.
    pub fn compile(
        &self,
        version: u32,
        nearest: Option<StationId>,
        conditions: &mut Conditions,
    ) -> Result<Rule, Vec<Problem>> {
        let mut problems = Problems::default();
        check_id("rule", &self.id, &mut problems);
        let place = self.place(nearest, conditions, &mut problems);
        let fires = self.conditions(conditions, &mut problems);
        self.check_subscribers(&mut problems);
        let feed = fires.as_ref().map(|fires| feed::of_rule(&fires.when, fires.clear.as_deref()));
        let message = self.message.as_ref().and_then(|text| match Template::compile(text, feed) {
            Ok(template) => Some(Box::new(template)),
            Err((offset, message)) => {
                problems.add("message", offset, message);
                None
            }
        });
        let active = self.active.as_ref().and_then(|written| match Active::compile(written) {
            Ok(active) => Some(Box::new(active)),
            Err(message) => {
                problems.add("active", 0, message);
                None
            }
        });
        let (Some(place), Some(Fires { when, clear, crop }), true) = (place, fires, problems.0.is_empty())
        else {
            return Err(problems.0);
        };
        let identity = Identity {
            fingerprint: self.fingerprint(when.text()),
            incarnation: 0,
            place: self.place_fingerprint(nearest),
        };
        Ok(Rule {
            id: self.id.as_str().into(),
            version,
            place,
            when,
            clear,
            crop: crop.map(Box::new),
            for_days: self.for_days.unwrap_or(1),
            repeat_days: self.repeat_days,
            severity: self.severity,
            message,
            active,
            subscribers: self.subscribers.iter().map(|id| conditions.subscriber(id)).collect(),
            email: self.email.clone(),
            identity,
        })
    }

    /// Compiles `when` and `clear`, and checks settings that depend on their feed.
    fn conditions(&self, conditions: &mut Conditions, problems: &mut Problems) -> Option<Fires> {
        let (when, crop) = self.chosen(problems);
        let mut condition = |field, text: &str| match conditions.compile(text, Scope::Observation) {
            Ok(condition) => Some(condition),
            Err(error) => {
                problems.add(field, error.offset, error.message);
                None
            }
        };
        // An unknown crop stands for no condition, and is reported already.
        let is_known = self.crop.is_none() || crop.is_some();
        let when = if is_known { condition("when", &when) } else { None };
        let clear = self.clear.as_ref().map(|clear| condition("clear", clear));
        let is_of_days = match &when {
            Some(when) => {
                feed::check(self, when, clear.as_ref().and_then(Option::as_deref), problems) == Feed::Day
            }
            None => true,
        };
        if is_of_days {
            self.check_days(problems);
        }
        Some(Fires { when: when?, clear: clear.flatten(), crop })
    }

    fn place(
        &self,
        nearest: Option<StationId>,
        conditions: &mut Conditions,
        problems: &mut Problems,
    ) -> Option<Place> {
        const EXPECTED: &str = "expected one of station = \"USW00003192\", near = { lat = 33.6, lon = -111.9 } and \
                                where = \"station.state_code == 'AZ'\"";
        match (&self.station, &self.near, &self.stations) {
            (Some(id), None, None) => {
                let station = StationId::parse(id.as_bytes());
                if station.is_none() {
                    let expected = "expected a GHCN-Daily id of 11 characters, such as USW00003192";
                    problems.add("station", 0, format!("station {id:?}: {expected}"));
                }
                station.map(Place::Station)
            }
            (None, Some(near), None) => {
                near.check(problems);
                Some(nearest.map_or(Place::Unresolved(*near), Place::Station))
            }
            (None, None, Some(text)) => match conditions.compile(text, Scope::Station) {
                Ok(condition) => Some(Place::Where(condition)),
                Err(error) => {
                    problems.add("where", error.offset, error.message);
                    None
                }
            },
            (None, None, None) => {
                problems.add("station", 0, format!("rule {} has no place: {EXPECTED}", shown(&self.id)));
                None
            }
            _ => {
                problems.add(
                    "id",
                    0,
                    format!("rule {} has more than one place: {EXPECTED}", shown(&self.id)),
                );
                None
            }
        }
    }

    fn check_days(&self, problems: &mut Problems) {
        for (field, days) in [("for_days", self.for_days), ("repeat_days", self.repeat_days)] {
            let Some(days) = days else { continue };
            if !(1..=DAYS_MAX).contains(&days) {
                problems.add(field, 0, format!("{field} = {days}: expected 1 to {DAYS_MAX}"));
            } else if self.clear.is_none() && (field == "repeat_days" || days > 1) {
                let advice = "say when an episode is over, as in clear = \"TMIN > 12.0\"; without that each \
                              matching day fires by itself";
                problems.add(field, 0, format!("{field} needs `clear`: {advice}"));
            }
        }
    }

    fn check_subscribers(&self, problems: &mut Problems) {
        if self.subscribers.len() > SUBSCRIBERS_MAX {
            let found = self.subscribers.len();
            problems.add("subscribers", 0, format!("{found} subscribers: the limit is {SUBSCRIBERS_MAX}"));
            return;
        }
        let mut seen = HashSet::new();
        for id in self.subscribers.iter().filter(|id| !seen.insert(id.as_str())) {
            problems.add("subscribers", 0, format!("subscriber {} is named twice", shown(id)));
        }
        if let Some(email) = &self.email {
            check_email(&email.0, problems);
        }
    }

    /// A number that changes when the conditions of the life cycle change, and only then.
    fn fingerprint(&self, when: &str) -> u32 {
        sum(&(when, &self.clear, self.for_days.unwrap_or(1), self.repeat_days, &self.active))
    }

    /// A number that changes with the choice of stations.
    fn place_fingerprint(&self, nearest: Option<StationId>) -> u32 {
        match &self.near {
            Some(_) => nearest_fingerprint(nearest),
            None => sum(&(&self.station, &self.stations, nearest)),
        }
    }
}

impl Near {
    /// How far away a station may be, in kilometres.
    pub fn max_km(&self) -> f64 {
        self.max_km.unwrap_or(MAX_KM)
    }

    fn check(&self, problems: &mut Problems) {
        let mut within = |name: &str, value: f64, min: f64, max: f64| {
            if !(min..=max).contains(&value) {
                problems.add("near", 0, format!("{name} = {value}: expected {min} to {max}"));
            }
        };
        within("lat", self.lat, -90.0, 90.0);
        within("lon", self.lon, -180.0, 180.0);
        within("max_km", self.max_km.unwrap_or(1.0), 0.1, 20_000.0);
        within("elevation", self.elevation.unwrap_or(0.0), -500.0, 9_000.0);
    }
}

/// A number for the place of a rule with `near`.
pub(super) fn nearest_fingerprint(nearest: Option<StationId>) -> u32 {
    sum(&(None::<&str>, None::<&str>, nearest))
}

fn sum(value: &impl Serialize) -> u32 {
    let mut crc = flate2::Crc::new();
    // Strings and numbers into a vector: this cannot fail.
    crc.update(&serde_json::to_vec(value).unwrap_or_default());
    crc.sum()
}

/// Ids are part of alert ids, which are used in paths and headers, so they are kept plain.
pub(super) fn check_id(kind: &str, id: &str, problems: &mut Problems) {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    // Only dots would be a step in a path, not a name.
    let is_path = id.chars().all(|c| c == '.');
    if id.is_empty() || id.len() > ID_BYTES_MAX || !id.chars().all(plain) || is_path {
        let expected =
            format!("expected 1 to {ID_BYTES_MAX} letters, digits, `-`, `_` or `.`, and not only dots");
        problems.add("id", 0, format!("{kind} id {}: {expected}", shown(id)));
    }
}

pub(super) fn check_email(email: &str, problems: &mut Problems) {
    let is_plain = email.len() <= 254 && !email.chars().any(|c| c.is_control() || c.is_whitespace());
    if !is_plain || email.parse::<lettre::Address>().is_err() {
        // The address itself is not repeated: messages end up in logs.
        problems.add("email", 0, "email: expected one address, as in grower@example.org");
    }
}
