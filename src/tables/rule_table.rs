//! The rules' topic: the compacted topic `noaa-rules`, followed so that a change takes effect everywhere within a
//! second.
//!
//! It is read from the beginning at each start: a million rules take seconds, and there is no copy on disk that could
//! differ. Only the newest record of a key is compiled, and only after the end of the topic has been reached, so a
//! record that is later replaced or removed can do no harm.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use frostline_engine::{Record, StateError, Table};

use crate::rules::{Conditions, Item, Key, PublishedRule, QUARANTINED_METRIC, Quarantine, Rule, RuleSet};

const RULES_METRIC: &str = "frostline_rules";

/// The place of a record, for logs.
#[derive(Clone, Copy, Debug)]
struct Source {
    partition: i32,
    offset: i64,
}

/// The table; it applies records of the topic to the rules in force.
pub struct RuleTable {
    rules: Arc<RuleSet>,
    conditions: Conditions,
    /// The newest record of each key, until the topic has been read to its end; then `None`.
    unread: Option<BTreeMap<Key, (Source, Vec<u8>)>>,
    is_loaded: bool,
    /// Records with a key of another kind so far.
    ignored: u64,
}

impl RuleTable {
    /// A table that fills `rules`.
    pub fn new(rules: Arc<RuleSet>) -> Self {
        Self {
            rules,
            conditions: Conditions::default(),
            unread: Some(BTreeMap::new()),
            is_loaded: false,
            ignored: 0,
        }
    }

    fn put(&mut self, key: Key, value: &[u8], source: Source) {
        let Source { partition, offset } = source;
        match Item::decode(&key, value) {
            Ok(Item::Subscriber(subscriber)) => {
                self.rules.put_subscriber(*subscriber);
                self.log(|| tracing::info!(%key, partition, offset, "subscriber changed"));
            }
            Ok(Item::Rule(published)) => match self.compile(&published) {
                Ok(rule) => {
                    let version = rule.version;
                    self.rules.put(rule);
                    self.log(|| tracing::info!(%key, version, partition, offset, "rule changed"));
                }
                Err(reason) => self.quarantine(&key, &Quarantine::Broken(reason), source),
            },
            Err(quarantine) => self.quarantine(&key, &quarantine, source),
        }
    }

    /// Compiles a rule. A panic means a broken rule, and must not end the thread that follows all of them.
    fn compile(&mut self, published: &PublishedRule) -> Result<Rule, String> {
        let conditions = &mut self.conditions;
        catch_unwind(AssertUnwindSafe(|| published.compile(conditions))).unwrap_or_else(|_| {
            // The interrupted work may be half done.
            self.conditions = Conditions::default();
            Err("compiling it panicked".into())
        })
    }

    fn remove(&mut self, key: &Key) {
        match key {
            Key::Rule(id) => self.rules.remove(id),
            Key::Subscriber(id) => self.rules.remove_subscriber(id),
        }
        self.log(|| tracing::info!(%key, "removed"));
    }

    /// The previous version is gone from the topic, so it is removed here as well; otherwise processes would differ
    /// by their start times.
    fn quarantine(&mut self, key: &Key, quarantine: &Quarantine, source: Source) {
        let (reason, Source { partition, offset }) = (quarantine.reason(), source);
        self.rules.log().quarantined(|| {
            tracing::warn!(%key, partition, offset, reason, "quarantined: this rule or subscriber has no effect; all others work");
        });
        self.rules.quarantine(key, reason);
    }

    fn log(&self, log: impl FnOnce()) {
        if self.is_loaded {
            log();
        }
    }

    fn report(&self) {
        metrics::gauge!(RULES_METRIC).set(self.rules.len() as f64);
        metrics::gauge!(QUARANTINED_METRIC).set(self.rules.quarantined_count() as f64);
    }
}

impl Table for RuleTable {
    fn take(&mut self, record: &Record<'_>) -> Result<(), StateError> {
        let Record { topic, partition, offset, .. } = *record;
        let Some(key) = record.key.and_then(Key::decode) else {
            self.ignored += 1;
            // The 1st, 2nd, 4th, 8th and so on: there may be any number of them, at each start.
            if self.ignored.is_power_of_two() {
                tracing::warn!(
                    topic,
                    partition,
                    offset,
                    ignored = self.ignored,
                    "ignored a record whose key is neither a rule's nor a subscriber's"
                );
            }
            return Ok(());
        };
        let source = Source { partition, offset };
        match (&mut self.unread, record.value) {
            (Some(unread), Some(value)) => drop(unread.insert(key, (source, value.to_vec()))),
            (Some(unread), None) => drop(unread.remove(&key)),
            (None, Some(value)) => self.put(key, value, source),
            (None, None) => self.remove(&key),
        }
        if self.is_loaded {
            self.report();
        }
        Ok(())
    }

