//! Compares reported readiness with reality: each process is queried over HTTP, and compared with its group's members
//! and offsets.
//!
//! Only the first stages are compared: no transaction holds back their input, so a process that has records and
//! commits nothing does not work.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use frostline_engine::StageId;
use frostline_engine::kafka::Admin;

use super::http::{self, ANSWER_PATIENCE};
use super::lock::lock;
use super::monitor::{Monitor, Place, Position, Shared};
use super::{ChaosError, Installation};
use crate::stages;

const ASK_INTERVAL: Duration = Duration::from_millis(200);
/// How often the members of groups are read.
const OWNERS_INTERVAL: Duration = Duration::from_secs(1);
/// How long a process may report that it is ready and commit nothing while there is work.
const IDLE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a process may report that it is ready while no broker can be reached.
const AWAY_PATIENCE: Duration = Duration::from_secs(5);

/// A process's partitions of a stage. Processes are numbered from 1.
type Owned = (usize, StageId, Vec<i32>);

/// The thread that queries.
pub(super) struct Readiness {
    watchlist: Arc<Watchlist>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Watchlist {
    /// In the order of the processes.
    ports: Mutex<Vec<u16>>,
    is_broker_restarting: AtomicBool,
    /// Wrong answers, in words.
    found: Mutex<Vec<String>>,
    stop: AtomicBool,
}

/// While this exists, brokers may be away.
pub(super) struct BrokerRestarts(Arc<Watchlist>);

impl Drop for BrokerRestarts {
    fn drop(&mut self) {
        self.0.is_broker_restarting.store(false, Ordering::Relaxed);
    }
}

impl Readiness {
    pub(super) fn start(installation: &Installation, monitor: &Monitor) -> Result<Self, ChaosError> {
        let admin = Admin::new(&installation.settings)?;
        let groups = [stages::ASSEMBLE, stages::ENRICH]
            .map(|stage| (stage, installation.topology.group(stage), installation.source(stage)));
        let brokers = installation.config.kafka.brokers.clone();
        let (positions, watchlist) = (monitor.share(), Arc::new(Watchlist::default()));
        let asker =
            Asker { admin, groups: groups.to_vec(), brokers, positions, looks: 0, judge: Judge::default() };
        let shared = Arc::clone(&watchlist);
        let thread = Some(std::thread::spawn(move || asker.run(&shared)));
        Ok(Self { watchlist, thread })
    }

    /// A free port for one more process, which is queried there from now on.
    pub(super) fn watch(&self) -> Result<u16, ChaosError> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let port = free.map_err(ChaosError::files("looking for a free port"))?.port();
        lock(&self.watchlist.ports).push(port);
        Ok(port)
    }

    /// Until the result is dropped, brokers may be away.
    pub(super) fn broker_restarts(&self) -> BrokerRestarts {
        self.watchlist.is_broker_restarting.store(true, Ordering::Relaxed);
        BrokerRestarts(Arc::clone(&self.watchlist))
    }

    /// Stops it. Returns the wrong answers, in words.
    pub(super) fn finish(&mut self) -> Vec<String> {
        self.watchlist.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        std::mem::take(&mut *lock(&self.watchlist.found))
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        self.finish();
    }
}

struct Asker {
    admin: Admin,
    /// Stage, group and source.
    groups: Vec<(StageId, String, String)>,
    brokers: String,
    positions: Shared,
    /// Readings of the monitor that have been handled.
    looks: u64,
    judge: Judge,
}

impl Asker {
    fn run(mut self, watchlist: &Watchlist) {
        let mut owners_at = Instant::now();
        while !watchlist.stop.load(Ordering::Relaxed) {
            let ports = lock(&watchlist.ports).clone();
            for (number, port) in (1..).zip(&ports) {
                self.judge.answered(Instant::now(), number, says_ready(*port));
            }
            let is_away = watchlist.is_broker_restarting.load(Ordering::Relaxed) && are_away(&self.brokers);
            let mut found = self.judge.brokers(Instant::now(), is_away);
            if !is_away && owners_at.elapsed() > OWNERS_INTERVAL {
                owners_at = Instant::now();
                found.extend(self.compare(&ports));
            }
            lock(&watchlist.found).extend(found);
            std::thread::sleep(ASK_INTERVAL);
        }
    }

    /// Compares with a new reading of the monitor.
    fn compare(&mut self, ports: &[u16]) -> Vec<String> {
        let (looks, positions) = {
            let watched = lock(&self.positions);
            (watched.looks, watched.positions.clone())
        };
        if std::mem::replace(&mut self.looks, looks) == looks {
            return Vec::new();
        }
        let mut owned = Vec::new();
        for (stage, group, source) in &self.groups {
            match self.admin.members(group, source) {
                Ok(members) => owned.extend(members.into_iter().filter_map(|(member, partitions)| {
                    let port: u16 = member.address.as_deref()?.rsplit_once(':')?.1.parse().ok()?;
                    let index = ports.iter().position(|known| *known == port)?;
                    Some((index + 1, *stage, partitions))
                })),
                Err(error) => tracing::debug!(%error, "cannot read the members of a group"),
            }
        }
        self.judge.looked(Instant::now(), &owned, &positions)
    }
}

