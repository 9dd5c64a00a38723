//! Recent events: the newest alerts, dead letters and deliveries, and a stream of them for clients.
//!
//! Topics are followed only while a client uses them. A client that is slow misses events and receives their number;
//! nothing ever waits for it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use frostline_engine::RETRIED_HEADER;
use frostline_engine::record::{Record, unix_ms};
use frostline_engine::runtime::TopicTail;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast;

use super::addresses::without_addresses;
use super::lists::{Elements, LISTS, List};
use super::standing::StandingAlerts;
use super::while_asked::{WhileAsked, lock};
use crate::app::TailSource;
use crate::config::topic;
use crate::noaa::{RecentDays, StationId};
use crate::outlook::RecentOutlooks;

/// A stream of outlooks is live while its newest outlook is at most this old, in seconds.
const LIVE: i64 = 36 * 3_600;
/// Events that wait for a slow reader.
const EVENTS_MAX: usize = 256;
/// Longest part of a dead letter's value that is shown, in characters.
const VALUE_CHARS_MAX: usize = 2_000;
/// The tails of the lists come first, then that of the outlooks.
const OUTLOOKS: usize = LISTS;
/// How long the first client waits for them.
const READ_PATIENCE: Duration = Duration::from_secs(3);
/// How many records before the end of each partition are read at first.
const ALERTS_TAIL: i64 = 20_000;
const LIST_TAIL: i64 = 200;
/// This many observations fill the map: more than all stations report in thirty days.
const OBSERVATIONS_TAIL: i64 = 400_000;
/// This many outlooks include the newest of each station, and the night of some thousands of stations.
const OUTLOOKS_TAIL: i64 = 20_000;

