//! A worker: one thread that hosts many partitions, owns one producer, and commits for all of them.
//!
//! # The commit protocol (`at_least_once`)
//!
//! Every `commit_interval`, or sooner when much has changed, and always before partitions are given up:
//!
//! 1. Outputs and dead letters have been sent after each slice; they are waited for until every replica has
//!    them. Only then the changelog records of all tasks are sent, and waited for in the same way: a
//!    changelog that says "emitted" of something that was not would lose it.
//! 2. Each task's state goes into its store together with its input and changelog offset, as one batch; one
//!    flush makes all of them survive the process.
//! 3. The offsets are committed to the group, with where to rewind to (see `stages::Assemble`).
//!
//! | dies | then |
//! |---|---|
//! | before 1 is done | the records are processed again; outputs that were sent are written twice, alerts with the same id |
//! | between 1 and 2 | the same; the changelog has entries ahead of the store, which a restore brings in: repeated alerts are recognised by their id |
//! | between 2 and 3 | the store is ahead of the group and knows it (`Checkpoint`): records up to its offset are muted |
//! | after 3 | nothing is repeated |
//!
//! A commit that the group refuses while it rebalances is tried again with the next one. Any other failure
//! closes all tasks of the worker without a commit; the supervisor opens them again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::failure::Failure;
use super::message::{Close, CommitSoon, Open, Reopen, StageFailed, TaskFailed, WorkerFailed};
use super::partition::PartitionActor;
use super::plan::StagePlan;
use super::restore::Restore;
use super::task::Task;
use crate::kafka::{Assigned, GroupConsumer, OffsetCommit, Producer};

/// How long commits may be refused before the worker counts as failed.
const COMMIT_PATIENCE: Duration = Duration::from_secs(60);

struct Hosted {
    task: Rc<RefCell<Task>>,
    /// Not before the task is restored.
    actor: Option<Addr<PartitionActor>>,
}

/// See the module's description.
pub(super) struct Worker {
    index: usize,
    plan: Arc<StagePlan>,
    consumer: GroupConsumer,
    producer: Rc<Producer>,
    worker_failed: Recipient<WorkerFailed>,
    stage_failed: Recipient<StageFailed>,
    hosted: BTreeMap<i32, Hosted>,
    restores: Vec<Restore>,
    /// Since when the group has refused commits.
    refused_since: Option<Instant>,
}

impl Worker {
    pub(super) fn new(
        index: usize,
        plan: Arc<StagePlan>,
        consumer: GroupConsumer,
        producer: Producer,
        worker_failed: Recipient<WorkerFailed>,
        stage_failed: Recipient<StageFailed>,
    ) -> Self {
        Self {
            index,
            plan,
            consumer,
            producer: Rc::new(producer),
            worker_failed,
            stage_failed,
            hosted: BTreeMap::new(),
            restores: Vec::new(),
            refused_since: None,
        }
    }

    /// Opens tasks, and starts or restores them.
    fn open(&mut self, assigned: Vec<Assigned>, context: &mut actix::Context<Self>) -> Result<(), Failure> {
        let mut tasks = Vec::with_capacity(assigned.len());
        for Assigned { partition, committed_offset, queue } in assigned {
            let end = || self.consumer.end_offset(partition);
            let task = Task::open(&self.plan, partition, committed_offset, queue, end)?;
            let task = Rc::new(RefCell::new(task));
            let hosted = Hosted { task: Rc::clone(&task), actor: None };
            if let Some(older) = self.hosted.insert(partition, hosted) {
                older.task.borrow_mut().close();
            }
            self.restores.iter_mut().for_each(|restore| restore.forget(partition));
            tasks.push((partition, task));
        }
        match &self.plan.changelog {
            None => tasks.iter().for_each(|(partition, _)| self.run(*partition, context)),
            Some(changelog) => {
                self.restores.push(Restore::start(&self.plan.settings, changelog, tasks)?);
                self.restore_on(context);
            }
        }
        Ok(())
    }

    /// Starts the actor of a restored partition.
    fn run(&mut self, partition: i32, context: &mut actix::Context<Self>) {
        if let Some(hosted) = self.hosted.get_mut(&partition) {
            let actor =
                PartitionActor::new(Rc::clone(&hosted.task), Rc::clone(&self.producer), &context.address());
            hosted.actor = Some(actor.start());
        }
    }

    /// Does a step of the restores, and arranges the next.
    fn restore_on(&mut self, context: &mut actix::Context<Self>) {
        match self.restore_step() {
            Err(failure) => return self.fail(failure),
            Ok(finished) => finished.into_iter().for_each(|partition| self.run(partition, context)),
        }
        if !self.restores.is_empty() {
            let turn = tokio::task::yield_now().into_actor(self);
            context.spawn(turn.map(|(), worker, context| worker.restore_on(context)));
        }
    }

    fn restore_step(&mut self) -> Result<Vec<i32>, Failure> {
        let mut finished = Vec::new();
        for restore in &mut self.restores {
            finished.extend(restore.step()?);
            if restore.is_done() {
                let (records, time) = restore.progress();
                let stage = self.plan.stage.as_str();
                tracing::info!(stage, worker = self.index, records, ?time, "state restored");
            }
        }
        self.restores.retain(|restore| !restore.is_done());
        Ok(finished)
    }

