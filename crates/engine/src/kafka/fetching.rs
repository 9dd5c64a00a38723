//! How a member of a group asks for records: how far ahead, how much at once, how often.
//!
//! # Memory
//!
//! The client fetches ahead into a queue for each partition. It asks for more while a queue holds less than
//! `queued.max.messages.kbytes`, so a queue may hold that and one more answer, and each record costs about 350 bytes
//! in addition to its own. If the workers are slower than the network, all queues are full: a thousand partitions
//! with the limits of five took 1.2 GB (4 million documents, 20 conditions each); with these limits they take 0.7 GB.
//! So all partitions share one budget. An answer holds at least one of the producer's batches, however large, so none
//! is too large to be read.
//!
//! Tiny records have about 40 bytes each, and the client spends ten times that on each: their budget is an eighth.
//!
//! # Pace
//!
//! The client has one request at a time under way with a broker. If it sends one while the queues of all partitions
//! with a backlog are full, that request covers only the partitions that are at their end, and nothing else is
//! fetched until it is answered. With 100 ms, the last two of five partitions arrived at 140,000 records a second
//! instead of a million. In the same way a single partition gives 0.8 million records a second if it is left out for
//! 10 ms, and 2.2 million with 2 ms. But each request costs CPU time, and more with more partitions: 500 idle ones
//! use 1 % of a core with 100 ms and 2.4 % with 20 ms; under load 500 take 15 % more CPU time with 2 ms than with 10
//! ms.
//!
//! So requests wait longer while no partition has a backlog ([`Pace`]): a broker answers as soon as it has a record, and
//! with five partitions of six stages a process at rest takes half the CPU time. A backlog that comes while requests
//! wait long may be held up by one of them, once. Readers without a group, which follow tables and what a page shows,
//! may wait even longer once they have come to the end. Not before: an end is reported when a request has waited for
//! nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};

use super::client::READER_WAIT;
use super::{ClientSettings, raw};
use crate::Traffic;

/// Limit for all queues together, in bytes of values, and the same again for all answers.
const BUDGET_BYTES: i32 = 64 << 20;
/// How long a request of a member may wait at a broker while no partition has a backlog.
const REST_WAIT: Duration = Duration::from_millis(200);
/// How long a request of a reader may wait once it has come to the end.
const READER_REST_WAIT: Duration = Duration::from_secs(1);
const WAIT: &str = "fetch.wait.max.ms";
const KB: i32 = 1 << 10;
const MB: i32 = 1 << 20;

/// An answer to a request of this size holds the records of one partition. While the client takes apart the records
/// of another partition from the same answer, both its thread and the worker count the users of that answer (1 to 4 %
/// of the CPU time of short work).
const FEW: i32 = 10;

/// The client's settings for a topic with this many partitions and this traffic.
pub(super) fn fetching(partitions: i32, traffic: Traffic) -> [(&'static str, String); 5] {
    let partitions = partitions.max(1);
    let share = match traffic {
        Traffic::Tiny => (BUDGET_BYTES / 8 / partitions).clamp(16 * KB, 64 * KB),
        Traffic::Usual | Traffic::Few => (BUDGET_BYTES / partitions).clamp(64 * KB, 1_024 * KB),
    };
    [
        ("queued.max.messages.kbytes", (share / KB).to_string()),
        ("fetch.message.max.bytes", share.to_string()),
        ("fetch.max.bytes", (if partitions > FEW { 2 * MB } else { MB }).to_string()),
        (WAIT, backlog_wait_ms(partitions, traffic).to_string()),
        ("fetch.queue.backoff.ms", (partitions / 5).clamp(2, 10).to_string()),
    ]
}

fn backlog_wait_ms(partitions: i32, traffic: Traffic) -> i32 {
    match traffic {
        Traffic::Tiny | Traffic::Usual => partitions.clamp(20, 100),
        // No other request waits for one that is not answered yet.
        Traffic::Few => 100,
    }
}

/// How long a client's requests wait at a broker: as they began, or longer while there is no backlog.
pub(super) struct Pace {
    backlog_wait: Duration,
    rest_wait: Duration,
    /// Whether the user has decided how long.
    is_fixed: bool,
    is_at_rest: AtomicBool,
}

impl Pace {
    pub(super) fn of_member(settings: &ClientSettings, partitions: i32, traffic: Traffic) -> Self {
        let wait_ms = backlog_wait_ms(partitions.max(1), traffic);
        Self::new(settings, Duration::from_millis(wait_ms.unsigned_abs().into()), REST_WAIT)
    }

    pub(super) fn of_reader(settings: &ClientSettings) -> Self {
        Self::new(settings, READER_WAIT, READER_REST_WAIT)
    }

    fn new(settings: &ClientSettings, backlog_wait: Duration, rest_wait: Duration) -> Self {
        let is_fixed = settings.get(WAIT).is_some();
        Self { backlog_wait, rest_wait, is_fixed, is_at_rest: AtomicBool::new(false) }
    }

    /// Sets the client's pace, if it must change.
    pub(super) fn keep<C: ClientContext>(&self, client: &Client<C>, has_backlog: bool) {
        if self.is_fixed || self.is_at_rest.swap(!has_backlog, Ordering::Relaxed) != has_backlog {
            return;
        }
        let wait = if has_backlog { self.backlog_wait } else { self.rest_wait };
        if !raw::set_fetch_wait(client, wait) {
            tracing::debug!(?wait, "the client does not change its pace");
        }
    }
}
