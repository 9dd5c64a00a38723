//! A worker: one thread that hosts many partitions, owns one producer, and commits for all of them.
//!
//! [`super::commit`] describes a commit, and the effect of a crash at any point of it.
//!
//! # Who shares what
//!
//! Stages share the workers of their process ([`super::pool`]): as many as cores, each with one producer and one
//! transaction, which holds the offsets of all stages' groups. For six stages on two cores that means 2 producers
//! instead of 12, and a commit of 10 ms instead of 14 to 17 ms. A transaction counts as a whole or not at all, so sharing
//! it has a price, which these rules limit:
//!
//! * A task that cannot be opened, restored or read, and has nothing in the transaction, is closed alone. Only its stage
//!   is asked to try again.
//! * Any other task that fails, a group that refuses its offsets, a commit or producer that fails closes *all* tasks of the
//!   worker without a commit: the transaction is aborted, and the supervisors have the tasks opened again. The other
//!   stages do so at once, and it does not count as a failure of theirs. A commit that is under way is awaited
//!   first, so that its outcome is known.
//! * A stage whose failure may recur ([`Failure::recurs`]) gets a worker of its own instead of the shared one, until
//!   the process ends.
//! * A stage whose effects are outside of Kafka, such as one that sends mail, has workers of its own from the
//!   beginning: an abort would leave the outcome of what it has sent unknown.
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
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::prelude::*;
use tokio::time::Instant;

use self::committing::CommitState;
pub(super) use self::outbox::Outbox;
use super::failure::{Breakdown, Failure};
use super::message::{Close, Join, Place, StageFailed, WorkerFailed};
use super::partition::PartitionActor;
use super::plan::WorkersPlan;
use super::provenance;
use super::restore::Restore;
use super::task::Task;
use crate::StageId;
use crate::fault::{Sabotage, is_sabotaged};
use crate::kafka::KafkaError;
use crate::link::{Assigned, Producer};

/// Pause of a restore that waits for its reader.
const RESTORE_PAUSE: Duration = Duration::from_millis(1);
/// Pause before a producer takes the place of one that is spent.
const REPLACE_PAUSE: Duration = Duration::from_millis(100);

struct Hosted {
    task: Rc<RefCell<Task>>,
    /// Started only after the task is restored.
    actor: Option<Addr<PartitionActor>>,
}

