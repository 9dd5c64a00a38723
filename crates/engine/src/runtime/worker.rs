//! A worker: one thread that hosts many partitions, owns one producer, and commits for all of them.
//!
//! What a commit is, and what a crash at any point of it means, is told in [`super::commit`].
//!
//! Any failure of a task, of a commit or of the producer closes *all* tasks of the worker without a commit,
//! since they share the open transaction: it is aborted, and the supervisor has the tasks opened again. A
//! commit that is under way is waited for first, so that its outcome is known.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::oneshot;

use super::commit::Commit;
use super::failure::Failure;
use super::inspect::Found;
use super::message::{
    Close, CommitSoon, Inspect, Open, Reopen, StageFailed, TaskFailed, WorkerFailed, WorkerReady,
};
use super::partition::PartitionActor;
use super::plan::StagePlan;
use super::provenance;
use super::restore::Restore;
use super::supervisor::Supervisor;
use super::task::Task;
use crate::fault::{Point, Sabotage, is_sabotaged, reach};
use crate::kafka::{Assigned, GroupConsumer, KafkaError, Producer};

/// How often is looked whether what is on its way outside has an outcome.
const DRAIN_LOOK_INTERVAL: Duration = Duration::from_millis(20);

struct Hosted {
    task: Rc<RefCell<Task>>,
    /// Not before the task is restored.
    actor: Option<Addr<PartitionActor>>,
}

/// What the tasks of a worker send through.
pub(super) struct Outbox {
    pub(super) producer: Arc<Producer>,
    is_committing: Cell<bool>,
    /// Set where a task may have something to commit: looking at hundreds that have nothing costs, ten times a second.
    has_changes: Cell<bool>,
}

impl Outbox {
    /// Has the worker look at its tasks at the next commit interval.
    pub(super) fn changed(&self) {
        self.has_changes.set(true);
    }

    /// Whether a commit is under way.
    pub(super) fn is_committing(&self) -> bool {
        self.is_committing.get()
    }

    /// Whether outputs must wait until the commit under way has ended: what is sent now would land in its transaction.
    pub(super) fn is_held(&self) -> bool {
        self.is_committing() && self.producer.is_transactional()
    }
}

/// See the module's description.
pub(super) struct Worker {
    index: usize,
    plan: Arc<StagePlan>,
    consumer: GroupConsumer,
    worker_ready: Recipient<WorkerReady>,
    worker_failed: Recipient<WorkerFailed>,
    stage_failed: Recipient<StageFailed>,
    /// `None` where none could be made yet, and after a producer was spent.
    outbox: Option<Rc<Outbox>>,
    hosted: BTreeMap<i32, Hosted>,
    restores: Vec<Restore>,
    /// The tasks of the commit that is under way.
    committing: Option<Vec<Rc<RefCell<Task>>>>,
    /// Partitions to be given up as soon as what they have done is committed.
    closing: Vec<Close>,
    /// Set while a look at `closing` is arranged.
    looks_again: bool,
    /// Why everything is given up as soon as the commit under way has ended.
    failed: Option<Failure>,
}

impl Worker {
    pub(super) fn new(
        index: usize,
        plan: Arc<StagePlan>,
        consumer: GroupConsumer,
        supervisor: &Addr<Supervisor>,
    ) -> Self {
        Self {
            index,
            plan,
            consumer,
            worker_ready: supervisor.clone().recipient(),
            worker_failed: supervisor.clone().recipient(),
            stage_failed: supervisor.clone().recipient(),
            outbox: None,
            hosted: BTreeMap::new(),
            restores: Vec::new(),
            committing: None,
            closing: Vec::new(),
            looks_again: false,
            failed: None,
        }
    }

