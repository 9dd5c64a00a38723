//! Hourly observations for chaos: a night takes some seconds, and everything that happens to real observations
//! happens to these. They come twice, corrected or late, a thermometer jumps, a station falls silent, a record is
//! unreadable.
//!
//! The same seed gives the same observations in the same order. They are decades old, so only the times of other
//! stations, and never the clock, decide that a station is silent: the output depends on the input only.

use std::collections::{BTreeMap, VecDeque};

use super::fed::{Fed, Source};
use crate::hourly::{HOUR, Hour, iso_time};
use crate::noaa::StationId;

/// Few enough for nights to pass quickly, and enough for some partitions to have several.
pub(super) const STATIONS: usize = 12;
/// Prefix of the ids of hourly stations. No station also has lines or JSON.
const PREFIX: &str = "USZ3";
/// 1 January 1990, in seconds since 1970.
const BEGIN: i64 = 631_152_000;
/// Local standard time in Arizona, in hours.
const OFFSET: i64 = -7;
/// Time between the observations of one station and the next, in seconds.
const STAGGER: i64 = 180;
/// One observation in this many has a certain irregularity.
const ODD_EVERY: usize = 50;

/// A station's weather.
#[derive(Clone, Copy)]
struct Weather {
    /// The mean of afternoon and morning, in °C.
    mean_c: f64,
    /// The target of `mean_c` for the next night.
    target_c: f64,
    /// The station is silent before this time, in seconds since 1970.
    silent_until: i64,
}

/// Generates hourly observations without end.
pub(super) struct Hours {
    rng: fastrand::Rng,
    /// The next full hour.
    time: i64,
    weather: [Weather; STATIONS],
    ready: VecDeque<Fed>,
    /// Observations that are sent later, by hour.
    held: BTreeMap<i64, Vec<Fed>>,
}

impl Hours {
    pub(super) fn new(seed: u64) -> Self {
        let weather = Weather { mean_c: 8.0, target_c: 8.0, silent_until: BEGIN };
        Self {
            rng: fastrand::Rng::with_seed(seed),
            time: BEGIN,
            weather: [weather; STATIONS],
            ready: VecDeque::new(),
            held: BTreeMap::new(),
        }
    }

    /// The next record.
    pub(super) fn next(&mut self) -> Fed {
        loop {
            if let Some(fed) = self.ready.pop_front() {
                return fed;
            }
            self.hour();
        }
    }

    /// One hour at all stations, in any order.
    fn hour(&mut self) {
        let mut indices: [usize; STATIONS] = std::array::from_fn(|index| index);
        self.rng.shuffle(&mut indices);
        indices.into_iter().for_each(|index| self.observe(index));
        while let Some(due) = self.held.first_entry().filter(|due| *due.key() <= self.time) {
            self.ready.extend(due.remove());
        }
        self.time += HOUR;
    }

    fn observe(&mut self, index: usize) {
        let temperature_c = self.temperature(index);
        if self.time < self.weather[index].silent_until {
            return;
        }
        let Some(station) = StationId::parse(station(index).as_bytes()) else { return };
        let time = self.time + index as i64 * STAGGER;
        let dry = if index.is_multiple_of(2) { 6.0 } else { 1.0 };
        let hour = Hour {
            dew_point_c: Some(tenths(temperature_c - dry)),
            wind_m_s: Some(f64::from(self.rng.u8(0..40)) / 10.0),
            ..Hour::new(station, time, temperature_c)
        };
        let of = |temperature_c: f64| fed(&Hour { temperature_c: tenths(temperature_c), ..hour.clone() });
        match self.rng.usize(..ODD_EVERY) {
            0 => {
                self.ready.push_back(of(temperature_c));
                self.weather[index].silent_until = self.time + self.rng.i64(4..10) * HOUR;
            }
            1 => self.ready.extend([of(temperature_c), of(temperature_c)]),
            2 => self.ready.extend([of(temperature_c), of(temperature_c - 0.6)]),
            // Late, and sometimes still the lowest of the night.
            3 => {
                let due = self.time + self.rng.i64(1..4) * HOUR;
                self.held.entry(due).or_default().push(of(temperature_c - 1.5));
            }
            // A thermometer jumps: no observation near it confirms that.
            4 => self.ready.push_back(of(temperature_c + 30.0)),
            5 => self.ready.extend([self.poison(&hour), of(temperature_c)]),
            _ => self.ready.push_back(of(temperature_c)),
        }
    }

    /// Coldest at three in the morning, warmest at three in the afternoon. About half of the nights have frost.
    fn temperature(&mut self, index: usize) -> f64 {
        let local_hour = (self.time / HOUR + OFFSET).rem_euclid(24);
        let weather = &mut self.weather[index];
        if local_hour == 12 {
            weather.target_c = self.rng.f64() * 16.0 - 1.0;
        }
        // Slowly enough that no observation is doubted.
        weather.mean_c += (weather.target_c - weather.mean_c).clamp(-2.0, 2.0);
        let angle = (local_hour - 15) as f64 / 24.0 * std::f64::consts::TAU;
        tenths(weather.mean_c + 7.0 * angle.cos())
    }

    fn poison(&self, hour: &Hour) -> Fed {
        let (good, time) = (fed(hour), iso_time(hour.time));
        let with = |value: String| Fed { value: Some(value.into_bytes()), ..good.clone() };
        match hour.time / HOUR % 4 {
            0 => with(format!("{{\"station_id\":\"{}\",\"time\":\"{time}\"", hour.station)),
            1 => with(format!(
                "{{\"station_id\":\"{}\",\"time\":\"{time}\",\"temperature_c\":99.0}}",
                hour.station
            )),
            2 => Fed { key: station(STATIONS), ..good },
            // A tombstone has no effect.
            _ => Fed { value: None, ..good },
        }
    }
}

