//! The supervisor of one stage: owns the consumer, spreads partitions over workers, and has them opened again after
//! failures.
//!
//! # The rebalance protocol on the runtime's side (`kafka::rebalance` has the other)
//!
//! The poll thread delivers the group's decisions as messages, and waits for the answer to a revoke.
//!
//! * **Assigned**: each partition goes to the worker with the fewest. The worker restores it, then runs it.
//! * **Revoked**: its workers commit what these have done, close the partitions and drop their queues. When the last
//!   worker has done so, the poll thread continues and the group may give the partitions away. A worker that dies in between
//!   drops its end of the channel, which counts as an answer: its work was not committed, and the new owner repeats
//!   it.
//! * **Lost**: the same without a commit and without waiting.
//!
//! # Restarts
//!
//! A failed worker has closed all its tasks without a commit. They are opened again from their last commit after a
//! delay that doubles with each failure; those of other stages on the same worker are opened again at once. More than `restarts_max` failures within ten minutes end the stage, and with
//! it the process, because restarting does not fix the cause. A broker that is away does not count: the supervisor
//! waits as long as it takes. Nor does a topic that refuses a record of this size: see `record_limits.rs`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::failure::Failure;
use super::hand::{DELAY_AWAY_MAX, Hand};
use super::message::{
    Close, GroupChanged, Inspect, Join, Leave, Open, Part, PollEnded, Reopen, StageFailed, WorkerFailed,
    WorkerReady,
};
use super::partition_ranges::ranges;
use super::plan::{StagePlan, WorkersPlan};
use super::poll_thread::{self, PollThread};
use super::pool::{Pool, start_worker};
use super::question::Found;
use super::threads;
use crate::kafka::KafkaError;
use crate::link::{Assigned, GroupConsumer, GroupEvent};
use crate::store::StateError;

/// Failures older than this do not count towards `restarts_max`.
const BUDGET_WINDOW: Duration = Duration::from_secs(600);
const DELAY_FIRST: Duration = Duration::from_millis(200);
const DELAY_MAX: Duration = Duration::from_secs(15);
/// Notified when a stage has ended, with the reason.
pub(super) type End = oneshot::Receiver<Result<(), Failure>>;

/// The actor of a stage; see the module's description.
pub(super) struct Supervisor {
    plan: Arc<StagePlan>,
    hands: Vec<Hand>,
    /// How many workers are not ready yet. When all are, the consumer joins the group.
    workers_to_come: usize,
    /// `None` after the stage has ended.
    consumer: Option<GroupConsumer>,
    /// Set by [`Leave`]; read by the poll thread.
    leaving: Arc<AtomicBool>,
    poll_thread: Option<PollThread>,
    failures: VecDeque<Instant>,
    /// Why the stage ends, unless it ends in good order.
    failure: Option<Failure>,
    /// Notified when the stage has ended.
    ended: Option<oneshot::Sender<Result<(), Failure>>>,
}

impl Supervisor {
    /// Starts the stage; its tasks work in `shared`, or in workers of its own if it must not share. The receiver gets a
    /// value when the stage has ended, with the reason.
    ///
    /// # Errors
    /// [`Failure::Kafka`] if a client cannot be created.
    pub(super) fn start_stage(plan: Arc<StagePlan>, shared: &Pool) -> Result<(Addr<Self>, End), Failure> {
        let (ended, end) = oneshot::channel();
        let context = Context::<Self>::new();
        let address = context.address();
        let events = address.clone();
        let patience = plan.process.settings.shutdown_timeout;
        let consumer = GroupConsumer::new(&plan.process.clients, &plan.group, move |event| {
            announce(&events, event, patience);
        })?;
        let hands: Vec<Hand> = if plan.shares_workers() {
            shared.workers().map(|worker| Hand::new(worker.clone(), None)).collect()
        } else {
            let own = Pool::start(WorkersPlan::of(&plan));
            own.into_iter().map(|(worker, thread)| Hand::new(worker, Some(thread))).collect()
        };
        let leaving = Arc::new(AtomicBool::new(false));
        hands.iter().for_each(|hand| hand.worker.do_send(join(&plan, &consumer, &address, &leaving)));
        let poll_thread = poll_thread::start(
            Arc::clone(&plan),
            consumer.clone(),
            (address.clone().recipient(), address.clone().recipient()),
            Arc::clone(&leaving),
        );
        let supervisor = Self {
            workers_to_come: hands.len(),
            consumer: Some(consumer),
            plan,
            hands,
            leaving,
            poll_thread: Some(poll_thread),
            failures: VecDeque::new(),
            failure: None,
            ended: Some(ended),
        };
        context.run(supervisor);
        Ok((address, end))
    }

