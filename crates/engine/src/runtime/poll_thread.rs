//! The thread that serves a consumer's main queue: rebalances, errors, and leaving the group.
//!
//! Rebalance callbacks run here and may wait for a commit, so this is neither an arbiter nor a worker. From time to
//! time the thread also checks whether this process is still in its group, and asks for the ends of partitions whose
//! tasks do not, so that readiness and lag are correct while a worker has failed or hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix::Recipient;

use super::message::{PollEnded, StageFailed};
use super::plan::StagePlan;
use crate::StageId;
use crate::kafka::GroupConsumer;

/// How often the thread checks whether it must leave.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// How often it checks whether this process is in its group.
const MEMBERSHIP_INTERVAL: Duration = Duration::from_secs(1);
/// How often it asks for the ends of partitions whose tasks do not.
const ENDS_INTERVAL: Duration = Duration::from_secs(10);

/// Starts the thread. It ends when `leaving` is set and all partitions have been given up, or after
/// `runtime.shutdown_timeout_ms`, and then sends [`PollEnded`].
pub(super) fn start(
    plan: Arc<StagePlan>,
    consumer: GroupConsumer,
    (failed, ended): (Recipient<StageFailed>, Recipient<PollEnded>),
    leaving: Arc<AtomicBool>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        serve(&plan, &consumer, &failed, &leaving);
        leave(plan.stage, &consumer, plan.shutdown_timeout);
        // The consumer closes when its last handle is dropped, which must not happen on the System's thread.
        drop(consumer);
        ended.do_send(PollEnded);
    })
}

fn serve(plan: &StagePlan, consumer: &GroupConsumer, failed: &Recipient<StageFailed>, leaving: &AtomicBool) {
    let (mut membership_at, mut ends_at) = (Instant::now(), Instant::now());
    plan.board.membership(plan.stage, Some("it has not joined yet"));
    while !leaving.load(Ordering::Acquire) {
        if let Err(error) = consumer.poll(POLL_TIMEOUT) {
            failed.do_send(StageFailed(error.into()));
            // The supervisor sets `leaving`; until then there is nothing else to do.
            std::thread::sleep(POLL_TIMEOUT);
        }
        if membership_at.elapsed() > MEMBERSHIP_INTERVAL {
            membership_at = Instant::now();
            plan.board.membership(plan.stage, consumer.absence());
        }
        if ends_at.elapsed() > ENDS_INTERVAL {
            ends_at = Instant::now();
            look_at_ends(plan, consumer);
        }
    }
}

/// Asks for the ends of partitions whose tasks do not. Without an answer the last known ends stay.
fn look_at_ends(plan: &StagePlan, consumer: &GroupConsumer) {
    let unwatched = plan.board.unwatched(plan.stage);
    if unwatched.is_empty() {
        return;
    }
    match consumer.ends_of(&plan.source, &unwatched) {
        Ok(ends) => plan.board.ends_at(plan.stage, &ends),
        Err(error) => {
            tracing::debug!(stage = plan.stage.as_str(), %error, "ends of partitions are not known")
        }
    }
}

fn leave(stage: StageId, consumer: &GroupConsumer, patience: Duration) {
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
