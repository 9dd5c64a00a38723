//! Real places: stations of NOAA's inventory, so that ids and countries resolve as with real data. Their weather is
//! synthetic.

use std::sync::LazyLock;

use super::climate::Climate;
use crate::noaa::{Location, Station, StationId};

/// The table, with its columns described at the top.
const TABLE: &str = include_str!("real_places.txt");

/// A station with the inventory's data, and the climate of its place.
#[derive(Debug, Clone, PartialEq)]
pub struct RealPlace {
    /// The inventory's data.
    pub station: Station,
    /// A rough estimate, not NOAA's.
    pub(super) climate: Climate,
}

/// All real places, Arizona's first.
pub fn real_places() -> &'static [RealPlace] {
    static PLACES: LazyLock<Vec<RealPlace>> = LazyLock::new(|| read(TABLE));
    &PLACES
}

/// Unreadable lines are skipped; a test checks that there are none.
fn read(table: &str) -> Vec<RealPlace> {
    let mut area = "";
    let mut places = Vec::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix("= ") {
            Some(named) => area = named,
            None => places.extend(place(line, area)),
        }
    }
    places
}

fn place(line: &str, area: &str) -> Option<RealPlace> {
    let mut rest = line;
    let mut column = || {
        let (text, after) = rest.trim_start().split_once(' ')?;
        rest = after;
        Some(text)
    };
    let id = StationId::parse(column()?.as_bytes())?;
    let (lat, lon) = (column()?.parse().ok()?, column()?.parse().ok()?);
    let elevation = column()?.parse().ok();
    let mut number = || column()?.parse::<f64>().ok();
    let [mean_c, swing_c, day_range_c, wet_days] = [number()?, number()?, number()?, number()?];
    let wmo_id = column().filter(|text| *text != "-").map(str::to_owned);
    let (country, state) = area.split_once(" / ").unwrap_or((area, ""));
    let (state_code, state) = state.split_once(' ').unzip();
    let station = Station {
        id,
        country_code: id.country_code().to_owned(),
        country: country.to_owned(),
        location: Location { lat, lon },
        elevation,
        state_code: state_code.map(str::to_owned),
        state: state.map(str::to_owned),
        name: rest.trim_start().to_owned(),
        gsn_flag: None,
        hcn_crn_flag: None,
        wmo_id,
        icao: None,
    };
    let swing_c = if lat < 0.0 { -swing_c } else { swing_c };
    Some(RealPlace { station, climate: Climate { mean_c, swing_c, day_range_c, wet_days } })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_line_is_read() {
        let lines = TABLE.lines().filter(|line| !line.starts_with(['#', '='])).count();
        assert_eq!((real_places().len(), lines), (67, 67));
        let ids: HashSet<StationId> = real_places().iter().map(|place| place.station.id).collect();
        assert_eq!(ids.len(), 67);
        let scottsdale = &real_places()[0].station;
        let line = "USW00003192  33.6228 -111.9106  449.0 AZ SCOTTSDALE MUNI AP";
        assert_eq!(scottsdale.to_line().trim_end(), line);
        assert_eq!(
            (scottsdale.state.as_deref(), scottsdale.country.as_str()),
            (Some("ARIZONA"), "United States")
        );
    }

    #[test]
    fn the_table_holds_the_awkward_cases() {
        let count =
            |is: &dyn Fn(&Station) -> bool| real_places().iter().filter(|one| is(&one.station)).count();
        assert!(count(&|one| one.state_code.as_deref() == Some("AZ")) >= 25);
        assert!(count(&|one| one.location.lat < 0.0) >= 10);
        assert_eq!(count(&|one| one.elevation.is_none()), 1);
        assert!(count(&|one| one.elevation.is_some_and(|m| m < 0.0)) > 0);
        assert!(count(&|one| !one.name.is_ascii()) > 0 && count(&|one| one.name.contains(' ')) > 20);
        assert_eq!(count(&|one| one.country == "Korea, South" && one.wmo_id.is_some()), 1);
        assert_eq!(count(&|one| one.country == "Canada" && one.state.as_deref() == Some("QUEBEC")), 1);
    }

    #[test]
    fn positions_and_climates_are_possible() {
        for RealPlace { station, climate: c } in real_places() {
            assert!(station.location.lat.abs() <= 90.0 && station.location.lon.abs() <= 180.0, "{station:?}");
            assert!(station.elevation.is_none_or(|m| (-430.0..6000.0).contains(&m)), "{station:?}");
            assert!((-60.0..35.0).contains(&c.mean_c) && c.swing_c.abs() < 35.0, "{station:?}");
            assert!((1.0..25.0).contains(&c.day_range_c) && (0.0..1.0).contains(&c.wet_days), "{station:?}");
        }
    }
}
