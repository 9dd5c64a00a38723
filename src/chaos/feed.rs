//! The input of chaos: numbered observations, including hourly ones, with every irregularity that the stages handle.
//!
//! The same seed gives the same records in the same order. The model is computed from the content of the topics, not
//! from here, so a record that was sent twice or not at all does not count as a mistake of the daemon.

use std::collections::{BTreeMap, VecDeque};

use super::fed::{Fed, Source};
use super::hours::{self, Hours};
use crate::noaa::{Date, Location, Station, StationId};

/// Stations whose GHCN lines go to `noaa-csv-raw`.
const LINE_STATIONS: usize = 24;
/// Stations whose JSON records go to `noaa-raw`. No station does both, so that keys never collide.
const JSON_STATIONS: usize = 16;
/// Stations per partition, so that every partition almost certainly has some of them.
const FILLER_STATIONS_PER_PARTITION: usize = 16;
/// A station that no table has.
const UNKNOWN_STATION: &str = "USZ99999999";
/// Prefix of the ids of JSON stations.
const JSON_PREFIX: &str = "USZ1";
/// One record in this many is poison.
const POISON_EVERY: usize = 60;
/// One record in this many is an hourly observation.
const HOURLY_EVERY: u64 = 4;

/// Generates records without end.
pub(super) struct Feed {
    rng: fastrand::Rng,
    /// Records generated so far; values contain this number, so that all observations differ.
    number: u64,
    partitions: u64,
    line_days: Vec<Date>,
    json_days: Vec<Date>,
    /// `None` if hourly observations come from a weather service.
    hours: Option<Hours>,
    ready: VecDeque<Fed>,
    /// Lines that are sent later, by the number at which they are due.
    held: BTreeMap<u64, Vec<Fed>>,
}

