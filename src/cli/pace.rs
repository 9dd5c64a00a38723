//! The pace at which records are sent: as fast as possible, at a rate, or in bursts.

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const DAY_SECONDS: f64 = 86_400.0;

/// A number of records per time: `1000/s`, `1000` (a second), `500/1s`, `30/1m`, `5/250ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) records: u64,
    pub(super) per: Duration,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?}: expected records per time, such as 1000/s or 500/1s");
        let (records, time) = text.split_once('/').unwrap_or((text, "s"));
        let records: u64 = records.trim().replace(['_', ','], "").parse().map_err(|_| expected())?;
        let time = time.trim();
        let digits = time.find(|c: char| !c.is_ascii_digit()).unwrap_or(time.len());
        let count: u64 = if digits == 0 { 1 } else { time[..digits].parse().map_err(|_| expected())? };
        let unit = match &time[digits..] {
            "ms" => Duration::from_millis(1),
            "s" | "" => Duration::from_secs(1),
            "m" | "min" => Duration::from_secs(60),
            "h" => Duration::from_secs(3_600),
            _ => return Err(expected()),
        };
        let per = u32::try_from(count).ok().and_then(|count| unit.checked_mul(count)).ok_or_else(expected)?;
        if records == 0 || per.is_zero() {
            return Err(expected());
        }
        Ok(Self { records, per })
    }
}

/// Days or hours of the records' own calendar per time: `1day/s`, `7days/s`, `1day/250ms`, `1h/s`, `6hours/s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Calendar {
    day: Duration,
}

impl FromStr for Calendar {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?}: expected days or hours per time, such as 1day/s or 1h/s");
        let (span, time) = text.split_once('/').ok_or_else(expected)?;
        let span = span.trim().trim_end_matches('s');
        let units = [("day", 1), ("hour", 24), ("h", 24)];
        let unit = units.iter().find_map(|(unit, of_day)| Some((span.strip_suffix(unit)?, *of_day)));
        let (count, of_day) = unit.ok_or_else(expected)?;
        let count = if count.trim().is_empty() { "1" } else { count.trim() };
        let rate: Rate = format!("{count}/{time}").parse().map_err(|_| expected())?;
        let day = rate.per.as_secs_f64() * f64::from(of_day) / rate.records as f64;
        Duration::try_from_secs_f64(day).map(|day| Self { day }).map_err(|_| expected())
    }
}

impl Calendar {
    /// When to send a record whose time is this many seconds after that of the first one.
    pub(super) fn after(self, seconds: i64) -> Duration {
        let due = self.day.as_secs_f64() * seconds.max(0) as f64 / DAY_SECONDS;
        Duration::try_from_secs_f64(due).unwrap_or(Duration::MAX)
    }
}

/// When to send the next record.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// At once.
    Unbounded,
    /// Evenly.
    Even(Rate),
    /// This many at once, then a pause, like the talk's fake stream.
    Bursts(Rate),
}

impl Pace {
    /// The pace from the values of `--rate` and `--burst`.
    pub(super) fn new(rate: Option<Rate>, burst: Option<Rate>) -> Self {
        match (rate, burst) {
            (Some(rate), _) => Self::Even(rate),
            (_, Some(rate)) => Self::Bursts(rate),
            _ => Self::Unbounded,
        }
    }

    /// How long to wait when `sent` records have been sent since `start`.
    pub(super) fn wait(&self, sent: u64, start: Instant) -> Duration {
        let due = match self {
            Self::Unbounded => return Duration::ZERO,
            Self::Even(rate) => rate.per.mul_f64(sent as f64 / rate.records as f64),
            Self::Bursts(rate) => {
                rate.per.saturating_mul(u32::try_from(sent / rate.records).unwrap_or(u32::MAX))
            }
        };
        due.saturating_sub(start.elapsed())
    }

    /// Sleeps until the next record may be sent, and calls `meanwhile` from time to time. Returns `false` if `stop`
    /// was set.
    pub(super) fn wait_turn(
        &self,
        sent: u64,
        start: Instant,
        stop: &AtomicBool,
        mut meanwhile: impl FnMut(),
    ) -> bool {
        loop {
            if stop.load(Ordering::Relaxed) {
                return false;
            }
            let wait = self.wait(sent, start);
            if wait.is_zero() {
                return true;
            }
            meanwhile();
            std::thread::sleep(wait.min(Duration::from_millis(100)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        let rate = |text: &str| text.parse::<Rate>();
        assert_eq!(rate("1000/s"), Ok(Rate { records: 1_000, per: Duration::from_secs(1) }));
        assert_eq!(rate("1_000"), rate("1000/1s"));
        assert_eq!(rate("500/250ms"), Ok(Rate { records: 500, per: Duration::from_millis(250) }));
        assert_eq!(rate("30/1m"), Ok(Rate { records: 30, per: Duration::from_secs(60) }));
        for wrong in ["", "fast", "0/s", "5/0s", "5/fortnight", "-1/s"] {
            assert!(rate(wrong).unwrap_err().contains("1000/s"), "{wrong}");
        }
    }

    #[test]
    fn calendars_are_read() {
        let day = |text: &str| text.parse::<Calendar>().map(|calendar| calendar.after(3 * 86_400));
        assert_eq!(day("1day/s"), Ok(Duration::from_secs(3)));
        assert_eq!(day("10days/s"), Ok(Duration::from_millis(300)));
        assert_eq!(day("day/500ms"), Ok(Duration::from_millis(1_500)));
        assert_eq!(day("1h/s"), Ok(Duration::from_secs(72)));
        assert_eq!(day("6 hours/s"), Ok(Duration::from_secs(12)));
        assert_eq!("1h/s".parse::<Calendar>().map(|hour| hour.after(1_800)), Ok(Duration::from_millis(500)));
        for wrong in ["", "1/s", "day", "0days/s", "1day/never", "1week/s"] {
            assert!(day(wrong).unwrap_err().contains("1day/s"), "{wrong}");
        }
    }

    #[test]
    fn bursts_go_at_once_and_then_pause() {
        let start = Instant::now();
        let bursts = Pace::Bursts(Rate { records: 500, per: Duration::from_secs(10) });
        assert_eq!(bursts.wait(499, start), Duration::ZERO);
        assert!(bursts.wait(500, start) > Duration::from_secs(9));
        let even = Pace::Even(Rate { records: 10, per: Duration::from_secs(10) });
        assert!(even.wait(5, start) > Duration::from_secs(4));
        assert_eq!(Pace::Unbounded.wait(1_000, start), Duration::ZERO);
    }
}
