//! The METAR cache: its two forms, and what faults do to its rows.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::hourly::{AwcCsv, AwcReport, parse_time};
use crate::noaa::csv_fields;
use crate::weather_server::Window;

fn noon() -> i64 {
    parse_time("2026-11-28T12:30:00Z").unwrap()
}

fn with(fault: Fault) -> Script {
    let window = Window { from: noon() - DAY, to: noon() + DAY, path: String::new(), fault, value: None };
    Script::new(vec![window])
}

fn text(script: &Script, now: i64) -> String {
    String::from_utf8(metar_cache(&World::new(1, 22), script, now)).unwrap()
}

fn reports(text: &str) -> Vec<AwcReport> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("raw_text,"));
    let csv = AwcCsv::parse(lines.next().unwrap()).unwrap();
    lines.map(|line| csv.read(line).unwrap()).collect()
}

#[test]
fn the_header_is_that_of_the_service() {
    let names: Vec<&str> = METAR_HEADER.split(',').collect();
    assert_eq!(names.len(), 44);
    assert_eq!(names[22..30], ["sky_cover", "cloud_base_ft_agl"].repeat(4)[..]);
    assert_eq!((names[0], names[5], names[43]), ("raw_text", "temp_c", "elevation_m"));
    let text = text(&Script::none(), noon());
    for line in text.lines() {
        assert_eq!(csv_fields(line).unwrap().len(), 44, "{line}");
    }
    assert!(text.contains(",-99.9900,-99.9900,") && text.contains(",null,"));
}

#[test]
fn rows_are_the_truth() {
    let world = World::new(1, 22);
    for now in [noon(), noon() + 25 * MINUTE, noon() + 31 * MINUTE] {
        let rows = reports(&text(&Script::none(), now));
        assert!(rows.len() >= 14, "{} rows", rows.len());
        for row in rows {
            let station =
                world.stations().iter().find(|one| one.station.icao.as_deref() == Some(&row.metar.icao));
            let id = station.unwrap().id();
            let bare = row.raw.trim_start_matches("METAR ").trim_start_matches("SPECI ");
            let truth = &world.hours(id, row.time, row.time + 1)[0];
            assert_eq!(truth.raw.as_deref(), Some(bare));
            assert!(row.time <= now && row.time >= now - METAR_KEPT);
        }
    }
}

#[test]
fn the_old_form_has_five_lines_before_the_header() {
    let (old, new) = (text(&with(Fault::OldForm), noon()), text(&Script::none(), noon()));
    let lines: Vec<&str> = old.lines().collect();
    assert_eq!((lines[0], lines[1], lines[3]), ("No errors", "No warnings", "data source=metars"));
    assert_eq!((lines[4], lines[5]), (format!("{} results", lines.len() - 6).as_str(), METAR_HEADER));
    assert!(new.starts_with("raw_text,") && new.contains("\n\"METAR K") && new.contains(":00.000Z,"));
    assert!(!old.contains('"') && !old.contains(".000Z"));
    let times = |text: &str| reports(text).into_iter().map(|row| row.time).collect::<Vec<_>>();
    assert_eq!(times(&old), times(&new));
}

#[test]
fn rows_come_twice_and_in_any_order() {
    let plain = text(&Script::none(), noon());
    let rows = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let set = |text: &str| rows(text).into_iter().collect::<BTreeSet<_>>();
    let twice = text(&with(Fault::RowsRepeated), noon());
    assert!(rows(&twice).len() > rows(&plain).len());
    assert_eq!(set(&twice), set(&plain));
    let reordered = text(&with(Fault::RowsReordered), noon());
    assert_ne!(reordered, plain);
    assert_eq!(set(&reordered), set(&plain));
    assert_ne!(reordered, text(&with(Fault::RowsReordered), noon() + MINUTE));
}

#[test]
fn corrections_and_filled_rows_end_with_the_truth() {
    let world = World::new(1, 22);
    for fault in [Fault::Corrected, Fault::Nulled] {
        let script = with(fault);
        let (mut was_wrong, mut last) = (0, BTreeMap::new());
        for minute in 0..100 {
            let now = noon() - 30 * MINUTE + minute * MINUTE;
            for station in world.stations() {
                // Newest first: the first row of a time counts.
                for report in world.cached_reports(&script, station.id(), now).iter().rev() {
                    let truth = world.reports(station.id(), report.observed, report.observed + 1);
                    was_wrong += usize::from(truth[0].temperature != report.temperature);
                    last.insert((station.id(), report.observed), report.temperature);
                }
            }
        }
        assert!(was_wrong > 20, "{was_wrong}");
        for ((station, observed), temperature) in
            last.iter().filter(|((_, time), _)| *time < noon() + 50 * MINUTE)
        {
            let truth = world.reports(*station, *observed, observed + 1);
            assert_eq!(*temperature, truth[0].temperature, "{fault:?}");
            let hours = world.final_hours(&script, *station, *observed, observed + 1);
            let orderly = world.hours(*station, *observed, observed + 1);
            assert_eq!(hours[0].temperature_c, orderly[0].temperature_c);
        }
    }
    let text = text(&with(Fault::Corrected), noon());
    assert!(text.contains("Z COR ") && text.contains(",TRUE,TRUE,TRUE,"), "{text}");
}

#[test]
fn fahrenheit_stands_in_the_columns_only() {
    let plain = text(&Script::none(), noon());
    let wrong = text(&with(Fault::Fahrenheit), noon());
    let fields = |text: &str| text.lines().skip(1).map(|line| csv_fields(line).unwrap()).collect::<Vec<_>>();
    let pairs: Vec<_> = fields(&plain).into_iter().zip(fields(&wrong)).collect();
    assert!(pairs.iter().all(|(right, wrong)| right[0] == wrong[0]));
    let number = |text: &str| text.parse::<f64>().unwrap();
    let is_fahrenheit = |right: &str, wrong: &str| (number(right) * 1.8 + 32.0 - number(wrong)).abs() < 0.06;
    let changed: Vec<_> = pairs.iter().filter(|(right, wrong)| right[5] != wrong[5]).collect();
    assert!(changed.len() > 3 && changed.len() < pairs.len());
    assert!(changed.iter().all(|(right, wrong)| is_fahrenheit(&right[5], &wrong[5])));
}

#[test]
fn strange_stamps_are_hours_ahead_or_a_year_ago() {
    let times = |fault| reports(&text(&with(fault), noon())).into_iter().map(|row| row.time - noon());
    assert!(times(Fault::FutureStamps).any(|ahead| ahead > HOUR));
    assert!(times(Fault::PastStamps).any(|ahead| ahead < -300 * DAY));
}
