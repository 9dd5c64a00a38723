//! Calendar days, small and quick to read: one for each line of a file.

use std::fmt;

/// A calendar day, from 0001-01-01 to 9999-12-31, without a time zone: GHCN-Daily days are local days of
/// the station.
///
/// Four bytes, ordered by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    // The order of the fields makes the derived order the order of time.
    year: u16,
    month: u8,
    day: u8,
}

const MS_PER_DAY: i64 = 24 * 60 * 60 * 1000;

impl Date {
    /// The day of this year, month and day of the month; `None` if the calendar has no such day.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Date> {
        let exists = (1..=9999).contains(&year) && day >= 1 && day <= days_in_month(year, month);
        exists.then_some(Date { year, month, day })
    }

    /// Reads NOAA's form of eight digits, `20160224`. `None` for any other form and for a day that does
    /// not exist, such as 20150229.
    pub fn parse_compact(text: &[u8]) -> Option<Date> {
        let [y1, y2, y3, y4, m1, m2, d1, d2] = <[u8; 8]>::try_from(text).ok()?;
        let year = 100 * u16::from(two_digits(y1, y2)?) + u16::from(two_digits(y3, y4)?);
        Date::new(year, two_digits(m1, m2)?, two_digits(d1, d2)?)
    }

    /// Reads `2016-02-24`, also followed by a time of day (`T00:00:00`, seconds and their fraction
    /// optional) and by `Z` or an offset. The time is checked for its form and dropped: the result is the
    /// day as written. `None` for any other form and for a day that does not exist.
    pub fn parse_iso(text: &str) -> Option<Date> {
        let (date, time) = text.as_bytes().split_at_checked(10)?;
        let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = date else { return None };
        let date = Date::parse_compact(&[y1, y2, y3, y4, m1, m2, d1, d2])?;
        match time {
            // The form of frostline and the talk.
            [] | b"T00:00:00" => Some(date),
            [b'T' | b't' | b' ', time @ ..] if is_time_of_day(time) => Some(date),
            _ => None,
        }
    }

    /// The day that many days after 1970-01-01 (before, when negative); `None` outside the years 1 to 9999.
    pub fn from_days_since_1970(days: i32) -> Option<Date> {
        // Years are counted from March, so that the leap day is the last of a year; 400 years ("era") always have
        // 146,097 days. There are 719,468 days between 0000-03-01 and 1970-01-01.
        let days = i64::from(days) + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Date::new(u16::try_from(year).ok()?, u8::try_from(month).ok()?, u8::try_from(day).ok()?)
    }

    /// Days since 1970-01-01; negative before it.
    pub fn days_since_1970(self) -> i32 {
        let (month, day) = (i32::from(self.month), i32::from(self.day));
        let year = i32::from(self.year) - i32::from(month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let month_from_march = (month + 9) % 12;
        let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
        let day_of_era = 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }

    /// The day this many days later, or earlier if negative; `None` outside the years 1 to 9999.
    pub fn plus_days(self, days: i32) -> Option<Date> {
        Date::from_days_since_1970(self.days_since_1970().checked_add(days)?)
    }

    /// The UTC day of an instant in milliseconds since 1970, which is how Kafka stamps records; `None`
    /// outside the years 1 to 9999.
    pub fn from_unix_ms(unix_ms: i64) -> Option<Date> {
        Date::from_days_since_1970(i32::try_from(unix_ms.div_euclid(MS_PER_DAY)).ok()?)
    }

    /// The year, 1 to 9999.
    pub fn year(self) -> u16 {
        self.year
    }

    /// The month, 1 to 12.
    pub fn month(self) -> u8 {
        self.month
    }

    /// The day of the month, 1 to 31.
    pub fn day(self) -> u8 {
        self.day
    }

    /// Four bytes that sort in the order of days, for the keys of a store.
    pub fn to_be_bytes(self) -> [u8; 4] {
        let [high, low] = self.year.to_be_bytes();
        [high, low, self.month, self.day]
    }

    /// The day that [`Date::to_be_bytes`] wrote; `None` for invalid bytes.
    pub fn from_be_bytes([high, low, month, day]: [u8; 4]) -> Option<Date> {
        Date::new(u16::from_be_bytes([high, low]), month, day)
    }

    /// The eight bytes of `20160224`, NOAA's form.
    pub(super) fn to_compact_bytes(self) -> [u8; 8] {
        let [y1, y2, y3, y4, _, m1, m2, _, d1, d2] = self.to_iso_bytes();
        [y1, y2, y3, y4, m1, m2, d1, d2]
    }

    /// `20160224`, NOAA's form.
    pub fn to_compact(self) -> String {
        String::from_utf8_lossy(&self.to_compact_bytes()).into_owned()
    }

    /// The ten bytes of `2016-02-24`.
    pub fn to_iso_bytes(self) -> [u8; 10] {
        let tens = |number: u8| b'0' + number / 10 % 10;
        let ones = |number: u8| b'0' + number % 10;
        let (century, year) = ((self.year / 100) as u8, (self.year % 100) as u8);
        let Date { month, day, .. } = self;
        let [c, y, m, d] = [century, year, month, day].map(|number| [tens(number), ones(number)]);
        [c[0], c[1], y[0], y[1], b'-', m[0], m[1], b'-', d[0], d[1]]
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.to_iso_bytes()).unwrap_or_default())
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How many days the month has; 0 if there is no such month.
fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 0,
    }
}

