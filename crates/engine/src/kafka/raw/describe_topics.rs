//! Topics as the brokers describe them: ids, partition counts, and the operations allowed to this client.

use std::ffi::{CStr, CString, c_char};
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

use super::ask::{Answerer, ask};
use crate::kafka::Operation;

/// A topic as the brokers describe it.
pub(in crate::kafka) struct DescribedTopic {
    pub(in crate::kafka) name: String,
    /// Its 128-bit id; `None` if the brokers report none (before Kafka 2.8).
    pub(in crate::kafka) id: Option<u128>,
    pub(in crate::kafka) partitions: usize,
    /// The operations allowed to this client; `None` if the brokers do not report them.
    pub(in crate::kafka) allowed: Option<Vec<Operation>>,
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
            // It fails where this kind of question has no such option, and ours has.
            let refused = sys::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
            if !refused.is_null() {
                sys::rd_kafka_error_destroy(refused);
            }
            let collection =
                sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            sys::rd_kafka_DescribeTopics(client, collection, options, queue);
            sys::rd_kafka_TopicCollection_destroy(collection);
        }
    };
    let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: the client is alive (borrowed), and `read` copies all that it looks at.
    unsafe { ask(client, (operation, Answerer::AnyBroker), timeout, send, |event| read(event)) }
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
        let mut operations = 0;
        let allowed = sys::rd_kafka_TopicDescription_authorized_operations(topic, &raw mut operations);
        let allowed: Vec<Operation> = (0..if allowed.is_null() { 0 } else { operations })
            .filter_map(|at| of_client(*allowed.add(at)))
            .collect();
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
            allowed: Some(allowed).filter(|allowed| !allowed.is_empty()),
            error: error.map(RDKafkaErrorCode::from),
        }
    }
}

/// Those of the client's operations that topics have and that matter here.
fn of_client(operation: sys::rd_kafka_AclOperation_t) -> Option<Operation> {
    use sys::rd_kafka_AclOperation_t as Client;
    match operation {
        Client::RD_KAFKA_ACL_OPERATION_READ => Some(Operation::Read),
        Client::RD_KAFKA_ACL_OPERATION_WRITE => Some(Operation::Write),
        Client::RD_KAFKA_ACL_OPERATION_CREATE => Some(Operation::Create),
        Client::RD_KAFKA_ACL_OPERATION_DELETE => Some(Operation::Delete),
        Client::RD_KAFKA_ACL_OPERATION_ALTER => Some(Operation::Alter),
        Client::RD_KAFKA_ACL_OPERATION_DESCRIBE => Some(Operation::Describe),
        Client::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS => Some(Operation::DescribeConfigs),
        _ => None,
    }
}
