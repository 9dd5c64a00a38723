//! What has just happened: the newest alerts, dead letters and deliveries, and a stream of them for whoever looks.
//!
//! Topics are followed only while somebody looks. A reader that is slow or gone misses events and is told how many;
//! nobody ever waits for it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use frostline_engine::RETRIED_HEADER;
use frostline_engine::record::{Record, unix_ms};
use frostline_engine::runtime::TopicTail;
use serde_json::{Map, Value};
use tokio::sync::broadcast;

use super::addresses::without_addresses;
use super::shorten::json_within;
use crate::app::TailSource;
use crate::hourly::Night;
use crate::noaa::{Date, RecentDays, StationId};
use crate::outlook::RecentOutlooks;

/// Elements that are kept of each list.
const KEPT: usize = 500;
/// Larger elements are shortened. Alerts of the stages have one or two thousand bytes.
const ELEMENT_BYTES_MAX: usize = 16 << 10;
/// Bytes that are kept of each list, and so the limit of an answer.
const LIST_BYTES_MAX: usize = 4 << 20;
/// Longest id of an alert, episode or rule that is followed until the alert is over.
const NAME_BYTES_MAX: usize = 256;
/// Most standing alerts that are followed; further ones are only in the list.
const STANDING_MAX: usize = 100_000;
/// A stream of outlooks is live while its newest is not older, in seconds.
const LIVE: i64 = 36 * 3_600;
/// Events that wait for a slow reader.
const EVENTS_MAX: usize = 256;
/// Longest part of a dead letter's value that is shown, in characters.
const VALUE_CHARS_MAX: usize = 2_000;
/// How many lists there are; their tails come first,
const LISTS: usize = 3;
/// and that of the outlooks next.
const OUTLOOKS: usize = LISTS;
/// How long whoever looks first waits for them.
const READ_PATIENCE: Duration = Duration::from_secs(3);
/// How many records before the end of each partition are read at first.
const ALERTS_TAIL: i64 = 20_000;
const LIST_TAIL: i64 = 200;
/// As many observations fill the map: more than all stations report in thirty days.
const OBSERVATIONS_TAIL: i64 = 400_000;
/// As many outlooks hold the newest of each station, and the night of some thousands of them.
const OUTLOOKS_TAIL: i64 = 20_000;
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
    /// Set where it stands for a night only: when that ends, in seconds since 1970.
    until: Option<i64>,
}

/// Elements of a list with their timestamps in milliseconds, newest first.
#[derive(Default)]
struct Elements {
    newest_first: VecDeque<(i64, Arc<str>)>,
    bytes: usize,
}

