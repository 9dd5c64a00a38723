//! What has happened to the topics of a run: those of the same names that were deleted, and those that have grown.

use std::collections::{BTreeMap, BTreeSet};

use frostline_engine::StageId;

/// See the module's description.
#[derive(Default)]
pub(super) struct Past {
    /// Keys of state that was made from topics which were deleted since, by stage.
    pub(super) earlier: BTreeMap<StageId, BTreeSet<Vec<u8>>>,
    /// In the order in which they happened.
    pub(super) growths: Vec<Grown>,
}

/// The end of each partition of a topic.
pub(super) type Ends = BTreeMap<i32, i64>;

/// A topic got more partitions, with the changelog of the stage that reads it.
#[derive(Clone)]
pub(super) struct Grown {
    /// Names in Kafka.
    pub(super) topic: String,
    pub(super) changelog: String,
    /// How many it has had since.
    pub(super) partitions: i32,
    /// Of the partitions that it had before: records below were processed when it had no others.
    pub(super) ends: Ends,
}

impl Past {
    /// The partitions that a topic got when it grew last, by its name in Kafka; `None` for one that never grew.
    pub(super) fn partitions(&self, topic: &str) -> Option<i32> {
        let of_topic = |grown: &&Grown| grown.topic == topic || grown.changelog == topic;
        self.growths.iter().rfind(of_topic).map(|grown| grown.partitions)
    }

    /// The growths of a topic, in their order.
    pub(super) fn growths_of(&self, topic: &str) -> Vec<Grown> {
        self.growths.iter().filter(|grown| grown.topic == topic).cloned().collect()
    }
}
