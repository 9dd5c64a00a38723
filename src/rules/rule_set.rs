//! All rules in force, with an index by station; changed while the stream runs.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use smallvec::SmallVec;

use super::{
    Condition, Conditions, EvaluationError, Evaluator, Key, Mistake, Near, Place, Rule, RuleFile, RuleLog,
    Subscriber, Verdict,
};
use crate::noaa::{Element, ObservationView, StationId};

/// Counts rules and subscribers that are not used.
pub const QUARANTINED_METRIC: &str = "frostline_rules_quarantined";

type Hashed<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
type Rules = SmallVec<[Arc<Rule>; 1]>;

/// The rules in force and their subscribers. Readers keep what they have found until [`generation`](Self::generation)
/// changes, so a record costs no lock, and no more than its own station's rules.
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
    /// By the text of the condition, which is decided once for all rules that share it.
    by_condition: BTreeMap<String, Group>,
    subscribers: Hashed<Arc<str>, Arc<Subscriber>>,
    /// Rules and subscribers that are not used, by key, with the reason.
    quarantined: BTreeMap<Key, String>,
    /// Stations that were found in this process for rules with `near`, by the rule's id.
    found: BTreeMap<Arc<str>, Found>,
}

/// A station that was found for a rule's `near`. It holds for later versions of the rule too, if they ask the same.
struct Found {
    near: Near,
    elements: Vec<Element>,
    station: StationId,
}