/// An event of the stream: name and data.
pub(super) type Event = (&'static str, Arc<str>);

/// Recent events; see the module's description.
pub(super) struct Live {
    lists: [Mutex<Elements>; LISTS],
    standing: Mutex<StandingAlerts>,
    pub(super) recent: Arc<RecentDays>,
    pub(super) outlooks: RecentOutlooks,
    events: broadcast::Sender<Event>,
    source: TailSource,
    /// Whether the daemon itself fills `recent`.
    has_observations: bool,
    tails: WhileAsked<Vec<TopicTail>>,
    /// Whether a client was given lists that had not been read completely.
    has_given_parts: AtomicBool,
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
            tails: WhileAsked::default(),
            has_given_parts: AtomicBool::new(false),
        })
    }

    /// A client uses the page: the topics are followed from now on.
    pub(super) fn look(self: &Arc<Self>) {
        self.tails.ask(|| self.follow(), |_| ());
    }

    fn follow(self: &Arc<Self>) -> Vec<TopicTail> {
        // They are read again from the beginning of the tail.
        self.lists.iter().for_each(|list| *lock(list) = Elements::default());
        *lock(&self.standing) = StandingAlerts::default();
        let follow = |source: &TailSource, logical, tail, take: fn(&Self, &Record<'_>, bool)| {
            let live = Arc::clone(self);
            source.tail(logical, tail, move |record, is_new| take(&live, record, is_new))
        };
        let sharing = &self.source.sharing();
        let mut tails = vec![
            follow(sharing, topic::ALERTS, ALERTS_TAIL, Self::take_alert),
            follow(sharing, topic::DELIVERIES, LIST_TAIL, Self::take_delivery),
            follow(sharing, topic::DEAD_LETTERS, LIST_TAIL, Self::take_dead_letter),
            follow(sharing, topic::OUTLOOKS, OUTLOOKS_TAIL, Self::take_outlook),
        ];
        if !self.has_observations {
            // With a client of its own: it has more to read than the others, and would wait for their requests.
            tails.push(follow(&self.source, topic::JSON, OBSERVATIONS_TAIL, Self::take_observation));
        }
        tails
    }

    /// A client uses the lists: waits a moment until their existing elements have been read.
    pub(super) async fn look_and_read(self: &Arc<Self>) {
        self.look_and_wait(0..LISTS).await;
    }

    /// The same for everything that is followed.
    pub(super) async fn look_and_read_all(self: &Arc<Self>) {
        self.look_and_wait(0..usize::MAX).await;
    }

    /// The same for the outlooks.
    pub(super) async fn look_and_read_outlooks(self: &Arc<Self>) {
        self.look_and_wait(OUTLOOKS..OUTLOOKS + 1).await;
    }

    async fn look_and_wait(self: &Arc<Self>, wanted: Range<usize>) {
        let since = Instant::now();
        let are_read = |tails: &Vec<TopicTail>| {
            tails.iter().take(wanted.end).skip(wanted.start).all(TopicTail::is_current)
        };
        while !self.tails.ask(|| self.follow(), are_read) {
            if since.elapsed() > READ_PATIENCE {
                self.has_given_parts.store(true, Ordering::Relaxed);
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Lets the clients of the stream load the lists again if some were given parts of them. What the rest has is not in
    /// the stream, since it is not new. Call it regularly while there are clients.
    pub(super) fn complete(self: &Arc<Self>) {
        let are_read = |tails: &Vec<TopicTail>| tails.iter().all(TopicTail::is_current);
        if self.has_given_parts.load(Ordering::Relaxed) && self.tails.ask(|| self.follow(), are_read) {
            self.has_given_parts.store(false, Ordering::Relaxed);
            self.send("gap", &json!({ "missed": 0 }));
        }
    }

    /// Stops following when no client has used the topics for a while. Call it regularly.
    pub(super) fn rest(&self) {
        if !self.is_read() {
            self.tails.rest();
        }
    }

    /// Stops following.
    pub(super) fn end(&self) {
        self.tails.end();
    }

    /// The newest elements, newest first.
    pub(super) fn newest(&self, list: List, limit: usize) -> Vec<Arc<str>> {
        lock(&self.lists[list as usize]).newest(limit)
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Whether any client reads the stream.
    pub(super) fn is_read(&self) -> bool {
        self.events.receiver_count() > 0
    }

    /// Sends an event to the clients of the stream.
    pub(super) fn send(&self, name: &'static str, data: &Value) {
        // There may be no client.
        let _ = self.events.send((name, data.to_string().into()));
    }

    /// Rule and station of each standing alert.
    pub(super) fn all_standing(&self) -> Vec<(String, StationId)> {
        let newest = self.recent.stations().into_iter().map(|station| (station.id, station.date)).collect();
        let now = self.now();
        lock(&self.standing).all(&newest, now)
    }

    /// The time that decides which nights are over, in seconds since 1970: the time of the newest outlook if history
    /// is replayed, otherwise the present time.
    fn now(&self) -> i64 {
        let now = unix_ms() / 1_000;
        self.outlooks.newest().filter(|newest| now - newest > LIVE).unwrap_or(now)
    }

    /// Adds an element. The stream has only what is new: the others were in the topic before it was followed.
    fn add(&self, list: List, timestamp_ms: i64, element: &Map<String, Value>, is_new: bool) {
        let element = lock(&self.lists[list as usize]).add(timestamp_ms, element);
        if is_new {
            let _ = self.events.send((list.event(), element));
        }
    }

    fn take_alert(&self, record: &Record<'_>, is_new: bool) {
        let value = record.value.map(serde_json::from_slice::<Value>);
        let Some(Ok(Value::Object(mut alert))) = value else { return };
        // Addresses are not shown.
        alert.remove("email");
        lock(&self.standing).note(&alert);
        let Record { partition, offset, timestamp_ms, .. } = *record;
        let element = members([
            ("partition", partition.into()),
            ("offset", offset.into()),
            ("timestamp_ms", timestamp_ms.into()),
            ("alert", alert.into()),
        ]);
        self.add(List::Alerts, timestamp_ms, &element, is_new);
    }

    fn take_delivery(&self, record: &Record<'_>, is_new: bool) {
        let value = record.value.map(serde_json::from_slice::<Value>);
        let Some(Ok(Value::Object(mut delivery))) = value else { return };
        delivery.insert("partition".into(), record.partition.into());
        delivery.insert("offset".into(), record.offset.into());
        delivery.insert("timestamp_ms".into(), record.timestamp_ms.into());
        self.add(List::Deliveries, record.timestamp_ms, &delivery, is_new);
    }

    fn take_dead_letter(&self, record: &Record<'_>, is_new: bool) {
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
            // Addresses are not shown.
            ("value", without_addresses(&record.value.map(shown).unwrap_or_default()).into()),
        ]);
        self.add(List::DeadLetters, record.timestamp_ms, &element, is_new);
    }

    fn take_outlook(&self, record: &Record<'_>, _: bool) {
        if let Some(document) = record.value {
            self.outlooks.take_document(document, unix_ms());
        }
    }

    fn take_observation(&self, record: &Record<'_>, _: bool) {
        if let Some(document) = record.value {
            self.recent.observe_document(document, unix_ms());
        }
    }
}

fn members<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::lists::{ELEMENT_BYTES_MAX, KEPT, LIST_BYTES_MAX};

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
        live.take_alert(&record(large.as_bytes(), 1), true);
        live.take_delivery(&record(large.as_bytes(), 1), true);
        let newest: Value = serde_json::from_str(&live.newest(List::Alerts, 1)[0]).unwrap();
        assert!(newest["cut_bytes"].as_u64().unwrap() > 890_000, "{newest}");
        assert_eq!(newest["alert"]["station"]["name"], "AJO");
        assert!(live.newest(List::Deliveries, 1)[0].len() <= ELEMENT_BYTES_MAX);
        assert_eq!(live.all_standing()[0].0, "r");
        let mut events = live.subscribe();
        live.take_delivery(&record(large.as_bytes(), 2), false);
        assert!(events.try_recv().is_err(), "it was there before");
        live.take_delivery(&record(large.as_bytes(), 3), true);
        assert_eq!(events.try_recv().unwrap().0, "delivery");
        for number in 1..400 {
            live.take_alert(&record(alert(number, 15_000).as_bytes(), number as i64), true);
        }
        let kept = bytes(&live, List::Alerts);
        assert!(kept <= LIST_BYTES_MAX && kept > LIST_BYTES_MAX - ELEMENT_BYTES_MAX, "{kept}");
        assert!(live.newest(List::Alerts, 1)[0].contains("a399"), "the newest is there");
    }

    #[test]
    fn headers_of_dead_letters_are_bounded() {
        let live = lists();
        let reason = vec![b'r'; 900_000];
        let headers = [("frostline-reason".to_owned(), Some(reason))];
        let letter = Record { headers: &frostline_engine::record::HeaderList(&headers), ..record(b"x", 1) };
        live.take_dead_letter(&letter, true);
        assert!(bytes(&live, List::DeadLetters) <= ELEMENT_BYTES_MAX);
    }
}
