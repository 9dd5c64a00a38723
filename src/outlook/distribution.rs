//! How cold a night may become: a cumulative distribution as a table of quantiles.
//!
//! Records of `noaa-outlooks` contain the table, so that rules, scores and the page compute the same chance from the
//! same numbers, whatever model made them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many quantiles the table has.
const LEN: usize = 19;
/// The probabilities of the quantiles.
pub const PROBABILITIES: [f64; LEN] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99,
    0.995,
];
/// The normal scores of [`PROBABILITIES`].
pub(super) const SCORES: [f64; LEN] = [
    -2.575_829, -2.326_348, -1.959_964, -1.644_854, -1.281_552, -1.036_433, -0.841_621, -0.524_401,
    -0.253_347, 0.0, 0.253_347, 0.524_401, 0.841_621, 1.036_433, 1.281_552, 1.644_854, 1.959_964, 2.326_348,
    2.575_829,
];
/// Quantiles in a document have this many steps per degree.
const STEPS: f64 = 100.0;

/// The unit of a station that reports whole degrees. Such a station reports 0 °C for anything up to 0.5 °C, so a limit
/// counts as reached half a degree above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Degrees {
    /// Whole degrees Celsius.
    C,
    /// Whole degrees Fahrenheit.
    F,
}

/// The distribution of the lowest temperature that a station will report for a night.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distribution {
    /// The quantiles of the lowest temperature in °C, ascending, as if nothing had been reported of the night yet. Their
    /// probabilities are 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975,
    /// 0.99 and 0.995.
    #[serde(deserialize_with = "ascending")]
    quantiles_c: [f64; LEN],
    /// The lowest temperature reported so far in this night, in °C: the final one is not higher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lowest_so_far_c: Option<f64>,
    /// The unit, if the station reports whole degrees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reported_in: Option<Degrees>,
}

impl Distribution {
    /// Makes a distribution from a function that gives the quantile at an index of [`PROBABILITIES`]. Values are
    /// rounded to hundredths, and made to increase.
    pub(super) fn of_places(quantile: impl FnMut(usize) -> f64) -> Self {
        let mut table: [f64; LEN] = std::array::from_fn(quantile);
        for at in 0..LEN {
            let rounded = (table[at] * STEPS).round() / STEPS;
            table[at] = if at == 0 { rounded } else { rounded.max(table[at - 1]) };
        }
        Self { quantiles_c: table, lowest_so_far_c: None, reported_in: None }
    }

    /// Makes a distribution from a function that gives the quantile of a probability.
    pub fn of(mut quantile: impl FnMut(f64) -> f64) -> Self {
        Self::of_places(|at| quantile(PROBABILITIES[at]))
    }

    /// A night whose lowest temperature is known.
    pub fn known(lowest_c: f64) -> Self {
        Self { lowest_so_far_c: Some(lowest_c), ..Self::of(|_| lowest_c) }
    }

    /// The same, with a lowest temperature that has been observed, for a station that reports in whole degrees or
    /// not.
    pub(super) fn seen(self, lowest_so_far_c: Option<f64>, reported_in: Option<Degrees>) -> Self {
        Self { lowest_so_far_c, reported_in, ..self }
    }

    /// The lowest of the night so far, in °C.
    pub fn lowest_so_far_c(&self) -> Option<f64> {
        self.lowest_so_far_c
    }

    /// A quantile at one of [`PROBABILITIES`], without regard to the lowest so far; the median for other
    /// probabilities.
    pub(super) fn place(&self, probability: f64) -> f64 {
        let at = PROBABILITIES.iter().position(|known| *known == probability);
        self.quantiles_c[at.unwrap_or(LEN / 2)]
    }

    /// The same distribution, moved by `shift` in K and stretched by `scale` around its median.
    pub(super) fn moved(&self, shift: f64, scale: f64) -> Self {
        let (table, middle) = (self.quantiles_c, self.quantiles_c[LEN / 2]);
        let moved = Self::of_places(|at| middle + shift + (table[at] - middle) * scale);
        Self { quantiles_c: moved.quantiles_c, ..*self }
    }

    /// The quantile of a probability: linear between the table's points, and the outermost point outside of them.
    pub fn quantile(&self, probability: f64) -> f64 {
        let above = PROBABILITIES.partition_point(|known| *known < probability);
        let found = if above == 0 {
            self.quantiles_c[0]
        } else if above == LEN {
            self.quantiles_c[LEN - 1]
        } else {
            let (low, high) = (PROBABILITIES[above - 1], PROBABILITIES[above]);
            let part = (probability - low) / (high - low);
            self.quantiles_c[above - 1] + part * (self.quantiles_c[above] - self.quantiles_c[above - 1])
        };
        self.lowest_so_far_c.map_or(found, |lowest| found.min(lowest))
    }