/// See the module's description.
pub(super) struct Live {
    lists: [Mutex<Elements>; LISTS],
    /// What stands, by what ties its alerts together: the station, and the day if it stands for that day only.
    standing: Mutex<HashMap<String, Standing>>,
    pub(super) recent: Arc<RecentDays>,
    pub(super) outlooks: RecentOutlooks,
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
            outlooks: RecentOutlooks::default(),
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
        self.lists.iter().for_each(|list| *lock(list) = Elements::default());
        lock(&self.standing).clear();
        use crate::config::topic;
        let follow = |logical, tail, take: fn(&Self, &Record<'_>)| {
            let live = Arc::clone(self);
            self.source.tail(logical, tail, move |record| take(&live, record))
        };
        tails.push(follow(topic::ALERTS, ALERTS_TAIL, Self::take_alert));
        tails.push(follow(topic::DELIVERIES, LIST_TAIL, Self::take_delivery));
        tails.push(follow(topic::DEAD_LETTERS, LIST_TAIL, Self::take_dead_letter));
        tails.push(follow(topic::OUTLOOKS, OUTLOOKS_TAIL, Self::take_outlook));
        if !self.has_observations {
            tails.push(follow(topic::JSON, OBSERVATIONS_TAIL, Self::take_observation));
        }
    }

    /// [`look`](Self::look), and waits a moment until the lists have what was there before.
    pub(super) async fn look_and_read(self: &Arc<Self>) {
        self.look_and_wait(0..LISTS).await;
    }

    /// The same for the outlooks.
    pub(super) async fn look_and_read_outlooks(self: &Arc<Self>) {
        self.look_and_wait(OUTLOOKS..OUTLOOKS + 1).await;
    }

    async fn look_and_wait(self: &Arc<Self>, wanted: Range<usize>) {
        self.look();
        let since = Instant::now();
        let is_read = || {
            lock(&self.tails).get(wanted.clone()).is_none_or(|tails| tails.iter().all(TopicTail::is_current))
        };
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
        let list = lock(&self.lists[list as usize]);
        list.newest_first.iter().take(limit).map(|(_, element)| Arc::clone(element)).collect()
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Whether anybody reads the stream.
    pub(super) fn is_read(&self) -> bool {
        self.events.receiver_count() > 0
    }

    /// Sends those who read the stream an event.
    pub(super) fn send(&self, name: &'static str, data: &Value) {
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
        let now = self.now();
        let mut standing = lock(&self.standing);
        // A station's newest day only grows.
        standing.retain(|_, standing| {
            stands(standing.station, standing.day) && standing.until.is_none_or(|until| now <= until)
        });
        standing.values().map(|standing| (standing.rule.clone(), standing.station)).collect()
    }

    /// The time by which nights are over, in seconds since 1970: that of the newest outlook where history is replayed, else
    /// now.
    fn now(&self) -> i64 {
        let now = unix_ms() / 1_000;
        self.outlooks.newest().filter(|newest| now - newest > LIVE).unwrap_or(now)
    }

    fn add(&self, list: List, timestamp_ms: i64, element: &Map<String, Value>) {
        let element: Arc<str> = json_within(element, ELEMENT_BYTES_MAX).into();
        lock(&self.lists[list as usize]).insert(timestamp_ms, Arc::clone(&element));
        let _ = self.events.send((list.event(), element));
    }

    fn take_alert(&self, record: &Record<'_>) {
        let value = record.value.map(serde_json::from_slice::<Value>);
        let Some(Ok(Value::Object(mut alert))) = value else { return };
        // Addresses are for nobody's eyes.
        alert.remove("email");
        self.note_standing(&alert);
        let Record { partition, offset, timestamp_ms, .. } = *record;
        let element = members([
            ("partition", partition.into()),
            ("offset", offset.into()),
            ("timestamp_ms", timestamp_ms.into()),
            ("alert", alert.into()),
        ]);
        self.add(List::Alerts, timestamp_ms, &element);
    }

    /// Notes that an alert stands, or that one is over.
    fn note_standing(&self, alert: &Map<String, Value>) {
        let text = |name: &str| alert.get(name).and_then(Value::as_str).unwrap_or_default();
        let station = alert.get("station").and_then(|station| station["id"].as_str()).unwrap_or_default();
        let Some(station) = StationId::parse(station.as_bytes()) else { return };
        let (episode, rule) = (text("episode"), text("rule_id"));
        let names = [episode, text("retracts"), text("alert_id")];
        let thread = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        if thread.len() > NAME_BYTES_MAX || rule.len() > NAME_BYTES_MAX {
            return;
        }
        let mut standing = lock(&self.standing);
        if !matches!(text("transition"), "fired" | "expected" | "confirmed") {
            standing.remove(thread);
        } else if standing.len() < STANDING_MAX {
            let date = Date::parse_iso(text("date"));
            let moment = alert.get("moment");
            let day = date.filter(|_| episode.is_empty() && moment.is_none());
            // No alert says that a night is over whose limit was reached. An episode of hours ends with its own alert.
            let is_of_night =
                moment.is_some_and(|moment| moment.get("night").is_some() || text("clear").is_empty());
            let until = date.filter(|_| is_of_night).map(|date| {
                let offset = moment.and_then(|moment| moment["offset"].as_i64()).unwrap_or_default();
                Night::morning_after(date, offset)
            });
            standing.insert(thread.to_owned(), Standing { rule: rule.to_owned(), station, day, until });
        }
    }

    fn take_delivery(&self, record: &Record<'_>) {
        let value = record.value.map(serde_json::from_slice::<Value>);
        let Some(Ok(Value::Object(mut delivery))) = value else { return };
        delivery.insert("partition".into(), record.partition.into());
        delivery.insert("offset".into(), record.offset.into());
        delivery.insert("timestamp_ms".into(), record.timestamp_ms.into());
        self.add(List::Deliveries, record.timestamp_ms, &delivery);
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
        let element = members([
            ("partition", record.partition.into()),
            ("offset", record.offset.into()),
            ("timestamp_ms", record.timestamp_ms.into()),
            ("stage", text("frostline-stage").into()),
            ("reason", text("frostline-reason").map(|reason| without_addresses(&reason)).into()),
            ("source_topic", text("frostline-topic").into()),
            ("source_partition", number("frostline-partition").into()),
            ("source_offset", number("frostline-offset").into()),
            ("key", record.key.map(shown).into()),
            // Addresses are for nobody's eyes.
            ("value", without_addresses(&record.value.map(shown).unwrap_or_default()).into()),
        ]);
        self.add(List::DeadLetters, record.timestamp_ms, &element);
    }

    fn take_outlook(&self, record: &Record<'_>) {
        if let Some(document) = record.value {
            self.outlooks.take_document(document, unix_ms());
        }
    }

    fn take_observation(&self, record: &Record<'_>) {
        if let Some(document) = record.value {
            self.recent.observe_document(document, unix_ms());
        }
    }
}

