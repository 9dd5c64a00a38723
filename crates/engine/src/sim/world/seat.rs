//! The place of a process: its disk, and the process itself while it runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::LocalSet;

use super::lock;
use super::stages::{CHANGELOG, Facts, INPUT, Service, folded};
use crate::kafka::TopicIdentity;
use crate::runtime::simulation::Stages;
use crate::runtime::{Failure, Totals};
use crate::sim::broker::{Broker, Log};
use crate::sim::host::{self, Host};
use crate::store::StateDirectory;
use crate::store::simulated::{Content, Disk};
use crate::{EngineSettings, Topology, TopologyError};

/// For how long the changelog keeps tombstones.
pub(super) const TOMBSTONES_KEPT: Duration = Duration::from_secs(24 * 3_600);
/// How long a service manager waits before it starts a process again that has failed.
const RESTART_MS: i64 = 300;
/// A process whose clock the brokers refuse ends with the exit code that asks a service manager not to start it again. If
/// it is a static member, nobody gets its partitions until its session is over.
const GIVEN_UP_MS: i64 = 6_000;
const CHECKPOINT_KEY: &[u8] = &[0, b'c'];

/// Makes the topology of a process, whose table has this content.
pub(super) type MakeTopology = dyn Fn(&Service, &Facts) -> Result<Topology, TopologyError>;

/// What all processes have in common.
pub(super) struct Shared {
    pub(super) broker: Arc<Mutex<Broker>>,
    pub(super) topology: Topology,
    /// Makes it for one process.
    pub(super) topology_of: Box<MakeTopology>,
    /// What the source polls.
    pub(super) service: Service,
    pub(super) settings: EngineSettings,
    pub(super) totals: Arc<Totals>,
}

pub(super) struct Running {
    pub(super) host: Arc<Host>,
    pub(super) tasks: LocalSet,
    pub(super) stages: Stages,
    /// Filled by its table, and read by its stages.
    pub(super) facts: Facts,
}

pub(super) struct Seat {
    pub(super) disk: Disk,
    pub(super) running: Option<Running>,
    pub(super) copy: Option<Content>,
    /// When it is started, in milliseconds since the start of the world.
    pub(super) starts_at_ms: i64,
    /// Until when it gets no turn.
    pub(super) paused_until_ms: i64,
    pub(super) clock_ms: i64,
    /// Until when its network is cut.
    pub(super) cut_until_ms: i64,
    /// When its process was started.
    pub(super) started_at_ms: i64,
    /// Bits of its disk have flipped: what is on it proves nothing.
    pub(super) is_damaged: bool,
    /// Who it is if it is a static member of its groups; empty otherwise.
    pub(super) instance_id: String,
    lives: u64,
}

impl Seat {
    pub(super) fn new(number: usize, is_static: bool) -> Self {
        Self {
            disk: Disk::numbered(number),
            running: None,
            copy: None,
            starts_at_ms: 0,
            paused_until_ms: 0,
            clock_ms: 0,
            cut_until_ms: 0,
            started_at_ms: 0,
            is_damaged: false,
            instance_id: if is_static { format!("seat-{number}") } else { String::new() },
            lives: 0,
        }
    }

    /// Starts its process.
    pub(super) fn start(&mut self, shared: &Shared, seed: u64) -> Result<(), String> {
        self.lives += 1;
        let host = Arc::new(Host::new(Arc::clone(&shared.broker), seed ^ self.lives));
        host.shift_clock(self.clock_ms);
        self.started_at_ms = host::moment().elapsed_ms;
        host.cut(self.cut_until_ms > self.started_at_ms);
        self.disk.mount(&host);
        host::enter(Some(Arc::clone(&host)));
        let tasks = LocalSet::new();
        let entered = tasks.enter();
        let state = StateDirectory::simulated(self.disk.clone());
        let facts = Facts::default();
        let topology = (shared.topology_of)(&shared.service, &facts).map_err(|error| error.to_string())?;
        let look_up = |topic: &str| {
            let broker = lock(&shared.broker);
            let id = broker.topic(topic).map_or(0, |topic| topic.id).to_string();
            let logs = broker.topic(topic).into_iter().flat_map(|topic| &topic.logs);
            let ends = (0..).zip(logs.map(Log::last_stable)).collect();
            (TopicIdentity { id, partitions: broker.partitions(topic) }, ends)
        };
        let settings =
            EngineSettings { group_instance_id: self.instance_id.clone(), ..shared.settings.clone() };
        let totals = (&shared.totals, TOMBSTONES_KEPT);
        let stages = Stages::start(topology, &settings, &state, totals, look_up);
        drop(entered);
        host::enter(None);
        match stages {
            Ok(stages) => self.running = Some(Running { host, tasks, stages, facts }),
            // A table could not open its copy: the disk is full.
            Err(Failure::State(_)) => {
                host.kill();
                self.disk.crash(1_000);
                self.starts_at_ms = self.started_at_ms + RESTART_MS;
            }
            Err(failure) => return Err(format!("a process did not start: {failure}")),
        }
        Ok(())
    }

