//! A worker's commits, and how it gives up partitions after the last one.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::time::Instant;

use super::Worker;
use crate::fault::{Point, Sabotage, is_sabotaged, reach};
use crate::kafka::KafkaError;
use crate::runtime::commit::{Commit, Step};
use crate::runtime::failure::Failure;
use crate::runtime::message::Close;
use crate::runtime::task::Task;
use crate::runtime::threads;

/// Pause after a commit of awaited outputs before the next transaction begins; the outputs of a burst then share one.
/// Brokers answer before they have written the markers of a transaction, refuse to begin another one until they have,
/// and the client then waits for 20 ms.
const REST: Duration = Duration::from_millis(2);

/// How often to check whether messages that have left the process have an outcome.
const DRAIN_LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// The state of a worker's commit. There is one at a time, for all its tasks with changes.
pub(super) enum CommitState {
    /// No commit is under way.
    Idle,
    /// A commit runs on its own thread.
    UnderWay {
        tasks: Vec<Rc<RefCell<Task>>>,
        /// Why everything will be given up as soon as the outcome is known.
        failed: Option<Failure>,
    },
}

impl CommitState {
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self, Self::UnderWay { .. })
    }

    /// Whether everything will be given up when the commit under way has ended.
    pub(super) fn will_fail(&self) -> bool {
        matches!(self, Self::UnderWay { failed: Some(_), .. })
    }

    /// Records that the worker cannot continue. While a commit is under way, the first such failure waits for its
    /// end; otherwise the failure is returned, to be handled at once.
    pub(super) fn fail(&mut self, failure: Failure) -> Option<Failure> {
        match self {
            Self::Idle => Some(failure),
            Self::UnderWay { failed, .. } => {
                failed.get_or_insert(failure);
                None
            }
        }
    }

    /// Ends the commit under way: returns its tasks, and why the worker cannot continue, if so.
    fn end(&mut self) -> (Vec<Rc<RefCell<Task>>>, Option<Failure>) {
        match std::mem::replace(self, Self::Idle) {
            Self::Idle => (Vec::new(), None),
            Self::UnderWay { tasks, failed } => (tasks, failed),
        }
    }
}

impl Worker {
    /// Begins a commit of everything that has changed, unless one is under way. Returns whether one is.
    pub(super) fn begin_commit(&mut self, context: &mut actix::Context<Self>) -> Result<bool, Failure> {
        let Some(outbox) = self.outbox.clone() else { return Ok(false) };
        if self.commit.is_under_way() {
            return Ok(true);
        }
        outbox.has_changes.set(false);
        let running = self.hosted.values().filter(|hosted| hosted.actor.is_some());
        let changed: Vec<Rc<RefCell<Task>>> = running
            .map(|hosted| Rc::clone(&hosted.task))
            .filter(|task| task.borrow().has_changed())
            .collect();
        if changed.is_empty() {
            return Ok(false);
        }
        // Take the metadata first, then check the leases: see `super::commit`.
        let metadata = outbox.producer.is_transactional().then(|| self.consumer.metadata()).transpose()?;
        let not_ours = changed.iter().find(|task| !task.borrow().is_ours());
        if let Some(partition) = not_ours.map(|task| task.borrow().partition)
            && !is_sabotaged(Sabotage::NoFencing)
        {
            let what = format!("partition {partition} of {} was taken away", self.plan.source);
            return Err(KafkaError::Fenced(what).into());
        }
        let mut commit = Commit {
            producer: Arc::clone(&outbox.producer),
            consumer: self.consumer.clone(),
            metadata,
            changelog: self.plan.changelog.clone(),
            changes: Vec::with_capacity(changed.len()),
            positions: Vec::with_capacity(changed.len()),
            ownerships: Vec::with_capacity(changed.len()),
            next: Step::default(),
        };
        for task in &changed {
            task.borrow_mut().seal(&mut commit)?;
            if is_sabotaged(Sabotage::SledBeforeCommit) {
                task.borrow_mut().committed(&outbox.producer)?;
                self.plan.state.flush()?;
            }
        }
        let (stage, positions) = (self.plan.stage.as_str(), &commit.positions);
        tracing::debug!(stage, worker = self.index, ?positions, "commit begins");
        outbox.is_committing.set(true);
        self.commit = CommitState::UnderWay { tasks: changed, failed: None };
        self.run_beside(commit, context);
        Ok(true)
    }

    /// Runs a commit on a thread of its own. In librdkafka 2.12.1 `send_offsets_to_transaction` has no time-out, and
    /// never returns if a broker that restarts has lost its request: then the commit is abandoned with its thread and
    /// its producer. A new producer settles the outcome.
    fn run_beside(&mut self, commit: Commit, context: &mut actix::Context<Self>) {
        let started = Instant::now();
        let patience = self.plan.commit_patience();
        let run = tokio::time::timeout(patience, threads::commit(commit)).into_actor(self);
        context.spawn(run.map(move |outcome, worker, context| {
            let outcome = match outcome {
                Ok(outcome) => outcome.unwrap_or_else(|_| Err(Failure::Panic("a commit".into()))),
                Err(_) => {
                    worker.outbox = None;
                    let what = format!("a commit of {} has not ended in {patience:?}", worker.plan.stage);
                    Err(KafkaError::Retry(what).into())
                }
            };
            let stage = worker.plan.stage.as_str();
            let (time, ok) = (started.elapsed(), outcome.is_ok());
            tracing::debug!(stage, worker = worker.index, ?time, ok, "commit ended");
            if ok {
                worker.plan.totals.committed_in(time);
            }
            metrics::histogram!("frostline_commit_seconds", "stage" => stage).record(time);
            worker.commit_ended(outcome, context);
        }));
    }

