//! A topic and its records, as AsyncAPI describes them.

use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::BINDING;
use crate::config::Config;

/// A topic.
pub(super) struct Channel {
    /// Its logical name; Kafka may know it by another.
    pub(super) topic: &'static str,
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    /// The kinds of its records.
    pub(super) messages: &'static [Message],
    /// The sources of weather that write it.
    pub(super) sources: &'static [&'static str],
    /// The commands that write it, without `frostline`.
    pub(super) commands: &'static [&'static str],
}

/// A kind of record.
pub(super) struct Message {
    /// Unique among all.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) key: Key,
    pub(super) headers: &'static [Header],
    pub(super) value: Payload,
}

/// What the key of a record is.
pub(super) enum Key {
    StationId,
    /// Text, by its description and pattern.
    Text(&'static str, &'static str),
    /// Anything.
    Any(&'static str),
}

/// A header: its name, its meaning.
pub(super) type Header = (&'static str, &'static str);

/// Any record that is not private may have come back.
const RETRIED: Header = (
    "frostline-retried-from",
    "The dead letter that the record was written from again: `topic/partition@offset`.",
);

/// What the value of a record is.
pub(super) enum Payload {
    /// JSON of this schema.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// Text.
    Text(&'static str),
    /// Bytes, by a description.
    Bytes(&'static str),
}

impl Channel {
    /// The channel in this configuration.
    pub(super) fn describe(&self, config: &Config) -> Value {
        let plan = config.topic(self.topic);
        let mut kept = Map::new();
        let cleanup = if plan.is_compacted { "compact" } else { "delete" };
        kept.insert("cleanup.policy".into(), json!([cleanup]));
        if let Some(ms) = plan.retention_ms() {
            kept.insert("retention.ms".into(), ms.into());
        }
        let mut kafka = json!({
            "topic": plan.name,
            "partitions": plan.partitions,
            "topicConfiguration": kept,
            "bindingVersion": BINDING,
        });
        if let Some(replication) = plan.replication {
            kafka["replicas"] = replication.into();
        }
        let reference =
            |message: &Message| json!({ "$ref": format!("#/components/messages/{}", message.id) });
        let messages: Map<String, Value> =
            self.messages.iter().map(|message| (message.id.into(), reference(message))).collect();
        json!({
            "address": plan.name,
            "title": self.title,
            "description": self.description,
            "messages": messages,
            "bindings": { "kafka": kafka },
        })
    }
}

impl Message {
    /// The message, whose schemas are added to `generator`.
    pub(super) fn describe(&self, generator: &mut SchemaGenerator) -> Value {
        let (content_type, payload) = match self.value {
            Payload::Json(schema) => ("application/json", schema(generator).to_value()),
            Payload::Text(meaning) => ("text/plain", json!({ "type": "string", "description": meaning })),
            Payload::Bytes(meaning) => ("application/octet-stream", json!({ "description": meaning })),
        };
        let key = match self.key {
            Key::StationId => generator.subschema_for::<crate::noaa::StationId>().to_value(),
            Key::Text(meaning, pattern) => {
                json!({ "type": "string", "description": meaning, "pattern": pattern })
            }
            Key::Any(meaning) => json!({ "description": meaning }),
        };
        let mut message = json!({
            "name": self.id,
            "title": self.title,
            "contentType": content_type,
            "payload": payload,
            "bindings": { "kafka": { "key": key, "bindingVersion": BINDING } },
        });
        let is_private = matches!(self.value, Payload::Bytes(_));
        let headers = self.headers.iter().chain((!is_private).then_some(&RETRIED));
        let header = |(name, meaning): &Header| {
            ((*name).to_owned(), json!({ "type": "string", "description": meaning }))
        };
        let headers: Map<String, Value> = headers.map(header).collect();
        if !headers.is_empty() {
            message["headers"] = json!({ "type": "object", "properties": headers });
        }
        message
    }
}
