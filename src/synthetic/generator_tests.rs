//! The generator: seeded, in order, and the same through the stages as through the files.

use std::collections::BTreeMap;
use std::sync::Arc;

use frostline_engine::Sink;
use frostline_engine::driver::TestDriver;

use super::*;
use crate::hourly::Hour;
use crate::noaa::{Codes, Element, Line as Parsed, Location, Station};
use crate::stages;
use crate::stages::count;
use crate::stages::{Assemble, AssembleSettings, Enrich, Limits, StationIndex};
use crate::synthetic::{UNKNOWN_STATION, code_lists, inventory};

fn lines_settings() -> Settings {
    Settings {
        seed: 2019,
        places: Places::Invented(300),
        start: leap_eve(),
        days: 3,
        format: Format::Ghcn,
        oddities: false,
    }
}

fn json_settings() -> Settings {
    Settings { format: Format::Json, ..lines_settings() }
}

fn leap_eve() -> Date {
    Date::new(2024, 2, 28).unwrap()
}

/// Everything that the settings give, each part with its station.
fn parts(settings: Settings) -> Vec<(Appended, String)> {
    let mut generator = Generator::new(settings).unwrap();
    let mut parts = Vec::new();
    let mut out = Vec::new();
    while let Some(part) = generator.append_next(&mut out) {
        parts.push((part, String::from_utf8(std::mem::take(&mut out)).unwrap()));
    }
    assert_eq!(generator.append_next(&mut out), None, "it stays at its end");
    assert!(out.is_empty());
    parts
}

fn text(settings: Settings) -> String {
    parts(settings).into_iter().map(|(_, text)| text).collect()
}

fn readings(settings: Settings) -> Vec<Reading> {
    let reading = |line: &str| match Reading::parse(line.as_bytes()) {
        Ok(Parsed::Reading(reading)) => reading,
        other => panic!("{line}: {other:?}"),
    };
    text(settings).lines().map(reading).collect()
}

/// The table as `stations import` fills it from the files that are written.
fn imported(settings: &Settings) -> Arc<StationIndex> {
    let (countries, states) = code_lists();
    let codes = |list: &str| Codes::parse(list.as_bytes()).unwrap();
    let (countries, states) = (codes(&countries), codes(&states));
    let index = StationIndex::new(Compat::None);
    for line in inventory(settings).collect::<String>().lines() {
        index.insert(&Station::parse_line(line.as_bytes(), &countries, &states).unwrap());
    }
    Arc::new(index)
}

#[test]
fn hours_come_in_the_order_of_time_for_all_stations() {
    let settings = |places| Settings { places, days: 2, format: Format::Hours, ..json_settings() };
    let hours = |places| -> Vec<Hour> {
        text(settings(places)).lines().map(|line| Hour::parse(line.as_bytes()).unwrap()).collect()
    };
    let invented = hours(Places::Invented(3));
    assert_eq!((invented.len(), settings(Places::Invented(3)).steps()), (144, 144));
    assert!(invented.is_sorted_by_key(|hour| hour.time));
    let table = imported(&settings(Places::Invented(3)));
    assert!(invented.iter().all(|hour| table.get(hour.station).is_some()));
    let begin = i64::from(json_settings().start.days_since_1970()) * 86_400;
    assert_eq!((invented[0].time, invented[143].time), (begin, begin + 47 * 3_600));
    let scottsdale = hours(Places::Real).remove(0);
    assert_eq!(scottsdale.station.as_str(), "USW00003192");
}

#[test]
fn a_place_of_ones_own_has_one_station_there() {
    let own = Places::Near(Location { lat: -45.02, lon: 168.66 });
    for format in [Format::Ghcn, Format::Json, Format::Hours] {
        let settings = Settings { places: own, days: 3, format, ..json_settings() };
        let table = imported(&settings);
        assert_eq!((table.len(), text(settings).contains("XXW90000000")), (1, true), "{format:?}");
    }
    let winter = Date::new(2024, 6, 1).unwrap();
    let settings =
        Settings { places: own, start: winter, days: 60, format: Format::Hours, ..json_settings() };
    let frosty = text(settings).lines().filter(|line| line.contains("\"temperature_c\":-")).count();
    assert!(frosty > 10, "{frosty} hours of frost in a winter of the south");
}

#[test]
fn a_seed_gives_the_same_bytes() {
    assert_eq!(text(lines_settings()), text(lines_settings()));
    assert_eq!(text(json_settings()), text(json_settings()));
    assert_ne!(text(lines_settings()), text(Settings { seed: 2020, ..lines_settings() }));
    // Nor may another version or another machine change them.
    let sum =
        |text: &str| text.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    assert_eq!(sum(&text(lines_settings())), 1_447_799_405);
}

