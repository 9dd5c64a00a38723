//! The documents that stages write byte by byte, as types: for their JSON Schemas only. They have no values.

use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::{Element, IsoDay, Location, Station, StationId};

/// The elements that a schema names; observations may have any other.
const NAMED: [Element; 9] = [
    Element::TMIN,
    Element::TMAX,
    Element::TAVG,
    Element::TOBS,
    Element::PRCP,
    Element::SNOW,
    Element::SNWD,
    Element::AWND,
    Element::WSF2,
];

/// Where a record was read.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct Meta {
    /// The topic, as Kafka names it.
    topic: String,
    /// The partition.
    #[schemars(range(min = 0))]
    partition: i32,
    /// The offset.
    #[schemars(range(min = 0))]
    offset: i64,
    /// The key; null if the record has none.
    key: Option<String>,
    /// The timestamp, in milliseconds since 1970.
    timestamp: i64,
}

/// The two ends of a range of temperatures.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct Range {
    /// The lower end in °C.
    gte: f64,
    /// The upper end in °C.
    lte: f64,
}

/// The observation of one station and day: the station, and all elements that are known.
///
/// Besides the fields below, an observation that was made from JSON of `noaa-raw` keeps the other fields of that JSON.
#[derive(JsonSchema)]
#[schemars(rename = "Observation", transform = add_elements)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct ObservationDocument {
    /// The station.
    station: Station,
    /// The day, in the station's own time.
    #[schemars(with = "IsoDay")]
    date: String,
    /// 1 or absent in the first document of a station and day; more in later ones, which replace it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    revision: Option<u32>,
    /// From the lower to the higher of TMIN and TMAX.
    #[serde(rename = "TRANGE", skip_serializing_if = "Option::is_none")]
    temperature_range: Option<Range>,
    /// The same for temperatures of several days: from MDTN to MDTX.
    #[serde(rename = "MDTRANGE", skip_serializing_if = "Option::is_none")]
    days_range: Option<Range>,
}

/// An observation that the filter kept, with all its fields, no matter which program wrote it.
#[derive(JsonSchema)]
#[schemars(transform = add_elements)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct KeptObservation {
    /// The station.
    station: PartialStation,
    /// The day, in the station's own time.
    #[schemars(with = "IsoDay")]
    date: String,
    /// `STATION/DATE`, the same for each copy of an observation. The scripts of the 2019 talk wrote null.
    #[serde(rename = "_id")]
    id: Option<String>,
    /// Where the observation was read.
    #[serde(rename = "_meta")]
    meta: Meta,
}

/// A station, as far as the record says something of it: only the id is certain.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct PartialStation {
    /// The station's id.
    id: StationId,
    /// The name of the station; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The position; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<Location>,
    /// Metres above sea level; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    elevation: Option<f64>,
}

/// Adds the elements to the schema of an observation.
pub(crate) fn add_elements(schema: &mut Schema) {
    // The Rally form has values that are not in tenths as text.
    let value = |description: String| json!({ "description": description, "type": ["number", "string"], "pattern": "^-?[0-9]+$" });
    let described = NAMED.map(|element| {
        let meaning = element.description().unwrap_or_default();
        let unit = element.unit().map(|unit| format!(", in {unit}")).unwrap_or_default();
        (element.to_string(), value(format!("Element: {meaning}{unit}.")))
    });
    let other = value("Any other element of GHCN-Daily, in the unit of its code. Documents in the Rally form have whole values as text.".into());
    let properties = schema.ensure_object().entry("properties").or_insert_with(|| Map::new().into());
    if let Value::Object(properties) = properties {
        properties.extend(described);
    }
    schema.insert("patternProperties".into(), json!({ "^[A-Z][A-Z0-9]{3}$": other }));
}
