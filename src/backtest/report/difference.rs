//! What changes from one set of rules to another.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::super::{RuleStats, Stats};

/// How a rule's figures differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The rule is only in the new set.
    Added,
    /// It is only in the old one.
    Removed,
    /// It sends other alerts.
    Changed,
}

/// What one rule sent under the old set and sends under the new one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The rule.
    pub rule: String,
    /// In which way it differs.
    pub change: Change,
    /// Alerts `fired` before.
    pub fired_before: u64,
    /// Alerts `fired` now.
    pub fired: u64,
    /// Alerts of all kinds that only the new set sends.
    pub gained: usize,
    /// Alerts of all kinds that only the old set sent.
    pub lost: usize,
}

impl Difference {
    /// All differences between two runs, by the ids of their alerts.
    pub fn between(
        before: &Stats,
        now: &Stats,
        ids_before: &BTreeSet<String>,
        ids: &BTreeSet<String>,
    ) -> Vec<Self> {
        let by_rule = |ids: &mut dyn Iterator<Item = &String>| {
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for id in ids {
                *counts.entry(id.split('/').next().unwrap_or_default().to_owned()).or_default() += 1;
            }
            counts
        };
        let gained = by_rule(&mut ids.difference(ids_before));
        let lost = by_rule(&mut ids_before.difference(ids));
        let rules: BTreeSet<&String> = before.rules.keys().chain(now.rules.keys()).collect();
        rules
            .into_iter()
            .filter_map(|rule| {
                let (old, new) = (before.rules.get(rule), now.rules.get(rule));
                let count = |counts: &BTreeMap<String, usize>| counts.get(rule).copied().unwrap_or(0);
                let (gained, lost) = (count(&gained), count(&lost));
                let change = match (old, new) {
                    (None, _) => Change::Added,
                    (_, None) => Change::Removed,
                    _ if gained + lost > 0 => Change::Changed,
                    _ => return None,
                };
                let fired = |stats: Option<&RuleStats>| stats.map_or(0, |stats| stats.fired);
                let (fired_before, fired) = (fired(old), fired(new));
                Some(Self { rule: rule.clone(), change, fired_before, fired, gained, lost })
            })
            .collect()
    }
}
