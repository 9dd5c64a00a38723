//! Formats of times and dates that the services use.

use std::time::{Duration, UNIX_EPOCH};

use crate::noaa::Date;

pub(super) const MINUTE: i64 = 60;
pub(super) const HOUR: i64 = 3_600;
pub(super) const DAY: i64 = 86_400;

/// Impossible days are far away from all times of the simulation.
const EPOCH: (u16, u8, u8) = (1970, 1, 1);

/// The day in UTC of a time, in seconds since 1970.
pub(super) fn date_of(time: i64) -> Date {
    date_of_day(time.div_euclid(DAY))
}

/// The day with this number, counted from 1970-01-01; 1970-01-01 itself if it is outside the calendar.
pub(super) fn date_of_day(day: i64) -> Date {
    let epoch = || Date::new(EPOCH.0, EPOCH.1, EPOCH.2);
    let date = i32::try_from(day).ok().and_then(Date::from_days_since_1970).or_else(epoch);
    date.unwrap_or_else(|| unreachable!("1970-01-01 is a day"))
}

/// The number of a day, counted from 1970-01-01.
pub(super) fn day_of(date: Date) -> i64 {
    i64::from(date.days_since_1970())
}

/// Day of the month, hour and minute in UTC.
pub(super) fn utc_parts(time: i64) -> (u8, i64, i64) {
    let seconds = time.rem_euclid(DAY);
    (date_of(time).day(), seconds / HOUR, seconds % HOUR / MINUTE)
}

/// `2026-11-28 17:53`, as in Apache's listings.
pub(super) fn listed(time: i64) -> String {
    let (_, hour, minute) = utc_parts(time);
    format!("{} {hour:02}:{minute:02}", date_of(time))
}

/// `2026-11-28T17:53:00+00:00`.
pub(super) fn offset_form(time: i64) -> String {
    crate::hourly::iso_time(time).replace('Z', "+00:00")
}

/// `Sat, 28 Nov 2026 17:53:00 GMT`.
pub(super) fn http_date(time: i64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(time.max(0).cast_unsigned()))
}

/// Parses the same form into seconds since 1970.
pub(super) fn parse_http_date(text: &str) -> Option<i64> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_are_as_the_services_have_them() {
        let time = 1_795_888_380;
        assert_eq!(offset_form(time), "2026-11-28T17:53:00+00:00");
        assert_eq!(listed(time), "2026-11-28 17:53");
        assert_eq!(http_date(time), "Sat, 28 Nov 2026 17:53:00 GMT");
        assert_eq!(parse_http_date(&http_date(time)), Some(time));
        assert_eq!((date_of(time).to_compact(), utc_parts(time)), ("20261128".to_owned(), (28, 17, 53)));
        assert_eq!(date_of_day(day_of(date_of(time))), date_of(time));
        assert_eq!(date_of_day(i64::MAX), date_of(0));
    }
}
