//! Puts the days together: every station's readings, in the order and the disorder of the real files.

use super::network::{Reading, report};
use super::oddity::{BadLines, spoil};
use super::weather::Climatology;
use super::{CivilDay, DemoStation};

/// Share of station-days of which some lines come only after another station's.
const SPLIT_SHARE: f64 = 0.0007;

/// Share of station-days with one line written twice.
const REPEATED_SHARE: f64 = 0.0004;

/// On a leap day the lines of every so-many-th station alternate with those of the day before.
const INTERLEAVED_EVERY: usize = 3;

/// One line of a `by_year` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The station that the line is of, also if the text is cut: the key of a Kafka message.
    pub station_id: &'static str,
    /// `ID,DATE,ELEMENT,VALUE,M-FLAG,Q-FLAG,S-FLAG,OBS-TIME` without a line end, unless it is a bad line.
    pub text: String,
}

/// Invents the lines of one day after the other; the same seed, start and stations give the same lines.
///
/// Lines go by date, and within a date in the order of the stations, which is not that of their ids.
///
/// ```
/// use frostline::demo::{CivilDay, Generator, STATIONS};
///
/// let new_year = CivilDay::new(2024, 1, 1).expect("an existing day");
/// let mut generator = Generator::new(2019, new_year, STATIONS);
/// let mut lines = Vec::new();
/// generator.next_day(&mut lines);
/// assert!(lines.iter().any(|line| line.text.starts_with("USW00003192,20240101,TMAX,")));
/// ```
#[derive(Debug, Clone)]
pub struct Generator {
    rng: fastrand::Rng,
    day: CivilDay,
    /// Each station with its weather so far.
    stations: Vec<(&'static DemoStation, Climatology)>,
    bad: BadLines,
}

impl Generator {
    /// A generator that stands before `start`, the first day it will write.
    ///
    /// No snow lies on that day anywhere; in a cold country it takes some weeks to build up.
    pub fn new(seed: u64, start: CivilDay, stations: &'static [DemoStation]) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let stations = stations.iter().map(|s| (s, Climatology::new(s, &mut rng))).collect();
        let bad = BadLines::new(&mut rng);
        Self { rng, day: start, stations, bad }
    }

    /// The first day that the next call of [`next_day`](Self::next_day) writes.
    pub fn day(&self) -> CivilDay {
        self.day
    }

    /// How many lines so far were unreadable or of an unknown station: every one of them is a dead letter.
    pub fn bad_lines(&self) -> u64 {
        self.bad.written()
    }

    /// Appends all lines of the next day to `out`, and moves on.
    ///
    /// In a leap year the call for 28 February also writes 29 February, since their lines are mixed; the next
    /// call goes on with 1 March.
    pub fn next_day(&mut self, out: &mut Vec<Line>) {
        let today = self.day;
        self.day = today.next();
        let first = out.len();
        if today.is_leap_eve() {
            let leap_day = self.day;
            self.day = leap_day.next();
            self.two_mixed_days(today, leap_day, out);
            self.mix_in_bad_line(today, first, out);
            self.mix_in_bad_line(leap_day, first, out);
        } else {
            self.single_day(today, out);
            self.mix_in_bad_line(today, first, out);
        }
    }

    fn single_day(&mut self, day: CivilDay, out: &mut Vec<Line>) {
        let mut held_back = Vec::new();
        for index in 0..self.stations.len() {
            let mut lines = self.station_day(index, day);
            let rest =
                if lines.len() > 1 && self.rng.f64() < SPLIT_SHARE { lines.split_off(1) } else { Vec::new() };
            out.append(&mut lines);
            out.append(&mut held_back);
            held_back = rest;
        }
        out.append(&mut held_back);
    }

