//! The queues of many partitions, read as one.

use std::ffi::CString;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};

use super::message::{Row, is_record, visit_row};
use super::{SLICE_ROWS, high_watermark, milliseconds};

/// The queues of several partitions of one topic, read as one. For readers without a group.
pub(in crate::kafka) struct SharedQueue {
    queue: ptr::NonNull<sys::rd_kafka_queue_t>,
    partitions: Vec<ptr::NonNull<sys::rd_kafka_queue_t>>,
    client: *mut sys::rd_kafka_t,
    topic: Arc<str>,
    _consumer: Arc<dyn Send + Sync>,
}

// SAFETY: invariant 4; all other fields are `Send`.
unsafe impl Send for SharedQueue {}

impl SharedQueue {
    /// Forwards the queues of `partitions` to a new one, before they are assigned. `None` if the client does not know
    /// one of them.
    pub(in crate::kafka) fn gather<C: ClientContext>(
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

    /// Waits up to `timeout` for the first row, takes up to `max` available rows, or a slice after the first, and
    /// visits each. Returns how many.
    pub(in crate::kafka) fn consume(
        &mut self,
        timeout: Duration,
        max: usize,
        visit: &mut dyn FnMut(Row<'_>),
    ) -> usize {
        let mut visited = 0;
        // The call waits until it has as many as requested: so wait for one, and take the others without waiting.
        for (max, timeout) in [(1, timeout), (max.saturating_sub(1), Duration::ZERO)] {
            let batch = self.take::<SLICE_ROWS>(max, timeout);
            batch.messages().for_each(|message| visit_row(message, &self.topic, &mut *visit));
            visited += batch.taken;
            if batch.taken == 0 {
                break;
            }
        }
        visited
    }

    /// Takes up to `BATCH` records, waiting up to `timeout` for them, and drops them unread. Returns how many there
    /// were. Nothing can be faster: everything else is compared with this.
    pub(in crate::kafka) fn discard<const BATCH: usize>(&mut self, timeout: Duration) -> u64 {
        let batch = self.take::<BATCH>(BATCH, timeout);
        batch.messages().map(|message| u64::from(is_record(message))).sum()
    }

    fn take<const ROOM: usize>(&mut self, max: usize, timeout: Duration) -> Batch<ROOM> {
        let mut batch = Batch { messages: [ptr::null_mut(); ROOM], taken: 0 };
        let (room, max) = (batch.messages.as_mut_ptr(), max.min(ROOM));
        let timeout_ms = milliseconds(timeout);
        // SAFETY: the queue is ours (invariant 1), the batch has room for as many as are asked for.
        let taken = unsafe { sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), timeout_ms, room, max) };
        batch.taken = usize::try_from(taken).unwrap_or(0);
        batch
    }

    /// The high watermark of a partition as of the last fetch; `None` before the first one.
    pub(in crate::kafka) fn high_watermark(&self, partition: i32) -> Option<i64> {
        // SAFETY: the client is alive while its queue is (invariant 1).
        unsafe { high_watermark(self.client, &self.topic, partition) }
    }
}

impl Drop for SharedQueue {
    fn drop(&mut self) {
        // SAFETY: invariant 1. Forwarding is undone before the queue that it goes to is given back.
        unsafe {
            for one in &self.partitions {
                sys::rd_kafka_queue_forward(one.as_ptr(), ptr::null_mut());
                sys::rd_kafka_queue_destroy(one.as_ptr());
            }
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// Messages that are given back to librdkafka when this is dropped.
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
            // SAFETY: it was given to us, and nothing refers to it any more (invariant 2).
            unsafe { sys::rd_kafka_message_destroy(*message) };
        }
    }
}
