//! The daily weather of one station, with a memory of the previous day, for the generator of lines.

use super::climate::Climate;
use super::random::Random;

/// How much of a day's deviation from the season is left on the next: gives spells of about four days.
const MEMORY: f64 = 0.78;
/// The new part of each day, which keeps the spread constant: the root of 1 - 0.78².
const NEWS: f64 = 0.625_78;
/// The same for rain: a wet day makes the next one more likely wet.
const WET_MEMORY: f64 = 0.35;

/// The state that one day passes to the next.
pub(super) struct Yesterday {
    /// Deviation from the season, in standard deviations.
    deviation: f64,
    is_wet: bool,
    snow_depth_mm: f64,
}

/// The weather at a station on one day, in the units of GHCN-Daily.
pub(super) struct DayWeather {
    /// Tenths of a degree Celsius.
    pub(super) max: i32,
    /// Tenths of a degree Celsius.
    pub(super) min: i32,
    /// Rain, or the water of the snow: tenths of a millimetre.
    pub(super) water: i32,
    /// Millimetres.
    pub(super) fresh_snow: i32,
    /// Millimetres.
    pub(super) snow_depth: i32,
    /// Mean wind, tenths of a metre per second.
    pub(super) wind: i32,
}

impl Yesterday {
    /// Starts in the middle of a spell, so that the first days are not all average. There is no snow on the ground.
    pub(super) fn new(random: &mut Random) -> Self {
        Self { deviation: random.normal(), is_wet: false, snow_depth_mm: 0.0 }
    }

    /// Moves one day on.
    pub(super) fn advance(&mut self, climate: &Climate, season: f64, random: &mut Random) -> DayWeather {
        self.deviation = MEMORY * self.deviation + NEWS * random.normal();
        let wet_chance = climate.wet_days * (1.0 - WET_MEMORY) + if self.is_wet { WET_MEMORY } else { 0.0 };
        self.is_wet = random.share() < wet_chance;

        let seasonal_c = climate.swing_c * season;
        // The weather is more changeable in winter.
        let spread_c = 1.0 + 0.17 * climate.swing_c.abs() - 0.05 * seasonal_c;
        let mean_c = climate.mean_c + seasonal_c + spread_c * self.deviation.clamp(-2.6, 2.6);
        // Clouds keep the day cool and the night warm.
        let clouds = if self.is_wet { 0.6 } else { 0.9 + 0.3 * random.share() };
        let half_range_c = climate.day_range_c * clouds / 2.0;
        let water_mm = if self.is_wet { wet_day_mm(mean_c, random) } else { 0.0 };
        let fresh_snow_mm = if mean_c < 1.0 { 10.0 * water_mm } else { 0.0 };
        self.snow_depth_mm = settled_mm(self.snow_depth_mm, mean_c) + fresh_snow_mm;
        DayWeather {
            max: whole(10.0 * (mean_c + half_range_c)),
            min: whole(10.0 * (mean_c - half_range_c)),
            water: whole(10.0 * water_mm),
            fresh_snow: whole(fresh_snow_mm),
            snow_depth: whole(self.snow_depth_mm),
            wind: whole(12.0 + 16.0 * random.normal().abs()),
        }
    }
}

/// Many small amounts and a few large ones; cold air carries less.
fn wet_day_mm(mean_c: f64, random: &mut Random) -> f64 {
    let typical = (3.5 + 0.15 * mean_c).clamp(0.4, 8.0);
    let luck = random.share();
    (typical * luck / (1.05 - luck)).min(150.0)
}

/// Snow loses a few percent by its own weight, and melts by the degree.
fn settled_mm(depth_mm: f64, mean_c: f64) -> f64 {
    (depth_mm * 0.97 - 20.0 * (mean_c + 1.0).max(0.0)).max(0.0)
}

/// To the nearest whole number.
fn whole(value: f64) -> i32 {
    // Truncation is an instruction, `round` may be a call.
    (value + if value < 0.0 { -0.5 } else { 0.5 }) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noaa::Date;
    use crate::synthetic::climate::northern_season;

    fn year(latitude: f64) -> Vec<DayWeather> {
        let mut random = Random::new(1, 0, 0);
        let climate = Climate::of(latitude, 100.0, 0.25, &mut random);
        let mut yesterday = Yesterday::new(&mut random);
        let start = Date::new(2023, 1, 1).unwrap().days_since_1970();
        let seasons = (0..365).map(|day| northern_season(Date::from_days_since_1970(start + day).unwrap()));
        seasons.map(|season| yesterday.advance(&climate, season, &mut random)).collect()
    }

    fn mean_min(days: &[DayWeather]) -> i32 {
        days.iter().map(|day| day.min).sum::<i32>() / i32::try_from(days.len()).unwrap()
    }

    #[test]
    fn seasons_are_reversed_in_the_south() {
        let (north, south) = (year(48.0), year(-48.0));
        assert!(mean_min(&north[..31]) + 150 < mean_min(&north[181..212]));
        assert!(mean_min(&south[..31]) > mean_min(&south[181..212]) + 150);
    }

    #[test]
    fn weather_is_possible() {
        for latitude in [0.0, 33.0, -48.0, 65.0, -80.0] {
            for day in year(latitude) {
                assert!(day.min < day.max && day.min > -890 && day.max < 560, "{} {}", day.min, day.max);
                assert!((0..=1_500).contains(&day.water) && (0..=600).contains(&day.wind));
                assert!(day.fresh_snow >= 0 && day.snow_depth >= day.fresh_snow);
            }
        }
        let north = year(65.0);
        assert!(north[30..60].iter().any(|day| day.snow_depth > 0));
        assert!(north[190..220].iter().all(|day| day.snow_depth == 0));
        // Cold comes in spells: neighbouring days differ less than any two days of one season.
        let jumps: Vec<i32> = north[..60].windows(2).map(|pair| (pair[1].min - pair[0].min).abs()).collect();
        assert!(jumps.iter().sum::<i32>() / 59 < 60, "{jumps:?}");
    }
}
