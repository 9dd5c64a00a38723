//! The start of the engine: the part of a topology that is to run, and why it does not.

use super::failure::Failure;
use crate::kafka::KafkaError;
use crate::store::StateError;
use crate::{StageId, Topology};

/// The part of a topology that this process runs.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The stages that run here, in any order.
    pub stages: Vec<StageId>,
    /// Whether the broker can be asked for the settings of topics (the embedded one cannot).
    pub describe_topics: bool,
    /// Whether this process may poll the topology's sources.
    pub polls_sources: bool,
    /// The address of this process, as `host:port`, for other processes of the installation; empty for none.
    pub advertised: String,
}

impl RunOptions {
    /// All stages and sources of a topology.
    pub fn all(topology: &Topology) -> Self {
        let stages = topology.stages().iter().map(|stage| stage.id).collect();
        Self { polls_sources: true, ..Self::of_stages(stages) }
    }

    /// Only these stages.
    pub fn of_stages(stages: Vec<StageId>) -> Self {
        Self { stages, describe_topics: true, polls_sources: false, advertised: String::new() }
    }
}

/// Why the engine did not start. No record was processed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The request cannot be satisfied; the message says why.
    #[error("{0}")]
    Usage(String),
    /// Kafka does not answer, or its topics do not fit.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// A part failed during its start.
    #[error(transparent)]
    Part(#[from] Failure),
}
