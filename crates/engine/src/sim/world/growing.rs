//! The input gets more partitions, by a tool that dies on the way and is started again.

use std::sync::Arc;

use futures_util::FutureExt;

use super::{World, lock, now, stages};
use crate::growth::{Growth, GrowthError};
use crate::sim::host::{self, Host};

const PARTITIONS_MAX: i32 = 6;
/// Longer than sessions and transactions last.
const REST_MS: i64 = 2_500;
/// The tool dies after at most so many requests.
const REQUESTS_MAX: u32 = 60;
const TRIES: u32 = 40;

impl World {
    /// Gives the input more partitions. The tool dies so many times before it succeeds.
    ///
    /// # Errors
    /// It does not succeed, although no process is in its way.
    pub(super) async fn grow(&mut self, deaths: u32) -> Result<(), String> {
        let to = (self.partitions() + self.random.i32(1..=2)).min(PARTITIONS_MAX);
        if to <= self.partitions() {
            return Ok(());
        }
        self.heal()?;
        self.catch_up().await?;
        self.stop_all().await?;
        let (mut died, mut tries) = (0, 0);
        loop {
            self.rest().await?;
            tries += 1;
            let host = Arc::new(Host::new(Arc::clone(&self.shared.broker), self.random.u64(..)));
            if died < deaths {
                died += 1;
                host.die_after(self.random.u32(..REQUESTS_MAX));
                host.lose(self.random.u32(..100));
            }
            host::enter(Some(Arc::clone(&host)));
            let outcome = self.try_to_grow(to);
            host.kill();
            host::enter(None);
            match outcome {
                Ok(()) => break,
                Err(GrowthError::Refused(reason)) => return Err(format!("refused: {reason}")),
                Err(error) if tries > TRIES => return Err(format!("it does not grow: {error}")),
                Err(_) => {}
            }
        }
        self.is_fed = true;
        let now_ms = now().elapsed_ms;
        self.seats.iter_mut().for_each(|seat| seat.starts_at_ms = now_ms);
        Ok(())
    }

    fn try_to_grow(&self, to: i32) -> Result<(), GrowthError> {
        let mut growth = Growth::begin(&self.shared.settings, &self.shared.topology, stages::INPUT, to)?;
        for step in growth.steps() {
            // No request of the simulation waits.
            growth.perform(&step).now_or_never().transpose()?;
        }
        Ok(())
    }

    /// Lets time pass without any process.
    async fn rest(&mut self) -> Result<(), String> {
        let until_ms = now().elapsed_ms + REST_MS;
        while now().elapsed_ms < until_ms {
            self.seats.iter_mut().for_each(|seat| seat.starts_at_ms = i64::MAX);
            self.step().await?;
        }
        Ok(())
    }

    /// How many partitions the input has.
    pub(super) fn partitions(&self) -> i32 {
        lock(&self.shared.broker).partitions(stages::INPUT)
    }
}
