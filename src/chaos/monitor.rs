//! Watches the committed offsets of all groups: none may go back, and after each fault all must move again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use frostline_engine::StageId;
use frostline_engine::kafka::{Admin, GroupOffsets, KafkaError};

use super::installation::all_stages;
use super::lock::lock;
use super::recovery::Recoveries;
use super::{ChaosError, Installation};

const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// One partition of a stage's source.
pub(super) type Place = (StageId, i32);

/// How far a group is in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The next offset to process; 0 while nothing is committed.
    pub(super) committed: i64,
    /// The end of the partition.
    pub(super) end: i64,
}

impl Position {
    /// Records (and transaction markers) not processed yet. The daemon commits ends of partitions too.
    pub(super) fn lag(self) -> i64 {
        (self.end - self.committed).max(0)
    }
}

/// The observations so far.
#[derive(Default)]
pub(super) struct Watched {
    /// How many times all groups were read.
    pub(super) looks: u64,
    /// Positions at the last reading.
    pub(super) positions: BTreeMap<Place, Position>,
    /// Offsets that went back, in words.
    pub(super) back: Vec<String>,
    /// From a fault until every partition has moved on or has nothing to do.
    pub(super) recoveries: Recoveries<Option<BTreeMap<Place, Position>>>,
    /// Set while topics are deleted and created again: readings in between mean nothing.
    is_held: bool,
    /// How often that has happened.
    holds: u32,
}

impl Watched {
    /// The lag of all groups together, in records.
    pub(super) fn lag(&self) -> i64 {
        self.positions.values().map(|position| position.lag()).sum()
    }

    /// Adds a reading, which took from one of these times to the other.
    fn take(&mut self, (begun, now): (Instant, Instant), look: BTreeMap<Place, Position>) {
        for ((stage, partition), position) in &look {
            let before = self.positions.get(&(*stage, *partition)).map_or(0, |before| before.committed);
            if position.committed < before {
                self.back.push(format!("{stage}/{partition}: from {before} to {}", position.committed));
            }
        }
        self.recoveries.close(now, |_, then| {
            let Some(then) = then else { return false };
            look.iter().all(|(place, position)| {
                position.lag() == 0 || then.get(place).is_none_or(|then| position.committed > then.committed)
            })
        });
        // What was committed before a fault is no recovery from it.
        for (_, since, then) in &mut self.recoveries.open {
            if then.is_none() && *since <= begun {
                *then = Some(look.clone());
            }
        }
        self.positions = look;
        self.looks += 1;
    }
}

/// The observations, shared by all threads.
pub(super) type Shared = Arc<Mutex<Watched>>;

/// The watching thread.
pub(super) struct Monitor {
    watched: Shared,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    pub(super) fn start(installation: &Installation) -> Result<Self, ChaosError> {
        let looker = Looker::new(installation)?;
        let watched = Arc::new(Mutex::new(Watched::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (Arc::clone(&watched), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let (holds, begun) = (lock(&shared).holds, Instant::now());
                match looker.look() {
                    Ok(look) => {
                        let mut watched = lock(&shared);
                        // A reading that began before topics were deleted belongs to those.
                        if !watched.is_held && watched.holds == holds {
                            watched.take((begun, Instant::now()), look);
                        }
                    }
                    // The broker is away or busy; the next reading will show.
                    Err(error) => tracing::debug!(%error, "cannot read the offsets of the groups"),
                }
                std::thread::sleep(LOOK_INTERVAL);
            }
        });
        Ok(Self { watched, stop, thread: Some(thread) })
    }

    /// The observations so far.
    pub(super) fn watched(&self) -> MutexGuard<'_, Watched> {
        lock(&self.watched)
    }

    /// The same, for another thread.
    pub(super) fn share(&self) -> Shared {
        Arc::clone(&self.watched)
    }

    /// Topics are about to be deleted.
    pub(super) fn hold(&self) {
        self.watched().is_held = true;
    }

    /// They have been created again: offsets start at those of the new topics.
    pub(super) fn release(&self) {
        let mut watched = self.watched();
        watched.is_held = false;
        watched.holds += 1;
        watched.positions.clear();
        watched.recoveries.open.clear();
    }

    /// A fault happens now.
    pub(super) fn fault(&self, kind: String) {
        self.watched().recoveries.fault(kind, None);
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Looker {
    admin: Admin,
    groups: Vec<(StageId, String, GroupOffsets)>,
}

impl Looker {
    fn new(installation: &Installation) -> Result<Self, KafkaError> {
        let admin = Admin::new(&installation.settings)?;
        let mut groups = Vec::new();
        for stage in all_stages() {
            let group = admin.group(&installation.topology.group(stage))?;
            groups.push((stage, installation.source(stage), group));
        }
        Ok(Self { admin, groups })
    }

    /// Upstream first, ends before offsets: if all lags are 0, everything that was there at the start of the reading
    /// has been processed, including downstream.
    fn look(&self) -> Result<BTreeMap<Place, Position>, KafkaError> {
        let mut look = BTreeMap::new();
        for (stage, source, group) in &self.groups {
            let ends = self.admin.ends(source)?;
            let partitions: Vec<i32> = ends.keys().copied().collect();
            for (partition, end) in ends {
                look.insert((*stage, partition), Position { committed: 0, end });
            }
            for committed in group.committed(source, &partitions)? {
                if let Some(position) = look.get_mut(&(*stage, committed.partition)) {
                    position.committed = committed.next_offset;
                }
            }
        }
        Ok(look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages;

    fn look(positions: &[(i32, i64, i64)]) -> BTreeMap<Place, Position> {
        let place = |partition| (stages::FILTER, partition);
        positions
            .iter()
            .map(|(partition, committed, end)| {
                (place(*partition), Position { committed: *committed, end: *end })
            })
            .collect()
    }

    #[test]
    fn a_fault_is_over_when_every_partition_moves_or_rests() {
        let mut watched = Watched::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let during = |from, to| (at(from), at(to));
        watched.take(during(0, 1), look(&[(0, 5, 9), (1, 5, 9)]));
        watched.recoveries.open.push(("kill".to_owned(), at(2), None));
        watched.take(during(1, 3), look(&[(0, 7, 9), (1, 6, 9)]));
        assert_eq!(watched.recoveries.open.len(), 1, "this reading began before it");
        watched.take(during(3, 4), look(&[(0, 7, 9), (1, 6, 9)]));
        watched.take(during(4, 5), look(&[(0, 8, 9), (1, 6, 9)]));
        assert_eq!(watched.recoveries.open.len(), 1);
        watched.take(during(5, 6), look(&[(0, 9, 9), (1, 6, 9)]));
        assert_eq!(watched.recoveries.open.len(), 1, "the second has not moved");
        watched.take(during(6, 7), look(&[(0, 9, 9), (1, 7, 10)]));
        assert!(watched.recoveries.open.is_empty());
        assert_eq!(watched.lag(), 3);
        watched.take(during(7, 8), look(&[(0, 8, 9), (1, 7, 10)]));
        assert_eq!(watched.back, ["filter/0: from 9 to 8"]);
    }
}
