//! Calls of librdkafka that the crate does not offer, or offers too slowly. All unsafe code is here.
//!
//! | call | why |
//! |---|---|
//! | `rd_kafka_consume_callback` | 50 to 70 ns a record, where the crate's poll takes 270 to 300 ns |
//! | `rd_kafka_consume_batch_queue` | the same for readers without a group, see below |
//! | `rd_kafka_flush` | 0.2 ms, where the crate's flush takes at least 100 ms when anything is in flight |
//! | `rd_kafka_commit_transaction` | 2 to 4 ms, where the crate's, which flushes first, takes 100 ms |
//! | `rd_kafka_brokers_add` | see [`super::lifeline`] |
//! | `rd_kafka_conf_set` on the settings of a running client | see [`super::fetching`] |
//! | `rd_kafka_sasl_set_credentials`, `rd_kafka_oauthbearer_set_token` | see [`super::credentials`] |
//! | `rd_kafka_msg_partitioner_murmur2` | the partition of a key, as the engine's producers choose it |
//! | `rd_kafka_DescribeTopics` | the crate does not offer the ids of topics |
//! | `rd_kafka_DescribeConsumerGroups` | the crate's list of groups lacks the members of groups with the protocol `consumer` |
//! | `rd_kafka_consumer_group_metadata_generation_id` | the crate passes it on but does not show it |
//! | `rd_kafka_get_watermark_offsets` | the end of a partition as of the last fetch, without asking a broker |
//!
//! # Invariants
//!
//! 1. A [`PartitionQueue`] or [`SharedQueue`] owns references to librdkafka queues (and a topic) and an `Arc` of
//!    their consumer. `Drop` returns the references before the `Arc`, so none outlives its consumer.
//! 2. A message belongs to librdkafka and lives for the call of `visit_message`, or as long as its `Batch`; nothing
//!    borrowed from it can outlive the visit, by the lifetime in [`Row`]. A visitor's panic never crosses C code: the
//!    callback catches it, and it resumes when librdkafka has returned.
//! 3. The wake-up callback gets a pointer to a partition's `Notify`, which the consumer's own context keeps as long
//!    as the client lives. A partition has one callback, set by its newest queue; it is never switched off, because
//!    an older queue may be dropped after the newer one was created.
//! 4. A queue is used by one thread at a time (`&mut self`), and may be moved between threads, hence `Send`.
//!    Two queues of one partition may exist for a moment; librdkafka locks what they share.
//!
//! # Why these two calls
//!
//! `rd_kafka_consume_batch_queue` is as fast, but in librdkafka 2.12.1 it moves the application's position past the
//! end when it returns an end-of-partition row (librdkafka issue 4844). A rebalance pauses and resumes every
//! partition at that position, so the next record of each partition that was read to its end is never delivered. Only
//! a resume and a request for the position use it, and readers without a group do neither, so it does them no harm.
//!
//! `rd_kafka_consume_callback_queue` takes the whole queue for itself and puts back what was not visited at its end.
//! In the meantime the queue looks empty, and the client fetches more, regardless of `queued.max.messages.kbytes` and
//! `queued.min.messages`: a worker that is slower than the network collects its whole backlog in memory.
//! `rd_kafka_consume_callback`, of the older interface, takes [`SLICE_ROWS`] and leaves the rest in the queue.
#![allow(unsafe_code)]

mod ask;
mod describe_group;
mod describe_topics;
mod message;
mod partition_queue;
mod shared_queue;

use std::ffi::{CStr, CString};
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;
use zeroize::Zeroizing;

pub(super) use describe_group::{DescribedMember, describe_group};
pub(super) use describe_topics::describe_topics;
pub use message::Row;
pub use partition_queue::PartitionQueue;
pub(super) use shared_queue::SharedQueue;

/// Rows that a partition returns per call. The rest stays in the client's queue and counts towards its limits.
pub(super) const SLICE_ROWS: usize = 1_024;

/// A time-out in librdkafka's form. Rounded up: a loop with waits below a millisecond would otherwise not wait at
/// all.
fn milliseconds(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_micros().div_ceil(1_000)).unwrap_or(i32::MAX)
}

/// The partition to which a producer with `partitioner = murmur2_random` sends a record with this key; `None` if
/// there are no partitions.
pub(super) fn partition_of_key(key: &[u8], partitions: i32) -> Option<i32> {
    if partitions <= 0 {
        return None;
    }
    let (topic, opaque) = (ptr::null(), ptr::null_mut());
    // SAFETY: it reads the key's bytes and nothing else; the topic is not looked at.
    let partition = unsafe {
        sys::rd_kafka_msg_partitioner_murmur2(
            topic,
            key.as_ptr().cast(),
            key.len(),
            partitions,
            opaque,
            opaque,
        )
    };
    Some(partition)
}

