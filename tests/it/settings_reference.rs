//! The table of all settings, made from the structs of the configuration: their fields, comments, bounds and defaults.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use frostline::config::{BODY_FIELDS, Config, Guarantee, MailTls, OffsetReset, SUBJECT_FIELDS};
use frostline::noaa::Compat;
use frostline::stages::Validate;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::references::root;

/// Where the structs are.
const FILES: [&str; 6] = [
    "src/config/mod.rs",
    "src/config/admin.rs",
    "src/config/topics.rs",
    "src/config/notify.rs",
    "src/config/email.rs",
    "src/config/follow.rs",
];
const ENGINE_FILE: &str = "crates/engine/src/settings.rs";

/// A field of a struct as it is in the code.
struct Field {
    /// As written in files.
    name: String,
    /// In Rust.
    kind: String,
    /// Its comment.
    doc: String,
}

/// The code of the configuration.
struct Code {
    text: String,
    /// By key: the least and the most, where they are numbers in the code.
    bounds: BTreeMap<String, (Option<u64>, Option<u64>)>,
    defaults: Value,
}

pub fn settings_reference() -> String {
    let files = FILES.iter().chain([&ENGINE_FILE]);
    let text: String = files.map(|file| fs::read_to_string(root().join(file)).unwrap()).collect();
    let mut code = Code { bounds: bounds(&text), defaults: Value::Null, text };
    let mut sections = String::new();
    code.list_sections("", "Config", &mut sections);
    // With all sections, so that all have their defaults.
    let config: Config = toml::from_str(&sections).unwrap_or_else(|error| panic!("{error}\n{sections}"));
    code.defaults = serde_json::to_value(config).unwrap();
    let mut text = String::new();
    code.write("", "Config", &mut text);
    write_topics(&mut text);
    text
}

impl Code {
    /// The fields of a struct; `None` where there is no such struct here.
    fn fields(&self, name: &str) -> Option<Vec<Field>> {
        let (_, body) = self.text.split_once(&format!("\npub struct {name} {{\n"))?;
        let body = body.split("\n}").next().unwrap();
        let (mut fields, mut doc, mut renamed) = (Vec::new(), Vec::new(), None);
        for line in body.lines().map(str::trim) {
            if let Some(words) = line.strip_prefix("///") {
                doc.push(words.trim());
            } else if let Some((_, rest)) = line.split_once("rename = \"") {
                renamed = rest.split('"').next().map(str::to_owned);
            } else if let Some((name, kind)) =
                line.strip_prefix("pub ").and_then(|rest| rest.split_once(": "))
            {
                let name = renamed.take().unwrap_or_else(|| name.to_owned());
                let kind = kind.trim_end_matches(',').to_owned();
                fields.push(Field { name, kind, doc: plain(&doc.join(" ")) });
                doc.clear();
            }
        }
        Some(fields)
    }

    /// The comment on a struct.
    fn about(&self, name: &str) -> String {
        let (before, _) = self.text.split_once(&format!("\npub struct {name} {{\n")).unwrap();
        let lines = before.lines().rev().skip_while(|line| line.starts_with("#["));
        let mut doc: Vec<&str> = lines.map_while(|line| line.strip_prefix("///")).map(str::trim).collect();
        doc.reverse();
        plain(&doc.join(" "))
    }

