//! Requests to a worker from the supervisor, from its partitions, and about the state of tasks.

use actix::prelude::*;

use super::Worker;
use crate::fault::{Point, reach};
use crate::kafka::KafkaError;
use crate::runtime::failure::Failure;
use crate::runtime::message::{Close, CommitAtInterval, CommitSoon, Inspect, Open, Reopen, TaskFailed};
use crate::runtime::question::Found;

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
        // Some may have reopened by themselves in the meantime.
        let partitions: Vec<i32> =
            partitions.into_iter().filter(|partition| !self.hosted.contains_key(partition)).collect();
        if partitions.is_empty() || self.commit.will_fail() {
            return;
        }
        // The producer first: anything an older one left open must be settled before offsets are read.
        if let Err(failure) = self.outbox() {
            return self.fail(failure);
        }
        let mut assigned = self.consumer.reopen(&partitions);
        if matches!(assigned, Err(KafkaError::Retry(_))) && partitions.len() > 1 {
            // A partition that cannot be read yet must not delay the others.
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
            // Partitions that work continue; the others are asked for again.
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
        // Lost. Their outputs share a transaction with the work of all other tasks here; while a commit is under way,
        // the loss waits and is handled with them.
        let has_sent = !self.commit.is_under_way()
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
        // A task that was closed in the meantime needs no answer.
        if self.hosted.contains_key(&partition) {
            self.fail(failure);
        }
    }
}

impl Handler<Inspect> for Worker {
    type Result = Result<Vec<Found>, Failure>;

    fn handle(&mut self, Inspect(question): Inspect, _context: &mut Self::Context) -> Self::Result {
        let running = self.hosted.values().filter(|hosted| hosted.actor.is_some());
        // None is borrowed now: a slice of work ends before the next message is handled.
        running.map(|hosted| hosted.task.borrow().inspect(&question)).collect()
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
