//! The one broker of the tests, and topics of their own for each test.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use frostline::config::Config;
use frostline_engine::KafkaSettings;
use frostline_engine::kafka::{ClientSettings, Outgoing, Producer, TransactionSettings};
use rdkafka::admin::{AdminClient, AdminOptions};

use super::contract::{TEST_HEADER, check_records};
use super::{Frostline, codes, data, read_data, wait_for};

static BROKER: OnceLock<Result<Broker, String>> = OnceLock::new();

struct Broker {
    address: String,
    /// Set where we started it, so that we stop it.
    dir: Option<PathBuf>,
}

/// `scripts/kafka`, for a broker that runs for minutes: the second compiler of a JVM would take a third of its time.
pub fn script() -> Command {
    let mut script = Command::new(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/kafka"));
    script.env("KAFKA_JVM_PERFORMANCE_OPTS", "-Xms1g -Xmx1g -XX:+UseSerialGC -XX:TieredStopAtLevel=1");
    script
}

/// Where the broker has its data: a folder of our own, so that somebody's own broker in target/kafka is left alone. In
/// memory where there is enough: whatever else writes to the disk, such as installing what tests need, lets the broker's
/// fsync take up to ten seconds.
fn directory() -> PathBuf {
    const ENOUGH_BYTES: u64 = 8 << 30;
    const MEMORY: &str = "/dev/shm";
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let free = rustix::fs::statvfs(MEMORY).map_or(0, |found| found.f_bavail * found.f_frsize);
    match free > ENOUGH_BYTES {
        true => Path::new(MEMORY).join(format!("frostline-test{}", checkout.display()).replace('/', "-")),
        false => checkout.join("target/kafka-test"),
    }
}

fn start() -> Result<Broker, String> {
    if let Ok(address) = std::env::var("FROSTLINE_KAFKA") {
        return Ok(Broker { address, dir: None });
    }
    let dir = directory();
    let output = script().args(["start", "--dir"]).arg(&dir).output();
    let output = output.map_err(|error| format!("scripts/kafka cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("scripts/kafka start: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let address = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(Broker { address, dir: Some(dir) })
}

pub fn missing() -> Option<String> {
    BROKER.get_or_init(start).as_ref().err().cloned()
}

/// The broker's address.
pub fn broker() -> &'static str {
    &BROKER.get_or_init(start).as_ref().unwrap().address
}

/// Stops the broker, where the tests started it.
pub fn stop_broker() {
    if let Some(Ok(Broker { dir: Some(dir), .. })) = BROKER.get() {
        let _ = script().args(["stop", "--dir"]).arg(dir).output();
        let _ = std::fs::remove_dir_all(dir);
    }
}

/// Readers that wait for records ask the broker ten times a second. With the default, fifty, all daemons of the tests
/// together keep it busy with questions. And a start waits longer for a broker that stands still for a while.
pub const CALM: [&str; 4] =
    ["--set", "kafka.client.\"fetch.wait.max.ms\"=100", "--set", "kafka.connect_timeout_ms=30000"];

/// A producer with a transactional id, registered with the brokers.
pub fn transactional(settings: &KafkaSettings, id: &str) -> Producer {
    let transaction = TransactionSettings { transactional_id: id.to_owned(), timeout_ms: 20_000 };
    let producer = Producer::new(&ClientSettings::new(settings).unwrap(), Some(&transaction)).unwrap();
    wait_for("registering", Duration::from_secs(60), || producer.ready().ok());
    producer
}

/// A record's key and value.
pub type KeyValue<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// The topics of one test, under a namespace of their own. They are deleted at the end.
pub struct Topics {
    pub namespace: String,
}

impl Topics {
    /// Makes all topics.
    pub fn create() -> Self {
        let topics = Self::unmade();
        topics.frostline().args(["topics", "create"]).run().expect_code(0);
        topics
    }

    /// A namespace without topics.
    pub fn unmade() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let salt = fastrand::u32(..1_000_000);
        Self { namespace: format!("it-{}-{count}-{salt}.", std::process::id()) }
    }

    /// The program, set to these topics.
    pub fn frostline(&self) -> Frostline {
        Frostline::new()
            .args(["--brokers", broker()])
            .args(CALM)
            .args(["--set", &format!("kafka.namespace={}", self.namespace)])
    }

    /// The configuration that names these topics.
    pub fn config(&self) -> Config {
        let mut config = Config::default();
        config.kafka.brokers = broker().into();
        config.kafka.namespace.clone_from(&self.namespace);
        config
    }

    /// Fills the station table from one of NOAA's inventories.
    pub fn import_stations(&self, inventory: &str) {
        self.import(&data(inventory), inventory);
    }

    /// Fills it with those stations of an inventory that a file of lines has. Reading the whole inventory, at each start
    /// of a daemon again, takes several seconds in a debug build; `all_stations_load_within_memory` does it.
    pub fn import_stations_of(&self, file: &str, inventory: &str) {
        let lines = read_data(file);
        let ids: HashSet<&str> = lines.lines().map(|line| &line[..11]).collect();
        let mut kept = tempfile::NamedTempFile::new().unwrap();
        for station in read_data(inventory).lines().filter(|station| ids.contains(&station[..11])) {
            writeln!(kept, "{station}").unwrap();
        }
        self.import(kept.path(), inventory);
    }

    fn import(&self, stations: &Path, inventory: &str) {
        self.frostline()
            .args(["stations", "import"])
            .path(stations)
            .arg("--countries")
            .path(&codes(inventory, "countries"))
            .arg("--states")
            .path(&codes(inventory, "states"))
            .run()
            .expect_code(0);
    }

    /// Replays one of NOAA's files into a topic.
    pub fn replay(&self, file: &str, topic: &str) {
        self.frostline().arg("replay").path(&data(file)).args(["--topic", topic]).run().expect_code(0);
    }

    /// Sends raw records into one of the topics, with the time of now.
    pub fn send(&self, logical: &str, records: &[KeyValue<'_>]) {
        self.send_at(-1, logical, records);
    }

    /// Sends raw records with this timestamp, in milliseconds since 1970.
    pub fn send_at(&self, timestamp_ms: i64, logical: &str, records: &[KeyValue<'_>]) {
        let producer = Producer::new(&ClientSettings::new(&self.config().kafka).unwrap(), None).unwrap();
        self.send_through(&producer, timestamp_ms, logical, records);
    }

    /// Sends raw records through a producer, and waits until the broker has them.
    pub fn send_through(
        &self,
        producer: &Producer,
        timestamp_ms: i64,
        logical: &str,
        records: &[KeyValue<'_>],
    ) {
        let name = self.config().topic(logical).name;
        for (key, value) in records {
            producer
                .send(&Outgoing {
                    topic: &name,
                    partition: None,
                    key: *key,
                    value: *value,
                    timestamp_ms,
                    headers: &[(TEST_HEADER.into(), Some(b"abc".to_vec()))],
                    changelog: None,
                })
                .unwrap();
        }
        producer.wait_acknowledged().unwrap();
    }

    /// Deletes the records of a partition before an offset, as retention does.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut settings = rdkafka::ClientConfig::new();
        let admin: AdminClient<_> = settings.set("bootstrap.servers", broker()).create().unwrap();
        let (name, before) = (format!("{}{topic}", self.namespace), rdkafka::Offset::Offset(before));
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition_offset(&name, partition, before).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(admin.delete_records(&list, &AdminOptions::new())).unwrap();
    }

    /// All records of a topic, as `frostline tail --json` shows them. Each must be as the contract of the topic says.
    pub fn records(&self, topic: &str) -> Vec<serde_json::Value> {
        let outcome = self
            .frostline()
            .args(["tail", topic, "--from-beginning", "--until-end", "--json"])
            .run()
            .expect_code(0);
        let records = outcome.json_lines();
        // Anybody writes lines: also those whose key is wrong, which become dead letters.
        if !matches!(topic, "noaa-csv-raw" | "noaa-raw") {
            check_records(&self.namespace, topic, &records);
        }
        records
    }

    /// The values of all records of a topic.
    pub fn values(&self, topic: &str) -> Vec<serde_json::Value> {
        self.records(topic).into_iter().map(|mut record| record["value"].take()).collect()
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        // What a failed test left behind may be looked at.
        if !std::thread::panicking() {
            self.frostline().args(["topics", "delete", "--yes"]).run();
        }
    }
}
