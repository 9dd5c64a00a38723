//! Requests to a worker from the supervisor, from its partitions, and about the state of tasks.

use actix::prelude::*;

use super::Worker;
use crate::fault::{Point, reach};
use crate::kafka::KafkaError;
use crate::link::GroupConsumer;
use crate::runtime::failure::{Breakdown, Failure};
use crate::runtime::message::{
    Close, CommitAtInterval, CommitSoon, Inspect, Join, Open, Part, Reopen, TaskFailed, WorkerReady,
};
use crate::runtime::question::Found;

impl Handler<Join> for Worker {
    type Result = ();

    fn handle(&mut self, join: Join, _context: &mut Self::Context) {
        // Before the group is joined, because this can take a second in which partitions would stand still. If it
        // fails, it is retried when the first partitions come.
        if self.outbox.is_none()
            && let Err(failure) = self.outbox()
        {
            tracing::debug!(worker = self.index, error = %failure, "producer not ready yet");
        }
        join.ready.do_send(WorkerReady);
        self.joined.insert(join.plan.stage, join);
    }
}

impl Handler<Part> for Worker {
    type Result = Option<GroupConsumer>;

    fn handle(&mut self, Part(stage): Part, _context: &mut Self::Context) -> Self::Result {
        let partitions: Vec<i32> =
            self.hosted.keys().filter(|(of, _)| *of == stage).map(|(_, partition)| *partition).collect();
        self.forget(stage, &partitions);
        self.joined.remove(&stage).map(|joined| joined.consumer)
    }
}

impl Handler<Open> for Worker {
    type Result = ();

    fn handle(&mut self, Open(stage, assigned): Open, context: &mut Self::Context) {
        if !self.is_leaving(stage) {
            self.open(stage, assigned, context);
        }
    }
}

impl Handler<Reopen> for Worker {
    type Result = ();

    fn handle(&mut self, Reopen(stage, mut partitions): Reopen, context: &mut Self::Context) {
        // Some may have reopened by themselves in the meantime.
        partitions.retain(|partition| !self.hosted.contains_key(&(stage, *partition)));
        if partitions.is_empty() || self.commit.will_fail() || self.is_leaving(stage) {
            return;
        }
        // The producer first: anything an older one left open must be settled before offsets are read.
        if let Err(failure) = self.outbox() {
            return self.close_alone(stage, partitions, failure);
        }
        let Some(Join { plan, consumer, .. }) = self.joined.get(&stage) else { return };
        let mut assigned = consumer.reopen(&partitions);
        if matches!(assigned, Err(KafkaError::Retry(_))) && partitions.len() > 1 {
            // A partition that cannot be read yet must not delay the others.
            assigned = consumer.reopen_each(&partitions);
        }
        match assigned {
            Ok(assigned) => {
                let reason = format!("some partitions of {} cannot be read yet", plan.source);
                let opened: Vec<i32> = assigned.iter().map(|one| one.partition).collect();
                self.open(stage, assigned, context);
                partitions.retain(|partition| !opened.contains(partition));
                if !partitions.is_empty() {
                    self.ask_again(stage, KafkaError::Retry(reason).into(), Some(partitions));
                }
            }
            Err(error) => self.close_alone(stage, partitions, error.into()),
        }
    }
}

impl Handler<Close> for Worker {
    type Result = ();

    fn handle(&mut self, close: Close, context: &mut Self::Context) {
        let hosted = |partition: &i32| self.hosted.get(&(close.stage, *partition));
        for hosted in close.partitions.iter().filter_map(hosted) {
            hosted.task.borrow_mut().stop_taking();
        }
        if close.commit {
            reach(Point::InRevoke);
            self.closing.push(close);
            return self.close_committed(context);
        }
        // Lost. Their outputs share a transaction with the work of all other tasks here; while a commit is under way,
        // the loss waits and is handled with them.
        let has_sent = !self.commit.is_under_way()
            && close.partitions.iter().filter_map(hosted).any(|hosted| hosted.task.borrow().has_changed());
        self.forget(close.stage, &close.partitions);
        if has_sent {
            let what = format!("partitions {:?} of stage {} were lost", close.partitions, close.stage);
            self.fail(Breakdown::of(close.stage, KafkaError::Fenced(what)), context);
        }
    }
}

impl Handler<TaskFailed> for Worker {
    type Result = ();

    fn handle(&mut self, TaskFailed { place, failure }: TaskFailed, context: &mut Self::Context) {
        // A task that was closed in the meantime needs no answer.
        let Some(hosted) = self.hosted.get(&place) else { return };
        // One that cannot read its partition often has nothing in the transaction. If the failure recurs, the whole
        // stage leaves this worker.
        let has_sent = self.commit.includes(&hosted.task) || hosted.task.borrow().has_changed();
        let is_alone = !has_sent && !failure.recurs();
        match is_alone {
            true => self.close_alone(place.0, vec![place.1], failure),
            false => self.fail(Breakdown::of(place.0, failure), context),
        }
    }
}

impl Handler<Inspect> for Worker {
    type Result = Result<Vec<Found>, Failure>;

    fn handle(&mut self, Inspect(question): Inspect, _context: &mut Self::Context) -> Self::Result {
        let of_stage = self.hosted.range((question.stage, i32::MIN)..=(question.stage, i32::MAX));
        let running = of_stage.filter(|(_, hosted)| hosted.actor.is_some());
        // None is borrowed now: a slice of work ends before the next message is handled.
        running.map(|(_, hosted)| hosted.task.borrow().inspect(&question)).collect()
    }
}

impl Handler<CommitAtInterval> for Worker {
    type Result = ();

    fn handle(&mut self, _: CommitAtInterval, context: &mut Self::Context) {
        self.commit_at_interval(context);
    }
}

impl Handler<CommitSoon> for Worker {
    type Result = ();

    fn handle(&mut self, _: CommitSoon, context: &mut Self::Context) {
        self.commit_or_fail(context);
    }
}
