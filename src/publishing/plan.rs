//! Plans the changes of a rule file, or of a removal, and checks that they are allowed.

use std::collections::BTreeMap;

use frostline_engine::record::unix_ms;
use serde::Serialize;
use serde_json::Value;

use super::difference::{Change, difference, removal};
use super::{Known, Live, PublishError, Turn, by_id, mistake_json, placement, warnings};
use crate::config::Config;
use crate::rules::{
    Conditions, Item, Key, MISTAKES_MAX, Mistake, Needs, Position, Problem, Published, PublishedRule,
    Quarantine, RuleFile, far,
};

/// The extent of the changes.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// New rules and subscribers.
    pub added: usize,
    /// Replaced ones.
    pub changed: usize,
    /// Removed ones.
    pub removed: usize,
    /// Unchanged ones.
    pub unchanged: usize,
    /// Whether the changes have been made.
    pub published: bool,
}

/// The changes of a file or a removal.
pub struct Plan {
    /// In the order of publishing: a subscriber comes before the rules that name it.
    pub changes: Vec<Change>,
    unchanged: usize,
    /// Warnings about probable mistakes in the file.
    pub warnings: Vec<Mistake>,
    /// Items written by another version.
    pub left_alone: Vec<String>,
}

/// The changes that put the text of a rule file into force.
///
/// # Errors
/// Why it cannot be published, or that the topics cannot be read.
pub fn plan(config: &Config, live: &Live<'_>, text: &str) -> Result<Plan, PublishError> {
    let before = live.published()?;
    let mut conditions = Conditions::default();
    let is_known = |id: &str| before.subscribers.contains_key(id);
    let file = RuleFile::parse(text, &mut conditions, &is_known).map_err(PublishError::Mistakes)?;
    if file.rules.is_empty() && !before.rules.is_empty() {
        return Err(PublishError::RemovesAll(before.rules.len()));
    }
    let names_subscribers = !file.subscribers.is_empty();
    let known = if file.rules.is_empty() {
        Known::default()
    } else {
        Known { table: Some(by_id(live.stations()?)), ..Known::default() }
    };
    let mut warnings = warnings(&file, &known.with_config(config));
    let places = near_places(&file);
    let mut wanted = Published::of_file(file);
    warnings.extend(find_nearest(config, live, &before, &mut wanted, &places)?);
    warnings.extend(far_warnings(&wanted, &places));
    if !names_subscribers {
        wanted.subscribers = before.subscribers.clone();
    }
    check_subscribers(&wanted)?;
    check_versions(&before, &wanted)?;
    let not_understood = |(key, quarantine): (&Key, &Quarantine)| match quarantine {
        Quarantine::NotUnderstood(reason) => Some(format!("{key}: {reason}")),
        Quarantine::Broken(_) => None,
    };
    let mut left_alone: Vec<String> = before.quarantined.iter().filter_map(not_understood).collect();
    left_alone.extend(keep_those_who_may_be_named(&before, &mut wanted));
    let (changes, unchanged) = difference(&before, wanted, unix_ms());
    Ok(Plan { changes, unchanged, warnings, left_alone })
}

/// Keeps the subscribers that the file lacks while there are rules of a newer version, which may name them. Returns why.
fn keep_those_who_may_be_named(before: &Published, wanted: &mut Published) -> Vec<String> {
    let is_newer = |(key, quarantine): (&Key, &Quarantine)| {
        matches!((key, quarantine), (Key::Rule(_), Quarantine::NotUnderstood(_)))
    };
    if !before.quarantined.iter().any(is_newer) {
        return Vec::new();
    }
    let mut kept = Vec::new();
    for (id, subscriber) in &before.subscribers {
        if !wanted.subscribers.contains_key(id) {
            wanted.subscribers.insert(id.clone(), subscriber.clone());
            let key = Key::Subscriber(id.clone());
            kept.push(format!("{key}: rules that this version does not understand may name it"));
        }
    }
    kept
}

