//! Daily differences: the lines, folded in their order, are the archive of the day that the source has come to.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use frostline::hourly::parse_time;
use frostline::noaa::{Date, Element};
use frostline::sources::{Ghcn, GhcnSettings};
use frostline::weather_server::{Fault, Script, World};
use frostline_engine::record::Header;
use frostline_engine::{Batch, Position};

use super::downstream::Days;
use super::follower::{Follower, Polled};
use super::service::Service;

const FOLDER: &str = "/pub/data/ghcn/daily";
const INTERVAL: Duration = Duration::from_secs(3_600);
const KILL_SHARE: f64 = 0.03;
/// Small enough for a difference to come in several polls, each of which may be the last of its process.
const LINES_MAX: usize = 10;
const DAY: i64 = 86_400;
/// What the archive may do. In a week the year's file is missing when it is needed: after the skipped difference.
const FAULTS: &[Fault] = &[
    Fault::DifferenceSkipped,
    Fault::DaysDeleted,
    Fault::DaysCorrected,
    Fault::DaysFlagged,
    Fault::NewYearMissing,
    Fault::DifferenceOfTwoDays,
];
/// An archive changes days up to so many before it.
const CHANGING_DAYS: i64 = 20;
/// A day is deleted so many days after it, by the editions in which it may have come first.
const DELETED_AFTER: [i64; 3] = [3, 4, 13];

/// Lines by station, date and element.
type Archive = BTreeMap<String, String>;

struct Follow {
    archive: Archive,
    /// Lines of differences with their changes: none comes twice.
    seen: HashSet<(String, String)>,
    /// From where to where the chain was broken, in days since 1970.
    gaps: Vec<(i64, i64)>,
    /// What the daemon makes of the lines.
    daemon: Days,
}

pub fn run(seed: u64) {
    let start = parse_time("2026-12-27T00:00:00Z").unwrap();
    let service = Service::start(World::new(seed, 4), (start, 7), &["/pub/data/ghcn/"], FAULTS);
    let since = service.world.newest_edition(start);
    let settings = GhcnSettings {
        since: Some(since),
        lines_max: LINES_MAX,
        ..GhcnSettings::new(&format!("{}{FOLDER}", service.base))
    };
    let make = move |fetch| Box::new(Ghcn::new(fetch, settings.clone())) as _;
    let mut follower = Follower::new(&service, KILL_SHARE, Box::new(make));
    let range = (date(number(since) - CHANGING_DAYS), date(number(since) + 400));
    let archive = archive_of(&service, &service.script, range, since);
    let daemon = Days::new(&service.world, start * 1_000);
    let mut follow = Follow { archive, seen: HashSet::new(), gaps: Vec::new(), daemon };
    // What is being given out at the end is given out whole.
    while !service.is_over() || work(&follower.position).is_some() {
        assert!(service.now() < service.faults_end + 2 * service.quiet, "{:?}", work(&follower.position));
        let before = follower.position.clone();
        let polled = follower.poll(&[FOLDER]);
        if let Polled::Committed(batch) = &polled {
            follow.take(batch, &before, &follower.position, since);
            follow.judge(batch, service.time.unix_ms());
        }
        follower.wait(&polled, INTERVAL);
    }
    let end = end(&follower.position).expect("differences came");
    let newest = service.world.newest_edition(service.now() - 12 * 3_600);
    assert!(end >= newest, "the source is at {end}, the service at {newest}");
    let expected = archive_of(&service, &service.script, range, end);
    let unseen = follow.compare(&service, &expected, range.0);
    let faultless = archive_of(&service, &Script::none(), range, end);
    let uncorrected = follow.compare_downstream(&service, &faultless, since);
    follower.count("lines in the archive", expected.len() as u64);
    follower.count("observations", follow.daemon.observations.len() as u64);
    follower.count("alerts", follow.daemon.standing.len() as u64);
    follower.count("alerts retracted", follow.daemon.retracted);
    follower.count("lines to be corrected", uncorrected);
    follower.count("gaps", follow.gaps.len() as u64);
    follower.count("deletions within gaps, which are not seen", unseen);
    follower.report("daily differences");
}

