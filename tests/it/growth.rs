//! Topics that get more partitions while they are in use: their state moves with their keys.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use frostline::config::{Config, TopicConfig, topic};
use frostline::noaa::Date;
use frostline::synthetic::{self, Format, Places, Settings};
use frostline_engine::growth::{Growth, GrowthError, GrowthStep};
use frostline_engine::kafka::{
    ClientSettings, KafkaError, Outgoing, Producer, TransactionSettings, partition_of_key,
};
use serde_json::Value;

use crate::support::{Frostline, Needs, Test, Topics, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("grown_topics_go_on_as_if_they_had_always_been_so", &[Needs::Broker], grown_in_use),
        test("a_topic_grows_only_at_rest_and_where_keys_decide", &[Needs::Broker], refusals),
    ]
}

/// Enough that the state of a partition does not move in one transaction.
const STATIONS: u64 = 300;
const CHAIN: [&str; 3] = [topic::CSV_RAW, topic::JSON, topic::JSON_US_AZ];
const RULES: &str = r#"
[[rule]]
id = "lone"
where = "true"
when = "TMIN <= 3.0"

[[rule]]
id = "spell"
where = "true"
when = "TMIN <= -2.0"
clear = "TMIN > 1.0"
for_days = 2
repeat_days = 7
"#;

/// An installation in a folder of its own.
struct Installation {
    topics: Topics,
    dir: tempfile::TempDir,
}

impl Installation {
    /// With this many partitions for the chain of topics.
    fn new(partitions: i32) -> Self {
        let installation = Self { topics: Topics::unmade(), dir: tempfile::tempdir().unwrap() };
        installation.configure(partitions);
        std::fs::write(installation.dir.path().join("rules.toml"), RULES).unwrap();
        installation.command(&["topics", "create"]).run().expect_code(0);
        installation.import(STATIONS);
        installation
    }

    /// Fills the station table with so many synthetic stations.
    fn import(&self, count: u64) {
        let (countries, states) = synthetic::code_lists();
        let inventory: String = synthetic::inventory(&stations(count)).collect();
        for (name, text) in
            [("stations.txt", inventory), ("countries.txt", countries), ("states.txt", states)]
        {
            std::fs::write(self.dir.path().join(name), text).unwrap();
        }
        let import =
            ["stations", "import", "stations.txt", "--countries", "countries.txt", "--states", "states.txt"];
        self.command(&import).run().expect_code(0);
    }

    fn configure(&self, partitions: i32) {
        let topics: String =
            CHAIN.iter().map(|name| format!("{name} = {{ partitions = {partitions} }}\n")).collect();
        let text = format!("[filter]\nwhere = \"true\"\n[topics]\n{topics}");
        std::fs::write(self.dir.path().join("frostline.toml"), text).unwrap();
    }

    fn config(&self, partitions: i32) -> Config {
        let mut config = self.topics.config();
        for name in CHAIN {
            let own = TopicConfig { partitions: Some(partitions), ..TopicConfig::default() };
            config.topics.insert(name.into(), own);
        }
        config
    }

    fn command(&self, arguments: &[&str]) -> Frostline {
        self.topics.frostline().args(arguments.iter().copied()).in_dir(self.dir.path())
    }

    fn run(&self) -> Frostline {
        self.command(&["run", "--until-caught-up", "--json", "--state-dir", "state"])
    }

    fn send(&self, lines: &[(String, String)]) {
        let records: Vec<_> =
            lines.iter().map(|(key, line)| (Some(key.as_bytes()), Some(line.as_bytes()))).collect();
        self.topics.send(topic::CSV_RAW, &records);
    }

    /// How often each observation was written, by station, date and revision.
    fn observations(&self) -> BTreeMap<String, u32> {
        count(self.topics.values(topic::JSON).iter().map(|observation| {
            let revision = observation.get("revision").and_then(Value::as_u64).unwrap_or(1);
            format!("{} {} {revision}", observation["station"]["id"], observation["date"])
        }))
    }

