//! The supervisor of one stage: owns the consumer, spreads partitions over workers, starts and restarts them.
//!
//! # The rebalance protocol on the runtime's side (`kafka::rebalance` has the other)
//!
//! The poll thread delivers the group's decisions as messages, and waits for the answer to a revoke.
//!
//! * **Assigned**: each partition goes to the worker with the fewest. The worker restores it, then runs it.
//! * **Revoked**: its workers commit everything, close the partitions and drop their queues. When the last worker has
//!   done so, the poll thread continues and the group may give the partitions away. A worker that dies in between
//!   drops its end of the channel, which counts as an answer: its work was not committed, and the new owner repeats
//!   it.
//! * **Lost**: the same without a commit and without waiting.
//!
//! # Restarts
//!
//! A failed worker has closed all its tasks without a commit. They are opened again from their last commit after a
//! delay that doubles with each failure. More than `restarts_max` failures within ten minutes end the stage, and with
//! it the process, because restarting does not fix the cause. A broker that is away does not count: the supervisor
//! waits as long as it takes. Nor does a topic that refuses a record of this size: see `record_limits.rs`.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::failure::Failure;
use super::message::{
    Close, GroupChanged, Inspect, Leave, Open, PollEnded, Reopen, StageFailed, WorkerFailed, WorkerReady,
};
use super::partition_ranges::ranges;
use super::plan::StagePlan;
use super::poll_thread::{self, PollThread};
use super::question::Found;
use super::threads::{self, WorkerThread};
use super::worker::Worker;
use crate::kafka::KafkaError;
use crate::link::{Assigned, GroupConsumer, GroupEvent};
use crate::store::StateError;

/// Failures older than this do not count towards `restarts_max`.
const BUDGET_WINDOW: Duration = Duration::from_secs(600);
const DELAY_FIRST: Duration = Duration::from_millis(200);
const DELAY_MAX: Duration = Duration::from_secs(15);
/// Pause between two tries while Kafka is away: short at first, because most outages are short, such as the move of a
/// coordinator.
const DELAY_AWAY_FIRST: Duration = Duration::from_millis(250);
const DELAY_AWAY_MAX: Duration = Duration::from_secs(2);
/// An outage is over when a worker has not failed for this long.
const AWAY_QUIET: Duration = Duration::from_secs(30);

/// Notified when a stage has ended, with the reason.
pub(super) type End = oneshot::Receiver<Result<(), Failure>>;

struct Hand {
    worker: Addr<Worker>,
    thread: WorkerThread,
    partitions: BTreeSet<i32>,
    /// When Kafka was last away for the worker, and how long it then paused.
    away: Option<(Instant, Duration)>,
}

impl Hand {
    /// How long the worker pauses while Kafka is away or refuses something: longer each time, up to `most`.
    fn rest(&mut self, most: Duration) -> Duration {
        let before = self.away.filter(|(at, _)| at.elapsed() < AWAY_QUIET).map(|(_, delay)| delay);
        let delay = before.map_or(DELAY_AWAY_FIRST, |before| (2 * before).min(most));
        self.away = Some((Instant::now(), delay));
        delay
    }
}