    /// Applies the collected records, now that the end of the topic has been reached.
    fn loaded(&mut self) -> Result<(), String> {
        for (key, (source, value)) in self.unread.take().unwrap_or_default() {
            self.put(key, &value, source);
        }
        self.is_loaded = true;
        self.report();
        let (rules, quarantined) = (self.rules.len(), self.rules.quarantined_count());
        tracing::info!(rules, quarantined, "rules loaded");
        if rules == 0 {
            tracing::warn!("no rules are in force: publish some with `frostline rules apply rules.toml`");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use frostline_engine::record::{HeaderList, NO_HEADERS};

    use crate::rules::Definition;

    fn value(id: &str, version: u32, when: &str) -> (String, Vec<u8>) {
        let station = Some("USW00003192".to_owned());
        let definition = Definition { id: id.into(), station, when: when.into(), ..Definition::default() };
        let item = Item::Rule(Box::new(PublishedRule { version, created_ms: 0, definition, nearest: None }));
        (item.key().encode(), item.encode())
    }

    fn take(table: &mut RuleTable, offset: i64, key: &str, value: Option<&[u8]>) {
        let record = Record {
            topic: "noaa-rules",
            partition: 0,
            offset,
            timestamp_ms: 0,
            key: Some(key.as_bytes()),
            value,
            headers: &HeaderList(NO_HEADERS),
        };
        table.take(&record).unwrap();
    }

    #[test]
    fn only_the_newest_record_of_a_key_is_compiled() {
        let rules = Arc::new(RuleSet::default());
        let mut table = RuleTable::new(Arc::clone(&rules));
        for version in 1..=9 {
            let (key, value) = value("frost", version, &format!("TMIN <= {version}.0"));
            take(&mut table, i64::from(version), &key, Some(&value));
        }
        let (key, broken) = value("removed", 1, "[1].all(TMIN, true)");
        take(&mut table, 10, &key, Some(&broken));
        take(&mut table, 11, &key, None);
        assert!(rules.is_empty() && rules.generation() == 0, "nothing is used before the end of the topic");
        table.loaded().unwrap();
        assert_eq!(rules.get("frost").unwrap().version, 9);
        assert_eq!((rules.len(), rules.generation(), rules.quarantined_count()), (1, 1, 0));
    }

    #[test]
    fn a_broken_rule_is_quarantined_until_it_changes() {
        let rules = Arc::new(RuleSet::default());
        let mut table = RuleTable::new(Arc::clone(&rules));
        let (good_key, good) = value("good", 1, "TMIN <= 0.0");
        let (key, bomb) = value("bomb", 1, "[1, 2].all(TMIN, TMIN > 0)");
        take(&mut table, 0, &key, Some(&bomb));
        take(&mut table, 1, &good_key, Some(&good));
        table.loaded().unwrap();
        assert!(rules.get("good").is_some() && rules.get("bomb").is_none());
        assert!(
            rules.quarantined()[&Key::Rule("bomb".into())].contains("`all`"),
            "{:?}",
            rules.quarantined()
        );
        let (_, mended) = value("bomb", 2, "TMIN > 0.0");
        take(&mut table, 2, &key, Some(&mended));
        assert!(rules.get("bomb").is_some() && rules.quarantined().is_empty());
        take(&mut table, 3, &key, Some(&bomb));
        assert!(rules.get("bomb").is_none(), "the version before is gone from the topic");
        take(&mut table, 4, &key, None);
        assert!(rules.quarantined().is_empty() && rules.len() == 1);
    }
    #[test]
    fn thousands_of_broken_rules_do_not_fill_the_log() {
        let rules = Arc::new(RuleSet::default());
        let mut table = RuleTable::new(Arc::clone(&rules));
        for number in 0..5_000 {
            let (key, broken) = value(&format!("broken-{number}"), 1, "nothing(TMIN)");
            take(&mut table, number, &key, Some(&broken));
        }
        let logged = crate::rules::logged_by(|| table.loaded().unwrap());
        assert_eq!(rules.quarantined_count(), 5_000);
        let named = logged.iter().filter(|line| line.contains("broken-")).count();
        assert_eq!((named, logged.len()), (5, 10), "{logged:#?}");
        assert!(logged.iter().any(|line| line.contains("quarantined=5000")), "{logged:#?}");
    }
}
