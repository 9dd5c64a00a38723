//! JSON Schemas of values, from the types that read and write them.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Makes schemas of draft 7, the draft that AsyncAPI builds on, of values as frostline writes them.
pub(super) fn generator() -> SchemaGenerator {
    let mut settings = SchemaSettings::draft07().for_serialize();
    settings.definitions_path = "/components/schemas".into();
    settings.with_transform(RecursiveTransform(unwrap_lines)).into_generator()
}

/// The schema of a type.
pub(super) fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// JSON that `enrich` accepts.
pub(super) fn of_raw(generator: &mut SchemaGenerator) -> Schema {
    let station_id = generator.subschema_for::<crate::noaa::StationId>();
    let date = generator.subschema_for::<crate::noaa::IsoDay>();
    let one = json_schema!({
        "type": "object",
        "properties": { "station_id": station_id, "date": date },
        "required": ["station_id", "date"],
    });
    json_schema!({ "oneOf": [one, { "type": "array", "items": one }] })
}

/// Comments are broken into lines; descriptions are broken into paragraphs only.
fn unwrap_lines(schema: &mut Schema) {
    let Some(text) = schema.get("description").and_then(|text| text.as_str()) else { return };
    let paragraphs: Vec<String> = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
    schema.insert("description".into(), paragraphs.join("\n\n").into());
}
