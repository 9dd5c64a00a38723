//! The stations: places of no real station, with ids that NOAA's inventory does not have.

use super::random::Random;
use super::region::Region;
use super::weather::{Climate, Yesterday};
use crate::noaa::{Location, Station, StationId};

/// A day that no weather has: the dice of the stations themselves.
const BEFORE_ALL_DAYS: u64 = u64::MAX;

const FIRST_NAMES: [&str; 16] = [
    "CEDAR", "RED", "PINE", "STONE", "EAGLE", "SILVER", "MAPLE", "BEAR", "LONG", "CLEAR", "NORTH", "GRAND",
    "WHITE", "ELK", "WILLOW", "SAND",
];
const LAST_NAMES: [&str; 16] = [
    "CREEK", "RIDGE", "SPRINGS", "FALLS", "LAKE", "MILL", "VALLEY", "FORK", "BEND", "HILL", "GROVE", "POINT",
    "CITY", "RANCH", "CROSSING", "MEADOW",
];
const DIRECTIONS: [&str; 8] = ["N", "NE", "E", "SE", "S", "SW", "W", "NW"];

/// Who runs a station: decides what it reports. The networks behind GHCN-Daily differ in the same way.
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

/// One invented station.
pub(super) struct Synthetic {
    pub(super) id: StationId,
    pub(super) network: Network,
    pub(super) climate: Climate,
    /// What the last day handed over; of a station that has no day yet, some spell.
    pub(super) yesterday: Yesterday,
    /// Whether it takes part in the exchange of the World Meteorological Organization.
    pub(super) has_wmo_id: bool,
}

/// What only the inventory says of a station.
struct Place {
    region: &'static Region,
    network: Network,
    /// Ten-thousandths of a degree.
    latitude: i32,
    longitude: i32,
    /// Tenths of a metre.
    height: i32,
    has_wmo_id: bool,
}

impl Place {
    fn draw(number: u64, random: &mut Random) -> Self {
        let region = Region::of(number);
        let [south, north, west, east] = region.bounds;
        let mut within =
            |from: i32, to: i32| from * 10_000 + (random.below(to.abs_diff(from) * 10_000) as i32);
        let (latitude, longitude) = (within(south, north), within(west, east));
        // Most places lie low.
        let height = (f64::from(10 * region.height_m) * random.share() * random.share()) as i32;
        let network = draw_network(region.country_code, random);
        let is_exchanged = match network {
            Network::Airport => random.below(10) < 4,
            Network::Service(_) => random.below(10) < 6,
            _ => false,
        };
        Self { region, network, latitude, longitude, height, has_wmo_id: is_exchanged }
    }
}

fn draw_network(country_code: &str, random: &mut Random) -> Network {
    let place = random.below(100);
    match country_code {
        "US" if place < 15 => Network::Airport,
        "US" if place < 65 => Network::Cooperative([700, 700, 700, 800, 1_700][random.below(5) as usize]),
        "US" => Network::Volunteer,
        "CA" if place < 20 => Network::Volunteer,
        "CA" => Network::Service(b'C'),
        "AS" => Network::Service(b'a'),
        "FI" | "GM" | "IC" | "EI" | "NO" | "SP" | "SW" | "UK" => Network::Service(b'E'),
        _ => Network::Service(b'S'),
    }
}

/// The id: country, network, 9 and the number. NOAA's inventory has none like it, so that synthetic and real
/// stations can share a table.
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

    /// The station of this number, as it is before its first day. `None` past the last number.
    pub(super) fn new(seed: u64, number: u64) -> Option<Self> {
        let mut random = Random::new(seed, number, BEFORE_ALL_DAYS);
        let Place { region, network, latitude, height, has_wmo_id, .. } = Place::draw(number, &mut random);
        let (latitude, height_m) = (f64::from(latitude) / 10_000.0, f64::from(height) / 10.0);
        let climate = Climate::of(region, latitude, height_m, &mut random);
        let yesterday = Yesterday::new(&mut random);
        Some(Self { id: id(region.country_code, network, number)?, network, climate, yesterday, has_wmo_id })
    }
}

/// What the inventory says of the station of this number. `None` past the last number.
pub(super) fn describe(seed: u64, number: u64) -> Option<Station> {
    let mut random = Random::new(seed, number, BEFORE_ALL_DAYS);
    let place = Place::draw(number, &mut random);
    let region = place.region;
    let is_reference = random.below(40) == 0;
    let flag = |name: &str, has: bool| (is_reference && has).then(|| name.to_owned());
    Some(Station {
        id: id(region.country_code, place.network, number)?,
        country_code: region.country_code.to_owned(),
        country: region.country.to_owned(),
        location: Location {
            lat: f64::from(place.latitude) / 10_000.0,
            lon: f64::from(place.longitude) / 10_000.0,
        },
        elevation: Some(f64::from(place.height) / 10.0),
        state_code: region.state.map(|(code, _)| code.to_owned()),
        state: region.state.map(|(_, name)| name.to_owned()),
        name: name(place.network, &mut random),
        gsn_flag: flag("GSN", place.has_wmo_id),
        hcn_crn_flag: flag("HCN", matches!(place.network, Network::Cooperative(_))),
        wmo_id: place.has_wmo_id.then(|| format!("{:05}", number % 100_000)),
        icao: None,
    })
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

/// Appends the line of `ghcnd-stations.txt`, with its end of line.
pub(super) fn inventory_line(station: &Station, out: &mut String) {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let Location { lat, lon } = station.location;
    // -999.9 is NOAA's mark for "missing".
    let elevation = station.elevation.unwrap_or(-999.9);
    let line = format!(
        "{} {lat:8.4} {lon:9.4} {elevation:6.1} {:2} {:30} {:3} {:3} {:5}\n",
        station.id,
        text(&station.state_code),
        station.name,
        text(&station.gsn_flag),
        text(&station.hcn_crn_flag),
        text(&station.wmo_id)
    );
    out.push_str(&line);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::code_lists;
    use crate::noaa::Codes;
    use std::collections::HashSet;

    #[test]
    fn the_inventory_reads_back_whole() {
        let (countries, states) = code_lists();
        let (countries, states) =
            (Codes::parse(countries.as_bytes()).unwrap(), Codes::parse(states.as_bytes()).unwrap());
        for number in (0..5_000).chain([Synthetic::COUNT_MAX - 1]) {
            let station = describe(7, number).unwrap();
            let mut line = String::new();
            inventory_line(&station, &mut line);
            assert_eq!(line.len(), 86, "{line}");
            assert_eq!(Station::parse_line(line.as_bytes(), &countries, &states).unwrap(), station);
        }
    }

    #[test]
    fn numbers_give_ids_that_are_unique() {
        let ids: HashSet<StationId> =
            (0..5_000).map(|number| Synthetic::new(7, number).unwrap().id).collect();
        assert_eq!(ids.len(), 5_000);
        assert!((0..5_000).all(|number| ids.contains(&describe(7, number).unwrap().id)));
        assert!(Synthetic::new(7, Synthetic::COUNT_MAX).is_none());
    }
}
