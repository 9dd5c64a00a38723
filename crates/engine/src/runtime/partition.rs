//! The actor of one partition: decides when its task works. All its work is in [`Task`].

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;

use super::failure::Failure;
use super::message::{CommitAtInterval, CommitSoon, TaskFailed};
use super::task::{Slice, Task};
use super::worker::Outbox;

/// A queue's notification is only a hint (some get lost after an assign), so the queue is also polled on a tick: soon
/// at first, and less often the longer nothing comes, so that a thousand idle partitions cost little.
const TICK_FIRST: Duration = Duration::from_millis(100);
const TICK_MAX: Duration = Duration::from_secs(2);

/// A thin shell around a [`Task`] that lives on its worker's thread.
pub(super) struct PartitionActor {
    task: Rc<RefCell<Task>>,
    outbox: Rc<Outbox>,
    commit_at_interval: Recipient<CommitAtInterval>,
    commit_soon: Recipient<CommitSoon>,
    failed: Recipient<TaskFailed>,
    tick: Duration,
}

impl PartitionActor {
    pub(super) fn new<W>(task: Rc<RefCell<Task>>, outbox: Rc<Outbox>, worker: &Addr<W>) -> Self
    where
        W: Actor<Context = actix::Context<W>>
            + Handler<CommitAtInterval>
            + Handler<CommitSoon>
            + Handler<TaskFailed>,
    {
        Self {
            task,
            outbox,
            commit_at_interval: worker.clone().recipient(),
            commit_soon: worker.clone().recipient(),
            failed: worker.clone().recipient(),
            tick: TICK_FIRST,
        }
    }

    /// Runs one slice, and schedules the next: exactly one is scheduled at any time.
    fn step(&mut self, context: &mut actix::Context<Self>) {
        let slice = self.task.borrow_mut().run_slice(&self.outbox);
        if self.task.borrow().has_changed() && self.outbox.changed() {
            self.commit_at_interval.do_send(CommitAtInterval);
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
                let place = self.task.borrow().place();
                self.failed.do_send(TaskFailed { place, failure });
                context.stop();
            }
        }
    }

    /// Yield first: a message to itself would starve timers and the other actors of this thread.
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
            // Poll the queue whether it was notified or not.
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
        // A panic ends an actor permanently and silently, so report it.
        if std::thread::panicking()
            && let Ok(task) = self.task.try_borrow()
        {
            let failure = Failure::Panic(format!("partition {}", task.partition));
            self.failed.do_send(TaskFailed { place: task.place(), failure });
        }
    }
}