    /// The producer, made and registered where that has not happened yet. It comes before anything is restored:
    /// registering settles what an earlier producer of this worker left open.
    fn outbox(&mut self) -> Result<Rc<Outbox>, Failure> {
        let outbox = match &self.outbox {
            Some(outbox) => Rc::clone(outbox),
            None => {
                let transaction = self.plan.transaction(self.index)?;
                let producer = Arc::new(Producer::new(&self.plan.clients, transaction.as_ref())?);
                let fresh = Rc::new(Outbox {
                    producer,
                    is_committing: Cell::new(false),
                    has_changes: Cell::new(false),
                });
                Rc::clone(self.outbox.insert(fresh))
            }
        };
        outbox.producer.ready()?;
        Ok(outbox)
    }

    /// Opens tasks, and starts or restores them.
    fn open(&mut self, assigned: Vec<Assigned>, context: &mut actix::Context<Self>) -> Result<(), Failure> {
        self.outbox()?;
        let topic_ids = provenance::topic_ids(&self.plan, &self.consumer)?;
        let mut tasks = Vec::with_capacity(assigned.len());
        for assigned in assigned {
            let partition = assigned.partition;
            let task = Task::open(&self.plan, self.index, &topic_ids, assigned)?;
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
                provenance::drop_outdated(&self.plan, &self.consumer, changelog, &tasks)?;
                self.restores.push(Restore::start(&self.plan, self.index, changelog, tasks)?);
                self.restore_on(context);
            }
        }
        Ok(())
    }

    /// Starts the actor of a restored partition.
    fn run(&mut self, partition: i32, context: &mut actix::Context<Self>) {
        if let Some((hosted, outbox)) = self.hosted.get_mut(&partition).zip(self.outbox.as_ref()) {
            let actor = PartitionActor::new(Rc::clone(&hosted.task), Rc::clone(outbox), &context.address());
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
        }
        self.end_restores(Restore::is_done);
        Ok(finished)
    }

    fn end_restores(&mut self, which: impl Fn(&Restore) -> bool) {
        let (ended, going_on): (Vec<Restore>, _) =
            std::mem::take(&mut self.restores).into_iter().partition(which);
        self.restores = going_on;
        ended.into_iter().for_each(Restore::end);
    }

    /// Begins a commit of everything that has changed, unless one is under way. Returns whether one is.
    fn begin_commit(&mut self, context: &mut actix::Context<Self>) -> Result<bool, Failure> {
        let Some(outbox) = self.outbox.clone() else { return Ok(false) };
        if self.committing.is_some() {
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
        // First the metadata, then the leases: see `super::commit`.
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
        self.committing = Some(changed);
        self.run_beside(commit, context);
        Ok(true)
    }

    /// Runs a commit on a thread of its own. In librdkafka 2.12.1 `send_offsets_to_transaction` has no time-out
    /// of its own, and never comes back where a broker that restarts has lost its request: then the commit is
    /// abandoned with its thread and its producer. A new producer settles what became of it.
    fn run_beside(&mut self, commit: Commit, context: &mut actix::Context<Self>) {
        let started = Instant::now();
        let patience = self.plan.commit_patience();
        let (done, outcome) = oneshot::channel();
        std::thread::spawn(move || drop(done.send(commit.run())));
        let run = tokio::time::timeout(patience, outcome).into_actor(self);
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
        let committed = self.committing.take().unwrap_or_default();
        if let Some(outbox) = &self.outbox {
            outbox.is_committing.set(false);
        }
        let stored = outcome.and_then(|()| self.store(&committed));
        if let Err(failure) = stored {
            self.failed.get_or_insert(failure);
        }
        match self.failed.take() {
            Some(failure) => self.give_up(failure),
            None => self.close_committed(context),
        }
    }

    /// Last step of a commit: what Kafka has goes into the stores.
    fn store(&self, committed: &[Rc<RefCell<Task>>]) -> Result<(), Failure> {
        let Some(outbox) = &self.outbox else { return Ok(()) };
        for task in committed {
            let mut task = task.borrow_mut();
            task.committed(&outbox.producer)?;
            task.wake_up();
        }
        reach(Point::AfterSled);
        Ok(())
    }

    fn commit_or_fail(&mut self, context: &mut actix::Context<Self>) {
        if !self.outbox.as_ref().is_some_and(|outbox| outbox.has_changes.get()) {
            return;
        }
        if let Err(failure) = self.begin_commit(context) {
            self.fail(failure);
        }
    }

    /// Gives up the partitions that shall go: at once, or when a last commit has ended.
    fn close_committed(&mut self, context: &mut actix::Context<Self>) {
        if self.closing.is_empty() || self.committing.is_some() {
            return;
        }
        if self.is_draining() {
            return self.look_again(context);
        }
        // This comes to an end, since the client has paused all partitions for as long as it waits for us.
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

    /// Looks again soon, once, whoever asks for it.
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

    /// Whether a partition that shall go still has something on its way outside, whose outcome would be unknown. It is
    /// waited for only so long.
    fn is_draining(&self) -> bool {
        let is_late = |close: &Close| close.since.elapsed() > self.plan.drain_patience;
        let waiting = self.closing.iter().filter(|close| !is_late(close)).flat_map(|close| &close.partitions);
        waiting
            .filter_map(|partition| self.hosted.get(partition))
            .any(|hosted| hosted.task.borrow().is_draining())
    }

    fn forget(&mut self, partitions: &[i32]) {
        for partition in partitions {
            if let Some(hosted) = self.hosted.remove(partition) {
                hosted.task.borrow_mut().close();
            }
            self.restores.iter_mut().for_each(|restore| restore.forget(*partition));
        }
        self.end_restores(Restore::is_done);
    }

    fn close_all(&self) {
        for hosted in self.hosted.values() {
            // A task that is borrowed belongs to the slice that is just panicking.
            if let Ok(mut task) = hosted.task.try_borrow_mut() {
                task.close();
            }
        }
    }

    /// Stops everything, and gives it up as soon as no commit is under way.
    fn fail(&mut self, failure: Failure) {
        self.close_all();
        self.end_restores(|_| true);
        if self.committing.is_some() {
            self.failed.get_or_insert(failure);
        } else {
            self.give_up(failure);
        }
    }

    /// Where two processes have one name, as after a state directory was copied, they have the same transactional ids
    /// and fence each other again and again. The one that notices takes another name. A former life of this very
    /// process, which the group has not forgotten yet, has the same effect and does no harm.
    fn rename_if_shared(&self) {
        let Ok(instance) = self.plan.instance() else { return };
        if !self.plan.can_be_renamed() || !self.consumer.is_name_shared(&instance) {
            return;
        }
        if is_sabotaged(Sabotage::NoRenaming) {
            return;
        }
        let stage = self.plan.stage.as_str();
        match self.plan.state.rename_instance() {
            Ok(name) => tracing::warn!(
                stage,
                shared = instance,
                name,
                "another process has the name of this state directory, as a copy of it has: this one takes a new name"
            ),
            Err(error) => tracing::error!(stage, %error, "this state directory cannot take another name"),
        }
    }

    /// Has the supervisor open partitions later, while the others go on.
    fn ask_again(&self, failure: Failure, partitions: Vec<i32>) {
        let failed = WorkerFailed { worker: self.index, failure, partitions: Some(partitions) };
        self.worker_failed.do_send(failed);
    }

    /// Drops all tasks with what they have not committed, and tells the supervisor, which knows whose they are.
    fn give_up(&mut self, failure: Failure) {
        self.close_all();
        self.hosted.clear();
        self.end_restores(|_| true);
        if let Some(outbox) = &self.outbox {
            outbox.producer.abort();
            if outbox.producer.is_spent() {
                self.outbox = None;
            }
        }
        if matches!(failure, Failure::Kafka(KafkaError::Replaced(_))) {
            self.rename_if_shared();
        }
        if let Some(store) = failure.unusable_store() {
            tracing::warn!(store, error = %failure, "local state is dropped and restored from its changelog");
            if let Err(error) = self.plan.state.drop_store(store) {
                tracing::error!(store, %error, "it cannot be dropped either: the next start moves the whole store aside");
                self.stage_failed.do_send(StageFailed(error.into()));
            }
        }
        // Whoever waits for a revoke need not wait any longer: nothing of it will be committed.
        self.closing.clear();
        self.worker_failed.do_send(WorkerFailed { worker: self.index, failure, partitions: None });
    }
}

impl Actor for Worker {
    type Context = actix::Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        // Before the group is joined, since this can take a second for which partitions would stand still. What
        // fails here is tried again when the first partitions come.
        if let Err(failure) = self.outbox() {
            tracing::debug!(stage = self.plan.stage.as_str(), error = %failure, "producer not ready yet");
        }
        self.worker_ready.do_send(WorkerReady);
        context.run_interval(self.plan.commit_interval, Self::commit_or_fail);
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
        if partitions.is_empty() || self.failed.is_some() {
            return;
        }
        // The producer first: what an older one left open must be settled before offsets are read.
        if let Err(failure) = self.outbox() {
            return self.fail(failure);
        }
        let mut assigned = self.consumer.reopen(&partitions);
        if matches!(assigned, Err(KafkaError::Retry(_))) && partitions.len() > 1 {
            // One that cannot be read yet must not keep the others waiting.
            assigned = self.consumer.reopen_each(&partitions);
        }
        match assigned.map_err(Failure::from) {
            Ok(assigned) => {
                let opened: Vec<i32> = assigned.iter().map(|one| one.partition).collect();
                let mut unread = partitions;
                unread.retain(|partition| !opened.contains(partition));
                if let Err(failure) = self.open(assigned, context) {
                    self.fail(failure);
                } else if !unread.is_empty() {
                    let reason = format!("some partitions of {} cannot be read yet", self.plan.source);
                    self.ask_again(KafkaError::Retry(reason).into(), unread);
                }
            }
            // Those that work already go on; the others are asked for again.
            Err(failure) if failure.is_passing() => self.ask_again(failure, partitions),
            Err(failure) => self.fail(failure),
        }
    }
}

