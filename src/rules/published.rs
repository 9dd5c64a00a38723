//! Rules and subscribers as records of the compacted topic `noaa-rules`.
//!
//! The key is `rule/ID` or `subscriber/ID`. The value is one JSON object with its format, the version of the rule,
//! and the definition as written. A tombstone removes the item. An unusable record is *quarantined*: it has no
//! effect, all others work, and it stays in the topic until somebody repairs it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::key::Key;
use super::near::Nearest;
use super::plain_words::without_values;
use super::{Conditions, Definition, Needs, Problem, Reporting, Rule, RuleFile, RuleSet, Subscriber};

/// The format of values that this version writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// A rule as it is published.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedRule {
    /// Counts its changes, from 1; 0 if it is not published yet.
    pub version: u32,
    /// When it was first published, in milliseconds since 1970: a rule that was removed and published again is a new
    /// rule.
    pub created_ms: i64,
    /// The definition as written.
    pub definition: Definition,
    /// The station found for `near`.
    pub nearest: Option<Nearest>,
}

impl PublishedRule {
    /// Compiles it.
    ///
    /// # Errors
    /// The mistakes, in one sentence.
    pub fn compile(&self, conditions: &mut Conditions) -> Result<Rule, String> {
        let nearest = self.nearest.as_ref().map(|nearest| nearest.station);
        let told = |problems: Vec<Problem>| {
            let told: Vec<String> =
                problems.iter().map(|problem| format!("{}: {}", problem.field, problem.message)).collect();
            told.join("; ")
        };
        let mut rule = self.definition.compile(self.version, nearest, conditions).map_err(told)?;
        // Any way to shorten it would do: it is only compared.
        rule.identity.incarnation = (self.created_ms ^ (self.created_ms >> 32)) as u32;
        Ok(rule)
    }
}

/// The content of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A rule.
    Rule(Box<PublishedRule>),
    /// A subscriber.
    Subscriber(Box<Subscriber>),
}

/// Why a record is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quarantine {
    /// Another version of frostline may have written it.
    NotUnderstood(String),
    /// It is invalid.
    Broken(String),
}

impl Quarantine {
    /// The reason.
    pub fn reason(&self) -> &str {
        match self {
            Self::NotUnderstood(reason) | Self::Broken(reason) => reason,
        }
    }
}

/// A rule or a subscriber.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RuleOrSubscriber")]
pub(crate) struct RuleDocument {
    /// The form of this document. A newer form is left alone by versions that do not know it.
    format: u32,
    /// Counts the changes of the rule, from 1.
    version: u32,
    /// The time at which the rule was first published, in milliseconds since 1970. A rule that was removed and comes again
    /// is another rule.
    #[serde(default)]
    created_ms: i64,
    /// The rule. A document has either this or `subscriber`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rule: Option<Definition>,
    /// The station that was found for the point of the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nearest: Option<Nearest>,
    /// The subscriber.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subscriber: Option<Subscriber>,
}

impl Item {
    /// The key of its record.
    pub fn key(&self) -> Key {
        match self {
            Self::Rule(rule) => Key::Rule(rule.definition.id.clone()),
            Self::Subscriber(subscriber) => Key::Subscriber(subscriber.id.clone()),
        }
    }

    /// The value of its record.
    pub fn encode(&self) -> Vec<u8> {
        let bare = RuleDocument {
            format: FORMAT,
            version: 1,
            created_ms: 0,
            rule: None,
            nearest: None,
            subscriber: None,
        };
        let value = match self {
            Self::Rule(rule) => RuleDocument {
                version: rule.version,
                created_ms: rule.created_ms,
                rule: Some(rule.definition.clone()),
                nearest: rule.nearest.clone(),
                ..bare
            },
            Self::Subscriber(subscriber) => RuleDocument { subscriber: Some((**subscriber).clone()), ..bare },
        };
        // Strings and numbers into a vector: this cannot fail.
        serde_json::to_vec(&value).unwrap_or_default()
    }

    /// Parses the value of a record.
    ///
    /// # Errors
    /// Why it is not used.
    pub fn decode(key: &Key, value: &[u8]) -> Result<Self, Quarantine> {
        #[derive(Deserialize)]
        struct Form {
            format: Option<u32>,
        }
        let broken = |reason: String| Err(Quarantine::Broken(reason));
        let form: Form = match serde_json::from_slice(value) {
            Ok(form) => form,
            Err(error) => {
                return broken(format!(
                    "it is not a JSON object of frostline's: {}",
                    without_values(&error.to_string())
                ));
            }
        };
        if form.format.is_none_or(|format| format > FORMAT) {
            let found = form.format.map_or_else(|| "no format".into(), |format| format!("format {format}"));
            return Err(Quarantine::NotUnderstood(format!("it has {found}, this version reads {FORMAT}")));
        }
        let mut value: RuleDocument = match serde_json::from_slice(value) {
            Ok(value) => value,
            Err(error) if error.to_string().contains("unknown field") => {
                return Err(Quarantine::NotUnderstood(format!(
                    "this version does not know all its fields: {}",
                    without_values(&error.to_string())
                )));
            }
            Err(error) => {
                return broken(format!("it cannot be read: {}", without_values(&error.to_string())));
            }
        };
        let (rule, subscriber) = (value.rule.take(), value.subscriber.take());
        let value_rest = value;
        let item = match (rule, subscriber) {
            (Some(definition), None) => {
                let RuleDocument { version, created_ms, nearest, .. } = value_rest;
                Self::Rule(Box::new(PublishedRule { version, created_ms, definition, nearest }))
            }
            (None, Some(subscriber)) => match subscriber.check() {
                Ok(()) => Self::Subscriber(Box::new(subscriber)),
                Err(problems) => {
                    return broken(problems.into_iter().map(|problem| problem.message).collect());
                }
            },
            _ => return broken("it has neither a rule nor a subscriber".into()),
        };
        let found = item.key();
        if found != *key { broken(format!("its key says {key}, but its value {found}")) } else { Ok(item) }
    }
}