    fn commit_ended(&mut self, outcome: Result<(), Failure>, context: &mut actix::Context<Self>) {
        let (committed, failed) = self.commit.end();
        if let Some(outbox) = &self.outbox {
            outbox.is_committing.set(false);
        }
        let stored = outcome.and_then(|()| self.store(&committed));
        match failed.or(stored.err()) {
            Some(failure) => self.give_up(failure),
            None => {
                self.wake(&committed);
                self.rest(context);
                self.close_committed(context);
            }
        }
    }

    /// Makes the tasks look again whose work is committed.
    fn wake(&self, committed: &[Rc<RefCell<Task>>]) {
        committed.iter().for_each(|task| task.borrow().wake_up());
    }

    /// Holds awaited outputs back for a moment, and then makes the tasks look again that have some.
    fn rest(&self, context: &mut actix::Context<Self>) {
        let Some(outbox) = self.outbox.clone().filter(|_| self.plan.is_awaited) else { return };
        outbox.is_resting.set(true);
        context.run_later(REST, move |worker, _| {
            outbox.is_resting.set(false);
            let tasks = worker.hosted.values().map(|hosted| hosted.task.borrow());
            tasks.filter(|task| task.holds_outputs()).for_each(|task| task.wake_up());
        });
    }

    /// Last step of a commit: writes to the stores what Kafka has.
    fn store(&self, committed: &[Rc<RefCell<Task>>]) -> Result<(), Failure> {
        let Some(outbox) = &self.outbox else { return Ok(()) };
        for task in committed {
            task.borrow_mut().committed(&outbox.producer)?;
        }
        reach(Point::AfterSled);
        Ok(())
    }

    /// Has a commit begin when the interval under way ends; while another one is still under way then, an interval
    /// later.
    pub(super) fn commit_at_interval(&self, context: &mut actix::Context<Self>) {
        let interval_ms = self.plan.commit_interval.as_millis().max(1);
        let rest_ms = interval_ms - self.begun.elapsed().as_millis() % interval_ms;
        context.run_later(Duration::from_millis(rest_ms as u64), |worker, context| {
            worker.commit_or_fail(context);
            let Some(outbox) = &worker.outbox else { return };
            let is_left = outbox.has_changes.get();
            outbox.is_planned.set(is_left);
            if is_left {
                worker.commit_at_interval(context);
            }
        });
    }

    pub(super) fn commit_or_fail(&mut self, context: &mut actix::Context<Self>) {
        if !self.outbox.as_ref().is_some_and(|outbox| outbox.has_changes.get()) {
            return;
        }
        if let Err(failure) = self.begin_commit(context) {
            self.fail(failure);
        }
    }

    /// Gives up the closing partitions: at once, or when a last commit has ended.
    pub(super) fn close_committed(&mut self, context: &mut actix::Context<Self>) {
        if self.closing.is_empty() || self.commit.is_under_way() {
            return;
        }
        if self.is_draining() {
            return self.look_again(context);
        }
        // This ends, because the client has paused all partitions while it waits for us.
        match self.begin_commit(context) {
            Ok(true) => return,
            Ok(false) => {}
            Err(failure) => return self.fail(failure),
        }
        for close in std::mem::take(&mut self.closing) {
            self.forget(&close.partitions);
            drop(close.done);
        }
    }

    /// Schedules another look soon; further requests for it have no effect.
    fn look_again(&mut self, context: &mut actix::Context<Self>) {
        if std::mem::replace(&mut self.looks_again, true) {
            return;
        }
        let later = tokio::time::sleep(DRAIN_LOOK_INTERVAL).into_actor(self);
        context.spawn(later.map(|(), worker, context| {
            worker.looks_again = false;
            worker.close_committed(context);
        }));
    }

    /// Whether a closing partition still has messages outside whose outcome is unknown. The wait for them is limited.
    pub(super) fn is_draining(&self) -> bool {
        let is_late = |close: &Close| close.since.elapsed() > self.plan.drain_patience;
        let waiting = self.closing.iter().filter(|close| !is_late(close)).flat_map(|close| &close.partitions);
        waiting
            .filter_map(|partition| self.hosted.get(partition))
            .any(|hosted| hosted.task.borrow().is_draining())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_waits_for_the_commit_under_way_and_the_first_one_counts() {
        let failure = |text: &str| Failure::Panic(text.to_owned());
        let mut state = CommitState::Idle;
        assert!(state.fail(failure("at once")).is_some() && !state.will_fail());
        state = CommitState::UnderWay { tasks: Vec::new(), failed: None };
        assert!(state.is_under_way() && !state.will_fail());
        assert!(state.fail(failure("first")).is_none() && state.fail(failure("second")).is_none());
        assert!(state.will_fail());
        let (_, failed) = state.end();
        assert_eq!(failed.unwrap().to_string(), "first panicked");
        assert!(!state.is_under_way() && state.end().1.is_none());
    }
}
