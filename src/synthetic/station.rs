//! The stations of the generator: invented ones, with ids that NOAA's inventory does not have, or real places.

use super::climate::Climate;
use super::day::Yesterday;
use super::moment::Place;
use super::random::Random;
use super::real::{RealPlace, real_places};
use super::region::Region;
use crate::noaa::{Location, Station, StationId};

/// A day before all weather: the random numbers of the stations themselves.
pub(super) const BEFORE_ALL_DAYS: u64 = u64::MAX;
/// Code and name of the country of a place of one's own: NOAA's list has no such code.
pub(super) const OWN_COUNTRY: (&str, &str) = ("XX", "invented");
const OWN_NETWORK: Network = Network::Airport;

const FIRST_NAMES: [&str; 16] = [
    "CEDAR", "RED", "PINE", "STONE", "EAGLE", "SILVER", "MAPLE", "BEAR", "LONG", "CLEAR", "NORTH", "GRAND",
    "WHITE", "ELK", "WILLOW", "SAND",
];
const LAST_NAMES: [&str; 16] = [
    "CREEK", "RIDGE", "SPRINGS", "FALLS", "LAKE", "MILL", "VALLEY", "FORK", "BEND", "HILL", "GROVE", "POINT",
    "CITY", "RANCH", "CROSSING", "MEADOW",
];
const DIRECTIONS: [&str; 8] = ["N", "NE", "E", "SE", "S", "SW", "W", "NW"];

/// The operator of a station, which decides its reports. The networks behind GHCN-Daily differ in the same way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    /// A US airport, `USW…`.
    Airport,
    /// A cooperative observer, `USC…`, who reads the instruments at this hour (HHMM).
    Cooperative(u16),
    /// A volunteer with a rain gauge, `US1…` and `CA1…`.
    Volunteer,
    /// A weather service, with the source flag of its data.
    Service(u8),
}

/// A station of the generator.
pub(super) struct Synthetic {
    pub(super) id: StationId,
    pub(super) network: Network,
    pub(super) climate: Climate,
    /// The state after the last day; before the first day, some spell.
    pub(super) yesterday: Yesterday,
    /// Whether it takes part in the exchange of the World Meteorological Organization.
    pub(super) has_wmo_id: bool,
}

/// The place of an invented station, and its operator.
pub(super) struct Site {
    region: &'static Region,
    network: Network,
    /// Ten-thousandths of a degree.
    latitude: i32,
    longitude: i32,
    /// Tenths of a metre.
    height: i32,
    has_wmo_id: bool,
}

impl Site {
    /// The site of the station with this number.
    fn of(number: u64, random: &mut Random) -> Self {
        Self::within(Region::of(number), None, random)
    }

    /// A site in a region, with a given or random network.
    pub(super) fn within(region: &'static Region, network: Option<Network>, random: &mut Random) -> Self {
        let [south, north, west, east] = region.bounds;
        let mut within =
            |from: i32, to: i32| from * 10_000 + (random.below(to.abs_diff(from) * 10_000) as i32);
        let (latitude, longitude) = (within(south, north), within(west, east));
        // Most places are at low elevations.
        let height = (f64::from(10 * region.height_m) * random.share() * random.share()) as i32;
        let drawn = Network::draw(region.country_code, random);
        let network = network.unwrap_or(drawn);
        let has_wmo_id = match network {
            Network::Airport => random.below(10) < 4,
            Network::Service(_) => random.below(10) < 6,
            _ => false,
        };
        Self { region, network, latitude, longitude, height, has_wmo_id }
    }

    /// The climate here.
    pub(super) fn climate(&self, random: &mut Random) -> Climate {
        let (latitude, height_m) = (f64::from(self.latitude) / 10_000.0, f64::from(self.height) / 10.0);
        Climate::of(latitude, height_m, self.region.wet_days, random)
    }