fn says_ready(port: u16) -> bool {
    http::get(port, "/health/ready").is_some_and(|(status, _)| status == 200)
}

/// Whether no broker accepts a connection.
fn are_away(brokers: &str) -> bool {
    !addresses(brokers).any(|address| TcpStream::connect_timeout(&address, ANSWER_PATIENCE).is_ok())
}

/// Whether some broker accepts no connection.
pub(super) fn is_one_away(brokers: &str) -> bool {
    !addresses(brokers).all(|address| TcpStream::connect_timeout(&address, ANSWER_PATIENCE).is_ok())
}

fn addresses(brokers: &str) -> impl Iterator<Item = SocketAddr> {
    brokers.split(',').filter_map(|broker| broker.trim().to_socket_addrs().ok()).flatten()
}

/// The findings about all processes, by number.
#[derive(Default)]
struct Judge {
    /// Since when it has continuously reported that it is ready.
    ready_since: HashMap<usize, Instant>,
    /// Since when a process has had work in a stage and committed none of it, and its offsets then.
    idle_since: HashMap<(usize, StageId), (Instant, BTreeMap<i32, i64>)>,
    away_since: Option<Instant>,
}

impl Judge {
    fn answered(&mut self, now: Instant, number: usize, is_ready: bool) {
        if is_ready {
            self.ready_since.entry(number).or_insert(now);
        } else {
            self.ready_since.remove(&number);
        }
    }

    fn looked(
        &mut self,
        now: Instant,
        owned: &[Owned],
        positions: &BTreeMap<Place, Position>,
    ) -> Vec<String> {
        let mut found = Vec::new();
        let mut before = std::mem::take(&mut self.idle_since);
        for (number, stage, partitions) in owned {
            let own = partitions
                .iter()
                .filter_map(|partition| Some((*partition, positions.get(&(*stage, *partition))?)));
            let own: BTreeMap<i32, &Position> = own.collect();
            let committed: BTreeMap<i32, i64> =
                own.iter().map(|(partition, at)| (*partition, at.committed)).collect();
            let has_work = own.values().any(|position| position.lag() > 0);
            let known = before.remove(&(*number, *stage));
            let mut since =
                known.filter(|(_, then)| has_work && *then == committed).map_or(now, |(since, _)| since);
            let ready_since = self.ready_since.get(number).copied().unwrap_or(now);
            let time = now.saturating_duration_since(since.max(ready_since));
            if time > IDLE_PATIENCE {
                let seconds = time.as_secs();
                found.push(format!(
                    "process {number} has reported ready for {seconds} s while {stage} committed nothing in {partitions:?}"
                ));
                since = now;
            }
            self.idle_since.insert((*number, *stage), (since, committed));
        }
        found
    }

    fn brokers(&mut self, now: Instant, are_away: bool) -> Vec<String> {
        if !are_away {
            self.away_since = None;
            return Vec::new();
        }
        let away_since = *self.away_since.get_or_insert(now);
        let mut found = Vec::new();
        for (number, ready_since) in &mut self.ready_since {
            let time = now.saturating_duration_since(away_since.max(*ready_since));
            if time > AWAY_PATIENCE {
                *ready_since = now;
                found.push(format!(
                    "process {number} reports ready, although no broker has answered for {} s",
                    time.as_secs()
                ));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGE: StageId = stages::ENRICH;

    fn look(committed: [i64; 2], end: i64) -> BTreeMap<Place, Position> {
        let place = |(partition, committed)| ((STAGE, partition), Position { committed, end });
        (0..).zip(committed).map(place).collect()
    }

    #[test]
    fn who_is_ready_and_does_nothing_is_found_once_for_each_time() {
        let mut judge = Judge::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let owned = [(1, STAGE, vec![0, 1])];
        let mut looked = |seconds, committed, end, is_ready| {
            judge.answered(at(seconds), 1, is_ready);
            judge.looked(at(seconds), &owned, &look(committed, end)).len()
        };
        assert_eq!(looked(0, [5, 5], 9, true), 0);
        assert_eq!(looked(9, [5, 6], 9, true), 0, "one partition has moved");
        assert_eq!(looked(18, [5, 6], 9, true), 0);
        assert_eq!(looked(20, [5, 6], 9, true), 1);
        assert_eq!(looked(29, [5, 6], 9, true), 0, "counted from the last time");
        assert_eq!(looked(30, [5, 6], 9, false), 0, "it says so");
        assert_eq!(looked(39, [5, 6], 9, true), 0);
        assert_eq!(looked(48, [9, 9], 9, true), 0);
        assert_eq!(looked(90, [9, 9], 9, true), 0, "nothing to do");
    }

    #[test]
    fn who_is_ready_without_a_broker_is_found() {
        let mut judge = Judge::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        judge.answered(start, 1, true);
        assert!(judge.brokers(at(20), true).is_empty(), "it has only just gone");
        assert_eq!(judge.brokers(at(26), true).len(), 1);
        judge.answered(at(27), 1, false);
        assert!(judge.brokers(at(40), true).is_empty());
        judge.answered(at(41), 1, true);
        assert!(judge.brokers(at(42), false).is_empty(), "it is back");
    }
}