    /// Kills its process, if it runs; of its newest writes this many of a thousand are still there.
    pub(super) fn kill(
        &mut self,
        kept_per_thousand: u64,
        now_ms: i64,
        broker: &Mutex<Broker>,
    ) -> Result<(), String> {
        let Some(Running { host, tasks, stages, .. }) = self.running.take() else { return Ok(()) };
        host.kill();
        host::enter(Some(host));
        drop((tasks, stages));
        host::enter(None);
        self.disk.crash(kept_per_thousand);
        (self.paused_until_ms, self.starts_at_ms) =
            (0, now_ms + i64::try_from(kept_per_thousand % 100).unwrap_or(0));
        let mut broker = lock(broker);
        // What was answered counts, whether readers see it yet or not.
        broker.write_markers();
        self.check_disk(&broker)
    }

    /// Takes away a process that has died or ended. Returns whether it died.
    pub(super) fn reap(&mut self, random: u64, now_ms: i64, broker: &Mutex<Broker>) -> Result<bool, String> {
        let Some(running) = &mut self.running else { return Ok(false) };
        if !running.host.is_alive() {
            return self.kill(random, now_ms, broker).map(|()| true);
        }
        let (failure, stages) = running.stages.look();
        if failure.is_some() || stages == 0 {
            // The process ends with a failure of a stage.
            let pause = match failure {
                None => 0,
                Some(_) if !self.instance_id.is_empty() && self.clock_ms != 0 => GIVEN_UP_MS,
                Some(_) => RESTART_MS,
            };
            self.disk.flush().map_err(|error| error.to_string())?;
            self.kill(1_000, now_ms, broker)?;
            self.starts_at_ms = now_ms + pause;
        }
        Ok(false)
    }

    /// No store on the disk may have anything that its changelog lacks, and none may lack what its checkpoint claims.
    pub(super) fn check_disk(&self, broker: &Broker) -> Result<(), String> {
        if self.is_damaged {
            return Ok(());
        }
        for (name, tree) in self.disk.trees() {
            let Some((partition, log)) = changelog_of(&name, broker) else { continue };
            let mark = tree.get(&[0, b'i'][..]).map(|mark| String::from_utf8_lossy(mark).into_owned());
            let topic_ids = [INPUT, CHANGELOG]
                .map(|name| broker.topic(name).map_or(0, |topic| topic.id).to_string())
                .join("+");
            if mark.is_none_or(|mark| !mark.contains(&format!("/{topic_ids}/"))) {
                continue;
            }
            let checkpoint = tree
                .get(CHECKPOINT_KEY)
                .and_then(|bytes| bytes.get(8..16)?.try_into().ok())
                .map_or(0, i64::from_be_bytes);
            check_tree(&tree, &folded(broker, partition, checkpoint), (log, checkpoint))
                .map_err(|wrong| format!("store {name}: {wrong}"))?;
        }
        Ok(())
    }
}

/// The changelog of a store.
fn changelog_of<'a>(tree: &str, broker: &'a Broker) -> Option<(i32, &'a Log)> {
    let partition = tree.strip_prefix("count/")?.rsplit('/').next()?.parse().ok()?;
    Some((partition, broker.log(CHANGELOG, partition)?))
}

/// While a restored store is being filled, some entries are newer than its checkpoint, but none is newer than the
/// changelog.
fn check_tree(
    tree: &BTreeMap<Vec<u8>, Vec<u8>>,
    expected: &BTreeMap<Vec<u8>, Vec<u8>>,
    (log, checkpoint): (&Log, i64),
) -> Result<(), String> {
    let entries: BTreeMap<&[u8], &[u8]> = tree
        .iter()
        .filter(|(key, _)| key.first() != Some(&0))
        .map(|(key, value)| (key.as_slice(), &value[..value.len().saturating_sub(4)]))
        .collect();
    let keys = entries.keys().copied().chain(expected.keys().map(Vec::as_slice));
    for key in keys {
        let (found, before) = (entries.get(key).copied(), expected.get(key).map(Vec::as_slice));
        let is_newer = || {
            let changes = log
                .history()
                .filter(|(offset, change)| *offset >= checkpoint && change.key.as_deref() == Some(key));
            changes.into_iter().any(|(_, change)| change.value.as_deref() == found)
        };
        if found != before && !is_newer() {
            let key = String::from_utf8_lossy(key).into_owned();
            return Err(format!("{key} is {found:?}; its changelog says {before:?} up to {checkpoint}"));
        }
    }
    Ok(())
}