/// The actor of a worker; see the module's description.
pub(in crate::runtime) struct Worker {
    index: usize,
    plan: Arc<WorkersPlan>,
    /// The stages that it works for.
    joined: BTreeMap<StageId, Join>,
    /// `None` if none could be created yet, and after a producer was spent.
    outbox: Option<Rc<Outbox>>,
    hosted: BTreeMap<Place, Hosted>,
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
    pub(in crate::runtime) fn new(index: usize, plan: Arc<WorkersPlan>) -> Self {
        Self {
            index,
            plan,
            joined: BTreeMap::new(),
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
                let clients = &self.plan.process.clients;
                let producer =
                    Producer::with_batches(clients, transaction.as_ref(), self.plan.batch_bytes())?;
                let producer = Arc::new(producer);
                Rc::clone(self.outbox.insert(Rc::new(Outbox::new(producer))))
            }
        };
        outbox.producer.ready()?;
        Ok(outbox)
    }

    /// Whether the stage leaves its group. What has been asked for before that is not opened any more: each attempt may wait
    /// for slow brokers, and the worker can give nothing up meanwhile.
    fn is_leaving(&self, stage: StageId) -> bool {
        self.joined.get(&stage).is_some_and(|joined| joined.leaving.load(Ordering::Acquire))
    }

    /// Opens tasks, and starts or restores them. If that fails, only their stage is asked to try again.
    fn open(&mut self, stage: StageId, assigned: Vec<Assigned>, context: &mut actix::Context<Self>) {
        let partitions: Vec<i32> = assigned.iter().map(|assigned| assigned.partition).collect();
        if let Err(failure) = self.try_to_open(stage, assigned, context) {
            self.close_alone(stage, partitions, failure);
        }
    }

    fn try_to_open(
        &mut self,
        stage: StageId,
        assigned: Vec<Assigned>,
        context: &mut actix::Context<Self>,
    ) -> Result<(), Failure> {
        let outbox = self.outbox()?;
        let Some(Join { plan, consumer, .. }) = self.joined.get(&stage) else { return Ok(()) };
        let topic_ids = provenance::topic_ids(plan, consumer)?;
        let mut tasks = Vec::with_capacity(assigned.len());
        for assigned in assigned {
            let partition = assigned.partition;
            outbox.producer.forget_changelog(plan.slot(partition));
            let task = Task::open(plan, self.index, &topic_ids, assigned)?;
            let task = Rc::new(RefCell::new(task));
            let hosted = Hosted { task: Rc::clone(&task), actor: None };
            if let Some(older) = self.hosted.insert((stage, partition), hosted) {
                older.task.borrow_mut().close();
            }
            self.restores.iter_mut().for_each(|restore| restore.forget((stage, partition)));
            // A revoke that was given up must not end this task.
            let closing = self.closing.iter_mut().filter(|close| close.stage == stage);
            closing.for_each(|close| close.partitions.retain(|other| *other != partition));
            tasks.push((partition, task));
        }
        match &plan.changelog {
            None => tasks.iter().for_each(|(partition, _)| self.run((stage, *partition), context)),
            Some(changelog) => {
                let partitions: Vec<i32> = tasks.iter().map(|(partition, _)| *partition).collect();
                let ends = consumer.ends_of(changelog, &partitions)?;
                provenance::drop_outdated(plan, (changelog, &ends), &tasks)?;
                self.restores.push(Restore::start(plan, self.index, (changelog, &ends), tasks)?);
                self.restore_on(context);
            }
        }
        Ok(())
    }

    /// Starts the actor of a restored partition.
    fn run(&mut self, place: Place, context: &mut actix::Context<Self>) {
        if let Some((hosted, outbox)) = self.hosted.get_mut(&place).zip(self.outbox.as_ref()) {
            let actor = PartitionActor::new(Rc::clone(&hosted.task), Rc::clone(outbox), &context.address());
            hosted.actor = Some(actor.start());
        }
    }

    /// Runs a step of the restores, and schedules the next.
    fn restore_on(&mut self, context: &mut actix::Context<Self>) {
        let (mut finished, mut failed, mut has_read) = (Vec::new(), Vec::new(), false);
        for restore in &mut self.restores {
            match restore.step(&mut finished) {
                Ok(read) => has_read |= read,
                Err(failure) => failed.push((restore.left(), failure)),
            }
        }
        finished.into_iter().for_each(|place| self.run(place, context));
        for ((stage, partitions), failure) in failed {
            self.close_alone(stage, partitions, failure);
        }
        self.end_restores(Restore::is_done);
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

    fn end_restores(&mut self, which: impl Fn(&Restore) -> bool) {
        let (ended, going_on): (Vec<Restore>, _) =
            std::mem::take(&mut self.restores).into_iter().partition(which);
        self.restores = going_on;
        ended.into_iter().for_each(Restore::end);
    }

    fn forget(&mut self, stage: StageId, partitions: &[i32]) {
        for partition in partitions {
            if let Some(hosted) = self.hosted.remove(&(stage, *partition)) {
                hosted.task.borrow_mut().close();
            }
            self.restores.iter_mut().for_each(|restore| restore.forget((stage, *partition)));
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
    fn fail(&mut self, breakdown: Breakdown, context: &mut actix::Context<Self>) {
        self.close_all();
        self.end_restores(|_| true);
        if let Some(breakdown) = self.commit.fail(breakdown) {
            self.give_up(breakdown, context);
        }
    }

    /// If two processes have the same name, for instance after a state directory was copied, they have the same
    /// transactional ids and fence each other repeatedly. The process that notices it takes another name. An earlier
    /// run of this same process, which the group has not forgotten yet, looks the same and does no harm.
    fn rename_if_shared(&self) {
        let process = &self.plan.process;
        let Ok(instance) = process.instance() else { return };
        let is_shared = self.joined.values().any(|joined| joined.consumer.is_name_shared(&instance));
        if !process.can_be_renamed() || !is_shared || is_sabotaged(Sabotage::NoRenaming) {
            return;
        }
        match process.state.rename_instance() {
            Ok(name) => tracing::warn!(
                shared = instance,
                name,
                "another process has the same name, probably from a copy of this state directory; taking a new name"
            ),
            Err(error) => tracing::error!(%error, "this state directory cannot take another name"),
        }
    }

    /// Has the supervisor of a stage open partitions later, while the others continue.
    fn ask_again(&self, stage: StageId, failure: Failure, partitions: Option<Vec<i32>>) {
        if let Some(joined) = self.joined.get(&stage) {
            joined.failed.do_send(WorkerFailed { worker: self.index, failure, partitions });
        }
    }

    /// Drops tasks of a stage that have nothing in the transaction and cannot be opened, restored or read, and reports
    /// that.
    fn close_alone(&mut self, stage: StageId, partitions: Vec<i32>, failure: Failure) {
        self.forget(stage, &partitions);
        self.drop_unusable_store(&failure);
        self.ask_again(stage, failure, Some(partitions));
    }

    /// Has a store that does not fit restored from the beginning of its changelog.
    fn drop_unusable_store(&self, failure: &Failure) {
        let Some(store) = failure.unusable_store() else { return };
        tracing::warn!(store, error = %failure, "dropping local state; it will be restored from its changelog");
        if let Err(error) = self.plan.process.state.drop_store(store) {
            tracing::error!(store, %error, "local state cannot be dropped; the next start will move the whole store aside");
            self.end_stages(&error.into());
        }
    }

    fn end_stages(&self, failure: &Failure) {
        self.joined.values().for_each(|joined| joined.stage_failed.do_send(StageFailed(failure.clone())));
    }

    /// The stage that a failure concerns. If a topic refuses records, the client reports it with any later record.
    fn blame(&self, breakdown: &Breakdown) -> Option<StageId> {
        let topic = match &breakdown.failure {
            Failure::Kafka(KafkaError::TooLarge { topic } | KafkaError::NoTopic { topic }) => topic,
            _ => return breakdown.stage,
        };
        let mut writers = self.joined.values().filter(|joined| joined.plan.record_limits.covers(topic));
        writers.next().filter(|_| writers.next().is_none()).map(|joined| joined.plan.stage)
    }

    /// Drops all tasks with their uncommitted work, and reports to the supervisors, which know where they belong.
    fn give_up(&mut self, breakdown: Breakdown, context: &mut actix::Context<Self>) {
        self.close_all();
        self.hosted.clear();
        self.end_restores(|_| true);
        let breakdown = Breakdown { stage: self.blame(&breakdown), failure: breakdown.failure };
        if let Some(outbox) = &self.outbox {
            outbox.producer.abort();
            if outbox.producer.is_spent() {
                self.outbox = None;
            }
        }
        if matches!(breakdown.failure, Failure::Kafka(KafkaError::TooLarge { .. })) {
            // The next producer's batches will fit the topics' limits at that time.
            self.joined.values().for_each(|joined| joined.plan.record_limits.outdated());
            self.outbox = None;
        }
        if matches!(breakdown.failure, Failure::Kafka(KafkaError::Replaced(_))) {
            self.rename_if_shared();
        }
        self.drop_unusable_store(&breakdown.failure);
        if self.outbox.is_none() {
            // Not only when tasks are opened: another worker may wait for the transaction that this settles.
            context.run_later(REPLACE_PAUSE, |worker, _| drop(worker.outbox()));
        }
        // A revoke need not wait any longer: nothing of this will be committed.
        self.closing.clear();
        // All stages, since a request to open partitions may have come while this was on its way, and was ignored.
        for stage in self.joined.keys() {
            self.ask_again(*stage, breakdown.seen_by(*stage), None);
        }
    }
}

impl Actor for Worker {
    type Context = actix::Context<Self>;
}

impl Drop for Worker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Without its worker a partition would be read but never committed.
            self.close_all();
            self.end_stages(&Failure::Panic(format!("worker {}", self.index)));
        }
    }
}
