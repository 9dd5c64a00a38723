//! A disk for the trees of a store, with the faults of real ones.
//!
//! Writes go to the system in order, twice a second, as sled does it: a crash loses the newest of them. A disk can be
//! copied and given back, can be lost, can flip bits and can be full.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sled::IVec;

use crate::sim::host::{self, Host};

/// After this time a write survives the death of its process.
const FLUSH_MS: i64 = 500;

type Entries = BTreeMap<IVec, IVec>;
type Trees = BTreeMap<String, Entries>;

enum Op {
    Write(String, Vec<(IVec, Option<IVec>)>),
    Drop(String),
}

/// What is on a disk, to be copied or given back.
#[derive(Clone, Default)]
pub(crate) struct Content {
    instance: Option<String>,
    trees: Trees,
}

#[derive(Default)]
struct State {
    content: Content,
    /// What the system has for sure.
    durable: Trees,
    /// What it may not have yet, with the time of the write.
    log: Vec<(i64, Op)>,
    is_full: bool,
    /// Who writes to it now.
    owner: Option<Arc<Host>>,
    /// Which disk it is, and how many names it has had.
    number: usize,
    names: u32,
}

/// A disk; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

/// A tree on a disk.
pub(crate) struct Tree {
    disk: Disk,
    name: String,
    owner: Option<Arc<Host>>,
}

fn apply(trees: &mut Trees, op: &Op) {
    match op {
        Op::Drop(name) => drop(trees.remove(name)),
        Op::Write(name, writes) => {
            let tree = trees.entry(name.clone()).or_default();
            for (key, value) in writes {
                match value {
                    Some(value) => drop(tree.insert(key.clone(), value.clone())),
                    None => drop(tree.remove(key)),
                }
            }
        }
    }
}

impl Disk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty disk.
    pub(crate) fn numbered(number: usize) -> Self {
        Self(Arc::new(Mutex::new(State { number, ..State::default() })))
    }

    /// A process takes it; an earlier one can write no more.
    pub(crate) fn mount(&self, owner: &Arc<Host>) {
        self.lock().owner = Some(Arc::clone(owner));
    }

    /// Whether the process may write: it lives, and the disk is its own.
    fn may_write(&self, owner: Option<&Arc<Host>>) -> bool {
        let state = self.lock();
        let is_owner = match (owner, &state.owner) {
            (Some(owner), Some(present)) => Arc::ptr_eq(owner, present),
            _ => false,
        };
        is_owner && owner.is_some_and(|owner| owner.is_alive())
    }

    fn write(&self, owner: Option<&Arc<Host>>, op: Op) -> Result<(), sled::Error> {
        if !self.may_write(owner) {
            return Ok(());
        }
        let mut state = self.lock();
        if state.is_full {
            return Err(sled::Error::Io(std::io::Error::other("no space left on device")));
        }
        let now_ms = host::moment().elapsed_ms;
        let State { durable, log, content, .. } = &mut *state;
        let is_old = |(at, _): &(i64, Op)| *at + FLUSH_MS <= now_ms;
        let old = log.iter().take_while(|entry| is_old(entry)).count();
        log.drain(..old).for_each(|(_, op)| apply(durable, &op));
        apply(&mut content.trees, &op);
        log.push((now_ms, op));
        Ok(())
    }

    /// Its process died: of the newest writes this many of a thousand are still there.
    pub(crate) fn crash(&self, kept_per_thousand: u64) {
        let mut state = self.lock();
        let State { content, durable, log, owner, .. } = &mut *state;
        let kept = log.len() * usize::try_from(kept_per_thousand).unwrap_or(0) / 1_000;
        log.drain(..).take(kept).for_each(|(_, op)| apply(durable, &op));
        content.trees = durable.clone();
        *owner = None;
    }

    /// What is on it now.
    pub(crate) fn content(&self) -> Content {
        self.lock().content.clone()
    }

    /// Puts this on it, instead of what is there.
    pub(crate) fn put(&self, content: Content) {
        let mut state = self.lock();
        state.durable = content.trees.clone();
        state.log.clear();
        state.content = content;
    }

    /// Whether it is full.
    pub(crate) fn fill(&self, is_full: bool) {
        self.lock().is_full = is_full;
    }

    /// Flips a bit somewhere. Call it while no process uses the disk.
    pub(crate) fn flip_a_bit(&self, random: u64) {
        let mut state = self.lock();
        let values: usize = state.content.trees.values().map(BTreeMap::len).sum();
        let Some(at) = usize::try_from(random).unwrap_or(0).checked_rem(values) else { return };
        let value = state.content.trees.values_mut().flat_map(BTreeMap::values_mut).nth(at);
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let mut bytes = value.to_vec();
            let bit = usize::try_from(random >> 20).unwrap_or(0) % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            *value = bytes.into();
        }
        state.durable = state.content.trees.clone();
    }

    /// The trees with their entries, as they are written.
    pub(crate) fn trees(&self) -> BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>> {
        let content = self.content();
        let entries = |entries: Entries| {
            entries.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
        };
        content.trees.into_iter().map(|(name, tree)| (name, entries(tree))).collect()
    }

    pub(crate) fn names(&self) -> HashSet<Vec<u8>> {
        self.lock().content.trees.keys().map(|name| name.as_bytes().to_vec()).collect()
    }

    pub(crate) fn open(&self, name: &str) -> Tree {
        let owner = self.lock().owner.clone();
        Tree { disk: self.clone(), name: name.to_owned(), owner }
    }

    pub(crate) fn drop_tree(&self, name: &str) -> Result<bool, sled::Error> {
        let owner = self.lock().owner.clone();
        self.write(owner.as_ref(), Op::Drop(name.to_owned())).map(|()| true)
    }

    pub(crate) fn flush(&self) -> Result<bool, sled::Error> {
        let mut state = self.lock();
        let State { durable, log, .. } = &mut *state;
        log.drain(..).for_each(|(_, op)| apply(durable, &op));
        Ok(true)
    }

    /// The name of the directory on it.
    pub(crate) fn instance(&self) -> String {
        let known = self.lock().content.instance.clone();
        known.unwrap_or_else(|| self.rename())
    }

    /// Gives the directory another name.
    pub(crate) fn rename(&self) -> String {
        let mut state = self.lock();
        state.names += 1;
        let name = format!("disk-{}-{}", state.number, state.names);
        state.content.instance = Some(name.clone());
        name
    }
}

impl Tree {
    pub(crate) fn is_empty(&self) -> bool {
        self.disk.lock().content.trees.get(&self.name).is_none_or(BTreeMap::is_empty)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the interface of sled")]
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<IVec>, sled::Error> {
        let state = self.disk.lock();
        Ok(state.content.trees.get(&self.name).and_then(|tree| tree.get(key)).cloned())
    }

    pub(crate) fn apply(&self, writes: Vec<(IVec, Option<IVec>)>) -> Result<(), sled::Error> {
        self.disk.write(self.owner.as_ref(), Op::Write(self.name.clone(), writes))
    }

    pub(crate) fn entries(
        &self,
        start: &[u8],
    ) -> impl Iterator<Item = Result<(IVec, IVec), sled::Error>> + use<> {
        let state = self.disk.lock();
        let tree = state.content.trees.get(&self.name);
        let entries = tree.map(|tree| tree.range::<IVec, _>(IVec::from(start)..));
        let entries = entries.into_iter().flatten().map(|(key, value)| Ok((key.clone(), value.clone())));
        entries.collect::<Vec<_>>().into_iter()
    }
}
