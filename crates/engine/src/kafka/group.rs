//! The consumer of one stage in this process: a member of the stage's group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::{Offset, TopicPartitionList};

use super::fetching::{Pace, fetching};
use super::log_offsets::log_offsets;
use super::rebalance::{Assigned, GroupEvent, Membership, NOT_JOINED};
use super::{
    ClientSettings, GroupProtocol, KafkaError, OffsetCommit, Operation, Right, group_protocol, members, raw,
};
use crate::Traffic;
use crate::record::unix_ms;

/// How long a request to the broker may take when partitions are opened again.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait for a sign that a broker is reachable: rebalances are not served in the meantime.
const ABSENCE_PATIENCE: Duration = Duration::from_millis(500);

/// The settings of a member.
#[derive(Clone, Debug)]
pub struct GroupSettings {
    /// The group's id.
    pub group: String,
    /// The topic's name in Kafka.
    pub topic: String,
    /// How many partitions it is configured to have.
    pub partitions: i32,
    /// The kind of records, which decides how much is fetched ahead.
    pub traffic: Traffic,
    /// Whether a partition without a committed offset is read from its end, not from its beginning.
    pub begins_at_end: bool,
    /// How long the group waits for a silent member; ignored with [`GroupProtocol::Consumer`].
    pub session_timeout: Duration,
    /// Static membership: the member's name. Empty for dynamic membership; must be empty with
    /// [`GroupProtocol::Consumer`].
    pub group_instance_id: String,
    /// Where this process answers HTTP, as `host:port`, so that other processes find it through the group; empty for
    /// none.
    pub advertised: String,
    /// The name of this process, so that another process with the same name is noticed.
    pub instance: String,
}

/// Identifies this member in the present generation of the group; see [`GroupConsumer::metadata`].
pub struct GroupMetadata(pub(super) ConsumerGroupMetadata);

/// The consumer of one stage. Clones share it; it closes when the last clone and queue are gone.
#[derive(Clone)]
pub struct GroupConsumer {
    consumer: Arc<BaseConsumer<Membership>>,
    topic: Arc<str>,
    group: Arc<str>,
    /// The name of this process at its start, which other members see.
    instance: Arc<str>,
    protocol: GroupProtocol,
    pace: Arc<Pace>,
}

impl GroupConsumer {
    /// Creates the member; [`subscribe`](Self::subscribe) joins the group. The polling thread calls `on_event`.
    ///
    /// # Errors
    /// [`KafkaError::Settings`] if the client refuses its settings.
    pub fn new(
        settings: &ClientSettings,
        group: &GroupSettings,
        on_event: impl Fn(GroupEvent) + Send + Sync + 'static,
    ) -> Result<Self, KafkaError> {
        let topic: Arc<str> = group.topic.as_str().into();
        let mut config = settings.consumer();
        config
            .set("group.id", &group.group)
            // An offset that is not in the log is an error, which `reopen` resolves and logs.
            .set("auto.offset.reset", "error");
        settings.set_membership(&mut config, group.session_timeout, &group.group_instance_id);
        for (key, value) in fetching(group.partitions, group.traffic) {
            settings.set_defaults(&mut config, &[(key, &value)]);
        }
        let client_id = members::client_id(&group.advertised, &group.instance);
        settings.set_defaults(
            &mut config,
            // The group's leader notices new partitions when it fetches the topic's metadata.
            &[("client.id", &client_id), ("topic.metadata.refresh.interval.ms", "10000")],
        );
        let context = Membership::new(settings, Arc::clone(&topic), group.begins_at_end, Box::new(on_event));
        let consumer: BaseConsumer<Membership> = config
            .create_with_context(context)
            .map_err(|error| KafkaError::of_client("making a consumer", &error))?;
        let consumer = Arc::new(consumer);
        consumer.context().belongs_to(&consumer);
        let protocol = settings.group_protocol();
        let pace = Arc::new(Pace::of_member(settings, group.partitions, group.traffic));
        let (group, instance) = (group.group.as_str().into(), group.instance.as_str().into());
        Ok(Self { consumer, topic, group, instance, protocol, pace })
    }

    /// What a member needs.
    pub(super) fn rights(&self) -> [Right; 2] {
        [Right::in_group(&self.group), Right::on_topic(Operation::Read, &self.topic)]
    }

