//! Who reads and writes which topic: the stages of the topology, the sources, and commands.

use frostline_engine::Topology;
use serde_json::{Map, Value, json};

use super::list::CHANNELS;
use super::{BINDING, channel_of};
use crate::config::{Config, topic};

/// All operations, by their ids.
pub(super) fn operations(config: &Config, topology: &Topology) -> Map<String, Value> {
    let mut all = Map::new();
    for stage in topology.stages() {
        let id = stage.id.as_str();
        let group = topology.group(stage.id);
        let receive = channel_of(config, &stage.source.name).map(|channel| Value::from_iter([
            ("action", "receive".into()),
            ("channel", reference(channel.topic)),
            ("summary", format!("The stage {id} reads records, with its own consumer group.").into()),
            ("bindings", json!({ "kafka": { "groupId": { "type": "string", "const": group }, "bindingVersion": BINDING } })),
        ]));
        all.extend(receive.map(|receive| (format!("{id}-receives"), receive)));
        for sink in std::iter::once(&stage.sink).chain(stage.named_sinks.iter().map(|(_, sink)| sink)) {
            let summary = format!("The stage {id} writes records.");
            add_send(&mut all, config, format!("{id}-sends"), &sink.name, &summary);
        }
        if let Some(changelog) = &stage.changelog {
            let summary = format!("The stage {id} writes the changes of its state.");
            add_send(&mut all, config, format!("{id}-sends-changes"), &changelog.name, &summary);
        }
    }
    for channel in CHANNELS {
        let name = config.topic(channel.topic).name;
        for source in channel.sources {
            let summary = format!("The source {source} writes records.");
            add_send(&mut all, config, format!("{source}-sends-{}", channel.topic), &name, &summary);
        }
        for command in channel.commands {
            let id = format!("{}-sends-{}", command.replace(' ', "-"), channel.topic);
            let summary = format!("The command `frostline {command}` writes records.");
            add_send(&mut all, config, id, &name, &summary);
        }
    }
    for table in [topic::STATIONS, topic::RULES] {
        let summary = "Each process reads the whole table, and follows it.";
        let receive = json!({ "action": "receive", "channel": reference(table), "summary": summary });
        all.insert(format!("tables-receive-{table}"), receive);
    }
    let dead_letters = config.topic(topic::DEAD_LETTERS).name;
    let summary = "Each stage writes the records that it cannot process.";
    add_send(&mut all, config, "stages-send-dead-letters".into(), &dead_letters, summary);
    all
}

fn add_send(all: &mut Map<String, Value>, config: &Config, id: String, name: &str, summary: &str) {
    if let Some(channel) = channel_of(config, name) {
        let send = json!({ "action": "send", "channel": reference(channel.topic), "summary": summary });
        all.insert(id, send);
    }
}

fn reference(logical: &str) -> Value {
    json!({ "$ref": format!("#/channels/{logical}") })
}
