//! The rules' topic: the compacted topic `noaa-rules`, read whole by every process before its first record, and
//! followed from then on, so that a change works everywhere within a second.
//!
//! It is read from the beginning at each start: a million rules take seconds, and there is no copy on disk that could
//! differ. Only the newest record of each key counts: until the end has been reached records are only collected, and what
//! a later one replaces or removes is never compiled.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::background::Background;
use super::failure::Failure;
use crate::kafka::{ClientSettings, Polled, Reader, StartAt};
use crate::record::Record;
use crate::rules::{
    Conditions, Item, Key, Place, PublishedRule, QUARANTINED_METRIC, Quarantine, Rule, RuleSet,
};

/// How long a poll waits: stopping takes as long at most.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// Records taken at once.
const BATCH_RECORDS: usize = 1_000;
/// How long a broken reader rests before it is made again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

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
    /// Starts loading into `rules`; the receiver hears when the topic has been read to its end.
    pub(super) fn start(
        settings: ClientSettings,
        topic: String,
        partitions: i32,
        rules: Arc<RuleSet>,
    ) -> (Self, oneshot::Receiver<Result<RulesLoaded, Failure>>) {
        metrics::describe_gauge!(RULES_METRIC, "Rules in force");
        metrics::describe_gauge!(QUARANTINED_METRIC, "Rules and subscribers that are not used");
        let (loaded, receiver) = oneshot::channel();
        let follow = move |stop| {
            let follower = Follower {
                settings,
                topic,
                next_offsets: vec![0; usize::try_from(partitions).unwrap_or(0)],
                taker: Taker::new(rules),
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
                    let (rules, quarantined) = (taker.rules.len(), taker.rules.quarantined_count());
                    let _ = loaded.send(Ok(RulesLoaded { rules, quarantined, time: started.elapsed() }));
                }
            });
            let Err(failure) = outcome else { return };
            if let Some(loaded) = loaded.take_if(|_| failure.is_fatal()) {
                let _ = loaded.send(Err(failure));
                return;
            }
            tracing::warn!(topic = self.topic, error = %failure, "reading the rules failed, trying again");
            std::thread::sleep(RETRY_DELAY);
        }
    }

    /// Reads until it is stopped. `at_end` is called when all partitions have been read to their end.
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
            if open.is_empty() && !taker.is_loaded && taker.load(&|| stop.load(Ordering::Acquire)) {
                at_end(taker);
            }
        }
        Ok(())
    }
}

fn start_at(next_offset: i64) -> StartAt {
    if next_offset == 0 { StartAt::Beginning } else { StartAt::Offset(next_offset) }
}

/// Where a record is, for logs.
#[derive(Clone, Copy, Debug)]
struct Source {
    partition: i32,
    offset: i64,
}

/// Takes records of the topic into the rules in force.
struct Taker {
    rules: Arc<RuleSet>,
    conditions: Conditions,
    /// Until the topic has been read to its end: the newest record of each key. `None` from then on.
    unread: Option<BTreeMap<Key, (Source, Vec<u8>)>>,
    is_loaded: bool,
}

impl Taker {
    fn new(rules: Arc<RuleSet>) -> Self {
        Self { rules, conditions: Conditions::default(), unread: Some(BTreeMap::new()), is_loaded: false }
    }

    fn take(&mut self, record: &Record<'_>) {
        let Record { topic, partition, offset, .. } = *record;
        let Some(key) = record.key.and_then(Key::decode) else {
            tracing::warn!(
                topic,
                partition,
                offset,
                "ignored: its key is neither a rule's nor a subscriber's"
            );
            return;
        };
        let source = Source { partition, offset };
        match (&mut self.unread, record.value) {
            (Some(unread), Some(value)) => drop(unread.insert(key, (source, value.to_vec()))),
            (Some(unread), None) => drop(unread.remove(&key)),
            (None, Some(value)) => self.put(key, value, source),
            (None, None) => self.remove(&key),
        }
        if self.is_loaded {
            self.report();
        }
    }

    /// Uses what was collected, now that the end of the topic has been reached. Returns false if it was stopped.
    fn load(&mut self, is_stopped: &dyn Fn() -> bool) -> bool {
        for (key, (source, value)) in self.unread.take().unwrap_or_default() {
            if is_stopped() {
                return false;
            }
            self.put(key, &value, source);
        }
        self.is_loaded = true;
        self.report();
        true
    }

