//! Requests to the brokers that the crate has no safe call for: one request, one answer.

use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::{RDKafka, RDKafkaRespErr};

use super::milliseconds;

/// Sends a request of the kind `operation` and waits for its answer, which `read` copies.
///
/// # Errors
/// The client's code if the request failed, such as a time-out.
///
/// # Safety
/// The client must be alive; `send` must hand the options and the queue that it gets to one call of this kind, and to
/// nothing that outlives it; `read` gets the event that answers it, without an error, and must not keep it.
pub(super) unsafe fn ask<R>(
    client: *mut RDKafka,
    operation: sys::rd_kafka_admin_op_t,
    timeout: Duration,
    send: impl FnOnce(*mut sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    read: impl FnOnce(NonNull<sys::rd_kafka_event_t>) -> Result<R, RDKafkaErrorCode>,
) -> Result<R, RDKafkaErrorCode> {
    // SAFETY: see above. Each object is created and destroyed here, after its last use; the event owns everything
    // that is read from the result, and is destroyed after it was copied.
    unsafe {
        let queue = NonNull::new(sys::rd_kafka_queue_new(client)).ok_or(RDKafkaErrorCode::Fail)?;
        let options = sys::rd_kafka_AdminOptions_new(client, operation);
        let timeout_ms = milliseconds(timeout);
        sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, ptr::null_mut(), 0);
        send(options, queue.as_ptr());
        // The client answers within the request's own time-out; a second more is for its own threads.
        let event = sys::rd_kafka_queue_poll(queue.as_ptr(), timeout_ms.saturating_add(1_000));
        sys::rd_kafka_AdminOptions_destroy(options);
        let answer = match NonNull::new(event) {
            None => Err(RDKafkaErrorCode::OperationTimedOut),
            Some(event) => {
                let answer = match sys::rd_kafka_event_error(event.as_ptr()) {
                    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => read(event),
                    code => Err(code.into()),
                };
                sys::rd_kafka_event_destroy(event.as_ptr());
                answer
            }
        };
        sys::rd_kafka_queue_destroy(queue.as_ptr());
        answer
    }
}