    /// The dates go back and forth within the middle part, as in NOAA's file of 1872.
    fn two_mixed_days(&mut self, eve: CivilDay, leap_day: CivilDay, out: &mut Vec<Line>) {
        let (mut mixed, mut later) = (Vec::new(), Vec::new());
        for index in 0..self.stations.len() {
            let mut of_eve = self.station_day(index, eve);
            let mut of_leap_day = self.station_day(index, leap_day);
            if index % INTERLEAVED_EVERY == 0 {
                alternate(of_eve, of_leap_day, &mut mixed);
            } else {
                out.append(&mut of_eve);
                later.append(&mut of_leap_day);
            }
        }
        out.append(&mut mixed);
        out.append(&mut later);
    }

    fn station_day(&mut self, index: usize, day: CivilDay) -> Vec<Line> {
        let Some((station, climatology)) = self.stations.get_mut(index) else { return Vec::new() };
        let weather = climatology.advance(station, day, &mut self.rng);
        let mut readings = report(station, &weather, &mut self.rng);
        spoil(&mut readings, station, day, &mut self.rng);
        if self.rng.f64() < REPEATED_SHARE {
            repeat_one(&mut readings, &mut self.rng);
        }
        let to_line = |r: &Reading| Line { station_id: station.id, text: r.to_line(station, day) };
        readings.iter().map(to_line).collect()
    }

