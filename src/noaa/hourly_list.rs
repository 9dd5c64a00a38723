//! NOAA's list of hourly stations, `ghcnh-station-list.csv`: it maps ICAO ids to GHCN ids.

use std::collections::HashMap;

use super::station_line::number;
use super::{Codes, Location, Station, StationError, StationId, csv_fields, shorten};

/// Elevations up to this one mean unknown: the list has both -999.9 and -999.0.
const UNKNOWN_ELEVATION_MAX: f64 = -999.0;

/// The columns of the list, found by the names in its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourlyList {
    id: usize,
    latitude: usize,
    longitude: usize,
    name: usize,
    elevation: Option<usize>,
    state: Option<usize>,
    gsn: Option<usize>,
    hcn_crn: Option<usize>,
    wmo_id: Option<usize>,
    icao: Option<usize>,
}

impl HourlyList {
    /// Reads the header; `None` if the line is not the header of such a list.
    pub fn parse(header: &str) -> Option<Self> {
        let names = csv_fields(header)?;
        let at = |wanted: &str| names.iter().position(|name| name.trim() == wanted);
        Some(Self {
            id: at("GHCN_ID")?,
            latitude: at("LATITUDE")?,
            longitude: at("LONGITUDE")?,
            name: at("NAME")?,
            elevation: at("ELEVATION"),
            state: at("STATE"),
            gsn: at("GSN"),
            hcn_crn: at("(US)HCN_(US)CRN"),
            wmo_id: at("WMO_ID"),
            icao: at("ICAO"),
        })
    }

    /// Parses a line. The list has lines with latitude and longitude exchanged, so callers should continue after an
    /// error.
    ///
    /// # Errors
    /// The first field that cannot be read.
    pub fn station(&self, line: &str, countries: &Codes, states: &Codes) -> Result<Station, StationError> {
        let fields = csv_fields(line).ok_or(StationError::TooShort { bytes: line.len() })?;
        let field = |at: usize| fields.get(at).map_or("", |field| field.trim());
        let text = |at: Option<usize>| at.map(field).filter(|text| !text.is_empty()).map(str::to_owned);
        let id = field(self.id).as_bytes();
        let id = StationId::parse(id).ok_or_else(|| StationError::BadStationId(shorten(id)))?;
        let lat = number(field(self.latitude).as_bytes(), "latitude", 90.0)?;
        let lon = number(field(self.longitude).as_bytes(), "longitude", 180.0)?;
        let elevation = text(self.elevation);
        let elevation =
            elevation.map(|elevation| number(elevation.as_bytes(), "elevation", 10_000.0)).transpose()?;
        let state_code = text(self.state);
        let country_code = id.country_code();
        Ok(Station {
            id,
            country_code: country_code.to_owned(),
            country: countries.name(country_code).unwrap_or(country_code).to_owned(),
            location: Location { lat, lon },
            elevation: elevation.filter(|elevation| *elevation > UNKNOWN_ELEVATION_MAX),
            state: state_code.as_deref().and_then(|code| states.name(code)).map(str::to_owned),
            state_code,
            name: text(Some(self.name)).ok_or(StationError::NoName)?,
            gsn_flag: text(self.gsn),
            hcn_crn_flag: text(self.hcn_crn),
            wmo_id: text(self.wmo_id),
            icao: text(self.icao),
        })
    }
}

/// The GHCN ids of stations by their ICAO ids, for METARs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IcaoIndex(HashMap<String, StationId>);

impl IcaoIndex {
    /// Takes the stations that have an ICAO id. If two share one, the first counts.
    pub fn new(stations: &[Station]) -> Self {
        let mut ids = HashMap::new();
        for station in stations {
            if let Some(icao) = &station.icao {
                ids.entry(icao.clone()).or_insert(station.id);
            }
        }
        Self(ids)
    }

    /// The GHCN id for an ICAO id.
    pub fn get(&self, icao: &str) -> Option<StationId> {
        self.0.get(icao).copied()
    }

    /// Whether no station has an ICAO id.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        "GHCN_ID,LATITUDE,LONGITUDE,ELEVATION,STATE,NAME,GSN,(US)HCN_(US)CRN,WMO_ID,ICAO,ISO_CODE";

    fn read(line: &str) -> Result<Station, StationError> {
        let states = Codes::parse(&b"AK ALASKA"[..]).unwrap();
        HourlyList::parse(HEADER).unwrap().station(line, &Codes::default(), &states)
    }

    #[test]
    fn a_line_is_a_station_with_its_icao_id() {
        let station =
            read("USW00026451,61.1744,-149.9964,40.2,AK,ANCHORAGE INTL AP,,,70273,PANC,US").unwrap();
        assert_eq!(station.id.as_str(), "USW00026451");
        assert_eq!(station.location, Location { lat: 61.1744, lon: -149.9964 });
        assert_eq!((station.elevation, station.state.as_deref()), (Some(40.2), Some("ALASKA")));
        assert_eq!((station.wmo_id.as_deref(), station.icao.as_deref()), (Some("70273"), Some("PANC")));
        assert_eq!((station.gsn_flag, station.hcn_crn_flag), (None, None));
    }

    #[test]
    fn unknown_elevations_and_exchanged_places() {
        let unknown = read("AGM00060350,37.083,6.45,-999.0,,BOGUS ALGERIAN,,,60350,,DZ").unwrap();
        assert_eq!((unknown.elevation, unknown.icao), (None, None));
        let exchanged = read("RUU71-00102,135.117,48.8,-999.9,,CHABAROWKA,,,,,XX").unwrap_err();
        assert!(exchanged.to_string().contains("latitude"), "{exchanged}");
        assert!(HourlyList::parse("STATION,LATITUDE,LONGITUDE,NAME").is_none());
    }

    #[test]
    fn the_first_station_has_an_icao_id() {
        let first = read("USW00003192,33.6228,-111.9106,449.0,AZ,SCOTTSDALE,,,,KSDL,US").unwrap();
        let second = Station { id: StationId::parse(b"USI0000KSDL").unwrap(), ..first.clone() };
        let index = IcaoIndex::new(&[first.clone(), second]);
        assert_eq!((index.get("KSDL"), index.get("KPHX")), (Some(first.id), None));
    }
}
