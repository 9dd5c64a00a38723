//! Starts and stops workers: those that the stages of a process share, or those of one stage.

use std::sync::Arc;

use actix::Addr;

use super::plan::WorkersPlan;
use super::threads::WorkerThread;
use super::worker::Worker;

/// Running workers, by number.
pub(super) struct Pool(Vec<(Addr<Worker>, WorkerThread)>);

impl Pool {
    /// Starts as many workers as planned.
    pub(super) fn start(plan: WorkersPlan) -> Self {
        let plan = Arc::new(plan);
        Self((0..plan.count).map(|index| start_worker(index, Arc::clone(&plan))).collect())
    }

    pub(super) fn workers(&self) -> impl Iterator<Item = &Addr<Worker>> {
        self.0.iter().map(|(worker, _)| worker)
    }

    /// Stops them, and waits until their threads have ended. Messages that are still in a mailbox are dropped.
    pub(super) fn stop(self) {
        self.0.iter().for_each(|(_, thread)| thread.stop());
        self.0.into_iter().for_each(|(_, thread)| thread.join());
    }
}

impl IntoIterator for Pool {
    type Item = (Addr<Worker>, WorkerThread);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Starts the worker of one number.
pub(super) fn start_worker(index: usize, plan: Arc<WorkersPlan>) -> (Addr<Worker>, WorkerThread) {
    WorkerThread::start(move || Worker::new(index, plan))
}
