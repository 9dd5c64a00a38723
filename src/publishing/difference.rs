//! The difference between the published and the wanted rules, as changes for people and programs.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::rules::{Definition, Item, Key, Published, PublishedRule, Quarantine, Subscriber};

/// One change.
pub struct Change {
    /// The rule or subscriber that changes.
    pub key: Key,
    /// The new value; `None` removes it.
    pub(super) item: Option<Item>,
    /// Whether something is replaced.
    pub(super) is_new: bool,
    /// The difference in a few words.
    pub details: Vec<String>,
}

/// The changes that lead from `before` to `wanted`, and how many items stay as they are.
pub(super) fn difference(before: &Published, wanted: Published, now_ms: i64) -> (Vec<Change>, usize) {
    let removed = removed(before, &wanted);
    let (mut changes, mut unchanged) = (Vec::new(), 0);
    for (id, subscriber) in wanted.subscribers {
        let known = before.subscribers.get(&id);
        if known == Some(&subscriber) {
            unchanged += 1;
            continue;
        }
        let details = known.map(|known| changed_fields(known, &subscriber)).unwrap_or_default();
        let (key, is_new) = (Key::Subscriber(id), known.is_none());
        changes.push(Change { key, item: Some(Item::Subscriber(Box::new(subscriber))), is_new, details });
    }
    for (id, mut rule) in wanted.rules {
        let known = before.rules.get(&id);
        match known {
            Some(known) if known.definition == rule.definition && known.nearest == rule.nearest => {
                unchanged += 1;
                continue;
            }
            Some(known) => {
                (rule.version, rule.created_ms) = (known.version.saturating_add(1), known.created_ms);
            }
            None => (rule.version, rule.created_ms) = (1, now_ms),
        }
        let details = known.map_or_else(|| described(&rule), |known| differences(known, &rule));
        let (key, is_new) = (Key::Rule(id), known.is_none());
        changes.push(Change { key, item: Some(Item::Rule(Box::new(rule))), is_new, details });
    }
    changes.extend(removed.into_iter().map(removal));
    (changes, unchanged)
}

/// The fields of a subscriber that differ. Their values are addresses, and are not shown.
fn changed_fields(before: &Subscriber, now: &Subscriber) -> Vec<String> {
    let fields = |subscriber: &Subscriber| match serde_json::to_value(subscriber) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (old, new) = (fields(before), fields(now));
    // All fields that either has: a list of names here could miss a field.
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    changed.map(|name| format!("{name} changed")).collect()
}

/// Published or broken items that are not wanted. Items written by another version are left alone.
fn removed(before: &Published, wanted: &Published) -> Vec<Key> {
    let broken = |quarantine: &&Quarantine| matches!(quarantine, Quarantine::Broken(_));
    let is_wanted = |key: &Key| match key {
        Key::Rule(id) => wanted.rules.contains_key(id),
        Key::Subscriber(id) => wanted.subscribers.contains_key(id),
    };
    let rules = before.rules.keys().map(|id| Key::Rule(id.clone()));
    let subscribers = before.subscribers.keys().map(|id| Key::Subscriber(id.clone()));
    let quarantined = before.quarantined.iter().filter(|(_, quarantine)| broken(quarantine));
    let all = rules.chain(subscribers).chain(quarantined.map(|(key, _)| key.clone()));
    all.filter(|key| !is_wanted(key)).collect()
}

pub(super) fn removal(key: Key) -> Change {
    Change { key, item: None, is_new: false, details: Vec::new() }
}

/// A rule in a few words.
fn described(rule: &PublishedRule) -> Vec<String> {
    vec![place(rule), rule.definition.condition()]
}

/// The place that a rule watches, in readable form.
pub fn place(rule: &PublishedRule) -> String {
    let Definition { station, near, stations, .. } = &rule.definition;
    match (station, near, &rule.nearest) {
        (Some(station), ..) => station.clone(),
        (_, Some(_), Some(nearest)) => {
            let name = nearest.name.as_deref().unwrap_or_default();
            let higher = match nearest.higher_by_m {
                Some(metres) if metres < 0.0 => format!(", {} m lower", -metres),
                Some(metres) => format!(", {metres} m higher"),
                None => String::new(),
            };
            format!("nearest: {} {name} ({} km{higher})", nearest.station, nearest.km)
        }
        (_, Some(near), None) => format!("near {}, {}: no station is known yet", near.lat, near.lon),
        _ => format!("where {}", stations.as_deref().unwrap_or_default()),
    }
}

