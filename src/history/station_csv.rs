//! A station's own CSV, as in NOAA's access folder: one line per day, one column per element, and next to most a
//! column `…_ATTRIBUTES` with measurement, quality and source flag and the time of observation.
//!
//! Climate Data Online delivers files that look the same, in degrees Fahrenheit or Celsius, without these columns
//! unless they are requested. Whole numbers look alike in all of them, so a file without these columns is read only
//! if [`Units`] are named.

use super::line::give_line;
use super::units::Units;
use crate::noaa::{Date, Element, Reading, StationId, csv_fields};

/// The columns, according to the header line.
pub(super) struct Columns {
    count: usize,
    station: usize,
    date: usize,
    /// The columns of each element: its value, and its attributes if it has any.
    elements: Vec<(Element, usize, Option<usize>)>,
    units: Units,
}

impl Columns {
    /// Whether a line holds the names of the columns, in any order: in the middle of a file, such a line starts
    /// another file, because files may have been joined.
    pub(super) fn is_header(line: &str) -> bool {
        line.contains("STATION")
            && line.contains("DATE")
            && csv_fields(line).is_some_and(|names| {
                ["STATION", "DATE"].iter().all(|wanted| names.iter().any(|name| name == wanted))
            })
    }

    /// Parses the names of the columns. Without `units` the file must be NOAA's own.
    ///
    /// # Errors
    /// What is missing, in a sentence.
    pub(super) fn parse(header: &str, units: Option<Units>) -> Result<Self, String> {
        let names = csv_fields(header).ok_or("its header ends within quotes")?;
        let at = |wanted: &str| names.iter().position(|name| name == wanted);
        let elements = names.iter().enumerate().filter_map(|(index, name)| {
            let element = Element::parse(name.as_bytes()).filter(|element| element.is_known())?;
            Some((element, index, at(&format!("{name}_ATTRIBUTES"))))
        });
        let elements: Vec<_> = elements.collect();
        let (station, date) = (
            at("STATION").ok_or("the column STATION is missing")?,
            at("DATE").ok_or("the column DATE is missing")?,
        );
        if elements.is_empty() {
            return Err(
                "no column is an element of GHCN-Daily, such as TMIN; this may be another data set".into()
            );
        }
        let has_attributes = elements.iter().any(|(.., attributes)| attributes.is_some());
        let units = units.or(has_attributes.then_some(Units::Tenths)).ok_or(
            "the units of its values are unknown, because no column has attributes, unlike in NOAA's own \
             station CSV: convert it with `frostline convert --into lines` and --units tenths (of °C and mm), \
             metric (°C, mm) or standard (°F, inches)",
        )?;
        Ok(Self { count: names.len(), station, date, elements, units })
    }

    /// Calls `visit` with a by_year line for each element that has a value.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub(super) fn read_line(&self, line: &str, visit: &mut dyn FnMut(&[u8])) -> Result<(), String> {
        let fields = csv_fields(line).ok_or("it ends within quotes; the file may be truncated")?;
        if fields.len() != self.count {
            return Err(format!("it has {} fields, but the header has {}", fields.len(), self.count));
        }
        let field = |index: usize| fields.get(index).map_or("", |field| field.trim());
        let station = field(self.station);
        let station =
            StationId::parse(station.as_bytes()).ok_or_else(|| format!("{station:?} is not a station id"))?;
        let date = field(self.date);
        let date = Date::parse_iso(date).ok_or_else(|| format!("{date:?} is not a date"))?;
        let mut text = Vec::with_capacity(48);
        for (element, value, attributes) in &self.elements {
            let value = field(*value);
            if value.is_empty() {
                continue;
            }
            let Some(value) = self.units.stored(*element, value)? else { continue };
            let attributes: Vec<&str> = attributes.map_or("", field).split(',').collect();
            let flag = |index: usize| attributes.get(index).and_then(|flag| flag.bytes().next()).unwrap_or(0);
            let time = attributes.get(3).and_then(|time| time.parse().ok());
            let reading = Reading {
                station,
                date,
                element: *element,
                value,
                measurement_flag: flag(0),
                quality_flag: flag(1),
                source_flag: flag(2),
                observation_time: time,
            };
            give_line(&reading, &mut text, visit).map_err(|error| format!("{element}: {error}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_element_with_a_value_is_a_line() {
        let header = "\"STATION\",\"DATE\",\"NAME\",\"TMIN\",\"TMIN_ATTRIBUTES\",\"PRCP\",\"PRCP_ATTRIBUTES\",\"SNOW\"";
        let columns = Columns::parse(header, None).unwrap();
        let read = |line: &str| {
            let mut found = Vec::new();
            columns
                .read_line(line, &mut |line| found.push(String::from_utf8_lossy(line).into_owned()))
                .map(|()| found)
        };
        let line = "\"USC00027716\",\"2016-06-15\",\"SELIGMAN, AZ\",\"  -44\",\",S,7,0700\",\"    0\",\"T,,7\",\"\"\r\n";
        assert_eq!(
            read(line).unwrap(),
            ["USC00027716,20160615,TMIN,-44,,S,7,0700", "USC00027716,20160615,PRCP,0,T,,7,"]
        );
        assert!(read("\"USC00027716\",\"2016-06-31\",,,,,,").unwrap_err().contains("not a date"));
        assert!(read("USC00027716,2016-06-15,x,1.5,,,,").unwrap_err().contains("whole number"));
        assert!(read("USC00027716,2016-06-15").unwrap_err().contains("2 fields"));
        assert!(read("USC00027716,2016-06-15,x,\"  14").unwrap_err().contains("within quotes"));
        assert_eq!(
            read("USC00027716,2016-06-15,x,-9999,,11,,-9999").unwrap(),
            ["USC00027716,20160615,PRCP,11,,,,"],
            "one that is missing is left out alone"
        );
    }

    #[test]
    fn headers_that_say_too_little_are_refused() {
        let error = |header: &str, units| Columns::parse(header, units).err().unwrap();
        assert!(error("STATION,TMIN", None).contains("the column DATE is missing"));
        assert!(error("STATION,DATE,SOURCE,TMP", None).contains("no column is an element"));
        assert!(error("STATION,NAME,DATE,TMAX,TMIN", None).contains("--units"));
        assert!(Columns::parse("STATION,NAME,DATE,TMAX,TMIN", Some(Units::Standard)).is_ok());
        assert!(Columns::parse("STATION,DATE,TMAX,TMIN,TMIN_ATTRIBUTES", None).is_ok());
        for (line, is_header) in [
            ("\"STATION\",\"DATE\",\"TMIN\"", true),
            ("DATE,STATION,TMIN", true),
            ("USC00027716,2016-06-15,\"FIRE STATION, DATE CREEK\",-44", false),
            ("STATION,TMIN", false),
        ] {
            assert_eq!(Columns::is_header(line), is_header, "{line}");
        }
    }
}
