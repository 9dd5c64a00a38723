//! Conditions compiled so far, which many rules share.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::condition::{Condition, ConditionError, Scope};

/// With fewer conditions than this, unused ones are kept.
const SWEEP_MIN: usize = 10_000;

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
    pub(super) fn compile(&mut self, text: &str, scope: Scope) -> Result<Arc<Condition>, ConditionError> {
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

    pub(super) fn subscriber(&mut self, id: &str) -> Arc<str> {
        if let Some(known) = self.subscribers.get(id) {
            return Arc::clone(known);
        }
        let id: Arc<str> = id.into();
        self.subscribers.insert(Arc::clone(&id));
        id
    }
}