    /// The struct of a section, and how its key goes on: by nothing, or by a name that people choose.
    fn section<'a>(&self, kind: &'a str) -> Option<(&'a str, &'static str)> {
        let of = |prefix: &str| kind.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('>'));
        let (inner, more) = match (of("Option<"), of("BTreeMap<String, ")) {
            (Some(inner), _) => (inner, ""),
            (_, Some(inner)) => (inner, ".NAME"),
            _ => (kind, ""),
        };
        self.fields(inner).map(|_| (inner, more))
    }

    /// Writes the headers of all sections, as a file.
    fn list_sections(&self, key: &str, of: &str, text: &mut String) {
        for field in self.fields(of).unwrap() {
            let key = if key.is_empty() { field.name.clone() } else { format!("{key}.{}", field.name) };
            let Some((inner, more)) = self.section(&field.kind) else { continue };
            // Of topics those that are known.
            let more = if key == "topics" { ".noaa-json" } else { more };
            writeln!(text, "[{key}{more}]").unwrap();
            self.list_sections(&format!("{key}{more}"), inner, text);
        }
    }

    fn write(&self, key: &str, of: &str, text: &mut String) {
        let fields = self.fields(of).unwrap();
        let (sections, settings): (Vec<&Field>, Vec<&Field>) =
            fields.iter().partition(|field| self.section(&field.kind).is_some());
        if !key.is_empty() {
            write!(text, "\n### `[{key}]`\n\n{}\n\n", self.about(of)).unwrap();
        }
        if !settings.is_empty() {
            text.push_str("| key | type | default | meaning |\n|---|---|---|---|\n");
        }
        for Field { name, kind, doc } in settings {
            let full = format!("{key}.{name}");
            let (kind, default) = (self.kind(&full, kind), self.default(&full));
            writeln!(text, "| `{name}` | {kind} | {default} | {doc} |").unwrap();
        }
        for field in sections {
            let (inner, more) = self.section(&field.kind).unwrap();
            let dot = if key.is_empty() { "" } else { "." };
            self.write(&format!("{key}{dot}{}{more}", field.name), inner, text);
        }
    }

    /// A type for people.
    fn kind(&self, key: &str, kind: &str) -> String {
        let inner = kind.strip_prefix("Option<").and_then(|rest| rest.strip_suffix('>')).unwrap_or(kind);
        let number = || {
            let shown = |bound: Option<u64>| bound.map(grouped);
            match self.bounds.get(key) {
                Some((Some(least), Some(most))) => {
                    format!("number, {} to {}", grouped(*least), grouped(*most))
                }
                Some((None, most @ Some(_))) => format!("number, at most {}", shown(*most).unwrap()),
                Some((least @ Some(_), None)) => format!("number, at least {}", shown(*least).unwrap()),
                _ => "number".to_owned(),
            }
        };
        match inner {
            "String" => "text".to_owned(),
            "PathBuf" => "path".to_owned(),
            "bool" => "`true` or `false`".to_owned(),
            "Secret" => "secret".to_owned(),
            "ServerUrl" => "address".to_owned(),
            "u16" | "u32" | "u64" | "usize" | "i32" => number(),
            "BTreeMap<String, String>" => "librdkafka's settings".to_owned(),
            "Guarantee" => variants::<Guarantee>(),
            "OffsetReset" => variants::<OffsetReset>(),
            "Validate" => variants::<Validate>(),
            "Compat" => variants::<Compat>(),
            "MailTls" => variants::<MailTls>(),
            other => panic!("{key}: how is the type {other} called for people?"),
        }
    }

    fn default(&self, key: &str) -> String {
        // A name that people choose is there as such; of topics one stands for all.
        let key = key.replace("topics.NAME", "topics.noaa-json");
        let value = key.split('.').try_fold(&self.defaults, |value, part| value.get(part));
        match value {
            Some(Value::Number(number)) => number.as_u64().map_or_else(|| number.to_string(), grouped),
            Some(Value::String(text)) if !text.is_empty() => format!("`\"{text}\"`"),
            Some(Value::Bool(flag)) => format!("`{flag}`"),
            _ => "none".to_owned(),
        }
    }
}

/// What serde says that it expected.
fn variants<T: DeserializeOwned>() -> String {
    let error = serde_json::from_str::<T>("\"?\"").err().unwrap().to_string();
    let names: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
    assert!(!names.is_empty(), "{error}");
    let quoted: Vec<String> = names.iter().map(|name| format!("`\"{name}\"`")).collect();
    let (last, rest) = quoted.split_last().unwrap();
    format!("{} or {last}", rest.join(", "))
}

/// A comment without the links of rustdoc, and with the lists that it points at.
fn plain(doc: &str) -> String {
    let braces =
        |names: &[&str]| names.iter().map(|name| format!("`{{{name}}}`")).collect::<Vec<_>>().join(", ");
    let body: Vec<&str> = BODY_FIELDS.iter().map(|(name, _)| *name).collect();
    doc.replace("the fields of [`SUBJECT_FIELDS`] in braces", &braces(&SUBJECT_FIELDS))
        .replace("the fields of [`super::BODY_FIELDS`] in braces", &braces(&body))
        .replace("[`", "`")
        .replace("`]", "`")
        .replace('|', "\\|")
}

/// 10,000 for 10000.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The bounds of numbers, from calls such as `within("runtime.workers", …, 0, 256)`.
fn bounds(code: &str) -> BTreeMap<String, (Option<u64>, Option<u64>)> {
    let mut found = BTreeMap::new();
    for (_, rest) in code.match_indices("within(\"").map(|(at, call)| (at, &code[at + call.len()..])) {
        let call = rest.split(['?', ';', '}']).next().unwrap().trim_end().trim_end_matches(')');
        let (key, arguments) = call.split_once('"').unwrap();
        let number = |text: Option<&str>| text.and_then(|text| text.trim().replace('_', "").parse().ok());
        let mut last = arguments.rsplit(',');
        let (most, least) = (number(last.next()), number(last.next()));
        found.insert(key.to_owned(), (least, most));
    }
    found
}

/// What each topic has by default.
fn write_topics(text: &mut String) {
    let mut config = Config::default();
    config.spell_out_topics();
    let topics = serde_json::to_value(&config.topics).unwrap();
    text.push_str(
        "\nThe topics, with their defaults:\n\n| NAME | partitions | retention_days |\n|---|--:|--:|\n",
    );
    for (name, topic) in topics.as_object().unwrap() {
        let days =
            topic["retention_days"].as_u64().map_or_else(|| "compacted".to_owned(), |days| days.to_string());
        writeln!(text, "| `{name}` | {} | {days} |", topic["partitions"]).unwrap();
    }
}
