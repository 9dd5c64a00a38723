//! Stations that report at once: airports with their METARs, and cooperative ones that are read once a day.

use super::climate::Climate;
use super::moment::Place;
use super::random::Random;
use super::region::Region;
use super::station::{BEFORE_ALL_DAYS, Network, Site};
use crate::noaa::{Location, Station, StationId};

/// Most stations: with more, ICAO ids would repeat.
pub const STATIONS_MAX: usize = 8_000;

/// A station of the weather server's world.
#[derive(Debug, Clone, PartialEq)]
pub struct WorldStation {
    /// Its data in the inventories. `icao` is that of its METARs; cooperative stations have none.
    pub station: Station,
    /// Local standard time minus UTC, in seconds.
    pub utc_offset: i64,
    /// Code of its country in the list of hourly stations, such as `US`.
    pub iso_country: &'static str,
    climate: Climate,
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

    /// Its height above sea level, in metres.
    pub fn elevation_m(&self) -> f64 {
        self.station.elevation.unwrap_or_default()
    }

    /// Whether an observer reads it once a day, at 07:00, and it sends no METARs.
    pub fn is_cooperative(&self) -> bool {
        self.station.icao.is_none()
    }

    /// Whether its METARs have the American form, with tenths of a degree in the remarks.
    pub fn is_american(&self) -> bool {
        self.iso_country == "US"
    }

    /// Its place, with weather from the seed.
    pub(crate) fn place(&self, seed: u64) -> Place {
        Place::new(seed, self.id().as_str(), (self.location(), self.elevation_m()), self.climate)
    }
}

/// A region with the code of its country, its standard time in hours ahead of UTC, and the first letters of its ICAO
/// ids, which are empty for cooperative stations.
type Part = (&'static str, &'static str, i64, &'static str);

/// Stations alternate between them in this order, so that a small world has several of them. In Chile July is cold.
const PARTS: &[Part] = &[
    ("ARIZONA", "US", -7, "K"),
    ("FLORIDA", "US", -5, "K"),
    ("ARIZONA", "US", -7, ""),
    ("CALIFORNIA", "US", -8, "K"),
    ("Germany", "DE", 1, "ED"),
    ("GEORGIA", "US", -5, "K"),
    ("FLORIDA", "US", -5, ""),
    ("Spain", "ES", 1, "LE"),
    ("WASHINGTON", "US", -8, "K"),
    ("BRITISH COLUMBIA", "CA", -8, "CY"),
    ("Chile", "CL", -4, "SC"),
];

/// The first `count` stations of the world with this seed: a smaller world is the beginning of a larger one.
pub(crate) fn world_stations(seed: u64, count: usize) -> Vec<WorldStation> {
    (0..count.clamp(1, STATIONS_MAX)).filter_map(|number| station(seed, number)).collect()
}

fn station(seed: u64, number: usize) -> Option<WorldStation> {
    let (region, iso_country, hours, letters) = PARTS[number % PARTS.len()];
    let region = Region::named(region)?;
    let network = match (iso_country, letters) {
        (_, "") => Network::Cooperative(700),
        ("US", _) => Network::Airport,
        _ => Network::service(region.country_code),
    };
    let mut random = Random::new(seed, number as u64, BEFORE_ALL_DAYS);
    let site = Site::within(region, Some(network), &mut random);
    let climate = site.climate(&mut random);
    let mut station = site.describe(number as u64, &mut random)?;
    // One in forty would be too few for a small world.
    station.gsn_flag = number.is_multiple_of(7).then(|| "GSN".to_owned());
    station.icao = (!letters.is_empty()).then(|| icao(letters, number + 1));
    Some(WorldStation { station, utc_offset: hours * 3_600, iso_country, climate })
}

/// Four characters with digits at the end, which few real ids have: `KQ01`, `ED05`.
fn icao(prefix: &str, number: usize) -> String {
    let base36 = |digit: usize| char::from_digit(digit as u32 % 36, 36).unwrap_or('0').to_ascii_uppercase();
    // Q, R and so on.
    let padding = if prefix.len() == 1 { base36(26 + number / (36 * 36)).to_string() } else { String::new() };
    format!("{prefix}{padding}{}{}", base36(number / 36), base36(number))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_places_possible() {
        let all = world_stations(1, STATIONS_MAX);
        assert_eq!(all.len(), STATIONS_MAX);
        let ids: HashSet<_> = all.iter().map(WorldStation::id).collect();
        let icao: HashSet<_> = all.iter().filter_map(|one| one.station.icao.clone()).collect();
        assert_eq!(ids.len(), STATIONS_MAX);
        assert_eq!(icao.len(), all.iter().filter(|one| !one.is_cooperative()).count());
        assert!(icao.iter().all(|icao| icao.len() == 4));
        // Every night has a sunset.
        assert!(all.iter().all(|one| one.location().lat.abs() < 63.0 && one.elevation_m() >= 0.0));
    }

    #[test]
    fn a_small_world_has_what_readers_must_know() {
        let few = world_stations(1, 12);
        assert_eq!(few[..5], world_stations(1, 5)[..]);
        assert_ne!(few, world_stations(2, 12));
        assert_eq!((few[0].id().as_str(), few[0].station.icao.as_deref()), ("USW90000000", Some("KQ01")));
        assert!(few.iter().any(WorldStation::is_cooperative));
        assert!(few.iter().any(|one| one.location().lat < 0.0));
        assert!(few.iter().any(|one| one.iso_country == "DE"));
    }
}
