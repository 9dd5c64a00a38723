//! How faults strike a world, and how they end.

use super::script::Fault;
use super::seat::{Running, Seat, TOMBSTONES_KEPT};
use super::{World, lock, now, stages};
use crate::sim::host::{self, Place};

/// A cut of the network that lasts longer shows in readiness.
const CUT_SHOWS_MS: u64 = 3_500;
/// The end of a fault that was cut short.
const HEALED: i64 = -1;

impl World {
    pub(super) fn kill(&mut self, seat: usize) -> Result<(), String> {
        let (kept, now_ms) = (self.random.u64(..1_001), now().elapsed_ms);
        let seat = &mut self.seats[seat];
        self.stats.crashes += u64::from(seat.running.is_some());
        seat.kill(kept, now_ms, &self.shared.broker)
    }

    pub(super) fn kill_all(&mut self) -> Result<(), String> {
        (0..self.seats.len()).try_for_each(|seat| self.kill(seat))
    }

    fn host(&self, seat: usize) -> Option<&host::Host> {
        self.seats[seat].running.as_ref().map(|running| &*running.host)
    }

    /// Makes a fault happen.
    pub(super) async fn strike(&mut self, fault: Fault) -> Result<(), String> {
        let now_ms = now().elapsed_ms;
        let later = |ms: u64| now_ms + i64::try_from(ms).unwrap_or(0);
        match fault {
            Fault::Kill { seat } => self.kill(seat)?,
            Fault::KillAt { seat, point, count } => {
                self.host(seat).into_iter().for_each(|host| host.die_at(Place::Task(point), count));
            }
            Fault::KillPollerAt { seat, point, count } => {
                self.host(seat).into_iter().for_each(|host| host.die_at(Place::Poller(point), count));
            }
            Fault::Stop { seat } => {
                if let Some(running) = &self.seats[seat].running {
                    running.stages.leave();
                }
            }
            Fault::Cut { seat, ms } => {
                self.seats[seat].cut_until_ms = self.seats[seat].cut_until_ms.max(later(ms));
                self.host(seat).into_iter().for_each(|host| host.cut(true));
                self.ends.push((later(ms), fault));
            }
            Fault::Pause { seat, ms } => self.seats[seat].paused_until_ms = later(ms),
            Fault::Lose { seat, ms } => {
                self.host(seat).into_iter().for_each(|host| host.lose(200));
                self.ends.push((later(ms), fault));
            }
            Fault::Clock { seat, ms } => {
                self.seats[seat].clock_ms = ms;
                self.host(seat).into_iter().for_each(|host| host.shift_clock(ms));
            }
            Fault::Full { seat, ms } => {
                self.seats[seat].disk.fill(true);
                self.ends.push((later(ms), fault));
            }
            Fault::Outage { ms } => {
                self.seats.iter().flat_map(|seat| &seat.running).for_each(|running| running.host.cut(true));
                self.ends.push((later(ms), fault));
            }
            Fault::Compact => self.compact(),
            Fault::Retention => self.delete_what_is_read(),
            Fault::Grow { deaths } => self.grow(deaths).await?,
            disk => self.strike_disk(disk)?,
        }
        Ok(())
    }

    /// A fault of a disk, or of all of them.
    fn strike_disk(&mut self, fault: Fault) -> Result<(), String> {
        match fault {
            Fault::CopyDisk { seat } => self.seats[seat].copy = Some(self.seats[seat].disk.content()),
            Fault::EmptyDisk { seat } => {
                self.kill(seat)?;
                self.seats[seat].disk.put(Default::default());
            }
            Fault::OldDisk { seat } => {
                self.kill(seat)?;
                if let Some(copy) = self.seats[seat].copy.clone() {
                    self.seats[seat].disk.put(copy);
                }
            }
            Fault::SameDisk { seat, from } => {
                self.kill(seat)?;
                let content = self.seats[from].disk.content();
                self.seats[seat].disk.put(content);
                self.seats[seat].is_damaged |= self.seats[from].is_damaged;
            }
            Fault::FlipBit { seat } => {
                self.kill(seat)?;
                self.seats[seat].is_damaged = true;
                self.seats[seat].disk.flip_a_bit(self.random.u64(..));
            }
            Fault::LongAway { seat } => {
                self.kill(seat)?;
                host::leap(2 * i64::try_from(TOMBSTONES_KEPT.as_millis()).unwrap_or(0));
                self.compact();
            }
            _ => {
                self.kill_all()?;
                let mut broker = lock(&self.shared.broker);
                broker.delete_all_topics();
                stages::create_topics(&mut broker);
            }
        }
        Ok(())
    }