    /// The inventory's data of a station here. `None` past the last number.
    pub(super) fn describe(&self, number: u64, random: &mut Random) -> Option<Station> {
        let region = self.region;
        let is_reference = random.below(40) == 0;
        let flag = |name: &str, has: bool| (is_reference && has).then(|| name.to_owned());
        Some(Station {
            id: id(region.country_code, self.network, number)?,
            country_code: region.country_code.to_owned(),
            country: region.country.to_owned(),
            location: Location {
                lat: f64::from(self.latitude) / 10_000.0,
                lon: f64::from(self.longitude) / 10_000.0,
            },
            elevation: Some(f64::from(self.height) / 10.0),
            state_code: region.state.map(|(code, _)| code.to_owned()),
            state: region.state.map(|(_, name)| name.to_owned()),
            name: name(self.network, random),
            gsn_flag: flag("GSN", self.has_wmo_id),
            hcn_crn_flag: flag("HCN", matches!(self.network, Network::Cooperative(_))),
            wmo_id: self.has_wmo_id.then(|| format!("{:05}", number % 100_000)),
            icao: None,
        })
    }
}

impl Network {
    fn draw(country_code: &str, random: &mut Random) -> Self {
        let place = random.below(100);
        match country_code {
            "US" if place < 15 => Self::Airport,
            "US" if place < 65 => Self::Cooperative([700, 700, 700, 800, 1_700][random.below(5) as usize]),
            "US" => Self::Volunteer,
            "CA" if place < 20 => Self::Volunteer,
            other => Self::service(other),
        }
    }

    /// The network of a real station, by its id. Each cooperative observer keeps to one hour.
    fn of(id: StationId) -> Self {
        match id.as_bytes() {
            [b'U', b'S', b'W', ..] => Self::Airport,
            [b'U', b'S', b'C', .., b'0' | b'5'] => Self::Cooperative(800),
            [b'U', b'S', b'C', .., b'9'] => Self::Cooperative(1_700),
            [b'U', b'S', b'C', ..] => Self::Cooperative(700),
            [b'U', b'S', b'1', ..] | [b'C', b'A', b'1', ..] => Self::Volunteer,
            _ => Self::service(id.country_code()),
        }
    }

    /// The weather service of a country.
    pub(super) fn service(country_code: &str) -> Self {
        Self::Service(match country_code {
            "CA" => b'C',
            "AS" => b'a',
            "FI" | "GM" | "IC" | "EI" | "NO" | "SP" | "SW" | "UK" => b'E',
            _ => b'S',
        })
    }
}

/// The id: country, network, 9 and the number. NOAA's inventory has no such ids, so synthetic and real stations can
/// share a table.
fn id(country_code: &str, network: Network, number: u64) -> Option<StationId> {
    let letter = match network {
        Network::Airport => 'W',
        Network::Cooperative(_) => 'C',
        Network::Volunteer => '1',
        Network::Service(_) => 'M',
    };
    StationId::parse(format!("{country_code}{letter}9{number:07}").as_bytes())
}

impl Synthetic {
    /// How many stations can have an id.
    pub(super) const COUNT_MAX: u64 = 10_000_000;

    /// The invented station with this number, before its first day. `None` past the last number.
    pub(super) fn invented(seed: u64, number: u64) -> Option<Self> {
        let mut random = Random::new(seed, number, BEFORE_ALL_DAYS);
        let site = Site::of(number, &mut random);
        let climate = site.climate(&mut random);
        let Site { region, network, has_wmo_id, .. } = site;
        let id = id(region.country_code, network, number)?;
        Some(Self { id, network, climate, yesterday: Yesterday::new(&mut random), has_wmo_id })
    }

    /// The station at a place of one's own, before its first day.
    pub(super) fn own(seed: u64, location: Location) -> Option<Self> {
        let (id, place) = own_place(seed, location)?;
        let yesterday = Yesterday::new(&mut Random::new(seed, 0, BEFORE_ALL_DAYS));
        Some(Self { id, network: OWN_NETWORK, climate: place.climate, yesterday, has_wmo_id: false })
    }

