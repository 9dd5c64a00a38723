//! Topics as the brokers describe them: ids and partition counts.

use std::ffi::{CStr, CString, c_char};
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

use super::ask::ask;

/// A topic as the brokers describe it.
pub(in crate::kafka) struct DescribedTopic {
    pub(in crate::kafka) name: String,
    /// Its 128-bit id; `None` if the brokers report none (before Kafka 2.8).
    pub(in crate::kafka) id: Option<u128>,
    pub(in crate::kafka) partitions: usize,
    /// Why it could not be described.
    pub(in crate::kafka) error: Option<RDKafkaErrorCode>,
}

/// Asks the brokers about topics, through any client.
///
/// # Errors
/// The client's code if the request itself failed, such as a time-out.
pub(in crate::kafka) fn describe_topics<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    timeout: Duration,
) -> Result<Vec<DescribedTopic>, RDKafkaErrorCode> {
    let names: Vec<CString> = topics.iter().filter_map(|topic| CString::new(*topic).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let client = client.native_ptr();
    let send = |options: *mut sys::rd_kafka_AdminOptions_t, queue: *mut sys::rd_kafka_queue_t| {
        // SAFETY: as `ask` promises; the call copies the names, which live until it has returned.
        unsafe {
            let collection =
                sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            sys::rd_kafka_DescribeTopics(client, collection, options, queue);
            sys::rd_kafka_TopicCollection_destroy(collection);
        }
    };
    let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: the client is alive (borrowed), and `read` copies all that it looks at.
    unsafe { ask(client, operation, timeout, send, |event| read(event)) }
}

/// Copies the answer.
///
/// # Safety
/// The event must be alive, and the answer to a question about topics.
unsafe fn read(event: NonNull<sys::rd_kafka_event_t>) -> Result<Vec<DescribedTopic>, RDKafkaErrorCode> {
    // SAFETY: see above; the array has `count` entries, each alive as long as the event.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event.as_ptr());
        if result.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let mut described = Vec::with_capacity(count);
        for index in 0..count {
            described.push(copy(*topics.add(index)));
        }
        Ok(described)
    }
}

/// # Safety
/// The description must be alive.
unsafe fn copy(topic: *const sys::rd_kafka_TopicDescription_t) -> DescribedTopic {
    // SAFETY: name, id and error belong to the description.
    unsafe {
        let mut partitions = 0;
        sys::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let id = NonNull::new(id.cast_mut()).map(|id| {
            let high = sys::rd_kafka_Uuid_most_significant_bits(id.as_ptr()).cast_unsigned();
            let low = sys::rd_kafka_Uuid_least_significant_bits(id.as_ptr()).cast_unsigned();
            u128::from(high) << 64 | u128::from(low)
        });
        let error = NonNull::new(sys::rd_kafka_TopicDescription_error(topic).cast_mut())
            .map(|error| sys::rd_kafka_error_code(error.as_ptr()))
            .filter(|code| *code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
        DescribedTopic {
            name: CStr::from_ptr(sys::rd_kafka_TopicDescription_name(topic)).to_string_lossy().into_owned(),
            id: id.filter(|id| *id != 0),
            partitions,
            error: error.map(RDKafkaErrorCode::from),
        }
    }
}