    fn assign(&mut self, assigned: Vec<Assigned>) {
        self.log_assigned(assigned.iter().map(|assigned| assigned.partition));
        let mut shares: Vec<Vec<Assigned>> = self.hands.iter().map(|_| Vec::new()).collect();
        for one in assigned {
            if let Some(index) = self.give_to_one(one.partition) {
                shares[index].push(one);
            }
        }
        for (hand, share) in self.hands.iter().zip(shares) {
            if !share.is_empty() {
                hand.worker.do_send(Open(self.plan.stage, share));
            }
        }
    }

    /// Takes partitions whose start is not known yet; their worker asks for it again.
    fn assign_unread(&mut self, partitions: &[i32], context: &mut Context<Self>) {
        self.log_assigned(partitions.iter().copied());
        for partition in partitions {
            self.give_to_one(*partition);
        }
        for worker in 0..self.hands.len() {
            self.reopen_later(worker, DELAY_FIRST, context);
        }
    }

    fn log_assigned(&self, partitions: impl Iterator<Item = i32>) {
        tracing::info!(
            stage = self.plan.stage.as_str(),
            partitions = ranges(partitions),
            "partitions assigned"
        );
    }

    /// Gives a partition to the worker with the fewest of this stage.
    fn give_to_one(&mut self, partition: i32) -> Option<usize> {
        let (workers, first) = (self.hands.len(), self.plan.first_worker(self.hands.len()));
        let in_turn = (first..workers).chain(0..first);
        let index = in_turn.min_by_key(|index| self.hands[*index].partitions.len())?;
        self.hands[index].partitions.insert(partition);
        self.plan.process.board.assigned(self.plan.stage, partition, index);
        Some(index)
    }

    /// Replaces a shared worker by one for this stage alone, whose failures do not stop other stages. The failed worker
    /// has given up all its tasks.
    fn work_alone(&mut self, worker: usize, address: &Addr<Self>) {
        let shared = self.hands.get_mut(worker).filter(|hand| hand.own.is_none());
        let Some((hand, consumer)) = shared.zip(self.consumer.as_ref()) else { return };
        let stage = self.plan.stage.as_str();
        tracing::warn!(stage, worker, "this may happen again, so the stage gets a worker of its own");
        let (own, thread) = start_worker(worker, Arc::new(WorkersPlan::of(&self.plan)));
        own.do_send(join(&self.plan, consumer, address, &self.leaving));
        hand.worker.do_send(Part(self.plan.stage));
        (hand.worker, hand.own) = (own, Some(thread));
    }

    fn reopen_later(&self, worker: usize, delay: Duration, context: &mut Context<Self>) {
        context.run_later(delay, move |supervisor, _| {
            // Partitions that were taken away in the meantime are no longer in the set; after the end there is no
            // group handle.
            if let Some(hand) = supervisor.hands.get(worker).filter(|hand| !hand.partitions.is_empty()) {
                let partitions = hand.partitions.iter().copied().collect();
                hand.worker.do_send(Reopen(supervisor.plan.stage, partitions));
            }
        });
    }

