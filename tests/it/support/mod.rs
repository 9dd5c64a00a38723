//! What the tests share: their list, the broker, the data, the program.

mod broker;
mod contract;
mod program;
mod servers;
mod tools;

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use flate2::read::MultiGzDecoder;
use frostline::noaa::{Codes, Compat, Station};
use frostline::stages::StationIndex;

pub use broker::{CALM, KeyValue, Topics, broker, script, stop_broker, transactional};
pub use program::{Frostline, Outcome, Running};
pub use servers::{
    Alertmanager, Browser, Doing, HttpServer, MailServer, Request, free_port, http, http_get, wait_for,
};
pub use tools::{parse_asyncapi, parse_cap, parse_feed, python_program};

/// What a test cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// A real Apache Kafka: `scripts/kafka`, or `FROSTLINE_KAFKA`.
    Broker,
    /// NOAA's data in `../shared/noaa`, or in `FROSTLINE_NOAA`.
    Data,
    /// `scripts/mail-server`.
    MailServer,
    /// Debian's Alertmanager.
    Alertmanager,
    /// Chromium and its driver.
    Browser,
    /// Python, and packages from PyPI.
    Python,
    /// Node.js, and packages from npm.
    Node,
    /// Minutes, for what other tests show too: with `FROSTLINE_SOAK=1`, which `.ci/run --soak` sets.
    Soak,
}

impl Needs {
    /// Why it is missing, if it is.
    pub fn missing(&self) -> Option<String> {
        match self {
            Self::Broker => broker::missing(),
            Self::MailServer => {
                static MISSING: OnceLock<Option<String>> = OnceLock::new();
                MISSING.get_or_init(MailServer::missing).clone()
            }
            Self::Alertmanager => Alertmanager::missing(),
            Self::Browser => Browser::missing(),
            Self::Python => tools::python_missing(),
            Self::Node => tools::node_missing(),
            Self::Soak => {
                let is_asked = std::env::var_os("FROSTLINE_SOAK").is_some_and(|value| value == "1");
                (!is_asked).then(|| "it takes minutes, and FROSTLINE_SOAK=1 is not set".to_owned())
            }
            Self::Data => {
                let dir = data_dir();
                let is_there = dir.join("ghcnd-stations.txt.gz").is_file();
                (!is_there).then(|| format!("NOAA's data is not in {} (or FROSTLINE_NOAA)", dir.display()))
            }
        }
    }
}

/// One test.
pub struct Test {
    pub name: &'static str,
    pub needs: &'static [Needs],
    pub run: fn(),
}

pub const fn test(name: &'static str, needs: &'static [Needs], run: fn()) -> Test {
    Test { name, needs, run }
}

fn data_dir() -> PathBuf {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/noaa");
    std::env::var_os("FROSTLINE_NOAA").map_or(beside, PathBuf::from)
}

/// The path of one of NOAA's files; `extract/…` is one of the small ones in the repository, which every test may use.
pub fn data(name: &str) -> PathBuf {
    match name.strip_prefix("extract/") {
        Some(name) => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/noaa").join(name),
        None => data_dir().join(name),
    }
}

/// The codes of countries or of states, from where the inventory comes from.
pub fn codes(inventory: &str, name: &str) -> PathBuf {
    let folder = if inventory.starts_with("extract/") { "extract/" } else { "ghcnd-" };
    data(&format!("{folder}{name}.txt"))
}

/// The text of one of NOAA's files, plain or gzipped.
pub fn read_data(name: &str) -> String {
    let mut text = String::new();
    let file = File::open(data(name)).unwrap();
    if name.ends_with(".gz") {
        MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    } else {
        std::io::BufReader::new(file).read_to_string(&mut text).unwrap();
    }
    text
}

/// The station table, read from an inventory without a broker.
pub fn station_index(inventory: &str, compat: Compat) -> Arc<StationIndex> {
    let codes = |name: &str| Codes::parse(&*std::fs::read(codes(inventory, name)).unwrap()).unwrap();
    let (countries, states) = (codes("countries"), codes("states"));
    let index = StationIndex::new(compat);
    for line in read_data(inventory).lines() {
        index.insert(&Station::parse_line(line.as_bytes(), &countries, &states).unwrap());
    }
    Arc::new(index)
}

/// Whether two JSON values are equal when numbers are compared as numbers.
pub fn same(left: &serde_json::Value, right: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (left, right) {
        (Number(left), Number(right)) => left.as_f64() == right.as_f64(),
        (Array(left), Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Object(left), Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| same(value, other)))
        }
        _ => left == right,
    }
}