    fn compact(&self) {
        let before_ms = now().wall_ms - i64::try_from(TOMBSTONES_KEPT.as_millis()).unwrap_or(0);
        let mut broker = lock(&self.shared.broker);
        [stages::CHANGELOG, stages::POSITIONS, stages::FACTS]
            .iter()
            .for_each(|topic| broker.compact(topic, before_ms));
    }

    fn delete_what_is_read(&self) {
        let mut broker = lock(&self.shared.broker);
        for stage in self.shared.topology.stages() {
            let all: Vec<i32> = (0..broker.partitions(&stage.source.name)).collect();
            let committed = broker.group(&self.shared.topology.group(stage.id)).stable_positions(&all);
            for (partition, position) in committed.into_iter().flatten() {
                let log = broker.log_mut(&stage.source.name, partition);
                log.into_iter().for_each(|log| log.truncate(position.next_offset));
            }
        }
        // Nobody in this world reads these.
        for topic in [stages::OUTPUT, stages::DEAD_LETTERS, stages::POLLED] {
            for partition in 0..broker.partitions(topic) {
                broker.log_mut(topic, partition).into_iter().for_each(|log| log.truncate(i64::MAX));
            }
        }
    }

    /// Ends the faults whose time is over.
    pub(super) fn end_faults(&mut self) -> Result<(), String> {
        let now_ms = now().elapsed_ms;
        let (over, lasting) = std::mem::take(&mut self.ends).into_iter().partition(|(at, _)| *at <= now_ms);
        self.ends = lasting;
        let over: Vec<(i64, Fault)> = over;
        for (at, fault) in over {
            match fault {
                Fault::Cut { seat, ms } => {
                    if at != HEALED {
                        self.check_unready(seat, ms)?;
                    }
                    // Unless it is cut once more.
                    if at == HEALED || self.seats[seat].cut_until_ms <= now_ms {
                        self.seats[seat].cut_until_ms = 0;
                        self.host(seat).into_iter().for_each(|host| host.cut(false));
                    }
                }
                Fault::Lose { seat, .. } => self.host(seat).into_iter().for_each(|host| host.lose(0)),
                Fault::Full { seat, .. } => self.seats[seat].disk.fill(false),
                // What was cut alone stays so.
                _ => self.seats.iter().for_each(|seat| {
                    let is_cut = seat.cut_until_ms > now_ms;
                    seat.running.iter().for_each(|running| running.host.cut(is_cut));
                }),
            }
        }
        Ok(())
    }

    /// A process that has reached no broker for long says that it is not ready.
    fn check_unready(&self, seat: usize, cut_ms: u64) -> Result<(), String> {
        let Seat { running, paused_until_ms, started_at_ms, .. } = &self.seats[seat];
        let Some(Running { host, stages, .. }) = running else { return Ok(()) };
        let since = i64::try_from(CUT_SHOWS_MS).unwrap_or(0);
        let is_new =
            [*paused_until_ms, *started_at_ms].iter().any(|at| *at > 0 && at + since > now().elapsed_ms);
        if cut_ms < CUT_SHOWS_MS || is_new || host.is_connected() || !stages.unready().is_empty() {
            return Ok(());
        }
        Err(format!("process {seat} says that it is ready, and has reached no broker for {cut_ms} ms"))
    }

    /// No more faults, except for a clock that is wrong while other processes can do the work.
    pub(super) fn heal(&mut self) -> Result<(), String> {
        self.ends.iter_mut().for_each(|(at, _)| *at = HEALED);
        self.end_faults()?;
        self.is_fed = false;
        let wrong = self.seats.iter().position(|seat| seat.clock_ms != 0).filter(|_| self.seats.len() > 1);
        for (number, seat) in self.seats.iter_mut().enumerate() {
            seat.paused_until_ms = 0;
            if wrong != Some(number) {
                seat.clock_ms = 0;
            }
            if let Some(Running { host, .. }) = &seat.running {
                host.shift_clock(seat.clock_ms);
                host.forget_faults();
            }
        }
        Ok(())
    }
}
