//! GHCN-Daily in editions: the rows of the archive on each day, and the differences between editions.
//!
//! An edition has the date of the evening on which its update starts, and is published on the next day. It has most
//! days of the previous day; some come an edition later, and a few much later. Everything else follows: a difference
//! is the comparison of two editions, row by row.

use super::fault::Fault;
use super::script::Script;
use super::times::{DAY, HOUR, date_of_day, day_of};
use super::world::{READING_HOUR, World};
use crate::noaa::{Date, Element, Reading, StationId};
use crate::synthetic::random::{between, chance, mix, unit};

/// How many days after its date a row may change: differences look back this far.
const DAYS_OF_CHANGE: i64 = 20;
/// Share of station-days that are an edition late, and of those that are ten editions late.
const LATE_SHARE: (f64, f64) = (0.15, 0.02);
/// The error of a value that will be corrected, in tenths.
const WRONG_BY: i32 = 50;

/// The rows of a difference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Rows that the older edition did not have.
    pub insert: Vec<Reading>,
    /// Rows with another value or flag, in their new form.
    pub update: Vec<Reading>,
    /// Rows that the newer edition does not have, in their old form.
    pub delete: Vec<Reading>,
}

impl World {
    /// The final rows of a station from one date to another, both included, without faults.
    pub fn days(&self, station: StationId, from: Date, to: Date) -> Vec<Reading> {
        self.final_days(&Script::none(), station, from, to)
    }

    /// The same after all editions of a script: corrected, flagged and deleted.
    pub fn final_days(&self, script: &Script, station: StationId, from: Date, to: Date) -> Vec<Reading> {
        let Some((index, _)) = self.find(station) else { return Vec::new() };
        let days = day_of(from)..=day_of(to);
        days.flat_map(|day| self.rows(script, index, date_of_day(day), day + DAYS_OF_CHANGE)).collect()
    }

    /// The rows of a station from one date to another, both included, in the archive of one day.
    pub fn days_in_edition(
        &self,
        script: &Script,
        station: StationId,
        (from, to): (Date, Date),
        edition: Date,
    ) -> Vec<Reading> {
        let Some((index, _)) = self.find(station) else { return Vec::new() };
        let days = day_of(from)..=day_of(to);
        days.flat_map(|day| self.rows(script, index, date_of_day(day), day_of(edition))).collect()
    }

    /// The rows of a station and date in the edition of a day, counted from 1970.
    pub(super) fn rows(&self, script: &Script, index: usize, date: Date, edition: i64) -> Vec<Reading> {
        let key = mix(&[self.key(index), day_of(date).cast_unsigned(), 20]);
        let first = first_edition(key, day_of(date));
        if edition < first {
            return Vec::new();
        }
        let noon = day_of(date) * DAY + DAY / 2;
        let is_on = |fault: Fault, what: u64| script.has(fault, noon) && chance(0.5, &[key, what]);
        let is_wrong = edition == first && is_on(Fault::DaysCorrected, 1);
        let is_deleted = edition >= first + 2 && is_on(Fault::DaysDeleted, 2);
        let is_flagged = edition >= first + 2 && is_on(Fault::DaysFlagged, 3);
        let mut rows = self.true_rows(index, date, key);
        for row in rows.iter_mut().filter(|row| row.element == Element::TMIN) {
            row.value += if is_wrong { WRONG_BY } else { 0 };
            row.quality_flag = if is_flagged { b'S' } else { 0 };
        }
        rows.retain(|row| !(is_deleted && row.element == Element::TMIN));
        rows
    }

    fn true_rows(&self, index: usize, date: Date, key: u64) -> Vec<Reading> {
        let station = &self.stations()[index];
        let (from, to) = self.booked(index, date);
        let Some((low, high)) = self.extremes(index, from, to) else { return Vec::new() };
        let is_cooperative = station.is_cooperative();
        let rain = (unit(&[key, 5]) * 180.0 - 120.0).max(0.0) as i32;
        let row = |element: Element, value: i32| Reading {
            station: station.id(),
            date,
            element,
            value,
            measurement_flag: if element == Element::PRCP && rain == 0 && chance(0.1, &[key, 6]) {
                b'T'
            } else {
                0
            },
            quality_flag: 0,
            source_flag: if is_cooperative { b'7' } else { b'W' },
            observation_time: is_cooperative.then_some(READING_HOUR as u16 * 100),
        };
        vec![row(Element::TMAX, high), row(Element::TMIN, low), row(Element::PRCP, rain)]
    }

