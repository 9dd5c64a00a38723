//! Keys of `[kafka.client]`: librdkafka's names have dots, which TOML reads as tables in tables.
//!
//! `"group.protocol" = "x"`, `group.protocol = "x"` and `--set kafka.client.group.protocol=x` all mean the same key.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use toml::{Table, Value};

/// Reads the settings, quoted or not. Numbers and booleans are taken as text.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let mut settings = BTreeMap::new();
    for (key, value) in Table::deserialize(deserializer)? {
        flatten(key, value, &mut |key, value| match as_text(&value) {
            None => Err(format!("kafka.client.\"{key}\": expected a text, a number, true or false")),
            Some(_) if settings.contains_key(&key) => Err(format!("kafka.client.\"{key}\" is set twice")),
            Some(text) => {
                settings.insert(key, text);
                Ok(())
            }
        })
        .map_err(D::Error::custom)?;
    }
    Ok(settings)
}

/// Gives the settings of one source their full names, so that those of a later source replace them.
pub(super) fn normalise(source: &mut Table) {
    let client = source.get_mut("kafka").and_then(|kafka| kafka.get_mut("client"));
    let Some(Value::Table(client)) = client else { return };
    let mut flat = Table::new();
    for (key, value) in std::mem::take(client) {
        let flattened: Result<(), std::convert::Infallible> = flatten(key, value, &mut |key, value| {
            flat.insert(key, value);
            Ok(())
        });
        match flattened {
            Ok(()) => {}
        }
    }
    *client = flat;
}

/// Calls `visit` with the full name and the value of each setting.
fn flatten<E>(
    key: String,
    value: Value,
    visit: &mut impl FnMut(String, Value) -> Result<(), E>,
) -> Result<(), E> {
    match value {
        Value::Table(inner) => {
            inner.into_iter().try_for_each(|(rest, value)| flatten(format!("{key}.{rest}"), value, visit))
        }
        value => visit(key, value),
    }
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(boolean) => Some(boolean.to_string()),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}
