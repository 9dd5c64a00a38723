//! The topics as an [AsyncAPI](https://www.asyncapi.com) document: for each its key, headers and values, and who writes and
//! reads it.
//!
//! The schemas of values come from the types that write and read them, and their descriptions from the comments of these
//! types. `docs/api/asyncapi.json` is the document of the default configuration; a test compares the two.

mod channel;
mod list;
mod operation;
mod schema;

use frostline_engine::StartError;
use serde_json::{Map, Value, json};

use crate::app;
use crate::config::Config;
use channel::Channel;
use list::CHANNELS;
use operation::operations;

/// The version of Kafka's bindings in AsyncAPI.
const BINDING: &str = "0.5.0";

const DESCRIPTION: &str = "\
The topics of one frostline installation. An operation that *receives* is a stage that reads a topic: to feed it, write \
records to that topic, with the station id as key, placed as Kafka's Java clients place keys (`murmur2_random` in \
librdkafka). An operation that *sends* is a stage, a source or a command that writes a topic: to follow it, read that topic \
with `isolation.level=read_committed`. Readers must ignore fields that they do not know: new versions add some.";

/// The AsyncAPI document of an installation.
///
/// # Errors
/// [`StartError::Usage`] if the configuration connects the stages in a way that cannot work.
pub fn asyncapi(config: &Config) -> Result<Value, StartError> {
    let topology = app::outline(config)?;
    let mut generator = schema::generator();
    let mut messages = Map::new();
    for message in CHANNELS.iter().flat_map(|channel| channel.messages) {
        messages.insert(message.id.into(), message.describe(&mut generator));
    }
    let channels: Map<String, Value> =
        CHANNELS.iter().map(|channel| (channel.topic.into(), channel.describe(config))).collect();
    let brokers = config.kafka.brokers.split(',').next().unwrap_or_default().trim();
    Ok(json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "frostline",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": { "host": brokers, "protocol": "kafka", "description": "A broker of the Kafka cluster." },
        },
        "channels": channels,
        "operations": operations(config, &topology),
        "components": { "messages": messages, "schemas": generator.take_definitions(true) },
    }))
}

/// The channel of a topic, by the name that Kafka knows.
fn channel_of(config: &Config, name: &str) -> Option<&'static Channel> {
    let logical = config.logical_name(name)?;
    CHANNELS.iter().find(|channel| channel.topic == logical)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::topic;

    #[test]
    fn each_topic_has_a_channel_and_each_reference_a_target() {
        let document = asyncapi(&Config::default()).unwrap();
        assert!(CHANNELS.iter().map(|channel| channel.topic).eq(topic::ALL));
        let text = document.to_string();
        let references = text.split("\"$ref\":\"#").skip(1);
        let references: Vec<&str> = references.filter_map(|rest| rest.split('"').next()).collect();
        assert!(references.len() > 50, "{}", references.len());
        for reference in references {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }

    #[test]
    fn each_field_is_described_in_plain_words() {
        fn check(path: &str, schema: &Value) {
            let described = |schema: &Value| {
                let text = schema["description"].as_str().unwrap_or_default();
                text.ends_with('.') && !text.contains(" told") && !text.contains("[`")
            };
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                assert!(described(property), "{path}.{name}: {property}");
            }
        }
        let document = asyncapi(&Config::default()).unwrap();
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            check(name, schema);
            assert!(schema["description"].is_string(), "{name}");
        }
    }

    #[test]
    fn names_and_partitions_are_those_of_the_configuration() {
        let mut config = Config::default();
        config.kafka.namespace = "test.".into();
        config.alert.source = topic::JSON.into();
        let document = asyncapi(&config).unwrap();
        let alerts = &document["channels"][topic::ALERTS];
        assert_eq!(alerts["address"], "test.noaa-json-alerts");
        assert_eq!(alerts["bindings"]["kafka"]["partitions"], 5);
        let alert = &document["operations"]["alert-receives"];
        assert_eq!(alert["channel"]["$ref"], "#/channels/noaa-json");
        assert_eq!(alert["bindings"]["kafka"]["groupId"]["const"], "test.frostline-alert");
    }
}
