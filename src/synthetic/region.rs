//! The regions of stations: states and countries with rough bounds, and their share of the stations.

use super::random::GOLDEN;

/// A state or a country; bounds and climate are rough estimates.
pub(super) struct Region {
    /// FIPS code, as in the first two characters of an id.
    pub(super) country_code: &'static str,
    /// Name as in NOAA's list of countries.
    pub(super) country: &'static str,
    /// Postal code and name of a US state or a Canadian province.
    pub(super) state: Option<(&'static str, &'static str)>,
    /// South, north, west and east, in whole degrees.
    pub(super) bounds: [i32; 4],
    /// Height of the highest stations, in metres.
    pub(super) height_m: i32,
    /// Share of days with rain or snow, 0 to 1.
    pub(super) wet_days: f64,
    /// Stations per thousand.
    share: u32,
}

const fn us(
    code: &'static str,
    name: &'static str,
    bounds: [i32; 4],
    height_m: i32,
    wet_days: f64,
    share: u32,
) -> Region {
    let state = Some((code, name));
    Region { country_code: "US", country: "United States", state, bounds, height_m, wet_days, share }
}

const fn canada(
    code: &'static str,
    name: &'static str,
    bounds: [i32; 4],
    height_m: i32,
    wet_days: f64,
    share: u32,
) -> Region {
    let state = Some((code, name));
    Region { country_code: "CA", country: "Canada", state, bounds, height_m, wet_days, share }
}

const fn country(
    country_code: &'static str,
    country: &'static str,
    bounds: [i32; 4],
    height_m: i32,
    wet_days: f64,
    share: u32,
) -> Region {
    Region { country_code, country, state: None, bounds, height_m, wet_days, share }
}

