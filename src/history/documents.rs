//! Makes observations from lines in the order of their days: they are complete at the end of each day, so none has to
//! be corrected later, and sorted by station within it.

use std::collections::HashMap;

use crate::noaa::{Compat, Date, Line, Observation, Reading, StationId};

/// Writes a day's documents.
pub type OnDocument<'a> = dyn FnMut(&[u8]) -> anyhow::Result<()> + 'a;
/// Finds the JSON of a station.
pub type FindStation<'a> = dyn Fn(StationId) -> Option<String> + 'a;

/// Joins the lines of one day.
pub struct DayBook<'a> {
    find_station: &'a FindStation<'a>,
    compat: Compat,
    keep_failed_quality: bool,
    day: Option<Date>,
    /// The observations of the day, in the order of their first lines.
    observations: Vec<Observation>,
    /// The place of each station's observation.
    places: HashMap<StationId, usize, foldhash::fast::RandomState>,
    document: Vec<u8>,
    /// Readings skipped because they failed NOAA's quality control.
    pub failed_quality: u64,
    /// Observations of stations that are not in the table; they are skipped.
    pub unknown_stations: u64,
    /// Observations written.
    pub documents: u64,
}

impl<'a> DayBook<'a> {
    /// Starts empty.
    pub fn new(find_station: &'a FindStation<'a>, compat: Compat, keep_failed_quality: bool) -> Self {
        Self {
            find_station,
            compat,
            keep_failed_quality,
            day: None,
            observations: Vec::new(),
            places: HashMap::default(),
            document: Vec::new(),
            failed_quality: 0,
            unknown_stations: 0,
            documents: 0,
        }
    }

    /// Adds a line; a line of another day ends the present day.
    ///
    /// # Errors
    /// A document cannot be written. A line that cannot be parsed is skipped.
    pub fn take(&mut self, line: &[u8], write: &mut OnDocument<'_>) -> anyhow::Result<()> {
        let Ok(Line::Reading(reading)) = Reading::parse(line) else { return Ok(()) };
        if self.day != Some(reading.date) {
            self.end_day(write)?;
            self.day = Some(reading.date);
        }
        if reading.failed_quality() && !self.keep_failed_quality {
            self.failed_quality += 1;
            // A later line withdraws an earlier reading, as in the stages.
            if let Some(place) = self.find(reading.station) {
                self.observations[place].remove(reading.element);
            }
            return Ok(());
        }
        let place = self.find(reading.station).unwrap_or_else(|| {
            let end = self.observations.len();
            self.places.insert(reading.station, end);
            self.observations.push(Observation::new(reading.station, reading.date));
            end
        });
        self.observations[place].insert(reading.element, reading.value);
        Ok(())
    }

    /// The place of a station's observation of the day.
    fn find(&self, station: StationId) -> Option<usize> {
        // Lines of one station and day are mostly next to each other.
        match self.observations.last() {
            Some(last) if last.station() == station => Some(self.observations.len() - 1),
            _ => self.places.get(&station).copied(),
        }
    }

    /// Writes the documents of the day.
    ///
    /// # Errors
    /// One cannot be written.
    pub fn end_day(&mut self, write: &mut OnDocument<'_>) -> anyhow::Result<()> {
        self.places.clear();
        let mut observations = std::mem::take(&mut self.observations);
        observations.sort_unstable_by_key(Observation::station);
        // If all readings were withdrawn, there is no document.
        for observation in observations.drain(..).filter(|observation| !observation.readings().is_empty()) {
            let station = observation.station();
            let Some(json) = (self.find_station)(station) else {
                self.unknown_stations += 1;
                continue;
            };
            self.document.clear();
            observation.to_json_into(&json, self.compat, 1, &mut self.document);
            self.documents += 1;
            write(&self.document)?;
        }
        self.observations = observations;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_line_withdraws_or_restores_a_reading() {
        let known = |station: StationId| Some(format!("{{\"id\":\"{station}\"}}"));
        let mut book = DayBook::new(&known, Compat::None, false);
        let mut written = Vec::new();
        let mut write = |document: &[u8]| {
            written.push(serde_json::from_slice::<serde_json::Value>(document).unwrap());
            Ok(())
        };
        for line in [
            "USC00000001,20160101,TMIN,-50,,,7,",
            "USC00000001,20160101,TMAX,90,,,7,",
            "USC00000002,20160101,TMIN,-20,,,7,",
            "USC00000003,20160101,TMIN,-30,,I,7,",
            "USC00000001,20160101,TMIN,-50,,I,7,",
            "USC00000002,20160101,TMIN,-20,,I,7,",
            "USC00000003,20160101,TMIN,-30,,,7,",
        ] {
            book.take(line.as_bytes(), &mut write).unwrap();
        }
        book.end_day(&mut write).unwrap();
        assert_eq!(written.len(), 2, "of station 2 nothing is left");
        assert_eq!((written[0].get("TMIN"), &written[0]["TMAX"]), (None, &9.0.into()));
        assert_eq!(
            (&written[1]["station"]["id"], &written[1]["TMIN"]),
            (&"USC00000003".into(), &(-3.0).into())
        );
    }

    #[test]
    fn lines_of_a_day_become_documents_by_station() {
        let known = |station: StationId| {
            (station.as_str() != "USC00000009").then(|| format!("{{\"id\":\"{station}\"}}"))
        };
        let mut book = DayBook::new(&known, Compat::None, false);
        let mut written = Vec::new();
        let mut write = |document: &[u8]| {
            written.push(String::from_utf8_lossy(document).into_owned());
            Ok(())
        };
        for line in [
            "USC00000002,20160301,TMIN,-44,,,7,",
            "USC00000001,20160301,TMIN,10,,,7,",
            "USC00000002,20160301,PRCP,0,,,7,",
            "USC00000009,20160301,PRCP,0,,,7,",
            "USC00000001,20160302,TMAX,999,,X,7,",
            "USC00000001,20160302,TMIN,20,,,7,",
        ] {
            book.take(line.as_bytes(), &mut write).unwrap();
        }
        book.end_day(&mut write).unwrap();
        assert_eq!((book.documents, book.unknown_stations, book.failed_quality), (3, 1, 1));
        let values: Vec<serde_json::Value> =
            written.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        let seen: Vec<(&str, &str)> = values
            .iter()
            .map(|value| (value["station"]["id"].as_str().unwrap(), &value["date"].as_str().unwrap()[..10]))
            .collect();
        assert_eq!(
            seen,
            [("USC00000001", "2016-03-01"), ("USC00000002", "2016-03-01"), ("USC00000001", "2016-03-02")]
        );
        assert_eq!((&values[1]["TMIN"], &values[1]["PRCP"]), (&(-4.4).into(), &0.0.into()));
    }
}
