//! Changes the top level of a JSON object without touching its inner values.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Deepest nesting that is accepted. serde_json skips unread values without a limit of its own.
const DEPTH_MAX: usize = 64;

/// The fields of an object, in order, with their values as written.
pub(super) struct RawObject<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> RawObject<'a> {
    /// Parses an object of limited depth.
    ///
    /// # Errors
    /// A sentence for the dead letter.
    pub(super) fn parse(value: &'a [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(value)
            .map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to()))?;
        if is_too_deep(value) {
            return Err(format!("the JSON is nested deeper than {DEPTH_MAX} levels"));
        }
        serde_json::from_str(text).map_err(|error| format!("not a JSON object: {error}"))
    }

    /// The bytes of a field's value, as written.
    pub(super) fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.get())
    }

    /// The value of a field that is a string.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        let raw: &'a RawValue = self.0.iter().find(|(key, _)| key == name)?.1;
        serde_json::from_str::<&'a str>(raw.get())
            .map(Cow::Borrowed)
            .or_else(|_| serde_json::from_str::<String>(raw.get()).map(Cow::Owned))
            .ok()
    }

    /// Writes the fields that `keep` names, each after a comma unless it is the first in the object.
    pub(super) fn write_fields(&self, out: &mut Vec<u8>, keep: impl Fn(&str) -> bool) {
        for (key, value) in self.0.iter().filter(|(key, _)| keep(key)) {
            if out.last() != Some(&b'{') {
                out.push(b',');
            }
            write_string(out, key);
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
        }
    }
}

/// Writes `text` as a JSON string.
pub(super) fn write_string(out: &mut Vec<u8>, text: &str) {
    // Writing into a vector cannot fail.
    let _ = serde_json::to_writer(out, text);
}

/// Whether brackets nest deeper than the limit, not counting strings.
pub(super) fn is_too_deep(value: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in value {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return true;
        }
    }
    false
}

impl<'de: 'a, 'a> Deserialize<'de> for RawObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = RawObject<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(24);
                while let Some(Name(key)) = map.next_key()? {
                    fields.push((key, map.next_value::<&'de RawValue>()?));
                }
                Ok(RawObject(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// A key, borrowed unless it contains escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_kept_as_they_were_written() {
        let object = RawObject::parse(br#"{"a": 1.0, "_id": null, "b\u0062": {"x": [1, 2]}}"#).unwrap();
        let mut out = b"{".to_vec();
        object.write_fields(&mut out, |key| key != "_id");
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"a":1.0,"bb":{"x": [1, 2]}"#);
    }

    #[test]
    fn depth_is_limited_and_brackets_in_strings_do_not_count() {
        assert!(is_too_deep(format!("{{\"a\":{}", "[".repeat(70)).as_bytes()));
        assert!(!is_too_deep(format!("{{\"a\":\"\\\"{}\"}}", "[".repeat(700)).as_bytes()));
    }
}