    fn release(&mut self, partitions: &[i32], commit: bool, done: Option<&mpsc::Sender<()>>) {
        let word = if commit { "partitions revoked" } else { "partitions lost" };
        let named = ranges(partitions.iter().copied());
        tracing::info!(stage = self.plan.stage.as_str(), partitions = named, "{word}");
        self.plan.process.board.released(self.plan.stage, partitions);
        for hand in &mut self.hands {
            let own: Vec<i32> =
                partitions.iter().copied().filter(|partition| hand.partitions.remove(partition)).collect();
            if !own.is_empty() {
                hand.worker.do_send(Close {
                    stage: self.plan.stage,
                    partitions: own,
                    commit,
                    since: Instant::now(),
                    done: done.cloned(),
                });
            }
        }
    }

    /// Ends the stage: gives up everything, and reports `failure` when that is done.
    fn give_up(&mut self, failure: Failure) {
        tracing::error!(stage = self.plan.stage.as_str(), error = %failure, "stage ends");
        self.failure.get_or_insert(failure);
        self.leaving.store(true, Ordering::Release);
    }

    /// How long to wait before the next start; `None` when the limit of restarts is reached.
    fn next_delay(&mut self) -> Option<Duration> {
        let now = Instant::now();
        while self.failures.front().is_some_and(|at| now.duration_since(*at) > BUDGET_WINDOW) {
            self.failures.pop_front();
        }
        self.failures.push_back(now);
        let failures = u32::try_from(self.failures.len()).unwrap_or(u32::MAX);
        let delay = DELAY_FIRST.saturating_mul(2_u32.saturating_pow(failures - 1));
        (failures <= self.plan.process.settings.restarts_max).then_some(delay.min(DELAY_MAX))
    }
}

/// The message by which a worker begins to work for the stage.
fn join(
    plan: &Arc<StagePlan>,
    consumer: &GroupConsumer,
    supervisor: &Addr<Supervisor>,
    leaving: &Arc<AtomicBool>,
) -> Join {
    Join {
        plan: Arc::clone(plan),
        consumer: consumer.clone(),
        ready: supervisor.clone().recipient(),
        failed: supervisor.clone().recipient(),
        stage_failed: supervisor.clone().recipient(),
        leaving: Arc::clone(leaving),
    }
}

/// Passes a decision of the group to the supervisor; waits until a revoke has been carried out.
fn announce(supervisor: &Addr<Supervisor>, event: GroupEvent, patience: Duration) {
    if !matches!(event, GroupEvent::Revoked(_)) {
        supervisor.do_send(GroupChanged { event, done: None });
        return;
    }
    let (done, carried_out) = mpsc::channel();
    supervisor.do_send(GroupChanged { event, done: Some(done) });
    // All senders dropped means done. The group's own timeout is longer than this wait.
    if !threads::wait_for(carried_out, patience) {
        tracing::warn!("partitions could not be committed in time and are given up as they are");
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;
}

impl Handler<GroupChanged> for Supervisor {
    type Result = ();

    fn handle(&mut self, GroupChanged { event, done }: GroupChanged, context: &mut Self::Context) {
        match event {
            GroupEvent::Assigned(assigned) => self.assign(assigned),
            GroupEvent::AssignedUnread(partitions) => self.assign_unread(&partitions, context),
            GroupEvent::Revoked(partitions) => self.release(&partitions, true, done.as_ref()),
            GroupEvent::Lost(partitions) => self.release(&partitions, false, None),
            GroupEvent::Failed(error) => self.give_up(error.into()),
        }
    }
}

impl Handler<WorkerReady> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: WorkerReady, _context: &mut Self::Context) {
        // A worker that comes later, for the stage alone, finds the group joined.
        let Some(to_come) = self.workers_to_come.checked_sub(1) else { return };
        self.workers_to_come = to_come;
        if to_come > 0 || self.leaving.load(Ordering::Acquire) {
            return;
        }
        if let Some(Err(error)) = self.consumer.as_ref().map(GroupConsumer::subscribe) {
            self.give_up(error.into());
        }
    }
}

impl Handler<WorkerFailed> for Supervisor {
    type Result = ();

