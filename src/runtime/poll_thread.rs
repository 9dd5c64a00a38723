//! The plain thread that serves a consumer's main queue: rebalances, errors, and leaving the group.
//!
//! Rebalance callbacks run here and may wait for a commit, so it is neither an arbiter nor a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix::Recipient;

use super::message::{PollEnded, StageFailed};
use crate::kafka::GroupConsumer;
use crate::stages::StageName;

/// How often the thread looks whether it shall leave.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// Starts the thread. It ends when `leaving` is set and all partitions have been given up, or after
/// `patience`, and then sends [`PollEnded`].
pub(super) fn start(
    stage: StageName,
    consumer: GroupConsumer,
    (failed, ended): (Recipient<StageFailed>, Recipient<PollEnded>),
    leaving: Arc<AtomicBool>,
    patience: Duration,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        serve(&consumer, &failed, &leaving);
        leave(stage, &consumer, patience);
        // The consumer closes where its last handle goes, which must not be the System's thread.
        drop(consumer);
        ended.do_send(PollEnded);
    })
}

fn serve(consumer: &GroupConsumer, failed: &Recipient<StageFailed>, leaving: &AtomicBool) {
    while !leaving.load(Ordering::Acquire) {
        if let Err(error) = consumer.poll(POLL_TIMEOUT) {
            failed.do_send(StageFailed(error.into()));
            // The supervisor sets `leaving`; until then there is nothing to serve.
            std::thread::sleep(POLL_TIMEOUT);
        }
    }
}

fn leave(stage: StageName, consumer: &GroupConsumer, patience: Duration) {
    consumer.unsubscribe();
    let deadline = Instant::now() + patience;
    // The polls run the revoke, which commits.
    loop {
        let _ = consumer.poll(POLL_TIMEOUT);
        if !consumer.has_partitions() {
            return;
        }
        if Instant::now() > deadline {
            tracing::warn!(stage = stage.as_str(), "leaving the group took too long and is cut short");
            return;
        }
    }
}
