//! The model learned from a station's nights: how much colder it will get from now on, and how certain that is.
//!
//! For each of five hours of the evening and the night ([`NODES`]), a linear model predicts the *drop*: from the
//! lowest temperature so far to the night's lowest. Its coefficients are learned night by night with recursive least
//! squares and forgetting, starting from a first guess that all stations share, so that a station is useful in its
//! first week. The hours of a night have much the same inputs, so they share one covariance: that is most of a model's
//! size, and one for each hour predicted no better (18:00: 1.81 K either way). Between the hours, the predictions of the two neighbours are mixed, so an outlook changes smoothly.
//!
//! The uncertainty is the spread of the last errors, wider if a large drop is expected or the inputs differ from
//! those seen before. The shape of the distribution is fixed for each hour (late in the night, most of it is just
//! below the lowest so far). Everything is bounded: an error beyond three spreads counts as one of three spreads, and
//! a model is never less certain than at the start, so no outlier can spoil it.
//!
//! Numbers are stored in 32 bits and computed in 64, in the stage as in back-tests, so both give the same digits.

use serde::{Deserialize, Serialize};

/// Hours of the models, local standard time counted from midnight before the evening.
pub(super) const NODES: [f64; 5] = [16.0, 18.0, 21.0, 24.0, 27.0];
/// The end of a night, in the same count.
const END: f64 = 33.0;
/// Inputs of a model; see [`Inputs`].
pub(super) const INPUTS: usize = 9;
const TRIANGLE: usize = INPUTS * (INPUTS + 1) / 2;

/// Variance of each coefficient at the start, in units of the error's variance.
const PRIOR_VARIANCES: [f64; INPUTS] = [0.2, 0.05, 0.05, 0.1, 0.05, 0.05, 0.05, 0.05, 0.05];
/// Their sum.
const PRIOR_TRACE: f64 = 0.65;
/// Weight of each night relative to the next one.
const FORGETTING: f64 = 0.998;
/// An error beyond this many spreads counts as this many.
const CLIP: f64 = 3.0;
/// Largest coefficient.
const COEFFICIENT_MAX: f64 = 15.0;
/// Weight of the newest night in the spread.
const SPREAD_WEIGHT: f64 = 0.03;
/// Least spread, in K.
const SPREAD_MIN_K: f64 = 0.15;
/// Least and largest predicted drop, in K: the observation may already be the lowest.
const DROP_K: (f64, f64) = (-8.0, 25.0);

/// The first guess: coefficients in the order of [`Inputs`], one row per hour of [`NODES`]. The mean of one ridge
/// regression for each of two station-years: Newark 2013 and Portland (Oregon) 2014.
const FIRST_GUESS: [[f32; INPUTS]; NODES.len()] = [
    [3.23, 2.09, 1.61, 0.22, 0.55, 0.89, 0.75, 0.02, 0.0],
    [3.12, 1.59, 1.43, 0.02, 0.37, 0.55, 0.95, -0.11, -0.17],
    [2.42, 0.95, 1.14, -0.08, 0.26, 0.55, 0.51, -0.34, -0.28],
    [1.49, 0.63, 0.78, -0.08, 0.15, 0.45, 0.24, -0.25, -0.18],
    [0.6, 0.27, 0.24, -0.01, 0.13, 0.33, 0.0, -0.16, -0.07],
];
/// The first spread at the usual drop, in K.
const FIRST_SPREAD_K: [f32; NODES.len()] = [2.0, 1.9, 1.5, 1.1, 0.75];
/// The usual drop, in K.
const USUAL_DROP_K: [f64; NODES.len()] = [6.7, 5.2, 3.1, 1.5, 0.45];
/// The larger this is, the less the spread depends on the expected drop, in K.
const SOFTNESS_K: [f64; NODES.len()] = [10.0, 10.0, 5.0, 1.0, 0.4];

/// Normal scores of five points of a distribution.
const SCORES: [f64; 5] = [-2.05, -1.28, 0.0, 1.28, 2.05];
/// The places of these points at each node, in spreads from the prediction.
const SHAPES: [[f64; 5]; NODES.len()] = [
    [-2.3, -1.3, 0.05, 1.3, 1.9],
    [-2.3, -1.3, 0.05, 1.3, 1.9],
    [-2.3, -1.3, 0.05, 1.3, 1.9],
    [-2.8, -1.4, 0.15, 1.1, 1.6],
    [-3.4, -1.55, 0.3, 0.95, 1.2],
];

/// The inputs of a prediction; each is about between -2 and 3.
///
/// In order: one; temperature; dew-point depression; wind; season; length of the night; the day's range; the last
/// three hours' trend; height above the lowest so far.
pub(super) type Inputs = [f32; INPUTS];

