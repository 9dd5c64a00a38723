//! The content that the topics must have from the synthetic world, whatever pollers make of its services: each
//! observation once in its last version, and with the daily lines the archive of the day that the differences have
//! reached.

use std::collections::BTreeMap;

use super::followed::Followed;
use super::report::{Kind, Violations};
use super::services::Services;
use super::topic_log::Kept;
use crate::hourly::Hour;
use crate::noaa::{Date, Reading};
use crate::stages::CHANGE_HEADER;
use crate::weather_server::{METAR_KEPT, World};

/// The last version of a report is published at most this long after its observation, in seconds.
const PUBLISHED_AFTER: i64 = 17 * 60;
/// The archive changes days up to this many before it.
const CHANGING_DAYS: i32 = 20;

/// Checks the topic of a source.
pub(super) fn check(services: &Services, followed: &Followed, log: &[&Kept], violations: &mut Violations) {
    match followed.source.id.as_str() {
        "metar" => check_hours(&services.world, followed, log, violations),
        _ => check_days(&services.world, (services.since(), followed), log, violations),
    }
}

fn check_hours(world: &World, followed: &Followed, log: &[&Kept], violations: &mut Violations) {
    let mut last = BTreeMap::new();
    for kept in log {
        let Some(hour) = kept.value.as_deref().and_then(|value| Hour::parse(value).ok()) else { continue };
        if kept.timestamp_ms != hour.time * 1_000 {
            let text = format!("{}@{} with the timestamp {}", kept.partition, kept.offset, kept.timestamp_ms);
            violations.add(Kind::Unexpected, text);
        }
        last.insert((hour.station, hour.time), hour);
    }
    let script = &followed.service.script;
    for station in world.stations() {
        let (from, to) = (followed.begun - METAR_KEPT, followed.time - PUBLISHED_AFTER);
        for hour in world.final_hours(script, station.id(), from, to) {
            let what = format!("observation of {} at {}", hour.station, crate::hourly::iso_time(hour.time));
            match last.get(&(hour.station, hour.time)) {
                None => violations.add(Kind::Lost, what),
                Some(found) if *found != as_followed(&hour, found) => violations.add(Kind::Unexpected, what),
                Some(_) => {}
            }
        }
    }
}

/// An observation of the world in the form of a record, except for the word before its text, which depends on the
/// format of the file.
fn as_followed(hour: &Hour, found: &Hour) -> Hour {
    let is_same =
        hour.raw.as_ref().zip(found.raw.as_ref()).is_some_and(|(text, raw)| raw.ends_with(text.as_str()));
    Hour { raw: if is_same { found.raw.clone() } else { hour.raw.clone() }, ..hour.clone() }
}

/// Lines by station, date and element.
type Archive = BTreeMap<String, String>;

fn check_days(
    world: &World,
    (since, followed): (Date, &Followed),
    log: &[&Kept],
    violations: &mut Violations,
) {
    let mut archive = archive_of(world, followed, since, since);
    for kept in log {
        let line = kept.value.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        match kept.header(CHANGE_HEADER).as_str() {
            "delete" => drop(archive.remove(&key(&line))),
            _ => drop(archive.insert(key(&line), line)),
        }
    }
    let expected = archive_of(world, followed, since, world.newest_edition(followed.time));
    for (key, line) in &expected {
        match archive.get(key) {
            None => violations.add(Kind::Lost, format!("line {key}")),
            Some(found) if found != line => violations.add(Kind::Unexpected, format!("line {found}")),
            Some(_) => {}
        }
    }
    for key in archive.keys().filter(|key| !expected.contains_key(*key)) {
        violations.add(Kind::Unexpected, format!("line {key}, which is not in the archive"));
    }
}

/// The archive of a day, from shortly before `since` on.
fn archive_of(world: &World, followed: &Followed, since: Date, edition: Date) -> Archive {
    let from = Date::from_days_since_1970(since.days_since_1970() - CHANGING_DAYS).unwrap_or(since);
    let (script, range) = (&followed.service.script, (from, edition));
    let rows = world
        .stations()
        .iter()
        .flat_map(|station| world.days_in_edition(script, station.id(), range, edition));
    let line = |row: Reading| {
        let mut line = Vec::new();
        row.to_line_into(&mut line);
        String::from_utf8_lossy(&line).into_owned()
    };
    rows.map(line).map(|line| (key(&line), line)).collect()
}

fn key(line: &str) -> String {
    line.splitn(4, ',').take(3).collect::<Vec<_>>().join(",")
}
