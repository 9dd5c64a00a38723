//! Real NOAA lines in, the talk's documents out; without a broker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use frostline::noaa::Compat;
use frostline::stages;
use frostline::stages::count;
use frostline::stages::{Assemble, AssembleSettings, Limits};
use frostline_engine::Sink;
use frostline_engine::driver::{TestDriver, Written};
use serde_json::Value;

use crate::support::{Needs, Test, read_data, same, station_index, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("golden_2016_two_stations", &[], golden_2016_two_stations),
        test("golden_2016_arizona", &[Needs::Data], golden_2016_arizona),
        test("golden_2003_global", &[Needs::Data], golden_2003_global),
        test("default_documents_mend_the_old_ones", &[Needs::Data], default_documents),
        test("leap_day_gives_one_observation_a_station_day", &[], || {
            leap_day("extract/leap-day.csv.gz", STATIONS)
        }),
        test("a_leap_year_gives_one_observation_a_station_day", &[Needs::Data], || {
            leap_day("1872.csv.gz", INVENTORY_2024);
        }),
        test("every_line_of_2016_is_read", &[Needs::Data], every_line_of_2016_is_read),
    ]
}

/// Assembles a file as one partition.
pub fn assemble(file: &str, inventory: &str, settings: AssembleSettings) -> (Vec<Written>, TestDriver) {
    let stations = station_index(inventory, settings.compat);
    let processor = Assemble::new(settings, Arc::clone(&stations), Limits::default());
    let mut driver = TestDriver::new(stages::ASSEMBLE, Box::new(processor));
    let mut written = Vec::new();
    for (number, line) in read_data(file).lines().enumerate() {
        driver.pipe(line.get(..11).unwrap_or_default(), line).unwrap();
        if number % 10_000 == 0 {
            written.extend(driver.commit().unwrap());
        }
    }
    driver.advance_ms(10_000).unwrap();
    written.extend(driver.commit().unwrap());
    (written, driver)
}

const RALLY: AssembleSettings = AssembleSettings {
    settle_records: 10_000,
    settle_ms: 1_000,
    compat: Compat::Rally,
    keep_failed_quality: true,
};
const DEFAULT: AssembleSettings =
    AssembleSettings { compat: Compat::None, keep_failed_quality: false, ..RALLY };

pub const INVENTORY_2020: &str = "ghcnd-stations-2020-01-with-state.txt.gz";
pub const INVENTORY_2024: &str = "ghcnd-stations.txt.gz";
/// Some stations of 2024, which are in the repository, and the daily lines of two of them.
pub const STATIONS: &str = "extract/stations.txt.gz";
pub const LINES_2016: &str = "extract/2016.csv.gz";

type StationDay = (String, String);

fn station_day(document: &Value) -> StationDay {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&document["station"]["id"]), text(&document["date"]))
}

/// Documents by station and day; asserts that there is one of each.
fn by_station_day(documents: impl Iterator<Item = Value>) -> BTreeMap<StationDay, Value> {
    let mut found = BTreeMap::new();
    for document in documents {
        let key = station_day(&document);
        assert!(found.insert(key.clone(), document).is_none(), "{key:?} twice");
    }
    found
}

/// Compares with a golden file numerically; returns the station-days that only we have.
fn compare(written: &[Written], golden: &str) -> Vec<StationDay> {
    let observations = written.iter().filter(|written| written.sink == Sink::Output);
    let mut ours = by_station_day(observations.map(Written::json));
    let golden = read_data(golden);
    let theirs = by_station_day(golden.lines().map(|line| serde_json::from_str(line).unwrap()));
    for (key, expected) in &theirs {
        let found = ours.remove(key).unwrap_or_else(|| panic!("{key:?} is missing"));
        assert!(same(&found, expected), "{key:?}\n ours   {found}\n theirs {expected}");
    }
    ours.into_keys().collect()
}