#[test]
fn more_days_and_stations_repeat_what_fewer_gave() {
    let more_days = text(Settings { days: 5, ..lines_settings() });
    assert!(more_days.starts_with(&text(lines_settings())));
    let few = Settings { places: Places::Invented(10), days: 1, ..lines_settings() };
    assert!(text(lines_settings()).starts_with(&text(few)));
}

#[test]
fn lines_are_counted_and_go_by_date() {
    let parts = parts(lines_settings());
    assert_eq!(parts.len(), 900);
    for (part, text) in &parts {
        assert_eq!(part.records, text.lines().count() as u64);
        assert!(text.lines().all(|line| line.starts_with(part.station.as_str())));
    }
    let readings = readings(lines_settings());
    assert!(readings.is_sorted_by_key(|reading| reading.date));
    assert_eq!(readings.first().unwrap().date, leap_eve());
    assert_eq!(readings.last().unwrap().date, lines_settings().last_day().unwrap());
    assert_eq!(lines_settings().last_day(), Date::new(2024, 3, 1));
}

#[test]
fn the_weather_is_plausible_and_has_its_gaps() {
    let year = readings(Settings { days: 366, start: Date::new(2024, 1, 1).unwrap(), ..lines_settings() });
    let (failed, good): (Vec<&Reading>, Vec<&Reading>) =
        year.iter().partition(|reading| reading.failed_quality());
    let one_in = year.len() / failed.len();
    assert!((400..1_200).contains(&one_in), "one reading in {one_in} failed");
    for reading in &good {
        let range = match reading.element {
            Element::TMAX | Element::TMIN | Element::TAVG | Element::TOBS => -895..=565,
            Element::PRCP => 0..=1_500,
            Element::SNOW => 0..=1_500,
            Element::SNWD => 0..=15_000,
            _ => 0..=1_200,
        };
        assert!(range.contains(&reading.value), "{reading:?}");
    }
    let count = |element| year.iter().filter(|reading| reading.element == element).count();
    assert!(count(Element::TMIN) < count(Element::TMAX) && count(Element::TMAX) < count(Element::PRCP));
    assert!(good.iter().any(|reading| reading.measurement_flag == b'T' && reading.value == 0));
}

#[test]
fn documents_are_those_that_assemble_makes_of_the_lines() {
    let mut driver = assemble(&lines_settings());
    let mut failed = 0;
    for (part, text) in parts(lines_settings()) {
        for line in text.lines() {
            driver.pipe(part.station.as_str(), line).unwrap();
        }
        failed += part.failed_quality;
    }
    driver.advance_ms(2_000).unwrap();
    assert_eq!((driver.counts[count::DEAD_LETTERS], driver.counts[count::DUPLICATES]), (0, 0));
    assert_eq!(driver.counts[count::FAILED_QUALITY], failed);
    assert!(failed > 0);
    let by_place = |text: &str| {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        ((value["date"].to_string(), value["station"]["id"].to_string()), text.to_owned())
    };
    let assembled: BTreeMap<_, _> =
        driver.commit().unwrap().iter().map(|written| by_place(&written.text())).collect();
    let documents = text(json_settings());
    let generated: BTreeMap<_, _> = documents.lines().map(by_place).collect();
    assert_eq!(documents.lines().count(), generated.len());
    assert_eq!(generated, assembled);
}

#[test]
fn enrich_would_write_the_same_documents() {
    let stations = imported(&lines_settings());
    let mut driver =
        TestDriver::new(stages::ENRICH, Box::new(Enrich::new(Arc::clone(&stations), Limits::default())));
    let mut expected = Vec::new();
    for (part, document) in parts(json_settings()).into_iter().filter(|(part, _)| part.records > 0) {
        let enriched = format!("{{\"station\":{}", stations.get(part.station).unwrap());
        let fields = document.trim_end().strip_prefix(&enriched).unwrap();
        let raw = format!("{{\"station_id\":\"{}\"{fields}", part.station);
        driver.pipe(part.station.as_str(), &raw).unwrap();
        expected.push(document.trim_end().to_owned());
    }
    let written = driver.commit().unwrap();
    assert!(written.iter().all(|written| written.sink != Sink::DeadLetters));
    assert_eq!(written.iter().map(|written| written.text()).collect::<Vec<_>>(), expected);
}

#[test]
fn settings_have_limits() {
    let error = |settings| Generator::new(settings).err();
    for places in [Places::Invented(0), Places::Invented(10_000_001)] {
        assert_eq!(error(Settings { places, ..lines_settings() }), Some(SettingsError::Stations));
    }
    assert_eq!(error(Settings { oddities: true, ..json_settings() }), Some(SettingsError::Oddities));
    assert_eq!(error(Settings { days: 0, ..lines_settings() }), Some(SettingsError::Days));
    assert_eq!(error(Settings { days: 3_000_000, ..lines_settings() }), Some(SettingsError::Days));
    assert_eq!(error(Settings { days: u32::MAX, ..lines_settings() }), Some(SettingsError::Days));
    let last_of_all = Settings { start: Date::new(9999, 12, 31).unwrap(), days: 1, ..lines_settings() };
    assert!(text(last_of_all).contains(",99991231,"));
}

