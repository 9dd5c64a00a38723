//! Topics and group offsets, read and changed without being a member of a group.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::client::Quiet;
use super::log_offsets::{all_read, log_offsets};
use super::{ClientSettings, KafkaError, OffsetCommit, Operation, Right};
use crate::TopicPlan;

const PATIENCE: Duration = Duration::from_secs(20);

/// A topic as it is in Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// Its name in Kafka.
    pub name: String,
    /// The number of its partitions; they are numbered from 0.
    pub partitions: i32,
    /// Its `cleanup.policy`, if the broker reports it.
    pub cleanup_policy: Option<String>,
    /// Its `max.message.bytes`, if the broker reports it.
    pub record_bytes_max: Option<usize>,
    /// How long it keeps tombstones (`delete.retention.ms`), if the broker reports it.
    pub tombstones_kept: Option<Duration>,
}

/// A topic, including the settings that do not affect whether the daemon can use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDetails {
    /// The settings that do.
    pub state: TopicState,
    /// The replication factor of its first partition.
    pub replication: i32,
    /// Its `retention.ms`, if the broker reports it; -1 for no limit.
    pub retention_ms: Option<i64>,
}

/// Reads and changes topics, and reads the offsets of groups without joining them.
pub struct Admin {
    settings: ClientSettings,
    client: AdminClient<Quiet>,
    consumer: BaseConsumer<Quiet>,
}

impl Admin {
    /// Makes the clients; they connect when they are first used.
    ///
    /// # Errors
    /// [`KafkaError::Settings`] if the client refuses its settings.
    pub fn new(settings: &ClientSettings) -> Result<Self, KafkaError> {
        let failed = |error: ClientError| KafkaError::of_client("connecting", &error);
        let mut consumer = settings.consumer();
        consumer.set("group.id", settings.lookout("admin"));
        Ok(Self {
            settings: settings.clone(),
            client: settings.base().create_with_context(Quiet::new(settings)).map_err(failed)?,
            consumer: consumer.create_with_context(Quiet::new(settings)).map_err(failed)?,
        })
    }

    /// The cluster's own id; empty if the broker does not report one in time.
    pub fn cluster_id(&self) -> String {
        self.consumer.client().fetch_cluster_id(PATIENCE).unwrap_or_default()
    }

    /// The partitions of a topic, or `None` if it does not exist.
    pub fn partitions(&self, topic: &str) -> Result<Option<i32>, KafkaError> {
        Ok(self.partitions_and_replication(topic)?.map(|(partitions, _)| partitions))
    }

    fn partitions_and_replication(&self, topic: &str) -> Result<Option<(i32, i32)>, KafkaError> {
        let what = format!("looking up topic {topic}");
        let metadata = self.ask(&what, |consumer| consumer.fetch_metadata(Some(topic), PATIENCE))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let Some(found) = found else { return Ok(None) };
        match found.error() {
            None => {
                let count = |length: usize| i32::try_from(length).unwrap_or(i32::MAX);
                let first = found.partitions().first();
                Ok(first.map(|first| (count(found.partitions().len()), count(first.replicas().len()))))
            }
            Some(error) => match RDKafkaErrorCode::from(error) {
                RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => Ok(None),
                code @ RDKafkaErrorCode::TopicAuthorizationFailed => {
                    Err(KafkaError::of_refusal(&what, Right::on_topic(Operation::Describe, topic), code))
                }
                code @ RDKafkaErrorCode::InvalidTopic => Err(KafkaError::Fatal(format!("{what}: {code}"))),
                code => Err(KafkaError::Retry(format!("{what}: {code}"))),
            },
        }
    }

    /// Topics as they are, `None` for each that does not exist.
    pub async fn describe(&self, topics: &[&str]) -> Result<Vec<Option<TopicState>>, KafkaError> {
        let details = self.describe_in_detail(topics).await?;
        Ok(details.into_iter().map(|topic| topic.map(|details| details.state)).collect())
    }

