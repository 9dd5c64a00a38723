//! Just enough calendar for a generator that goes day by day.

use std::fmt;

/// A day of the Gregorian calendar. It prints as GHCN-Daily writes dates: `20240215`.
///
/// The field types are those of `jiff::civil::Date`, so that one is made of the other easily.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CivilDay {
    year: i16,
    month: i8,
    day: i8,
}

impl CivilDay {
    /// The given day, or `None` if no such day exists or the year has not one to four digits.
    pub const fn new(year: i16, month: i8, day: i8) -> Option<Self> {
        let exists = year >= 1 && year <= 9999 && month >= 1 && month <= 12;
        if exists && day >= 1 && day <= days_in_month(year, month) {
            Some(Self { year, month, day })
        } else {
            None
        }
    }

    /// The year, 1 to 9999.
    pub const fn year(self) -> i16 {
        self.year
    }

    /// The month, 1 to 12.
    pub const fn month(self) -> i8 {
        self.month
    }

    /// The day of the month, 1 to 31.
    pub const fn day(self) -> i8 {
        self.day
    }

    /// The day after.
    pub const fn next(self) -> Self {
        let Self { year, month, day } = self;
        if day < days_in_month(year, month) {
            Self { year, month, day: day + 1 }
        } else if month < 12 {
            Self { year, month: month + 1, day: 1 }
        } else {
            Self { year: year + 1, month: 1, day: 1 }
        }
    }

    /// 1 for 1 January, 365 or 366 for 31 December.
    pub fn day_of_year(self) -> u16 {
        let before: i16 = (1..self.month).map(|month| i16::from(days_in_month(self.year, month))).sum();
        (before + i16::from(self.day)).unsigned_abs()
    }

    /// Whether tomorrow is 29 February.
    pub const fn is_leap_eve(self) -> bool {
        self.month == 2 && self.day == 28 && is_leap(self.year)
    }
}

impl fmt::Display for CivilDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}{:02}{:02}", self.year, self.month, self.day)
    }
}

const fn is_leap(year: i16) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in_month(year: i16, month: i8) -> i8 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(year: i16, month: i8, day: i8) -> CivilDay {
        CivilDay::new(year, month, day).expect("an existing day")
    }

    #[test]
    fn only_existing_days_can_be_made() {
        assert!(CivilDay::new(2024, 2, 29).is_some());
        for (y, m, d) in
            [(2023, 2, 29), (1900, 2, 29), (2024, 2, 30), (2024, 4, 31), (2024, 13, 1), (2024, 0, 1)]
        {
            assert_eq!(CivilDay::new(y, m, d), None);
        }
        assert_eq!((CivilDay::new(2024, 1, 0), CivilDay::new(0, 1, 1)), (None, None));
    }

    #[test]
    fn next_crosses_months_years_and_leap_days() {
        assert_eq!(day(2024, 2, 28).next(), day(2024, 2, 29));
        assert_eq!(day(2024, 2, 29).next(), day(2024, 3, 1));
        assert_eq!(day(2023, 2, 28).next(), day(2023, 3, 1));
        assert_eq!(day(2023, 12, 31).next(), day(2024, 1, 1));
        assert!(day(2000, 2, 28).is_leap_eve() && !day(1900, 2, 28).is_leap_eve());
    }

    #[test]
    fn day_of_year_counts_the_leap_day() {
        assert_eq!((day(2024, 1, 1).day_of_year(), day(2024, 12, 31).day_of_year()), (1, 366));
        assert_eq!((day(2023, 3, 1).day_of_year(), day(2023, 12, 31).day_of_year()), (60, 365));
    }

    #[test]
    fn prints_as_the_files_write_it() {
        assert_eq!(day(2024, 2, 5).to_string(), "20240205");
        assert_eq!(day(33, 12, 5).to_string(), "00331205");
    }
}