/// The actor of a stage; see the module's description.
pub(super) struct Supervisor {
    plan: Arc<StagePlan>,
    hands: Vec<Hand>,
    /// How many workers are not ready yet, and the member that joins the group when all are ready.
    workers_to_come: usize,
    to_join: Option<GroupConsumer>,
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
    /// Starts the stage. The receiver gets a value when it has ended, with the reason.
    ///
    /// # Errors
    /// [`Failure::Kafka`] if a client cannot be created.
    pub(super) fn start_stage(plan: Arc<StagePlan>) -> Result<(Addr<Self>, End), Failure> {
        let (ended, end) = oneshot::channel();
        let context = Context::<Self>::new();
        let address = context.address();
        let events = address.clone();
        let patience = plan.shutdown_timeout;
        let consumer = GroupConsumer::new(&plan.clients, &plan.group, move |event| {
            announce(&events, event, patience);
        })?;
        let mut hands = Vec::with_capacity(plan.workers);
        for index in 0..plan.workers {
            let (plan, consumer, supervisor) = (Arc::clone(&plan), consumer.clone(), address.clone());
            let (worker, thread) =
                WorkerThread::start(move || Worker::new(index, plan, consumer, &supervisor));
            hands.push(Hand { worker, thread, partitions: BTreeSet::new(), away: None });
        }
        let leaving = Arc::new(AtomicBool::new(false));
        let poll_thread = poll_thread::start(
            Arc::clone(&plan),
            consumer.clone(),
            (address.clone().recipient(), address.clone().recipient()),
            Arc::clone(&leaving),
        );
        let supervisor = Self {
            workers_to_come: plan.workers,
            to_join: Some(consumer),
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
        let partitions = ranges(assigned.iter().map(|assigned| assigned.partition));
        tracing::info!(stage = self.plan.stage.as_str(), partitions, "partitions assigned");
        let mut shares: Vec<Vec<Assigned>> = self.hands.iter().map(|_| Vec::new()).collect();
        for one in assigned {
            let fewest = (0..self.hands.len()).min_by_key(|index| self.hands[*index].partitions.len());
            let Some(index) = fewest else { continue };
            self.hands[index].partitions.insert(one.partition);
            self.plan.board.assigned(self.plan.stage, one.partition, index);
            shares[index].push(one);
        }
        for (hand, share) in self.hands.iter().zip(shares) {
            if !share.is_empty() {
                hand.worker.do_send(Open(share));
            }
        }
    }

    /// Takes partitions whose start is not known yet; their worker asks for it again.
    fn assign_unread(&mut self, partitions: &[i32], context: &mut Context<Self>) {
        for partition in partitions {
            let fewest = self.hands.iter_mut().enumerate().min_by_key(|(_, hand)| hand.partitions.len());
            if let Some((index, hand)) = fewest {
                hand.partitions.insert(*partition);
                self.plan.board.assigned(self.plan.stage, *partition, index);
            }
        }
        for worker in 0..self.hands.len() {
            self.reopen_later(worker, DELAY_FIRST, context);
        }
    }

    fn reopen_later(&self, worker: usize, delay: Duration, context: &mut Context<Self>) {
        context.run_later(delay, move |supervisor, _| {
            // Partitions that were taken away in the meantime are no longer in the set; after the end there is no
            // group handle.
            if let Some(hand) = supervisor.hands.get(worker).filter(|hand| !hand.partitions.is_empty()) {
                hand.worker.do_send(Reopen(hand.partitions.iter().copied().collect()));
            }
        });
    }

    fn release(&mut self, partitions: &[i32], commit: bool, done: Option<&mpsc::Sender<()>>) {
        let word = if commit { "partitions revoked" } else { "partitions lost" };
        let named = ranges(partitions.iter().copied());
        tracing::info!(stage = self.plan.stage.as_str(), partitions = named, "{word}");
        self.plan.board.released(self.plan.stage, partitions);
        for hand in &mut self.hands {
            let own: Vec<i32> =
                partitions.iter().copied().filter(|partition| hand.partitions.remove(partition)).collect();
            if !own.is_empty() {
                hand.worker.do_send(Close {
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
        (failures <= self.plan.restarts_max).then_some(delay.min(DELAY_MAX))
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
        self.workers_to_come = self.workers_to_come.saturating_sub(1);
        if self.workers_to_come > 0 {
            return;
        }
        // The consumer closes when its last handle is dropped, which must not be on this thread: the poll thread
        // keeps one.
        let is_leaving = self.leaving.load(Ordering::Acquire);
        let joined =
            self.to_join.take().filter(|_| !is_leaving).map_or(Ok(()), |consumer| consumer.subscribe());
        if let Err(error) = joined {
            self.give_up(error.into());
        }
    }
}

impl Handler<WorkerFailed> for Supervisor {
    type Result = ();

    fn handle(&mut self, failed: WorkerFailed, context: &mut Self::Context) {
        let WorkerFailed { worker, failure, partitions } = failed;
        let all = self.hands.get(worker).map(|hand| hand.partitions.iter().copied().collect());
        let partitions = partitions.or(all).unwrap_or_default();
        self.plan.board.failed(self.plan.stage, &partitions, &failure.to_string());
        if failure.is_fatal() {
            return self.give_up(failure);
        }
        let delay = match &failure {
            Failure::Kafka(KafkaError::Fenced(_)) | Failure::State(StateError::Outdated { .. }) => {
                Some(DELAY_FIRST)
            }
            passing if passing.is_passing() => {
                // A record that a topic refuses is written again, and aborted, with each try.
                let is_too_large = matches!(passing, Failure::Kafka(KafkaError::TooLarge { .. }));
                let most = if is_too_large { DELAY_MAX } else { DELAY_AWAY_MAX };
                Some(self.hands.get_mut(worker).map_or(most, |hand| hand.rest(most)))
            }
            _ => self.next_delay(),
        };
        let Some(delay) = delay else { return self.give_up(failure) };
        let stage = self.plan.stage.as_str();
        if let Failure::Kafka(KafkaError::Fenced(reason)) = &failure {
            // Part of every rebalance under load, and harmless.
            tracing::info!(stage, worker, reason, "the group has moved on; opening partitions again");
        } else {
            tracing::warn!(stage, worker, error = %failure, ?delay, "worker failed; opening its partitions again");
        }
        metrics::counter!("frostline_worker_restarts_total", "stage" => stage).increment(1);
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
        self.plan.board.ended(self.plan.stage);
        let poll_thread = self.poll_thread.take();
        let hands = std::mem::take(&mut self.hands);
        let result = self.failure.take().map_or(Ok(()), Err);
        let ended = self.ended.take();
        let never_joined = self.to_join.take();
        // A worker may still wait for a broker; the System's thread must not wait for it.
        threads::beside(move || {
            drop(never_joined);
            if let Some(poll_thread) = poll_thread {
                poll_thread.join();
            }
            for hand in hands {
                // Messages still in the mailbox concern partitions that are gone.
                hand.thread.stop();
                drop(hand.worker);
                hand.thread.join();
            }
            let _ = ended.map(|ended| ended.send(result));
        });
        context.stop();
    }
}
