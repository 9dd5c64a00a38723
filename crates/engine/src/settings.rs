//! How an engine reaches Kafka and how it runs. Plain values; the application decides where they come from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// How to reach Kafka.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaSettings {
    /// `HOST:PORT`, or several separated by commas.
    pub brokers: String,
    /// Prefix of every group and transactional id, exactly as written, so end it with a separator.
    pub namespace: String,
    /// How long to wait for a broker at the start, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Settings that are passed to librdkafka. Values may be `${env:NAME}` or `${file:PATH}`. Names need no quotes:
    /// formats such as TOML read `group.protocol = "x"` as a table, and it means the same as `"group.protocol" =
    /// "x"`.
    #[serde(deserialize_with = "client_settings")]
    pub client: BTreeMap<String, String>,
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self {
            brokers: "127.0.0.1:9092".into(),
            namespace: String::new(),
            connect_timeout_ms: 10_000,
            client: BTreeMap::new(),
        }
    }
}

/// A value of a client setting, or a table of settings whose names continue.
enum ClientValue {
    Text(String),
    Names(BTreeMap<String, ClientValue>),
    /// A list, or another value that no setting can have.
    Unfit,
}

impl<'de> Deserialize<'de> for ClientValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ClientValueVisitor)
    }
}

struct ClientValueVisitor;

impl<'de> Visitor<'de> for ClientValueVisitor {
    type Value = ClientValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CLIENT_VALUE)
    }

    fn visit_str<E>(self, text: &str) -> Result<ClientValue, E> {
        Ok(ClientValue::Text(text.to_owned()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<ClientValue, E> {
        Ok(ClientValue::Text(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<ClientValue, E> {
        Ok(ClientValue::Text(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<ClientValue, E> {
        Ok(ClientValue::Text(number.to_string()))
    }

    fn visit_bool<E>(self, boolean: bool) -> Result<ClientValue, E> {
        Ok(ClientValue::Text(boolean.to_string()))
    }

    fn visit_map<A: MapAccess<'de>>(self, names: A) -> Result<ClientValue, A::Error> {
        Deserialize::deserialize(MapAccessDeserializer::new(names)).map(ClientValue::Names)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ClientValue, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(ClientValue::Unfit)
    }
}

const CLIENT_VALUE: &str = "a text, a number, true or false";

fn client_settings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let mut settings = BTreeMap::new();
    for (name, value) in BTreeMap::<String, ClientValue>::deserialize(deserializer)? {
        flatten(name, value, &mut settings).map_err(D::Error::custom)?;
    }
    Ok(settings)
}

fn flatten(name: String, value: ClientValue, settings: &mut BTreeMap<String, String>) -> Result<(), String> {
    let text = match value {
        ClientValue::Names(names) => {
            let mut names = names.into_iter();
            return names.try_for_each(|(rest, value)| flatten(format!("{name}.{rest}"), value, settings));
        }
        ClientValue::Text(text) => text,
        ClientValue::Unfit => return Err(format!("kafka.client.\"{name}\": expected {CLIENT_VALUE}")),
    };
    match settings.insert(name.clone(), text) {
        Some(_) => Err(format!("kafka.client.\"{name}\" is set twice")),
        None => Ok(()),
    }
}

/// What happens to outputs if something crashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guarantee {
    /// Outputs, state and offsets are one transaction: nothing is lost, and nothing appears twice.
    #[default]
    ExactlyOnce,
    /// Nothing is lost; after a crash some outputs may be written twice.
    AtLeastOnce,
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ExactlyOnce => "exactly_once",
            Self::AtLeastOnce => "at_least_once",
        })
    }
}

/// Where to start reading without a committed offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OffsetReset {
    /// At the oldest record that is kept.
    #[default]
    Earliest,
    /// At the records that are written from now on.
    Latest,
}

/// The settings of an engine.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// How to reach Kafka.
    pub kafka: KafkaSettings,
    /// The processing guarantee; see [`Guarantee`].
    pub guarantee: Guarantee,
    /// Time between two commits.
    pub commit_interval: Duration,
    /// Threads that process records, shared by all stages.
    pub workers: usize,
    /// Where local state is kept; one process at a time.
    pub state_dir: PathBuf,
    /// Where to start if a group has no committed offset.
    pub auto_offset_reset: OffsetReset,
    /// How long the group waits for a silent member. If it is shorter than the failover of a broker (9 to 13 s by
    /// default), a failover makes all members lose their partitions. Ignored with `group.protocol = consumer`.
    pub session_timeout: Duration,
    /// How many times within ten minutes a failed worker is restarted before its stage ends.
    pub restarts_max: u32,
    /// Time limit for a shutdown, and for giving up partitions.
    pub shutdown_timeout: Duration,
    /// Time after which the brokers abort a transaction whose owner is silent.
    pub transaction_timeout: Duration,
    /// Static membership: the name of this process in its groups; empty for dynamic membership.
    pub group_instance_id: String,
    /// How long a partition may stand still while its thread is alive before the engine reports a failure.
    pub stall_timeout: Duration,
    /// For how many days an entry of state is kept after it was last written, by the timestamps of the records.
    pub remember_days: u32,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            kafka: KafkaSettings::default(),
            guarantee: Guarantee::default(),
            commit_interval: Duration::from_millis(100),
            workers: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            state_dir: "state".into(),
            auto_offset_reset: OffsetReset::default(),
            session_timeout: Duration::from_secs(15),
            restarts_max: 10,
            shutdown_timeout: Duration::from_secs(30),
            transaction_timeout: Duration::from_secs(10),
            group_instance_id: String::new(),
            stall_timeout: Duration::from_secs(120),
            remember_days: 400,
        }
    }
}
