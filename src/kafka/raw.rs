//! The calls of librdkafka that the crate does not offer, or offers too slowly. All unsafe code is here.
//!
//! | call | why |
//! |---|---|
//! | `rd_kafka_consume_callback` | 50 to 70 ns a record, where the crate's poll takes 270 to 300 ns |
//! | `rd_kafka_consume_batch_queue` | the same for readers without a group, see below |
//! | `rd_kafka_flush` | 0.2 ms, where the crate's flush takes at least 100 ms when anything is in flight |
//! | `rd_kafka_commit_transaction` | 2 to 4 ms, where the crate's, which flushes first, takes 100 ms |
//! | `rd_kafka_brokers_add` | see [`super::lifeline`] |
//! | `rd_kafka_msg_partitioner_murmur2` | the partition of a key, as our producers choose it |
//! | `rd_kafka_get_watermark_offsets` | the end of a partition as the last fetch told it, without asking a broker |
//!
//! # Invariants
//!
//! 1. A [`PartitionQueue`] or [`SharedQueue`] owns references to librdkafka queues (and a topic) and an `Arc` of
//!    the consumer that they belong to; the references are given back in `Drop`, before the `Arc` goes, so none
//!    outlives its consumer.
//! 2. A message belongs to librdkafka and lives for the call of [`visit_message`], or as long as its [`Batch`];
//!    nothing borrowed from it can outlive the visit, by the lifetime in [`Row`]. A visitor's panic never crosses C
//!    code: it is caught in the callback and goes on when librdkafka has returned.
//! 3. The wake-up callback gets a pointer to a partition's `Notify`, which the consumer's own context keeps for
//!    as long as the client lives. A partition has one callback, which its newest queue has set; it is never
//!    switched off, since an older queue may be dropped after the newer one was made.
//! 4. A queue is used by one thread at a time (`&mut self`), and may be moved between threads, hence `Send`.
//!    Two queues of one partition may exist for a moment; librdkafka locks what they share.
//!
//! # Why these two of librdkafka's calls
//!
//! `rd_kafka_consume_batch_queue` is as fast, but in librdkafka 2.12.1 it moves the application's position past the
//! end when it returns an end-of-partition row (librdkafka issue 4844). A rebalance pauses and resumes every
//! partition at that position, so the next record of each partition that was read to its end is never delivered.
//! Only a resume and the question for the position look at it, so it does no harm to readers without a group, which
//! never do either.
//!
//! `rd_kafka_consume_callback_queue` takes all that is in the queue for itself and puts back at its end what was not
//! visited. Meanwhile the queue looks empty, and the client fetches more, however much `queued.max.messages.kbytes`
//! and `queued.min.messages` allow: a worker that is slower than the network collects its whole backlog in memory.
//! `rd_kafka_consume_callback`, of the older interface, takes [`SLICE_ROWS`] and leaves the others in the queue.
#![allow(unsafe_code)]