/// The fields that differ, with both values.
fn differences(before: &PublishedRule, now: &PublishedRule) -> Vec<String> {
    let fields = |rule: &PublishedRule| {
        let mut fields = match serde_json::to_value(&rule.definition) {
            Ok(Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        // An address is not shown.
        fields.remove("email");
        if let Some(nearest) = &rule.nearest {
            fields.insert("nearest station".into(), nearest.station.to_string().into());
        }
        fields
    };
    let (old, new) = (fields(before), fields(now));
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let shown = |value: Option<&Value>| match value {
        None => "–".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let mut found: Vec<String> = names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|name| format!("{name}: {} → {}", shown(old.get(name)), shown(new.get(name))))
        .collect();
    if before.definition.email != now.definition.email {
        found.push("email changed".into());
    }
    found
}

impl Change {
    /// `added`, `changed` or `removed`.
    pub fn word(&self) -> &'static str {
        match (&self.item, self.is_new) {
            (None, _) => "removed",
            (Some(_), true) => "added",
            (Some(_), false) => "changed",
        }
    }

    /// The version with which a rule is published.
    pub fn version(&self) -> Option<u32> {
        match &self.item {
            Some(Item::Rule(rule)) => Some(rule.version),
            _ => None,
        }
    }

    /// All changes, for programs.
    pub fn as_json(&self) -> Value {
        let (kind, id) = match &self.key {
            Key::Rule(id) => ("rule", id),
            Key::Subscriber(id) => ("subscriber", id),
        };
        serde_json::json!({
            "change": self.word(), "kind": kind, "id": id, "version": self.version(), "details": self.details
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rules::Channel;

    fn published(id: &str, when: &str) -> Published {
        let station = Some("USW00003192".to_owned());
        let definition = Definition { id: id.into(), station, when: when.into(), ..Definition::default() };
        let rule = PublishedRule { version: 3, created_ms: 7, definition, nearest: None };
        Published { rules: [(id.to_owned(), rule)].into(), ..Published::default() }
    }

    fn words(changes: &[Change]) -> Vec<(String, &'static str, Option<u32>)> {
        changes.iter().map(|change| (change.key.encode(), change.word(), change.version())).collect()
    }

    #[test]
    fn only_what_differs_is_changed() {
        let before = published("frost", "TMIN <= 0.0");
        let (changes, unchanged) = difference(&before, before.clone(), 9);
        assert_eq!((changes.len(), unchanged), (0, 1));
        let (changes, _) = difference(&before, published("frost", "TMIN <= 1.0"), 9);
        assert_eq!(words(&changes), [("rule/frost".into(), "changed", Some(4))]);
        assert_eq!(changes[0].details, ["when: TMIN <= 0.0 \u{2192} TMIN <= 1.0"]);
        let (changes, _) = difference(&before, published("heat", "TMAX >= 45.0"), 9);
        let expected = [("rule/heat".into(), "added", Some(1)), ("rule/frost".into(), "removed", None)];
        assert_eq!(words(&changes), expected);
    }

    #[test]
    fn a_change_of_any_field_of_a_subscriber_is_shown_without_its_value() {
        let address_fields = Channel::all().filter_map(|channel| channel.descriptor().field.as_ref());
        let changes = address_fields.map(|field| (field.name, json!("old"), json!("new"))).chain([
            ("name", json!("Anna"), json!("Änna")),
            ("timezone", json!("Europe/Vienna"), json!("UTC")),
            ("quiet", json!({ "from": "22:00", "to": "06:00" }), json!({ "from": "23:00", "to": "06:00" })),
            ("per_hour", json!(3), json!(4)),
        ]);
        for (name, old, new) in changes {
            let subscriber = |value: &Value| -> Subscriber {
                serde_json::from_value(json!({ "id": "anna", name: value })).unwrap()
            };
            let nothing: Subscriber = serde_json::from_value(json!({ "id": "anna" })).unwrap();
            let expected = [format!("{name} changed")];
            assert_eq!(changed_fields(&subscriber(&old), &subscriber(&new)), expected);
            assert_eq!(changed_fields(&subscriber(&old), &nothing), expected);
            assert_eq!(changed_fields(&nothing, &subscriber(&new)), expected);
        }
    }
}