impl Feed {
    /// `with_hours`: hourly observations are among the records.
    pub(super) fn new(seed: u64, partitions: i32, with_hours: bool) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            number: 0,
            partitions: u64::from(partitions.unsigned_abs()),
            line_days: vec![first_day(); LINE_STATIONS],
            json_days: vec![first_day(); JSON_STATIONS],
            hours: with_hours.then(|| Hours::new(seed)),
            ready: VecDeque::new(),
            held: BTreeMap::new(),
        }
    }

    /// The next record.
    pub(super) fn next(&mut self) -> Fed {
        if let Some(hours) = self.hours.as_mut().filter(|_| self.number.is_multiple_of(HOURLY_EVERY)) {
            self.number += 1;
            return hours.next();
        }
        while let Some(due) = self.held.first_entry().filter(|due| *due.key() <= self.number) {
            self.ready.extend(due.remove());
        }
        loop {
            if let Some(fed) = self.ready.pop_front() {
                self.number += 1;
                return fed;
            }
            match self.rng.usize(..POISON_EVERY) {
                0 => self.poison(),
                kind if kind % 3 == 0 => self.json_record(),
                _ => self.station_day(),
            }
        }
    }

    /// The lines of one station-day: mostly next to each other, sometimes split, late, repeated or withdrawn.
    fn station_day(&mut self) {
        let index = self.rng.usize(..LINE_STATIONS);
        let day = self.line_days[index];
        self.line_days[index] = day.plus_days(1).unwrap_or(day);
        let id = line_station(index);
        // Tenths of a degree: about half of the days are cold enough for an alert.
        let coldest = self.rng.i32(-150..350);
        let mut lines = vec![
            line(&id, day, "TMAX", coldest + 80, ""),
            line(&id, day, "TMIN", coldest, ""),
            line(&id, day, "PRCP", (self.number % 10_000) as i32, ""),
        ];
        match self.rng.usize(..20) {
            0 => lines.push(lines[0].clone()),
            1 => lines.push(line(&id, day, "SNOW", 7, "I")),
            2 | 3 => {
                let split = lines.pop();
                let after = self.rng.u64(5..30);
                self.hold(after, split);
            }
            // These come after the observation has settled. A colder minimum is a revision, and must not cause a
            // second alert; the same line again is a duplicate; a line that failed quality control withdraws the
            // reading.
            4 | 5 => self.hold_long(line(&id, day, "TMIN", coldest - 10, "")),
            6 => self.hold_long(lines[1].clone()),
            7 => self.hold_long(line(&id, day, "TMAX", 999, "X")),
            _ => {}
        }
        self.ready.extend(lines);
    }

    fn hold_long(&mut self, fed: Fed) {
        let after = self.rng.u64(60 * self.partitions..300 * self.partitions);
        self.hold(after, Some(fed));
    }

    fn hold(&mut self, after: u64, fed: Option<Fed>) {
        self.held.entry(self.number + after).or_default().extend(fed);
    }

    fn json_record(&mut self) {
        let index = self.rng.usize(..JSON_STATIONS);
        let day = self.json_days[index];
        self.json_days[index] = day.plus_days(1).unwrap_or(day);
        let id = json_station(index);
        let celsius = f64::from(self.rng.i32(-150..350)) / 10.0;
        let object = json_object(&id, day, &format!("\"TMIN\":{celsius:?},\"PRCP\":{}", self.number));
        let value = match self.rng.usize(..20) {
            // One of the two becomes a dead letter, the other is processed.
            0 => format!("[{object},{{\"station_id\":\"{id}\"}}]"),
            // enrich accepts it, but the filter does not.
            1 => json_object(&id, day, "\"TMIN\":\"cold\""),
            _ => object,
        };
        self.ready.push_back(Fed { source: Source::Json, key: id, value: Some(value.into_bytes()) });
    }

    fn poison(&mut self) {
        let (lines, json) = (line_station(0), json_station(0));
        let day = first_day();
        let fed = |source, key: &str, value: String| Fed {
            source,
            key: key.to_owned(),
            value: Some(value.into_bytes()),
        };
        let number = self.number;
        let poison = match self.rng.usize(..10) {
            0 => fed(Source::Lines, &lines, format!("{lines},19010101,TM")),
            1 => fed(Source::Lines, &lines, format!("{lines},19010230,TMIN,{number},,,X,")),
            2 => line(UNKNOWN_STATION, day, "TMIN", 5, ""),
            3 => Fed { key: json, ..line(&lines, day, "TMIN", 6, "") },
            4 => fed(Source::Lines, &lines, String::new()),
            5 => Fed { source: Source::Lines, key: lines, value: Some(vec![0xff, 0xfe, b',']) },
            6 => fed(Source::Json, &json, format!("{{\"station_id\":\"{json}\",\"n\":{number}")),
            7 => fed(Source::Json, UNKNOWN_STATION, json_object(UNKNOWN_STATION, day, "\"TMIN\":1.0")),
            8 => fed(Source::Json, &json, format!("{{\"station_id\":\"{json}\",\"TMIN\":{number}}}")),
            // A tombstone is not poison: it has no effect at all.
            _ => Fed { source: Source::Json, key: json, value: None },
        };
        self.ready.push_back(poison);
    }
}

/// Lines that move every partition on by more than `settle_records`, so that all open observations settle.
pub(super) fn filler(partitions: i32, settle_records: u32) -> impl Iterator<Item = Fed> {
    let stations = filler_stations(partitions);
    let day = first_day();
    (0..=settle_records).flat_map(move |number| {
        (0..stations).map(move |index| line(&filler_station(index), day, "PRCP", number as i32, ""))
    })
}

/// Whether observations of this station come from `noaa-raw`.
pub(super) fn is_json_station(key: &str) -> bool {
    key.starts_with(JSON_PREFIX)
}

/// The first day of each station, so long ago that no limit on future dates applies.
fn first_day() -> Date {
    Date::new(1901, 1, 1).expect("a day that exists")
}

/// The station table.
pub(super) fn stations(partitions: i32) -> Vec<Station> {
    let lines = (0..LINE_STATIONS).map(line_station);
    let json = (0..JSON_STATIONS).map(json_station);
    let fillers = (0..filler_stations(partitions)).map(filler_station);
    lines
        .chain(json)
        .chain(fillers)
        .chain(hours::stations())
        .enumerate()
        .filter_map(|(n, id)| station(&id, n))
        .collect()
}

