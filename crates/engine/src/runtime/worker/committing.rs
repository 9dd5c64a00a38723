//! A worker's commits, and how it gives up partitions after the last one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::time::Instant;

use super::{Hosted, Outbox, Worker};
use crate::StageId;
use crate::fault::{Point, Sabotage, is_sabotaged, reach};
use crate::kafka::KafkaError;
use crate::runtime::commit::{Commit, Share, Step};
use crate::runtime::failure::{Breakdown, Failure};
use crate::runtime::message::{Close, Join};
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
        failed: Option<Breakdown>,
    },
}

impl CommitState {
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self, Self::UnderWay { .. })
    }

    /// Whether something of this task is being committed.
    pub(super) fn includes(&self, task: &Rc<RefCell<Task>>) -> bool {
        matches!(self, Self::UnderWay { tasks, .. } if tasks.iter().any(|other| Rc::ptr_eq(other, task)))
    }

    /// Whether something of this stage is being committed.
    fn concerns(&self, stage: StageId) -> bool {
        matches!(self, Self::UnderWay { tasks, .. } if tasks.iter().any(|task| task.borrow().place().0 == stage))
    }

    /// Whether everything will be given up when the commit under way has ended.
    pub(super) fn will_fail(&self) -> bool {
        matches!(self, Self::UnderWay { failed: Some(_), .. })
    }

    /// Records that the worker cannot continue. While a commit is under way, the first such failure waits for its
    /// end; otherwise the failure is returned, to be handled at once.
    pub(super) fn fail(&mut self, breakdown: Breakdown) -> Option<Breakdown> {
        match self {
            Self::Idle => Some(breakdown),
            Self::UnderWay { failed, .. } => {
                failed.get_or_insert(breakdown);
                None
            }
        }
    }

    /// Ends the commit under way: returns its tasks, and why the worker cannot continue, if so.
    fn end(&mut self) -> (Vec<Rc<RefCell<Task>>>, Option<Breakdown>) {
        match std::mem::replace(self, Self::Idle) {
            Self::Idle => (Vec::new(), None),
            Self::UnderWay { tasks, failed } => (tasks, failed),
        }
    }
}

impl Worker {
    /// Begins a commit of everything that has changed, unless one is under way. Returns whether one is.
    pub(super) fn begin_commit(&mut self, context: &mut actix::Context<Self>) -> Result<bool, Breakdown> {
        let Some(outbox) = self.outbox.clone() else { return Ok(false) };
        if self.commit.is_under_way() {
            return Ok(true);
        }
        outbox.has_changes.set(false);
        let changed = self.changed();
        if changed.is_empty() {
            return Ok(false);
        }
        let mut commit = Commit {
            producer: Arc::clone(&outbox.producer),
            shares: Vec::with_capacity(changed.len()),
            next: Step::default(),
        };
        for (stage, tasks) in &changed {
            let share =
                self.share(*stage, tasks, &outbox).map_err(|failure| Breakdown::of(*stage, failure))?;
            commit.shares.push(share);
        }
        outbox.is_committing.set(true);
        let tasks = changed.into_values().flatten().collect();
        self.commit = CommitState::UnderWay { tasks, failed: None };
        self.run_beside(commit, context);
        Ok(true)
    }

    /// The tasks that have something to commit, by stage.
    fn changed(&self) -> BTreeMap<StageId, Vec<Rc<RefCell<Task>>>> {
        let mut changed: BTreeMap<StageId, Vec<Rc<RefCell<Task>>>> = BTreeMap::new();
        for ((stage, _), hosted) in self.hosted.iter().filter(|(_, hosted)| hosted.actor.is_some()) {
            if hosted.task.borrow().has_changed() {
                changed.entry(*stage).or_default().push(Rc::clone(&hosted.task));
            }
        }
        changed
    }