    /// The same, with replication and retention.
    pub async fn describe_in_detail(&self, topics: &[&str]) -> Result<Vec<Option<TopicDetails>>, KafkaError> {
        let mut found = Vec::with_capacity(topics.len());
        for topic in topics {
            let size = self.partitions_and_replication(topic)?;
            found.push(size.map(|(partitions, replication)| TopicDetails {
                state: TopicState {
                    name: (*topic).to_owned(),
                    partitions,
                    cleanup_policy: None,
                    record_bytes_max: None,
                    tombstones_kept: None,
                },
                replication,
                retention_ms: None,
            }));
        }
        let present = found.iter().flatten().map(|topic| ResourceSpecifier::Topic(&topic.state.name));
        let present = present.collect::<Vec<_>>();
        if present.is_empty() {
            return Ok(found);
        }
        self.tend();
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        let described = self
            .client
            .describe_configs(present.iter(), &options)
            .await
            .map_err(|error| KafkaError::of_client("describing topics", &error))?;
        let mut settings = described.into_iter();
        for topic in found.iter_mut().flatten() {
            // A user without the right to describe settings still gets names and partition counts.
            let Some(Ok(resource)) = settings.next() else { continue };
            let value = |name: &str| resource.get(name).and_then(|entry| entry.value.clone());
            topic.state.cleanup_policy = value("cleanup.policy");
            topic.state.record_bytes_max = value("max.message.bytes").and_then(|value| value.parse().ok());
            topic.state.tombstones_kept =
                value("delete.retention.ms").and_then(|value| value.parse().ok()).map(Duration::from_millis);
            topic.retention_ms = value("retention.ms").and_then(|value| value.parse().ok());
        }
        Ok(found)
    }

