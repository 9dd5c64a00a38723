//! The thread that serves a consumer's main queue: rebalances, errors, and leaving the group.
//!
//! Rebalance callbacks run here and may wait for a commit, so this is neither an arbiter nor a worker. From time to
//! time the thread also checks whether this process is still in its group, asks for the ends of partitions whose tasks
//! do not, so that readiness and lag are correct while a worker has failed or hangs, and looks for a backlog.
//!
//! In a simulation this is a task of the only thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use actix::Recipient;
use tokio::time::Instant;

use super::message::{PollEnded, StageFailed};
use super::plan::StagePlan;
#[cfg(not(test))]
use crate::StageId;
use crate::link::GroupConsumer;

/// How often the thread checks whether it must leave.
#[cfg(not(test))]
const POLL_TIMEOUT: Duration = Duration::from_millis(250);
/// How long after a backlog it still expects another.
const BACKLOG_MEMORY: Duration = Duration::from_secs(2);
/// How often it checks whether this process is in its group.
const MEMBERSHIP_INTERVAL: Duration = Duration::from_secs(1);
/// How often it asks for the ends of partitions whose tasks do not.
const ENDS_INTERVAL: Duration = Duration::from_secs(10);

/// The running thread.
pub(super) struct PollThread(Option<JoinHandle<()>>);

impl PollThread {
    /// Waits until it has ended.
    pub(super) fn join(self) {
        let _ = self.0.map(JoinHandle::join);
    }
}

/// Starts the thread. It ends when `leaving` is set and all partitions have been given up, or after
/// `runtime.shutdown_timeout_ms`, and then sends [`PollEnded`].
#[cfg(not(test))]
pub(super) fn start(
    plan: Arc<StagePlan>,
    consumer: GroupConsumer,
    (failed, ended): (Recipient<StageFailed>, Recipient<PollEnded>),
    leaving: Arc<AtomicBool>,
) -> PollThread {
    let work = move || {
        let mut look = Look::begin(&plan);
        while !leaving.load(Ordering::Acquire) {
            if let Err(error) = consumer.poll(POLL_TIMEOUT) {
                failed.do_send(StageFailed(error.into()));
                // The supervisor sets `leaving`; until then there is nothing else to do.
                std::thread::sleep(POLL_TIMEOUT);
            }
            look.around(&plan, &consumer);
        }
        leave(plan.stage, &consumer, plan.process.settings.shutdown_timeout);
        // The consumer closes when its last handle is dropped, which must not happen on the System's thread.
        drop(consumer);
        ended.do_send(PollEnded);
    };
    PollThread(Some(std::thread::spawn(work)))
}

#[cfg(test)]
pub(super) fn start(
    plan: Arc<StagePlan>,
    consumer: GroupConsumer,
    (_, ended): (Recipient<StageFailed>, Recipient<PollEnded>),
    leaving: Arc<AtomicBool>,
) -> PollThread {
    let host = crate::sim::host::present();
    tokio::task::spawn_local(async move {
        let mut look = Look::begin(&plan);
        let mut left_at = None;
        loop {
            if leaving.load(Ordering::Acquire) && left_at.is_none() {
                consumer.unsubscribe();
                left_at = Some(Instant::now());
            }
            let revoked = consumer.turn();
            let since = Instant::now();
            while !revoked.is_empty() && !host.has_answers() {
                if since.elapsed() > plan.process.settings.shutdown_timeout {
                    host.give_up_answers();
                }
                tokio::time::sleep(Duration::from_millis(1 + host.draw(4))).await;
            }
            if !revoked.is_empty() {
                consumer.gave_up(&revoked);
            }
            if left_at.is_some_and(|at| {
                !consumer.has_partitions() || at.elapsed() > plan.process.settings.shutdown_timeout
            }) {
                break;
            }
            look.around(&plan, &consumer);
            tokio::time::sleep(Duration::from_millis(5 + host.draw(50))).await;
        }
        ended.do_send(PollEnded);
    });
    PollThread(None)
}

/// Looks around from time to time.
struct Look {
    membership_at: Instant,
    ends_at: Instant,
    backlog_at: Instant,
}

impl Look {
    fn begin(plan: &StagePlan) -> Self {
        plan.process.board.membership(plan.stage, Some("it has not joined yet"));
        Self { membership_at: Instant::now(), ends_at: Instant::now(), backlog_at: Instant::now() }
    }

    fn around(&mut self, plan: &StagePlan, consumer: &GroupConsumer) {
        if self.membership_at.elapsed() > MEMBERSHIP_INTERVAL {
            self.membership_at = Instant::now();
            plan.process.board.membership(plan.stage, consumer.absence());
        }
        if self.ends_at.elapsed() > ENDS_INTERVAL {
            self.ends_at = Instant::now();
            look_at_ends(plan, consumer);
        }
        if plan.process.board.has_backlog(plan.stage) {
            self.backlog_at = Instant::now();
        }
        consumer.keep_pace(self.backlog_at.elapsed() < BACKLOG_MEMORY);
    }
}

/// Asks for the ends of partitions whose tasks do not. Without an answer the last known ends stay.
fn look_at_ends(plan: &StagePlan, consumer: &GroupConsumer) {
    let unwatched = plan.process.board.unwatched(plan.stage);
    if unwatched.is_empty() {
        return;
    }
    match consumer.ends_of(&plan.source, &unwatched) {
        Ok(ends) => plan.process.board.ends_at(plan.stage, &ends),
        Err(error) => {
            tracing::debug!(stage = plan.stage.as_str(), %error, "ends of partitions are not known")
        }
    }
}

#[cfg(not(test))]
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
