//! The irregularities of a real feed: lines out of order, repeated or unusable, and a false frost.
//!
//! Everything works on the regular lines of a whole day.

use super::random::Random;
use crate::noaa::{Date, StationId};

/// A valid station id that is in no inventory. Its lines can only become dead letters.
pub const UNKNOWN_STATION: &str = "ZZ000000001";
/// The place of the false frost, which happened in June 2016.
const SELIGMAN: &str = "USC00027716";
/// Fewest and most days between two bad lines: about ten a year, and never two on one day.
const BAD_LINE_GAP_DAYS: (u32, u32) = (24, 48);
/// Share of station-days of which some lines come only after another station's.
const SPLIT_SHARE: f64 = 0.0007;
/// Share of station-days with one line written twice.
const REPEATED_SHARE: f64 = 0.0004;
/// On a leap day the lines of every n-th station alternate with those of the previous day.
const INTERLEAVED_EVERY: usize = 3;
/// The random numbers of the oddities are independent of those of stations.
const NO_STATION: u64 = u64::MAX - 1;

/// A line of a file or the value of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The station that it belongs to, even if the text is truncated: the key of its record.
    pub station: StationId,
    /// Without an end of line.
    pub text: String,
}

/// The lines of one day, by stations.
pub(super) type Day = (Date, Vec<Vec<Line>>);

/// Adds oddities to days, one after the other.
pub(super) struct Oddities {
    random: Random,
    days_to_bad_line: u32,
    /// Lines written so far.
    pub(super) bad_lines: u64,
}

impl Oddities {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, NO_STATION, 0);
        Self { days_to_bad_line: gap(&mut random), random, bad_lines: 0 }
    }

    /// A day on which some stations are delayed: the rest of their lines come after those of the next station.
    pub(super) fn mix(&mut self, (date, stations): Day) -> Vec<Line> {
        let (mut out, mut held_back) = (Vec::new(), Vec::new());
        for mut lines in stations {
            self.alter(date, &mut lines);
            let is_split = lines.len() > 1 && self.random.share() < SPLIT_SHARE;
            let rest = if is_split { lines.split_off(1) } else { Vec::new() };
            out.append(&mut lines);
            out.append(&mut held_back);
            held_back = rest;
        }
        out.append(&mut held_back);
        self.add_bad_line(date, &mut out);
        out
    }

    /// 28 and 29 February. The dates alternate in the middle part, as in NOAA's file of 1872.
    pub(super) fn mix_leap_day(&mut self, eve: Day, leap_day: Day) -> Vec<Line> {
        let (mut out, mut mixed, mut later) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (mut of_eve, mut of_leap_day)) in eve.1.into_iter().zip(leap_day.1).enumerate() {
            self.alter(eve.0, &mut of_eve);
            self.alter(leap_day.0, &mut of_leap_day);
            if index % INTERLEAVED_EVERY == 0 {
                alternate(of_eve, of_leap_day, &mut mixed);
            } else {
                out.append(&mut of_eve);
                later.append(&mut of_leap_day);
            }
        }
        out.append(&mut mixed);
        out.append(&mut later);
        self.add_bad_line(eve.0, &mut out);
        self.add_bad_line(leap_day.0, &mut out);
        out
    }

    /// The oddities in the lines of one station.
    fn alter(&mut self, date: Date, lines: &mut Vec<Line>) {
        let is_seligman = lines.first().is_some_and(|line| line.station.as_str() == SELIGMAN);
        if is_seligman && (date.month(), date.day()) == (6, 15) {
            false_frost(date, lines);
        }
        if self.random.share() < REPEATED_SHARE && !lines.is_empty() {
            let index = self.random.below(lines.len() as u32) as usize;
            lines.insert(index, lines[index].clone());
        }
    }

    /// Inserts an unusable line at a random place, if one is due. The kinds alternate, so that every year has each of
    /// them.
    fn add_bad_line(&mut self, date: Date, out: &mut Vec<Line>) {
        self.days_to_bad_line -= 1;
        if self.days_to_bad_line > 0 {
            return;
        }
        self.days_to_bad_line = gap(&mut self.random);
        if let Some(line) = line(bad_line(self.bad_lines, date)) {
            self.bad_lines += 1;
            let place = self.random.below(out.len() as u32 + 1) as usize;
            out.insert(place, line);
        }
    }
}