    /// The real place with this number, before its first day. `None` past the last.
    pub(super) fn real(seed: u64, number: u64) -> Option<Self> {
        let RealPlace { station, climate } = real_places().get(usize::try_from(number).ok()?)?;
        let yesterday = Yesterday::new(&mut Random::new(seed, number, BEFORE_ALL_DAYS));
        let (id, has_wmo_id) = (station.id, station.wmo_id.is_some());
        Some(Self { id, network: Network::of(id), climate: *climate, yesterday, has_wmo_id })
    }
}

/// The inventory's data of the invented station with this number. `None` past the last number.
pub(super) fn describe(seed: u64, number: u64) -> Option<Station> {
    let mut random = Random::new(seed, number, BEFORE_ALL_DAYS);
    Site::of(number, &mut random).describe(number, &mut random)
}

/// The invented station with this number, and its weather at any moment. `None` past the last number.
pub(super) fn invented_place(seed: u64, number: u64) -> Option<(StationId, Place)> {
    let mut random = Random::new(seed, number, BEFORE_ALL_DAYS);
    let site = Site::of(number, &mut random);
    let climate = site.climate(&mut random);
    let station = describe(seed, number)?;
    let position = (station.location, station.elevation.unwrap_or_default());
    Some((station.id, Place::new(seed, station.id.as_str(), position, climate)))
}

/// The station at a place of one's own, whose elevation is unknown.
pub(super) fn own_station(location: Location) -> Option<Station> {
    Some(Station {
        id: id(OWN_COUNTRY.0, OWN_NETWORK, 0)?,
        country_code: OWN_COUNTRY.0.to_owned(),
        country: OWN_COUNTRY.1.to_owned(),
        location,
        elevation: None,
        state_code: None,
        state: None,
        name: format!("INVENTED {:.2} {:.2}", location.lat, location.lon),
        gsn_flag: None,
        hcn_crn_flag: None,
        wmo_id: None,
        icao: None,
    })
}

/// The same station, and its weather at any moment.
pub(super) fn own_place(seed: u64, location: Location) -> Option<(StationId, Place)> {
    Some((own_station(location)?.id, Place::unnamed(seed, location)))
}

fn name(network: Network, random: &mut Random) -> String {
    let mut pick = |words: &[&'static str]| words[random.below(words.len() as u32) as usize];
    let town = format!("{} {}", pick(&FIRST_NAMES), pick(&LAST_NAMES));
    let direction = pick(&DIRECTIONS);
    match network {
        Network::Airport => format!("{town} AP"),
        Network::Cooperative(_) => format!("{town} {} {direction}", 1 + random.below(9)),
        Network::Volunteer => format!("{town} {}.{} {direction}", random.below(9), 1 + random.below(9)),
        Network::Service(_) => town,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noaa::Codes;
    use crate::synthetic::code_lists;
    use std::collections::HashSet;

    #[test]
    fn the_inventory_reads_back_whole() {
        let (countries, states) = code_lists();
        let (countries, states) =
            (Codes::parse(countries.as_bytes()).unwrap(), Codes::parse(states.as_bytes()).unwrap());
        let invented =
            (0..5_000).chain([Synthetic::COUNT_MAX - 1]).map(|number| describe(7, number).unwrap());
        for station in invented.chain(real_places().iter().map(|place| place.station.clone())) {
            let line = station.to_line();
            assert_eq!(line.len(), 85, "{line}");
            assert_eq!(Station::parse_line(line.as_bytes(), &countries, &states).unwrap(), station);
        }
    }

    #[test]
    fn numbers_give_ids_that_are_unique() {
        let ids: HashSet<StationId> =
            (0..5_000).map(|number| Synthetic::invented(7, number).unwrap().id).collect();
        assert_eq!(ids.len(), 5_000);
        assert!((0..5_000).all(|number| ids.contains(&describe(7, number).unwrap().id)));
        assert!(Synthetic::invented(7, Synthetic::COUNT_MAX).is_none());
        assert!(Synthetic::real(7, 66).is_some() && Synthetic::real(7, 67).is_none());
    }
}
