//! Requests to the brokers that the crate has no safe call for: one request, one answer.
//!
//! # Requests to coordinators do not time out
//!
//! In librdkafka 2.12.1 a request for the coordinator of a group that times out while the coordinator is away is freed,
//! and when the coordinator is back it is used once more (`rd_kafka_admin_coord_request` fails, and
//! `rd_kafka_coord_req_fail` then calls `rd_kafka_admin_coord_response_parse` with the freed `eonce`): the process aborts
//! with an assertion of `rd_kafka_enq_once_del_source_return`, or worse. Seen while three brokers were restarted in turn.
//!
//! So such a request gets the longest time-out that the client takes, an hour, and only the caller stops waiting. Its
//! late answer goes to a queue that is gone, which the client discards. After a request that is not answered the client
//! sends no other for [`UNANSWERED_PAUSE`], so that an outage does not collect many.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::{RDKafka, RDKafkaRespErr};

use super::milliseconds;

/// The longest time-out that the client takes.
const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(3_600);
/// After a coordinator has not answered a client, that client asks none for this long.
const UNANSWERED_PAUSE: Duration = Duration::from_secs(10);

/// Who answers a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Answerer {
    AnyBroker,
    /// The coordinator of a group; see the module's description.
    Coordinator,
}

/// When a coordinator has left a client's request unanswered, by the client's name. No two clients of a process have the
/// same.
static UNANSWERED: Mutex<BTreeMap<CString, Instant>> = Mutex::new(BTreeMap::new());

/// Those that wait.
fn unanswered() -> MutexGuard<'static, BTreeMap<CString, Instant>> {
    let mut unanswered = UNANSWERED.lock().unwrap_or_else(PoisonError::into_inner);
    unanswered.retain(|_, at| at.elapsed() < UNANSWERED_PAUSE);
    unanswered
}

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
    (operation, answerer): (sys::rd_kafka_admin_op_t, Answerer),
    timeout: Duration,
    send: impl FnOnce(*mut sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    read: impl FnOnce(NonNull<sys::rd_kafka_event_t>) -> Result<R, RDKafkaErrorCode>,
) -> Result<R, RDKafkaErrorCode> {
    let is_coordinator = answerer == Answerer::Coordinator;
    // SAFETY: the client is alive, and its name lives as long.
    let name = unsafe { CStr::from_ptr(sys::rd_kafka_name(client)) };
    if is_coordinator && unanswered().contains_key(name) {
        return Err(RDKafkaErrorCode::OperationTimedOut);
    }
    let request_timeout = if is_coordinator { REQUEST_TIMEOUT_MAX } else { timeout };
    // SAFETY: see above. Each object is created and destroyed here, after its last use; the event owns everything
    // that is read from the result, and is destroyed after it was copied.
    unsafe {
        let queue = NonNull::new(sys::rd_kafka_queue_new(client)).ok_or(RDKafkaErrorCode::Fail)?;
        let options = sys::rd_kafka_AdminOptions_new(client, operation);
        let timeout_ms = milliseconds(request_timeout);
        sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, ptr::null_mut(), 0);
        send(options, queue.as_ptr());
        // Any broker's answer, or its time-out, comes within `timeout`; a second more is for the client's own threads.
        let event = sys::rd_kafka_queue_poll(queue.as_ptr(), milliseconds(timeout).saturating_add(1_000));
        if is_coordinator && event.is_null() {
            unanswered().insert(name.to_owned(), Instant::now());
        }
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