    fn alerts(&self) -> BTreeMap<String, u32> {
        count(self.topics.values(topic::ALERTS).iter().map(|alert| alert["alert_id"].to_string()))
    }
}

fn count(items: impl Iterator<Item = String>) -> BTreeMap<String, u32> {
    let mut counted = BTreeMap::new();
    items.for_each(|item| *counted.entry(item).or_default() += 1);
    counted
}

fn stations(count: u64) -> Settings {
    Settings {
        seed: 7,
        places: Places::Invented(count),
        start: Date::new(2024, 1, 1).unwrap(),
        days: 1,
        format: Format::Ghcn,
        oddities: false,
    }
}

/// Lines of the first days of 2024, by day. With `late`, the highest temperatures are among them, which make new
/// revisions of what was known without. Some stations fall silent in each half.
fn lines(days: std::ops::RangeInclusive<i32>, late: bool) -> Vec<(String, String)> {
    let first = Date::new(2024, 1, 1).unwrap();
    let mut lines = Vec::new();
    for day in days {
        let date = Date::from_days_since_1970(first.days_since_1970() + day - 1).unwrap().to_string();
        for (number, station) in (0..).zip(synthetic::stations(&stations(STATIONS))) {
            if number % 7 == 0 && day > 12 || number % 11 == 0 && day > 26 {
                continue;
            }
            let id = station.id.to_string();
            let mut line = |element: &str, tenths: i32| {
                lines.push((id.clone(), format!("{id},{},{element},{tenths},,,7,", date.replace('-', ""))));
            };
            // A few cold days, then a few mild ones, shifted by station.
            let minimum = if (day + number) % 9 < 5 { -35 - number % 10 } else { 25 + number % 10 };
            line("TMIN", minimum);
            if late || day % 2 == 0 {
                line("TMAX", minimum + 90);
            }
        }
    }
    lines
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn begin(installation: &Installation, topic: &str, partitions: i32) -> Result<Growth, GrowthError> {
    let config = installation.config(5);
    let topology = frostline::app::outline(&config).unwrap();
    let settings = config.engine_settings();
    patiently(|| Growth::begin(&settings, &topology, &config.topic(topic).name, partitions))
}

/// Another test in this process may have left a coordinator unanswered, after which none is asked for ten seconds.
fn patiently<T>(mut attempt: impl FnMut() -> Result<T, GrowthError>) -> Result<T, GrowthError> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match attempt() {
            Err(GrowthError::Kafka(KafkaError::Retry(_))) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(200));
            }
            outcome => return outcome,
        }
    }
}

/// Grows a topic in attempts that die after more and more steps, one of them within a transaction. Daemons must not start
/// meanwhile.
fn grow_with_crashes(installation: &Installation, name: &str, attempts: &[usize]) {
    let steps = begin(installation, name, 8).unwrap().steps();
    assert_eq!(steps.len(), 11, "a changelog, the state of eight partitions, the topic, offsets");
    for taken in attempts.iter().copied() {
        let mut growth = begin(installation, name, 8).unwrap();
        for step in &growth.steps()[..taken] {
            patiently(|| wait(growth.perform(step))).unwrap();
        }
        drop(growth);
        leave_open_transaction(installation, name);
        // State has moved in part; the topic has grown, and where its new partitions begin is not set.
        if [4, 10].contains(&taken) {
            let refused = installation.run().run().expect_code(2);
            assert!(
                refused.err.contains("is growing") && refused.err.contains("--partitions 8"),
                "{refused}"
            );
        }
        // Somebody has not stopped: what comes meanwhile is not read before the end.
        if taken == 4 && name == topic::CSV_RAW {
            installation.send(&lines(1..=2, false));
        }
    }
    let mut growth = begin(installation, name, 8).unwrap();
    for step in growth.steps() {
        let moved = wait(growth.perform(&step)).unwrap();
        if step == GrowthStep::HandOver && name == topic::CSV_RAW {
            assert_eq!(moved, lines(1..=2, false).len() as u64);
        }
    }
}

