//! Events of a run's topics: deleted topics of the same names, and growths.

use std::collections::BTreeMap;

use frostline_engine::StageId;

use super::entries::Entries;

/// The events; see the module's description.
#[derive(Default)]
pub(super) struct Past {
    /// State made from topics that have been deleted since, by stage.
    pub(super) earlier: BTreeMap<StageId, Entries>,
    /// Growths, in order.
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
    /// How many partitions it has had since.
    pub(super) partitions: i32,
    /// For the partitions that it had before: records before these offsets were processed when it had no others.
    pub(super) ends: Ends,
}

impl Past {
    /// The partitions that a topic got at its last growth, by its name in Kafka; `None` if it never grew.
    pub(super) fn partitions(&self, topic: &str) -> Option<i32> {
        let of_topic = |grown: &&Grown| grown.topic == topic || grown.changelog == topic;
        self.growths.iter().rfind(of_topic).map(|grown| grown.partitions)
    }

    /// How many times a topic had grown when a record was written to it. Records of a key that has moved are in their
    /// order of writing only if this comes before their offsets.
    pub(super) fn growths_before(&self, topic: &str, partition: i32, offset: i64) -> usize {
        let is_after = |grown: &&Grown| grown.ends.get(&partition).is_none_or(|end| offset >= *end);
        self.growths.iter().filter(|grown| grown.topic == topic).filter(is_after).count()
    }

    /// The growths of a topic, in their order.
    pub(super) fn growths_of(&self, topic: &str) -> Vec<Grown> {
        self.growths.iter().filter(|grown| grown.topic == topic).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_known_to_be_older_or_younger_than_a_growth() {
        let grown = |partitions, ends: &[i64]| Grown {
            topic: "t".into(),
            changelog: "t-changelog".into(),
            partitions,
            ends: (0..).zip(ends.iter().copied()).collect(),
        };
        let past = Past { growths: vec![grown(2, &[10]), grown(3, &[20, 5])], ..Past::default() };
        assert_eq!(past.partitions("t-changelog"), Some(3));
        assert_eq!(past.partitions("other"), None);
        let before = |partition, offset| past.growths_before("t", partition, offset);
        assert_eq!([before(0, 9), before(0, 10), before(0, 20)], [0, 1, 2]);
        assert_eq!([before(1, 4), before(1, 5), before(2, 0)], [1, 2, 2]);
        assert_eq!(past.growths_before("other", 0, 50), 0);
    }
}
