//! Failures of Kafka, sorted by what the caller must do.

use rdkafka::error::{KafkaError as Client, RDKafkaErrorCode};

use super::{Operation, Right};

/// A failure of Kafka or of its client. Never carries a secret.
#[derive(Clone, Debug, thiserror::Error)]
pub enum KafkaError {
    /// No broker answered in time. Try another address, or start the broker.
    #[error("no Kafka broker answers at {brokers} (waited {} s{}): is it running there?", (.waited_ms + 500) / 1_000, detail(.last))]
    Unreachable {
        /// The addresses that were tried.
        brokers: String,
        /// How long the client waited, in milliseconds.
        waited_ms: u64,
        /// The client's last error, if there was one.
        last: String,
    },
    /// A setting of the client is wrong. Nothing was started.
    #[error("the Kafka client cannot be created: {0}")]
    Settings(String),
    /// A topic is missing, or its settings do not fit.
    #[error("{0}")]
    Topic(String),
    /// A retry may work: the task is closed without a commit and opened again.
    #[error("{0}")]
    Retry(String),
    /// Another process owns the partitions now, or the group has moved on, so nothing of this counts. The tasks are
    /// closed without a commit, and those that still belong to this process are opened again.
    #[error("{0}")]
    Fenced(String),
    /// The producer cannot be used any more: its transaction timed out, or another producer has its id.
    #[error("{0}")]
    Replaced(String),
    /// The brokers refuse this machine's time. Other processes can do the work.
    #[error(
        "{0}: the clock of this machine says {now}, which differs from the brokers' by more than they allow \
         (message.timestamp.after.max.ms, one hour by default): set it right (`timedatectl set-ntp true`), and start \
         again; nothing is lost, and other processes take over meanwhile",
        now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ")
    )]
    Clock(String),
    /// A topic does not accept a record as large as this one. It may after its settings have changed.
    #[error(
        "a record for topic {topic} is larger than the topic accepts: raise max.message.bytes of {topic} (kafka-configs \
         --alter --topic {topic} --add-config max.message.bytes=BYTES), or kafka.client.\"message.max.bytes\" where that is \
         set lower"
    )]
    TooLarge {
        /// Its name in Kafka.
        topic: String,
    },
    /// A topic that records are written to does not exist any more. They are written as soon as it is there again.
    #[error(
        "topic {topic} does not exist: make it again, with as many partitions as before; nothing is lost"
    )]
    NoTopic {
        /// Its name in Kafka.
        topic: String,
    },
    /// The brokers refuse what this client wants to do, until an administrator allows it.
    #[error("{doing}: {right}")]
    Denied {
        /// What was tried.
        doing: String,
        /// What it needs.
        right: Right,
    },
    /// A retry in this process cannot help.
    #[error("{0}")]
    Fatal(String),
}

/// The client's last error, the most frequent ones in plain words.
fn detail(last: &str) -> String {
    let says = |words: &str| last.contains(words);
    match last {
        "" => String::new(),
        _ if says("Failed to resolve") => "; this host name is unknown".to_owned(),
        _ if says("Connection refused") => "; nothing listens there: connection refused".to_owned(),
        _ if says("setup timed out") => "; the host does not answer".to_owned(),
        last => format!("; {last}"),
    }
}

impl KafkaError {
    /// An error of the client about a record for `topic`; `what` is the action that failed.
    pub(super) fn of_record(what: &str, topic: &str, error: &Client) -> Self {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Self::TooLarge { topic: topic.to_owned() },
            Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
                Self::NoTopic { topic: topic.to_owned() }
            }
            _ => Self::of_client_with(what, &[Right::on_topic(Operation::Write, topic)], error),
        }
    }

    /// An error of the client while doing `what`, for which it needs `rights`, each on another kind of thing.
    pub(super) fn of_client_with(what: &str, rights: &[Right], error: &Client) -> Self {
        let denied = error.rdkafka_error_code().and_then(|code| Self::denied(what, rights, code));
        denied.unwrap_or_else(|| Self::of_client(what, error))
    }

    /// The refusal of one of `rights`, each on another kind of thing, if `code` says that it is one.
    pub(super) fn denied(what: &str, rights: &[Right], code: RDKafkaErrorCode) -> Option<Self> {
        let right = Right::missing(rights, code)?.clone();
        Some(Self::Denied { doing: what.to_owned(), right })
    }

    /// A refusal by the brokers, which is not the client's, while doing `what`, for which it needs `right`.
    pub(super) fn of_refusal(what: &str, right: Right, code: RDKafkaErrorCode) -> Self {
        Self::denied(what, &[right], code).unwrap_or_else(|| Self::Topic(format!("{what}: {code}")))
    }

    /// Whether the same record will fail again, so that this error says more than the ones that follow from it.
    pub(super) fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::Fatal(_)
                | Self::Denied { .. }
                | Self::Clock(_)
                | Self::TooLarge { .. }
                | Self::NoTopic { .. }
        )
    }

    /// An error of the client; `what` is the action that failed.
    pub(super) fn of_client(what: &str, error: &Client) -> Self {
        match error {
            // The client's own text would print the value of the setting, which may be a secret.
            Client::ClientConfig(_, reason, key, _) => Self::Settings(format!("setting {key}: {reason}")),
            Client::ClientCreation(reason) => Self::Settings(reason.clone()),
            other => match other.rdkafka_error_code() {
                Some(RDKafkaErrorCode::FencedInstanceId) => Self::Fatal(format!(
                    "{what}: {other}: another process has the same runtime.group_instance_id"
                )),
                Some(RDKafkaErrorCode::InvalidTimestamp) => Self::Clock(format!("{what}: {other}")),
                Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::Fenced) => {
                    Self::Fatal(format!("{what}: {other}"))
                }
                Some(
                    RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::GroupAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed
                    | RDKafkaErrorCode::Authentication,
                ) => Self::Fatal(format!("{what}: {other}: check the permissions of this client")),
                _ => Self::Retry(format!("{what}: {other}")),
            },
        }
    }
}
