//! Changes by a test while the server runs, and its queries afterwards: time, faults, and requests.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{Value, json};

use super::script::Script;
use super::times::MINUTE;
use crate::hourly::{iso_time, parse_time};

/// Paths that are counted separately; all others are counted as one.
const PATHS_MAX: usize = 1_000;
/// Minutes per path that are remembered, the latest ones.
const MINUTES_MAX: usize = 10_000;
/// The fastest clock, in simulated seconds a second.
pub const SPEED_MAX: f64 = 1_000_000.0;
/// The latest time, 9000-01-01: later ones have no date.
const TIME_MAX: i64 = 221_845_392_000;
/// Services by path prefix.
const SERVICES: &[(&str, &str)] = &[
    ("/data/cache/", "aviationweather"),
    ("/pub/data/ghcn/", "ncei"),
    ("/oa/", "ncei"),
    ("/points/", "nws"),
    ("/gridpoints/", "nws"),
    ("/weatherapi/", "met"),
];

/// The simulated clock, which runs at its own speed from its start on.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: i64,
    set_at: Instant,
    speed: f64,
}

impl Clock {
    /// A clock that shows a time now, in seconds since 1970, and runs this many times as fast as real time; 0 to
    /// stand still.
    pub fn new(start: i64, speed: f64) -> Self {
        Self { start, set_at: Instant::now(), speed }
    }

    /// The time that it shows, in seconds since 1970.
    pub fn now(&self) -> i64 {
        let passed = self.set_at.elapsed().as_secs_f64() * self.speed;
        self.start.saturating_add(passed as i64).clamp(0, TIME_MAX)
    }
}

/// Counts of requests, by minute.
#[derive(Debug, Clone, Default)]
struct Count {
    total: u64,
    statuses: BTreeMap<u16, u64>,
    by_minute: BTreeMap<i64, u64>,
    by_real_minute: BTreeMap<i64, u64>,
}

impl Count {
    fn add(&mut self, status: u16, simulated: i64, real: i64) {
        self.total += 1;
        *self.statuses.entry(status).or_default() += 1;
        for (minutes, time) in [(&mut self.by_minute, simulated), (&mut self.by_real_minute, real)] {
            *minutes.entry(time - time.rem_euclid(MINUTE)).or_default() += 1;
            if minutes.len() > MINUTES_MAX {
                minutes.pop_first();
            }
        }
    }

    fn to_json(&self) -> Value {
        let minutes = |minutes: &BTreeMap<i64, u64>| -> BTreeMap<String, u64> {
            minutes.iter().map(|(time, count)| (iso_time(*time), *count)).collect()
        };
        json!({
            "total": self.total,
            "statuses": self.statuses,
            "by_minute": minutes(&self.by_minute),
            "by_real_minute": minutes(&self.by_real_minute),
        })
    }
}

/// Clock, script and counts of a running server.
pub(super) struct Control {
    seed: u64,
    pub(super) clock: Clock,
    pub(super) script: Script,
    paths: BTreeMap<String, Count>,
    services: BTreeMap<&'static str, Count>,
}

/// The possible changes of `POST /control`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    time: Option<String>,
    advance_seconds: Option<i64>,
    speed: Option<f64>,
    faults: Option<Value>,
    #[serde(default)]
    forget_requests: bool,
}

impl Control {
    pub(super) fn new(seed: u64, clock: Clock, script: Script) -> Self {
        Self { seed, clock, script, paths: BTreeMap::new(), services: BTreeMap::new() }
    }

    /// Counts a request.
    pub(super) fn count(&mut self, path: &str, status: u16, now: i64) {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let real = i64::try_from(real).unwrap_or_default();
        let is_new = !self.paths.contains_key(path);
        let path_counted = if is_new && self.paths.len() >= PATHS_MAX { "other" } else { path };
        self.paths.entry(path_counted.to_owned()).or_default().add(status, now, real);
        if let Some((_, service)) = SERVICES.iter().find(|(start, _)| path.starts_with(start)) {
            self.services.entry(service).or_default().add(status, now, real);
        }
    }

    /// The answer of `GET /control`.
    pub(super) fn to_json(&self) -> Value {
        let counts: BTreeMap<_, _> = self.paths.iter().map(|(path, count)| (path, count.to_json())).collect();
        let services: BTreeMap<_, _> =
            self.services.iter().map(|(service, count)| (service, count.to_json())).collect();
        json!({
            "time": iso_time(self.clock.now()),
            "speed": self.clock.speed,
            "faults": self.script.to_json(),
            "services": services,
            "requests": counts,
        })
    }