    fn handle(&mut self, failed: WorkerFailed, context: &mut Self::Context) {
        let WorkerFailed { worker, failure, partitions } = failed;
        let all = self.hands.get(worker).map(|hand| hand.partitions.iter().copied().collect());
        let partitions: Vec<i32> = partitions.or(all).unwrap_or_default();
        if partitions.is_empty() && !failure.is_fatal() {
            return;
        }
        self.plan.process.board.failed(self.plan.stage, &partitions, &failure.to_string());
        if failure.is_fatal() {
            return self.give_up(failure);
        }
        let delay = match &failure {
            Failure::Kafka(KafkaError::Fenced(_))
            | Failure::State(StateError::Outdated { .. })
            | Failure::Neighbour { .. } => Some(DELAY_FIRST),
            passing if passing.is_passing() => {
                // A record that a topic refuses is written again, and aborted, with each try.
                let most = if passing.recurs() { DELAY_MAX } else { DELAY_AWAY_MAX };
                Some(self.hands.get_mut(worker).map_or(most, |hand| hand.rest(most)))
            }
            _ => self.next_delay(),
        };
        let Some(delay) = delay else { return self.give_up(failure) };
        let stage = self.plan.stage.as_str();
        match &failure {
            // Part of every rebalance under load, and harmless.
            Failure::Kafka(KafkaError::Fenced(reason)) => {
                tracing::info!(stage, worker, reason, "the group has moved on; opening partitions again");
            }
            Failure::Neighbour { .. } => {
                tracing::info!(stage, worker, reason = %failure, "opening partitions again");
                return self.reopen_later(worker, delay, context);
            }
            _ => {
                tracing::warn!(stage, worker, error = %failure, ?delay, "worker failed; opening its partitions again");
            }
        }
        metrics::counter!("frostline_worker_restarts_total", "stage" => stage).increment(1);
        if failure.recurs() {
            self.work_alone(worker, &context.address());
        }
        self.reopen_later(worker, delay, context);
    }
}

impl Handler<StageFailed> for Supervisor {
    type Result = ();

    fn handle(&mut self, StageFailed(failure): StageFailed, _context: &mut Self::Context) {
        self.give_up(failure);
    }
}

impl Handler<Leave> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Leave, _context: &mut Self::Context) {
        self.leaving.store(true, Ordering::Release);
    }
}

impl Handler<Inspect> for Supervisor {
    type Result = ResponseFuture<Result<Vec<Found>, Failure>>;

    fn handle(&mut self, Inspect(question): Inspect, _context: &mut Self::Context) -> Self::Result {
        let asked: Vec<_> =
            self.hands.iter().map(|hand| hand.worker.send(Inspect(question.clone()))).collect();
        Box::pin(async move {
            let mut found = Vec::new();
            for answer in futures_util::future::join_all(asked).await {
                found.extend(answer.map_err(|_| Failure::Panic("a worker that was asked".into()))??);
            }
            Ok(found)
        })
    }
}

impl Handler<PollEnded> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: PollEnded, context: &mut Self::Context) {
        self.plan.process.board.ended(self.plan.stage);
        let stage = self.plan.stage;
        let (poll_thread, consumer) = (self.poll_thread.take(), self.consumer.take());
        let (workers, threads): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.hands).into_iter().map(|hand| (hand.worker, hand.own)).unzip();
        let (result, ended) = (self.failure.take().map_or(Ok(()), Err), self.ended.take());
        let parted: Vec<_> = workers.iter().map(|worker| worker.send(Part(stage))).collect();
        let end = async move {
            let consumers = futures_util::future::join_all(parted).await;
            // The last handle closes the consumer, and a worker may still wait for a broker; the System's thread must
            // not wait for them.
            threads::beside(move || {
                drop((consumer, consumers));
                if let Some(poll_thread) = poll_thread {
                    poll_thread.join();
                }
                for thread in threads.into_iter().flatten() {
                    thread.stop();
                    thread.join();
                }
                let _ = ended.map(|ended| ended.send(result));
            });
        };
        context.spawn(end.into_actor(self).map(|(), _, context| context.stop()));
    }
}
