//! How nights are scored and printed: the common options of `outlook backtest` and `outlook score`.

use std::str::FromStr;

use clap::Args;

use super::super::units::UnitsArgument;
use super::print::Shown;
use crate::hourly::HOUR;
use crate::outlook::Issue;
use crate::rules::Unit;

/// Options for scoring.
#[derive(Args)]
pub(super) struct Scoring {
    /// Score the last outlook of each night before this local standard time
    #[arg(long, value_name = "HH:MM", default_value = "18:00")]
    issued: Clock,
    /// Score this limit, in °C or with its unit, such as 32F
    #[arg(long, value_name = "LIMIT", default_value = "0.0", value_parser = limit, allow_hyphen_values = true)]
    pub(super) limit: f64,
    /// Count a night as warned of from this chance on, 0 to 1
    #[arg(long, value_name = "CHANCE", default_value_t = 0.3, value_parser = chance)]
    chance: f64,
    #[command(flatten)]
    units: UnitsArgument,
}

impl Scoring {
    /// The outlook that counts, if observations are known this many minutes late.
    pub(super) fn issue(&self, lag_minutes: u16) -> Issue {
        Issue { issued: self.issued.issued(), lag: i64::from(lag_minutes) * 60 }
    }

    /// The print settings, with each night if requested.
    pub(super) fn shown(&self, nights: bool) -> Shown {
        Shown { limit_c: self.limit, warn_from: self.chance, nights, units: self.units.units() }
    }
}

/// `issued at 18:00 (standard time there), for 0.0 °C or less`
impl std::fmt::Display for Scoring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (hour, minute) = (self.issued.minutes / 60, self.issued.minutes % 60);
        let limit = self.units.units().limit(self.limit);
        write!(f, "issued at {hour:02}:{minute:02} (standard time there), for {limit} or less")
    }
}

/// A time of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clock {
    minutes: i64,
}

impl FromStr for Clock {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = |text: &str, end: i64| {
            text.parse::<i64>().ok().filter(|_| text.len() == 2).filter(|number| (0..end).contains(number))
        };
        let found = text.split_once(':').and_then(|(hour, minute)| read(hour, 24).zip(read(minute, 60)));
        found
            .map(|(hour, minute)| Self { minutes: hour * 60 + minute })
            .filter(|clock| !(9 * 60 + 1..15 * 60).contains(&clock.minutes))
            .ok_or_else(|| "expected a time between 15:00 and 09:00, such as 18:00".to_owned())
    }
}

impl Clock {
    /// Seconds after the midnight before the evening; times before noon are on the next day.
    fn issued(self) -> i64 {
        let seconds = self.minutes * 60;
        if seconds < 12 * HOUR { seconds + 24 * HOUR } else { seconds }
    }
}

/// A limit above this, in °C, without a unit was probably written in degrees Fahrenheit.
const UNITLESS_C_MAX: f64 = 15.0;

/// Parses a limit of the command line: in °C, or with its unit, such as `32F`.
fn limit(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let (number, is_fahrenheit) = match text.strip_suffix(['F', 'f']) {
        Some(number) => (number, true),
        None => (text.strip_suffix(['C', 'c']).unwrap_or(text), false),
    };
    let value = number.trim().trim_end_matches('°').trim_end().parse::<f64>().ok();
    let celsius = value.map(|value| if is_fahrenheit { Unit::Fahrenheit.invert(value) } else { value });
    let has_unit = number.len() < text.len();
    if let Some(value) = value.filter(|value| *value > UNITLESS_C_MAX && !has_unit) {
        return Err(format!("{value} has no unit: write {value}F or {value}C"));
    }
    // To a tenth, as stations report.
    let celsius = celsius.map(|celsius| (celsius * 10.0).round() / 10.0);
    let expected = || "expected a temperature from -90 to 60 °C, such as -2, -2C or 28F".to_owned();
    celsius.filter(|celsius| (-90.0..=60.0).contains(celsius)).ok_or_else(expected)
}

/// Parses a chance of the command line.
fn chance(text: &str) -> Result<f64, String> {
    let found = text.parse::<f64>().ok().filter(|chance| (0.0..=1.0).contains(chance));
    found.ok_or_else(|| "expected a chance between 0 and 1, such as 0.3".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_may_have_its_unit() {
        assert_eq!((limit("-2"), limit("-2.0C"), limit("32F")), (Ok(-2.0), Ok(-2.0), Ok(0.0)));
        assert_eq!(limit("28 °F"), Ok(-2.2));
        assert_eq!(limit("28"), Err("28 has no unit: write 28F or 28C".to_owned()));
        assert_eq!(limit("28C"), Ok(28.0));
        assert!(["", "F", "300F", "cold"].iter().all(|wrong| limit(wrong).is_err()));
    }

    #[test]
    fn a_time_after_midnight_is_on_the_next_day() {
        let issued = |text: &str| text.parse::<Clock>().map(Clock::issued);
        assert_eq!(issued("18:00"), Ok(18 * HOUR));
        assert_eq!(issued("03:30"), Ok(27 * HOUR + 1_800));
        for wrong in ["24:00", "12:00", "6pm", "7:00", "18:60", ""] {
            assert!(issued(wrong).is_err(), "{wrong}");
        }
    }
}
