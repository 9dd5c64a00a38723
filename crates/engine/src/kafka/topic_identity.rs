//! Which topic a name refers to at the moment: a topic that was deleted and created again is a different one.

use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;

use super::{Admin, GroupConsumer, KafkaError, Operation, Right, raw};

const PATIENCE: Duration = Duration::from_secs(5);

/// Distinguishes a topic from earlier and later ones of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicIdentity {
    /// The id that the brokers gave it. If they give none (before Kafka 2.8, and the embedded broker), an id that is
    /// valid in this process only, so that nothing left behind by an earlier process is attributed to this topic.
    pub id: String,
    /// The number of its partitions; they are numbered from 0.
    pub partitions: i32,
}

impl TopicIdentity {
    /// For a topic of which a broker has reported no more than this; see [`id`](Self::id).
    pub fn of_this_process(partitions: i32) -> Self {
        static ID: OnceLock<String> = OnceLock::new();
        let id = ID.get_or_init(|| format!("process-{:032x}", crate::random::bits_128())).clone();
        Self { id, partitions }
    }
}

impl Admin {
    /// Identifies topics.
    ///
    /// # Errors
    /// [`KafkaError::Topic`] if one does not exist, [`KafkaError::Retry`] if no broker answers.
    pub fn identify(&self, topics: &[&str]) -> Result<Vec<TopicIdentity>, KafkaError> {
        self.tend();
        identify(self.client(), topics)
    }
}

impl GroupConsumer {
    /// As [`Admin::identify`], through this member's connections.
    ///
    /// # Errors
    /// As [`Admin::identify`].
    pub fn identify(&self, topics: &[&str]) -> Result<Vec<TopicIdentity>, KafkaError> {
        identify(self.consumer().client(), topics)
    }
}

impl Admin {
    /// Refuses where the brokers say that this client lacks one of these rights on topics: a missing one would show only
    /// with the first record. Brokers that do not say are believed to allow them.
    ///
    /// # Errors
    /// [`KafkaError::Denied`] with the first that is missing.
    pub fn check_rights(&self, doing: &str, rights: &[Right]) -> Result<(), KafkaError> {
        let mut topics: Vec<&str> = rights.iter().map(|right| right.name.as_str()).collect();
        topics.sort_unstable();
        topics.dedup();
        let described = raw::describe_topics(self.client(), &topics, PATIENCE).unwrap_or_default();
        let is_missing = |right: &&Right| {
            let topic = described.iter().find(|topic| topic.name == right.name);
            topic
                .and_then(|topic| topic.allowed.as_ref())
                .is_some_and(|allowed| !allowed.contains(&right.operation))
        };
        match rights.iter().find(is_missing) {
            Some(right) => Err(KafkaError::Denied { doing: doing.to_owned(), right: right.clone() }),
            None => Ok(()),
        }
    }
}

/// Identities in the order of `topics`.
fn identify<C: ClientContext>(client: &Client<C>, topics: &[&str]) -> Result<Vec<TopicIdentity>, KafkaError> {
    let described = match raw::describe_topics(client, topics, PATIENCE) {
        Ok(described) => described,
        Err(code) => {
            return Err(KafkaError::Retry(format!("identifying topics {}: {code}", topics.join(", "))));
        }
    };
    let one = |topic: &&str| {
        let found = described.iter().find(|found| found.name == *topic);
        let found = found.ok_or_else(|| KafkaError::Topic(format!("no broker describes topic {topic}")))?;
        match found.error {
            None => {
                let partitions = i32::try_from(found.partitions).unwrap_or(i32::MAX);
                let known = found.id.map(|id| TopicIdentity { id: format!("{id:032x}"), partitions });
                Ok(known.unwrap_or_else(|| TopicIdentity::of_this_process(partitions)))
            }
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                Err(KafkaError::Topic(format!("topic {topic} does not exist")))
            }
            Some(code @ RDKafkaErrorCode::TopicAuthorizationFailed) => {
                let right = Right::on_topic(Operation::Describe, topic);
                Err(KafkaError::of_refusal(&format!("identifying topic {topic}"), right, code))
            }
            Some(code) => Err(KafkaError::Retry(format!("identifying topic {topic}: {code}"))),
        }
    };
    topics.iter().map(one).collect()
}
