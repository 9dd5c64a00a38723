//! A worker: one thread that hosts many partitions, owns one producer, and commits for all of them.
//!
//! [`super::commit`] describes a commit, and the effect of a crash at any point of it.
//!
//! Any failure of a task, of a commit or of the producer closes *all* tasks of the worker without a commit, because
//! they share the open transaction: it is aborted, and the supervisor has the tasks opened again. A commit that is
//! under way is awaited first, so that its outcome is known.
//!
//! # Workers of a stage, or of the process?
//!
//! Each stage has its own workers, each with a producer and a transaction. `benches/producers.rs` compares that with
//! one producer per core, whose transaction holds the offsets of all stages' groups. Six stages on two cores, one
//! broker, three rounds in turn: with 12 producers a commit takes 14 to 17 ms (median), and the process uses 12 % of
//! a core under load, 1.4 % idle, and 60 threads; with 2 producers 10 ms, 5 %, 0.4 %, and 10 threads.
//!
//! So a pool pays off for all stages whose effects are in Kafka only. It costs isolation: a rebalance or a failure in
//! one stage aborts the transaction of all tasks on the worker, which then continue from their last commit. If
//! outcomes come from outside, as in a stage that sends mail, an aborted commit leaves an outcome unknown; such a
//! stage keeps its own workers. The pool is planned but not built. Until then stages with few records have one worker
//! each ([`Traffic::Few`](crate::Traffic::Few)), and no stage has more workers than partitions.
//!
//! Committing, and giving up partitions after a last commit, is in `committing.rs`; requests to a worker are in
//! `requests.rs`.

mod committing;
mod outbox;
mod requests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::time::Instant;

use self::committing::CommitState;
pub(super) use self::outbox::Outbox;
use super::failure::Failure;
use super::message::{Close, StageFailed, WorkerFailed, WorkerReady};
use super::partition::PartitionActor;
use super::plan::StagePlan;
use super::provenance;
use super::restore::Restore;
use super::supervisor::Supervisor;
use super::task::Task;
use crate::fault::{Sabotage, is_sabotaged};
use crate::kafka::KafkaError;
use crate::link::{Assigned, GroupConsumer, Producer};

/// Pause of a restore that waits for its reader.
const RESTORE_PAUSE: Duration = Duration::from_millis(1);

struct Hosted {
    task: Rc<RefCell<Task>>,
    /// Started only after the task is restored.
    actor: Option<Addr<PartitionActor>>,
}

/// The actor of a worker; see the module's description.
pub(in crate::runtime) struct Worker {
    index: usize,
    plan: Arc<StagePlan>,
    consumer: GroupConsumer,
    worker_ready: Recipient<WorkerReady>,
    worker_failed: Recipient<WorkerFailed>,
    stage_failed: Recipient<StageFailed>,
    /// `None` if none could be created yet, and after a producer was spent.
    outbox: Option<Rc<Outbox>>,
    hosted: BTreeMap<i32, Hosted>,
    restores: Vec<Restore>,
    commit: CommitState,
    /// Partitions that will be given up as soon as their work is committed.
    closing: Vec<Close>,
    /// Set while a check of `closing` is scheduled.
    looks_again: bool,
    /// When the first commit interval began.
    begun: Instant,
}

