//! The queue of one partition of a group's consumer.

use std::any::Any;
use std::ffi::{CString, c_void};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::Arc;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use tokio::sync::Notify;

use super::message::{Row, is_record, prefetch_next, visit_row};
use crate::kafka::lease::{Lease, Ownership};

/// The queue of one assigned partition, split from the consumer's main queue.
pub struct PartitionQueue {
    queue: ptr::NonNull<sys::rd_kafka_queue_t>,
    /// The client that the queue belongs to, for yielding.
    client: *mut sys::rd_kafka_t,
    /// The client's own topic object, which consuming needs.
    handle: ptr::NonNull<sys::rd_kafka_topic_t>,
    partition: i32,
    topic: Arc<str>,
    /// Notified when the queue is no longer empty. Only a hint: notifications get lost after an assign.
    wake: Arc<Notify>,
    lease: Arc<Lease>,
    /// Keeps the consumer alive; see invariant 1.
    _consumer: Arc<dyn Send + Sync>,
}

// SAFETY: invariant 4; all other fields are `Send`.
unsafe impl Send for PartitionQueue {}

impl PartitionQueue {
    /// Splits the queue of a partition from the consumer's main queue. Call it before fetching starts, or records
    /// leak to the main queue. `None` if the client does not know the partition.
    pub(in crate::kafka) fn split<C: ClientContext>(
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
            // SAFETY: the queue is ours and does not leave this function.
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

    /// Notified when the queue is no longer empty. Poll on a tick as well.
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Shows, for as long as it is kept, whether the partition still belongs to this process.
    pub fn ownership(&self) -> Ownership {
        Ownership(Arc::clone(&self.lease))
    }

    /// The end of the partition as of the last fetch, open transactions included; `None` before the first one.
    pub fn end(&self) -> Option<i64> {
        // SAFETY: the client is alive while its queue is (invariant 1).
        unsafe { super::high_watermark(self.client, &self.topic, self.partition) }
    }

    /// The offset at which the first record is expected.
    pub(in crate::kafka) fn begins_at(&self, offset: i64) {
        self.lease.reached(offset);
    }

    /// Whether the partition still belongs to this process.
    pub fn is_ours(&self) -> bool {
        self.lease.is_ours()
    }

    /// Takes up to `SLICE_ROWS` available rows without waiting, and visits each until a visit ends the call. Rows
    /// that were not visited stay. Returns how many were visited.
    pub fn consume(&mut self, visit: &mut dyn FnMut(Row<'_>) -> ControlFlow<()>) -> usize {
        if !self.is_ours() {
            return 0;
        }
        let (topic, client) = (&*self.topic, self.client);
        let mut visits =
            Visits { visit, topic, client, visited: 0, next_offset: None, is_over: false, panic: None };
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
        let Visits { visited, next_offset, panic, .. } = visits;
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
        if let Some(next_offset) = next_offset {
            self.lease.reached(next_offset);
        }
        visited
    }
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

/// One call of [`PartitionQueue::consume`].
struct Visits<'a> {
    visit: &'a mut dyn FnMut(Row<'_>) -> ControlFlow<()>,
    topic: &'a str,
    client: *mut sys::rd_kafka_t,
    visited: usize,
    /// The offset after the last visited record.
    next_offset: Option<i64>,
    is_over: bool,
    panic: Option<Box<dyn Any + Send>>,
}

/// Called by librdkafka for each row, on the thread that called `consume`.
unsafe extern "C" fn visit_message(message: *mut sys::rd_kafka_message_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is the `Visits` of the running call, the message is valid (invariant 2).
    let (visits, message) = unsafe { (&mut *opaque.cast::<Visits<'_>>(), &*message) };
    debug_assert!(!visits.is_over, "librdkafka visits nothing after a yield");
    visits.visited += 1;
    prefetch_next(message);
    if is_record(message) {
        visits.next_offset = Some(message.offset + 1);
    }
    match catch_unwind(AssertUnwindSafe(|| visit_row(message, visits.topic, &mut *visits.visit))) {
        Ok(going_on) => visits.is_over = going_on.is_break(),
        Err(panic) => (visits.panic, visits.is_over) = (Some(panic), true),
    }
    if visits.is_over {
        // SAFETY: the client is alive while its queue is. Ends the running call after this row; rows that were not
        // visited return to the front of the queue.
        unsafe { sys::rd_kafka_yield(visits.client) };
    }
}

/// Called by a thread of librdkafka with the queue's lock held: it must be short and must not panic.
unsafe extern "C" fn wake_up(_client: *mut sys::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: invariant 3.
    let wake = unsafe { &*opaque.cast::<Notify>() };
    wake.notify_one();
}
