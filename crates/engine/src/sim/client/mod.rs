//! Clients with the interface of [`crate::kafka`], whose brokers are in memory ([`super::broker`]). In unit tests the
//! runtime uses these; see [`crate::link`].

#![allow(missing_docs, reason = "each says of which type it has the interface")]

mod admin;
mod consumer;
mod election;
mod producer;
mod queue;

pub(crate) use self::admin::{Admin, GroupOffsets};
pub(crate) use self::consumer::{Assigned, GroupConsumer, GroupEvent, GroupMetadata};
pub(crate) use self::election::Election;
pub(crate) use self::producer::Producer;
pub(crate) use self::queue::{PartitionQueue, Reader, Readers};
use crate::kafka::KafkaError;

/// The error of a request that may be repeated.
fn retry(what: &str) -> KafkaError {
    KafkaError::Retry(what.to_owned())
}
