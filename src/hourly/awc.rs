//! The METAR cache of the Aviation Weather Center (aviationweather.gov): CSV with the text of each METAR and its fields.
//!
//! Older files have five lines before the header. Names of columns repeat, and the first one counts. The text has
//! more information than the fields, so they only fill its gaps.

use super::Metar;
use super::metar_groups::{M_S_PER_KNOT, cloud_oktas, hpa_of_inches, rounded};
use super::night::utc_time;
use crate::noaa::csv_fields;

/// Stands for a missing value in some files.
const MISSING: f64 = -99.99;

/// The columns, found by the names in the header.
pub struct AwcCsv {
    names: Vec<String>,
    raw: usize,
    station: usize,
    time: usize,
}

/// A line of the cache.
#[derive(Clone, Debug, PartialEq)]
pub struct AwcReport {
    /// When it was observed, in seconds since 1970.
    pub time: i64,
    /// The fields of the line.
    pub metar: Metar,
    /// The text of the METAR.
    pub raw: String,
}

impl AwcCsv {
    /// Reads the header; `None` if the line is not a header of this form.
    pub fn parse(header: &str) -> Option<Self> {
        if !header.starts_with("raw_text,") {
            return None;
        }
        let names = csv_fields(header)?;
        let at = |wanted: &str| names.iter().position(|name| name == wanted);
        let (raw, station, time) = (at("raw_text")?, at("station_id")?, at("observation_time")?);
        Some(Self { names, raw, station, time })
    }

    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub fn read(&self, line: &str) -> Result<AwcReport, String> {
        let fields = csv_fields(line).ok_or("it ends within quotes; the file may be truncated")?;
        if fields.len() != self.names.len() {
            return Err(format!("it has {} fields, but the header has {}", fields.len(), self.names.len()));
        }
        let field = |at: usize| fields.get(at).map_or("", |field| field.trim());
        let value = |name: &str| {
            let at = self.names.iter().position(|found| found == name)?;
            field(at).parse().ok().filter(|number: &f64| number.is_finite() && *number != MISSING)
        };
        let time = field(self.time);
        let time = utc_time(time).ok_or_else(|| format!("observation_time {time:?} is not a time in UTC"))?;
        let raw = field(self.raw).to_owned();
        let mut metar = Metar::parse(&raw).unwrap_or_default();
        field(self.station).clone_into(&mut metar.icao);
        metar.temperature_c = metar.temperature_c.or_else(|| value("temp_c"));
        metar.dew_point_c = metar.dew_point_c.or_else(|| value("dewpoint_c"));
        metar.wind_m_s =
            metar.wind_m_s.or_else(|| value("wind_speed_kt").map(|knots| rounded(knots * M_S_PER_KNOT)));
        metar.pressure_hpa = metar.pressure_hpa.or_else(|| value("altim_in_hg").and_then(hpa_of_inches));
        if metar.cloud_oktas.is_none() {
            let covers = self.names.iter().enumerate().filter(|(_, name)| *name == "sky_cover");
            metar.cloud_oktas = covers.filter_map(|(at, _)| cloud_oktas(field(at))).max();
        }
        Ok(AwcReport { time, metar, raw })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hourly::iso_time;

    const HEADER: &str = "raw_text,station_id,observation_time,latitude,longitude,temp_c,dewpoint_c,wind_dir_degrees,\
        wind_speed_kt,wind_gust_kt,visibility_statute_mi,altim_in_hg,sea_level_pressure_mb,sky_cover,cloud_base_ft_agl,\
        sky_cover,cloud_base_ft_agl";

    fn read(line: &str) -> Result<AwcReport, String> {
        AwcCsv::parse(HEADER).unwrap().read(line)
    }

    #[test]
    fn both_layouts_are_read() {
        let old = read(
            "KSFO 310456Z 28011KT 10SM SCT110 BKN180 11/06 A3001 RMK AO2 SLP161 T01110056 $,KSFO,2016-01-31T04:56:00Z,\
             37.62,-122.37,11.1,5.6,280,11,,10.0,30.008858,1016.1,SCT,11000,BKN,18000",
        )
        .unwrap();
        assert_eq!((old.metar.icao.as_str(), old.metar.temperature_c), ("KSFO", Some(11.1)));
        assert_eq!(iso_time(old.time), "2016-01-31T04:56:00Z");
        let new = read(
            "\"METAR LIRF 160720Z 05005KT CAVOK 23/14 Q1016 NOSIG\",LIRF,2026-09-16T07:20:00.000Z,41.8000,12.2390,23,14,\
             50,5,,6+,30.00,,CLR,,,",
        )
        .unwrap();
        assert_eq!((new.metar.temperature_c, new.metar.cloud_oktas), (Some(23.0), Some(0)));
        assert_eq!(iso_time(new.time), "2026-09-16T07:20:00Z");
    }

    #[test]
    fn fields_fill_the_gaps_of_the_text() {
        let report = read(
            "\"METAR K3L4 100135Z AUTO VRB05G11KT\",K3L4,2026-10-10T01:35:00.000Z,40.1,-75.2,4.5,-1.5,0,7,11,10+,30.01,\
             null,SCT,11000,BKN,18000",
        )
        .unwrap()
        .metar;
        assert_eq!((report.temperature_c, report.dew_point_c), (Some(4.5), Some(-1.5)));
        assert_eq!(report.wind_m_s, Some(2.6), "the text counts");
        assert_eq!((report.pressure_hpa, report.cloud_oktas), (Some(1_016.3), Some(7)));
        let empty = read(",KSFO,2016-01-31T04:56:00Z,-99.99,-99.99,,,,,,,null,,,,,").unwrap().metar;
        assert_eq!((empty.temperature_c, empty.pressure_hpa, empty.cloud_oktas), (None, None, None));
        let nines = read(",KSFO,2016-01-31T04:56:00Z,-99.99,-99.99,-99.99,-99.99,,,,,,,,,,").unwrap().metar;
        assert_eq!((nines.temperature_c, nines.dew_point_c), (None, None));
        assert!(read("KSFO,KSFO,today,,,,,,,,,,,,,,").unwrap_err().contains("observation_time"));
        assert!(read("KSFO 310456Z,KSFO").unwrap_err().contains("2 fields"));
    }
}