    /// Commits everything that has changed. See the module's description.
    fn commit(&mut self) -> Result<(), Failure> {
        let dirty: Vec<Rc<RefCell<Task>>> = self
            .hosted
            .values()
            .filter(|hosted| hosted.actor.is_some() && hosted.task.borrow().needs_commit())
            .map(|hosted| Rc::clone(&hosted.task))
            .collect();
        if dirty.is_empty() {
            return Ok(());
        }
        self.producer.wait_acknowledged()?;
        // The wait may have been long: what was taken away meanwhile is its new owner's to write.
        let dirty: Vec<Rc<RefCell<Task>>> =
            dirty.into_iter().filter(|task| task.borrow().is_ours()).collect();
        for task in &dirty {
            task.borrow_mut().send_changes(&self.producer)?;
        }
        self.producer.wait_acknowledged()?;
        for task in &dirty {
            task.borrow_mut().commit_state(&self.producer)?;
        }
        self.plan.state.flush()?;
        self.commit_offsets(&dirty)
    }

    fn commit_offsets(&mut self, dirty: &[Rc<RefCell<Task>>]) -> Result<(), Failure> {
        let ours = dirty.iter().filter(|task| task.borrow().is_ours());
        let positions: Vec<OffsetCommit> = ours.filter_map(|task| task.borrow().position()).collect();
        if positions.is_empty() {
            return Ok(());
        }
        match self.consumer.commit(&positions) {
            Ok(()) => {
                self.refused_since = None;
                for task in dirty.iter().filter(|task| task.borrow().is_ours()) {
                    let mut task = task.borrow_mut();
                    if let Some(position) = task.position() {
                        task.committed(position)?;
                    }
                }
                Ok(())
            }
            Err(error) => {
                let failure = Failure::from(error);
                let since = *self.refused_since.get_or_insert_with(Instant::now);
                if failure.is_fatal() || since.elapsed() > COMMIT_PATIENCE {
                    return Err(failure);
                }
                let stage = self.plan.stage.as_str();
                tracing::debug!(stage, worker = self.index, error = %failure, "commit refused, tried again");
                Ok(())
            }
        }
    }

    fn commit_or_fail(&mut self) {
        if let Err(failure) = self.commit() {
            self.fail(failure);
        }
    }

    fn close_all(&self) {
        for hosted in self.hosted.values() {
            // A task that is borrowed belongs to the slice that is just panicking.
            if let Ok(mut task) = hosted.task.try_borrow_mut() {
                task.close();
            }
        }
    }

    /// Closes all tasks without a commit, and tells the supervisor, which knows whose they are.
    fn fail(&mut self, failure: Failure) {
        self.close_all();
        let damaged =
            if failure.is_corruption() { self.hosted.keys().copied().collect() } else { Vec::new() };
        self.hosted.clear();
        self.restores.clear();
        for partition in damaged {
            let stage = self.plan.stage.as_str();
            tracing::warn!(stage, partition, error = %failure, "damaged state is dropped and rebuilt from its changelog");
            if let Err(error) = self.plan.state.drop_store(&self.plan.identity(partition)) {
                tracing::error!(stage, partition, %error, "damaged state cannot be dropped");
            }
        }
        self.refused_since = None;
        self.worker_failed.do_send(WorkerFailed { worker: self.index, failure });
    }
}

impl Actor for Worker {
    type Context = actix::Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(self.plan.commit_interval, |worker, _| worker.commit_or_fail());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Without its worker a partition would be read for ever and never committed.
            self.close_all();
            let failure = Failure::Panic(format!("worker {} of stage {}", self.index, self.plan.stage));
            self.stage_failed.do_send(StageFailed(failure));
        }
    }
}

impl Handler<Open> for Worker {
    type Result = ();

    fn handle(&mut self, Open(assigned): Open, context: &mut Self::Context) {
        if let Err(failure) = self.open(assigned, context) {
            self.fail(failure);
        }
    }
}

impl Handler<Reopen> for Worker {
    type Result = ();

    fn handle(&mut self, Reopen(partitions): Reopen, context: &mut Self::Context) {
        // Some may have come back by themselves meanwhile.
        let partitions: Vec<i32> =
            partitions.into_iter().filter(|partition| !self.hosted.contains_key(partition)).collect();
        if partitions.is_empty() {
            return;
        }
        let reopened = self.consumer.reopen(&partitions).map_err(Failure::from);
        if let Err(failure) = reopened.and_then(|assigned| self.open(assigned, context)) {
            self.fail(failure);
        }
    }
}

impl Handler<Close> for Worker {
    type Result = ();

    fn handle(&mut self, close: Close, _context: &mut Self::Context) {
        // Intake stops with the commit: it is on this thread, so no slice runs in between.
        if close.commit {
            self.commit_or_fail();
        }
        for partition in &close.partitions {
            if let Some(hosted) = self.hosted.remove(partition) {
                hosted.task.borrow_mut().close();
            }
            self.restores.iter_mut().for_each(|restore| restore.forget(*partition));
        }
        self.restores.retain(|restore| !restore.is_done());
        // A refusal of the last commit concerned what is gone now.
        self.refused_since = None;
        drop(close.done);
    }
}

impl Handler<TaskFailed> for Worker {
    type Result = ();

    fn handle(&mut self, TaskFailed { partition, failure }: TaskFailed, _context: &mut Self::Context) {
        // A task that was closed in the meantime is nobody's concern any more.
        if self.hosted.contains_key(&partition) {
            self.fail(failure);
        }
    }
}

impl Handler<CommitSoon> for Worker {
    type Result = ();

    fn handle(&mut self, _: CommitSoon, _context: &mut Self::Context) {
        self.commit_or_fail();
    }
}
