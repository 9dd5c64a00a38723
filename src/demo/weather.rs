//! The invented weather of one station: a sine for the season, and days that remember the day before.

use super::{CivilDay, DemoStation};
use std::f64::consts::TAU;

/// How much of a day's deviation from the season is left on the next: makes spells of about four days.
const MEMORY: f64 = 0.78;
/// The same for rain: a wet day makes the next more likely wet.
const WET_MEMORY: f64 = 0.35;
/// Deviations end here, in standard deviations; keeps Vostok above the coldest air ever measured.
const LIMIT: f64 = 2.6;
/// Coldest day of the year in the north, counted from 1 January.
const COLDEST_DAY: f64 = 17.0;

/// What a station measured on one day; °C and mm.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weather {
    pub(super) max_c: f64,
    pub(super) min_c: f64,
    /// Rain, or the water of the snow.
    pub(super) water_mm: f64,
    /// Depth of the fresh snow.
    pub(super) fresh_snow_mm: f64,
    /// Depth of all snow on the ground.
    pub(super) snow_depth_mm: f64,
}

/// What one day hands to the next.
#[derive(Debug, Clone)]
pub(super) struct Climatology {
    /// Deviation from the season, in standard deviations.
    deviation: f64,
    wet: bool,
    snow_depth_mm: f64,
}

impl Climatology {
    /// Starts in the middle of some spell, so that the first days are not all average.
    pub(super) fn new(station: &DemoStation, rng: &mut fastrand::Rng) -> Self {
        Self { deviation: normal(rng), wet: rng.f64() < station.climate.wet_days, snow_depth_mm: 0.0 }
    }

    /// Moves one day on, to `day`.
    pub(super) fn advance(
        &mut self,
        station: &DemoStation,
        day: CivilDay,
        rng: &mut fastrand::Rng,
    ) -> Weather {
        let climate = &station.climate;
        self.deviation = MEMORY * self.deviation + (1.0 - MEMORY * MEMORY).sqrt() * normal(rng);
        let wet_chance = climate.wet_days * (1.0 - WET_MEMORY) + if self.wet { WET_MEMORY } else { 0.0 };
        self.wet = rng.f64() < wet_chance;

        let season = season(station, day);
        // Winters are the more changeable half of the year.
        let spread = (1.0 + 0.18 * climate.swing_c) * (0.8 - 0.2 * season);
        let mean = climate.mean_c + climate.swing_c * season + spread * self.deviation.clamp(-LIMIT, LIMIT);
        // Clouds keep the day cool and the night warm.
        let range = climate.day_range_c * if self.wet { 0.65 } else { 0.9 + 0.3 * rng.f64() };
        let water_mm = if self.wet { wet_day_mm(mean, rng) } else { 0.0 };
        let fresh_snow_mm = if mean < 1.0 { 10.0 * water_mm } else { 0.0 };
        self.snow_depth_mm = settle(self.snow_depth_mm, mean) + fresh_snow_mm;

        let (max_c, min_c) = (mean + range / 2.0, mean - range / 2.0);
        Weather { max_c, min_c, water_mm, fresh_snow_mm, snow_depth_mm: self.snow_depth_mm }
    }
}

/// -1 in the depth of winter, 1 at the height of summer.
fn season(station: &DemoStation, day: CivilDay) -> f64 {
    let north = -(TAU * (f64::from(day.day_of_year()) - COLDEST_DAY) / 365.25).cos();
    if station.latitude < 0.0 { -north } else { north }
}

/// Exponential, as daily rain roughly is; cold air carries less.
fn wet_day_mm(mean_c: f64, rng: &mut fastrand::Rng) -> f64 {
    let typical = (5.0 + 0.2 * mean_c).clamp(0.4, 10.0);
    // 1 - f64() is never 0, so the logarithm is finite.
    (-typical * (1.0 - rng.f64()).ln()).min(150.0)
}

/// Snow loses a few percent by its own weight, and melts by the degree.
fn settle(depth_mm: f64, mean_c: f64) -> f64 {
    (depth_mm * 0.97 - 20.0 * (mean_c + 1.0).max(0.0)).max(0.0)
}

/// Close to a normal deviate: fastrand has none, and its tails are cut later anyway.
pub(super) fn normal(rng: &mut fastrand::Rng) -> f64 {
    (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::STATIONS;

    fn year_of(id: &str) -> Vec<Weather> {
        let station = STATIONS.iter().find(|s| s.id == id).expect("a station of the table");
        let mut rng = fastrand::Rng::with_seed(7);
        let mut state = Climatology::new(station, &mut rng);
        let mut day = CivilDay::new(2023, 1, 1).expect("an existing day");
        let mut year = Vec::new();
        for _ in 0..365 {
            year.push(state.advance(station, day, &mut rng));
            day = day.next();
        }
        year
    }

    fn mean_min(days: &[Weather]) -> f64 {
        days.iter().map(|w| w.min_c).sum::<f64>() / days.len() as f64
    }

    #[test]
    fn seasons_are_reversed_in_the_south() {
        let (kyiv, sydney) = (year_of("UPM00033345"), year_of("ASN00066062"));
        assert!(mean_min(&kyiv[..31]) + 15.0 < mean_min(&kyiv[181..212]));
        assert!(mean_min(&sydney[..31]) > mean_min(&sydney[181..212]) + 5.0);
    }

    #[test]
    fn cold_comes_in_spells() {
        // From 1 January on the season hardly changes, so that what varies is the weather. Without memory,
        // neighbouring days would differ as much as any two days do, and the ratio would be near 1.
        let days: Vec<f64> =
            year_of("USW00003103")[..60].iter().map(|w| f64::midpoint(w.min_c, w.max_c)).collect();
        let mean = days.iter().sum::<f64>() / days.len() as f64;
        let between_neighbours: f64 = days.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)).sum();
        let overall: f64 = days.iter().map(|c| (c - mean).powi(2)).sum();
        let ratio = between_neighbours / (2.0 * overall);
        assert!(ratio < 0.5, "{ratio}");
    }

    #[test]
    fn snow_lies_in_winter_and_melts() {
        let year = year_of("FI000007501");
        assert!(year[30..90].iter().all(|w| w.snow_depth_mm > 0.0));
        assert!(year[190..220].iter().all(|w| w.snow_depth_mm == 0.0));
        assert!(year.iter().all(|w| w.min_c < w.max_c && w.water_mm >= 0.0));
    }
}