/// The number of two ASCII digits.
fn two_digits(tens: u8, ones: u8) -> Option<u8> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| tens * 10 + ones)
}

/// Whether this is `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fraction`, with or without `Z` or `+HH:MM`.
fn is_time_of_day(text: &[u8]) -> bool {
    let in_range = |tens, ones, max| two_digits(tens, ones).is_some_and(|number| number <= max);
    let &[h1, h2, b':', m1, m2, ref rest @ ..] = text else { return false };
    let rest = match *rest {
        // 60 is a leap second.
        [b':', s1, s2, ref rest @ ..] if in_range(s1, s2, 60) => skip_fraction(rest),
        _ => rest,
    };
    in_range(h1, h2, 24)
        && in_range(m1, m2, 59)
        && match *rest {
            [] | [b'Z' | b'z'] => true,
            [b'+' | b'-', h1, h2, b':', m1, m2] => in_range(h1, h2, 23) && in_range(m1, m2, 59),
            _ => false,
        }
}

/// The text after `.` and at least one digit; the text itself if it does not start with these.
fn skip_fraction(text: &[u8]) -> &[u8] {
    let [b'.', fraction @ ..] = text else { return text };
    let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 { text } else { &fraction[digits..] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_calendar_is_checked() {
        for good in ["20160229", "20000229", "18720229", "00010101", "99991231"] {
            assert!(Date::parse_compact(good.as_bytes()).is_some(), "{good}");
        }
        for bad in
            ["20150229", "19000229", "20161301", "20160100", "20160431", "00000101", "2016010", "2016O101"]
        {
            assert!(Date::parse_compact(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn iso_dates_may_carry_a_time() {
        let day = Date::new(2016, 2, 24);
        for good in ["", "T00:00:00", "T00:00", "T23:59:60.125Z", " 07:00:00+02:00", "T00:00:00Z"] {
            assert_eq!(Date::parse_iso(&format!("2016-02-24{good}")), day, "{good}");
        }
        for bad in ["T", "T00", "T00:00:0", "T25:00:00", "T00:00:00.", "x", "T00:00:00ZZ", "Z", "é"] {
            assert_eq!(Date::parse_iso(&format!("2016-02-24{bad}")), None, "{bad}");
        }
        assert_eq!(Date::parse_iso("2016-02-30"), None);
        assert_eq!(Date::parse_iso("2016/02/24"), None);
    }

    #[test]
    fn days_are_counted_from_1970() {
        assert_eq!(Date::new(1970, 1, 1).unwrap().days_since_1970(), 0);
        assert_eq!(Date::new(2016, 2, 29).unwrap().days_since_1970(), 16_860);
        assert_eq!(Date::from_days_since_1970(-1), Date::new(1969, 12, 31));
        assert_eq!(Date::from_days_since_1970(i32::MAX), None);
        assert_eq!(Date::from_unix_ms(-1), Date::new(1969, 12, 31));
        assert_eq!(Date::from_unix_ms(1_553_694_726_565), Date::new(2019, 3, 27));
        assert_eq!(Date::from_unix_ms(i64::MIN), None);
    }

    #[test]
    fn every_day_follows_the_day_before() {
        let first = Date::new(1, 1, 1).unwrap();
        let last = Date::new(9999, 12, 31).unwrap();
        let mut before: Option<Date> = None;
        for days in first.days_since_1970()..=last.days_since_1970() {
            let day = Date::from_days_since_1970(days).unwrap();
            assert_eq!(day.days_since_1970(), days);
            assert!(before < Some(day));
            before = Some(day);
        }
        assert_eq!(before, Some(last));
    }

    #[test]
    fn display_pads_with_zeros() {
        assert_eq!(Date::new(872, 3, 4).unwrap().to_string(), "0872-03-04");
        assert_eq!(size_of::<Date>(), 4);
    }

    proptest! {
        #[test]
        fn forms_read_back_and_sort(a in -719_162..2_932_896i32, b in -719_162..2_932_896i32) {
            let (day, other) = (Date::from_days_since_1970(a).unwrap(), Date::from_days_since_1970(b).unwrap());
            prop_assert_eq!(Date::from_be_bytes(day.to_be_bytes()), Some(day));
            prop_assert_eq!(Date::parse_iso(&day.to_string()), Some(day));
            prop_assert_eq!(day.cmp(&other), day.to_be_bytes().cmp(&other.to_be_bytes()));
            prop_assert_eq!(day.cmp(&other), a.cmp(&b));
        }

        #[test]
        fn nothing_panics(bytes: Vec<u8>, text: String, days: i32, ms: i64) {
            let _ = (Date::parse_compact(&bytes), Date::parse_iso(&text));
            let _ = (Date::from_days_since_1970(days), Date::from_unix_ms(ms));
        }
    }
}
