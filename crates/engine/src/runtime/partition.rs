//! The actor of one partition: decides when its task works. All its work is in [`Task`].

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;

use super::failure::Failure;
use super::message::{CommitSoon, TaskFailed};
use super::task::{Slice, Task};
use super::worker::Outbox;

/// A queue's wake-up is only a hint (edges get lost after an assign), so it is polled on a tick as well: soon at
/// first, and less often the longer nothing comes, so that a thousand idle partitions cost nothing.
const TICK_FIRST: Duration = Duration::from_millis(100);
const TICK_MAX: Duration = Duration::from_secs(2);

/// A thin shell round a [`Task`] that lives on its worker's thread.
pub(super) struct PartitionActor {
    task: Rc<RefCell<Task>>,
    outbox: Rc<Outbox>,
    commit_soon: Recipient<CommitSoon>,
    failed: Recipient<TaskFailed>,
    tick: Duration,
}

impl PartitionActor {
    pub(super) fn new<W>(task: Rc<RefCell<Task>>, outbox: Rc<Outbox>, worker: &Addr<W>) -> Self
    where
        W: Actor<Context = actix::Context<W>> + Handler<CommitSoon> + Handler<TaskFailed>,
    {
        let (commit_soon, failed) = (worker.clone().recipient(), worker.clone().recipient());
        Self { task, outbox, commit_soon, failed, tick: TICK_FIRST }
    }

    /// Does one slice, and arranges the next: exactly one is arranged at any time.
    fn step(&mut self, context: &mut actix::Context<Self>) {
        let slice = self.task.borrow_mut().run_slice(&self.outbox);
        if self.task.borrow().has_changed() {
            self.outbox.changed();
        }
        match slice {
            Ok(Slice::Busy) => {
                self.tick = TICK_FIRST;
                self.step_again(context);
            }
            Ok(Slice::CommitFirst) => {
                self.commit_soon.do_send(CommitSoon);
                self.step_again(context);
            }
            Ok(Slice::CommitThenWait) => {
                self.commit_soon.do_send(CommitSoon);
                self.step_when_woken(context);
            }
            Ok(Slice::Waiting) => self.step_when_woken(context),
            Ok(Slice::Closed) => context.stop(),
            Err(failure) => {
                let partition = self.task.borrow().partition;
                self.failed.do_send(TaskFailed { partition, failure });
                context.stop();
            }
        }
    }

    /// Yields first: a message to itself would starve timers and neighbours of this thread.
    fn step_again(&self, context: &mut actix::Context<Self>) {
        let turn = tokio::task::yield_now().into_actor(self);
        context.spawn(turn.map(|(), actor, context| actor.step(context)));
    }

    fn step_when_woken(&mut self, context: &mut actix::Context<Self>) {
        let Some(wake) = self.task.borrow().wake() else { return context.stop() };
        let tick = self.tick;
        let is_open = self.task.borrow().is_waiting_to_settle();
        self.tick = if is_open { TICK_FIRST } else { (2 * tick).min(TICK_MAX) };
        let woken = async move {
            // Woken or not, the queue is polled.
            let _ = tokio::time::timeout(tick, wake.notified()).await;
        };
        context.spawn(woken.into_actor(self).map(|(), actor, context| actor.step(context)));
    }
}

impl Actor for PartitionActor {
    type Context = actix::Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.step(context);
    }
}

impl Drop for PartitionActor {
    fn drop(&mut self) {
        // A panic kills an actor for good, silently; say so.
        if std::thread::panicking()
            && let Ok(task) = self.task.try_borrow()
        {
            let failure = Failure::Panic(format!("partition {}", task.partition));
            self.failed.do_send(TaskFailed { partition: task.partition, failure });
        }
    }
}
