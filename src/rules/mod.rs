//! Rules: conditions over observations, who asked for them, and at which station.
//!
//! Plain functions on plain values. Today a rule set is read from a TOML file ([`RuleSet::parse`]) and each
//! matching day fires once; rules that live in a topic, and life cycles, will join here.

mod condition;
mod file;
mod native;
mod position;

use std::collections::HashMap;
use std::sync::Arc;

pub use condition::{Condition, Evaluator, Scope, Verdict};
pub use position::{Mistake, Position};

use crate::noaa::StationId;

/// Longest rule file that is read, in bytes: about 50,000 rules.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// One rule: a condition at a station, and whom to tell.
#[derive(Debug)]
pub struct Rule {
    /// Unique among the rules; part of each alert's id.
    pub id: String,
    /// The station that it watches.
    pub station: StationId,
    /// When it fires.
    pub when: Arc<Condition>,
    /// Whom to tell. It goes into the alert, as in the talk; never into a log.
    pub email: Option<String>,
}

/// All rules, with an index by station, so that a record costs no more than its own station's rules.
#[derive(Debug, Default)]
pub struct RuleSet {
    rules: Vec<Rule>,
    by_station: HashMap<StationId, Vec<u32>, foldhash::fast::RandomState>,
}

impl RuleSet {
    /// Reads a rule file.
    ///
    /// # Errors
    /// All mistakes that were found, each with its line and column; then no rule is used.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        file::parse(text)
    }

    /// Builds the index. The caller has checked that ids are unique.
    fn new(rules: Vec<Rule>) -> Self {
        let mut by_station: HashMap<StationId, Vec<u32>, foldhash::fast::RandomState> = HashMap::default();
        for (index, rule) in rules.iter().enumerate() {
            by_station.entry(rule.station).or_default().push(index as u32);
        }
        Self { rules, by_station }
    }

    /// The rules of one station, in the file's order.
    pub fn of_station(&self, station: StationId) -> impl Iterator<Item = &Rule> {
        let indices = self.by_station.get(&station).map(Vec::as_slice).unwrap_or_default();
        indices.iter().map(|index| &self.rules[*index as usize])
    }

    /// Whether any rule watches this station.
    pub fn watches(&self, station: StationId) -> bool {
        self.by_station.contains_key(&station)
    }

    /// All rules, in the file's order.
    pub fn all(&self) -> &[Rule] {
        &self.rules
    }
}
