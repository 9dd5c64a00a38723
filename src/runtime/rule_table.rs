//! The rules' topic: the compacted topic `noaa-rules`, read whole by every process before its first record, and
//! followed for ever after, so that a change works everywhere within a second.
//!
//! It is read anew at each start: a million rules take seconds, and there is no copy on disk that could differ.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::background::Background;
use super::failure::Failure;
use crate::kafka::{ClientSettings, Polled, Reader, StartAt};
use crate::record::Record;
use crate::rules::{Conditions, Item, Key, Place, Quarantine, RuleSet};

/// How long a poll waits: stopping takes as long at most.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// Records taken at once.
const BATCH_RECORDS: usize = 1_000;
/// How long a broken reader rests before it is made again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

const QUARANTINED_METRIC: &str = "frostline_rules_quarantined";
const RULES_METRIC: &str = "frostline_rules";

/// What loading came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct RulesLoaded {
    /// Rules in force.
    pub rules: usize,
    /// Records that are not used.
    pub quarantined: usize,
    /// How long it took.
    pub time: Duration,
}

/// Follows the topic until it is dropped.
pub(super) struct RuleTable {
    _thread: Background,
}

impl RuleTable {
    /// Starts loading into `rules`; the receiver is told when the topic has been read to its end.
    pub(super) fn start(
        settings: ClientSettings,
        topic: String,
        partitions: i32,
        rules: Arc<RuleSet>,
    ) -> (Self, oneshot::Receiver<Result<RulesLoaded, Failure>>) {
        metrics::describe_gauge!(RULES_METRIC, "Rules in force");
        metrics::describe_gauge!(QUARANTINED_METRIC, "Records of the rules' topic that are not used");
        let (loaded, receiver) = oneshot::channel();
        let follow = move |stop| {
            let follower = Follower {
                settings,
                topic,
                next_offsets: vec![0; usize::try_from(partitions).unwrap_or(0)],
                taker: Taker {
                    rules,
                    conditions: Conditions::default(),
                    quarantined: BTreeSet::new(),
                    is_loaded: false,
                },
                stop,
            };
            follower.run(loaded);
        };
        (Self { _thread: Background::start(follow) }, receiver)
    }
}

struct Follower {
    settings: ClientSettings,
    topic: String,
    /// By partition.
    next_offsets: Vec<i64>,
    taker: Taker,
    stop: Arc<AtomicBool>,
}

impl Follower {
    fn run(mut self, loaded: oneshot::Sender<Result<RulesLoaded, Failure>>) {
        let (started, mut loaded) = (Instant::now(), Some(loaded));
        while !self.stop.load(Ordering::Acquire) {
            let outcome = self.follow(&mut |taker| {
                if let Some(loaded) = loaded.take() {
                    let (rules, quarantined) = (taker.rules.len(), taker.quarantined.len());
                    let _ = loaded.send(Ok(RulesLoaded { rules, quarantined, time: started.elapsed() }));
                }
            });
            let Err(failure) = outcome else { return };
            if let Some(loaded) = loaded.take_if(|_| failure.is_fatal()) {
                let _ = loaded.send(Err(failure));
                return;
            }
            tracing::warn!(topic = self.topic, error = %failure, "the rules are read again");
            std::thread::sleep(RETRY_DELAY);
        }
    }

    /// Reads until told to stop. `at_end` is called when all partitions have been read to their end.
    fn follow(&mut self, at_end: &mut dyn FnMut(&Taker)) -> Result<(), Failure> {
        let starts: Vec<(i32, StartAt)> =
            (0..).zip(&self.next_offsets).map(|(partition, next)| (partition, start_at(*next))).collect();
        let mut open: BTreeSet<i32> = starts.iter().map(|(partition, _)| *partition).collect();
        let mut reader = Reader::new(&self.settings, &self.topic, &starts)?;
        let Self { taker, next_offsets, stop, .. } = self;
        while !stop.load(Ordering::Acquire) {
            reader.read(POLL_TIMEOUT, BATCH_RECORDS, &mut |polled| match polled {
                Polled::Record(record) => {
                    let index = usize::try_from(record.partition).unwrap_or(usize::MAX);
                    if let Some(next) = next_offsets.get_mut(index) {
                        *next = record.offset + 1;
                    }
                    taker.take(&record);
                }
                Polled::EndOfPartition { partition, .. } => drop(open.remove(&partition)),
            })?;
            if open.is_empty() && !taker.is_loaded {
                taker.is_loaded = true;
                taker.report();
                at_end(taker);
            }
        }
        Ok(())
    }
}

fn start_at(next_offset: i64) -> StartAt {
    if next_offset == 0 { StartAt::Beginning } else { StartAt::Offset(next_offset) }
}

/// Takes records of the topic into the rules in force.
struct Taker {
    rules: Arc<RuleSet>,
    conditions: Conditions,
    quarantined: BTreeSet<Key>,
    /// Set when the topic has been read to its end: from then on each change is logged.
    is_loaded: bool,
}

impl Taker {
    fn take(&mut self, record: &Record<'_>) {
        let Record { topic, partition, offset, .. } = *record;
        let Some(key) = record.key.and_then(Key::decode) else {
            tracing::warn!(
                topic,
                partition,
                offset,
                "left alone: its key is neither a rule's nor a subscriber's"
            );
            return;
        };
        if self.quarantined.remove(&key) {
            self.rules.quarantine(&key.encode(), None);
        }
        match record.value.map(|value| Item::decode(&key, value)) {
            None => self.remove(&key),
            Some(Ok(Item::Subscriber(subscriber))) => {
                self.rules.put_subscriber(subscriber);
                self.log(|| tracing::info!(%key, partition, offset, "subscriber changed"));
            }
            Some(Ok(Item::Rule(published))) => match published.compile(&mut self.conditions) {
                Ok(rule) => {
                    let version = rule.version;
                    if matches!(rule.place, Place::Unresolved) {
                        tracing::warn!(%key, partition, offset, "no station was found near it: it cannot fire");
                    }
                    self.rules.put(rule);
                    self.log(|| tracing::info!(%key, version, partition, offset, "rule changed"));
                }
                Err(reason) => self.quarantine(key, &Quarantine::Broken(reason), record),
            },
            Some(Err(quarantine)) => self.quarantine(key, &quarantine, record),
        }
        if self.is_loaded {
            self.report();
        }
    }

    fn remove(&mut self, key: &Key) {
        match key {
            Key::Rule(id) => self.rules.remove(id),
            Key::Subscriber(id) => self.rules.remove_subscriber(id),
        }
        self.log(|| tracing::info!(%key, "removed"));
    }

    /// The version before is gone from the topic, so it does not work any more here either: else processes would
    /// differ by when they were started.
    fn quarantine(&mut self, key: Key, quarantine: &Quarantine, record: &Record<'_>) {
        let Record { topic, partition, offset, .. } = *record;
        let reason = quarantine.reason();
        tracing::warn!(%key, topic, partition, offset, reason, "quarantined: it does not work, all others do");
        match &key {
            Key::Rule(id) => self.rules.remove(id),
            Key::Subscriber(id) => self.rules.remove_subscriber(id),
        }
        self.rules.quarantine(&key.encode(), Some(reason));
        self.quarantined.insert(key);
    }

    fn log(&self, log: impl FnOnce()) {
        if self.is_loaded {
            log();
        }
    }

    fn report(&self) {
        metrics::gauge!(RULES_METRIC).set(self.rules.len() as f64);
        metrics::gauge!(QUARANTINED_METRIC).set(self.quarantined.len() as f64);
    }
}