/// The model of one hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct HourModel {
    pub(super) coefficients: [f32; INPUTS],
    /// Variance of the error at the usual drop, in K².
    pub(super) variance: f32,
}

/// The models of a station.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Model {
    pub(super) hours: Vec<HourModel>,
    /// Covariance of the coefficients of each hour, in units of the error's variance: the upper triangle, row by row.
    pub(super) covariance: Vec<f32>,
    /// How many nights they have learned from.
    pub(super) nights: u32,
}

/// A prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Prediction {
    /// The drop from the lowest so far to the night's lowest, in K.
    drop_k: f64,
    spread_k: f64,
    shape: [f64; 5],
}

impl Model {
    /// The first guess.
    pub(super) fn new() -> Self {
        let hours = FIRST_GUESS.iter().zip(FIRST_SPREAD_K).map(|(coefficients, spread)| HourModel {
            coefficients: *coefficients,
            variance: spread * spread,
        });
        let covariance = triangle(|row, column| if row == column { PRIOR_VARIANCES[row] } else { 0.0 });
        Self { hours: hours.collect(), covariance, nights: 0 }
    }

    /// Whether it has the form that this version writes.
    pub(super) fn is_sound(&self) -> bool {
        let numbers = |hour: &HourModel| {
            hour.variance.is_finite() && hour.coefficients.iter().all(|value| value.is_finite())
        };
        self.hours.len() == NODES.len()
            && self.hours.iter().all(numbers)
            && self.covariance.len() == TRIANGLE
            && self.covariance.iter().all(|value| value.is_finite())
    }

    /// The prediction at an hour of the night (see [`NODES`]).
    pub(super) fn predict(&self, hour: f64, inputs: &Inputs) -> Prediction {
        let last = NODES.len() - 1;
        if hour <= NODES[0] {
            return self.at_node(0, inputs);
        }
        if hour >= NODES[last] {
            // After the end there is no further drop.
            let left = ((END - hour) / (END - NODES[last])).max(0.0);
            let at = self.at_node(last, inputs);
            return Prediction { drop_k: at.drop_k * left, spread_k: at.spread_k * left, ..at }.bounded();
        }
        let node = NODES.partition_point(|node| *node < hour) - 1;
        let part = (hour - NODES[node]) / (NODES[node + 1] - NODES[node]);
        let (before, after) = (self.at_node(node, inputs), self.at_node(node + 1, inputs));
        let mix = |before: f64, after: f64| before + part * (after - before);
        Prediction {
            drop_k: mix(before.drop_k, after.drop_k),
            spread_k: mix(before.spread_k, after.spread_k),
            shape: std::array::from_fn(|at| mix(before.shape[at], after.shape[at])),
        }
        .bounded()
    }

    fn at_node(&self, node: usize, inputs: &Inputs) -> Prediction {
        let model = &self.hours[node];
        let drop = model.drop(inputs);
        let spread = (f64::from(model.variance) * self.leverage(inputs).1 * widening(node, drop)).sqrt();
        Prediction { drop_k: drop.clamp(DROP_K.0, DROP_K.1), spread_k: spread, shape: SHAPES[node] }.bounded()
    }

    /// Learns the drop that followed these inputs at the hour of a node.
    pub(super) fn learn(&mut self, node: usize, inputs: &Inputs, drop_k: f64) {
        let (gains, leverage) = self.leverage(inputs);
        let model = &mut self.hours[node];
        let predicted = model.drop(inputs);
        let (error, widening) = (drop_k - predicted, widening(node, predicted));
        let spread = (f64::from(model.variance) * leverage * widening).sqrt();
        let lesson = error.clamp(-CLIP * spread, CLIP * spread);
        for (coefficient, gain) in model.coefficients.iter_mut().zip(gains) {
            let learnt = f64::from(*coefficient) + gain * lesson / leverage;
            *coefficient = learnt.clamp(-COEFFICIENT_MAX, COEFFICIENT_MAX) as f32;
        }
        let variance = f64::from(model.variance);
        let seen = (error * error / (leverage * widening)).clamp(0.0, CLIP * CLIP * variance);
        model.variance =
            (variance + SPREAD_WEIGHT * (seen - variance)).max(SPREAD_MIN_K * SPREAD_MIN_K) as f32;
        self.become_surer(&gains, leverage);
    }

    /// What the inputs of one hour of a night teach about the covariance: the hours of a night are one lesson together.
    fn become_surer(&mut self, gains: &[f64; INPUTS], leverage: f64) {
        let part = 1.0 / NODES.len() as f64;
        let (leverage, forgetting) = (1.0 + part * (leverage - 1.0), 1.0 - part * (1.0 - FORGETTING));
        let mut covariance: [[f64; INPUTS]; INPUTS] = std::array::from_fn(|row| {
            std::array::from_fn(|column| {
                let known = f64::from(self.covariance[index(row, column)]);
                (known - part * gains[row] * gains[column] / leverage) / forgetting
            })
        });
        let trace: f64 = (0..INPUTS).map(|at| covariance[at][at]).sum();
        if trace > PRIOR_TRACE {
            covariance.iter_mut().flatten().for_each(|value| *value *= PRIOR_TRACE / trace);
        }
        self.covariance = triangle(|row, column| covariance[row][column]);
    }