use std::any::Any;
use std::ffi::{CStr, CString, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::Notify;

use super::KafkaError;
use super::lease::{Lease, Ownership};
use crate::record::{ReadHeaders, Record};

/// Rows that a partition gives at once. All but these stay in the client's queue, and count for its limits.
pub(super) const SLICE_ROWS: usize = 1_024;

/// What one row of a batch is.
pub enum Row<'a> {
    /// A record.
    Record(Record<'a>),
    /// The partition has been read to its end; the next record will have this offset, or a later one.
    EndOfPartition {
        /// Which one.
        partition: i32,
        /// The end: under `read_committed` the last stable offset.
        offset: i64,
    },
    /// The client reports an error of this partition.
    Error(KafkaError),
}

/// The partition into which a producer with `partitioner = murmur2_random` puts a record with this key; `None` where
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

/// The queue of one assigned partition, split from the consumer's main queue.
pub struct PartitionQueue {
    queue: ptr::NonNull<sys::rd_kafka_queue_t>,
    /// The client that the queue belongs to, for yielding.
    client: *mut sys::rd_kafka_t,
    /// The client's own topic, which the partition is asked of.
    handle: ptr::NonNull<sys::rd_kafka_topic_t>,
    partition: i32,
    topic: Arc<str>,
    /// Woken when the queue turns from empty to not empty. Only a hint: edges get lost after an assign.
    wake: Arc<Notify>,
    lease: Arc<Lease>,
    /// Keeps the consumer alive; see invariant 1.
    _consumer: Arc<dyn Send + Sync>,
}

// SAFETY: invariant 4; all other fields are `Send`.
unsafe impl Send for PartitionQueue {}

impl PartitionQueue {
    /// Splits the queue of a partition from the consumer's main queue. Do it before fetching starts, or
    /// records leak to the main queue. `None` where the client does not know the partition.
    pub(super) fn split<C: ClientContext>(
        client: &Client<C>,
        consumer: Arc<dyn Send + Sync>,
        topic: &Arc<str>,
        partition: i32,
        (lease, wake): (Arc<Lease>, Arc<Notify>),
    ) -> Option<Self> {
        let name = CString::new(&**topic).ok()?;
        // SAFETY: the client is alive (borrowed), the name is a C string that the call copies.
        let queue =
            unsafe { sys::rd_kafka_queue_get_partition(client.native_ptr(), name.as_ptr(), partition) };
        let queue = ptr::NonNull::new(queue)?;
        // SAFETY: the client is alive, the name is copied; without settings the topic has the client's own.
        let handle = unsafe { sys::rd_kafka_topic_new(client.native_ptr(), name.as_ptr(), ptr::null_mut()) };
        let Some(handle) = ptr::NonNull::new(handle) else {
            // SAFETY: the queue is ours, and goes nowhere.
            unsafe { sys::rd_kafka_queue_destroy(queue.as_ptr()) };
            return None;
        };
        // SAFETY: the queue is ours (invariant 1). Forwarding to null ends the forwarding to the main queue.
        // The callback's pointer stays valid (invariant 3).
        unsafe {
            sys::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut());
            let opaque = Arc::as_ptr(&wake).cast_mut().cast::<c_void>();
            sys::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(wake_up), opaque);
        }
        let (client, topic) = (client.native_ptr(), Arc::clone(topic));
        Some(Self { queue, client, handle, partition, topic, wake, lease, _consumer: consumer })
    }

    /// Notified when the queue turns from empty to not empty. Poll on a tick as well.
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Tells for as long as it is kept whether the partition is still ours.
    pub fn ownership(&self) -> Ownership {
        Ownership(Arc::clone(&self.lease))
    }

    /// The end of the partition as the last fetch told it, open transactions included; `None` before the first one.
    pub fn end(&self) -> Option<i64> {
        // SAFETY: the client is alive while its queue is (invariant 1).
        unsafe { high_watermark(self.client, &self.topic, self.partition) }
    }

    /// Where the first record is expected.
    pub(super) fn begins_at(&self, offset: i64) {
        self.lease.reached(offset);
    }

    /// Whether the partition is still ours.
    pub fn is_ours(&self) -> bool {
        self.lease.is_ours()
    }

    /// Takes what is there, up to `SLICE_ROWS`, without waiting, and visits each. Returns how many.
    pub fn consume(&mut self, visit: &mut dyn FnMut(Row<'_>)) -> usize {
        if !self.is_ours() {
            return 0;
        }
        let mut next_offset = None;
        let mut visit_and_note = |row: Row<'_>| {
            if let Row::Record(record) = &row {
                next_offset = Some(record.offset + 1);
            }
            visit(row);
        };
        let (visit, topic, client) = (&mut visit_and_note, &*self.topic, self.client);
        let mut visits = Visits { visit, topic, client, visited: 0, panic: None };
        let opaque = (&raw mut visits).cast::<c_void>();
        // SAFETY: topic and queue are ours (invariant 1); `visits` outlives the call, which is over when it returns.
        unsafe {
            sys::rd_kafka_consume_callback(
                self.handle.as_ptr(),
                self.partition,
                0,
                Some(visit_message),
                opaque,
            );
        }
        let Visits { visited, panic, .. } = visits;
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
        if let Some(next_offset) = next_offset {
            self.lease.reached(next_offset);
        }
        visited
    }
}