    /// Seals what the tasks of a stage have to commit.
    fn share(&self, stage: StageId, tasks: &[Rc<RefCell<Task>>], outbox: &Outbox) -> Result<Share, Failure> {
        let Some(Join { plan, consumer, .. }) = self.joined.get(&stage) else {
            return Err(KafkaError::Fenced(format!("stage {stage} has left")).into());
        };
        // Take the metadata first, then check the leases: see `super::commit`.
        let metadata = outbox.producer.is_transactional().then(|| consumer.metadata()).transpose()?;
        let not_ours = tasks.iter().find(|task| !task.borrow().is_ours());
        if let Some(partition) = not_ours.map(|task| task.borrow().partition)
            && !is_sabotaged(Sabotage::NoFencing)
        {
            let what = format!("partition {partition} of {} was taken away", plan.source);
            return Err(KafkaError::Fenced(what).into());
        }
        let mut share = Share {
            stage,
            consumer: consumer.clone(),
            metadata,
            changelog: plan.changelog.clone(),
            changes: Vec::with_capacity(tasks.len()),
            positions: Vec::with_capacity(tasks.len()),
            ownerships: Vec::with_capacity(tasks.len()),
        };
        for task in tasks {
            task.borrow_mut().seal(&outbox.producer, &mut share)?;
            if is_sabotaged(Sabotage::SledBeforeCommit) {
                task.borrow_mut().committed(&outbox.producer)?;
                plan.process.state.flush()?;
            }
        }
        let (stage, positions) = (stage.as_str(), &share.positions);
        tracing::debug!(stage, worker = self.index, ?positions, "commit begins");
        Ok(share)
    }

    /// Runs a commit on a thread of its own. In librdkafka 2.12.1 `send_offsets_to_transaction` has no time-out, and
    /// never returns if a broker that restarts has lost its request: then the commit is abandoned with its thread and
    /// its producer. A new producer settles the outcome.
    fn run_beside(&mut self, commit: Commit, context: &mut actix::Context<Self>) {
        let started = Instant::now();
        let stages: Vec<StageId> = commit.shares.iter().map(|share| share.stage).collect();
        let patience = self.plan.process.commit_patience();
        let run = tokio::time::timeout(patience, threads::commit(commit)).into_actor(self);
        context.spawn(run.map(move |outcome, worker, context| {
            let outcome = match outcome {
                Ok(outcome) => outcome.unwrap_or_else(|_| Err(Failure::Panic("a commit".into()).into())),
                Err(_) => {
                    worker.outbox = None;
                    let what = format!("a commit has not ended in {patience:?}");
                    Err(Failure::from(KafkaError::Retry(what)).into())
                }
            };
            let (time, ok) = (started.elapsed(), outcome.is_ok());
            tracing::debug!(?stages, worker = worker.index, ?time, ok, "commit ended");
            if ok {
                worker.plan.process.totals.committed_in(time);
            }
            for stage in stages {
                metrics::histogram!("frostline_commit_seconds", "stage" => stage.as_str()).record(time);
            }
            worker.commit_ended(outcome, context);
        }));
    }

    fn commit_ended(&mut self, outcome: Result<(), Breakdown>, context: &mut actix::Context<Self>) {
        let (committed, failed) = self.commit.end();
        if let Some(outbox) = &self.outbox {
            outbox.is_committing.set(false);
        }
        let stored = outcome.and_then(|()| self.store(&committed));
        match failed.or(stored.err()) {
            Some(breakdown) => self.give_up(breakdown, context),
            None => {
                committed.iter().for_each(|task| task.borrow().wake_up());
                self.rest(&committed, context);
                self.close_committed(context);
            }
        }
    }