    pub(super) fn consumer(&self) -> &BaseConsumer<Membership> {
        &self.consumer
    }

    /// Joins the group.
    pub fn subscribe(&self) -> Result<(), KafkaError> {
        self.consumer.context().lifeline.tend(self.consumer.client());
        self.consumer
            .subscribe(&[&self.topic])
            .map_err(|error| KafkaError::of_client(&format!("subscribing to {}", self.topic), &error))
    }

    /// Starts to leave the group: the next polls revoke all partitions.
    pub fn unsubscribe(&self) {
        self.consumer.unsubscribe();
    }

    /// Whether this member still has partitions.
    pub fn has_partitions(&self) -> bool {
        self.consumer.assignment().is_ok_and(|assignment| assignment.count() > 0)
    }

    /// Why this process is not in its group; `None` if it is, as far as is known. Asks the brokers only if none was
    /// reachable before.
    pub fn absence(&self) -> Option<&'static str> {
        let context = self.consumer.context();
        if self.protocol == GroupProtocol::Consumer {
            context.is_known_as_member(raw::member_epoch(self.consumer.client()) > 0);
        }
        let absence = context.absence()?;
        if self.consumer.fetch_metadata(Some(&self.topic), ABSENCE_PATIENCE).is_err() {
            return Some(absence);
        }
        context.brokers_are_back();
        match context.absence() {
            Some(NOT_JOINED) if self.protocol == GroupProtocol::Consumer => Some(group_protocol::NOT_JOINED),
            absence => absence,
        }
    }

    /// Whether the group has another member whose process is called `instance`, as this one is now; `false` while no
    /// broker answers. The group knows the name that a process had at its start.
    pub fn is_name_shared(&self, instance: &str) -> bool {
        let own = usize::from(*self.instance == *instance);
        members::count_named(self.consumer.client(), &self.group, instance) > own
    }

    /// Adapts how long requests for records wait at the brokers: longer while no partition has a backlog.
    pub fn keep_pace(&self, has_backlog: bool) {
        self.pace.keep(self.consumer.client(), has_backlog);
    }

    /// Serves the main queue: rebalances, errors, statistics. Records never arrive here.
    ///
    /// # Errors
    /// [`KafkaError::Fatal`] if the membership cannot go on. Transient errors are logged.
    pub fn poll(&self, timeout: Duration) -> Result<(), KafkaError> {
        let polled = self.consumer.poll(timeout);
        self.consumer.context().lifeline.tend(self.consumer.client());
        match polled {
            None | Some(Err(ClientError::PartitionEOF(_))) => Ok(()),
            Some(Ok(record)) => {
                use rdkafka::Message;
                let (partition, offset) = (record.partition(), record.offset());
                // All queues are split, so this is a bug; processing the record would break the partition's order.
                Err(KafkaError::Fatal(format!(
                    "record {}/{partition}@{offset} came through the main queue",
                    self.topic
                )))
            }
            Some(Err(error)) if self.consumer.context().lifeline.is_passing_refusal(&error) => Ok(()),
            Some(Err(error)) => {
                if let Some((code, reason)) = self.consumer.client().fatal_error() {
                    let advice = group_protocol::advice(code).map(|advice| format!(": {advice}"));
                    let advice = advice.unwrap_or_default();
                    return Err(KafkaError::Fatal(format!("consumer of {}: {reason}{advice}", self.topic)));
                }
                match KafkaError::of_client_with(
                    &format!("consumer of {}", self.topic),
                    &self.rights(),
                    &error,
                ) {
                    fatal @ (KafkaError::Fatal(_) | KafkaError::Denied { .. }) => Err(fatal),
                    passing => {
                        // The client has logged it and reconnects by itself.
                        tracing::debug!(error = %passing, "kafka consumer");
                        Ok(())
                    }
                }
            }
        }
    }

    /// Identifies this member and its generation of the group, for a transaction. Take it *before* checking whether
    /// the partitions still belong to this process: then it is of a generation in which they did, or the brokers
    /// refuse it.
    ///
    /// # Errors
    /// [`KafkaError::Fenced`] if this process is not a member at the moment.
    pub fn metadata(&self) -> Result<GroupMetadata, KafkaError> {
        let is_lost = self.consumer.assignment_lost();
        let metadata = self.consumer.group_metadata().filter(|_| !is_lost).map(GroupMetadata);
        metadata
            .ok_or_else(|| KafkaError::Fenced(format!("not in the group of {} at the moment", self.topic)))
    }

    /// Commits positions, and waits for the answer.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] if the group is rebalancing or the broker does not answer.
    pub fn commit(&self, positions: &[OffsetCommit]) -> Result<(), KafkaError> {
        let list = self.offsets(positions)?;
        let what = format!("committing offsets of {}", self.topic);
        let committed = self.consumer.commit(&list, CommitMode::Sync);
        committed.map_err(|error| KafkaError::of_client_with(&what, &self.rights(), &error))
    }

    /// Positions of the stage's source in the client's form.
    pub(super) fn offsets(&self, positions: &[OffsetCommit]) -> Result<TopicPartitionList, KafkaError> {
        offset_list(&self.topic, positions)
    }
}