fn gap(random: &mut Random) -> u32 {
    let (fewest, most) = BAD_LINE_GAP_DAYS;
    fewest + random.below(most - fewest + 1)
}

/// A line of the station whose id it begins with.
fn line(text: String) -> Option<Line> {
    Some(Line { station: StationId::parse(text.as_bytes().get(..11)?)?, text })
}

/// Every other line is well formed but of an unknown station; the others are unreadable.
fn bad_line(turn: u64, date: Date) -> String {
    let (year, day) = (date.year(), date.to_compact());
    match turn % 6 {
        1 => format!("USC00020080,{year:04}0230,TMIN,12,,,7,"),
        // The last digit of the date and everything after it are missing.
        3 => format!("USW00003192,{}", &day[..7]),
        5 => format!("{SELIGMAN},{day},TOBS,abc,,,7,0700"),
        _ => format!("{UNKNOWN_STATION},{day},TMIN,-5,,,S,"),
    }
}

/// −4.4 °C in June, known to be wrong because the neighbours had nothing like it. The flag says that the value must
/// not be used; a program that ignores it raises false alarms.
fn false_frost(date: Date, lines: &mut Vec<Line>) {
    let is = |line: &Line, element: &str| line.text.get(21..25) == Some(element);
    lines.retain(|line| !is(line, "TMIN"));
    // After TMAX, where TMIN always is, or first if there is no TMAX either.
    let place = usize::from(lines.first().is_some_and(|line| is(line, "TMAX")));
    if let Some(frost) = line(format!("{SELIGMAN},{},TMIN,-44,,S,7,", date.to_compact())) {
        lines.insert(place, frost);
    }
}

/// One of each alternately; the rest of the longer one comes at the end.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_of_bad_lines_take_turns() {
        let date = Date::new(2024, 3, 10).unwrap();
        let unknown = "ZZ000000001,20240310,TMIN,-5,,,S,";
        let expected = [
            unknown,
            "USC00020080,20240230,TMIN,12,,,7,",
            unknown,
            "USW00003192,2024031",
            unknown,
            "USC00027716,20240310,TOBS,abc,,,7,0700",
        ];
        for (turn, text) in (0..).zip(expected) {
            assert_eq!(line(bad_line(turn, date)).unwrap().text, text);
        }
    }

    #[test]
    fn about_ten_bad_lines_a_year() {
        for seed in 0..50 {
            let (mut oddities, mut lines) = (Oddities::new(seed), Vec::new());
            let date = Date::new(2023, 1, 1).unwrap();
            (0..365).for_each(|_| oddities.add_bad_line(date, &mut lines));
            assert!((7..=15).contains(&oddities.bad_lines), "{} with seed {seed}", oddities.bad_lines);
            assert_eq!(lines.len() as u64, oddities.bad_lines);
        }
    }

    #[test]
    fn the_false_frost_takes_the_place_of_the_minimum() {
        let date = Date::new(2024, 6, 15).unwrap();
        let day =
            |lines: &[&str]| lines.iter().filter_map(|text| line((*text).to_owned())).collect::<Vec<_>>();
        let frost = "USC00027716,20240615,TMIN,-44,,S,7,";
        let (max, rain) = ("USC00027716,20240615,TMAX,311,,,7,0700", "USC00027716,20240615,PRCP,0,,,7,0700");
        for (before, after) in [
            (vec![max, "USC00027716,20240615,TMIN,120,,,7,0700", rain], vec![max, frost, rain]),
            (vec![rain], vec![frost, rain]),
        ] {
            let mut lines = day(&before);
            false_frost(date, &mut lines);
            assert_eq!(lines, day(&after));
        }
    }
}
