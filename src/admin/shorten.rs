//! Shortens elements that are too large to keep and send: usually one long text or list takes most of the bytes, and
//! the rest describes the element.

use serde_json::{Map, Value};

use crate::printable::at_most;

/// Longest text in a shortened element, in characters.
const TEXT_CHARS_MAX: usize = 1_000;
/// The field with the original size of a shortened element, in bytes.
const CUT_BYTES: &str = "cut_bytes";

/// The JSON text of an object, unchanged if it has at most `bytes_max` bytes. Otherwise long texts are truncated,
/// fields that still do not fit are left out, and `cut_bytes` holds the original size.
pub(super) fn json_within(object: &Map<String, Value>, bytes_max: usize) -> String {
    let whole = serde_json::to_string(object).unwrap_or_default();
    if whole.len() <= bytes_max {
        return whole;
    }
    let mut left = bytes_max - CUT_BYTES.len() - 30;
    let mut shortened = members_within(object, &mut left);
    shortened.insert(CUT_BYTES.into(), whole.len().into());
    Value::Object(shortened).to_string()
}

/// The part of a value that fits into `left` bytes, which are subtracted.
fn within(value: &Value, left: &mut usize) -> Option<Value> {
    match value {
        Value::Object(members) => {
            *left = left.checked_sub(2)?;
            Some(members_within(members, left).into())
        }
        Value::Array(elements) => {
            *left = left.checked_sub(2)?;
            let element = |value| {
                let before = std::mem::replace(left, left.checked_sub(1)?);
                within(value, left).or_else(|| {
                    *left = before;
                    None
                })
            };
            Some(elements.iter().filter_map(element).collect())
        }
        Value::String(text) => {
            let shown = Value::from(at_most(text, TEXT_CHARS_MAX));
            *left = left.checked_sub(shown.to_string().len())?;
            Some(shown)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            *left = left.checked_sub(value.to_string().len())?;
            Some(value.clone())
        }
    }
}

fn members_within(members: &Map<String, Value>, left: &mut usize) -> Map<String, Value> {
    let member = |(name, value): (&String, &Value)| {
        let name_bytes = serde_json::to_string(name).ok()?.len() + 2;
        let before = std::mem::replace(left, left.checked_sub(name_bytes)?);
        let value = within(value, left);
        if value.is_none() {
            *left = before;
        }
        Some((name.clone(), value?))
    };
    members.iter().filter_map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cut(value: &Value, bytes_max: usize) -> Value {
        let text = json_within(value.as_object().unwrap(), bytes_max);
        assert!(text.len() <= bytes_max, "{} bytes", text.len());
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        let value = json!({ "b": 1, "a": ["x", null, { "c": "é" }] });
        assert_eq!(json_within(value.as_object().unwrap(), 100), value.to_string());
    }

    #[test]
    fn what_is_too_large_keeps_what_it_is_about() {
        let alert = json!({
            "offset": 7,
            "alert": {
                "note": "\u{1}".repeat(900_000),
                "station": { "id": "USC00020080", "more": vec!["y".repeat(900); 900] },
                "x".repeat(9_000): 1,
                "date": "2016-02-24",
            },
        });
        let shown = cut(&alert, 16 << 10);
        assert_eq!(shown["cut_bytes"], alert.to_string().len());
        assert_eq!((&shown["offset"], &shown["alert"]["station"]["id"]), (&7.into(), &"USC00020080".into()));
        assert!(shown["alert"]["note"].as_str().unwrap().ends_with('…'), "{shown}");
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_larger_than_allowed(
            texts in proptest::collection::vec(".{0,300}", 0..40),
            depth in 0_usize..60,
            bytes_max in 100_usize..5_000,
        ) {
            let inner: Value = texts.iter().map(|text| json!({ text: [text, 1.5, true] })).collect();
            let nested = (0..depth).fold(inner, |value, level| json!([level, { "v": value }]));
            let value = json!({ "first": nested, "last": texts });
            proptest::prop_assert!(json_within(value.as_object().unwrap(), bytes_max).len() <= bytes_max);
        }
    }
}
