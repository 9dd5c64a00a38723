//! A station's identification code.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde::{Serialize, Serializer};
use std::borrow::{Borrow, Cow};
use std::fmt;

/// A station's identification code: 11 bytes such as `USW00003192`.
///
/// The first two are the FIPS country code, the third the network. Most ids are capital letters and
/// digits, but the inventory also has `BR00A6-0010`, `US10box_001` and `USS0010k05s`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StationId([u8; 11]);

impl StationId {
    /// Parses an id; `None` unless it is exactly 11 ASCII letters, digits, `-` or `_`.
    pub fn parse(text: &[u8]) -> Option<StationId> {
        let bytes = <[u8; 11]>::try_from(text).ok()?;
        bytes.iter().all(|&byte| is_id_byte(byte)).then_some(StationId(bytes))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // `parse` accepts only ASCII, so this never falls back.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The id as bytes, for keys of records and stores.
    pub fn as_bytes(&self) -> &[u8; 11] {
        &self.0
    }

    /// The FIPS code of the station's country: the first two characters.
    pub fn country_code(&self) -> &str {
        &self.as_str()[..2]
    }
}

fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// A map by id can be queried with any bytes.
impl Borrow<[u8; 11]> for StationId {
    fn borrow(&self) -> &[u8; 11] {
        &self.0
    }
}

impl fmt::Display for StationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for StationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for StationId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for StationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StationId, D::Error> {
        deserializer.deserialize_str(IdVisitor)
    }
}

impl JsonSchema for StationId {
    fn schema_name() -> Cow<'static, str> {
        "StationId".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The GHCN-Daily id of a station: 11 characters, of which the first two are the FIPS code of its country.",
            "type": "string",
            "pattern": "^[A-Za-z0-9_-]{11}$",
            "examples": ["USW00003192"],
        })
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = StationId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a station id of 11 letters, digits, '-' or '_'")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<StationId, E> {
        StationId::parse(text.as_bytes()).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn odd_ids_of_the_inventory_are_ids() {
        for id in ["USW00003192", "BR00A6-0010", "US10box_001", "USS0010k05s"] {
            assert_eq!(StationId::parse(id.as_bytes()).unwrap().to_string(), id);
        }
        assert_eq!(StationId::parse(b"BR00A6-0010").unwrap().country_code(), "BR");
    }

    #[test]
    fn other_texts_are_not() {
        for bad in ["", "USW0000319", "USW000031922", "USW 0003192", "USW0000319\n", "USW000031é"] {
            assert_eq!(StationId::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn it_is_a_string_in_json() {
        let id: StationId = serde_json::from_str("\"USW00003192\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"USW00003192\"");
        let error = serde_json::from_str::<StationId>("\"USW\"").unwrap_err().to_string();
        assert!(error.contains("a station id of 11 letters"), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_is_written(bytes: Vec<u8>, good in "[A-Za-z0-9_-]{11}") {
            if let Some(id) = StationId::parse(&bytes) {
                prop_assert_eq!(id.as_str().as_bytes(), &bytes[..]);
            }
            prop_assert_eq!(StationId::parse(good.as_bytes()).unwrap().to_string(), good);
        }
    }
}
