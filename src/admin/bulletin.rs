//! A kept alert as the feed and CAP need it.

use std::sync::Arc;

use serde::Deserialize;

use crate::noaa::Location;
use crate::rules::{Severity, Transition};
use crate::stages::Moment;

/// An element of the list of alerts.
#[derive(Debug, Deserialize)]
pub(super) struct Bulletin {
    partition: i32,
    offset: i64,
    /// The timestamp of its record, in milliseconds since 1970.
    pub(super) timestamp_ms: i64,
    pub(super) alert: Alert,
}

/// The fields of an alert's record.
#[derive(Debug, Deserialize)]
pub(super) struct Alert {
    pub(super) alert_id: String,
    pub(super) rule_id: String,
    pub(super) transition: Transition,
    /// A rule without a severity warns.
    #[serde(default)]
    pub(super) severity: Severity,
    pub(super) station: Station,
    pub(super) date: String,
    pub(super) when: String,
    pub(super) message: String,
    pub(super) episode: Option<String>,
    pub(super) retracts: Option<String>,
    pub(super) moment: Option<Moment>,
}

/// The station, as far as the alert has it.
#[derive(Debug, Deserialize)]
pub(super) struct Station {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) location: Option<Location>,
    pub(super) icao: Option<String>,
}

impl Bulletin {
    /// Reads the kept elements, in their order. An alert that was cut so much that it lacks a field is left out.
    pub(super) fn of(elements: &[Arc<str>]) -> Vec<Self> {
        let read = |element: &Arc<str>| {
            serde_json::from_str(element)
                .inspect_err(|error| tracing::debug!(%error, "an alert is left out of the feed and of CAP"))
                .ok()
        };
        elements.iter().filter_map(read).collect()
    }

    /// Whether `earlier` was written before this alert, and is the alert that this one withdraws, or one of the same
    /// episode.
    pub(super) fn follows(&self, earlier: &Self) -> bool {
        // All alerts of a station are in one partition.
        if earlier.partition != self.partition || earlier.offset >= self.offset {
            return false;
        }
        match (&self.alert.retracts, &self.alert.episode) {
            (Some(retracts), _) => *retracts == earlier.alert.alert_id,
            (None, Some(episode)) => earlier.alert.episode.as_ref() == Some(episode),
            (None, None) => false,
        }
    }

    /// The station's name with its id, or the id alone.
    pub(super) fn place(&self) -> String {
        let Station { id, name, .. } = &self.alert.station;
        match name.as_deref() {
            Some(name) if !name.is_empty() => format!("{name} ({id})"),
            _ => id.clone(),
        }
    }
}
