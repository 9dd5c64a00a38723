//! Everything that uses Kafka's client. No other code names rdkafka.
//!
//! Unsafe code is in `raw` only, with its invariants listed there.

mod admin;
mod bare_client;
mod certificate;
mod client;
mod credentials;
mod election;
mod embedded;
mod error;
mod fetching;
mod group;
mod group_protocol;
mod lease;
mod lifeline;
mod log_offsets;
mod members;
mod more_partitions;
mod position;
mod producer;
mod raw;
mod reader;
mod rebalance;
mod right;
mod secret;
mod sender;
mod set_back;
mod settings_check;
mod topic_identity;
mod transaction;

pub use admin::{Admin, GroupOffsets, TopicDetails, TopicState};
pub use bare_client::BareClient;
pub use client::{ClientSettings, client_version};
pub use credentials::{Token, TokenRequest, TokenSource, obtain_tokens_with};
pub use election::Election;
pub use embedded::EmbeddedBroker;
pub use error::KafkaError;
pub use group::{GroupConsumer, GroupMetadata, GroupSettings};
pub use group_protocol::GroupProtocol;
#[cfg(test)]
pub(crate) use lease::Lease;
pub use lease::Ownership;
pub use members::Member;
pub use more_partitions::partition_of_key;
pub use position::OffsetCommit;
pub use producer::Producer;
pub use raw::{PartitionQueue, Row};
pub use reader::{Polled, Reader, Readers, StartAt};
pub use rebalance::{Assigned, GroupEvent};
pub use right::{Operation, Resource, Right};
pub use secret::{OWNED_CLIENT_KEYS, SecretText, is_reference, is_sensitive, resolve_secret};
pub use sender::{ChangelogSlot, Outgoing};
pub use topic_identity::TopicIdentity;
pub use transaction::TransactionSettings;
