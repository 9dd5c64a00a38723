//! The daemon follows weather services by itself: from an empty directory to a warning, and each observation once, although
//! the polling process is killed again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use frostline::hourly::{Hour, iso_time};
use frostline::weather_server::{METAR_KEPT, World};
use serde_json::Value;

use crate::support::{Needs, Running, Test, Topics, free_port, http, http_get, test, wait_for};

const PATIENCE: Duration = Duration::from_secs(120);
const SEED: u64 = 7;
const STATIONS: usize = 36;
/// Simulated time runs so many times as fast as the clock.
const SPEED: i64 = 60;
/// The hour at which simulated time begins, in UTC: evening at the stations, so that a warning is near whatever the time.
const EVENING: i64 = 3_600;
/// How long ago it begins at least, in seconds.
const AGO: i64 = SPEED * 120;

pub fn tests() -> Vec<Test> {
    vec![test("from_nothing_to_a_warning_in_three_commands", &[Needs::Broker], three_commands)]
}

/// The imitated services.
struct Services {
    _server: Running,
    port: u16,
    world: World,
    begins: i64,
}

impl Services {
    fn start() -> Self {
        let port = free_port();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
        let begins = now - AGO - (now - AGO - EVENING).rem_euclid(86_400);
        let (seed, stations, speed) = (SEED.to_string(), STATIONS.to_string(), SPEED.to_string());
        let server = crate::support::Frostline::new()
            .args(["weather-server", "--listen", &format!("127.0.0.1:{port}"), "--seed", &seed])
            .args(["--start", &iso_time(begins), "--speed", &speed, "--stations", &stations])
            .start();
        wait_for("the weather server", PATIENCE, || http_get(port, "/control", &[]).map(drop));
        Self { _server: server, port, world: World::new(SEED, STATIONS), begins }
    }

    /// Simulated time.
    fn now(&self) -> i64 {
        let (_, body) = http_get(self.port, "/control", &[]).unwrap();
        let control: Value = serde_json::from_str(&body).unwrap();
        frostline::hourly::parse_time(control["time"].as_str().unwrap()).unwrap()
    }

    /// Stops simulated time.
    fn stand_still(&self) {
        self.control("{\"speed\": 0}");
    }

    /// Goes on at the present time.
    fn come_to_the_present(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
        self.control(&format!("{{\"time\": \"{}\", \"speed\": {SPEED}}}", iso_time(now)));
    }

    fn control(&self, change: &str) {
        let answer = http(self.port, "POST", "/control", &[], change);
        assert_eq!(answer.map(|(status, _)| status), Some(200));
    }

    fn configuration(&self, dir: &Path, admin: u16) {
        let base = format!("http://127.0.0.1:{}", self.port);
        let text = format!(
            "[alert]\nrules = \"topic\"\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n\
             [follow]\ncontact = \"anna@example.org\"\nallow_private = true\nrequest_interval_seconds = 0\n\
             [follow.metar]\nurl = \"{base}\"\ninterval_seconds = 1\n\
             [follow.forecast]\nnws_url = \"{base}\"\nmet_norway_url = \"{base}\"\ninterval_seconds = 5\n\
             [follow.stations]\nurl = \"{base}/pub/data/ghcn/daily\"\n\
             hourly_url = \"{base}/oa/global-historical-climatology-network/hourly/doc/ghcnh-station-list.csv\"\n"
        );
        std::fs::write(dir.join("frostline.toml"), text).unwrap();
    }

    /// What a follower must have: the observations that a poll saw that began with simulated time.
    fn hours(&self, until: i64) -> BTreeMap<(String, String), Hour> {
        let mut hours = BTreeMap::new();
        for station in self.world.stations() {
            for hour in self.world.hours(station.id(), self.begins - METAR_KEPT / 2, until) {
                hours.insert((station.id().to_string(), iso_time(hour.time)), hour);
            }
        }
        hours
    }
}

/// A rule for each station and every fifth degree: at some place one of them lies between now and the coming lowest.
fn rules(stations: &[String]) -> String {
    let rule = |id: &String, limit: i32| {
        let name = format!("tonight-{id}-{}", limit + 30);
        format!("[[rule]]\nid = \"{name}\"\nstation = \"{id}\"\nwhen = \"chance({limit}.0) >= 0.3\"\n")
    };
    stations.iter().flat_map(|id| (-6..=5).map(move |step| rule(id, 5 * step))).collect()
}

