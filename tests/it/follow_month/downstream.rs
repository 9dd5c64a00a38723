//! What the daemon makes of the records: its own stages, one after the other, as it runs them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use frostline::app::{Ingredients, topology};
use frostline::config::Config;
use frostline::rules::RuleSet;
use frostline::stages;
use frostline::weather_server::World;
use frostline_engine::driver::{TestDriver, Written};
use frostline_engine::record::Header;
use frostline_engine::{StageId, Topology};
use serde_json::Value;

/// In °C: in any season some of them lie between the present temperature and the lowest of the coming night.
const LIMITS: [i32; 11] = [-25, -20, -15, -10, -5, 0, 5, 10, 15, 20, 25];

/// Rules over days, nights and hours for every station. Each is clear where its condition does not hold, so that what stands is
/// a function of the last observation, whatever was observed wrongly before it.
fn rules(world: &World) -> String {
    let mut text = String::new();
    for id in world.stations().iter().map(|station| station.id()) {
        for (number, limit) in LIMITS.into_iter().enumerate() {
            for (name, when, clear) in [
                ("day", format!("TMIN <= {limit}.0"), String::new()),
                ("night", format!("chance({limit}.0) >= 0.3"), format!("chance({limit}.0) < 0.3")),
                ("hour", format!("T <= {limit}.0"), format!("T > {limit}.0")),
            ] {
                let rule = format!("id = \"{name}-{id}-{number}\"\nstation = \"{id}\"\nwhen = \"{when}\"\n");
                let clear = if clear.is_empty() { clear } else { format!("clear = \"{clear}\"\n") };
                write!(text, "[[rule]]\n{rule}{clear}\n").unwrap();
            }
        }
    }
    text
}

fn application(world: &World) -> Topology {
    let rules = Arc::new(RuleSet::parse(&rules(world)).unwrap());
    let ingredients = Ingredients::new(&Config::default(), rules, None).unwrap();
    world.stations().iter().for_each(|known| ingredients.stations.insert(&known.station));
    topology(&Config::default(), &ingredients).unwrap()
}

fn driver(topology: &Topology, stage: StageId) -> TestDriver {
    TestDriver::of_stage(topology.stage(stage).unwrap())
}

/// Pipes a record in, and takes what comes out.
fn pipe(
    driver: &mut TestDriver,
    (key, value): (&[u8], &[u8]),
    headers: &[Header],
    now_ms: i64,
) -> Vec<Written> {
    driver.now_ms = driver.now_ms.max(now_ms);
    driver.pipe_bytes(Some(key), Some(value), headers).unwrap();
    driver.commit().unwrap()
}

/// An alert about a night or an hour.
#[derive(Debug)]
pub struct Alert {
    /// Its night: for rules over hours the one in which the episode began.
    pub night: String,
    /// The observation that it is about, in seconds since 1970.
    pub time: i64,
    pub transition: String,
}

/// From hourly observations to outlooks, and to alerts over nights and hours.
pub struct Nights {
    outlook: TestDriver,
    watch: TestDriver,
    /// The last outlook of each station and time: what was observed, and what was expected.
    pub outlooks: BTreeMap<(String, String), Value>,
    /// How each station's nights went, by the date of their evenings.
    pub outcomes: BTreeMap<(String, String), Value>,
    /// The alerts of each rule, in their order.
    pub alerts: BTreeMap<String, Vec<Alert>>,
    /// Observations that the stage does not believe.
    pub refused: u64,
}

impl Nights {
    pub fn new(world: &World, now_ms: i64) -> Self {
        let topology = application(world);
        let (mut outlook, mut watch) = (driver(&topology, stages::OUTLOOK), driver(&topology, stages::WATCH));
        (outlook.now_ms, watch.now_ms) = (now_ms, now_ms);
        let (outlooks, outcomes, alerts) = Default::default();
        Self { outlook, watch, outlooks, outcomes, alerts, refused: 0 }
    }

    /// Takes an observation, or a forecast.
    pub fn take(&mut self, key: &[u8], value: &[u8], now_ms: i64) {
        for written in pipe(&mut self.outlook, (key, value), &[], now_ms) {
            if !written.header("frostline-reason").is_empty() {
                self.refused += 1;
                continue;
            }
            let record = written.json();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let station = text(&record["station"]["id"]);
            if record["outcome"].is_object() {
                self.outcomes.insert((station, text(&record["date"])), record["outcome"].clone());
            } else {
                let outlook = self.outlooks.entry((station, text(&record["time"]))).or_default();
                outlook["expected"] = record["expected"].clone();
                // A late observation changes what is expected, and comes without the newest one's instruments.
                if record["observed"].is_object() {
                    outlook["observed"] = record["observed"].clone();
                }
            }
            let value = written.value.unwrap();
            for alert in pipe(&mut self.watch, (key, &value), &[], now_ms) {
                let alert = alert.json();
                let (night, transition) = (text(&alert["date"]), text(&alert["transition"]));
                let time = alert["moment"]["time"].as_i64().unwrap();
                self.alerts.entry(text(&alert["rule_id"])).or_default().push(Alert {
                    night,
                    time,
                    transition,
                });
            }
        }
    }
}

/// From daily lines to observations, and to alerts over days.
pub struct Days {
    assemble: TestDriver,
    alert: TestDriver,
    /// The last observation of each station and date.
    pub observations: BTreeMap<(String, String), Value>,
    /// Alerts that were not retracted, by rule and date.
    pub standing: BTreeSet<(String, String)>,
    /// How many were.
    pub retracted: u64,
}

impl Days {
    pub fn new(world: &World, now_ms: i64) -> Self {
        let topology = application(world);
        let (mut assemble, mut alert) =
            (driver(&topology, stages::ASSEMBLE), driver(&topology, stages::ALERT));
        (assemble.now_ms, alert.now_ms) = (now_ms, now_ms);
        let (observations, standing) = Default::default();
        Self { assemble, alert, observations, standing, retracted: 0 }
    }

    /// Takes a line.
    pub fn take(&mut self, key: &[u8], line: &[u8], headers: &[Header], now_ms: i64) {
        let written = pipe(&mut self.assemble, (key, line), headers, now_ms);
        self.judge(written, now_ms);
    }

    /// No line has come for a while: everything settles.
    pub fn settle(&mut self, now_ms: i64) {
        self.assemble.punctuate().unwrap();
        let written = self.assemble.commit().unwrap();
        self.judge(written, now_ms);
    }

    fn judge(&mut self, written: Vec<Written>, now_ms: i64) {
        for written in written {
            assert_eq!(written.header("frostline-reason"), "", "{}", written.text());
            let mut observation = written.json();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let place = (text(&observation["station"]["id"]), text(&observation["date"]));
            let (key, value) = (written.key.unwrap(), written.value.unwrap());
            for alert in pipe(&mut self.alert, (&key, &value), &[], now_ms) {
                let alert = alert.json();
                let day = (text(&alert["rule_id"]), text(&alert["date"]));
                match text(&alert["transition"]).as_str() {
                    "fired" => assert!(self.standing.insert(day.clone()), "{day:?} twice"),
                    "retracted" => {
                        assert!(self.standing.remove(&day), "{day:?} was not alerted");
                        self.retracted += 1;
                    }
                    other => panic!("{other}"),
                }
            }
            observation.as_object_mut().unwrap().remove("revision");
            self.observations.insert(place, observation);
        }
    }
}