impl Found {
    fn is_for(&self, near: &Near, rule: &Rule) -> bool {
        self.near == *near && self.elements == rule.elements()
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

    /// Adds a rule, or replaces the one with its id. If a station was found before for its `near`, it watches that.
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

    /// Takes a rule out.
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

    /// Notes the station of a rule that is not in force yet.
    pub fn note_nearest(&self, rule: &Rule, near: Near, station: StationId) {
        let found = Found { near, elements: rule.elements(), station };
        self.write().found.insert(Arc::clone(&rule.id), found);
    }

    /// Has a rule with `near` watch this station. `None` where another version of it has come into force.
    pub fn place_nearest(&self, rule: &Arc<Rule>, near: Near, station: StationId) -> Option<Arc<Rule>> {
        let mut inner = self.write();
        inner.rules.get(&rule.id).filter(|known| Arc::ptr_eq(known, rule))?;
        let found = Found { near, elements: rule.elements(), station };
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

    /// Takes a subscriber out.
    pub fn remove_subscriber(&self, id: &str) {
        let mut inner = self.write();
        inner.forgive(|| Key::Subscriber(id.to_owned()));
        inner.subscribers.remove(id);
    }

    /// Counts changes.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The rule with this id.
    pub fn get(&self, id: &str) -> Option<Arc<Rule>> {
        self.read().rules.get(id).cloned()
    }

    /// All rules, in no order.
    pub fn all(&self) -> Vec<Arc<Rule>> {
        self.read().rules.values().cloned().collect()
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.read().rules.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether some rules choose their stations by a condition, so that it takes an observation to know them.
    pub fn has_conditions(&self) -> bool {
        !self.read().by_condition.is_empty()
    }

    /// Whether a rule names this station.
    pub fn names(&self, station: StationId) -> bool {
        self.read().by_station.contains_key(&station)
    }

    /// The rules that watch the station of this observation, sorted by id.
    pub fn of_station(&self, view: &ObservationView, evaluator: &Evaluator) -> Rc<[Arc<Rule>]> {
        let inner = self.read();
        let mut found: Rules = inner.by_station.get(&view.station.id).cloned().unwrap_or_default();
        let mut broken = Rules::new();
        for (condition, rules) in inner.by_condition.values() {
            match evaluator.evaluate(condition, view) {
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

    /// Takes a rule or a subscriber out, and notes why, until it is put again or removed.
    pub fn quarantine(&self, key: &Key, reason: &str) {
        let mut inner = self.write();
        match key {
            Key::Rule(id) => inner.remove_rule(id),
            Key::Subscriber(id) => drop(inner.subscribers.remove(id.as_str())),
        }
        inner.quarantined.insert(key.clone(), reason.to_owned());
        self.changed(inner);
    }

    /// Quarantines a rule that has shown while it was evaluated that it must not be evaluated again. One that has
    /// replaced it meanwhile stays. Logged once, since the second who asks finds it gone.
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

    /// What is logged of rules that do not work.
    pub fn log(&self) -> &RuleLog {
        &self.log
    }

    /// How many rules and subscribers are not used.
    pub fn quarantined_count(&self) -> usize {
        self.read().quarantined.len()
    }

    /// What is not used, and why.
    pub fn quarantined(&self) -> BTreeMap<Key, String> {
        self.read().quarantined.clone()
    }

    // A poisoned lock only says that a reader panicked; what it guards is whole.
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self, guard: RwLockWriteGuard<'_, Inner>) {
        // Before the lock is given up, so that nobody keeps the old under the new number.
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

    /// Drops the note on something that is put again or removed.
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
                let group = self.by_condition.entry(condition.text().to_owned()).or_insert_with(group);
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
                if let Some((_, rules)) = self.by_condition.get_mut(condition.text()) {
                    rules.remove(&rule.id);
                    if rules.is_empty() {
                        self.by_condition.remove(condition.text());
                    }
                }
            }
            Place::Unresolved(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(rules: &RuleSet, document: &str) -> Vec<String> {
        let view = ObservationView::parse(document.as_bytes()).unwrap();
        rules.of_station(&view, &Evaluator::new()).iter().map(|rule| rule.id.to_string()).collect()
    }

    const SCOTTSDALE: &str = r#"{"station":{"id":"USW00003192","state_code":"AZ"},"date":"2016-02-24"}"#;
    const AJO: &str = r#"{"station":{"id":"USC00020080","state_code":"AZ"},"date":"2016-02-24"}"#;

    #[test]
    fn rules_come_and_go() {
        let rules = RuleSet::parse(
            "[[rule]]\nid = \"b\"\nstation = \"USW00003192\"\nwhen = \"TMIN <= 10.0\"\nemail = \"a@example.org\"\n\
             [[rule]]\nid = \"a\"\nwhere = \"station.state_code == 'AZ'\"\nwhen = \"TMIN <= 0.0\"\n",
        )
        .unwrap();
        assert_eq!(ids(&rules, SCOTTSDALE), ["a", "b"]);
        assert_eq!(ids(&rules, AJO), ["a"]);
        let before = rules.generation();
        rules.remove("a");
        assert!(rules.generation() > before);
        assert!(ids(&rules, AJO).is_empty() && !rules.has_conditions());
        let moved = "[[rule]]\nid = \"b\"\nstation = \"USC00020080\"\nwhen = \"TMIN <= 10.0\"\n";
        let file = RuleFile::parse(moved, &mut Conditions::default(), &|_| false).unwrap();
        file.rules.into_iter().for_each(|(_, rule)| rules.put(rule));
        assert!(ids(&rules, SCOTTSDALE).is_empty());
        assert_eq!(ids(&rules, AJO), ["b"]);
        assert_eq!(rules.len(), 1);
    }

    fn put(rules: &RuleSet, text: &str) {
        let file = RuleFile::parse(text, &mut Conditions::default(), &|_| false).unwrap();
        file.rules.into_iter().for_each(|(_, rule)| rules.put(rule));
    }

    #[test]
    fn a_station_that_was_found_for_near_stays_until_something_else_is_asked() {
        let near = "[[rule]]\nid = \"n\"\nnear = { lat = 33.6, lon = -111.9 }\nwhen = \"TMIN <= 0.0\"\n";
        let rules = RuleSet::parse(near).unwrap();
        assert!(ids(&rules, SCOTTSDALE).is_empty());
        let (rule, point) = rules.unresolved().pop().unwrap();
        let station = StationId::parse(b"USW00003192").unwrap();
        let (placed, generation) = (rules.place_nearest(&rule, point, station).unwrap(), rules.generation());
        assert_eq!((ids(&rules, SCOTTSDALE), rules.unresolved().len(), generation), (vec!["n".into()], 0, 2));
        assert!(rules.place_nearest(&rule, point, station).is_none(), "it is not in force any more");
        let definition =
            crate::rules::Definition { near: Some(point), ..crate::rules::Definition::default() };
        let definition =
            crate::rules::Definition { id: "n".into(), when: "TMIN <= 0.0".into(), ..definition };
        let compiled = definition.compile(0, Some(station), &mut Conditions::default()).unwrap();
        assert_eq!(placed.identity, compiled.identity, "memories of days stay");
        put(&rules, &near.replace("0.0", "-2.0"));
        assert_eq!(ids(&rules, SCOTTSDALE), ["n"], "other limits, the same place");
        put(&rules, &near.replace("TMIN", "TMAX"));
        assert_eq!(rules.unresolved().len(), 1, "the station was found for another element");
        rules.note_nearest(&rule, point, station);
        put(&rules, near);
        assert_eq!(ids(&rules, SCOTTSDALE), ["n"]);
    }

    #[test]
    fn a_rule_that_is_set_aside_comes_back_only_changed() {
        let text = "[[rule]]\nid = \"a\"\nstation = \"USW00003192\"\nwhen = \"TMIN <= 0.0\"\n\
                    [[rule]]\nid = \"b\"\nstation = \"USW00003192\"\nwhen = \"TMIN <= 0.0\"\n";
        let rules = RuleSet::parse(text).unwrap();
        let (rule, generation) = (rules.get("a").unwrap(), rules.generation());
        rules.set_aside(&rule, "it panicked");
        assert!(rules.generation() > generation, "tasks must look again");
        assert_eq!(ids(&rules, SCOTTSDALE), ["b"]);
        assert_eq!(rules.quarantined()[&Key::Rule("a".into())], "it panicked");
        let file = RuleFile::parse(text, &mut Conditions::default(), &|_| false).unwrap();
        file.rules.into_iter().for_each(|(_, rule)| rules.put(rule));
        assert_eq!((ids(&rules, SCOTTSDALE).len(), rules.quarantined_count()), (2, 0));
        rules.set_aside(&rule, "it panicked");
        assert_eq!(ids(&rules, SCOTTSDALE).len(), 2, "the one that has replaced it stays");
    }
}
