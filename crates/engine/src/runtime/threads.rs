//! The threads of a stage: one for each worker, one for each commit. In a simulation there is only one thread, and
//! what would block another one is done in steps.

use std::sync::mpsc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::commit::Commit;
use super::failure::Breakdown;

/// The outcome of a commit, when it has ended; an error if its thread has died.
pub(super) type CommitEnd = oneshot::Receiver<Result<(), Breakdown>>;

#[cfg(not(test))]
pub(super) use self::real::{WorkerThread, beside, commit, wait_for};
#[cfg(test)]
pub(super) use self::simulated::{WorkerThread, beside, commit, wait_for};

#[cfg(not(test))]
mod real {
    use super::*;

    /// The thread of a worker.
    pub(in crate::runtime) struct WorkerThread(Arbiter);

    impl WorkerThread {
        /// Starts an actor on a thread of its own.
        pub(in crate::runtime) fn start<A: Actor<Context = Context<A>>>(
            make: impl FnOnce() -> A + Send + 'static,
        ) -> (Addr<A>, Self) {
            let arbiter = Arbiter::new();
            let address = A::start_in_arbiter(&arbiter.handle(), move |_| make());
            (address, Self(arbiter))
        }

        /// Stops it. Messages still in the mailbox are dropped.
        pub(in crate::runtime) fn stop(&self) {
            self.0.stop();
        }

        /// Waits until it has ended.
        pub(in crate::runtime) fn join(self) {
            let _ = self.0.join();
        }
    }

    /// Does something that may block.
    pub(in crate::runtime) fn beside(work: impl FnOnce() + Send + 'static) {
        std::thread::spawn(work);
    }

    /// Runs a commit on a thread of its own.
    pub(in crate::runtime) fn commit(commit: Commit) -> CommitEnd {
        let (done, end) = oneshot::channel();
        beside(move || drop(done.send(commit.run())));
        end
    }

    /// Waits until all senders are gone, at most for `patience`. Returns whether they are.
    pub(in crate::runtime) fn wait_for(carried_out: mpsc::Receiver<()>, patience: Duration) -> bool {
        carried_out.recv_timeout(patience) != Err(mpsc::RecvTimeoutError::Timeout)
    }
}

#[cfg(test)]
mod simulated {
    use super::*;
    use crate::sim::host;

    /// A step of a commit takes at most so many milliseconds.
    const STEP_MS: u64 = 8;

    pub(in crate::runtime) struct WorkerThread;

    impl WorkerThread {
        pub(in crate::runtime) fn start<A: Actor<Context = Context<A>>>(
            make: impl FnOnce() -> A + Send + 'static,
        ) -> (Addr<A>, Self) {
            (make().start(), Self)
        }

        pub(in crate::runtime) fn stop(&self) {}

        pub(in crate::runtime) fn join(self) {}
    }

    pub(in crate::runtime) fn beside(work: impl FnOnce() + Send + 'static) {
        work();
    }

    pub(in crate::runtime) fn commit(mut commit: Commit) -> CommitEnd {
        let (done, end) = oneshot::channel();
        let host = host::present();
        tokio::task::spawn_local(async move {
            let outcome = loop {
                tokio::time::sleep(Duration::from_millis(host.draw(STEP_MS))).await;
                match commit.step() {
                    Ok(Some(pause)) => tokio::time::sleep(pause).await,
                    Ok(None) => break Ok(()),
                    Err(failure) => break Err(failure),
                }
            };
            let _ = done.send(outcome);
        });
        end
    }

    /// The simulated poll waits instead.
    pub(in crate::runtime) fn wait_for(carried_out: mpsc::Receiver<()>, _patience: Duration) -> bool {
        host::present().awaits(carried_out);
        true
    }
}