/// The queues of several partitions of one topic, read as one. For readers without a group.
pub(super) struct SharedQueue {
    queue: ptr::NonNull<sys::rd_kafka_queue_t>,
    partitions: Vec<ptr::NonNull<sys::rd_kafka_queue_t>>,
    client: *mut sys::rd_kafka_t,
    topic: Arc<str>,
    _consumer: Arc<dyn Send + Sync>,
}

// SAFETY: invariant 4; all other fields are `Send`.
unsafe impl Send for SharedQueue {}

impl SharedQueue {
    /// Forwards the queues of `partitions` to a new one, before they are assigned. `None` where the client does
    /// not know one of them.
    pub(super) fn gather<C: ClientContext>(
        client: &Client<C>,
        consumer: Arc<dyn Send + Sync>,
        topic: &Arc<str>,
        partitions: impl Iterator<Item = i32>,
    ) -> Option<Self> {
        let name = CString::new(&**topic).ok()?;
        // SAFETY: the client is alive (borrowed).
        let queue = ptr::NonNull::new(unsafe { sys::rd_kafka_queue_new(client.native_ptr()) })?;
        let (client, topic) = (client.native_ptr(), Arc::clone(topic));
        let mut shared = Self { queue, partitions: Vec::new(), client, topic, _consumer: consumer };
        for partition in partitions {
            // SAFETY: as in `PartitionQueue::split`; both queues are ours until `Drop`.
            unsafe {
                let one = sys::rd_kafka_queue_get_partition(client, name.as_ptr(), partition);
                let one = ptr::NonNull::new(one)?;
                shared.partitions.push(one);
                sys::rd_kafka_queue_forward(one.as_ptr(), queue.as_ptr());
            }
        }
        Some(shared)
    }

    /// Waits up to `timeout` for the first row, takes what is there up to `max`, or a slice more than the first, and
    /// visits each. Returns how many.
    pub(super) fn consume(&mut self, timeout: Duration, max: usize, visit: &mut dyn FnMut(Row<'_>)) -> usize {
        let mut visited = 0;
        // The call waits until it has as many as are asked for: one is waited for, the others may be there.
        for (max, timeout) in [(1, timeout), (max.saturating_sub(1), Duration::ZERO)] {
            let batch = self.take::<SLICE_ROWS>(max, timeout);
            batch.messages().for_each(|message| visit(row(message, &self.topic)));
            visited += batch.taken;
            if batch.taken == 0 {
                break;
            }
        }
        visited
    }

    /// Takes up to `BATCH` records, waiting up to `timeout` for so many, and throws them away unread. Returns
    /// how many there were. Nothing can be faster: it is what everything else is compared with.
    pub(super) fn discard<const BATCH: usize>(&mut self, timeout: Duration) -> u64 {
        let batch = self.take::<BATCH>(BATCH, timeout);
        batch.messages().map(|message| u64::from(is_record(message))).sum()
    }

    fn take<const ROOM: usize>(&mut self, max: usize, timeout: Duration) -> Batch<ROOM> {
        let mut batch = Batch { messages: [ptr::null_mut(); ROOM], taken: 0 };
        let (room, max) = (batch.messages.as_mut_ptr(), max.min(ROOM));
        // Rounded up: who waits for less than a millisecond, in a loop, would not wait at all.
        let timeout_ms = i32::try_from(timeout.as_micros().div_ceil(1_000)).unwrap_or(i32::MAX);
        // SAFETY: the queue is ours (invariant 1), the batch has room for as many as are asked for.
        let taken = unsafe { sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), timeout_ms, room, max) };
        batch.taken = usize::try_from(taken).unwrap_or(0);
        batch
    }

    /// The high watermark of a partition as the last fetch told it; `None` before the first one.
    pub(super) fn high_watermark(&self, partition: i32) -> Option<i64> {
        // SAFETY: the client is alive while its queue is (invariant 1).
        unsafe { high_watermark(self.client, &self.topic, partition) }
    }
}

