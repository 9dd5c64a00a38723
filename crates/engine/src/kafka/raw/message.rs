//! A message of librdkafka, as a row.

use std::ffi::{CStr, c_void};
use std::ptr;
use std::slice;

use rdkafka::bindings as sys;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::types::RDKafkaRespErr;

use crate::kafka::{KafkaError, Operation, Right};
use crate::record::{ReadHeaders, Record};

/// What one row of a batch holds.
pub enum Row<'a> {
    /// A record. By reference: reading a copy right after it was written would stall.
    Record(&'a Record<'a>),
    /// The partition has been read to its end; the next record will have this offset, or a later one.
    EndOfPartition {
        /// Its number.
        partition: i32,
        /// The end; under `read_committed`, the last stable offset.
        offset: i64,
    },
    /// The client reports an error of this partition.
    Error(KafkaError),
}

pub(super) fn is_record(message: &sys::rd_kafka_message_t) -> bool {
    message.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// Visits it; `topic` is the name of its topic.
#[inline]
pub(super) fn visit_row<T>(
    message: &sys::rd_kafka_message_t,
    topic: &str,
    visit: impl FnOnce(Row<'_>) -> T,
) -> T {
    if is_record(message) {
        visit(Row::Record(&record(message, topic)))
    } else {
        visit(event(message, topic))
    }
}

fn record<'a>(message: &'a sys::rd_kafka_message_t, topic: &'a str) -> Record<'a> {
    Record {
        topic,
        partition: message.partition,
        offset: message.offset,
        timestamp_ms: timestamp_ms(message),
        // SAFETY: key and payload are valid for their lengths for as long as the message is.
        key: unsafe { bytes(message.key, message.key_len) },
        // SAFETY: as above.
        value: unsafe { bytes(message.payload, message.len) },
        headers: as_headers(message),
    }
}

/// The kind of a row that is not a record.
#[cold]
fn event<'a>(message: &'a sys::rd_kafka_message_t, topic: &str) -> Row<'a> {
    match message.err {
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
            Row::Error(KafkaError::of_client_with(
                &what,
                &[Right::on_topic(Operation::Read, topic)],
                &ClientError::MessageConsumption(code.into()),
            ))
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

/// Prefetches the keys of the two records after this one into the CPU's cache while this one is being processed. The
/// records of a batch lie one after the other, written by a thread of librdkafka on another core. Without this, the
/// first access to each key costs as much as all other work on a record that is skipped. The place of the second key
/// is a guess: that the record before it is as long as this one.
pub(super) fn prefetch_next(message: &sys::rd_kafka_message_t) {
    /// Headers of this record, then length, attributes, timestamp and offset of the next one.
    const FRAMING_BYTES: usize = 10;
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let next = message.payload.cast::<i8>().wrapping_add(message.len + FRAMING_BYTES);
        let after_next = next.wrapping_add(message.key_len + message.len + FRAMING_BYTES);
        // SAFETY: hints only; they never fault, even with an invalid address.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(next);
            _mm_prefetch::<_MM_HINT_T0>(after_next);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (message, FRAMING_BYTES);
}