impl Handler<Close> for Worker {
    type Result = ();

    fn handle(&mut self, close: Close, context: &mut Self::Context) {
        let hosted = |partition: &i32| self.hosted.get(partition);
        for hosted in close.partitions.iter().filter_map(hosted) {
            hosted.task.borrow_mut().stop_taking();
        }
        if close.commit {
            reach(Point::InRevoke);
            self.closing.push(close);
            return self.close_committed(context);
        }
        // Lost. What they have sent shares a transaction with the work of all others here; while one is being
        // committed it is held back, and goes with them.
        let has_sent = self.committing.is_none()
            && close.partitions.iter().filter_map(hosted).any(|hosted| hosted.task.borrow().has_changed());
        self.forget(&close.partitions);
        if has_sent {
            let what = format!("partitions {:?} of {} were lost", close.partitions, self.plan.source);
            self.fail(KafkaError::Fenced(what).into());
        }
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

impl Handler<Inspect> for Worker {
    type Result = Result<Vec<Found>, Failure>;

    fn handle(&mut self, Inspect(question): Inspect, _context: &mut Self::Context) -> Self::Result {
        let running = self.hosted.values().filter(|hosted| hosted.actor.is_some());
        // None is borrowed now: a slice of work is over before the next message is taken.
        running.map(|hosted| hosted.task.borrow().inspect(&question)).collect()
    }
}

impl Handler<CommitSoon> for Worker {
    type Result = ();

    fn handle(&mut self, _: CommitSoon, context: &mut Self::Context) {
        self.commit_or_fail(context);
    }
}
