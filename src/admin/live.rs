//! What has just happened: the newest alerts, dead letters and deliveries, and a stream of them for whoever looks.
//!
//! Topics are followed only while somebody looks. A reader that is slow or gone misses events and is told how many;
//! nobody ever waits for it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::noaa::{Date, RecentDays, StationId};
use crate::record::{Record, unix_ms};
use crate::runtime::{TailSource, TopicTail};
use crate::stages::RETRIED_HEADER;

/// Elements that are kept of each list.
const KEPT: usize = 500;
/// Events that wait for a slow reader.
const EVENTS_MAX: usize = 256;
/// Longest part of a dead letter's value that is shown, in characters.
const VALUE_CHARS_MAX: usize = 2_000;
/// How many lists there are; their tails come first.
const LISTS: usize = 3;
/// How long whoever looks first waits for them.
const READ_PATIENCE: Duration = Duration::from_secs(3);
/// How many records before the end of each partition are read at first.
const ALERTS_TAIL: i64 = 20_000;
const LIST_TAIL: i64 = 200;
/// As many observations fill the map: more than all stations report in thirty days.
const OBSERVATIONS_TAIL: i64 = 400_000;
/// For how long nobody may look before the topics are followed no more, in milliseconds.
const UNSEEN_MS: i64 = 300_000;

/// A list of which people see the newest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Alerts,
    DeadLetters,
    Deliveries,
}

impl List {
    fn event(self) -> &'static str {
        match self {
            Self::Alerts => "alert",
            Self::DeadLetters => "dead_letter",
            Self::Deliveries => "delivery",
        }
    }
}

