//! The climate of a place: its seasons, and its usual day.

use super::random::Random;
use crate::noaa::Date;

/// Coldest day of the year in the north, counted from 1 January.
const COLDEST_DAY: f64 = 17.0;
/// Days of a year, on average.
const YEAR_DAYS: f64 = 365.25;
/// Air this much higher is one degree colder, in metres.
const METRES_PER_DEGREE: f64 = 160.0;

/// The climate of a station. Temperatures in °C.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Climate {
    /// Annual mean.
    pub(super) mean_c: f64,
    /// Half of the difference between the warmest and the coldest time of the year; negative in the south,
    /// where the seasons are reversed.
    pub(super) swing_c: f64,
    /// Difference between the day's maximum and minimum.
    pub(super) day_range_c: f64,
    /// Share of days with rain or snow, 0 to 1.
    pub(super) wet_days: f64,
}

impl Climate {
    /// The climate of a place: latitude in degrees, height in metres, share of days with rain or snow.
    pub(super) fn of(latitude: f64, height_m: f64, wet_days: f64, random: &mut Random) -> Self {
        let from_equator = latitude.abs();
        let sea_level_c = 28.0 - 0.0075 * from_equator * from_equator;
        let swing_c = (1.0 + 0.27 * from_equator) * (0.75 + 0.4 * random.share());
        Self {
            mean_c: sea_level_c - height_m / METRES_PER_DEGREE + random.normal(),
            swing_c: if latitude < 0.0 { -swing_c } else { swing_c },
            // Under a dry sky days are hot and nights cold.
            day_range_c: 15.0 - 14.0 * wet_days + 3.0 * random.share(),
            wet_days: wet_days * (0.8 + 0.4 * random.share()),
        }
    }
}

/// The phase of the northern year on a date: -1 in midwinter, 1 in midsummer.
pub(super) fn northern_season(date: Date) -> f64 {
    let new_year = Date::new(date.year(), 1, 1).unwrap_or(date);
    season(f64::from(date.days_since_1970() - new_year.days_since_1970() + 1))
}

/// The same for a day of the year, 1 on 1 January. Adding or subtracting a year does not matter.
pub(super) fn season(day_of_year: f64) -> f64 {
    let from_winter = (day_of_year - COLDEST_DAY).rem_euclid(YEAR_DAYS) / YEAR_DAYS;
    // 0 in winter, 1 half a year later, rounded at both: close to a cosine, and the same on every machine.
    let warmth = 1.0 - (2.0 * from_winter - 1.0).abs();
    2.0 * warmth * warmth * (3.0 - 2.0 * warmth) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_year_goes_up_and_down_smoothly() {
        let season = |month: u8, day: u8| northern_season(Date::new(2023, month, day).unwrap());
        assert!(season(1, 17) < -0.999 && season(7, 18) > 0.999);
        assert!(season(4, 17).abs() < 0.1 && season(10, 17).abs() < 0.1);
        assert!((season(12, 31) - season(1, 1)).abs() < 0.01);
    }
}