fn three_commands() {
    let services = Services::start();
    let topics = Topics::unmade();
    let (dir, admin) = (tempfile::tempdir().unwrap(), free_port());
    services.configuration(dir.path(), admin);
    let frostline = |words: &[&str]| topics.frostline().args(words.iter().copied()).in_dir(dir.path());
    let fetched = frostline(&["stations", "fetch"]).run().expect_code(0);
    assert!(fetched.err.contains("ghcnd-stations.txt") && fetched.err.contains("old"), "{fetched}");
    assert!(fetched.out.contains("stations into"), "{fetched}");
    let left_out = fetched.err.lines().find(|line| line.contains("stations skipped")).unwrap();
    assert!(left_out.contains("/hourly/doc/ghcnh-station-list.csv"), "the file's address: {left_out}");
    let watched: Vec<String> =
        services.world.stations().iter().map(|station| station.id().to_string()).collect();
    std::fs::write(dir.path().join("rules.toml"), rules(&watched)).unwrap();
    frostline(&["rules", "apply", "rules.toml", "--yes"]).run().expect_code(0);

    let once = frostline(&["follow", "metar", "--once", "--json"]).run().expect_code(0);
    assert!(once.json_lines().len() >= STATIONS / 2, "{once}");
    assert_eq!(topics.records("noaa-hourly").len(), 0, "nothing is written");

    let start = || {
        frostline(&["run", "--state-dir", "state"])
            .env("FROSTLINE_ADMIN_LISTEN", &format!("127.0.0.1:{admin}"))
            .start()
    };
    let sources = || {
        let (_, body) = http_get(admin, "/api/v1/sources", &[])?;
        serde_json::from_str::<Vec<Value>>(&body).ok().filter(|sources| sources.len() == 2)
    };
    let count = |source: &str, what: &str| {
        let found = sources()?.into_iter().find(|row| row["source"] == source)?;
        found[what].as_u64()
    };
    let daemon = start();
    wait_for("observations", PATIENCE, || count("metar", "records").filter(|count| *count > 0));
    daemon.signal("KILL");
    daemon.wait();
    let daemon = start();
    wait_for("polls", PATIENCE, || count("metar", "polls").filter(|count| *count > 1));
    daemon.signal("KILL");
    daemon.wait();
    let daemon = start();
    wait_for("the next observations, and forecasts", PATIENCE, || {
        (count("metar", "records")? > 0 && count("forecast", "records")? > 5).then_some(())
    });
    wait_for("a warning", PATIENCE, || {
        topics.values("noaa-json-alerts").iter().any(|alert| alert["transition"] == "expected").then_some(())
    });
    services.stand_still();
    let until = services.now();
    let polls = count("metar", "polls").unwrap();
    wait_for("two more polls", PATIENCE, || count("metar", "polls").filter(|more| *more > polls + 1));
    // Forecasts are for the night that comes by the clock of the daemon.
    services.come_to_the_present();
    wait_for("an outlook with a forecast", PATIENCE, || {
        topics.values("noaa-outlooks").iter().any(has_forecast).then_some(())
    });
    wait_for("data that is not late", PATIENCE, || {
        let metar = sources()?.into_iter().find(|row| row["source"] == "metar")?;
        (metar["is_late"] == false).then_some(())
    });
    check_shown(admin);
    let url = format!("http://127.0.0.1:{admin}");
    let top = frostline(&["top", "--once", "--url", &url]).run().expect_code(0);
    assert!(top.out.contains("metar") && top.out.contains("newest data"), "{top}");
    daemon.signal("TERM");
    daemon.wait().expect_code(0);
    check_hours(&services, &topics, until);
    check_forecasts(&topics, &watched);
}

/// Readiness and metrics have the source.
fn check_shown(admin: u16) {
    let (_, health) = http_get(admin, "/health/ready", &[]).unwrap();
    assert!(health.contains("\"source\":\"metar\"") && health.contains("\"is_late\":false"), "{health}");
    let (_, metrics) = http_get(admin, "/metrics", &[]).unwrap();
    assert!(metrics.contains("frostline_source_age_seconds{source=\"metar\"}"), "{metrics}");
}

/// Each observation once, with the values that were published.
fn check_hours(services: &Services, topics: &Topics, until: i64) {
    let truth = services.hours(until - 15 * 60);
    let mut found = BTreeSet::new();
    for record in topics.values("noaa-hourly") {
        if record.get("forecast").is_some() {
            continue;
        }
        let text = |name: &str| record[name].as_str().unwrap().to_owned();
        let key = (text("station_id"), text("time"));
        assert!(found.insert(key.clone()), "{key:?} twice");
        if let Some(hour) = truth.get(&key) {
            assert_eq!(record["temperature_c"], hour.temperature_c, "{key:?}");
        }
    }
    let missing: Vec<_> = truth.keys().filter(|key| !found.contains(*key)).collect();
    assert!(truth.len() > STATIONS / 3 && missing.is_empty(), "of {} missing: {missing:?}", truth.len());
    assert!(topics.records("noaa-dead-letters").is_empty());
}

/// Forecasts are of watched stations.
fn check_forecasts(topics: &Topics, watched: &[String]) {
    let forecasts = topics.values("noaa-forecasts");
    let stations: BTreeSet<&str> =
        forecasts.iter().map(|forecast| forecast["station_id"].as_str().unwrap()).collect();
    assert!(stations.iter().all(|id| watched.iter().any(|watched| watched == id)) && stations.len() > 2);
}

fn has_forecast(outlook: &Value) -> bool {
    outlook["expected"]["forecast"].is_object()
}
