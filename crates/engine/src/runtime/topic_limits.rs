//! The limits of topics: how large their records may be, and how long they keep tombstones.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::kafka::TopicState;

/// Kafka's own default of `delete.retention.ms`, for brokers that do not report it.
const TOMBSTONES_KEPT_DEFAULT: Duration = Duration::from_secs(24 * 60 * 60);

/// What the brokers reported when the engine started.
pub(super) struct TopicLimits {
    /// The largest record that each topic accepts, in bytes, by its name in Kafka; topics for which the broker does
    /// not report it are missing.
    pub(super) record_bytes_max: BTreeMap<String, usize>,
    /// How long each topic keeps tombstones, by its name in Kafka; topics for which the broker does not report it are
    /// missing.
    tombstones_kept: BTreeMap<String, Duration>,
}

impl TopicLimits {
    pub(super) fn new(states: &[TopicState]) -> Self {
        let kept = states.iter().filter_map(|state| Some((state.name.clone(), state.tombstones_kept?)));
        Self { record_bytes_max: record_bytes_max(states), tombstones_kept: kept.collect() }
    }

    /// No limits but this one.
    #[cfg(test)]
    pub(super) fn keeping_tombstones(topology: &crate::Topology, kept: Duration) -> Self {
        let changelogs = topology.stages().iter().filter_map(|stage| stage.changelog.as_ref());
        let tombstones_kept = changelogs.map(|topic| (topic.name.clone(), kept)).collect();
        Self { record_bytes_max: BTreeMap::new(), tombstones_kept }
    }

    /// How long a compacted topic keeps tombstones.
    pub(super) fn tombstones_kept(&self, topic: &str) -> Duration {
        self.tombstones_kept.get(topic).copied().unwrap_or(TOMBSTONES_KEPT_DEFAULT)
    }
}

/// The largest record that each topic accepts, as far as the brokers report it.
pub(super) fn record_bytes_max(states: &[TopicState]) -> BTreeMap<String, usize> {
    states.iter().filter_map(|state| Some((state.name.clone(), state.record_bytes_max?))).collect()
}
