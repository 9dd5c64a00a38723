//! Why a task or a worker cannot go on, sorted by what the supervisor must do.

use crate::StageId;
use crate::fault::{Sabotage, is_sabotaged};
use crate::kafka::KafkaError;
use crate::store::StateError;

/// A failure of a running stage. Bad records are none: they are dead letters.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// State could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// Kafka or its client failed.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// A thread hangs.
    #[error("stage {stage} has not moved in partition {partition} for {seconds} s: its thread hangs")]
    Stalled {
        /// The stage.
        stage: StageId,
        /// The partition.
        partition: i32,
        /// How long, in seconds.
        seconds: u64,
    },
    /// A bug: a part panicked, or a processor did so on one record after the other.
    #[error("{0} panicked")]
    Panic(String),
}

impl Failure {
    /// Whether Kafka is away or busy, the group has moved on, or a topic does not take a record until its settings change:
    /// waited for, however long it takes.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Kafka(KafkaError::Retry(_) | KafkaError::Fenced(_) | KafkaError::TooLarge { .. }) => true,
            Self::Kafka(KafkaError::Clock(_)) => is_sabotaged(Sabotage::StubbornClock),
            _ => false,
        }
    }

    /// The store that must be restored from the beginning of its changelog.
    pub fn unusable_store(&self) -> Option<&str> {
        match self {
            Self::State(StateError::Corrupted { store, .. } | StateError::Outdated { store, .. }) => {
                Some(store)
            }
            _ => None,
        }
    }

    /// Whether trying again in this process cannot help.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Kafka(KafkaError::Replaced(_)) => false,
            Self::Kafka(_) => !self.is_passing(),
            // sled refuses everything after the first failed write.
            Self::State(error) => {
                !matches!(error, StateError::Corrupted { .. } | StateError::Outdated { .. })
            }
            Self::Stalled { .. } => true,
            Self::Panic(_) => false,
        }
    }
}
