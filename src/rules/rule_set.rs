//! All rules in force, with an index by station; changed while the stream runs.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use smallvec::SmallVec;

use super::{
    Condition, Conditions, EvaluationError, Evaluator, Feed, Key, Mistake, Near, Needs, Place, Rule,
    RuleFile, RuleLog, Subscriber, Verdict,
};
use crate::noaa::{StationId, StationView};

/// Counts quarantined rules and subscribers.
pub const QUARANTINED_METRIC: &str = "frostline_rules_quarantined";

type Hashed<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
type Rules = SmallVec<[Arc<Rule>; 1]>;

/// The rules in force and their subscribers. Readers keep the rules they have found until
/// [`generation`](Self::generation) changes, so a record needs no lock, and reads only the rules of its own station.
#[derive(Default)]
pub struct RuleSet {
    inner: RwLock<Inner>,
    generation: AtomicU64,
    log: RuleLog,
}

/// Rules that choose their stations by one condition, by id.
type Group = (Arc<Condition>, BTreeMap<Arc<str>, Arc<Rule>>);

#[derive(Default)]
struct Inner {
    rules: Hashed<Arc<str>, Arc<Rule>>,
    by_station: Hashed<StationId, Rules>,
    /// By feed and the text of the condition, which is decided once for all rules that share both.
    by_condition: BTreeMap<(Feed, String), Group>,
    subscribers: Hashed<Arc<str>, Arc<Subscriber>>,
    /// Quarantined rules and subscribers, by key, with the reason.
    quarantined: BTreeMap<Key, String>,
    /// Stations found in this process for rules with `near`, by the rule's id.
    found: BTreeMap<Arc<str>, Found>,
}

/// A station found for a rule's `near`. It also applies to later versions of the rule with the same needs.
struct Found {
    near: Near,
    needs: Needs,
    station: StationId,
}

impl Found {
    fn is_for(&self, near: &Near, rule: &Rule) -> bool {
        self.near == *near && self.needs == rule.needs()
    }
}

