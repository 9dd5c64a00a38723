//! Why a task or a worker cannot continue, sorted by what the supervisor must do.

use crate::StageId;
use crate::fault::{Sabotage, is_sabotaged};
use crate::kafka::KafkaError;
use crate::store::StateError;

/// A failure of a running stage. Bad records do not cause one: they become dead letters.
#[derive(Clone, Debug, thiserror::Error)]
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
        /// The stage whose task hangs.
        stage: StageId,
        /// Its partition.
        partition: i32,
        /// How long it has not moved, in seconds.
        seconds: u64,
    },
    /// A bug: a part panicked, or a processor panicked on many records in a row.
    #[error("{0} panicked")]
    Panic(String),
    /// Another stage failed whose uncommitted work was in the same transaction.
    #[error("stage {stage} failed on the same worker: {reason}")]
    Neighbour {
        /// Whose failure aborted the transaction.
        stage: StageId,
        /// Why it failed, for people.
        reason: String,
    },
}

/// Why a worker gives up its tasks.
#[derive(Debug)]
pub(super) struct Breakdown {
    pub(super) failure: Failure,
    /// The stage whose failure it is; `None` if it concerns all stages that the worker works for.
    pub(super) stage: Option<StageId>,
}

impl Breakdown {
    pub(super) fn of(stage: StageId, failure: impl Into<Failure>) -> Self {
        Self { failure: failure.into(), stage: Some(stage) }
    }

    /// What it is for one of the worker's stages.
    pub(super) fn seen_by(&self, stage: StageId) -> Failure {
        match self.stage {
            Some(failed) if failed != stage => {
                Failure::Neighbour { stage: failed, reason: self.failure.to_string() }
            }
            _ => self.failure.clone(),
        }
    }
}

impl From<Failure> for Breakdown {
    fn from(failure: Failure) -> Self {
        Self { failure, stage: None }
    }
}

impl Failure {
    /// Whether the cause is outside this process, so that waiting helps: Kafka is away or busy, the group has moved
    /// on, or a topic refuses a record until its settings change.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Kafka(
                KafkaError::Retry(_)
                | KafkaError::Fenced(_)
                | KafkaError::TooLarge { .. }
                | KafkaError::NoTopic { .. },
            )
            | Self::Neighbour { .. } => true,
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

    /// Whether the stage may fail like this repeatedly, so that it must not share a transaction with others.
    pub(super) fn recurs(&self) -> bool {
        matches!(self, Self::Panic(_) | Self::Kafka(KafkaError::TooLarge { .. } | KafkaError::NoTopic { .. }))
    }

    /// Whether a retry in this process cannot help.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Kafka(KafkaError::Replaced(_)) => false,
            Self::Kafka(_) => !self.is_passing(),
            // sled refuses everything after the first failed write.
            Self::State(error) => {
                !matches!(error, StateError::Corrupted { .. } | StateError::Outdated { .. })
            }
            Self::Stalled { .. } => true,
            Self::Panic(_) | Self::Neighbour { .. } => false,
        }
    }
}
