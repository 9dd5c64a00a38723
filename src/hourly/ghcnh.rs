//! GHCNh, NOAA's hourly data: pipe-separated values with hundreds of columns, in °C, m/s and hPa.
//!
//! Each element has a column of its own and columns `…_Quality_Code` and others after it. Older files have `Station_ID`
//! and the parts of the time in place of `STATION` and `DATE`.

use super::Hour;
use super::csv::{decimal, station_and_time};
use super::possible::without_impossible;

/// Values with these quality codes passed NOAA's checks, or were not checked.
const GOOD_QUALITY: [&str; 6] = ["", "0", "1", "4", "5", "9"];

/// The columns that are read, found by the names in the header.
pub struct Ghcnh {
    count: usize,
    station: usize,
    time: Time,
    temperature: Element,
    dew_point: Option<Element>,
    wind: Option<Element>,
    pressure: Option<Element>,
    /// No column after this one is read.
    last: usize,
}

enum Time {
    /// A column with the whole time.
    Whole(usize),
    /// Columns of year, month, day, hour and minute.
    Parts([usize; 5]),
}

#[derive(Clone, Copy)]
struct Element {
    value: usize,
    quality: Option<usize>,
}

impl Ghcnh {
    /// Reads the header; `None` if the line is not a header of this form.
    pub fn parse(header: &str) -> Option<Self> {
        if !header.contains('|') {
            return None;
        }
        let names: Vec<&str> = header.trim_end().split('|').map(str::trim).collect();
        let at = |wanted: &str| names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
        let element =
            |name: &str| Some(Element { value: at(name)?, quality: at(&format!("{name}_Quality_Code")) });
        let parts = || Some(Time::Parts([at("Year")?, at("Month")?, at("Day")?, at("Hour")?, at("Minute")?]));
        let mut columns = Self {
            count: names.len(),
            station: at("STATION").or_else(|| at("Station_ID"))?,
            time: at("DATE").map(Time::Whole).or_else(parts)?,
            temperature: element("temperature")?,
            dew_point: element("dew_point_temperature"),
            wind: element("wind_speed"),
            pressure: element("sea_level_pressure"),
            last: 0,
        };
        let elements = [Some(columns.temperature), columns.dew_point, columns.wind, columns.pressure];
        let read = elements.into_iter().flatten().flat_map(|element| [Some(element.value), element.quality]);
        columns.last = read.flatten().max().unwrap_or(0);
        Some(columns)
    }

    /// Reads a line; `None` if it has no temperature that passed its checks.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub fn read(&self, line: &str) -> Result<Option<Hour>, String> {
        let fields: Vec<&str> = line.trim_end_matches(['\r', '\n']).split('|').map(str::trim).collect();
        // The value of the last column that is read is complete if another column follows.
        if fields.len() != self.count && fields.len() <= self.last + 1 {
            return Err(format!("it has {} fields, but the header has {}", fields.len(), self.count));
        }
        let field = |at: usize| fields.get(at).copied().unwrap_or_default();
        let value = |name: &str, element: Option<Element>| match element {
            Some(element) if GOOD_QUALITY.contains(&element.quality.map_or("", field)) => {
                decimal(name, field(element.value))
            }
            _ => Ok(None),
        };
        let time = match self.time {
            Time::Whole(at) => field(at).to_owned(),
            Time::Parts(parts) => {
                let [year, month, day, hour, minute] = parts.map(field);
                format!("{year:0>4}-{month:0>2}-{day:0>2}T{hour:0>2}:{minute:0>2}")
            }
        };
        let (station, time) = station_and_time(field(self.station), &time)?;
        let Some(temperature) = value("temperature", Some(self.temperature))? else { return Ok(None) };
        let mut hour = Hour::new(station, time, temperature);
        hour.dew_point_c = value("dew_point_temperature", self.dew_point)?;
        hour.wind_m_s = value("wind_speed", self.wind)?;
        hour.pressure_hpa = value("sea_level_pressure", self.pressure)?;
        hour.source = Some("ghcnh".to_owned());
        without_impossible(hour).map(Some).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "STATION|Station_name|DATE|Year|Month|Day|Hour|Minute|LATITUDE|LONGITUDE|ELEVATION|\
        temperature|temperature_Measurement_Code|temperature_Quality_Code|temperature_Report_Type|\
        dew_point_temperature|dew_point_temperature_Quality_Code|sea_level_pressure|wind_speed|relative_humidity";

    fn line(time: &str, values: &str) -> String {
        format!("USW00014732|LAGUARDIA AP|{time}|2023|06|01|12|51|40.78|-73.88|3.0|{values}")
    }

    #[test]
    fn values_are_read_by_the_names_of_their_columns() {
        let columns = Ghcnh::parse(HEADER).unwrap();
        let expected = r#"{"station_id":"USW00014732","time":"2023-06-01T12:51:00Z","temperature_c":23.3,"dew_point_c":12.0,"wind_m_s":9.3,"pressure_hpa":1012.4,"source":"ghcnh"}"#;
        for time in ["2023-06-01T12:51:00", "2023-06-01T12:51:00Z"] {
            let hour = columns.read(&line(time, "23.3|||FM-15|12.0||1012.4|9.3|49")).unwrap().unwrap();
            assert_eq!(hour.to_json(), expected);
        }
        let old =
            "Station_ID|Station_name|Year|Month|Day|Hour|Minute|Latitude|Longitude|Elevation|temperature";
        let hour = Ghcnh::parse(old).unwrap().read("USW00014732|X|2023|6|1|0|5|40.78|-73.88|3.0|23.3");
        assert!(hour.unwrap().unwrap().to_json().contains("2023-06-01T00:05:00Z"));
    }

    #[test]
    fn values_that_failed_their_checks_are_missing() {
        let columns = Ghcnh::parse(HEADER).unwrap();
        let read = |values: &str| columns.read(&line("2023-06-01T12:51:00", values)).unwrap();
        for code in GOOD_QUALITY {
            assert!(read(&format!("23.3||{code}||||||")).is_some(), "{code}");
        }
        for code in ["2", "3", "6", "7", "C", "D", "K"] {
            assert_eq!(read(&format!("23.3||{code}||||||")), None, "{code}");
        }
        assert_eq!(read("||||12.0||||"), None);
        assert_eq!(read("23.3|||FM-15|12.0|K|||").unwrap().dew_point_c, None);
    }

    #[test]
    fn lines_that_are_cut_or_wrong_are_errors() {
        let columns = Ghcnh::parse(HEADER).unwrap();
        assert!(
            columns.read("USW00014732|LAGUARDIA AP|2023-06-01T12:51:00|2023").unwrap_err().contains("fields")
        );
        assert!(columns.read(&line("2023-06-31T12:51:00", "23.3||||||||")).unwrap_err().contains("time"));
        assert!(
            columns.read(&line("2023-06-01T12:51:00", "warm||||||||")).unwrap_err().contains("not a number")
        );
        assert!(Ghcnh::parse("STATION,DATE,temperature").is_none());
        assert!(Ghcnh::parse("STATION|DATE|TMIN").is_none());
    }
}
