//! When an outlook is issued, and from which chance on a night is warned of.

use std::str::FromStr;

use crate::hourly::HOUR;

/// A time of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
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
            .ok_or_else(|| "expected a time between 15:00 and 09:00, as in 18:00".to_owned())
    }
}

impl Clock {
    /// Seconds after the midnight before the evening: what comes before noon is on the next day.
    pub(super) fn issued(self) -> i64 {
        let seconds = self.minutes * 60;
        if seconds < 12 * HOUR { seconds + 24 * HOUR } else { seconds }
    }
}

/// Reads a chance of the command line.
pub(super) fn chance(text: &str) -> Result<f64, String> {
    let found = text.parse::<f64>().ok().filter(|chance| (0.0..=1.0).contains(chance));
    found.ok_or_else(|| "expected a chance between 0 and 1, as in 0.3".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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
