//! The runtime: actors that move records from Kafka through the stages and back.
//!
//! ```text
//! System arbiter            Supervisor (one a stage): starts, watches, restarts
//!                                │ control messages only
//! worker threads            Worker (an arbiter): one producer, commits for all its partitions, of all stages
//!                                │ hosts
//!                           PartitionActor (one a partition): pulls from its own queue ─► Task
//! poll thread (a stage)     serves the consumer's main queue: rebalances, errors
//! ```
//!
//! Records never travel through mailboxes: a partition's actor pulls batches from its queue, and librdkafka's bounded
//! queue is the back-pressure. `Task` is a plain struct that does all the work of one partition; the actor is a thin
//! shell around it.
//!
//! The protocols are described next to their code: rebalance in [`crate::kafka`] (`rebalance.rs`) and
//! `supervisor.rs`, commit in `commit.rs`, restore in `restore.rs`.

mod background;
mod caught_up;
mod commit;
mod contact;
mod engine;
mod event_loop;
mod failure;
mod follow;
mod hand;
mod inspect;
mod message;
mod partition;
mod partition_ranges;
mod plan;
mod poll_thread;
mod pool;
mod provenance;
mod question;
mod record_limits;
mod restore;
#[cfg(test)]
pub(crate) mod simulation;
mod snapshot;
mod sources;
mod start;
mod status;
mod supervisor;
mod table_follower;
mod task;
mod threads;
mod topic_check;
mod topic_limits;
mod topic_tail;
mod totals;
mod worker;

pub use background::Background;
pub use engine::{Engine, Watcher};
pub use event_loop::block_on;
pub use failure::Failure;
pub use follow::FollowClient;
pub use inspect::{Answer, Inspector, Process};
pub use question::{Found, Look, StateQuestion};
pub use snapshot::{Phase, TaskSnapshot};
pub use sources::{SourceBoard, SourcePhase, SourceSnapshot};
pub use start::{RunOptions, StartError};
pub use status::Board;
pub use topic_tail::TopicTail;
pub use totals::{Summary, Timing, Totals};