/// Positions in the client's form: next offsets, each with its metadata.
pub(super) fn offset_list(topic: &str, positions: &[OffsetCommit]) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for position in positions {
        let failed = |error: ClientError| KafkaError::of_client("committing", &error);
        let mut entry = list.add_partition(topic, position.partition);
        entry.set_offset(Offset::Offset(position.next_offset)).map_err(failed)?;
        entry.set_metadata(position.metadata());
    }
    Ok(list)
}

impl GroupConsumer {
    /// The ends of partitions of any topic: the first record that is not committed yet, or the end of the log.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] if no broker answers.
    pub fn ends_of(&self, topic: &str, partitions: &[i32]) -> Result<BTreeMap<i32, i64>, KafkaError> {
        let found = log_offsets(&self.consumer, topic, partitions, PATIENCE).map_err(|error| {
            KafkaError::of_client(&format!("reading where the log of {topic} ends"), &error)
        })?;
        Ok(found.into_iter().map(|(partition, kept)| (partition, kept.end)).collect())
    }

    /// As [`reopen`](Self::reopen), one partition at a time; those that cannot be read yet are left out, and those that
    /// are not reached in time. Each call begins with another one.
    pub fn reopen_each(&self, partitions: &[i32]) -> Result<Vec<Assigned>, KafkaError> {
        let (begun, mut assigned) = (Instant::now(), Vec::with_capacity(partitions.len()));
        let first = usize::try_from(unix_ms()).unwrap_or(0) % partitions.len().max(1);
        for partition in partitions[first..].iter().chain(&partitions[..first]) {
            // The worker stands still meanwhile, with the partitions of all its stages.
            if begun.elapsed() > PATIENCE {
                break;
            }
            match self.reopen(&[*partition]) {
                Ok(one) => assigned.extend(one),
                Err(KafkaError::Retry(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(assigned)
    }

    /// Reads assigned partitions again from their committed (or rewound) offsets, after a task has failed. The client
    /// drops the records that it had fetched.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] if the broker does not answer, or a partition has just been taken away.
    pub fn reopen(&self, partitions: &[i32]) -> Result<Vec<Assigned>, KafkaError> {
        let what = format!("reading {} again", self.topic);
        let failed = |error: ClientError| KafkaError::of_client(&what, &error);
        let context = self.consumer.context();
        let partitions = context.still_ours(partitions);
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in &partitions {
            list.add_partition(&self.topic, *partition);
        }
        let mut assigned = context.split(&self.consumer, &partitions)?;
        context.find_starts(&self.consumer, &mut list, &mut assigned)?;
        for element in list.elements() {
            let (partition, start) = (element.partition(), element.offset());
            if self.consumer.seek(&self.topic, partition, start, PATIENCE).is_ok() {
                continue;
            }
            // A partition whose fetching stopped on an error cannot seek; assigning it again makes it readable.
            let Some(_still) = context.hold_still() else {
                return Err(KafkaError::Retry(format!("{what}: the group is changing")));
            };
            let mut one = TopicPartitionList::with_capacity(1);
            one.add_partition_offset(&self.topic, partition, start).map_err(failed)?;
            self.consumer.incremental_unassign(&one).map_err(failed)?;
            self.consumer.incremental_assign(&one).map_err(failed)?;
            if context.still_ours(&[partition]).is_empty() {
                // The partition was lost at this very moment: it must not stay.
                self.consumer.incremental_unassign(&one).map_err(failed)?;
            }
        }
        Ok(assigned)
    }
}