    /// The changes between the editions of two days.
    pub(super) fn difference(&self, script: &Script, from: i64, to: i64) -> Difference {
        let mut difference = Difference::default();
        for index in 0..self.stations().len() {
            for day in from - DAYS_OF_CHANGE..=to {
                let date = date_of_day(day);
                let (before, after) =
                    (self.rows(script, index, date, from), self.rows(script, index, date, to));
                let same = |rows: &[Reading], row: &Reading| {
                    rows.iter().find(|other| other.element == row.element).copied()
                };
                for row in after.iter().copied() {
                    match same(&before, &row) {
                        None => difference.insert.push(row),
                        Some(old) if old != row => difference.update.push(row),
                        Some(_) => {}
                    }
                }
                difference.delete.extend(before.iter().filter(|row| same(&after, row).is_none()));
            }
        }
        difference
    }

    /// When the edition of a day is published, in seconds since 1970: the day after, or early on the second day after.
    pub fn edition_published(&self, edition: Date) -> i64 {
        let day = day_of(edition);
        let wait = between(10 * HOUR, 26 * HOUR, &[self.seed(), day.cast_unsigned(), 21]);
        (day + 1) * DAY + wait
    }

    /// The newest edition that is published at a time.
    pub fn newest_edition(&self, now: i64) -> Date {
        let today = now.div_euclid(DAY);
        let is_published = |day: &i64| self.edition_published(date_of_day(*day)) <= now;
        date_of_day((today - 3..=today).rev().find(is_published).unwrap_or(today - 3))
    }

    /// The edition at which a difference to this one starts; `None` if no difference leads to it.
    pub fn difference_before(&self, script: &Script, edition: Date) -> Option<Date> {
        let day = day_of(edition);
        let has = |fault: Fault, day: i64| script.has(fault, self.edition_published(date_of_day(day)));
        let is_double = |day: i64| {
            let on = |day: i64| has(Fault::DifferenceOfTwoDays, day);
            day % 2 == 0 && on(day) && on(day - 1)
        };
        if has(Fault::DifferenceSkipped, day) || is_double(day + 1) {
            return None;
        }
        Some(date_of_day(if is_double(day) { day - 2 } else { day - 1 }))
    }
}