/// The high watermark of a partition as the last fetch told it.
///
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

impl Drop for SharedQueue {
    fn drop(&mut self) {
        // SAFETY: invariant 1. What is forwarded is unhooked before the queue that it goes to is given back.
        unsafe {
            for one in &self.partitions {
                sys::rd_kafka_queue_forward(one.as_ptr(), ptr::null_mut());
                sys::rd_kafka_queue_destroy(one.as_ptr());
            }
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// Messages that are given back when this is dropped.
struct Batch<const ROOM: usize> {
    messages: [*mut sys::rd_kafka_message_t; ROOM],
    taken: usize,
}

impl<const ROOM: usize> Batch<ROOM> {
    fn messages(&self) -> impl Iterator<Item = &sys::rd_kafka_message_t> {
        // SAFETY: each of these was given to us, and is given back in `Drop` (invariant 2).
        self.messages[..self.taken].iter().map(|message| unsafe { &**message })
    }
}

impl<const ROOM: usize> Drop for Batch<ROOM> {
    fn drop(&mut self) {
        for message in &self.messages[..self.taken] {
            // SAFETY: it was given to us, and nobody looks at it any more (invariant 2).
            unsafe { sys::rd_kafka_message_destroy(*message) };
        }
    }
}

/// One call of [`PartitionQueue::consume`].
struct Visits<'a> {
    visit: &'a mut dyn FnMut(Row<'_>),
    topic: &'a str,
    client: *mut sys::rd_kafka_t,
    visited: usize,
    panic: Option<Box<dyn Any + Send>>,
}

/// Called by librdkafka for each row, on the thread that called `consume`.
unsafe extern "C" fn visit_message(message: *mut sys::rd_kafka_message_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is the `Visits` of the running call, the message is valid (invariant 2).
    let (visits, message) = unsafe { (&mut *opaque.cast::<Visits<'_>>(), &*message) };
    visits.visited += 1;
    prefetch_next(message);
    if visits.panic.is_none() {
        let visit = AssertUnwindSafe(|| (visits.visit)(row(message, visits.topic)));
        visits.panic = catch_unwind(visit).err();
    }
    if visits.panic.is_some() {
        // SAFETY: the client is alive while its queue is. Ends the running call after this row; what was
        // not visited stays in the queue.
        unsafe { sys::rd_kafka_yield(visits.client) };
    }
}

/// Has the processor fetch the key of the record behind this one while this one is worked on. In a batch they lie
/// one behind the other, written by a thread of librdkafka on another core: without this, the first look at each
/// key costs as much as all the rest of a record that is passed over.
fn prefetch_next(message: &sys::rd_kafka_message_t) {
    /// Headers of this record, then length, attributes, timestamp and offset of the next.
    const FRAMING_BYTES: usize = 10;
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let next = message.payload.cast::<i8>().wrapping_add(message.len + FRAMING_BYTES);
        // SAFETY: a hint; it never faults, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(next) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (message, FRAMING_BYTES);
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        // SAFETY: invariant 1.
        unsafe {
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
            sys::rd_kafka_topic_destroy(self.handle.as_ptr());
        }
    }
}

/// Called by a thread of librdkafka with the queue's lock held: it must be short and must not panic.
unsafe extern "C" fn wake_up(_client: *mut sys::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: invariant 3.
    let wake = unsafe { &*opaque.cast::<Notify>() };
    wake.notify_one();
}

fn is_record(message: &sys::rd_kafka_message_t) -> bool {
    message.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}

fn row<'a>(message: &'a sys::rd_kafka_message_t, topic: &'a str) -> Row<'a> {
    match message.err {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Row::Record(Record {
            topic,
            partition: message.partition,
            offset: message.offset,
            timestamp_ms: timestamp_ms(message),
            // SAFETY: key and payload are valid for their lengths for as long as the message is.
            key: unsafe { bytes(message.key, message.key_len) },
            // SAFETY: as above.
            value: unsafe { bytes(message.payload, message.len) },
            headers: as_headers(message),
        }),
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => {
            Row::EndOfPartition { partition: message.partition, offset: message.offset }
        }
        code => {
            // SAFETY: for an error row librdkafka returns a string that lives as long as the message.
            let text = unsafe {
                let text = sys::rd_kafka_message_errstr(message);
                if text.is_null() { None } else { Some(CStr::from_ptr(text).to_string_lossy()) }
            };
            let reason = text.map_or_else(|| format!("{code:?}"), |text| text.into_owned());
            let what = format!("reading {topic}/{}: {reason}", message.partition);
            Row::Error(KafkaError::of_client(&what, &ClientError::MessageConsumption(code.into())))
        }
    }
}

fn timestamp_ms(message: &sys::rd_kafka_message_t) -> i64 {
    let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: the message is valid; `kind` is written.
    unsafe { sys::rd_kafka_message_timestamp(message, &raw mut kind) }
}

/// # Safety
/// `data` is null, or valid for `len` bytes for `'a`.
unsafe fn bytes<'a>(data: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!data.is_null()).then(|| unsafe { slice::from_raw_parts(data.cast::<u8>(), len) })
}

/// A message of librdkafka, seen as its headers. Transparent, so that a reference can be cast.
#[repr(transparent)]
struct Headers(sys::rd_kafka_message_t);

fn as_headers(message: &sys::rd_kafka_message_t) -> &Headers {
    // SAFETY: `Headers` is a transparent wrapper of the same type.
    unsafe { &*ptr::from_ref(message).cast::<Headers>() }
}

impl ReadHeaders for Headers {
    fn visit(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is valid; its headers, parsed on first use, live as long as it does.
        let found = unsafe { sys::rd_kafka_message_headers(&raw const self.0, &raw mut headers) };
        if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: `headers` is valid; out of range is reported by the return value.
            let found = unsafe {
                sys::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut size)
            };
            if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            // SAFETY: a found header has a C string as name, and a value of `size` bytes or null.
            let (name, value) = unsafe { (CStr::from_ptr(name).to_string_lossy(), bytes(value, size)) };
            visit(&name, value);
        }
    }
}