/// Refuses to replace what a newer version has written.
fn check_versions(before: &Published, wanted: &Published) -> Result<(), PublishError> {
    let is_wanted = |key: &Key| match key {
        Key::Rule(id) => wanted.rules.contains_key(id),
        Key::Subscriber(id) => wanted.subscribers.contains_key(id),
    };
    let is_newer = |(key, quarantine): &(&Key, &Quarantine)| {
        matches!(quarantine, Quarantine::NotUnderstood(_)) && is_wanted(key)
    };
    let newer = before.quarantined.iter().find(is_newer);
    newer.map_or(Ok(()), |(key, _)| Err(PublishError::Newer(key.clone())))
}

/// The places in the file where rules ask for the nearest station.
fn near_places(file: &RuleFile) -> BTreeMap<String, Position> {
    let problem = || Problem { field: "near", offset: 0, message: String::new() };
    let rules = file.rules.iter().enumerate().filter(|(_, (written, _))| written.near.is_some());
    rules
        .map(|(index, (written, _))| (written.id.clone(), file.locate(index, &problem())))
        .take(MISTAKES_MAX)
        .collect()
}

/// Warnings about stations that were found but are far away.
fn far_warnings(wanted: &Published, places: &BTreeMap<String, Position>) -> Vec<Mistake> {
    let warning = |(id, position): (&String, &Position)| {
        let reason = far(wanted.rules.get(id)?.nearest.as_ref()?)?;
        Some(Mistake { position: *position, message: format!("rule `{id}`: {reason}") })
    };
    places.iter().filter_map(warning).collect()
}

/// Finds the stations of rules that ask for the nearest, and warns about rules without one.
fn find_nearest(
    config: &Config,
    live: &Live<'_>,
    before: &Published,
    wanted: &mut Published,
    places: &BTreeMap<String, Position>,
) -> Result<Vec<Mistake>, PublishError> {
    if !wanted.asks_for_nearest() {
        return Ok(Vec::new());
    }
    let reporting = live.reporting()?;
    let without = wanted.find_nearest(&reporting, before, &mut Conditions::default());
    let days = format!(
        "the newest records of {} are of {} stations",
        config.topic(&config.alert.source).name,
        reporting.len()
    );
    let warning = |id: String| {
        let rule = wanted.rules.get(&id)?.compile(&mut Conditions::default()).ok()?;
        let advice = placement::filter_advice(config, rule.feed());
        let (needs, filter) = (rule.needs(), advice.map_or(String::new(), |advice| format!("; {advice}")));
        let seen = if needs == Needs::Hours { "see noaa-hourly" } else { &days };
        let message = format!(
            "rule `{id}`: no station within reach reports {needs} ({seen}): it cannot fire until one does. Running daemons \
             will look again as observations arrive; if they find none, raise max_km or name a station{filter}"
        );
        Some(Mistake { position: *places.get(&id)?, message })
    };
    Ok(without.into_iter().filter_map(warning).collect())
}

/// Refuses to remove a subscriber that a rule still names.
fn check_subscribers(wanted: &Published) -> Result<(), PublishError> {
    for (id, rule) in &wanted.rules {
        if let Some(missing) =
            rule.definition.subscribers.iter().find(|id| !wanted.subscribers.contains_key(*id))
        {
            return Err(PublishError::NamesRemoved { rule: id.clone(), subscriber: missing.clone() });
        }
    }
    Ok(())
}

/// The changes that remove these items.
///
/// # Errors
/// Why they cannot be removed, or that the topic cannot be read.
pub fn plan_removal(live: &Live<'_>, keys: Vec<Key>) -> Result<Plan, PublishError> {
    removal_of(&live.published()?, keys)
}

fn removal_of(before: &Published, mut keys: Vec<Key>) -> Result<Plan, PublishError> {
    keys.sort();
    keys.dedup();
    for key in &keys {
        let is_there = match key {
            Key::Rule(id) => before.rules.contains_key(id),
            Key::Subscriber(id) => before.subscribers.contains_key(id),
        };
        if !is_there && !before.quarantined.contains_key(key) {
            return Err(PublishError::Unknown(key.clone()));
        }
        if let Key::Subscriber(id) = key {
            let naming = |(rule, published): (&String, &PublishedRule)| {
                let stays = !keys.contains(&Key::Rule(rule.clone()));
                (stays && published.definition.subscribers.contains(id)).then(|| rule.clone())
            };
            if let Some(rule) = before.rules.iter().find_map(naming) {
                return Err(PublishError::StillNamed { rule, key: key.clone() });
            }
        }
    }
    let unchanged = before.rules.len() + before.subscribers.len()
        - keys.len().min(before.rules.len() + before.subscribers.len());
    let changes: Vec<Change> = keys.into_iter().map(removal).collect();
    Ok(Plan { changes, unchanged, warnings: Vec::new(), left_alone: Vec::new() })
}

