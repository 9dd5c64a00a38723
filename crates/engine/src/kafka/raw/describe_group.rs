//! The members of a group, under either group protocol.

use std::ffi::{CStr, CString, c_char};
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;

use super::ask::{Answerer, ask};

/// A member as the brokers describe it.
#[derive(Debug)]
pub(in crate::kafka) struct DescribedMember {
    /// The client id that the member chose.
    pub(in crate::kafka) client_id: String,
    /// The address at which the brokers see it, as `/ADDRESS`.
    pub(in crate::kafka) host: String,
    /// The partitions that it has, by topic.
    pub(in crate::kafka) partitions: Vec<(String, i32)>,
}

/// Asks a group's coordinator for its members, through any client. A group that does not exist has none.
///
/// # Errors
/// The client's code if the request failed, such as a time-out.
pub(in crate::kafka) fn describe_group<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    timeout: Duration,
) -> Result<Vec<DescribedMember>, RDKafkaErrorCode> {
    let name = CString::new(group).map_err(|_| RDKafkaErrorCode::InvalidGroupId)?;
    let mut names: [*const c_char; 1] = [name.as_ptr()];
    let client = client.native_ptr();
    let send = |options: *mut sys::rd_kafka_AdminOptions_t, queue: *mut sys::rd_kafka_queue_t| {
        // SAFETY: as `ask` promises; the call copies the name, which lives until it has returned.
        unsafe {
            sys::rd_kafka_DescribeConsumerGroups(client, names.as_mut_ptr(), names.len(), options, queue);
        }
    };
    let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    // SAFETY: the client is alive (borrowed), and `read` copies all that it looks at.
    unsafe { ask(client, (operation, Answerer::Coordinator), timeout, send, |event| read(event)) }
}

/// Copies the answer.
///
/// # Safety
/// The event must be alive, and the answer to a question about one group.
unsafe fn read(event: NonNull<sys::rd_kafka_event_t>) -> Result<Vec<DescribedMember>, RDKafkaErrorCode> {
    // SAFETY: see above; the array has `count` entries, each alive as long as the event, and so are its members.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event.as_ptr());
        if result.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }
        let mut count = 0;
        let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        let mut members = Vec::new();
        for index in 0..count {
            let group = *groups.add(index);
            let error = NonNull::new(sys::rd_kafka_ConsumerGroupDescription_error(group).cast_mut())
                .map(|error| RDKafkaErrorCode::from(sys::rd_kafka_error_code(error.as_ptr())));
            match error {
                None | Some(RDKafkaErrorCode::NoError | RDKafkaErrorCode::GroupIdNotFound) => {}
                Some(code) => return Err(code),
            }
            for member in 0..sys::rd_kafka_ConsumerGroupDescription_member_count(group) {
                members.push(copy(sys::rd_kafka_ConsumerGroupDescription_member(group, member)));
            }
        }
        Ok(members)
    }
}

/// # Safety
/// The description must be alive.
unsafe fn copy(member: *const sys::rd_kafka_MemberDescription_t) -> DescribedMember {
    // SAFETY: its texts and its assignment belong to the description; a list has `cnt` elements with a name each.
    unsafe {
        let mut partitions = Vec::new();
        let assignment = sys::rd_kafka_MemberDescription_assignment(member);
        let list = match assignment.is_null() {
            true => ptr::null(),
            false => sys::rd_kafka_MemberAssignment_partitions(assignment),
        };
        if let Some(list) = list.as_ref() {
            for index in 0..usize::try_from(list.cnt).unwrap_or_default() {
                let element = &*list.elems.add(index);
                partitions.push((text(element.topic), element.partition));
            }
        }
        DescribedMember {
            client_id: text(sys::rd_kafka_MemberDescription_client_id(member)),
            host: text(sys::rd_kafka_MemberDescription_host(member)),
            partitions,
        }
    }
}

/// # Safety
/// Null, or a C string that is alive.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: see above.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