/// Waits until all that was produced has been acknowledged or has failed. `false`: not within `timeout`.
pub(super) fn flush<C: ClientContext>(client: &Client<C>, timeout: Duration) -> bool {
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client is alive (borrowed). Its delivery reports are served by the producer's own thread.
    let result = unsafe { sys::rd_kafka_flush(client.native_ptr(), timeout_ms) };
    result == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// Adds broker addresses to a client; returns how many there are now of these. See [`super::lifeline`].
pub(super) fn add_brokers<C: ClientContext>(client: &Client<C>, addresses: &CStr) -> i32 {
    // SAFETY: the client is alive (borrowed), the addresses are a C string that the call copies.
    unsafe { sys::rd_kafka_brokers_add(client.native_ptr(), addresses.as_ptr()) }
}

/// Why a transaction call failed, sorted as librdkafka sorts it.
#[derive(Debug)]
pub(super) struct TransactionError {
    pub(super) code: RDKafkaErrorCode,
    pub(super) reason: String,
    /// The transaction is lost; aborting it makes the producer usable again.
    pub(super) requires_abort: bool,
    /// The same call may be made again.
    pub(super) is_retriable: bool,
}

/// Commits the open transaction; what was produced is flushed first. The producer's own thread must serve
/// delivery reports meanwhile. After a time-out the same call goes on where this one stopped.
pub(super) fn commit_transaction<C: ClientContext>(
    client: &Client<C>,
    timeout: Duration,
) -> Result<(), TransactionError> {
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client is alive (borrowed); a returned error is ours, and is given back after it was read.
    unsafe {
        let error = sys::rd_kafka_commit_transaction(client.native_ptr(), timeout_ms);
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