/// An event of the stream: name and data.
pub(super) type Event = (&'static str, Arc<str>);

/// An alert that stands.
struct Standing {
    rule: String,
    station: StationId,
    /// Set where it stands for that day only.
    day: Option<Date>,
}

/// Elements of a list with their timestamps in milliseconds, newest first.
type Elements = VecDeque<(i64, Arc<str>)>;

/// See the module's description.
pub(super) struct Live {
    lists: [Mutex<Elements>; LISTS],
    /// What stands, by what ties its alerts together: the station, and the day if it stands for that day only.
    standing: Mutex<HashMap<String, Standing>>,
    pub(super) recent: Arc<RecentDays>,
    events: broadcast::Sender<Event>,
    source: TailSource,
    /// Whether the daemon itself fills `recent`.
    has_observations: bool,
    tails: Mutex<Vec<TopicTail>>,
    looked_at_ms: AtomicI64,
}

impl Live {
    pub(super) fn new(source: TailSource, recent: Arc<RecentDays>, has_observations: bool) -> Arc<Self> {
        Arc::new(Self {
            lists: Default::default(),
            standing: Mutex::default(),
            recent,
            events: broadcast::channel(EVENTS_MAX).0,
            source,
            has_observations,
            tails: Mutex::default(),
            looked_at_ms: AtomicI64::new(0),
        })
    }

    /// Somebody looks: from now on the topics are followed.
    pub(super) fn look(self: &Arc<Self>) {
        self.looked_at_ms.store(unix_ms(), Ordering::Relaxed);
        let mut tails = lock(&self.tails);
        if !tails.is_empty() {
            return;
        }
        // They are read again from the beginning of the tail.
        self.lists.iter().for_each(|list| lock(list).clear());
        lock(&self.standing).clear();
        use crate::config::topic;
        let follow = |logical, tail, take: fn(&Self, &Record<'_>)| {
            let live = Arc::clone(self);
            self.source.tail(logical, tail, move |record| take(&live, record))
        };
        tails.push(follow(topic::ALERTS, ALERTS_TAIL, Self::take_alert));
        tails.push(follow(topic::DELIVERIES, LIST_TAIL, Self::take_delivery));
        tails.push(follow(topic::DEAD_LETTERS, LIST_TAIL, Self::take_dead_letter));
        if !self.has_observations {
            tails.push(follow(topic::JSON, OBSERVATIONS_TAIL, Self::take_observation));
        }
    }

    /// [`look`](Self::look), and waits a moment until the lists have what was there before.
    pub(super) async fn look_and_read(self: &Arc<Self>) {
        self.look();
        let since = Instant::now();
        let is_read = || lock(&self.tails).iter().take(LISTS).all(TopicTail::is_current);
        while !is_read() && since.elapsed() < READ_PATIENCE {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends following when nobody has looked for a while; called again and again.
    pub(super) fn rest(&self) {
        let is_seen = self.events.receiver_count() > 0;
        if !is_seen && unix_ms() - self.looked_at_ms.load(Ordering::Relaxed) > UNSEEN_MS {
            self.end();
        }
    }

    /// Ends following.
    pub(super) fn end(&self) {
        let tails = std::mem::take(&mut *lock(&self.tails));
        if !tails.is_empty() {
            // Ending them takes a moment, for which nobody need wait.
            std::thread::spawn(move || drop(tails));
        }
    }

    /// The newest elements, newest first.
    pub(super) fn newest(&self, list: List, limit: usize) -> Vec<Arc<str>> {
        lock(&self.lists[list as usize]).iter().take(limit).map(|(_, element)| Arc::clone(element)).collect()
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Whether anybody reads the stream.
    pub(super) fn is_read(&self) -> bool {
        self.events.receiver_count() > 0
    }

    /// Tells those who read the stream.
    pub(super) fn tell(&self, name: &'static str, data: &Value) {
        // Nobody may be there.
        let _ = self.events.send((name, data.to_string().into()));
    }

    /// The stations where an alert stands.
    pub(super) fn standing(&self) -> BTreeSet<StationId> {
        self.all_standing().into_iter().map(|(_, station)| station).collect()
    }

    /// How many alerts stand, by rule.
    pub(super) fn standing_by_rule(&self) -> HashMap<String, usize> {
        let mut found = HashMap::new();
        self.all_standing().into_iter().for_each(|(rule, _)| *found.entry(rule).or_default() += 1);
        found
    }

    /// Rule and station of what stands: an episode that is not over, or a day that no newer one has followed.
    fn all_standing(&self) -> Vec<(String, StationId)> {
        let newest: HashMap<StationId, Date> =
            self.recent.stations().into_iter().map(|station| (station.id, station.date)).collect();
        let stands = |station: StationId, day: Option<Date>| {
            day.is_none_or(|day| newest.get(&station).is_none_or(|newest| *newest <= day))
        };
        let standing = lock(&self.standing);
        let found = standing.values().filter(|standing| stands(standing.station, standing.day));
        found.map(|standing| (standing.rule.clone(), standing.station)).collect()
    }

    fn add(&self, list: List, timestamp_ms: i64, element: &Value) {
        let element: Arc<str> = element.to_string().into();
        insert(&mut lock(&self.lists[list as usize]), timestamp_ms, Arc::clone(&element));
        let _ = self.events.send((list.event(), element));
    }

    fn take_alert(&self, record: &Record<'_>) {
        let value = record.value.map(serde_json::from_slice::<Value>);
        let Some(Ok(Value::Object(mut alert))) = value else { return };
        // Addresses are for nobody's eyes.
        alert.remove("email");
        let text = |name: &str| alert.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let station = alert.get("station").and_then(|station| station["id"].as_str()).unwrap_or_default();
        if let Some(station) = StationId::parse(station.as_bytes()) {
            let (episode, retracts) = (text("episode"), text("retracts"));
            let thread = [&episode, &retracts].into_iter().find(|thread| !thread.is_empty()).cloned();
            let thread = thread.unwrap_or_else(|| text("alert_id"));
            let mut standing = lock(&self.standing);
            if text("transition") == "fired" {
                let day = if episode.is_empty() { Date::parse_iso(&text("date")) } else { None };
                standing.insert(thread, Standing { rule: text("rule_id"), station, day });
            } else {
                standing.remove(&thread);
            }
        }
        let Record { partition, offset, timestamp_ms, .. } = *record;
        let element =
            json!({ "partition": partition, "offset": offset, "timestamp_ms": timestamp_ms, "alert": alert });
        self.add(List::Alerts, timestamp_ms, &element);
    }

    fn take_delivery(&self, record: &Record<'_>) {
        let value = record.value.map(serde_json::from_slice::<Value>);
        let Some(Ok(Value::Object(mut delivery))) = value else { return };
        delivery.insert("partition".into(), record.partition.into());
        delivery.insert("offset".into(), record.offset.into());
        delivery.insert("timestamp_ms".into(), record.timestamp_ms.into());
        self.add(List::Deliveries, record.timestamp_ms, &delivery.into());
    }

    fn take_dead_letter(&self, record: &Record<'_>) {
        let mut headers: HashMap<String, String> = HashMap::new();
        record.headers.visit(&mut |name, value| {
            let value = String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
            headers.insert(name.to_owned(), value);
        });
        if headers.contains_key(RETRIED_HEADER) {
            return;
        }
        let text = |name: &str| headers.get(name).cloned();
        let number = |name: &str| text(name).and_then(|text| text.parse::<i64>().ok());
        let shown = |bytes: &[u8]| -> String {
            String::from_utf8_lossy(bytes).chars().take(VALUE_CHARS_MAX).collect()
        };
        let element = json!({
            "partition": record.partition,
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
            "stage": text("frostline-stage"),
            "reason": text("frostline-reason").map(|reason| without_addresses(&reason)),
            "source_topic": text("frostline-topic"),
            "source_partition": number("frostline-partition"),
            "source_offset": number("frostline-offset"),
            "key": record.key.map(shown),
            // Addresses are for nobody's eyes.
            "value": without_addresses(&record.value.map(shown).unwrap_or_default()),
        });
        self.add(List::DeadLetters, record.timestamp_ms, &element);
    }

    fn take_observation(&self, record: &Record<'_>) {
        if let Some(document) = record.value {
            self.recent.observe_document(document, unix_ms());
        }
    }
}

/// What was there before is read partition by partition, so the next one may belong behind others.
fn insert(newest_first: &mut Elements, timestamp_ms: i64, element: Arc<str>) {
    let place = newest_first.partition_point(|(other_ms, _)| *other_ms > timestamp_ms);
    newest_first.insert(place, (timestamp_ms, element));
    newest_first.truncate(KEPT);
}

/// Puts dots for what stands before an `@`.
fn without_addresses(text: &str) -> String {
    let is_local = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let mut parts = text.split('@');
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let kept = shown.trim_end_matches(is_local).len();
        if kept < shown.len() {
            shown.truncate(kept);
            shown.push('…');
        }
        shown.push('@');
        shown.push_str(part);
    }
    shown
}

// A poisoned lock only says that somebody panicked; what it guards is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_come_first_whatever_partition_is_read_first() {
        let mut list = VecDeque::new();
        let take = |list: &mut Elements, times: std::ops::Range<i64>| {
            times.for_each(|ms| insert(list, ms, format!("{ms}").into()));
        };
        take(&mut list, 400..1_000);
        take(&mut list, 0..450);
        take(&mut list, 990..992);
        let newest: Vec<&str> = list.iter().take(12).map(|(_, element)| &**element).collect();
        let expected = ["999", "998", "997", "996", "995", "994", "993", "992", "991", "991", "990", "990"];
        assert_eq!(newest, expected);
        assert_eq!((list.len(), list.back().map(|(ms, _)| *ms)), (KEPT, Some(502)));
    }

    #[test]
    fn addresses_are_not_shown() {
        assert_eq!(
            without_addresses(r#"{"email":"anna.b+x@example.org","TMIN":1.5} @ 2@17"#),
            r#"{"email":"…@example.org","TMIN":1.5} @ …@17"#
        );
        assert_eq!(without_addresses("nothing"), "nothing");
    }
}