    /// Covariance times inputs, and the factor by which the uncertainty of the coefficients widens the error's
    /// variance.
    fn leverage(&self, inputs: &Inputs) -> ([f64; INPUTS], f64) {
        let gains: [f64; INPUTS] = std::array::from_fn(|row| {
            (0..INPUTS)
                .map(|column| f64::from(self.covariance[index(row, column)]) * f64::from(inputs[column]))
                .sum()
        });
        let doubt: f64 = gains.iter().zip(inputs).map(|(gain, input)| gain * f64::from(*input)).sum();
        (gains, 1.0 + doubt.max(0.0))
    }
}

impl HourModel {
    fn drop(&self, inputs: &Inputs) -> f64 {
        self.coefficients.iter().zip(inputs).map(|(one, other)| f64::from(*one) * f64::from(*other)).sum()
    }
}

/// How much a drop widens the variance, compared with the usual drop.
fn widening(node: usize, drop_k: f64) -> f64 {
    (SOFTNESS_K[node] + drop_k.max(0.0)) / (SOFTNESS_K[node] + USUAL_DROP_K[node])
}

fn triangle(value: impl Fn(usize, usize) -> f64) -> Vec<f32> {
    (0..INPUTS)
        .flat_map(|row| (row..INPUTS).map(move |column| (row, column)))
        .map(|(row, column)| value(row, column) as f32)
        .collect()
}

/// The place of an entry in a triangle.
fn index(row: usize, column: usize) -> usize {
    let (row, column) = (row.min(column), row.max(column));
    row * INPUTS - row * row.saturating_sub(1) / 2 + column - row
}

impl Prediction {
    fn bounded(self) -> Self {
        Self { spread_k: self.spread_k.max(SPREAD_MIN_K), ..self }
    }

    /// How many K the night's lowest is below the lowest so far, for this normal score (negative: colder).
    pub(super) fn drop_at(&self, score: f64) -> f64 {
        self.drop_k - warp(score, &SCORES, &self.shape) * self.spread_k
    }
}

/// Linear interpolation through points, with the outer pieces extended.
fn warp(at: f64, from: &[f64; 5], to: &[f64; 5]) -> f64 {
    let piece = from[1..4].iter().filter(|point| at > **point).count();
    to[piece] + (at - from[piece]) * (to[piece + 1] - to[piece]) / (from[piece + 1] - from[piece])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_triangle_holds_each_pair_once() {
        let mut seen = [0; TRIANGLE];
        for row in 0..INPUTS {
            for column in row..INPUTS {
                assert_eq!(index(row, column), index(column, row));
                seen[index(row, column)] += 1;
            }
        }
        assert!(seen.iter().all(|count| *count == 1));
    }

    #[test]
    fn it_learns_what_comes_again() {
        let mut model = Model::new();
        let inputs: Inputs = [1.0, 0.5, 0.3, -0.5, 0.2, 0.1, 0.4, -0.3, 0.0];
        let before = model.predict(18.0, &inputs);
        for _ in 0..100 {
            model.learn(1, &inputs, 9.0);
        }
        let after = model.predict(18.0, &inputs);
        assert!((after.drop_k - 9.0).abs() < 0.3 && after.spread_k < before.spread_k, "{after:?}");
        let (other, first) = (model.predict(24.0, &inputs), Model::new().predict(24.0, &inputs));
        assert_eq!(other.drop_k, first.drop_k, "other hours learn no drop");
        assert!(other.spread_k < first.spread_k, "but they know these inputs now");
    }

    proptest! {
        #[test]
        fn nothing_throws_it(
            nights in proptest::collection::vec((proptest::array::uniform9(-3.0..3.0_f32), -80.0..80.0_f64), 0..200),
            hour in 14.0..34.0_f64,
        ) {
            let mut model = Model::new();
            for (at, (inputs, drop)) in nights.iter().enumerate() {
                model.learn(at % NODES.len(), inputs, *drop);
            }
            prop_assert!(model.is_sound());
            let inputs = [1.0; INPUTS];
            let prediction = model.predict(hour, &inputs);
            prop_assert!(prediction.spread_k.is_finite() && prediction.spread_k >= SPREAD_MIN_K);
            prop_assert!(prediction.drop_at(-1.0) >= prediction.drop_at(1.0));
        }
    }
}