/// The ids of all hourly stations.
pub(super) fn stations() -> impl Iterator<Item = String> {
    (0..STATIONS).map(station)
}

/// A rule over nights and one over hours for each station, with and without `clear`. A third of the warnings is never
/// withdrawn: in the morning, those that did not come true are averted.
pub(super) fn rules() -> String {
    let mut text = String::new();
    for (number, station) in stations().enumerate() {
        let (night, hour) = match number % 3 {
            0 => ("clear = \"chance(-2.0) < 0.1\"", ""),
            1 => ("clear = \"chance(-2.0) < 0.0\"", "clear = \"T > 2.0\""),
            _ => ("", "clear = \"T > 2.0\""),
        };
        for (id, when, clear) in
            [("night", "chance(-2.0) >= 0.3", night), ("hour", "T <= 0.0 && WETBULB <= -1.0", hour)]
        {
            text.push_str(&format!(
                "[[rule]]\nid = \"{id}-{number}\"\nstation = \"{station}\"\nwhen = \"{when}\"\n{clear}\n\n"
            ));
        }
    }
    text
}

fn station(index: usize) -> String {
    format!("{PREFIX}{index:07}")
}

fn fed(hour: &Hour) -> Fed {
    let value = Some(hour.to_json().into_bytes());
    Fed { source: Source::Hourly, key: hour.station.to_string(), value }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use frostline_engine::StageId;
    use frostline_engine::driver::{TestDriver, Written};

    use super::*;
    use crate::app::{self, Ingredients};
    use crate::chaos::feed;
    use crate::config::Config;
    use crate::rules::RuleSet;
    use crate::stages;

    /// What a stage makes of these keys and values.
    fn run(ingredients: &Ingredients, stage: StageId, records: &[KeyAndValue]) -> Vec<Written> {
        let topology = app::topology(&Config::default(), ingredients).unwrap();
        let mut driver = TestDriver::of_stage(topology.stage(stage).unwrap());
        for (key, value) in records {
            driver.pipe_bytes(Some(key.as_bytes()), value.as_deref(), &[]).unwrap();
        }
        driver.commit().unwrap()
    }

    type KeyAndValue = (String, Option<Vec<u8>>);

    fn ingredients() -> Ingredients {
        let rules = Arc::new(RuleSet::parse(&feed::rules()).unwrap());
        let ingredients = Ingredients::new(&Config::default(), rules, None).unwrap();
        feed::stations(1).iter().for_each(|station| ingredients.stations.insert(station));
        ingredients
    }

    fn is_refused(written: &Written) -> bool {
        !written.header("frostline-reason").is_empty()
    }

    /// What `outlook` makes of some seconds of feed: what it refuses, with the reasons, and its records.
    fn outlooks(ingredients: &Ingredients) -> (Vec<String>, Vec<KeyAndValue>) {
        let mut hours = Hours::new(7);
        let records: Vec<_> = (0..2_000).map(|_| hours.next()).map(|fed| (fed.key, fed.value)).collect();
        let written = run(ingredients, stages::OUTLOOK, &records);
        let (refused, written): (Vec<_>, Vec<_>) = written.into_iter().partition(is_refused);
        let reasons = refused.iter().map(|letter| letter.header("frostline-reason")).collect();
        let key = |outlook: &Written| String::from_utf8(outlook.key.clone().unwrap()).unwrap();
        (reasons, written.into_iter().map(|outlook| (key(&outlook), outlook.value)).collect())
    }

    fn ids(alerts: &[Written]) -> Vec<String> {
        alerts.iter().map(|alert| alert.header("alert-id")).collect()
    }

    #[test]
    fn frosts_silences_and_mistakes_come_within_some_seconds_of_feed() {
        let ingredients = ingredients();
        let (reasons, outlooks) = outlooks(&ingredients);
        for reason in ["not an hourly", "expected -95 to 60", "expected the station id", "10 K"] {
            assert!(reasons.iter().any(|found| found.contains(reason)), "{reason}: {reasons:?}");
        }
        assert!(reasons.len() < 150, "{} are refused", reasons.len());
        let ids = ids(&run(&ingredients, stages::WATCH, &outlooks));
        for (rule, transition) in [
            ("night", "expected"),
            ("night", "confirmed"),
            ("night", "withdrawn"),
            ("night", "averted"),
            ("night", "stale"),
            ("hour", "fired"),
            ("hour", "resolved"),
            ("hour", "stale"),
        ] {
            let is_it = |id: &&String| id.starts_with(rule) && id.split('/').nth(3) == Some(transition);
            let count = ids.iter().filter(is_it).count();
            assert!(count > 0, "{rule} {transition}: {ids:?}");
        }
        assert!(ids.len() > 100, "{ids:?}");
    }

    #[test]
    fn a_watch_that_forgets_would_be_noticed_at_any_time() {
        let ingredients = ingredients();
        let (_, outlooks) = outlooks(&ingredients);
        let values = |alerts: &[Written]| alerts.iter().map(Written::text).collect::<Vec<_>>();
        let whole = run(&ingredients, stages::WATCH, &outlooks);
        let mut told_twice = 0;
        for cut in (500..1_500).step_by(100) {
            let (before, after) = outlooks.split_at(cut);
            let mut alerts = run(&ingredients, stages::WATCH, before);
            alerts.extend(run(&ingredients, stages::WATCH, after));
            assert_ne!(values(&alerts), values(&whole), "forgotten after {cut} records");
            let ids = ids(&alerts);
            told_twice += usize::from(ids.iter().collect::<BTreeSet<_>>().len() < ids.len());
        }
        assert!(told_twice > 3, "{told_twice}");
    }
}