    fn put(&mut self, key: Key, value: &[u8], source: Source) {
        let Source { partition, offset } = source;
        match Item::decode(&key, value) {
            Ok(Item::Subscriber(subscriber)) => {
                self.rules.put_subscriber(subscriber);
                self.log(|| tracing::info!(%key, partition, offset, "subscriber changed"));
            }
            Ok(Item::Rule(published)) => match self.compile(&published) {
                Ok(rule) => {
                    let version = rule.version;
                    if matches!(rule.place, Place::Unresolved) {
                        tracing::warn!(%key, partition, offset, "no station was found near it: it cannot fire");
                    }
                    self.rules.put(rule);
                    self.log(|| tracing::info!(%key, version, partition, offset, "rule changed"));
                }
                Err(reason) => self.quarantine(&key, &Quarantine::Broken(reason), source),
            },
            Err(quarantine) => self.quarantine(&key, &quarantine, source),
        }
    }

    /// Compiles a rule. A panic is a broken rule, not the end of the thread that follows all of them.
    fn compile(&mut self, published: &PublishedRule) -> Result<Rule, String> {
        let conditions = &mut self.conditions;
        catch_unwind(AssertUnwindSafe(|| published.compile(conditions))).unwrap_or_else(|_| {
            // Whatever it was doing, it may have left half done.
            self.conditions = Conditions::default();
            Err("compiling it panicked".into())
        })
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
    fn quarantine(&mut self, key: &Key, quarantine: &Quarantine, source: Source) {
        let (reason, Source { partition, offset }) = (quarantine.reason(), source);
        tracing::warn!(%key, partition, offset, reason, "quarantined: it does not work, all others do");
        self.rules.quarantine(key, reason);
    }

    fn log(&self, log: impl FnOnce()) {
        if self.is_loaded {
            log();
        }
    }

    fn report(&self) {
        metrics::gauge!(RULES_METRIC).set(self.rules.len() as f64);
        metrics::gauge!(QUARANTINED_METRIC).set(self.rules.quarantined_count() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{HeaderList, NO_HEADERS};
    use crate::rules::Definition;

    fn value(id: &str, version: u32, when: &str) -> (String, Vec<u8>) {
        let station = Some("USW00003192".to_owned());
        let definition = Definition { id: id.into(), station, when: when.into(), ..Definition::default() };
        let item = Item::Rule(Box::new(PublishedRule { version, created_ms: 0, definition, nearest: None }));
        (item.key().encode(), item.encode())
    }

    fn take(taker: &mut Taker, offset: i64, key: &str, value: Option<&[u8]>) {
        let record = Record {
            topic: "noaa-rules",
            partition: 0,
            offset,
            timestamp_ms: 0,
            key: Some(key.as_bytes()),
            value,
            headers: &HeaderList(NO_HEADERS),
        };
        taker.take(&record);
    }

    #[test]
    fn only_the_newest_record_of_a_key_is_compiled() {
        let rules = Arc::new(RuleSet::default());
        let mut taker = Taker::new(Arc::clone(&rules));
        for version in 1..=9 {
            let (key, value) = value("frost", version, &format!("TMIN <= {version}.0"));
            take(&mut taker, i64::from(version), &key, Some(&value));
        }
        let (key, broken) = value("removed", 1, "[1].all(TMIN, true)");
        take(&mut taker, 10, &key, Some(&broken));
        take(&mut taker, 11, &key, None);
        assert!(rules.is_empty() && rules.generation() == 0, "nothing is used before the end of the topic");
        assert!(taker.load(&|| false));
        assert_eq!(rules.get("frost").unwrap().version, 9);
        assert_eq!((rules.len(), rules.generation(), rules.quarantined_count()), (1, 1, 0));
    }

    #[test]
    fn a_broken_rule_is_quarantined_until_it_changes() {
        let rules = Arc::new(RuleSet::default());
        let mut taker = Taker::new(Arc::clone(&rules));
        let (good_key, good) = value("good", 1, "TMIN <= 0.0");
        let (key, bomb) = value("bomb", 1, "[1, 2].all(TMIN, TMIN > 0)");
        take(&mut taker, 0, &key, Some(&bomb));
        take(&mut taker, 1, &good_key, Some(&good));
        assert!(taker.load(&|| false));
        assert!(rules.get("good").is_some() && rules.get("bomb").is_none());
        assert!(rules.quarantined()["rule/bomb"].contains("`all`"), "{:?}", rules.quarantined());
        let (_, mended) = value("bomb", 2, "TMIN > 0.0");
        take(&mut taker, 2, &key, Some(&mended));
        assert!(rules.get("bomb").is_some() && rules.quarantined().is_empty());
        take(&mut taker, 3, &key, Some(&bomb));
        assert!(rules.get("bomb").is_none(), "the version before is gone from the topic");
        take(&mut taker, 4, &key, None);
        assert!(rules.quarantined().is_empty() && rules.len() == 1);
    }

    #[test]
    fn loading_can_be_stopped() {
        let mut taker = Taker::new(Arc::default());
        let (key, value) = value("frost", 1, "TMIN <= 0.0");
        take(&mut taker, 0, &key, Some(&value));
        assert!(!taker.load(&|| true) && taker.rules.is_empty());
    }
}