/// The high watermark of a partition as of the last fetch.
/// SAFETY: it reads the key's bytes and nothing else; it does not use the topic.
/// # Safety
/// The client must be alive.
unsafe fn high_watermark(client: *mut sys::rd_kafka_t, topic: &str, partition: i32) -> Option<i64> {
    let name = CString::new(topic).ok()?;
    let (mut low, mut high) = (0, 0);
    // SAFETY: the client is alive, the name is a C string that the call reads, the offsets are written.
    let found = unsafe {
        sys::rd_kafka_get_watermark_offsets(client, name.as_ptr(), partition, &raw mut low, &raw mut high)
    };
    (found == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
}

/// Waits until every produced record has been acknowledged or has failed. `false` if not within `timeout`.
pub(super) fn flush<C: ClientContext>(client: &Client<C>, timeout: Duration) -> bool {
    // SAFETY: the client is alive (borrowed). Its delivery reports are served by the producer's own thread.
    let result = unsafe { sys::rd_kafka_flush(client.native_ptr(), milliseconds(timeout)) };
    result == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// Sets how long a consumer's requests for records may wait at a broker, from its next request on. Returns whether the
/// client took it.
pub(super) fn set_fetch_wait<C: ClientContext>(client: &Client<C>, wait: Duration) -> bool {
    let Ok(value) = CString::new(milliseconds(wait).to_string()) else { return false };
    // SAFETY: the client is alive (borrowed), and so are its settings. The application may not write most of them,
    // since the client looks at them once or owns what they point to. This one is an aligned `int` that the thread of
    // each broker reads when it writes a request (`rd_kafka_broker_fetch_toppars` in rdkafka_fetcher.c), so that it
    // sees the old or the new number; the call stores the number and, in a mask that only copies of settings use, that
    // it was set. Both strings are copied.
    let result = unsafe {
        let settings = sys::rd_kafka_conf(client.native_ptr()).cast_mut();
        sys::rd_kafka_conf_set(settings, c"fetch.wait.max.ms".as_ptr(), value.as_ptr(), ptr::null_mut(), 0)
    };
    result == sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK
}

/// The epoch (or generation) of a consumer in its group, as of the brokers' last answer; 0 or less while it is not a
/// member.
pub(super) fn member_epoch<C: ClientContext>(client: &Client<C>) -> i32 {
    // SAFETY: the client is alive (borrowed); the returned object is ours, and is given back after it was read.
    unsafe {
        let metadata = sys::rd_kafka_consumer_group_metadata(client.native_ptr());
        if metadata.is_null() {
            return 0;
        }
        let epoch = sys::rd_kafka_consumer_group_metadata_generation_id(metadata);
        sys::rd_kafka_consumer_group_metadata_destroy(metadata);
        epoch
    }
}

/// Adds broker addresses to a client; returns how many of these it has now. See [`super::lifeline`].
pub(super) fn add_brokers<C: ClientContext>(client: &Client<C>, addresses: &CStr) -> i32 {
    // SAFETY: the client is alive (borrowed), the addresses are a C string that the call copies.
    unsafe { sys::rd_kafka_brokers_add(client.native_ptr(), addresses.as_ptr()) }
}

/// Gives a client a user and a password for its next connections; see [`super::credentials`].
pub(super) fn set_login<C: ClientContext>(
    client: &Client<C>,
    user: &str,
    password: &str,
) -> Result<(), String> {
    let (user, password) = (text(user)?, text(password)?);
    // SAFETY: the client is alive (borrowed), the texts are C strings that the call copies; a returned error is ours,
    // and is given back after it was read.
    unsafe {
        let error = sys::rd_kafka_sasl_set_credentials(client.native_ptr(), user.as_ptr(), password.as_ptr());
        if error.is_null() {
            return Ok(());
        }
        let reason = CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned();
        sys::rd_kafka_error_destroy(error);
        Err(reason)
    }
}

/// Gives a client a token for its next connections, valid until `until_ms` (milliseconds since 1970); see
/// [`super::credentials`].
pub(super) fn set_token<C: ClientContext>(
    client: &Client<C>,
    token: &str,
    until_ms: i64,
    principal: &str,
    extensions: &[(String, String)],
) -> Result<(), String> {
    let (token, principal) = (text(token)?, text(principal)?);
    let texts = extensions.iter().flat_map(|(name, value)| [text(name), text(value)]);
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    let mut pointers: Vec<_> = texts.iter().map(|text| text.as_ptr()).collect();
    let mut reason = [0; 256];
    // SAFETY: the client is alive (borrowed), all texts are C strings that the call copies, names and values in turn; the
    // reason is written as a C string within its bounds.
    unsafe {
        let result = sys::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            token.as_ptr(),
            until_ms,
            principal.as_ptr(),
            pointers.as_mut_ptr(),
            pointers.len(),
            reason.as_mut_ptr(),
            reason.len(),
        );
        match result {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            _ => Err(CStr::from_ptr(reason.as_ptr()).to_string_lossy().into_owned()),
        }
    }
}

/// A text for C; the error does not show it.
fn text(text: &str) -> Result<Zeroizing<CString>, String> {
    CString::new(text).map(Zeroizing::new).map_err(|_| "it has a zero byte".to_owned())
}

/// Why a transaction call failed, in librdkafka's categories.
#[derive(Debug)]
pub(super) struct TransactionError {
    pub(super) code: RDKafkaErrorCode,
    pub(super) reason: String,
    /// The transaction is lost; aborting it makes the producer usable again.
    pub(super) requires_abort: bool,
    /// The same call may be created again.
    pub(super) is_retriable: bool,
}

/// Commits the open transaction after flushing all produced records. The producer's own thread must serve delivery
/// reports at the same time. After a time-out, the same call continues where this one stopped.
pub(super) fn commit_transaction<C: ClientContext>(
    client: &Client<C>,
    timeout: Duration,
) -> Result<(), TransactionError> {
    // SAFETY: the client is alive (borrowed); a returned error is ours, and is given back after it was read.
    unsafe {
        let error = sys::rd_kafka_commit_transaction(client.native_ptr(), milliseconds(timeout));
        if error.is_null() {
            return Ok(());
        }
        let found = TransactionError {
            code: sys::rd_kafka_error_code(error).into(),
            reason: CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned(),
            requires_abort: sys::rd_kafka_error_txn_requires_abort(error) != 0,
            is_retriable: sys::rd_kafka_error_is_retriable(error) != 0,
        };
        sys::rd_kafka_error_destroy(error);
        Err(found)
    }
}
