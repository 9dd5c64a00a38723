//! How cold a night may become: a cumulative distribution as a table of quantiles.
//!
//! The table is what a record of `noaa-outlooks` carries, so that rules, scores and the page compute the same chance from the
//! same numbers, whatever model made them.

use serde::{Deserialize, Serialize};

/// The probabilities whose quantiles the table holds.
pub const PROBABILITIES: [f64; 19] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99,
    0.995,
];
/// Quantiles in a document have this many steps in a degree.
const STEPS: f64 = 100.0;

/// Quantiles of a night's lowest temperature, in °C, at [`PROBABILITIES`]; they never go down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distribution([f64; PROBABILITIES.len()]);

impl Distribution {
    /// From the quantile of each probability. Values are rounded to hundredths, and made to go up.
    pub fn of(mut quantile: impl FnMut(f64) -> f64) -> Self {
        let mut table = PROBABILITIES.map(|probability| (quantile(probability) * STEPS).round() / STEPS);
        for at in 1..table.len() {
            table[at] = table[at].max(table[at - 1]);
        }
        Self(table)
    }

    /// A night whose lowest temperature is known.
    pub fn known(lowest_c: f64) -> Self {
        Self::of(|_| lowest_c)
    }

    /// The value that the lowest temperature falls below with this probability: between the table's points on a straight line,
    /// outside them the outermost point.
    pub fn quantile(&self, probability: f64) -> f64 {
        let above = PROBABILITIES.partition_point(|known| *known < probability);
        match above {
            0 => self.0[0],
            PROBABILITIES_LEN.. => self.0[PROBABILITIES.len() - 1],
            _ => {
                let (low, high) = (PROBABILITIES[above - 1], PROBABILITIES[above]);
                let part = (probability - low) / (high - low);
                self.0[above - 1] + part * (self.0[above] - self.0[above - 1])
            }
        }
    }

    /// The chance, 0 to 1, that the night gets as cold as `limit_c` or colder. Outside the table it goes to 0 and 1 within
    /// as many degrees as the outermost two points lie apart.
    pub fn chance(&self, limit_c: f64) -> f64 {
        let (table, last) = (&self.0, PROBABILITIES.len() - 1);
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

const PROBABILITIES_LEN: usize = PROBABILITIES.len();

impl Serialize for Distribution {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Distribution {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = <[f64; PROBABILITIES_LEN]>::deserialize(deserializer)?;
        if table.iter().any(|value| !value.is_finite()) || table.windows(2).any(|pair| pair[0] > pair[1]) {
            return Err(serde::de::Error::custom("quantiles: expected numbers that never go down"));
        }
        Ok(Self(table))
    }
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

    proptest! {
        #[test]
        fn chances_go_up_with_the_limit_and_agree_with_quantiles(
            mean in -30.0..30.0_f64, spread in 0.1..6.0_f64, limits in proptest::collection::vec(-60.0..60.0_f64, 2)
        ) {
            // A logistic distribution: its quantiles have a closed form.
            let night = Distribution::of(|p| mean + spread * (p / (1.0 - p)).ln());
            let (low, high) = (limits[0].min(limits[1]), limits[0].max(limits[1]));
            prop_assert!((0.0..=1.0).contains(&night.chance(low)) && night.chance(low) <= night.chance(high));
            for p in [0.01, 0.1, 0.37, 0.5, 0.9] {
                prop_assert!((night.chance(night.quantile(p)) - p).abs() < 0.01, "{p}");
            }
            let text = serde_json::to_string(&night).unwrap();
            prop_assert_eq!(serde_json::from_str::<Distribution>(&text).unwrap(), night);
        }
    }
}