/// A rule file: frost at every second station, two rules at some, episodes at others; rules over nights and hours at
/// stations with hourly reports.
pub(super) fn rules() -> String {
    let stations = (0..LINE_STATIONS).map(line_station).chain((0..JSON_STATIONS).map(json_station));
    let mut text = hours::rules();
    for (number, id) in stations.enumerate().filter(|(number, _)| number % 2 == 0) {
        text.push_str(&rule(&format!("cold-{number}"), &id, "TMIN <= 10.0"));
        if number % 8 == 0 {
            text.push_str(&rule(&format!("frost-{number}"), &id, "TMIN < 0.0"));
        } else if number % 4 == 0 {
            let episodes = "\nclear = \"TMIN > 8.0\"\nfor_days = 2\nrepeat_days = 3";
            text.push_str(&rule(&format!("spell-{number}"), &id, "TMIN <= 4.0").replace("\n\n", episodes));
            text.push_str("\n\n");
        }
    }
    text
}

fn rule(id: &str, station: &str, when: &str) -> String {
    format!("[[rule]]\nid = \"{id}\"\nstation = \"{station}\"\nwhen = \"{when}\"\n\n")
}

fn station(id: &str, number: usize) -> Option<Station> {
    // Most are in Arizona, whose observations the filter keeps.
    let (code, state) = if number % 5 == 4 { ("NM", "NEW MEXICO") } else { ("AZ", "ARIZONA") };
    Some(Station {
        id: StationId::parse(id.as_bytes())?,
        country_code: "US".into(),
        country: "United States".into(),
        location: Location { lat: 33.5, lon: -111.0 - number as f64 / 100.0 },
        elevation: Some(number as f64),
        state_code: Some(code.into()),
        state: Some(state.into()),
        name: format!("CHAOS {number}"),
        gsn_flag: None,
        hcn_crn_flag: None,
        wmo_id: None,
        icao: None,
    })
}

fn filler_stations(partitions: i32) -> usize {
    FILLER_STATIONS_PER_PARTITION * partitions.unsigned_abs() as usize
}

fn line_station(index: usize) -> String {
    format!("USZ0{index:07}")
}

fn json_station(index: usize) -> String {
    format!("{JSON_PREFIX}{index:07}")
}

fn filler_station(index: usize) -> String {
    format!("USZ2{index:07}")
}

fn line(id: &str, day: Date, element: &str, value: i32, quality: &str) -> Fed {
    let text = format!("{id},{},{element},{value},,{quality},X,", day.to_compact());
    Fed { source: Source::Lines, key: id.to_owned(), value: Some(text.into_bytes()) }
}

fn json_object(id: &str, day: Date, elements: &str) -> String {
    format!("{{\"station_id\":\"{id}\",\"date\":\"{day}T00:00:00\",{elements}}}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::rules::RuleSet;

    #[test]
    fn the_same_seed_gives_the_same_records() {
        let give = |seed| {
            let mut feed = Feed::new(seed, 4, true);
            (0..5_000).map(|_| feed.next()).collect::<Vec<_>>()
        };
        let mut without_hours = Feed::new(7, 4, false);
        assert!((0..1_000).all(|_| without_hours.next().source != Source::Hourly));
        assert_eq!(give(7), give(7));
        assert_ne!(give(7), give(8));
        let sources: BTreeSet<String> = give(7).iter().map(|fed| format!("{:?}", fed.source)).collect();
        assert_eq!(sources.len(), 3);
    }

    #[test]
    fn stations_and_rules_are_sound() {
        let stations = stations(4);
        assert_eq!(stations.len(), LINE_STATIONS + JSON_STATIONS + hours::STATIONS + 64);
        let rules = RuleSet::parse(&rules()).unwrap();
        for rule in rules.all() {
            let crate::rules::Place::Station(watched) = rule.place else { panic!("{rule:?}") };
            assert!(stations.iter().any(|station| station.id == watched));
        }
    }
}
