//! Records of topics against the contract of these topics, by an independent JSON Schema validator.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, OnceLock};

use frostline::config::Config;
use frostline::contract::asyncapi;
use jsonschema::{Validator, draft7};
use serde_json::{Value, json};

use super::Needs;

/// The header of records that tests write themselves: some of them are wrong on purpose.
pub const TEST_HEADER: &str = "trace";

/// Of more records than this, which one call shows, only a part is checked, unless the run is a long one.
const RECORDS_MAX: usize = 500;

/// What the contract says of one topic.
struct Contract {
    key: Validator,
    /// `None` where values are not JSON.
    value: Option<Validator>,
    headers: Vec<String>,
}

/// By the logical name of the topic.
fn contracts() -> &'static BTreeMap<String, Contract> {
    static CONTRACTS: OnceLock<BTreeMap<String, Contract>> = OnceLock::new();
    CONTRACTS.get_or_init(|| {
        let document = asyncapi(&Config::default()).unwrap();
        let channels = document["channels"].as_object().unwrap();
        channels.iter().map(|(topic, channel)| (topic.clone(), Contract::of(channel, &document))).collect()
    })
}

impl Contract {
    fn of(channel: &Value, document: &Value) -> Self {
        let references = channel["messages"].as_object().unwrap().values();
        let references: Vec<&str> = references.map(|message| message["$ref"].as_str().unwrap()).collect();
        let messages: Vec<&Value> =
            references.iter().map(|reference| document.pointer(&reference[1..]).unwrap()).collect();
        let any_of = |part: &str| {
            let parts: Vec<Value> =
                references.iter().map(|reference| json!({ "$ref": format!("{reference}/{part}") })).collect();
            draft7::new(&json!({ "anyOf": parts, "components": document["components"] })).unwrap()
        };
        let is_json = messages.iter().all(|message| message["contentType"] == "application/json");
        let headers = messages.iter().flat_map(|message| message["headers"]["properties"].as_object());
        Self {
            key: any_of("bindings/kafka/key"),
            value: is_json.then(|| any_of("payload")),
            headers: headers.flat_map(|headers| headers.keys().cloned()).collect(),
        }
    }

    fn errors(&self, record: &Value) -> Vec<String> {
        let mut errors: Vec<String> =
            self.key.iter_errors(&record["key"]).map(|error| format!("key: {error}")).collect();
        let value = self.value.as_ref().filter(|_| !record["value"].is_null());
        let of_value = value.map(|validator| validator.iter_errors(&record["value"]));
        errors.extend(of_value.into_iter().flatten().map(|error| format!("value: {error}")));
        let own = record["headers"].as_object().into_iter().flatten();
        let unknown = own.filter(|(name, _)| name.starts_with("frostline-") && !self.headers.contains(name));
        errors.extend(unknown.map(|(name, _)| format!("header {name} is not described")));
        errors
    }
}

/// Checks records as `frostline tail --json` shows them, each once. Those that a test wrote itself are left out.
#[track_caller]
pub fn check_records(namespace: &str, topic: &str, records: &[Value]) {
    static CHECKED: Mutex<Option<HashSet<(String, i64, i64)>>> = Mutex::new(None);
    let Some(contract) = contracts().get(topic) else { return };
    let every = if Needs::Soak.missing().is_none() { 1 } else { records.len().div_ceil(RECORDS_MAX).max(1) };
    let written = records.iter().step_by(every).filter(|record| record["headers"][TEST_HEADER].is_null());
    let place = |record: &Value| {
        (
            format!("{namespace}{topic}"),
            record["partition"].as_i64().unwrap(),
            record["offset"].as_i64().unwrap(),
        )
    };
    // Tests that wait for a record look at the earlier ones again and again.
    let new: Vec<&Value> = {
        let mut checked = CHECKED.lock().unwrap();
        let checked = checked.get_or_insert_default();
        written.filter(|record| checked.insert(place(record))).collect()
    };
    for record in new {
        let errors = contract.errors(record);
        assert!(errors.is_empty(), "{topic}: the contract is broken: {errors:#?}\n{record:#}");
    }
}