fn golden_2016_two_stations() {
    let (written, driver) = assemble(LINES_2016, "extract/stations-2020.txt", RALLY);
    assert_eq!(compare(&written, "extract/talk-2016.jsonl.gz"), []);
    assert_eq!((driver.counts[count::DEAD_LETTERS], driver.counts[count::OBSERVATIONS]), (0, 731));
}

fn golden_2016_arizona() {
    let (written, _) = assemble("2016-hcn-AZ.csv.gz", INVENTORY_2020, RALLY);
    let more = compare(&written, "golden-2016-hcn-AZ-process.py.jsonl.gz");
    // The old script never wrote the last station-day.
    assert_eq!(more, [("USC00029359".to_owned(), "2016-12-31T00:00:00".to_owned())]);
}

fn golden_2003_global() {
    let (written, driver) = assemble("20030101-global-first12570.csv.gz", INVENTORY_2024, RALLY);
    let more = compare(&written, "golden-20030101-global-process.py.jsonl.gz");
    assert_eq!(more, [("ZI000067775".to_owned(), "2003-01-01T00:00:00".to_owned())]);
    let letters: Vec<&Written> = written.iter().filter(|written| written.sink == Sink::DeadLetters).collect();
    assert_eq!(letters.len(), 2);
    assert_eq!(driver.counts[count::DEAD_LETTERS], 2);
    for letter in letters {
        assert!(letter.text().starts_with("MX000003035,20030101,"), "{}", letter.text());
        assert!(letter.header("frostline-reason").contains("not in the station table"));
    }
}

fn default_documents() {
    let (written, driver) = assemble("20030101-global-first12570.csv.gz", INVENTORY_2024, DEFAULT);
    let documents =
        by_station_day(written.iter().filter(|written| written.sink == Sink::Output).map(Written::json));
    let at = |id: &str| &documents[&(id.to_owned(), "2003-01-01T00:00:00".to_owned())];
    assert_eq!(at("AE000041196")["station"]["country"], "United Arab Emirates");
    assert_eq!(at("USW00093729")["station"]["state"], "NORTH CAROLINA");
    assert_eq!(at("USW00093729")["station"]["hcn_crn_flag"], "HCN");
    assert!(at("ASN00035053")["station"].get("elevation").is_none(), "-999.9 means missing");
    // 84 readings of this file failed quality control.
    assert_eq!(driver.counts[count::FAILED_QUALITY], 84);
    let elements = |document: &Value| -> Vec<(String, Value)> {
        let object = document.as_object().unwrap().clone();
        object.into_iter().filter(|(key, _)| key.len() == 4 && key != "date").collect()
    };
    for document in documents.values() {
        for (element, value) in elements(document) {
            assert!(value.is_number(), "{element} of {document}");
        }
        if let Some(range) = document.get("TRANGE") {
            assert!(range["gte"].as_f64() <= range["lte"].as_f64(), "{document}");
        }
    }
}

fn leap_day(file: &str, inventory: &str) {
    let (written, driver) = assemble(file, inventory, RALLY);
    let lines = read_data(file);
    let expected: BTreeSet<StationDay> = lines
        .lines()
        .map(|line| {
            let (station, date) = (&line[..11], &line[12..20]);
            (station.to_owned(), format!("{}-{}-{}T00:00:00", &date[..4], &date[4..6], &date[6..]))
        })
        .collect();
    let outputs = written.iter().filter(|written| written.sink == Sink::Output);
    let found = by_station_day(outputs.map(Written::json));
    let found: BTreeSet<StationDay> = found.into_keys().collect();
    assert_eq!(found, expected);
    assert_eq!(driver.counts[count::DEAD_LETTERS], 0);
}

fn every_line_of_2016_is_read() {
    let (written, driver) = assemble("2016-02-hcn.csv.gz", INVENTORY_2024, DEFAULT);
    assert_eq!(driver.counts[count::DEAD_LETTERS], 0);
    assert_eq!(driver.counts[count::FAILED_QUALITY], 396);
    assert_eq!(driver.counts[count::OBSERVATIONS] as usize, written.len());
}