    /// Holds outputs back for a moment if some of the committed ones were awaited, and then makes the tasks look again
    /// that have some.
    fn rest(&self, committed: &[Rc<RefCell<Task>>], context: &mut actix::Context<Self>) {
        let is_awaited = committed.iter().any(|task| task.borrow().is_awaited());
        let Some(outbox) = self.outbox.clone().filter(|_| is_awaited) else { return };
        outbox.is_resting.set(true);
        context.run_later(REST, move |worker, _| {
            outbox.is_resting.set(false);
            let tasks = worker.hosted.values().map(|hosted| hosted.task.borrow());
            tasks.filter(|task| task.holds_outputs()).for_each(|task| task.wake_up());
        });
    }

    /// Last step of a commit: writes to the stores what Kafka has.
    fn store(&self, committed: &[Rc<RefCell<Task>>]) -> Result<(), Breakdown> {
        let Some(outbox) = &self.outbox else { return Ok(()) };
        for task in committed {
            let mut task = task.borrow_mut();
            let stored = task.committed(&outbox.producer);
            stored.map_err(|failure| Breakdown::of(task.place().0, failure))?;
        }
        reach(Point::AfterSled);
        Ok(())
    }

    /// Has a commit begin when the interval under way ends; while another one is still under way then, an interval
    /// later.
    pub(super) fn commit_at_interval(&self, context: &mut actix::Context<Self>) {
        let interval_ms = self.plan.process.settings.commit_interval.as_millis().max(1);
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
        if let Err(breakdown) = self.begin_commit(context) {
            self.fail(breakdown, context);
        }
    }

    /// Gives up the closing partitions: at once, or when a last commit of theirs has ended. They take no more records, so
    /// that one commit is enough, whatever the other stages here do meanwhile.
    pub(super) fn close_committed(&mut self, context: &mut actix::Context<Self>) {
        let closing = std::mem::take(&mut self.closing);
        let (done, closing): (Vec<Close>, _) =
            closing.into_iter().partition(|close| !self.is_draining(close) && !self.is_owed(close));
        self.closing = closing;
        for close in done {
            self.forget(close.stage, &close.partitions);
            drop(close.done);
        }
        if self.closing.iter().any(|close| self.is_draining(close)) {
            self.look_again(context);
        }
        if self.closing.iter().any(|close| !self.is_draining(close))
            && let Err(breakdown) = self.begin_commit(context)
        {
            self.fail(breakdown, context);
        }
    }

    /// Whether something of these partitions is not committed yet, or other work of their stage is on its way: the group
    /// may be in its next generation as soon as the partitions are given up, and would then refuse those offsets.
    fn is_owed(&self, close: &Close) -> bool {
        self.commit.concerns(close.stage)
            || self
                .hosted_of(close)
                .any(|hosted| hosted.actor.is_some() && hosted.task.borrow().has_changed())
    }

    fn hosted_of<'a>(&'a self, close: &'a Close) -> impl Iterator<Item = &'a Hosted> {
        close.partitions.iter().filter_map(|partition| self.hosted.get(&(close.stage, *partition)))
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
    fn is_draining(&self, close: &Close) -> bool {
        let patience = self.joined.get(&close.stage).map(|joined| joined.plan.drain_patience);
        let is_late = patience.is_none_or(|patience| close.since.elapsed() > patience);
        !is_late && self.hosted_of(close).any(|hosted| hosted.task.borrow().is_draining())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_waits_for_the_commit_under_way_and_the_first_one_counts() {
        let failure = |text: &str| Breakdown::from(Failure::Panic(text.to_owned()));
        let mut state = CommitState::Idle;
        assert!(state.fail(failure("at once")).is_some() && !state.will_fail());
        state = CommitState::UnderWay { tasks: Vec::new(), failed: None };
        assert!(state.is_under_way() && !state.will_fail());
        assert!(state.fail(failure("first")).is_none() && state.fail(failure("second")).is_none());
        assert!(state.will_fail());
        let (_, failed) = state.end();
        assert_eq!(failed.unwrap().failure.to_string(), "first panicked");
        assert!(!state.is_under_way() && state.end().1.is_none());
    }
}