impl RuleSet {
    /// Reads a rule file.
    ///
    /// # Errors
    /// All mistakes that were found, each with its line and column; then no rule is used.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        Ok(Self::of_file(RuleFile::parse(text, &mut Conditions::default(), &|_| false)?))
    }

    /// The rules of a file.
    pub fn of_file(file: RuleFile) -> Self {
        let rules = Self::default();
        file.subscribers.into_iter().for_each(|subscriber| rules.put_subscriber(subscriber));
        file.rules.into_iter().for_each(|(_, rule)| rules.put(rule));
        rules
    }

    /// Adds a rule, or replaces the one with its id. If a station was found before for its `near`, the rule watches
    /// that.
    pub fn put(&self, rule: Rule) {
        let mut inner = self.write();
        let found = match &rule.place {
            Place::Unresolved(near) => inner.found.get(&rule.id).filter(|found| found.is_for(near, &rule)),
            Place::Station(_) | Place::Where(_) => None,
        };
        let rule = found.map(|found| rule.at(found.station)).unwrap_or(rule);
        inner.put(Arc::new(rule));
        self.changed(inner);
    }

    /// Removes a rule.
    pub fn remove(&self, id: &str) {
        let mut inner = self.write();
        inner.forgive(|| Key::Rule(id.to_owned()));
        inner.remove_rule(id);
        inner.found.remove(id);
        self.changed(inner);
    }

    /// The rules whose `near` has no station yet.
    pub fn unresolved(&self) -> Vec<(Arc<Rule>, Near)> {
        let near = |rule: &Arc<Rule>| match rule.place {
            Place::Unresolved(near) => Some((Arc::clone(rule), near)),
            Place::Station(_) | Place::Where(_) => None,
        };
        self.read().rules.values().filter_map(near).collect()
    }

    /// Records the station of a rule that is not in force yet.
    pub fn note_nearest(&self, rule: &Rule, near: Near, station: StationId) {
        let found = Found { near, needs: rule.needs(), station };
        self.write().found.insert(Arc::clone(&rule.id), found);
    }

    /// Makes a rule with `near` watch this station. `None` if another version of the rule has come into force.
    pub fn place_nearest(&self, rule: &Arc<Rule>, near: Near, station: StationId) -> Option<Arc<Rule>> {
        let mut inner = self.write();
        inner.rules.get(&rule.id).filter(|known| Arc::ptr_eq(known, rule))?;
        let found = Found { near, needs: rule.needs(), station };
        inner.found.insert(Arc::clone(&rule.id), found);
        let placed = Arc::new(rule.at(station));
        inner.put(Arc::clone(&placed));
        self.changed(inner);
        Some(placed)
    }

    /// Adds a subscriber, or replaces the one with this id.
    pub fn put_subscriber(&self, subscriber: Subscriber) {
        let mut inner = self.write();
        inner.forgive(|| Key::Subscriber(subscriber.id.clone()));
        inner.subscribers.insert(subscriber.id.as_str().into(), Arc::new(subscriber));
    }

    /// Removes a subscriber.
    pub fn remove_subscriber(&self, id: &str) {
        let mut inner = self.write();
        inner.forgive(|| Key::Subscriber(id.to_owned()));
        inner.subscribers.remove(id);
    }

    /// The generation: the number of changes so far.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The rule with this id.
    pub fn get(&self, id: &str) -> Option<Arc<Rule>> {
        self.read().rules.get(id).cloned()
    }

    /// All rules, in no particular order.
    pub fn all(&self) -> Vec<Arc<Rule>> {
        self.read().rules.values().cloned().collect()
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.read().rules.len()
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether some rules of these feeds choose their stations by a condition, so that they depend on a station's
    /// fields.
    pub fn has_conditions(&self, feeds: &[Feed]) -> bool {
        self.read().by_condition.keys().any(|(feed, _)| feeds.contains(feed))
    }

    /// Whether a rule of these feeds names this station.
    pub fn names(&self, station: StationId, feeds: &[Feed]) -> bool {
        let inner = self.read();
        let rules = inner.by_station.get(&station);
        rules.is_some_and(|rules| rules.iter().any(|rule| feeds.contains(&rule.feed())))
    }

    /// The rules of these feeds that watch a station, sorted by id.
    pub fn of_station(
        &self,
        station: &Rc<StationView>,
        evaluator: &Evaluator,
        feeds: &[Feed],
    ) -> Rc<[Arc<Rule>]> {
        let inner = self.read();
        let mut found = inner.by_station.get(&station.id).cloned().unwrap_or_default();
        found.retain(|rule| feeds.contains(&rule.feed()));
        let mut broken = Rules::new();
        for ((feed, _), (condition, rules)) in &inner.by_condition {
            if !feeds.contains(feed) {
                continue;
            }
            match evaluator.evaluate_station(condition, station) {
                Ok(Verdict::Holds) => found.extend(rules.values().cloned()),
                Err(EvaluationError::Panicked) => broken.extend(rules.values().cloned()),
                Ok(Verdict::HoldsNot | Verdict::Unknown) | Err(EvaluationError::Failed(_)) => {}
            }
        }
        drop(inner);
        for rule in broken {
            self.set_aside(&rule, &format!("its `where`: {}", EvaluationError::Panicked));
        }
        found.sort_by(|left, right| left.id.cmp(&right.id));
        found.into_iter().collect()
    }

    /// The subscriber with this id.
    pub fn subscriber(&self, id: &str) -> Option<Arc<Subscriber>> {
        self.read().subscribers.get(id).cloned()
    }

    /// Quarantines a rule or subscriber with a reason, until it is added again or removed.
    pub fn quarantine(&self, key: &Key, reason: &str) {
        let mut inner = self.write();
        match key {
            Key::Rule(id) => inner.remove_rule(id),
            Key::Subscriber(id) => drop(inner.subscribers.remove(id.as_str())),
        }
        inner.quarantined.insert(key.clone(), reason.to_owned());
        self.changed(inner);
    }

    /// Quarantines a rule whose evaluation has shown that it must not be evaluated again. A rule that has replaced it
    /// in the meantime stays. Logged once, because a second caller finds it gone.
    pub fn set_aside(&self, rule: &Arc<Rule>, reason: &str) {
        let is_in_force = self.get(&rule.id).is_some_and(|known| Arc::ptr_eq(&known, rule));
        if is_in_force {
            self.quarantine(&Key::Rule(rule.id.to_string()), reason);
            metrics::gauge!(QUARANTINED_METRIC).set(self.quarantined_count() as f64);
            self.log.quarantined(|| {
                tracing::error!(
                    rule = &*rule.id,
                    reason,
                    "rule quarantined: it is not evaluated until it is changed"
                );
            });
        }
    }

    /// The log of rules that do not work.
    pub fn log(&self) -> &RuleLog {
        &self.log
    }

    /// How many rules and subscribers are quarantined.
    pub fn quarantined_count(&self) -> usize {
        self.read().quarantined.len()
    }

    /// Quarantined items, with the reason.
    pub fn quarantined(&self) -> BTreeMap<Key, String> {
        self.read().quarantined.clone()
    }

    // A poisoned lock only means that a reader panicked; the data behind it is whole.
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self, guard: RwLockWriteGuard<'_, Inner>) {
        // Before the lock is released, so that no reader keeps the old rules under the new number.
        self.generation.fetch_add(1, Ordering::AcqRel);
        drop(guard);
    }
}

impl Inner {
    fn put(&mut self, rule: Arc<Rule>) {
        self.forgive(|| Key::Rule(rule.id.to_string()));
        if let Some(older) = self.rules.insert(Arc::clone(&rule.id), Arc::clone(&rule)) {
            self.unlink(&older);
        }
        self.link(rule);
    }

    /// Removes the quarantine of an item that is added again or removed.
    fn forgive(&mut self, key: impl FnOnce() -> Key) {
        if !self.quarantined.is_empty() {
            self.quarantined.remove(&key());
        }
    }

    fn remove_rule(&mut self, id: &str) {
        if let Some(rule) = self.rules.remove(id) {
            self.unlink(&rule);
        }
    }

    fn link(&mut self, rule: Arc<Rule>) {
        match &rule.place {
            Place::Station(station) => self.by_station.entry(*station).or_default().push(rule),
            Place::Where(condition) => {
                let group = || (Arc::clone(condition), BTreeMap::new());
                let key = (rule.feed(), condition.text().to_owned());
                let group = self.by_condition.entry(key).or_insert_with(group);
                group.1.insert(Arc::clone(&rule.id), rule);
            }
            Place::Unresolved(_) => {}
        }
    }

    fn unlink(&mut self, rule: &Rule) {
        match &rule.place {
            Place::Station(station) => {
                if let Some(rules) = self.by_station.get_mut(station) {
                    rules.retain(|other| other.id != rule.id);
                    if rules.is_empty() {
                        self.by_station.remove(station);
                    }
                }
            }
            Place::Where(condition) => {
                let key = (rule.feed(), condition.text().to_owned());
                if let Some((_, rules)) = self.by_condition.get_mut(&key) {
                    rules.remove(&rule.id);
                    if rules.is_empty() {
                        self.by_condition.remove(&key);
                    }
                }
            }
            Place::Unresolved(_) => {}
        }
    }
}

#[cfg(test)]
#[path = "rule_set_tests.rs"]
mod tests;
