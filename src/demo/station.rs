//! The stations that the demo speaks of: real places, so that ids and countries resolve as with real data.

use std::fmt;

/// One weather station, with what the inventory says of it and with the weather that the demo gives it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DemoStation {
    /// GHCN id, 11 characters; the first two are the country code.
    pub id: &'static str,
    /// Degrees north, negative in the south.
    pub latitude: f64,
    /// Degrees east, negative in the west.
    pub longitude: f64,
    /// Metres above the sea; `None` where the inventory has its mark for "missing", -999.9.
    pub elevation_m: Option<f64>,
    /// Two letters of a US state or a Canadian province; `None` elsewhere.
    pub state_code: Option<&'static str>,
    /// Full name of the state or province, in NOAA's capitals.
    pub state: Option<&'static str>,
    /// Name of the country as in NOAA's list of countries.
    pub country: &'static str,
    /// Name of the station as in the inventory: capitals, except letters that are not ASCII.
    pub name: &'static str,
    /// Five digits of the World Meteorological Organization, if it has a number there.
    pub wmo_id: Option<&'static str>,
    /// What the generator aims at. Not NOAA's.
    pub climate: Climate,
}

/// Rough climate of a station: our own estimates, good enough for a plausible demo and for nothing else.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Climate {
    /// Annual mean temperature, °C.
    pub mean_c: f64,
    /// Half of the difference between the mean of the warmest and of the coldest month, °C.
    pub swing_c: f64,
    /// Typical difference between the day's maximum and minimum, °C.
    pub day_range_c: f64,
    /// Share of days with rain or snow, 0 to 1.
    pub wet_days: f64,
}

impl DemoStation {
    /// Sets the climate: annual mean, swing and day range in °C, share of wet days.
    const fn climate(mut self, mean_c: f64, swing_c: f64, day_range_c: f64, wet_days: f64) -> Self {
        self.climate = Climate { mean_c, swing_c, day_range_c, wet_days };
        self
    }
}

impl fmt::Display for DemoStation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.name)
    }
}

