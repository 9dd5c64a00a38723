//! The forms of texts in documents, for their JSON Schemas: they stand in for a `String` there, and have no values.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// A form of text: its name, its schema.
macro_rules! form {
    ($name:ident, $meaning:literal, $schema:tt) => {
        #[doc = $meaning]
        pub(crate) enum $name {}

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

form!(IsoTime, "A time in UTC, to the second.", {
    "type": "string",
    "format": "date-time",
    "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?(Z|[+-][0-9]{2}:?[0-9]{2})$",
    "examples": ["2026-11-28T17:53:00Z"],
});

form!(IsoDate, "A day.", {
    "type": "string",
    "format": "date",
    "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    "examples": ["2026-11-28"],
});

form!(IsoDay, "A day in the form of a time; the time of day means nothing.", {
    "type": "string",
    "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].*)?$",
    "examples": ["2016-02-24T00:00:00"],
});
