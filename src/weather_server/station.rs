//! The stations of the world: invented places with ids in the form of real ones.

use super::noise::{mix, unit};
use crate::noaa::{Location, Station, StationId};

/// More stations than this are not invented: ids beyond would be those of the first ones.
pub const STATIONS_MAX: usize = 8_000;

/// A station of the world.
#[derive(Debug, Clone, PartialEq)]
pub struct WorldStation {
    /// What the inventories say about it. Its `icao` is that of its METARs; cooperative stations have none.
    pub station: Station,
    /// Local standard time minus UTC, in seconds.
    pub utc_offset: i64,
    /// Code of its country in the list of hourly stations, as in `US`.
    pub iso_country: &'static str,
}

impl WorldStation {
    /// Its id.
    pub fn id(&self) -> StationId {
        self.station.id
    }

    /// Its place.
    pub fn location(&self) -> Location {
        self.station.location
    }

    /// Its height above the sea, in metres.
    pub fn elevation_m(&self) -> f64 {
        self.station.elevation.unwrap_or_default()
    }

    /// Whether somebody reads it once a day, at 07:00, and it sends no METARs.
    pub fn is_cooperative(&self) -> bool {
        self.station.icao.is_none()
    }

    /// Whether its METARs have the American form, with tenths of a degree in the remarks.
    pub fn is_american(&self) -> bool {
        self.iso_country == "US"
    }
}

/// A part of a country that stations are put into.
struct Region {
    /// Country and network, the first three characters of an id.
    prefix: &'static str,
    country: &'static str,
    iso_country: &'static str,
    /// Code and name of the state or province.
    state: Option<(&'static str, &'static str)>,
    latitudes: (f64, f64),
    longitudes: (f64, f64),
    elevations_m: (f64, f64),
    utc_offset_hours: i64,
    /// The first letters of ICAO ids; empty for cooperative stations.
    icao: &'static str,
}

const US: Region = Region {
    prefix: "USW",
    country: "United States",
    iso_country: "US",
    state: None,
    latitudes: (0.0, 0.0),
    longitudes: (0.0, 0.0),
    elevations_m: (0.0, 0.0),
    utc_offset_hours: 0,
    icao: "K",
};

const ARIZONA: Region = Region {
    state: Some(("AZ", "ARIZONA")),
    latitudes: (31.6, 35.4),
    longitudes: (-113.8, -109.6),
    elevations_m: (320.0, 2_100.0),
    utc_offset_hours: -7,
    ..US
};

const FLORIDA: Region = Region {
    state: Some(("FL", "FLORIDA")),
    latitudes: (27.2, 30.2),
    longitudes: (-82.4, -81.0),
    elevations_m: (3.0, 50.0),
    utc_offset_hours: -5,
    ..US
};

/// The regions take turns in this order, so that a small world has several of them.
const REGIONS: &[Region] = &[
    ARIZONA,
    FLORIDA,
    Region { prefix: "USC", icao: "", ..ARIZONA },
    Region {
        state: Some(("CA", "CALIFORNIA")),
        latitudes: (35.2, 38.4),
        longitudes: (-120.8, -118.9),
        elevations_m: (40.0, 180.0),
        utc_offset_hours: -8,
        ..US
    },
    Region {
        prefix: "NOM",
        country: "Norway",
        iso_country: "NO",
        latitudes: (59.3, 61.8),
        longitudes: (8.2, 11.4),
        elevations_m: (20.0, 600.0),
        utc_offset_hours: 1,
        icao: "EN",
        ..US
    },
    Region {
        state: Some(("GA", "GEORGIA")),
        latitudes: (31.2, 33.8),
        longitudes: (-84.6, -81.8),
        elevations_m: (50.0, 250.0),
        utc_offset_hours: -5,
        ..US
    },
    Region { prefix: "USC", icao: "", ..FLORIDA },
    Region {
        prefix: "ITM",
        country: "Italy",
        iso_country: "IT",
        latitudes: (41.2, 45.2),
        longitudes: (10.2, 13.4),
        elevations_m: (2.0, 400.0),
        utc_offset_hours: 1,
        icao: "LI",
        ..US
    },
    Region {
        state: Some(("WA", "WASHINGTON")),
        latitudes: (46.1, 47.9),
        longitudes: (-120.9, -117.6),
        elevations_m: (150.0, 800.0),
        utc_offset_hours: -8,
        ..US
    },
    Region {
        prefix: "CAN",
        country: "Canada",
        iso_country: "CA",
        state: Some(("BC", "BRITISH COLUMBIA")),
        latitudes: (49.1, 50.6),
        longitudes: (-120.4, -118.8),
        elevations_m: (300.0, 900.0),
        utc_offset_hours: -8,
        icao: "CY",
    },
    // The southern hemisphere: July is cold.
    Region {
        prefix: "CIM",
        country: "Chile",
        iso_country: "CL",
        latitudes: (-36.4, -33.2),
        longitudes: (-71.8, -70.6),
        elevations_m: (80.0, 700.0),
        utc_offset_hours: -4,
        icao: "SC",
        ..US
    },
];