impl Elements {
    /// What was there before is read partition by partition, so the next one may belong behind others.
    fn insert(&mut self, timestamp_ms: i64, element: Arc<str>) {
        let place = self.newest_first.partition_point(|(other_ms, _)| *other_ms > timestamp_ms);
        self.bytes += element.len();
        self.newest_first.insert(place, (timestamp_ms, element));
        while self.newest_first.len() > KEPT || self.bytes > LIST_BYTES_MAX {
            let Some((_, oldest)) = self.newest_first.pop_back() else { break };
            self.bytes -= oldest.len();
        }
    }
}

fn members<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
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
        let mut list = Elements::default();
        let take = |list: &mut Elements, times: std::ops::Range<i64>| {
            times.for_each(|ms| list.insert(ms, format!("{ms}").into()));
        };
        take(&mut list, 400..1_000);
        take(&mut list, 0..450);
        take(&mut list, 990..992);
        let list = list.newest_first;
        let newest: Vec<&str> = list.iter().take(12).map(|(_, element)| &**element).collect();
        let expected = ["999", "998", "997", "996", "995", "994", "993", "992", "991", "991", "990", "990"];
        assert_eq!(newest, expected);
        assert_eq!((list.len(), list.back().map(|(ms, _)| *ms)), (KEPT, Some(502)));
    }

    /// Lists of a daemon, whose topics are not followed.
    fn lists() -> Arc<Live> {
        let config = crate::config::Config::default();
        let clients = frostline_engine::kafka::ClientSettings::new(&config.kafka).unwrap();
        Live::new(TailSource::new(clients, config), Arc::default(), true)
    }

    fn record(value: &[u8], offset: i64) -> Record<'_> {
        let headers = &frostline_engine::record::HeaderList(frostline_engine::record::NO_HEADERS);
        Record {
            topic: "t",
            partition: 0,
            offset,
            timestamp_ms: offset,
            key: None,
            value: Some(value),
            headers,
        }
    }

    fn bytes(live: &Live, list: List) -> usize {
        live.newest(list, KEPT).iter().map(|element| element.len()).sum()
    }

    #[test]
    fn large_elements_are_cut_and_lists_are_bounded_in_bytes() {
        let live = lists();
        let alert = |id: usize, filling: usize| {
            let station = r#"{"id":"USC00020080","name":"AJO"}"#;
            let more = vec![format!("\"{}\"", "x".repeat(900)); filling / 900].join(",");
            format!(
                r#"{{"alert_id":"a{id}","rule_id":"r","station":{station},"transition":"fired","episode":"e{id}","more":[{more}]}}"#
            )
        };
        let large = alert(0, 900_000);
        live.take_alert(&record(large.as_bytes(), 1));
        live.take_delivery(&record(large.as_bytes(), 1));
        let newest: Value = serde_json::from_str(&live.newest(List::Alerts, 1)[0]).unwrap();
        assert!(newest["cut_bytes"].as_u64().unwrap() > 890_000, "{newest}");
        assert_eq!(newest["alert"]["station"]["name"], "AJO");
        assert!(live.newest(List::Deliveries, 1)[0].len() <= ELEMENT_BYTES_MAX);
        assert_eq!(live.standing_by_rule()["r"], 1);
        for number in 1..400 {
            live.take_alert(&record(alert(number, 15_000).as_bytes(), number as i64));
        }
        let kept = bytes(&live, List::Alerts);
        assert!(kept <= LIST_BYTES_MAX && kept > LIST_BYTES_MAX - ELEMENT_BYTES_MAX, "{kept}");
        assert!(live.newest(List::Alerts, 1)[0].contains("a399"), "the newest is there");
    }

    #[test]
    fn a_night_stands_until_its_morning() {
        let live = lists();
        let today = unix_ms() / 86_400_000;
        let alert = |id: &str, days_ago: i64, more: &str| {
            let date = Date::from_days_since_1970((today - days_ago) as i32).unwrap();
            format!(
                r#"{{"alert_id":"{id}","rule_id":"{id}","station":{{"id":"USC00020080"}},"transition":"confirmed",
                "episode":"{id}/e","date":"{date}T00:00:00","moment":{{"time":1,"offset":0{more}}}}}"#
            )
        };
        let night = r#","night":{"limit_c":0.0}"#;
        for (id, days_ago, more) in [("tonight", 0, night), ("before", 5, night), ("hour", 5, "")] {
            live.take_alert(&record(alert(id, days_ago, more).as_bytes(), 1));
        }
        let hours = alert("hours", 5, "").replace("\"confirmed\"", "\"fired\",\"clear\":\"T > 2.0\"");
        live.take_alert(&record(hours.as_bytes(), 1));
        let standing = live.standing_by_rule();
        assert_eq!(standing.get("tonight"), Some(&1), "{standing:?}");
        assert!(!standing.contains_key("before") && !standing.contains_key("hour"), "{standing:?}");
        assert_eq!(standing.get("hours"), Some(&1), "an episode of hours ends with its own alert");
        assert_eq!(Night::morning_after(Date::new(2026, 11, 28).unwrap(), -25_200), 1_795_968_000);
    }

    #[test]
    fn headers_of_dead_letters_and_names_of_alerts_are_bounded() {
        let live = lists();
        let reason = vec![b'r'; 900_000];
        let headers = [("frostline-reason".to_owned(), Some(reason))];
        let letter = Record { headers: &frostline_engine::record::HeaderList(&headers), ..record(b"x", 1) };
        live.take_dead_letter(&letter);
        assert!(bytes(&live, List::DeadLetters) <= ELEMENT_BYTES_MAX);
        let name = "n".repeat(NAME_BYTES_MAX + 1);
        let alert =
            format!(r#"{{"alert_id":"{name}","station":{{"id":"USC00020080"}},"transition":"fired"}}"#);
        live.take_alert(&record(alert.as_bytes(), 1));
        assert!(live.standing().is_empty() && bytes(&live, List::Alerts) > 0);
    }
}
