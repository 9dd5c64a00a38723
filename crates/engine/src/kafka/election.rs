//! A member of a group that only learns which partitions are its own: it fetches nothing and commits no offsets.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::lifeline::Lifeline;
use super::{ClientSettings, KafkaError, Operation, Right};

/// A member of a group that divides the partitions of a topic. It leaves the group when it is dropped.
pub struct Election {
    consumer: BaseConsumer<Elected>,
    topic: String,
    group: String,
}

impl Election {
    /// Joins the group; the first partitions arrive with the polls.
    ///
    /// # Errors
    /// [`KafkaError::Settings`] if the client refuses its settings.
    pub fn join(
        settings: &ClientSettings,
        group: &str,
        topic: &str,
        session_timeout: Duration,
    ) -> Result<Self, KafkaError> {
        let mut config = settings.consumer();
        config.set("group.id", group).set("auto.offset.reset", "latest");
        settings.set_membership(&mut config, session_timeout, "");
        let context = Elected { owned: Mutex::default(), lifeline: settings.lifeline() };
        let consumer: BaseConsumer<Elected> = config
            .create_with_context(context)
            .map_err(|error| KafkaError::of_client("making a consumer", &error))?;
        consumer.context().lifeline.tend(consumer.client());
        consumer
            .subscribe(&[topic])
            .map_err(|error| KafkaError::of_client(&format!("subscribing to {topic}"), &error))?;
        Ok(Self { consumer, topic: topic.to_owned(), group: group.to_owned() })
    }

    /// Serves the membership for up to `timeout`. Call it continuously.
    ///
    /// # Errors
    /// [`KafkaError::Fatal`] if the membership cannot go on. Transient errors are logged.
    pub fn poll(&self, timeout: Duration) -> Result<(), KafkaError> {
        let polled = self.consumer.poll(timeout);
        self.consumer.context().lifeline.tend(self.consumer.client());
        // Records fetched before a partition was paused do not matter to an election.
        let Some(Err(error)) = polled else { return Ok(()) };
        if self.consumer.context().lifeline.is_passing_refusal(&error) {
            return Ok(());
        }
        if let Some((code, reason)) = self.consumer.client().fatal_error() {
            return Err(KafkaError::Fatal(format!("consumer of {}: {code}: {reason}", self.topic)));
        }
        let rights = [Right::in_group(&self.group), Right::on_topic(Operation::Read, &self.topic)];
        match KafkaError::of_client_with(&format!("consumer of {}", self.topic), &rights, &error) {
            fatal @ (KafkaError::Fatal(_) | KafkaError::Denied { .. }) => Err(fatal),
            passing => {
                tracing::debug!(error = %passing, "kafka consumer");
                Ok(())
            }
        }
    }

    /// The partitions that this member has now.
    pub fn owned(&self) -> BTreeSet<i32> {
        self.consumer.context().owned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The callbacks that librdkafka makes when the group changes.
struct Elected {
    owned: Mutex<BTreeSet<i32>>,
    lifeline: Lifeline,
}

impl ClientContext for Elected {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::client::log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.lifeline.reported(&error);
        super::client::log_error("kafka consumer", &error, reason);
    }
}

impl ConsumerContext for Elected {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        cause: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let numbers: Vec<i32> = partitions.elements().iter().map(|element| element.partition()).collect();
        let mut owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        let done = if cause == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            owned.extend(&numbers);
            let from_the_end = partitions.set_all_offsets(Offset::End);
            let taken = from_the_end.and_then(|()| consumer.incremental_assign(partitions));
            taken.and_then(|()| consumer.pause(partitions))
        } else {
            owned.retain(|partition| !numbers.contains(partition));
            consumer.incremental_unassign(partitions)
        };
        if let Err(error) = done {
            tracing::warn!(%error, ?numbers, "a change of the group was refused");
        }
    }
}