    /// The chance, 0 to 1, that the night's lowest report is `limit_c` or colder; 1 once that has happened.
    pub fn chance(&self, limit_c: f64) -> f64 {
        if self.lowest_so_far_c.is_some_and(|lowest| lowest <= limit_c) {
            return 1.0;
        }
        let reaches = match self.reported_in {
            None => limit_c,
            Some(Degrees::C) => (limit_c + 0.05).floor() + 0.5,
            Some(Degrees::F) => ((limit_c * 1.8 + 0.1).floor() + 0.5) / 1.8,
        };
        // A report that is still to come is below the lowest so far.
        let reaches =
            self.lowest_so_far_c.map_or(reaches, |lowest| reaches.min(f64::midpoint(limit_c, lowest)));
        self.below(reaches)
    }

    /// The table in the other direction. Outside of it the chance goes to 0 and 1 within as many degrees as the
    /// outermost two points are apart.
    fn below(&self, limit_c: f64) -> f64 {
        let (table, last) = (&self.quantiles_c, LEN - 1);
        if limit_c >= table[last] {
            let width = table[last] - table[last - 1];
            let part = if width > 0.0 { ((limit_c - table[last]) / width).min(1.0) } else { 1.0 };
            return PROBABILITIES[last] + part * (1.0 - PROBABILITIES[last]);
        }
        // The first point above the limit; of equal points the last one below counts.
        let above = table.partition_point(|value| *value <= limit_c);
        if above == 0 {
            let width = table[1] - table[0];
            let part = if width > 0.0 { (1.0 - (table[0] - limit_c) / width).max(0.0) } else { 0.0 };
            return part * PROBABILITIES[0];
        }
        let (low, high) = (table[above - 1], table[above]);
        let part = (limit_c - low) / (high - low);
        PROBABILITIES[above - 1] + part * (PROBABILITIES[above] - PROBABILITIES[above - 1])
    }
}

fn ascending<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<[f64; LEN], D::Error> {
    let table = <[f64; LEN]>::deserialize(deserializer)?;
    let is_sound =
        table.iter().all(|value| value.is_finite()) && table.windows(2).all(|pair| pair[0] <= pair[1]);
    is_sound.then_some(table).ok_or_else(|| {
        serde::de::Error::custom(format!("quantiles_c: expected {LEN} numbers that never decrease"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_known_night_is_certain() {
        let night = Distribution::known(-2.6);
        assert_eq!((night.chance(-2.61), night.chance(-2.6), night.chance(0.0)), (0.0, 1.0, 1.0));
        assert_eq!(night.quantile(0.5), -2.6);
    }

    #[test]
    fn whole_degrees_reach_half_a_degree_further() {
        let night = Distribution::of(|p| 10.0 * p - 5.0);
        let chance = |degrees, limit| night.seen(None, degrees).chance(limit);
        assert!((chance(None, 0.0) - 0.5).abs() < 1e-9);
        assert!((chance(Some(Degrees::C), 0.0) - 0.55).abs() < 1e-9);
        assert!((chance(Some(Degrees::C), 0.9) - 0.55).abs() < 1e-9, "0.9 is a report of 0");
        assert!((chance(Some(Degrees::F), 0.0) - (0.5 + 0.05 / 1.8)).abs() < 1e-9);
        // 1.0 so far: what is still to come lies below.
        let night = night.seen(Some(1.0), Some(Degrees::C));
        assert_eq!((night.chance(1.0), night.quantile(0.99)), (1.0, 1.0));
        assert!((night.chance(0.0) - 0.55).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn chances_go_up_with_the_limit_and_agree_with_quantiles(
            mean in -30.0..30.0_f64, spread in 0.1..6.0_f64, limits in proptest::collection::vec(-60.0..60.0_f64, 2)
        ) {
            // A logistic distribution: its quantiles have a closed form.
            let night = Distribution::of(|p| mean + spread * (p / (1.0 - p)).ln());
            let (low, high) = (limits[0].min(limits[1]), limits[0].max(limits[1]));
            for degrees in [None, Some(Degrees::C), Some(Degrees::F)] {
                for lowest in [None, Some(mean)] {
                    let night = night.seen(lowest, degrees);
                    prop_assert!((0.0..=1.0).contains(&night.chance(low)) && night.chance(low) <= night.chance(high));
                }
            }
            for p in [0.01, 0.1, 0.37, 0.5, 0.9] {
                prop_assert!((night.chance(night.quantile(p)) - p).abs() < 0.01, "{p}");
            }
            let text = serde_json::to_string(&night).unwrap();
            prop_assert_eq!(serde_json::from_str::<Distribution>(&text).unwrap(), night);
        }
    }
}
