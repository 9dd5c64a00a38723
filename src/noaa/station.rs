//! A station, and its line in the inventory.

use super::{Compat, StationId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The elevation that NOAA, and so `process.py`, writes if it is unknown.
pub const MISSING_ELEVATION: f64 = -999.9;

/// A weather station with the data of the inventory.
///
/// Readers ignore fields that they do not know.
// The order of the fields is their order in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Station {
    /// The station's id.
    pub id: StationId,
    /// The FIPS code of the country: the first two letters of the id.
    pub country_code: String,
    /// The name of the country; its code if the name is unknown.
    pub country: String,
    /// The position.
    pub location: Location,
    /// Metres above sea level; absent if unknown. Documents in the Rally form have -999.9 instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elevation: Option<f64>,
    /// The postal code of the US state or territory, or of the Canadian province.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_code: Option<String>,
    /// The name of the state or province; absent if its code is not in NOAA's list (BH and SA are not).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The name of the station.
    pub name: String,
    /// `GSN` if the station belongs to the GCOS Surface Network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gsn_flag: Option<String>,
    /// `HCN` or `CRN` if the station belongs to the US Historical Climatology or Climate Reference Network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hcn_crn_flag: Option<String>,
    /// The five-digit number of the World Meteorological Organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wmo_id: Option<String>,
    /// The id of the International Civil Aviation Organization, as in METARs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icao: Option<String>,
}

/// A place on the earth, in decimal degrees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Location {
    /// Latitude in degrees, -90 to 90, north positive.
    #[schemars(range(min = -90, max = 90))]
    pub lat: f64,
    /// Longitude in degrees, -180 to 180, east positive.
    #[schemars(range(min = -180, max = 180))]
    pub lon: f64,
}

impl Station {
    /// The station as JSON in the form of `compat`, to be inserted into an observation by
    /// [`Observation::to_json_into`](super::Observation::to_json_into).
    pub fn to_json(&self, compat: Compat) -> String {
        let json = match compat {
            Compat::None => serde_json::to_string(self),
            Compat::Rally => serde_json::to_string(&self.as_rally()),
        };
        // Strings and plain numbers into a `String`: this cannot fail.
        json.unwrap_or_default()
    }

    /// The values of all fields in their order, as a JSON array; read like the object. Half of its size.
    ///
    /// A row has no room for a field that a later version adds: stores with rows then need another name.
    pub fn to_row(&self) -> Vec<u8> {
        let Station { id, country_code, country, location, elevation, state_code, state, name, .. } = self;
        let Station { gsn_flag, hcn_crn_flag, wmo_id, icao, .. } = self;
        let row = (
            id,
            country_code,
            country,
            (location.lat, location.lon),
            elevation,
            state_code,
            state,
            name,
            gsn_flag,
            hcn_crn_flag,
            wmo_id,
            icao,
        );
        // Strings and plain numbers into a `Vec`: this cannot fail.
        serde_json::to_vec(&row).unwrap_or_default()
    }

    /// The station as `process.py` would have written it, with its mistakes.
    fn as_rally(&self) -> Station {
        let is_us = self.country_code == "US";
        let first_word = |name: &str| name.split_whitespace().next().unwrap_or_default().to_owned();
        Station {
            country: first_word(&self.country),
            elevation: Some(self.elevation.unwrap_or(MISSING_ELEVATION)),
            state_code: self.state_code.clone().filter(|_| is_us),
            state: self.state.as_deref().filter(|_| is_us).map(first_word),
            hcn_crn_flag: self.hcn_crn_flag.as_ref().map(|flag| flag.chars().take(2).collect()),
            icao: None,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn station() -> Station {
        Station {
            id: StationId::parse(b"USX00000001").unwrap(),
            country_code: "US".to_owned(),
            country: "United States".to_owned(),
            location: Location { lat: 33.5, lon: -111.25 },
            elevation: None,
            state_code: Some("NM".to_owned()),
            state: Some("NEW MEXICO".to_owned()),
            name: "ESPA\u{f1}OLA \"X\"".to_owned(),
            gsn_flag: None,
            hcn_crn_flag: Some("HCN".to_owned()),
            wmo_id: Some("00001".to_owned()),
            icao: None,
        }
    }

    #[test]
    fn our_json_is_whole() {
        let json = station().to_json(Compat::None);
        assert_eq!(
            json,
            "{\"id\":\"USX00000001\",\"country_code\":\"US\",\"country\":\"United States\",\
             \"location\":{\"lat\":33.5,\"lon\":-111.25},\"state_code\":\"NM\",\"state\":\"NEW MEXICO\",\
             \"name\":\"ESPA\u{f1}OLA \\\"X\\\"\",\"hcn_crn_flag\":\"HCN\",\"wmo_id\":\"00001\"}"
        );
        assert_eq!(serde_json::from_str::<Station>(&json).unwrap(), station());
    }

    #[test]
    fn a_row_is_read_like_the_object() {
        let whole = Station { elevation: Some(-1.5), icao: Some("KSDL".to_owned()), ..station() };
        for station in [station(), whole] {
            let row = station.to_row();
            assert!(row.len() < station.to_json(Compat::None).len());
            assert_eq!(serde_json::from_slice::<Station>(&row).unwrap(), station);
        }
    }

    #[test]
    fn rally_json_has_the_old_mistakes() {
        assert_eq!(
            station().to_json(Compat::Rally),
            "{\"id\":\"USX00000001\",\"country_code\":\"US\",\"country\":\"United\",\
             \"location\":{\"lat\":33.5,\"lon\":-111.25},\"elevation\":-999.9,\"state_code\":\"NM\",\
             \"state\":\"NEW\",\"name\":\"ESPA\u{f1}OLA \\\"X\\\"\",\"hcn_crn_flag\":\"HC\",\"wmo_id\":\"00001\"}"
        );
    }

    #[test]
    fn the_icao_id_comes_last_and_never_in_rally_json() {
        let with_icao = Station { icao: Some("KSDL".to_owned()), ..station() };
        let json = with_icao.to_json(Compat::None);
        assert!(json.ends_with("\"wmo_id\":\"00001\",\"icao\":\"KSDL\"}"), "{json}");
        assert_eq!(serde_json::from_str::<Station>(&json).unwrap(), with_icao);
        assert_eq!(with_icao.to_json(Compat::Rally), station().to_json(Compat::Rally));
    }

    #[test]
    fn rally_json_drops_provinces() {
        let mut canadian = station();
        canadian.country_code = "CA".to_owned();
        let json = canadian.to_json(Compat::Rally);
        assert!(!json.contains("\"state"), "{json}");
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let json = station().to_json(Compat::None).replacen('{', "{\"later\":[1,{}],", 1);
        assert_eq!(serde_json::from_str::<Station>(&json).unwrap(), station());
    }
}
