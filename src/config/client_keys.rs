//! Keys of `[kafka.client]`: librdkafka's names have dots, which TOML reads as nested tables.
//!
//! `"group.protocol" = "x"`, `group.protocol = "x"` and `--set kafka.client.group.protocol=x` all mean the same key.

use toml::{Table, Value};

/// Gives the settings of one source their full names, so that settings of a later source replace them.
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