impl Worker {
    pub(in crate::runtime) fn new(
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
            commit: CommitState::Idle,
            closing: Vec::new(),
            looks_again: false,
            begun: Instant::now(),
        }
    }

    /// The producer, created and registered if necessary. It comes before any restore: registering settles what an
    /// earlier producer of this worker left open.
    fn outbox(&mut self) -> Result<Rc<Outbox>, Failure> {
        let outbox = match &self.outbox {
            Some(outbox) => Rc::clone(outbox),
            None => {
                let transaction = self.plan.transaction(self.index)?;
                let limits = &self.plan.record_limits;
                limits.look_again_where_outdated();
                let producer =
                    Producer::with_batches(&self.plan.clients, transaction.as_ref(), limits.batch_bytes())?;
                let producer = Arc::new(producer);
                Rc::clone(self.outbox.insert(Rc::new(Outbox::new(producer))))
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

    /// Runs a step of the restores, and schedules the next.
    fn restore_on(&mut self, context: &mut actix::Context<Self>) {
        let has_read = match self.restore_step() {
            Err(failure) => return self.fail(failure),
            Ok((finished, has_read)) => {
                finished.into_iter().for_each(|partition| self.run(partition, context));
                has_read
            }
        };
        if self.restores.is_empty() {
            return;
        }
        if has_read {
            let turn = tokio::task::yield_now().into_actor(self);
            context.spawn(turn.map(|(), worker, context| worker.restore_on(context)));
        } else {
            context.run_later(RESTORE_PAUSE, Self::restore_on);
        }
    }

    /// A step of each restore: the partitions that are restored now, and whether any has read something.
    fn restore_step(&mut self) -> Result<(Vec<i32>, bool), Failure> {
        let (mut finished, mut has_read) = (Vec::new(), false);
        for restore in &mut self.restores {
            has_read |= restore.step(&mut finished)?;
        }
        self.end_restores(Restore::is_done);
        Ok((finished, has_read))
    }

    fn end_restores(&mut self, which: impl Fn(&Restore) -> bool) {
        let (ended, going_on): (Vec<Restore>, _) =
            std::mem::take(&mut self.restores).into_iter().partition(which);
        self.restores = going_on;
        ended.into_iter().for_each(Restore::end);
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
            // A task that is borrowed belongs to the slice that is panicking right now.
            if let Ok(mut task) = hosted.task.try_borrow_mut() {
                task.close();
            }
        }
    }

    /// Stops everything, and gives it up as soon as no commit is under way.
    fn fail(&mut self, failure: Failure) {
        self.close_all();
        self.end_restores(|_| true);
        if let Some(failure) = self.commit.fail(failure) {
            self.give_up(failure);
        }
    }

    /// If two processes have the same name, for instance after a state directory was copied, they have the same
    /// transactional ids and fence each other repeatedly. The process that notices it takes another name. An earlier
    /// run of this same process, which the group has not forgotten yet, looks the same and does no harm.
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
                "another process has the same name, probably from a copy of this state directory; taking a new name"
            ),
            Err(error) => tracing::error!(stage, %error, "this state directory cannot take another name"),
        }
    }

    /// Has the supervisor open partitions later, while the others continue.
    fn ask_again(&self, failure: Failure, partitions: Vec<i32>) {
        let failed = WorkerFailed { worker: self.index, failure, partitions: Some(partitions) };
        self.worker_failed.do_send(failed);
    }

    /// Drops all tasks with their uncommitted work, and reports to the supervisor, which knows where they belong.
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
        if matches!(failure, Failure::Kafka(KafkaError::TooLarge { .. })) {
            // The next producer's batches will fit the topics' limits at that time.
            self.plan.record_limits.outdated();
            self.outbox = None;
        }
        if matches!(failure, Failure::Kafka(KafkaError::Replaced(_))) {
            self.rename_if_shared();
        }
        if let Some(store) = failure.unusable_store() {
            tracing::warn!(store, error = %failure, "dropping local state; it will be restored from its changelog");
            if let Err(error) = self.plan.state.drop_store(store) {
                tracing::error!(store, %error, "local state cannot be dropped; the next start will move the whole store aside");
                self.stage_failed.do_send(StageFailed(error.into()));
            }
        }
        // A revoke need not wait any longer: nothing of this will be committed.
        self.closing.clear();
        self.worker_failed.do_send(WorkerFailed { worker: self.index, failure, partitions: None });
    }
}

impl Actor for Worker {
    type Context = actix::Context<Self>;

    fn started(&mut self, _context: &mut Self::Context) {
        // Before the group is joined, because this can take a second in which partitions would stand still. If it
        // fails, it is retried when the first partitions come.
        if let Err(failure) = self.outbox() {
            tracing::debug!(stage = self.plan.stage.as_str(), error = %failure, "producer not ready yet");
        }
        self.worker_ready.do_send(WorkerReady);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Without its worker a partition would be read but never committed.
            self.close_all();
            let failure = Failure::Panic(format!("worker {} of stage {}", self.index, self.plan.stage));
            self.stage_failed.do_send(StageFailed(failure));
        }
    }
}