/// The edition in which the rows of a day appear.
fn first_edition(key: u64, day: i64) -> i64 {
    let (late, very_late) = LATE_SHARE;
    match unit(&[key, 7]) {
        lot if lot < very_late => day + 11,
        lot if lot < late => day + 2,
        _ => day + 1,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::weather_server::Window;

    const SPAN: i64 = 60;

    fn first() -> i64 {
        day_of(Date::new(2026, 11, 1).unwrap())
    }

    fn with(faults: &[Fault]) -> Script {
        let (from, to) = ((first() + 5) * DAY, (first() + 30) * DAY);
        let window = |fault: &Fault| Window { from, to, path: String::new(), fault: *fault, value: None };
        Script::new(faults.iter().map(window).collect())
    }

    /// Follows the chain of differences from an edition on, and returns the rows of the archive and what came.
    fn follow(world: &World, script: &Script) -> (BTreeMap<(StationId, Date, Element), Reading>, Difference) {
        let key = |row: &Reading| (row.station, row.date, row.element);
        let (mut archive, mut all) = (BTreeMap::new(), Difference::default());
        let mut at = first();
        while at < first() + SPAN {
            let leads_on =
                |next: &i64| world.difference_before(script, date_of_day(*next)) == Some(date_of_day(at));
            let next = (at + 1..at + 4).find(leads_on).expect("the chain goes on");
            let difference = world.difference(script, at, next);
            for row in &difference.insert {
                assert_eq!(archive.insert(key(row), *row), None, "{row:?}");
            }
            for row in &difference.update {
                assert!(archive.insert(key(row), *row).is_none_or(|old| old != *row), "{row:?}");
            }
            for row in &difference.delete {
                archive.remove(&key(row));
            }
            all.insert.extend(difference.insert);
            all.update.extend(difference.update);
            all.delete.extend(difference.delete);
            at = next;
        }
        (archive, all)
    }

    #[test]
    fn minima_are_those_of_the_hours() {
        let world = World::new(1, 3);
        let date = Date::new(2026, 11, 28).unwrap();
        let [airport, _, cooperative] = world.stations() else { panic!() };
        let value = |id: StationId, element: Element| {
            let rows = world.days(id, date, date);
            rows.iter().find(|row| row.element == element).map(|row| row.value)
        };
        let midnight = day_of(date) * DAY + 7 * HOUR;
        assert_eq!(value(airport.id(), Element::TMIN), world.minimum(airport.id(), midnight, midnight + DAY));
        // It is read at 07:00, and has the night before.
        let (from, to) = (midnight - 17 * HOUR, midnight + 7 * HOUR);
        assert_eq!(value(cooperative.id(), Element::TMIN), world.minimum(cooperative.id(), from, to));
        assert_eq!(world.days(cooperative.id(), date, date)[0].observation_time, Some(700));
    }

    #[test]
    fn differences_lead_to_the_truth_whatever_happens_between() {
        let world = World::new(1, 6);
        let scripts = [
            Script::none(),
            with(&[Fault::DifferenceOfTwoDays]),
            with(&[Fault::DaysCorrected, Fault::DaysDeleted, Fault::DaysFlagged, Fault::DifferenceOfTwoDays]),
        ];
        for script in &scripts {
            let (archive, _) = follow(&world, script);
            for station in world.stations() {
                let days = (date_of_day(first() + 1), date_of_day(first() + SPAN - DAYS_OF_CHANGE));
                let truth = world.final_days(script, station.id(), days.0, days.1);
                let found = archive.values().filter(|row| row.station == station.id());
                let mut found: Vec<_> =
                    found.filter(|row| (days.0..=days.1).contains(&row.date)).copied().collect();
                let order = |row: &Reading| (row.date, row.element);
                let mut truth = truth;
                truth.sort_by_key(order);
                found.sort_by_key(order);
                assert_eq!(found, truth);
            }
        }
    }

    #[test]
    fn each_fault_changes_minima_in_its_way() {
        let world = World::new(1, 6);
        let (_, orderly) = follow(&world, &Script::none());
        assert!(orderly.update.is_empty() && orderly.delete.is_empty());
        let late = orderly.insert.iter().filter(|row| row.date < date_of_day(first() + 1)).count();
        assert!(late > 0, "some days come late");
        let (_, corrected) = follow(&world, &with(&[Fault::DaysCorrected]));
        assert!(corrected.update.iter().all(|row| row.element == Element::TMIN && row.quality_flag == 0));
        let (_, deleted) = follow(&world, &with(&[Fault::DaysDeleted]));
        assert!(deleted.delete.iter().all(|row| row.element == Element::TMIN));
        let (_, flagged) = follow(&world, &with(&[Fault::DaysFlagged]));
        assert!(flagged.update.iter().all(|row| row.quality_flag == b'S'));
        for many in [corrected.update, deleted.delete, flagged.update] {
            assert!(many.len() > 30, "{}", many.len());
        }
    }

    #[test]
    fn a_skipped_difference_breaks_the_chain() {
        let world = World::new(1, 1);
        let script = with(&[Fault::DifferenceSkipped]);
        let edition = |day: i64| world.difference_before(&script, date_of_day(first() + day));
        assert_eq!((edition(10), edition(1)), (None, Some(date_of_day(first()))));
        let double = with(&[Fault::DifferenceOfTwoDays]);
        let spans = (6..25).map(|day| {
            let to = first() + day;
            world.difference_before(&double, date_of_day(to)).map(|from| to - day_of(from))
        });
        let spans: Vec<_> = spans.collect();
        assert!(spans.windows(2).any(|pair| pair == [None, Some(2)]), "{spans:?}");
    }

    #[test]
    fn editions_are_published_one_or_two_days_later() {
        let world = World::new(1, 1);
        let mut before = 0;
        for day in first()..first() + SPAN {
            let (date, published) = (date_of_day(day), world.edition_published(date_of_day(day)));
            assert!(published > before && (34 * HOUR..50 * HOUR).contains(&(published - day * DAY)));
            assert_eq!(world.newest_edition(published), date);
            assert!(world.newest_edition(published - 1) < date);
            before = published;
        }
    }
}
