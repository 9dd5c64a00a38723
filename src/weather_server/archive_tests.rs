//! The archive's files are read back, by the readers of the application where it has them.

use std::io::Read;

use flate2::read::GzDecoder;

use super::*;
use crate::hourly::parse_time;
use crate::noaa::{Codes, HourlyList, IcaoIndex, Line, Station};
use crate::weather_server::Window;
use crate::weather_server::times::DAY;

fn noon() -> i64 {
    parse_time("2026-11-28T12:30:00Z").unwrap()
}

fn with(fault: Fault) -> Script {
    let (from, to) = (noon() - 60 * DAY, noon() + 60 * DAY);
    Script::new(vec![Window { from, to, path: String::new(), fault, value: None }])
}

fn bytes(script: &Script, now: i64, path: &str) -> Option<Vec<u8>> {
    let document = archive(&World::new(1, 11), script, now, path)?;
    (document.status == 200).then_some(document.body)
}

fn text(path: &str) -> String {
    String::from_utf8(bytes(&Script::none(), noon(), path).unwrap()).unwrap()
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

fn readings(text: &[u8]) -> Vec<Reading> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let reading = |line: &[u8]| match Reading::parse(line).unwrap() {
        Line::Reading(reading) => reading,
        Line::Header => panic!("a header"),
    };
    lines.map(reading).collect()
}

#[test]
fn the_version_has_the_pattern_of_the_real_one() {
    let text = text("/pub/data/ghcn/daily/ghcnd-version.txt");
    let edition = World::new(1, 11).newest_edition(noon());
    assert!(text.starts_with(&format!("3.34-upd-{}18", edition.to_compact())), "{text}");
}

#[test]
fn inventories_read_back() {
    let world = World::new(1, 11);
    let countries = Codes::parse(text("/pub/data/ghcn/daily/ghcnd-countries.txt").as_bytes()).unwrap();
    let states = Codes::parse(text("/pub/data/ghcn/daily/ghcnd-states.txt").as_bytes()).unwrap();
    let inventory = text("/pub/data/ghcn/daily/ghcnd-stations.txt");
    let read =
        inventory.lines().map(|line| Station::parse_line(line.as_bytes(), &countries, &states).unwrap());
    for (found, known) in read.zip(world.stations()) {
        assert_eq!(found, Station { icao: None, ..known.station.clone() });
    }
    assert_eq!(inventory.lines().count(), 11);
    let list = text("/oa/global-historical-climatology-network/hourly/doc/ghcnh-station-list.csv");
    let mut lines = list.lines();
    let header = HourlyList::parse(lines.next().unwrap()).unwrap();
    let (good, bad): (Vec<_>, Vec<_>) =
        lines.map(|line| header.station(line, &countries, &states)).partition(Result::is_ok);
    let good: Vec<Station> = good.into_iter().map(Result::unwrap).collect();
    assert_eq!((good.len(), bad.len()), (9, 1));
    assert_eq!(IcaoIndex::new(&good).get("KQ01"), Some(world.stations()[0].id()));
    let line = text("/pub/data/ghcn/daily/ghcnd-inventory.txt").lines().next().unwrap().to_owned();
    assert!(line.starts_with("USW90000000 ") && line.ends_with(" TMAX 2020 2026"), "{line}");
}

#[test]
fn a_difference_is_a_packed_tar_of_three_members() {
    let world = World::new(1, 11);
    let listing = text("/pub/data/ghcn/daily/superghcnd/");
    let names: Vec<&str> = listing.split("href=\"").filter_map(|rest| rest.split('"').next()).collect();
    let names: Vec<&str> = names.into_iter().filter(|name| name.ends_with(".tar.gz")).collect();
    assert_eq!(names.len(), 41);
    let mut folders = 0;
    for name in names {
        let path = format!("/pub/data/ghcn/daily/superghcnd/{name}");
        let packed = bytes(&Script::none(), noon(), &path).unwrap();
        assert_eq!(Some(&packed), bytes(&Script::none(), noon(), &path).as_ref());
        let tar = unpacked(&packed);
        let mut archive = tar::Archive::new(&tar[..]);
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().into_owned();
            folders += usize::from(path.components().count() > 1);
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            // The times have three digits here, as in 700.
            assert!(!content.contains(",0700\n"));
            let rows = readings(content.replace(",700\n", ",0700\n").as_bytes());
            found.push((path.file_name().unwrap().to_owned(), rows));
        }
        let to = Date::parse_compact(&name.as_bytes()[28..36]).unwrap();
        let difference = world.difference(&Script::none(), day_of(to) - 1, day_of(to));
        let expected = [
            ("insert.csv", difference.insert),
            ("update.csv", difference.update),
            ("delete.csv", difference.delete),
        ];
        assert_eq!(found, expected.map(|(name, rows)| (name.into(), rows)));
        assert!(!found[0].1.is_empty());
    }
    assert!(folders > 0 && folders < 3 * 41);
    for missing in ["superghcnd_diff_20200101_to_20200102.tar.gz", "superghcnd_full_20261126.csv.gz", "x"] {
        assert_eq!(
            bytes(&Script::none(), noon(), &format!("/pub/data/ghcn/daily/superghcnd/{missing}")),
            None
        );
    }
}

#[test]
fn a_year_holds_the_rows_of_its_edition() {
    let world = World::new(1, 11);
    let path = "/pub/data/ghcn/daily/by_year/2026.csv.gz";
    let rows = readings(&unpacked(&bytes(&Script::none(), noon(), path).unwrap()));
    let edition = world.newest_edition(noon());
    assert_eq!(rows.iter().map(|row| row.date).max(), Some(date_of_day(day_of(edition) - 1)));
    let (first, id) = (Date::new(2026, 1, 1).unwrap(), world.stations()[0].id());
    let found: Vec<Reading> =
        rows.into_iter().filter(|row| row.station == id && row.date.month() < 11).collect();
    assert_eq!(found, world.days(id, first, Date::new(2026, 10, 31).unwrap()));
    assert_eq!(bytes(&with(Fault::NewYearMissing), noon(), path), None);
    assert!(
        bytes(&with(Fault::NewYearMissing), noon(), "/pub/data/ghcn/daily/by_year/2025.csv.gz").is_some()
    );
    assert_eq!(bytes(&Script::none(), noon(), "/pub/data/ghcn/daily/by_year/2027.csv.gz"), None);
}

#[test]
fn skipped_and_double_differences_are_listed_so() {
    let listed = |fault| {
        let body = bytes(&with(fault), noon(), "/pub/data/ghcn/daily/superghcnd/").unwrap();
        String::from_utf8(body).unwrap().matches(".tar.gz\">").count()
    };
    assert_eq!(listed(Fault::DifferenceSkipped), 0);
    assert!((19..=21).contains(&listed(Fault::DifferenceOfTwoDays)));
}