/// Where a station lies: the country, and the state's code and name.
#[derive(Clone, Copy)]
struct Place(&'static str, Option<(&'static str, &'static str)>);

const ARIZONA: Place = us("AZ", "ARIZONA");

const fn us(code: &'static str, state: &'static str) -> Place {
    Place("United States", Some((code, state)))
}

const fn canada(code: &'static str, province: &'static str) -> Place {
    Place("Canada", Some((code, province)))
}

const fn country(name: &'static str) -> Place {
    Place(name, None)
}

/// A row of the table; `position` is latitude, longitude, elevation, and an empty `wmo` means none.
const fn at(
    id: &'static str,
    name: &'static str,
    place: Place,
    position: [f64; 3],
    wmo: &'static str,
) -> DemoStation {
    let [latitude, longitude, elevation_m] = position;
    let (state_code, state) = match place.1 {
        Some((code, state)) => (Some(code), Some(state)),
        None => (None, None),
    };
    DemoStation {
        id,
        latitude,
        longitude,
        elevation_m: Some(elevation_m),
        state_code,
        state,
        country: place.0,
        name,
        wmo_id: if wmo.is_empty() { None } else { Some(wmo) },
        climate: Climate { mean_c: 10.0, swing_c: 10.0, day_range_c: 10.0, wet_days: 0.2 },
    }
}

/// The demo's stations: Arizona first and dense, the rest spread over both hemispheres.
///
/// Ids, names and positions are facts of NOAA's GHCN-Daily station inventory (Menne et al. 2012,
/// [doi:10.7289/V5D21VHZ](https://doi.org/10.7289/V5D21VHZ)): as of January 2020 in the US and Canada, as of
/// October 2024 elsewhere. The climate figures are rough and ours.
pub const STATIONS: &[DemoStation] = &[
    // Arizona.
    at("USW00003192", "SCOTTSDALE MUNI AP", ARIZONA, [33.6228, -111.9106, 449.0], "")
        .climate(22.4, 10.5, 13.5, 0.1),
    at("USC00027716", "SELIGMAN", ARIZONA, [35.3322, -112.8797, 1600.2], "").climate(11.9, 10.6, 19.0, 0.16),
    at("USC00020080", "AJO", ARIZONA, [32.3697, -112.86, 533.7], "").climate(22.3, 10.3, 14.0, 0.1),
    at("USW00003103", "FLAGSTAFF PULLIAM AP", ARIZONA, [35.1442, -111.6664, 2134.5], "72375")
        .climate(8.1, 10.4, 17.0, 0.21),
    at("USW00023183", "PHOENIX SKY HARBOR INTL AP", ARIZONA, [33.4278, -112.0039, 337.4], "72278")
        .climate(24.1, 11.0, 12.5, 0.09),
    at("USW00003184", "PHOENIX DEER VALLEY MUNI AP", ARIZONA, [33.6883, -112.0817, 443.5], "")
        .climate(22.9, 10.9, 14.5, 0.09),
    at("USW00023160", "TUCSON INTL AP", ARIZONA, [32.1314, -110.9553, 776.9], "72274")
        .climate(21.3, 9.8, 15.0, 0.14),
    at("USC00028815", "TUCSON WFO", ARIZONA, [32.2292, -110.9536, 742.2], "").climate(21.3, 9.7, 15.0, 0.14),
    at("USW00003145", "YUMA MCAS", ARIZONA, [32.65, -114.6167, 64.9], "").climate(23.8, 10.2, 14.5, 0.05),
    at("USW00003162", "PAGE MUNI AP", ARIZONA, [36.9261, -111.4478, 1313.7], "72371")
        .climate(15.1, 13.2, 14.0, 0.14),
    at("USC00023596", "GRAND CANYON NP 2", ARIZONA, [36.0528, -112.1503, 2068.1], "")
        .climate(9.4, 10.6, 17.5, 0.21),
    at("USW00003195", "GRAND CANYON NP AP", ARIZONA, [35.9461, -112.1547, 2013.5], "")
        .climate(8.2, 10.2, 19.0, 0.2),
    at("USC00026471", "PHANTOM RANCH", ARIZONA, [36.1067, -112.0947, 771.1], "")
        .climate(20.8, 12.3, 13.0, 0.15),
    at("USC00026796", "PRESCOTT", ARIZONA, [34.5706, -112.4322, 1586.5], "").climate(12.9, 9.8, 17.0, 0.17),
    at("USW00023184", "PRESCOTT LOVE FLD", ARIZONA, [34.6517, -112.4208, 1536.8], "")
        .climate(13.3, 9.9, 15.5, 0.17),
    at("USW00023194", "WINSLOW MUNI AP", ARIZONA, [35.0281, -110.7208, 1489.3], "72374")
        .climate(13.2, 12.2, 17.5, 0.14),
    at("USW00093167", "KINGMAN MOHAVE CO AP", ARIZONA, [35.2578, -113.9331, 1042.4], "72370")
        .climate(17.0, 11.2, 14.5, 0.11),
    at("USC00029359", "WILLIAMS", ARIZONA, [35.2414, -112.1928, 2105.9], "").climate(9.8, 9.9, 17.0, 0.2),
    at("USC00024849", "LEES FERRY", ARIZONA, [36.8644, -111.6022, 978.4], "").climate(17.1, 13.0, 14.5, 0.13),
    at("USC00025635", "MONTEZUMA CASTLE NM", ARIZONA, [34.6106, -111.8381, 969.3], "")
        .climate(16.4, 10.5, 18.5, 0.15),
    at("USC00028619", "TOMBSTONE", ARIZONA, [31.7119, -110.0686, 1420.1], "").climate(17.3, 8.6, 14.5, 0.17),
    at("USC00020159", "ALPINE", ARIZONA, [33.8492, -109.1469, 2453.6], "").climate(6.3, 9.2, 20.0, 0.25),
    at("USC00021248", "CANYON DE CHELLY", ARIZONA, [36.1533, -109.5394, 1709.9], "")
        .climate(11.6, 12.1, 18.0, 0.15),
    at("USW00093026", "DOUGLAS BISBEE INL AP", ARIZONA, [31.4583, -109.6061, 1251.2], "72272")
        .climate(17.1, 9.5, 17.0, 0.15),
    at("USW00093139", "PAYSON", ARIZONA, [34.2325, -111.3447, 1478.3], "").climate(13.4, 9.8, 18.0, 0.19),
    at("USC00026250", "PARKER", ARIZONA, [34.1547, -114.2908, 128.0], "").climate(23.0, 11.3, 16.0, 0.07),
    at("USC00021514", "CHANDLER HEIGHTS", ARIZONA, [33.2058, -111.6819, 434.3], "")
        .climate(21.8, 10.6, 16.0, 0.1),
    // The rest of the United States.
    at("USC00042319", "DEATH VALLEY", us("CA", "CALIFORNIA"), [36.4622, -116.8669, -59.1], "")
        .climate(25.1, 13.6, 15.5, 0.05),
    at("USW00093193", "FRESNO YOSEMITE INTL AP", us("CA", "CALIFORNIA"), [36.78, -119.7194, 101.5], "72389")
        .climate(17.9, 9.8, 14.0, 0.12),
    at("USW00026411", "FAIRBANKS INTL AP", us("AK", "ALASKA"), [64.8039, -147.8761, 131.7], "70261")
        .climate(-2.4, 20.0, 11.0, 0.3),
    at("USW00027502", "BARROW POST ROGERS AP", us("AK", "ALASKA"), [71.2833, -156.7814, 9.4], "70026")
        .climate(-10.2, 15.0, 6.0, 0.22),
    at("USW00014755", "MT WASHINGTON", us("NH", "NEW HAMPSHIRE"), [44.2667, -71.2994, 1910.2], "72613")
        .climate(-2.4, 11.7, 7.0, 0.55),
    at("USW00094846", "CHICAGO OHARE INTL AP", us("IL", "ILLINOIS"), [41.995, -87.9336, 200.6], "72530")
        .climate(10.1, 14.0, 10.0, 0.34),
    at("USW00012839", "MIAMI INTL AP", us("FL", "FLORIDA"), [25.7906, -80.3164, 8.8], "72202")
        .climate(25.1, 4.1, 7.5, 0.37),
    at("USW00021504", "HILO INTL AP", us("HI", "HAWAII"), [19.7192, -155.0531, 11.6], "91285")
        .climate(23.5, 1.5, 7.5, 0.73),
    // Canada.
    at("CA1QC000039", "QUéBEC 4.1 N", canada("QC", "QUEBEC"), [46.8479, -71.2306, 23.5], "")
        .climate(4.9, 16.0, 9.5, 0.47),
    at("CA002402592", "IQALUIT CLIMATE", canada("NU", "NUNAVUT"), [63.75, -68.55, 34.0], "71321")
        .climate(-9.0, 18.0, 7.0, 0.4),
    at("CA003031094", "CALGARY INT'L CS", canada("AB", "ALBERTA"), [51.1167, -114.0167, 1081.0], "71393")
        .climate(4.4, 12.8, 12.5, 0.31),
    at("CA005023262", "WINNIPEG THE FORKS", canada("MB", "MANITOBA"), [49.8833, -97.1333, 230.0], "71579")
        .climate(4.0, 18.3, 10.5, 0.33),
    // The rest of the northern hemisphere.
    at("RSM00024688", "OJMJAKON", country("Russia"), [63.25, 143.15, 740.0], "24688")
        .climate(-15.5, 30.5, 13.0, 0.27),
    at("FI000007501", "SODANKYLA AWS", country("Finland"), [67.3678, 26.6328, 179.0], "02836")
        .climate(0.3, 14.2, 10.0, 0.48),
    at("FI000000304", "HELSINKI KAISANIEMI AWS", country("Finland"), [60.1667, 24.95, 4.0], "")
        .climate(6.6, 11.5, 6.0, 0.45),
    at("IC000004030", "REYKJAVIK", country("Iceland"), [64.1269, -21.9025, 52.0], "04030")
        .climate(5.1, 5.6, 5.0, 0.58),
    at("GL000004250", "NUUK", country("Greenland [Denmark]"), [64.1667, -51.75, 80.0], "04250")
        .climate(-1.0, 7.3, 5.0, 0.4),
    at("EI000003953", "VALENTIA OBSERVATORY", country("Ireland"), [51.9394, -10.2219, 9.0], "03953")
        .climate(10.8, 4.4, 5.5, 0.66),
    at("UKM00003772", "HEATHROW", country("United Kingdom"), [51.478, -0.461, 25.3], "03772")
        .climate(11.3, 6.6, 8.0, 0.41),
    at("FRM00007156", "PARIS-MONTSOURIS", country("France"), [48.8217, 2.3378, 75.0], "07156")
        .climate(12.3, 7.9, 7.5, 0.43),
    at("UPM00033345", "KIEV", country("Ukraine"), [50.4, 30.5331, 166.0], "33345")
        .climate(8.9, 12.3, 8.0, 0.4),
    at("MG000044212", "ULAAN-GOM", country("Mongolia"), [49.8, 92.08, 936.0], "44212")
        .climate(-2.5, 25.5, 12.0, 0.15),
    at("AFM00040948", "KABUL INTL", country("Afghanistan"), [34.566, 69.212, 1791.3], "40948")
        .climate(12.8, 12.8, 15.0, 0.18),
    at("CHM00055591", "LHASA", country("China"), [29.667, 91.133, 3650.0], "55591")
        .climate(8.8, 8.5, 15.0, 0.23),
    at("IN022021900", "NEW DELHI/SAFDARJUN", country("India"), [28.583, 77.2, 216.0], "42182")
        .climate(25.2, 9.8, 12.5, 0.13),
    at("KSM00047108", "SEOUL CITY", country("Korea, South"), [37.567, 126.967, 87.0], "47108")
        .climate(12.9, 14.0, 8.5, 0.29),
    at("JA000047662", "TOKYO", country("Japan"), [35.683, 139.767, 36.0], "47662")
        .climate(15.8, 10.6, 7.5, 0.31),
    at("AG000060680", "TAMANRASSET", country("Algeria"), [22.8, 5.4331, 1362.0], "60680")
        .climate(22.3, 8.4, 13.0, 0.04),
    at("ML000061223", "TOMBOUCTOU", country("Mali"), [16.717, -3.0, 264.0], "61223")
        .climate(29.2, 6.0, 14.5, 0.09),
    at("SNM00048698", "SINGAPORE CHANGI INTL", country("Singapore"), [1.35, 103.994, 6.7], "48698")
        .climate(27.7, 0.9, 6.5, 0.46),
    // The southern hemisphere.
    at("KEM00063741", "NAIROBI/DAGORETTI", country("Kenya"), [-1.3, 36.75, 1798.0], "63741")
        .climate(18.4, 1.7, 11.0, 0.28),
    at("BR000083743", "RIO DE JANEIRO", country("Brazil"), [-22.917, -43.167, 5.0], "83743")
        .climate(24.0, 2.8, 7.5, 0.32),
    at("BLM00085201", "EL ALTO INTL", country("Bolivia"), [-16.513, -68.192, 4061.5], "85201")
        .climate(7.6, 2.0, 14.0, 0.27),
    at("AR000875850", "BUENOS AIRES OBSERV", country("Argentina"), [-34.583, -58.483, 25.0], "87585")
        .climate(17.9, 6.8, 9.0, 0.28),
    at("CI000085934", "PUNTA ARENAS", country("Chile"), [-53.0, -70.967, 37.0], "85934")
        .climate(6.3, 4.5, 6.5, 0.42),
    at("SFM00068816", "CAPE TOWN INTL", country("South Africa"), [-33.965, 18.602, 46.0], "68816")
        .climate(16.9, 4.4, 9.5, 0.28),
    at("ASN00066062", "SYDNEY (OBSERVATORY HILL)", country("Australia"), [-33.8607, 151.205, 39.0], "94768")
        .climate(18.3, 5.1, 8.0, 0.36),
    at("NZM00093439", "WELLINGTON AERO AWS", country("New Zealand"), [-41.333, 174.8, 12.0], "93439")
        .climate(13.2, 3.9, 6.0, 0.33),
    at("AYM00089606", "VOSTOK", country("Antarctica"), [-78.45, 106.867, 3488.0], "89606")
        .climate(-55.2, 17.5, 9.0, 0.07),
    DemoStation {
        elevation_m: None,
        ..at("AYW00090001", "AMUNDSEN-SCOTT", country("Antarctica"), [-90.0, 0.0, 0.0], "89009")
            .climate(-49.4, 16.0, 4.5, 0.2)
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_unique_and_fit_their_column() {
        let ids: HashSet<_> = STATIONS.iter().map(|s| s.id).collect();
        assert_eq!(ids.len(), STATIONS.len());
        assert!(STATIONS.iter().all(|s| s.id.len() == 11));
    }

    #[test]
    fn scottsdale_is_as_it_was_in_2020() {
        let s = STATIONS.iter().find(|s| s.id == "USW00003192").expect("the demo's main station");
        assert_eq!((s.latitude, s.longitude, s.elevation_m), (33.6228, -111.9106, Some(449.0)));
        assert_eq!((s.state_code, s.state, s.country), (Some("AZ"), Some("ARIZONA"), "United States"));
        assert_eq!(s.to_string(), "USW00003192 SCOTTSDALE MUNI AP");
    }

    #[test]
    fn the_table_holds_the_awkward_cases() {
        assert!(STATIONS.iter().filter(|s| s.state_code == Some("AZ")).count() >= 25);
        assert!(STATIONS.iter().any(|s| s.latitude < 0.0));
        assert!(STATIONS.iter().any(|s| s.elevation_m.is_none()));
        assert!(STATIONS.iter().any(|s| s.elevation_m.is_some_and(|m| m < 0.0)));
        assert!(STATIONS.iter().any(|s| !s.name.is_ascii()));
        assert!(STATIONS.iter().any(|s| s.country == "Canada" && s.state == Some("QUEBEC")));
    }

    #[test]
    fn positions_and_climates_are_possible() {
        for s in STATIONS {
            assert!(s.latitude.abs() <= 90.0 && s.longitude.abs() <= 180.0, "{s}");
            assert!(s.elevation_m.is_none_or(|m| (-430.0..6000.0).contains(&m)), "{s}");
            let c = s.climate;
            assert!((-60.0..35.0).contains(&c.mean_c) && (0.0..35.0).contains(&c.swing_c), "{s}");
            assert!((1.0..25.0).contains(&c.day_range_c) && (0.0..1.0).contains(&c.wet_days), "{s}");
        }
    }
}