/// The content of the topic.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// Rules by id.
    pub rules: BTreeMap<String, PublishedRule>,
    /// Subscribers by id.
    pub subscribers: BTreeMap<String, Subscriber>,
    /// Quarantined items, with the reason.
    pub quarantined: BTreeMap<Key, Quarantine>,
}

impl Published {
    /// Takes a record of the topic. `None`: a tombstone.
    pub fn take(&mut self, key: &[u8], value: Option<&[u8]>) {
        let Some(key) = Key::decode(key) else { return };
        self.quarantined.remove(&key);
        match &key {
            Key::Rule(id) => drop(self.rules.remove(id)),
            Key::Subscriber(id) => drop(self.subscribers.remove(id)),
        }
        match value.map(|value| Item::decode(&key, value)) {
            None => {}
            Some(Ok(Item::Rule(rule))) => drop(self.rules.insert(rule.definition.id.clone(), *rule)),
            Some(Ok(Item::Subscriber(subscriber))) => {
                self.subscribers.insert(subscriber.id.clone(), *subscriber);
            }
            Some(Err(quarantine)) => drop(self.quarantined.insert(key, quarantine)),
        }
    }

    /// The content of a file; its rules are not published yet.
    pub fn of_file(file: RuleFile) -> Self {
        let rule =
            |definition: Definition| PublishedRule { version: 0, created_ms: 0, definition, nearest: None };
        Self {
            rules: file.rules.into_iter().map(|(written, _)| (written.id.clone(), rule(written))).collect(),
            subscribers: file.subscribers.into_iter().map(|found| (found.id.clone(), found)).collect(),
            quarantined: BTreeMap::new(),
        }
    }

    /// Whether rules ask for the nearest station.
    pub fn asks_for_nearest(&self) -> bool {
        self.rules.values().any(|rule| rule.definition.near.is_some())
    }

    /// Looks for the nearest stations of rules without one. A station that `before` has for the same point stays as
    /// long as it reports. Returns the rules without a station.
    pub fn find_nearest(
        &mut self,
        reporting: &Reporting,
        before: &Self,
        conditions: &mut Conditions,
    ) -> Vec<String> {
        let mut without = Vec::new();
        for (id, rule) in self.rules.iter_mut().filter(|(_, rule)| rule.nearest.is_none()) {
            let Some(near) = rule.definition.near else { continue };
            // A rule that does not compile is in the quarantine, and needs no station.
            let needs = rule.compile(conditions).map_or(Needs::Elements(Vec::new()), |rule| rule.needs());
            let known = before.rules.get(id).filter(|known| known.definition.near == Some(near));
            let known = known.and_then(|known| known.nearest.clone());
            let still = known.filter(|known| reporting.still_reports(known.station, &needs));
            rule.nearest = still.or_else(|| reporting.nearest(&near, &needs));
            if rule.nearest.is_none() {
                without.push(id.clone());
            }
        }
        without
    }

    /// All valid rules, compiled. [`quarantine_broken`](Self::quarantine_broken) gives the reasons for the others.
    pub fn rule_set(&self, conditions: &mut Conditions) -> RuleSet {
        let rules = RuleSet::default();
        self.subscribers.values().for_each(|subscriber| rules.put_subscriber(subscriber.clone()));
        for published in self.rules.values() {
            if let Ok(rule) = published.compile(conditions) {
                rules.put(rule);
            }
        }
        rules
    }

    /// Moves rules that do not compile to the quarantine.
    pub fn quarantine_broken(&mut self, conditions: &mut Conditions) {
        let broken = |rule: &PublishedRule, conditions: &mut Conditions| rule.compile(conditions).err();
        let found: Vec<(String, String)> = self
            .rules
            .iter()
            .filter_map(|(id, rule)| broken(rule, conditions).map(|reason| (id.clone(), reason)))
            .collect();
        for (id, reason) in found {
            self.rules.remove(&id);
            self.quarantined.insert(Key::Rule(id), Quarantine::Broken(reason));
        }
    }
}

#[cfg(test)]
#[path = "published_tests.rs"]
mod tests;