/// Arizona has 1.3 % of the stations, the United States about half, as in GHCN-Daily.
pub(super) const REGIONS: &[Region] = &[
    us("AZ", "ARIZONA", [31, 37, -114, -109], 2_300, 0.13, 13),
    us("TX", "TEXAS", [28, 36, -102, -94], 1_100, 0.22, 70),
    us("CA", "CALIFORNIA", [33, 41, -122, -115], 2_000, 0.15, 45),
    us("CO", "COLORADO", [37, 41, -109, -102], 2_900, 0.24, 40),
    us("KS", "KANSAS", [37, 40, -102, -95], 1_000, 0.25, 35),
    us("NC", "NORTH CAROLINA", [34, 36, -83, -77], 900, 0.33, 35),
    us("FL", "FLORIDA", [26, 30, -82, -80], 60, 0.34, 25),
    us("NY", "NEW YORK", [41, 45, -79, -74], 600, 0.4, 25),
    us("MN", "MINNESOTA", [44, 48, -96, -91], 500, 0.3, 25),
    us("WA", "WASHINGTON", [46, 49, -124, -117], 1_300, 0.42, 25),
    us("IL", "ILLINOIS", [37, 42, -91, -88], 250, 0.32, 25),
    us("OH", "OHIO", [39, 41, -84, -81], 400, 0.37, 25),
    us("GA", "GEORGIA", [31, 35, -85, -82], 600, 0.31, 22),
    us("OR", "OREGON", [42, 46, -123, -117], 1_500, 0.38, 20),
    us("UT", "UTAH", [37, 41, -114, -109], 2_500, 0.2, 20),
    us("NM", "NEW MEXICO", [32, 37, -109, -103], 2_400, 0.16, 20),
    us("MT", "MONTANA", [45, 49, -115, -104], 1_900, 0.26, 20),
    us("AK", "ALASKA", [58, 70, -162, -142], 700, 0.32, 15),
    us("HI", "HAWAII", [19, 22, -159, -155], 1_200, 0.5, 10),
    canada("ON", "ONTARIO", [43, 52, -90, -76], 450, 0.38, 20),
    canada("QC", "QUEBEC", [45, 56, -78, -67], 600, 0.45, 20),
    canada("BC", "BRITISH COLUMBIA", [49, 59, -128, -116], 1_300, 0.42, 17),
    canada("AB", "ALBERTA", [49, 59, -119, -110], 1_300, 0.3, 15),
    country("AS", "Australia", [-38, -14, 116, 152], 700, 0.2, 140),
    country("BR", "Brazil", [-30, 0, -64, -38], 900, 0.35, 50),
    country("MX", "Mexico", [16, 31, -110, -96], 2_300, 0.2, 45),
    country("IN", "India", [10, 30, 73, 87], 900, 0.25, 32),
    country("RS", "Russia", [48, 70, 34, 140], 700, 0.36, 20),
    country("GM", "Germany", [48, 54, 7, 14], 900, 0.46, 15),
    country("SW", "Sweden", [56, 67, 12, 20], 500, 0.44, 15),
    country("SF", "South Africa", [-34, -24, 19, 30], 1_500, 0.18, 12),
    country("AR", "Argentina", [-50, -24, -69, -59], 900, 0.2, 8),
    country("CH", "China", [24, 46, 86, 124], 1_800, 0.28, 8),
    country("FI", "Finland", [60, 68, 22, 29], 300, 0.46, 8),
    country("KZ", "Kazakhstan", [43, 54, 52, 82], 800, 0.24, 6),
    country("NO", "Norway", [59, 70, 6, 24], 700, 0.5, 6),
    country("UP", "Ukraine", [46, 51, 24, 38], 350, 0.38, 6),
    country("AG", "Algeria", [24, 36, -2, 8], 1_200, 0.08, 5),
    country("CI", "Chile", [-53, -24, -73, -70], 900, 0.28, 5),
    country("JA", "Japan", [33, 44, 132, 143], 500, 0.36, 5),
    country("SP", "Spain", [37, 43, -7, 1], 1_000, 0.24, 5),
    country("UK", "United Kingdom", [51, 58, -5, 0], 350, 0.5, 5),
    country("EI", "Ireland", [52, 55, -9, -6], 150, 0.58, 4),
    country("KE", "Kenya", [-4, 3, 35, 40], 1_900, 0.26, 4),
    country("NZ", "New Zealand", [-46, -36, 169, 176], 600, 0.38, 4),
    country("IC", "Iceland", [64, 66, -23, -15], 300, 0.55, 3),
    country("AY", "Antarctica", [-80, -67, 20, 140], 3_000, 0.15, 2),
];

impl Region {
    /// The region of a station, given its number. Any run of numbers, however short, is distributed over the regions
    /// by their shares.
    pub(super) fn of(station: u64) -> &'static Region {
        let mut place = (((station.wrapping_add(1).wrapping_mul(GOLDEN) >> 32) * 1_000) >> 32) as u32;
        for region in REGIONS {
            if place < region.share {
                return region;
            }
            place -= region.share;
        }
        // Not reached: the shares add up to 1,000.
        &REGIONS[0]
    }

    /// The region with this name: a state or a province, otherwise a country.
    pub(super) fn named(name: &str) -> Option<&'static Region> {
        REGIONS.iter().find(|region| region.state.map_or(region.country, |(_, state)| state) == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_are_kept() {
        assert_eq!(REGIONS.iter().map(|region| region.share).sum::<u32>(), 1_000);
        for (stations, expected) in [(1_000, 12..=14), (10_000, 125..=135), (100_000, 1_290..=1_310)] {
            let of_arizona = |&station: &u64| Region::of(station).state == REGIONS[0].state;
            let arizona = (0..stations).filter(of_arizona).count();
            assert!(expected.contains(&arizona), "{arizona} of {stations}");
        }
    }

    #[test]
    fn bounds_are_on_the_earth() {
        for Region { country, bounds: [south, north, west, east], .. } in REGIONS {
            assert!(-90 <= *south && south < north && *north <= 90, "{country}");
            assert!(-180 <= *west && west < east && *east <= 180, "{country}");
        }
    }
}
