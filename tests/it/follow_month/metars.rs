//! METARs: each record is a version that the service had, and what a clean poll can see is there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use frostline::hourly::{Hour, Metar as Text, parse_time};
use frostline::noaa::StationId;
use frostline::sources::{FindStation, Metar};
use frostline::weather_server::{Fault, METAR_KEPT, Report, World};

use super::downstream::Nights;
use super::follower::{Follower, Polled};
use super::nights::{Late, compare as compare_nights};
use super::service::Service;

const PATH: &str = "/data/cache/metars.cache.csv.gz";
const INTERVAL: Duration = Duration::from_secs(600);
const KILL_SHARE: f64 = 0.03;
const MINUTE: i64 = 60;
/// What the file may say wrongly.
const FAULTS: &[Fault] = &[
    Fault::OldForm,
    Fault::RowsRepeated,
    Fault::RowsReordered,
    Fault::Corrected,
    Fault::Nulled,
    Fault::Fahrenheit,
    Fault::FutureStamps,
    Fault::PastStamps,
];
/// When other versions of a report come, after its first one.
const VERSIONS_AFTER: [i64; 3] = [0, 6 * MINUTE, 12 * MINUTE];

/// What was emitted of each station and time, in order.
type Emitted = HashMap<(StationId, i64), Vec<Hour>>;

pub fn run(seed: u64) {
    let start = parse_time("2026-11-28T00:00:00Z").unwrap();
    let service = Service::start(World::new(seed, 9), (start, 7), &["/data/cache/"], FAULTS);
    let (url, find) = (service.base.clone(), find(&service.world));
    let make = move |fetch| Box::new(Metar::new(fetch, &url, Arc::clone(&find))) as _;
    let mut follower = Follower::new(&service, KILL_SHARE, Box::new(make));
    let mut emitted = Emitted::new();
    let (mut daemon, mut late) = (Nights::new(&service.world, start * 1_000), Late::default());
    while !service.is_over() {
        let polled = follower.poll(&[PATH]);
        if let Polled::Committed(batch) = &polled {
            for record in &batch.records {
                let hour = Hour::parse(&record.value).unwrap();
                assert_eq!(
                    (record.key.as_slice(), record.timestamp_ms),
                    (hour.station.as_bytes().as_slice(), hour.time * 1_000)
                );
                daemon.take(&record.key, &record.value, service.time.unix_ms());
                late.take(hour.station.as_str(), hour.time);
                emitted.entry((hour.station, hour.time)).or_default().push(plain(hour));
            }
            let now = service.now();
            if batch.next_in.is_none() && service.is_clean(now, PATH) {
                follower.count("clean polls", 1);
                check_visible(&service, now, &emitted);
            }
        }
        follower.wait(&polled, INTERVAL);
    }
    check_versions(&service, &emitted);
    compare_nights(&daemon, &faultless(&service, &emitted), &late, &mut follower);
    let (same, missed, wrong) = compare(&service, &emitted);
    follower.count("final observations", same);
    follower.count("observations never seen whole", missed + wrong);
    follower.report("metars");
}

/// What the daemon makes of the observations that were emitted, as services without faults would have given them: each in its
/// last version, and in the order of their times.
fn faultless(service: &Service, emitted: &Emitted) -> Nights {
    let mut nights = Nights::new(&service.world, service.start * 1_000);
    let (from, to) = (service.start - METAR_KEPT, service.now());
    let stations = service.world.stations().iter();
    let mut hours: Vec<Hour> = stations.flat_map(|one| service.world.hours(one.id(), from, to)).collect();
    hours.retain(|hour| emitted.contains_key(&(hour.station, hour.time)));
    // One whose correction nobody saw stays as it was.
    for hour in &mut hours {
        let last = emitted[&(hour.station, hour.time)].last().unwrap();
        if last.temperature_c != hour.temperature_c {
            *hour = last.clone();
        }
    }
    hours.sort_by_key(|hour| (hour.time, hour.station));
    for hour in hours {
        nights.take(hour.station.as_bytes(), hour.to_json().as_bytes(), hour.time * 1_000);
    }
    nights
}

pub fn find(world: &World) -> FindStation {
    let known = world.stations().iter().filter_map(|one| Some((one.station.icao.clone()?, one.id())));
    let known: HashMap<String, StationId> = known.collect();
    Arc::new(move |icao| known.get(icao).copied())
}

/// Without the word before the text, which the older form of the file does not have.
fn plain(hour: Hour) -> Hour {
    let raw = hour
        .raw
        .as_deref()
        .map(|raw| raw.trim_start_matches("METAR ").trim_start_matches("SPECI ").to_owned());
    Hour { raw, ..hour }
}

fn hour(station: StationId, report: &Report) -> Option<Hour> {
    let text = report.text();
    let hour = Text::parse(&text).unwrap().hour(station, report.observed, &text).unwrap()?;
    Some(Hour::parse(hour.to_json().as_bytes()).unwrap())
}

/// All that the file had at a clean poll was emitted in its best version.
fn check_visible(service: &Service, now: i64, emitted: &Emitted) {
    let written = now - now.rem_euclid(MINUTE);
    for station in service.world.stations() {
        let mut best: HashMap<i64, Hour> = HashMap::new();
        // The newest come first, and a correction before what it corrects.
        for report in service.world.cached_reports(&service.script, station.id(), written) {
            if let Some(hour) = hour(station.id(), &report) {
                best.entry(report.observed).or_insert(hour);
            }
        }
        for (time, hour) in best {
            let last = emitted.get(&(station.id(), time)).and_then(|versions| versions.last());
            assert_eq!(last, Some(&hour), "{} at {now}", station.id());
        }
    }
}

/// Whatever was emitted is a version that the service had, each once at most, and none after a later one.
fn check_versions(service: &Service, emitted: &Emitted) {
    for ((station, time), hours) in emitted {
        let reports = service.world.reports(*station, *time, time + 1);
        let first = reports.first().expect("an observation that was made").published;
        let mut versions: Vec<Hour> = Vec::new();
        for after in VERSIONS_AFTER {
            let cached = service.world.cached_reports(&service.script, *station, first + after);
            let found = cached
                .iter()
                .filter(|report| report.observed == *time)
                .filter_map(|report| hour(*station, report));
            for hour in found {
                if !versions.contains(&hour) {
                    versions.push(hour);
                }
            }
        }
        let place = |hour: &Hour| versions.iter().position(|version| version == hour);
        let places: Vec<Option<usize>> = hours.iter().map(place).collect();
        assert!(places.iter().all(Option::is_some), "{hours:?} is not of {versions:?}");
        assert!(places.is_sorted_by(|before, after| before < after), "{hours:?} of {versions:?}");
    }
}

/// How many observations were emitted in their last version, not at all, and in an earlier one. In the quiet time all were.
fn compare(service: &Service, emitted: &Emitted) -> (u64, u64, u64) {
    let (mut same, mut missed, mut wrong) = (0, 0, 0);
    let end = service.faults_end + service.quiet - 2 * 3_600;
    for station in service.world.stations() {
        for hour in service.world.final_hours(&service.script, station.id(), service.start, end) {
            match emitted.get(&(station.id(), hour.time)).and_then(|versions| versions.last()) {
                Some(last) if *last == hour => same += 1,
                found if hour.time > service.faults_end + 7_200 => panic!("{found:?}, not {hour:?}"),
                Some(_) => wrong += 1,
                None => missed += 1,
            }
        }
    }
    (same, missed, wrong)
}