/// An attempt that died in the middle of moving state: what it has written must not count.
fn leave_open_transaction(installation: &Installation, name: &str) {
    let config = installation.config(5);
    let transaction = TransactionSettings {
        transactional_id: format!("{}frostline-growth", installation.topics.namespace),
        timeout_ms: 60_000,
    };
    let producer = Producer::new(&ClientSettings::new(&config.kafka).unwrap(), Some(&transaction)).unwrap();
    producer.ready().unwrap();
    let changelog = if name == topic::CSV_RAW { topic::ASSEMBLE_CHANGELOG } else { topic::ALERT_CHANGELOG };
    let changelog = config.topic(changelog).name;
    for partition in 0..5 {
        let garbage = Outgoing { partition: Some(partition), ..Outgoing::keyed(&changelog, b"garbage", b"") };
        producer.send(&garbage).unwrap();
    }
    producer.wait_acknowledged().unwrap();
}

/// The same lines in an installation that grows from five to eight partitions, and in one that has had eight all the time.
fn grown_in_use() {
    let wide = std::thread::spawn(|| Installation::new(8));
    let (grown, wide) = (Installation::new(5), wide.join().unwrap());
    run_both([&grown, &wide], &[lines(1..=20, false), vec![stray()]]);
    assert_eq!(grown.observations(), wide.observations());

    grow_with_crashes(&grown, topic::CSV_RAW, &[4, 9, 10]);
    grow_with_crashes(&grown, topic::JSON_US_AZ, &[1]);
    let json = [topic::JSON, "--partitions", "8", "--yes"];
    let outcome = grown.command(&["topics", "grow"]).args(json).run().expect_code(0);
    assert!(outcome.err.contains("topics.noaa-json.partitions = 8"), "{outcome}");
    grown.configure(8);
    let outcome = grown.command(&["topics", "grow"]).args(json).run().expect_code(0);
    assert!(outcome.out.contains("already has them") && !outcome.err.contains("Set topics"), "{outcome}");
    let described = grown.command(&["topics", "describe"]).run().expect_code(0);
    assert!(described.out.contains("8 partitions"), "{described}");

    run_both([&grown, &wide], &[lines(1..=20, false), lines(1..=40, true)]);
    let (observations, alerts) = (grown.observations(), grown.alerts());
    let twice: Vec<_> = observations.iter().chain(&alerts).filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "twice: {twice:?}");
    assert!(observations.keys().any(|observation| observation.ends_with(" 2")), "no revision: a weak test");
    assert_eq!(differences(&observations, &wide.observations()), "");
    assert_eq!(differences(&alerts, &wide.alerts()), "");
    for kind in ["lone/", "/stale", "/resolved", "spell/"] {
        assert!(alerts.keys().any(|id| id.contains(kind)), "no alert with {kind}: a weak test");
    }
    // A dead letter goes where its key is now, and not where it was.
    grown.import(STATIONS + 1);
    grown.command(&["dead-letters", "retry", "--all"]).run().expect_code(0);
    assert_eq!(grown.run().run().expect_code(0).summary()["observations"], 1);
    // The state directory was a cache of five partitions; without it the same is known.
    std::fs::remove_dir_all(grown.dir.path().join("state")).unwrap();
    grown.send(&lines(1..=40, true));
    grown.send(&[stray()]);
    let summary = grown.run().run().expect_code(0).summary();
    assert_eq!((&summary["observations"], &summary["alerts"]), (&0.into(), &0.into()));
}

/// Sends the same to both, and lets both work on it.
fn run_both(installations: [&Installation; 2], batches: &[Vec<(String, String)>]) {
    let running = installations.map(|installation| {
        batches.iter().for_each(|lines| installation.send(lines));
        installation.run().start()
    });
    for running in running {
        running.wait().expect_code(0);
    }
}

