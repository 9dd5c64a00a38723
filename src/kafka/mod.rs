//! Everything that knows Kafka's client. The only code that names rdkafka.
//!
//! Unsafe code is in [`raw`] alone, with its invariants written down.

mod admin;
mod client;
mod embedded;
mod error;
mod group;
mod producer;
mod raw;
mod reader;
mod rebalance;

pub use admin::{Admin, GroupOffsets, TopicState};
pub use client::ClientSettings;
pub use embedded::EmbeddedBroker;
pub use error::KafkaError;
pub use group::{GroupConsumer, GroupSettings};
pub use producer::{ChangelogSlot, Outgoing, Producer};
pub use raw::{PartitionQueue, Row};
pub use reader::{Polled, Reader, StartAt};
pub use rebalance::{Assigned, GroupEvent, OffsetCommit};

/// The version of librdkafka that this program was built with.
pub fn librdkafka_version() -> String {
    rdkafka::util::get_rdkafka_version().1
}