    /// Creates a topic. `false` if it existed already.
    pub async fn create(&self, plan: &TopicPlan) -> Result<bool, KafkaError> {
        let replication = TopicReplication::Fixed(plan.replication.unwrap_or(-1));
        let mut topic = NewTopic::new(&plan.name, plan.partitions, replication);
        if plan.is_compacted {
            topic = topic.set("cleanup.policy", "compact");
        }
        let tombstones_kept = plan.tombstones_kept.map(|kept| kept.as_millis().to_string());
        if let Some(kept) = &tombstones_kept {
            topic = topic.set("delete.retention.ms", kept);
        }
        let bytes = plan.record_bytes_max.map(|bytes| bytes.to_string());
        if let Some(bytes) = &bytes {
            topic = topic.set("max.message.bytes", bytes);
        }
        let retention = plan.retention_ms().map(|retention| retention.to_string());
        if let Some(retention) = &retention {
            topic = topic.set("retention.ms", retention);
        }
        self.tend();
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
        let what = format!("creating topic {}", plan.name);
        let results = self
            .client
            .create_topics([&topic], &options)
            .await
            .map_err(|error| KafkaError::of_client(&what, &error))?;
        match results.into_iter().next() {
            Some(Ok(_)) => self.wait_until(&plan.name, true).await.map(|()| true),
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, code))) => {
                Err(KafkaError::of_refusal(&what, Right::on_topic(Operation::Create, &plan.name), code))
            }
            None => Err(KafkaError::Topic(format!("{what}: the broker did not report the outcome"))),
        }
    }

    /// Deletes a topic. `false` if it did not exist.
    pub async fn delete(&self, topic: &str) -> Result<bool, KafkaError> {
        self.tend();
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
        let what = format!("deleting topic {topic}");
        let results = self
            .client
            .delete_topics(&[topic], &options)
            .await
            .map_err(|error| KafkaError::of_client(&what, &error))?;
        match results.into_iter().next() {
            Some(Ok(_)) => self.wait_until(topic, false).await.map(|()| true),
            Some(Err((_, RDKafkaErrorCode::UnknownTopicOrPartition))) => Ok(false),
            Some(Err((_, code))) => {
                Err(KafkaError::of_refusal(&what, Right::on_topic(Operation::Delete, topic), code))
            }
            None => Err(KafkaError::Topic(format!("{what}: the broker did not report the outcome"))),
        }
    }

    /// The topics whose names begin with `prefix`.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>, KafkaError> {
        self.tend();
        let metadata = self.client.inner().fetch_metadata(None, PATIENCE);
        let metadata = metadata.map_err(|error| KafkaError::of_client("listing topics", &error))?;
        let names = metadata.topics().iter().map(|topic| topic.name());
        Ok(names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect())
    }

    /// Deletes consumer groups. Those that have members or do not exist are left alone.
    pub async fn delete_groups(&self, groups: &[&str]) -> Result<(), KafkaError> {
        self.tend();
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
        let results = self.client.delete_groups(groups, &options).await;
        results.map(drop).map_err(|error| KafkaError::of_client("deleting groups", &error))
    }

    /// Waits until the brokers show what the controller has done: a moment, or longer if they are busy.
    async fn wait_until(&self, topic: &str, is_there: bool) -> Result<(), KafkaError> {
        let deadline = Instant::now() + PATIENCE;
        while self.partitions(topic)?.is_some() != is_there {
            if Instant::now() > deadline {
                let word = if is_there { "made" } else { "deleted" };
                return Err(KafkaError::Retry(format!(
                    "topic {topic} was {word}, but the brokers do not show it yet"
                )));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Asks the brokers through the consumer.
    pub(super) fn ask<T>(
        &self,
        what: &str,
        question: impl FnOnce(&BaseConsumer<Quiet>) -> Result<T, ClientError>,
    ) -> Result<T, KafkaError> {
        ask(&self.consumer, what, &[], question)
    }

    pub(super) fn settings(&self) -> &ClientSettings {
        &self.settings
    }

    pub(super) fn admin_client(&self) -> &AdminClient<Quiet> {
        &self.client
    }

    pub(super) fn client(&self) -> &rdkafka::client::Client<Quiet> {
        self.client.inner()
    }

    pub(super) fn tend(&self) {
        let client = self.client.inner();
        client.context().lifeline.tend(client);
    }

    /// The offsets of each partition's log, from the first record kept to the end, as the brokers report them.
    pub fn log_offsets(&self, topic: &str) -> Result<BTreeMap<i32, Range<i64>>, KafkaError> {
        let partitions = self
            .partitions(topic)?
            .ok_or_else(|| KafkaError::Topic(format!("topic {topic} does not exist")))?;
        let partitions: Vec<i32> = (0..partitions).collect();
        let what = format!("reading where the log of {topic} begins and ends");
        self.ask(&what, |consumer| log_offsets(consumer, topic, &partitions, PATIENCE))
    }

    /// End offsets of all partitions of a topic.
    pub fn ends(&self, topic: &str) -> Result<BTreeMap<i32, i64>, KafkaError> {
        Ok(self.log_offsets(topic)?.into_iter().map(|(partition, kept)| (partition, kept.end)).collect())
    }

    /// Reads a group's data without becoming a member.
    pub fn group(&self, group: &str) -> Result<GroupOffsets, KafkaError> {
        self.group_by(group, "read_committed")
    }

    /// As [`group`](Self::group), without waiting for open transactions: their offsets do not count yet. In a group
    /// under load some partition always has one.
    ///
    /// # Errors
    /// As [`group`](Self::group).
    pub fn group_at_once(&self, group: &str) -> Result<GroupOffsets, KafkaError> {
        self.group_by(group, "read_uncommitted")
    }

    fn group_by(&self, group: &str, isolation_level: &str) -> Result<GroupOffsets, KafkaError> {
        let mut config = self.settings.consumer();
        config.set("group.id", group).set("isolation.level", isolation_level);
        let what = format!("reading the offsets of group {group}");
        let context = Quiet::new(&self.settings);
        let consumer =
            config.create_with_context(context).map_err(|error| KafkaError::of_client(&what, &error))?;
        Ok(GroupOffsets { consumer, what, group: group.to_owned() })
    }
}

/// Asks the brokers through a consumer that nobody polls, which therefore cannot report lost connections by itself.
fn ask<T>(
    consumer: &BaseConsumer<Quiet>,
    what: &str,
    rights: &[Right],
    question: impl FnOnce(&BaseConsumer<Quiet>) -> Result<T, ClientError>,
) -> Result<T, KafkaError> {
    let lifeline = &consumer.context().lifeline;
    lifeline.tend(consumer.client());
    question(consumer).map_err(|error| {
        lifeline.suspect();
        KafkaError::of_client_with(what, rights, &error)
    })
}

/// The committed offsets of a group.
pub struct GroupOffsets {
    pub(super) consumer: BaseConsumer<Quiet>,
    what: String,
    group: String,
}

impl GroupOffsets {
    /// What offsets of `topic` need.
    pub(super) fn rights(&self, topic: &str) -> [Right; 2] {
        [Right::in_group(&self.group), Right::on_topic(Operation::Read, topic)]
    }

    /// Names the group to a transaction without being a member of it: right for a group that nobody joins.
    pub(super) fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.group_metadata()
    }

    /// The committed offsets of a group, by partition; partitions without a commit are missing.
    pub fn committed(&self, topic: &str, partitions: &[i32]) -> Result<Vec<OffsetCommit>, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(topic, *partition);
        }
        let committed = ask(&self.consumer, &self.what, &self.rights(topic), |consumer| {
            consumer.committed_offsets(list, PATIENCE).and_then(all_read)
        })?;
        Ok(committed
            .elements()
            .iter()
            .filter_map(|element| match element.offset() {
                Offset::Offset(next_offset) => {
                    Some(OffsetCommit::read(element.partition(), next_offset, element.metadata()))
                }
                _ => None,
            })
            .collect())
    }
}
