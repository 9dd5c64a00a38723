//! Measures the time from producing an observation to seeing its alert, as a `read_committed` reader of the alerts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use frostline_engine::kafka::{ClientSettings, Outgoing, Polled, Producer, Reader, StartAt};
use hdrhistogram::Histogram;
use serde::Serialize;

use super::BenchError;
use super::daemons::Daemon;
use super::grid::{Cell, Installation, Options};
use crate::config::topic;
use crate::noaa::Date;

/// Stations that alternate, each with a rule that always fires.
const STATIONS: u32 = 1_000;
/// Not counted: joining the group, and the first transactions.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long the first alert, and the last ones, may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the reader waits for alerts before the next observation is due. It must wait without spinning: a busy
/// core would increase the latency.
const READING: Duration = Duration::from_millis(1);
const LATENCY_MICROSECONDS_MAX: u64 = 60_000_000;

/// How long alerts took, in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    /// The cell that was run.
    #[serde(flatten)]
    pub cell: Cell,
    /// Records fed in a second.
    pub rate: u32,
    /// How many alerts were timed.
    pub alerts: u64,
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// 99.9th percentile.
    pub p999_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

/// Feeds observations at a steady rate, each of which fires a rule, and times their alerts.
pub(super) fn measure(
    installation: &Installation,
    options: &Options,
    stop: &AtomicBool,
) -> Result<Latency, BenchError> {
    let rules: String = (0..STATIONS).map(rule).collect();
    std::fs::write(installation.dir.path().join("rules.toml"), rules)
        .map_err(BenchError::files("writing rules"))?;
    let mut config = installation.config.clone();
    config.kafka.client.insert("linger.ms".into(), "0".into());
    let producer = Producer::new(&ClientSettings::new(&config.kafka)?, None)?;
    let alerts = config.topic(topic::ALERTS);
    let partitions: Vec<(i32, StartAt)> =
        (0..alerts.partitions).map(|partition| (partition, StartAt::Beginning)).collect();
    let mut reader = Reader::new(&installation.settings, &alerts.name, &partitions)?;
    let mut daemon = Daemon::start(installation, 0, false)?;
    let mut feed = Feed::new(installation.config.topic(topic::JSON).name);
    let mut histogram = Histogram::<u64>::new_with_max(LATENCY_MICROSECONDS_MAX, 3).expect("constant bounds");

    // The first alert shows that the daemon works.
    feed.send(&producer)?;
    let mut deadline = Instant::now() + PATIENCE;
    while feed.open.len() == 1 {
        feed.take_alerts(&mut reader, None)?;
        check(&mut daemon, stop, deadline)?;
    }
    let (begin, interval) = (Instant::now(), Duration::from_secs(1) / options.latency_rate);
    let end = begin + WARM_UP + Duration::from_secs(options.latency_seconds.into());
    let mut next = begin;
    deadline = end + PATIENCE;
    while Instant::now() < end || !feed.open.is_empty() {
        while next <= Instant::now() && next < end {
            feed.send(&producer)?;
            next += interval;
        }
        feed.take_alerts(&mut reader, Some((begin + WARM_UP, &mut histogram)))?;
        check(&mut daemon, stop, deadline)?;
    }
    daemon.terminate();
    while !daemon.has_ended() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let milliseconds = |microseconds: u64| microseconds as f64 / 1_000.0;
    Ok(Latency {
        cell: installation.cell,
        rate: options.latency_rate,
        alerts: histogram.len(),
        p50_ms: milliseconds(histogram.value_at_quantile(0.5)),
        p99_ms: milliseconds(histogram.value_at_quantile(0.99)),
        p999_ms: milliseconds(histogram.value_at_quantile(0.999)),
        max_ms: milliseconds(histogram.max()),
    })
}

fn check(daemon: &mut Daemon, stop: &AtomicBool, deadline: Instant) -> Result<(), BenchError> {
    if stop.load(Ordering::Relaxed) {
        return Err(BenchError::Interrupted);
    }
    if daemon.has_ended() {
        return Err(BenchError::Daemon(format!("the daemon ended: {}", daemon.last_words())));
    }
    if Instant::now() > deadline {
        return Err(BenchError::Daemon("alerts are missing".into()));
    }
    Ok(())
}

fn rule(station: u32) -> String {
    format!("[[rule]]\nid = \"r{station}\"\nstation = \"USC{station:08}\"\nwhen = \"TMIN <= 10.0\"\n")
}

/// Observations that were sent and not alerted yet.
struct Feed {
    topic: String,
    sent: u32,
    /// When each was sent, by station and date, in the form of alert ids.
    open: HashMap<String, Instant>,
}

impl Feed {
    fn new(topic: String) -> Self {
        Self { topic, sent: 0, open: HashMap::new() }
    }

    /// Sends the next observation: another day of a station, so that each alert is new.
    fn send(&mut self, producer: &Producer) -> Result<(), BenchError> {
        let station = format!("USC{:08}", self.sent % STATIONS);
        let day = i32::try_from(self.sent / STATIONS).unwrap_or(i32::MAX) - 40_000;
        let date = Date::from_days_since_1970(day).expect("a day of the calendar");
        let value = format!(
            r#"{{"station":{{"id":"{station}","country_code":"US","state_code":"AZ"}},"date":"{date}T00:00:00","TMIN":5.0}}"#
        );
        self.sent += 1;
        self.open.insert(format!("{station}/{date}"), Instant::now());
        Ok(producer.send(&Outgoing {
            topic: &self.topic,
            partition: None,
            key: Some(station.as_bytes()),
            value: Some(value.as_bytes()),
            timestamp_ms: -1,
            headers: &[],
            changelog: None,
        })?)
    }

    /// Reads new alerts, and records the latency of those sent after the given instant.
    fn take_alerts(
        &mut self,
        reader: &mut Reader,
        mut timed: Option<(Instant, &mut Histogram<u64>)>,
    ) -> Result<(), BenchError> {
        let open = &mut self.open;
        reader.read(READING, 1_000, &mut |polled| {
            let Polled::Record(record) = polled else { return };
            let now = Instant::now();
            record.headers.visit(&mut |name, value| {
                // rule/station/date/transition
                let id = value.filter(|_| name == "alert-id").map(String::from_utf8_lossy);
                let Some(id) = id else { return };
                let key: Vec<&str> = id.split('/').skip(1).take(2).collect();
                let Some(sent) = open.remove(&key.join("/")) else { return };
                if let Some((_, histogram)) = timed.as_mut().filter(|(after, _)| sent >= *after) {
                    let microseconds = (now - sent).as_micros();
                    histogram.saturating_record(u64::try_from(microseconds).unwrap_or(u64::MAX));
                }
            });
        })?;
        Ok(())
    }
}
