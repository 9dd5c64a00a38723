//! Hourly CSV: one observation per line, with the columns `ghcn_id`, `time_utc`, `temp_c`, `dewpoint_c` and
//! `wind_m_s`.

use super::Hour;
use super::night::utc_time;
use super::possible::without_impossible;
use crate::noaa::{StationId, csv_fields};

/// The columns of such a file, found by the names in its header.
pub struct HourlyCsv {
    count: usize,
    station: usize,
    time: usize,
    temperature: usize,
    dew_point: Option<usize>,
    wind: Option<usize>,
}

impl HourlyCsv {
    /// Reads the header, in any order of columns; `None` if the line is not a header of this form.
    pub fn parse(header: &str) -> Option<Self> {
        if !header.contains("time_utc") {
            return None;
        }
        let names = csv_fields(header)?;
        let at = |wanted: &str| names.iter().position(|name| name.trim() == wanted);
        Some(Self {
            count: names.len(),
            station: at("ghcn_id")?,
            time: at("time_utc")?,
            temperature: at("temp_c")?,
            dew_point: at("dewpoint_c"),
            wind: at("wind_m_s"),
        })
    }

    /// Reads a line; `None` if it has no temperature.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub fn read(&self, line: &str) -> Result<Option<Hour>, String> {
        let fields = csv_fields(line).ok_or("it ends within quotes; the file may be truncated")?;
        if fields.len() != self.count {
            return Err(format!("it has {} fields, but the header has {}", fields.len(), self.count));
        }
        let field = |at: usize| fields.get(at).map_or("", |field| field.trim());
        let value = |name: &str, at: Option<usize>| at.map_or(Ok(None), |at| decimal(name, field(at)));
        let (station, time) = station_and_time(field(self.station), field(self.time))?;
        let Some(temperature) = value("temp_c", Some(self.temperature))? else { return Ok(None) };
        let mut hour = Hour::new(station, time, temperature);
        hour.dew_point_c = value("dewpoint_c", self.dew_point)?;
        hour.wind_m_s = value("wind_m_s", self.wind)?;
        hour.source = Some("hourly-csv".to_owned());
        without_impossible(hour).map(Some).map_err(|error| error.to_string())
    }
}

/// Reads a station id and a time in UTC.
pub(super) fn station_and_time(station: &str, time: &str) -> Result<(StationId, i64), String> {
    let id = StationId::parse(station.as_bytes())
        .ok_or_else(|| format!("{:?} is not a GHCN station id", short(station)))?;
    let time = utc_time(time).ok_or_else(|| format!("{:?} is not a time in UTC", short(time)))?;
    Ok((id, time))
}

/// Reads a decimal number; `None` if the field is empty.
pub(super) fn decimal(name: &str, text: &str) -> Result<Option<f64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.map(Some).ok_or_else(|| format!("{name} {:?} is not a number", short(text)))
}

/// The first characters of a text from outside.
fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_in_any_order() {
        let columns = HourlyCsv::parse("wind_m_s,note,temp_c,time_utc,ghcn_id\r\n").unwrap();
        let hour = columns.read("4.6,\"a, b\",3.9,2013-01-01T06:00:00Z,USW00014734\r\n").unwrap().unwrap();
        assert_eq!(
            hour.to_json(),
            r#"{"station_id":"USW00014734","time":"2013-01-01T06:00:00Z","temperature_c":3.9,"wind_m_s":4.6,"source":"hourly-csv"}"#
        );
        assert!(HourlyCsv::parse("icao,ghcn_id,time_utc,dewpoint_c").is_none());
    }

    #[test]
    fn empty_fields_are_missing_and_others_must_be_right() {
        let columns = HourlyCsv::parse("icao,ghcn_id,time_utc,temp_c,dewpoint_c,wind_m_s").unwrap();
        let read = |rest: &str| columns.read(&format!("KEWR,USW00014734,2013-01-01T06:00:00Z,{rest}"));
        assert_eq!(read(",-3.3,4.6"), Ok(None));
        let dry = read("3.9,,").unwrap().unwrap();
        assert_eq!((dry.dew_point_c, dry.wind_m_s), (None, None));
        for (rest, what) in
            [("x,,", "not a number"), ("inf,,", "not a number"), ("99,,", "temp"), ("3.9,,4.6,7", "7 fields")]
        {
            let error = read(rest).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
        assert!(columns.read("KEWR,,2013-01-01T06:00:00Z,3.9,,").unwrap_err().contains("station id"));
        assert!(columns.read("KEWR,USW00014734,2013-01-01,3.9,,").unwrap_err().contains("time"));
    }
}