/// A line of a station that nobody knows at first, and that goes to another partition with eight than with five.
fn stray() -> (String, String) {
    let id = synthetic::stations(&stations(STATIONS + 1)).last().unwrap().id.to_string();
    assert_ne!(partition_of_key(id.as_bytes(), 5), partition_of_key(id.as_bytes(), 8), "choose another seed");
    (id.clone(), format!("{id},20240101,TMIN,95,,,7,"))
}

fn differences(found: &BTreeMap<String, u32>, expected: &BTreeMap<String, u32>) -> String {
    let missing =
        expected.keys().filter(|key| !found.contains_key(*key)).map(|key| format!("missing {key}\n"));
    let more =
        found.keys().filter(|key| !expected.contains_key(*key)).map(|key| format!("not expected {key}\n"));
    missing.chain(more).take(20).collect()
}

/// What cannot grow says why, and stays as it is.
fn refusals() {
    let topics = Topics::create();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rules.toml"), RULES).unwrap();
    let frostline =
        |arguments: &[&str]| topics.frostline().args(arguments.iter().copied()).in_dir(dir.path());
    let refused = |arguments: &[&str], reason: &str| {
        let outcome = frostline(&["topics", "grow"]).args(arguments.iter().copied()).run().expect_code(2);
        assert!(outcome.err.contains(reason), "{reason}\n{outcome}");
    };
    refused(&["noaa-json", "--partitions", "8"], "use --yes");
    refused(&["noaa-json", "--partitions", "3", "--yes"], "cannot remove any");
    refused(&["noaa-rules", "--partitions", "3", "--yes"], "it is a table");
    refused(&["frostline-alert-changelog", "--partitions", "8", "--yes"], "grows together with");
    refused(&["elsewhere", "--partitions", "8", "--yes"], "no stage of this installation");

    let observation =
        |id: &str| format!("{{\"station\":{{\"id\":\"{id}\"}},\"date\":\"2016-01-01\",\"TMIN\":1.5}}");
    let value = observation("USC00020080");
    topics.send(topic::JSON_US_AZ, &[(Some(b"USC00020080"), Some(value.as_bytes()))]);
    refused(&["noaa-json-us-az", "--partitions", "8", "--yes"], "run `frostline run --until-caught-up`");
    let run = ["run", "--stages", "alert", "--until-caught-up", "--state-dir", "state"];
    frostline(&run).run().expect_code(0);

    let daemon = frostline(&["run", "--stages", "filter", "--state-dir", "other"]).start();
    wait_for_member(&topics);
    refused(&["noaa-json-us-az", "--partitions", "8", "--yes"], "(group ");
    daemon.signal("TERM");
    daemon.wait().expect_code(0);

    // Another partitioner: every station in another partition than ours would be.
    send_elsewhere(&topics, &observation);
    frostline(&run).run().expect_code(0);
    refused(&["noaa-json-us-az", "--partitions", "8", "--yes"], "another partitioner");
    frostline(&["topics", "describe"]).run().expect_code(0);
}

fn wait_for_member(topics: &Topics) {
    let admin =
        frostline_engine::kafka::Admin::new(&ClientSettings::new(&topics.config().kafka).unwrap()).unwrap();
    let group = format!("{}frostline-filter", topics.namespace);
    while admin.count_members(&group).unwrap() == 0 {
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn send_elsewhere(topics: &Topics, observation: &dyn Fn(&str) -> String) {
    let config = topics.config();
    let producer = Producer::new(&ClientSettings::new(&config.kafka).unwrap(), None).unwrap();
    let name = config.topic(topic::JSON_US_AZ).name;
    for number in 10..40 {
        let id = format!("USC000300{number}");
        let place = partition_of_key(id.as_bytes(), 5);
        let value = observation(&id);
        let record = Outgoing::keyed(&name, id.as_bytes(), value.as_bytes());
        producer.send(&Outgoing { partition: Some((place + 1) % 5), ..record }).unwrap();
    }
    producer.wait_acknowledged().unwrap();
}
