//! Why a task or a worker cannot go on, sorted by what the supervisor must do.

use crate::kafka::KafkaError;
use crate::state::StateError;

/// A failure of a running stage. Bad records are none: they are dead letters.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// State could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// Kafka or its client failed.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// A bug: a part panicked, or a processor did so on one record after the other.
    #[error("{0} panicked")]
    Panic(String),
}

impl Failure {
    /// Whether Kafka is away or busy: waited for, however long it takes.
    pub fn is_kafka_away(&self) -> bool {
        matches!(self, Self::Kafka(KafkaError::Retry(_)))
    }

    /// Whether stores must be rebuilt from their changelogs.
    pub fn is_corruption(&self) -> bool {
        matches!(self, Self::State(StateError::Corrupted { .. }))
    }

    /// Whether trying again in this process cannot help.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Kafka(error) => !matches!(error, KafkaError::Retry(_)),
            Self::State(_) | Self::Panic(_) => false,
        }
    }
}
