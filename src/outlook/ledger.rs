//! Outlooks and outcomes of nights, collected from the records that contain both: outlooks and alerts.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::backtest::{Issue, Tally};
use super::record::OutlookRecord;
use super::warnings::{WarningLog, WarningSums};
use crate::noaa::StationId;

/// Longer names of rules and episodes are ignored; those of the stages are much shorter.
const NAME_BYTES_MAX: usize = 256;

/// The ledger; see the module's description. A station's nights are scored from its third one on.
pub struct Ledger {
    issue: Issue,
    tallies: BTreeMap<StationId, Tally>,
    warnings: BTreeMap<String, WarningLog>,
}

#[derive(Deserialize)]
struct Station {
    id: StationId,
}

/// The fields of an alert that are read.
#[derive(Deserialize)]
struct Alert {
    rule_id: String,
    episode: String,
    transition: String,
    moment: Moment,
}

#[derive(Deserialize)]
struct Moment {
    time: i64,
    night: Option<serde::de::IgnoredAny>,
}

impl Ledger {
    /// Scores these outlooks of each night.
    pub fn new(issue: Issue) -> Self {
        Self { issue, tallies: BTreeMap::new(), warnings: BTreeMap::new() }
    }

    /// Adds a record of `noaa-outlooks`; those of a station come in order.
    pub fn take_outlook(&mut self, document: &[u8]) {
        let Ok(record) = serde_json::from_slice::<OutlookRecord<Station>>(document) else { return };
        let id = record.station.id;
        let tally = self.tallies.entry(id).or_insert_with(|| Tally::from_the_third(id, self.issue));
        if let Some(outcome) = &record.outcome {
            tally.settle(outcome);
        }
        if let Some(expected) = &record.expected {
            tally.expect(expected, record.time);
        }
    }

    /// Adds an alert; an alert that is not about a night is ignored.
    pub fn take_alert(&mut self, document: &[u8]) {
        let Ok(alert) = serde_json::from_slice::<Alert>(document) else { return };
        let is_short = alert.rule_id.len() <= NAME_BYTES_MAX && alert.episode.len() <= NAME_BYTES_MAX;
        if alert.moment.night.is_some() && is_short {
            let log = self.warnings.entry(alert.rule_id).or_default();
            log.take(&alert.episode, &alert.transition, alert.moment.time);
        }
    }

    /// The stations' tallies.
    pub fn stations(&self) -> impl Iterator<Item = (StationId, &Tally)> {
        self.tallies.iter().map(|(station, tally)| (*station, tally))
    }

    /// Rules, and the outcomes of their warnings.
    pub fn warnings(&self) -> impl Iterator<Item = (&str, WarningSums)> {
        self.warnings.iter().map(|(rule, log)| (rule.as_str(), log.sums()))
    }
}