impl Follow {
    fn take(&mut self, batch: &Batch, before: &Position, after: &Position, since: Date) {
        let is_year =
            work(before).is_some_and(|work| work["years"].as_array().is_some_and(|years| !years.is_empty()));
        if batch.remark.as_ref().is_some_and(|remark| remark.contains("no difference starts at")) {
            let to =
                work(after).unwrap()["end"].as_str().and_then(|text| Date::parse_compact(text.as_bytes()));
            self.gaps.push((number(end(before).unwrap_or(since)), number(to.unwrap())));
        }
        for record in &batch.records {
            let line = String::from_utf8(record.value.clone()).unwrap();
            let change = String::from_utf8(record.headers[0].1.clone()).unwrap();
            let key = key(&line);
            match change.as_str() {
                "delete" => drop(self.archive.remove(&key)),
                _ => drop(self.archive.insert(key, line.clone())),
            }
            assert!(is_year || self.seen.insert((change, line.clone())), "twice: {line}");
        }
    }

    /// Lets the daemon have the records of a poll.
    fn judge(&mut self, batch: &Batch, now_ms: i64) {
        for record in &batch.records {
            let headers: Vec<Header> = record
                .headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Some(value.clone())))
                .collect();
            self.daemon.take(&record.key, &record.value, &headers, now_ms);
        }
        self.daemon.settle(now_ms);
    }

    /// Compares observations and alerts with what the archive gives that had no faults at all, less what was deleted or failed
    /// NOAA's quality control. Returns how many lines still have the wrong value of their first edition.
    fn compare_downstream(&self, service: &Service, faultless: &Archive, since: Date) -> u64 {
        let mut uncorrected = 0;
        let mut script = Days::new(&service.world, service.start * 1_000);
        let now_ms = service.time.unix_ms();
        for (key, line) in &self.archive {
            let has_failed = !line.split(',').nth(5).unwrap().is_empty();
            if has_failed {
                continue;
            }
            uncorrected += u64::from(faultless.get(key).is_some_and(|faultless| faultless != line));
            script.take(&key.as_bytes()[..11], line.as_bytes(), &[], now_ms);
        }
        script.settle(now_ms);
        // Of earlier days only changes came.
        let since = since.to_string();
        let later = |place: &&(String, String)| place.1.as_str() > since.as_str();
        let places: BTreeSet<_> =
            script.observations.keys().chain(self.daemon.observations.keys()).filter(later).collect();
        for place in places {
            let (found, expected) = (self.daemon.observations.get(place), script.observations.get(place));
            assert_eq!(found, expected, "{place:?}");
        }
        let found: Vec<_> = self.daemon.standing.iter().filter(later).collect();
        let expected: Vec<_> = script.standing.iter().filter(later).collect();
        assert_eq!(found, expected, "alerts");
        uncorrected
    }

    /// Compares with the archive. Returns how many lines remain whose deletion was in a missing difference.
    fn compare(&self, service: &Service, expected: &Archive, from: Date) -> u64 {
        let mut unseen = 0;
        for (key, line) in expected {
            assert_eq!(self.archive.get(key), Some(line), "{key}; gaps {:?}", self.gaps);
        }
        for (key, line) in self.archive.iter().filter(|(key, _)| !expected.contains_key(*key)) {
            let day = number(Date::parse_compact(&key.as_bytes()[12..20]).unwrap());
            if day < number(from) {
                continue;
            }
            let noon = day * DAY + DAY / 2;
            let is_deleted = key.ends_with(Element::TMIN.as_str())
                && service.script.windows().iter().any(|window| {
                    window.fault == Fault::DaysDeleted && (window.from..window.to).contains(&noon)
                });
            let in_gap =
                |deleted: i64| self.gaps.iter().any(|(from, to)| (from + 1..=*to).contains(&deleted));
            assert!(
                is_deleted && DELETED_AFTER.iter().any(|after| in_gap(day + after)),
                "{line} should not be there"
            );
            unseen += 1;
        }
        unseen
    }
}

/// The archive of a day.
fn archive_of(service: &Service, script: &Script, range: (Date, Date), edition: Date) -> Archive {
    let range = (range.0, range.1.min(edition));
    let stations = service.world.stations().iter();
    let rows = stations.flat_map(|one| service.world.days_in_edition(script, one.id(), range, edition));
    let line = |row: frostline::noaa::Reading| {
        let mut line = Vec::new();
        row.to_line_into(&mut line);
        String::from_utf8(line).unwrap()
    };
    rows.map(line).map(|line| (key(&line), line)).collect()
}

fn key(line: &str) -> String {
    line.splitn(4, ',').take(3).collect::<Vec<_>>().join(",")
}

fn end(position: &Position) -> Option<Date> {
    Date::parse_compact(position.get(b"end")?)
}

fn work(position: &Position) -> Option<serde_json::Value> {
    serde_json::from_slice(position.get(b"work")?).ok()
}

fn number(date: Date) -> i64 {
    i64::from(date.days_since_1970())
}

fn date(number: i64) -> Date {
    Date::from_days_since_1970(number as i32).unwrap()
}