    /// Applies the changes in the text of a request: all or none.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub(super) fn change(&mut self, text: &[u8]) -> Result<(), String> {
        let change: Change =
            serde_json::from_slice(text).map_err(|error| format!("the body is not a change: {error}"))?;
        let mut time = self.clock.now();
        if let Some(text) = &change.time {
            time = parse_time(text).ok_or_else(|| format!("time {text:?}: expected 2026-11-28T17:53:00Z"))?;
        }
        time = time.saturating_add(change.advance_seconds.unwrap_or_default());
        let speed = change.speed.unwrap_or(self.clock.speed);
        if !(0.0..=SPEED_MAX).contains(&speed) || !(0..=TIME_MAX).contains(&time) {
            return Err(format!("speed {speed} or time {time} is out of range"));
        }
        let script = match &change.faults {
            Some(Value::String(names)) => Script::drawn(names, self.seed, time)?,
            Some(list) => Script::parse(list)?,
            None => self.script.clone(),
        };
        if change.forget_requests {
            self.paths.clear();
            self.services.clear();
        }
        if change.time.is_some() || change.advance_seconds.is_some() || change.speed.is_some() {
            self.clock = Clock::new(time, speed);
        }
        self.script = script;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_795_868_580;

    fn control() -> Control {
        Control::new(1, Clock::new(START, 0.0), Script::none())
    }

    #[test]
    fn requests_are_counted_by_path_and_service() {
        let mut control = control();
        for (path, status) in
            [("/points/1,1", 200), ("/points/1,1", 404), ("/gridpoints/Q", 200), ("/x", 404)]
        {
            control.count(path, status, START);
        }
        control.count("/points/1,1", 200, START + MINUTE);
        let json = control.to_json();
        let of_point = &json["requests"]["/points/1,1"];
        assert_eq!((&of_point["total"], &of_point["statuses"]["404"]), (&json!(3), &json!(1)));
        let minutes = of_point["by_minute"].as_object().unwrap();
        assert_eq!(minutes.values().cloned().collect::<Vec<_>>(), [json!(2), json!(1)]);
        assert_eq!(json["services"]["nws"]["total"], 4);
        assert!(json["services"].as_object().unwrap().len() == 1 && json["requests"]["/x"]["total"] == 1);
        control.change(br#"{"forget_requests": true}"#).unwrap();
        assert_eq!(control.to_json()["requests"], json!({}));
    }

    #[test]
    fn counts_are_bounded() {
        let mut control = control();
        for number in 0..2 * PATHS_MAX {
            control.count(&format!("/{number}"), 404, START);
        }
        assert_eq!(control.paths.len(), PATHS_MAX + 1);
        assert_eq!(control.paths["other"].total, PATHS_MAX as u64);
    }

    #[test]
    fn time_speed_and_faults_change_together_or_not_at_all() {
        let mut control = control();
        control.change(br#"{"advance_seconds": 3600}"#).unwrap();
        assert_eq!(control.clock.now(), START + 3_600);
        control.change(br#"{"time": "2027-01-01T00:00:00Z", "faults": "drip,stops"}"#).unwrap();
        assert_eq!(iso_time(control.clock.now()), "2027-01-01T00:00:00Z");
        assert!(!control.script.windows().is_empty());
        let before = control.to_json();
        for wrong in [
            r#"{"time": "2028-01-01T00:00:00Z", "faults": "rain"}"#,
            r#"{"advance_seconds": 1, "speed": -1}"#,
            r#"{"time": "tomorrow"}"#,
            r#"{"advance_seconds": 9223372036854775807}"#,
            r#"{"tempo": 1}"#,
            "",
        ] {
            assert!(control.change(wrong.as_bytes()).is_err(), "{wrong}");
            assert_eq!(control.to_json(), before, "{wrong}");
        }
        control.change(br#"{"faults": []}"#).unwrap();
        assert_eq!(control.script, Script::none());
    }

    #[test]
    fn a_fast_clock_runs_ahead() {
        let clock = Clock::new(START, SPEED_MAX);
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(clock.now() > START + 1_000);
    }
}