    /// Puts the bad line of `day`, if there is one, anywhere among the lines from `first` on.
    fn mix_in_bad_line(&mut self, day: CivilDay, first: usize, out: &mut Vec<Line>) {
        if let Some(line) = self.bad.advance(day, &mut self.rng) {
            out.insert(self.rng.usize(first..=out.len()), line);
        }
    }
}

/// One of each in turn; what the longer one has more comes at the end.
fn alternate(a: Vec<Line>, b: Vec<Line>, out: &mut Vec<Line>) {
    let (mut a, mut b) = (a.into_iter(), b.into_iter());
    loop {
        let before = out.len();
        out.extend(a.next());
        out.extend(b.next());
        if out.len() == before {
            return;
        }
    }
}

fn repeat_one(readings: &mut Vec<Reading>, rng: &mut fastrand::Rng) {
    if !readings.is_empty() {
        let index = rng.usize(..readings.len());
        readings.insert(index, readings[index].clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{STATIONS, UNKNOWN_STATION};
    use std::collections::HashSet;

    fn days(seed: u64, from: (i16, i8, i8), calls: usize) -> (Vec<Vec<Line>>, Generator) {
        let start = CivilDay::new(from.0, from.1, from.2).expect("an existing day");
        let mut generator = Generator::new(seed, start, STATIONS);
        let mut one_day = || {
            let mut lines = Vec::new();
            generator.next_day(&mut lines);
            lines
        };
        let days = (0..calls).map(|_| one_day()).collect();
        (days, generator)
    }

    /// All of 2024: one call less than days, since one call brings the leap day with it.
    fn year() -> (Vec<Line>, Generator) {
        let (days, generator) = days(2019, (2024, 1, 1), 365);
        assert_eq!(generator.day(), CivilDay::new(2025, 1, 1).expect("an existing day"));
        (days.concat(), generator)
    }

    /// The fields of a line, if it has eight, an existing date, a number and a known station.
    fn good(line: &Line) -> Option<(Vec<&str>, i32)> {
        let fields: Vec<&str> = line.text.split(',').collect();
        let [id, date, _, value, _, _, _, _] = fields[..] else { return None };
        let digits = |range: std::ops::Range<usize>| date.get(range);
        CivilDay::new(digits(0..4)?.parse().ok()?, digits(4..6)?.parse().ok()?, digits(6..8)?.parse().ok()?)?;
        let known = STATIONS.iter().any(|s| s.id == id) && id == line.station_id;
        known.then_some(())?;
        Some((fields.clone(), value.parse().ok()?))
    }

    #[test]
    fn same_seed_same_lines() {
        let (a, b, c) =
            (days(1, (2024, 1, 1), 60).0, days(1, (2024, 1, 1), 60).0, days(2, (2024, 1, 1), 60).0);
        assert_eq!(a, b);
        assert_ne!(a, c);
    }

    #[test]
    fn a_year_has_the_promised_bad_lines_and_no_others() {
        let (lines, generator) = year();
        assert!((90_000..140_000).contains(&lines.len()), "{} lines", lines.len());
        let bad = lines.iter().filter(|line| good(line).is_none()).count();
        assert_eq!(bad as u64, generator.bad_lines());
        assert!((6..=16).contains(&bad), "{bad} bad lines");
        assert!(lines.iter().any(|line| line.station_id == UNKNOWN_STATION));
    }

    #[test]
    fn values_are_sane_unless_flagged() {
        let (lines, _) = year();
        for (fields, value) in lines.iter().filter_map(good).filter(|(fields, _)| fields[5].is_empty()) {
            let range = match fields[2] {
                "TMAX" | "TMIN" | "TAVG" | "TOBS" => -895..=565,
                "PRCP" | "SNOW" => 0..=1500,
                "SNWD" => 0..=5000,
                _ => 0..=400,
            };
            assert!(range.contains(&value), "{fields:?}");
        }
    }

    #[test]
    fn oddities_happen_but_seldom() {
        let (lines, _) = year();
        let count = |is_odd: &dyn Fn(&[&str]) -> bool| {
            lines.iter().filter_map(good).filter(|(fields, _)| is_odd(fields)).count()
        };
        assert!((10..150).contains(&count(&|f| !f[5].is_empty())));
        assert!((100..2000).contains(&count(&|f| f[2] == "PRCP" && f[3] == "0" && f[4] == "T")));
        assert!((2..30).contains(&lines.windows(2).filter(|pair| pair[0] == pair[1]).count()));
        let june = "USC00027716,20240615,TMIN,-44,,S,7,";
        assert!(lines.iter().any(|line| line.text.starts_with(june)));
    }

    #[test]
    fn some_station_days_are_split() {
        let (days, _) = days(2019, (2023, 1, 1), 365);
        let mut split = 0;
        for day in &days {
            let known = day.iter().filter_map(|line| good(line).map(|_| line.station_id));
            let mut runs: Vec<&str> = known.collect();
            runs.dedup();
            split += runs.len() - runs.iter().collect::<HashSet<_>>().len();
        }
        assert!((3..50).contains(&split), "{split} splits");
    }

    #[test]
    fn the_leap_day_comes_mixed_with_the_day_before() {
        let (days, generator) = days(2019, (2024, 2, 28), 1);
        assert_eq!(generator.day(), CivilDay::new(2024, 3, 1).expect("an existing day"));
        let dates: Vec<&str> = days[0].iter().filter_map(|line| line.text.get(12..20)).collect();
        let backwards = dates.windows(2).filter(|pair| pair[0] > pair[1]).count();
        assert!(backwards > 40, "{backwards} times back");
        assert!(dates.iter().all(|date| ["20240228", "20240229"].contains(date)));
    }

    #[test]
    fn scottsdale_is_below_and_above_ten_degrees() {
        let (lines, _) = year();
        let minima = lines.iter().filter_map(good).filter(|(f, _)| f[0] == "USW00003192" && f[2] == "TMIN");
        let (cold, warm): (Vec<i32>, Vec<i32>) = minima.map(|(_, value)| value).partition(|v| *v <= 100);
        assert!(cold.len() > 40 && warm.len() > 150, "{} cold, {} warm", cold.len(), warm.len());
    }

    #[test]
    fn no_stations_give_only_bad_lines() {
        let start = CivilDay::new(2023, 1, 1).expect("an existing day");
        let mut generator = Generator::new(1, start, &[]);
        let mut lines = Vec::new();
        (0..365).for_each(|_| generator.next_day(&mut lines));
        assert_eq!(lines.len() as u64, generator.bad_lines());
    }
}
