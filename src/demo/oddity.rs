//! What goes wrong in a real feed: lines that nobody can use, and readings that failed quality control.

use super::network::Reading;
use super::{CivilDay, DemoStation, Line};

/// A station id of the right shape that stands in no inventory. Its lines can only become dead letters.
pub const UNKNOWN_STATION: &str = "ZZ000000001";

/// Where the false frost happens, as it did in June 2016.
const SELIGMAN: &str = "USC00027716";

/// Days from one bad line to the next: about ten a year, and never two on one day.
const BAD_LINE_GAP_DAYS: std::ops::RangeInclusive<u32> = 24..=48;

/// Share of station-days with a reading that failed quality control.
const SPOILED_SHARE: f64 = 0.002;

/// Writes an unusable line from time to time, the kinds taking turns so that every year has each of them.
#[derive(Debug, Clone)]
pub(super) struct BadLines {
    days_to_next: u32,
    written: u64,
}

impl BadLines {
    pub(super) fn new(rng: &mut fastrand::Rng) -> Self {
        Self { days_to_next: rng.u32(BAD_LINE_GAP_DAYS), written: 0 }
    }

    /// Lines written so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// The bad line of `day`, if it is time for one.
    pub(super) fn advance(&mut self, day: CivilDay, rng: &mut fastrand::Rng) -> Option<Line> {
        self.days_to_next -= 1;
        if self.days_to_next > 0 {
            return None;
        }
        self.days_to_next = rng.u32(BAD_LINE_GAP_DAYS);
        let line = bad_line(self.written, day);
        self.written += 1;
        Some(line)
    }
}

/// Every other line is well formed but of an unknown station, the others are unreadable.
fn bad_line(turn: u64, day: CivilDay) -> Line {
    let (station_id, text) = match turn % 6 {
        1 => ("USC00020080", format!("USC00020080,{:04}0230,TMIN,12,,,7,", day.year())),
        3 => {
            // The last digit of the date and all that follows got lost.
            let mut cut = format!("USW00003192,{day}");
            cut.pop();
            ("USW00003192", cut)
        }
        5 => (SELIGMAN, format!("{SELIGMAN},{day},TOBS,abc,,,7,0700")),
        _ => (UNKNOWN_STATION, format!("{UNKNOWN_STATION},{day},TMIN,-5,,,S,")),
    };
    Line { station_id, text }
}

/// Lets a reading fail quality control on some days, and always on Seligman's day in June.
///
/// The flag says that the value is not to be believed; a program that ignores it raises false alarms.
pub(super) fn spoil(
    readings: &mut Vec<Reading>,
    station: &DemoStation,
    day: CivilDay,
    rng: &mut fastrand::Rng,
) {
    // Drawn on every day, so that the false frost does not shift the dice of the other days.
    let unlucky = rng.f64() < SPOILED_SHARE;
    let kind = rng.u8(0..3);
    if station.id == SELIGMAN && (day.month(), day.day()) == (6, 15) {
        false_frost(readings);
    } else if unlucky {
        match kind {
            0 => flag(readings, "TMIN", "S", |value| value - 180),
            1 => flag(readings, "TMIN", "I", |value| value + 400),
            _ => flag(readings, "TMAX", "X", |_| 888),
        }
    }
}

/// −4.4 °C in June, known to be wrong since the neighbours had nothing like it.
fn false_frost(readings: &mut Vec<Reading>) {
    readings.retain(|r| r.element != "TMIN");
    // After TMAX, where TMIN always stands, or first if there is no TMAX either.
    let place = usize::from(readings.first().is_some_and(|r| r.element == "TMAX"));
    let mut frost = Reading::new("TMIN", -44, "7");
    frost.quality_flag = "S";
    readings.insert(place, frost);
}

fn flag(readings: &mut [Reading], element: &str, quality_flag: &'static str, absurd: impl Fn(i32) -> i32) {
    if let Some(reading) = readings.iter_mut().find(|r| r.element == element) {
        reading.value = absurd(reading.value);
        reading.quality_flag = quality_flag;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_take_turns() {
        let day = CivilDay::new(2024, 3, 10).expect("an existing day");
        let texts: Vec<String> = (0..6).map(|turn| bad_line(turn, day).text).collect();
        let unknown = "ZZ000000001,20240310,TMIN,-5,,,S,";
        assert_eq!(
            texts,
            [
                unknown,
                "USC00020080,20240230,TMIN,12,,,7,",
                unknown,
                "USW00003192,2024031",
                unknown,
                "USC00027716,20240310,TOBS,abc,,,7,0700",
            ]
        );
    }

    #[test]
    fn about_ten_bad_lines_a_year_of_every_kind() {
        for seed in 0..50 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut bad = BadLines::new(&mut rng);
            let mut day = CivilDay::new(2023, 1, 1).expect("an existing day");
            for _ in 0..365 {
                bad.advance(day, &mut rng);
                day = day.next();
            }
            assert!((7..=15).contains(&bad.written()), "{} with seed {seed}", bad.written());
        }
    }
}