/// A year of the real places, with all oddities.
fn odd_year() -> Settings {
    let start = Date::new(2024, 1, 1).unwrap();
    Settings { places: Places::Real, start, days: 366, oddities: true, ..lines_settings() }
}

fn assemble(settings: &Settings) -> TestDriver {
    let assemble = AssembleSettings {
        settle_records: 1_000,
        settle_ms: 1_000,
        compat: Compat::None,
        keep_failed_quality: false,
    };
    let assemble = Assemble::new(assemble, imported(settings), Limits::default());
    TestDriver::new(stages::ASSEMBLE, Box::new(assemble))
}

#[test]
fn bad_lines_are_the_ones_that_become_dead_letters() {
    let mut driver = assemble(&odd_year());
    let mut generator = Generator::new(odd_year()).unwrap();
    let (mut lines, mut failed, mut out) = (0, 0, Vec::new());
    while let Some(part) = generator.append_next(&mut out) {
        driver.pipe(part.station.as_str(), std::str::from_utf8(&out).unwrap().trim_end()).unwrap();
        (lines, failed) = (lines + part.records, failed + part.failed_quality);
        out.clear();
    }
    assert!((90_000..140_000).contains(&lines), "{lines} lines");
    assert!((7..=15).contains(&generator.bad_lines()), "{}", generator.bad_lines());
    assert_eq!(driver.counts[count::DEAD_LETTERS], generator.bad_lines());
    assert_eq!((driver.counts[count::FAILED_QUALITY], driver.counts[count::DUPLICATES]), (failed, 0));
}

#[test]
fn oddities_happen_but_seldom() {
    let lines: Vec<String> = text(odd_year()).lines().map(str::to_owned).collect();
    let field = |line: &String, index: usize| line.split(',').nth(index).unwrap_or_default().to_owned();
    let count = |is_odd: &dyn Fn(&String) -> bool| lines.iter().filter(|line| is_odd(line)).count();
    assert!((2..30).contains(&lines.windows(2).filter(|pair| pair[0] == pair[1]).count()));
    assert!((3..8).contains(&count(&|line| line.starts_with(UNKNOWN_STATION))));
    assert!((100..2_000).contains(&count(&|line| field(line, 4) == "T")));
    assert_eq!(count(&|line| line == "USC00027716,20240615,TMIN,-44,,S,7,"), 1);
    // A station's lines of a day stand together, but where they are split, and around the leap day.
    let places: Vec<(String, String)> = lines.iter().map(|line| (field(line, 0), field(line, 1))).collect();
    let mut runs = places.clone();
    runs.dedup();
    let around = |date: &str| ["20240228", "20240229"].contains(&date);
    let of_leap_day = runs.iter().filter(|(_, date)| around(date)).count();
    runs.retain(|(_, date)| !around(date));
    let all = runs.len();
    runs.sort_unstable();
    runs.dedup();
    assert!((5..40).contains(&(all - runs.len())), "{} split", all - runs.len());
    assert!(of_leap_day > 150, "{of_leap_day} runs");
    let backwards = places.windows(2).filter(|pair| pair[0].1 > pair[1].1).count();
    assert!((40..200).contains(&backwards), "{backwards} times back");
}

#[test]
fn days_come_one_by_one_or_line_by_line() {
    for settings in [lines_settings(), Settings { days: 90, ..odd_year() }] {
        let mut generator = Generator::new(settings).unwrap();
        let mut days = Vec::new();
        while let Some(date) = generator.date() {
            days.push((date, generator.next_day()));
        }
        let of_days: String =
            days.iter().flat_map(|(_, lines)| lines).map(|line| line.text.clone() + "\n").collect();
        assert_eq!(of_days, text(settings));
        assert!(generator.next_day().is_empty());
        // Only oddities give the leap day together with its eve.
        let dates: Vec<Date> = days.iter().map(|(date, _)| *date).collect();
        assert_eq!(dates.contains(&Date::new(2024, 2, 29).unwrap()), !settings.oddities);
    }
}

#[test]
fn the_main_station_of_the_demo_is_below_and_above_ten_degrees() {
    let lines = text(Settings { oddities: false, ..odd_year() });
    let minima =
        lines.lines().filter(|line| line.starts_with("USW00003192,") && line[21..].starts_with("TMIN"));
    let minima = minima.map(|line| line.split(',').nth(3).unwrap().parse::<i32>().unwrap());
    let (cold, warm): (Vec<i32>, Vec<i32>) = minima.partition(|tenths| *tenths <= 100);
    assert!(cold.len() > 40 && warm.len() > 150, "{} cold, {} warm", cold.len(), warm.len());
}
