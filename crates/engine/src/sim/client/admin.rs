//! Topics and the offsets of groups, as a tool that is in no group reads and changes them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::retry;
use crate::kafka::{ClientSettings, KafkaError, OffsetCommit};
use crate::sim::broker::{Log, NOBODY};
use crate::sim::host::{self, Call, Host};

/// As [`crate::kafka::Admin`].
pub(crate) struct Admin {
    host: Arc<Host>,
}

impl Admin {
    pub(crate) fn new(_settings: &ClientSettings) -> Result<Self, KafkaError> {
        Ok(Self { host: host::present() })
    }

    pub(crate) fn partitions(&self, topic: &str) -> Result<Option<i32>, KafkaError> {
        answered(&self.host, "looking up a topic")?;
        Ok(Some(self.host.broker().partitions(topic)).filter(|partitions| *partitions > 0))
    }

    pub(crate) fn log_offsets(&self, topic: &str) -> Result<BTreeMap<i32, Range<i64>>, KafkaError> {
        answered(&self.host, "reading where a log begins and ends")?;
        let broker = self.host.broker();
        let logs = broker.topic(topic).into_iter().flat_map(|topic| &topic.logs);
        Ok((0..).zip(logs.map(|log: &Log| log.start()..log.last_stable())).collect())
    }

    #[expect(clippy::unused_async, reason = "that of kafka::Admin waits for an answer")]
    pub(crate) async fn add_partitions(&self, topic: &str, partitions: i32) -> Result<(), KafkaError> {
        let outcome = self.host.call();
        if outcome != Call::Lost {
            self.host.broker().add_partitions(topic, partitions);
        }
        if outcome == Call::Answered { Ok(()) } else { Err(retry("adding partitions")) }
    }

    pub(crate) fn count_members(&self, group: &str) -> Result<usize, KafkaError> {
        answered(&self.host, "asking who is in a group")?;
        Ok(self.host.broker().group(group).count_members())
    }

    pub(crate) fn group(&self, group: &str) -> Result<GroupOffsets, KafkaError> {
        Ok(GroupOffsets { host: Arc::clone(&self.host), group: group.to_owned() })
    }
}

/// As [`crate::kafka::GroupOffsets`].
pub(crate) struct GroupOffsets {
    host: Arc<Host>,
    group: String,
}

impl GroupOffsets {
    pub(super) fn group(&self) -> &str {
        &self.group
    }

    pub(crate) fn committed(
        &self,
        _topic: &str,
        partitions: &[i32],
    ) -> Result<Vec<OffsetCommit>, KafkaError> {
        answered(&self.host, "reading committed offsets")?;
        let stable = self.host.broker().group(&self.group).stable_positions(partitions);
        let stable = stable.ok_or_else(|| retry("reading committed offsets: a transaction is open"))?;
        Ok(stable.into_values().collect())
    }

    pub(crate) fn commit(&self, _topic: &str, positions: &[OffsetCommit]) -> Result<(), KafkaError> {
        let outcome = self.host.call();
        if outcome == Call::Lost {
            return Err(retry("committing offsets"));
        }
        let answer = self.host.broker().commit(&self.group, NOBODY, positions);
        match answer {
            Ok(()) if outcome == Call::Answered => Ok(()),
            _ => Err(retry("committing offsets: refused, or no answer")),
        }
    }
}

/// A question; asking it later instead changes nothing.
fn answered(host: &Host, what: &str) -> Result<(), KafkaError> {
    if host.call() == Call::Answered { Ok(()) } else { Err(retry(what)) }
}