const FIRST_WORDS: [&str; 16] = [
    "ALDER",
    "BRAMBLE",
    "COLDWATER",
    "DUSTY",
    "ELDER",
    "FALLOW",
    "GRANITE",
    "HOLLOW",
    "IRON",
    "JUNIPER",
    "KESTREL",
    "LARCH",
    "MARROW",
    "NETTLE",
    "ORCHARD",
    "PEBBLE",
];
const SECOND_WORDS: [&str; 12] =
    ["FLAT", "BEND", "MEADOW", "CREEK", "GAP", "RIDGE", "FORD", "HILL", "MESA", "POINT", "SPRINGS", "VALE"];

/// The first `count` stations of the world with this seed: a smaller world is the beginning of a larger one.
pub(super) fn stations(seed: u64, count: usize) -> Vec<WorldStation> {
    (1..=count.clamp(1, STATIONS_MAX)).filter_map(|number| station(seed, number)).collect()
}

fn station(seed: u64, number: usize) -> Option<WorldStation> {
    let region = &REGIONS[(number - 1) % REGIONS.len()];
    let draw = |what: u64| unit(&[seed, number as u64, what]);
    let within = |(low, high): (f64, f64), what: u64| low + draw(what) * (high - low);
    let rounded = |value: f64, places: f64| (value * places).round() / places;
    let is_cooperative = region.icao.is_empty();
    let series = if is_cooperative { 299_000 } else { 99_000 };
    // From the thousandth station on ids are below those of the first ones: USW00099999, USW00091000.
    let series = if number < 1_000 { series } else { series - 9_000 };
    let id = StationId::parse(format!("{}{:08}", region.prefix, series + number).as_bytes())?;
    let (state_code, state) = region.state.unzip();
    let location = Location {
        lat: rounded(within(region.latitudes, 1), 10_000.0),
        lon: rounded(within(region.longitudes, 2), 10_000.0),
    };
    let station = Station {
        id,
        country_code: id.country_code().to_owned(),
        country: region.country.to_owned(),
        location,
        elevation: Some(rounded(within(region.elevations_m, 3), 10.0)),
        state_code: state_code.map(str::to_owned),
        state: state.map(str::to_owned),
        name: name(seed, number, is_cooperative),
        gsn_flag: (number % 7 == 1).then(|| "GSN".to_owned()),
        hcn_crn_flag: is_cooperative.then(|| "HCN".to_owned()),
        wmo_id: (!is_cooperative)
            .then(|| (if number < 1_000 { 99_000 + number } else { 90_000 + number }).to_string()),
        icao: (!is_cooperative).then(|| icao(region.icao, number)),
    };
    Some(WorldStation {
        station,
        utc_offset: region.utc_offset_hours * 3_600,
        iso_country: region.iso_country,
    })
}

/// Four characters with digits at the end, which few real ids have: `KQ01`, `EN05`.
fn icao(prefix: &str, number: usize) -> String {
    let base36 = |digit: usize| char::from_digit(digit as u32 % 36, 36).unwrap_or('0').to_ascii_uppercase();
    // Q, R and so on.
    let padding = if prefix.len() == 1 { base36(26 + number / (36 * 36)).to_string() } else { String::new() };
    format!("{prefix}{padding}{}{}", base36(number / 36), base36(number))
}

fn name(seed: u64, number: usize, is_cooperative: bool) -> String {
    let bits = mix(&[seed, number as u64, 4]) as usize;
    let (first, second) =
        (FIRST_WORDS[bits % FIRST_WORDS.len()], SECOND_WORDS[bits / 64 % SECOND_WORDS.len()]);
    let kind = if is_cooperative { "3 NW" } else { "MUNI AP" };
    format!("{first} {second} {kind}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_places_possible() {
        let all = stations(1, STATIONS_MAX);
        assert_eq!(all.len(), STATIONS_MAX);
        let ids: HashSet<_> = all.iter().map(WorldStation::id).collect();
        let icao: HashSet<_> = all.iter().filter_map(|one| one.station.icao.clone()).collect();
        assert_eq!(ids.len(), STATIONS_MAX);
        assert_eq!(icao.len(), all.iter().filter(|one| !one.is_cooperative()).count());
        assert!(icao.iter().all(|icao| icao.len() == 4));
        assert!(all.iter().all(|one| one.location().lat.abs() < 63.0 && one.elevation_m() > 0.0));
    }

    #[test]
    fn a_small_world_has_what_readers_must_know() {
        let few = stations(1, 12);
        assert_eq!(few[..5], stations(1, 5)[..]);
        assert_ne!(few, stations(2, 12));
        assert_eq!((few[0].id().as_str(), few[0].station.icao.as_deref()), ("USW00099001", Some("KQ01")));
        assert!(few.iter().any(WorldStation::is_cooperative));
        assert!(few.iter().any(|one| one.location().lat < 0.0));
        assert!(few.iter().any(|one| one.iso_country == "NO"));
    }
}