impl Plan {
    /// The extent of the changes; nothing is published yet.
    pub fn outcome(&self) -> Outcome {
        let mut outcome = Outcome { unchanged: self.unchanged, ..Outcome::default() };
        for change in &self.changes {
            let count = match &change.item {
                None => &mut outcome.removed,
                Some(_) if change.is_new => &mut outcome.added,
                Some(_) => &mut outcome.changed,
            };
            *count += 1;
        }
        outcome
    }

    /// Makes the changes, all or none, and waits until all replicas have them. `sent` is called for each change as it
    /// is sent.
    ///
    /// # Errors
    /// The brokers do not accept them, or somebody else has begun a change since `turn` was taken.
    pub fn publish(&self, turn: &Turn, sent: &mut dyn FnMut()) -> Result<(), PublishError> {
        let record = |change: &Change| (change.key.encode(), change.item.as_ref().map(Item::encode));
        turn.write(self.changes.iter().map(record), sent)
    }

    /// All changes, for programs.
    pub fn as_json(&self, is_published: bool) -> Value {
        let outcome = Outcome { published: is_published, ..self.outcome() };
        let mut all = serde_json::json!(outcome);
        all["changes"] = self.changes.iter().map(Change::as_json).collect();
        all["warnings"] = self.warnings.iter().map(mistake_json).collect();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Definition;

    #[test]
    fn what_a_newer_version_has_written_is_not_replaced() {
        let mut before = Published::default();
        before.take(b"rule/frost", Some(br#"{"format":2,"anything":1}"#));
        let wanted = |id: &str| {
            let text =
                format!("[[rule]]\nid = \"{id}\"\nstation = \"USW00003192\"\nwhen = \"TMIN <= 0.0\"\n");
            Published::of_file(RuleFile::parse(&text, &mut Conditions::default(), &|_| true).unwrap())
        };
        let refused = check_versions(&before, &wanted("frost")).unwrap_err();
        assert!(matches!(&refused, PublishError::Newer(_)) && refused.is_for_people(), "{refused}");
        assert!(refused.to_string().contains("rule `frost`"), "{refused}");
        assert!(check_versions(&before, &wanted("other")).is_ok());
        // Nor are those removed whom it may name.
        let farm = serde_json::from_str(r#"{"id":"farm","email":"grower@example.org"}"#).unwrap();
        before.subscribers.insert("farm".into(), farm);
        let mut other = wanted("other");
        assert_eq!(keep_those_who_may_be_named(&before, &mut other).len(), 1);
        assert!(other.subscribers.contains_key("farm"));
    }

    #[test]
    fn a_subscriber_who_is_named_cannot_go_alone() {
        let station = Some("USW00003192".to_owned());
        let named =
            Definition { id: "frost".into(), station, when: "TMIN <= 0.0".into(), ..Definition::default() };
        let definition = Definition { subscribers: vec!["farm".into()], ..named };
        let rule = PublishedRule { version: 1, created_ms: 0, definition, nearest: None };
        let farm = serde_json::from_str(r#"{"id":"farm","email":"grower@example.org"}"#).unwrap();
        let before = Published {
            rules: [("frost".to_owned(), rule)].into(),
            subscribers: [("farm".to_owned(), farm)].into(),
            ..Published::default()
        };
        let (rule, farm) = (Key::Rule("frost".into()), Key::Subscriber("farm".into()));
        let refused = removal_of(&before, vec![farm.clone()]).err().unwrap();
        assert!(matches!(&refused, PublishError::StillNamed { rule, .. } if rule == "frost"), "{refused}");
        let unknown = removal_of(&before, vec![Key::Rule("none".into())]).err().unwrap();
        assert!(matches!(unknown, PublishError::Unknown(_)) && unknown.is_for_people());
        let both = removal_of(&before, vec![farm, rule]).unwrap().outcome();
        assert_eq!((both.removed, both.unchanged, both.published), (2, 0, false));
    }
}
