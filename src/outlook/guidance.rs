//! Forecasts as an input of outlooks: how reliable the forecasts for a station are, and the effect of the newest.
//!
//! A forecast is made for a cell of some kilometres. A station in a hollow is colder than its cell on clear nights,
//! so the forecast has a bias. Each finished night teaches the bias, and how far forecasts scatter around it. Until
//! then a forecast counts as one with an error of 2.5 K, which changes an outlook only a little.
//!
//! The model and the corrected forecast are combined by their errors, as two estimates whose errors have a
//! correlation of one half, because both miss the same clouds. During a night the model's error decreases, and with
//! it the weight of the forecast.

use serde::{Deserialize, Serialize};

use super::record::{Expected, Guide, Outcome};
use super::station::Spot;
use crate::hourly::{Forecast, HOUR, Night};

/// The error of forecasts for a station without finished nights, in K.
const PRIOR_ERROR_K: f64 = 2.5;
/// The prior error counts as much as this many nights.
const PRIOR_NIGHTS: f64 = 4.0;
/// The minimum weight of a new night: old lessons fade.
const WEIGHT_MIN: f64 = 0.05;
/// Smallest plausible error, in K.
const ERROR_MIN_K: f64 = 0.4;
/// The correlation of the errors of model and forecast.
const CORRELATION: f64 = 0.5;
/// An older forecast does not count.
const AGE_MAX: i64 = 24 * HOUR;
/// Most nights without an outcome. Forecasts for the next one come before this one has ended.
const UNSETTLED_MAX: usize = 3;
/// From the 10 % quantile of a normal distribution to the 90 %, in standard deviations.
const WIDTH_80: f64 = 2.563;

/// The lessons from a station's forecasts, and the newest one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guidance {
    newest: Option<Held>,
    /// For each night without an outcome, the forecast in force at sunset, which is the one that is scored.
    at_sunset: Vec<Held>,
    /// Mean of observed minus forecast, in K.
    bias_k: f64,
    /// Variance of the errors around the bias, in K².
    variance: f64,
    nights: u32,
}

/// The needed parts of a forecast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Held {
    source: String,
    issued: i64,
    /// The night, in days since 1970.
    night: i32,
    lowest_c: f64,
}

impl Default for Guidance {
    fn default() -> Self {
        let variance = PRIOR_ERROR_K * PRIOR_ERROR_K;
        Self { newest: None, at_sunset: Vec::new(), bias_k: 0.0, variance, nights: 0 }
    }
}

impl Guidance {
    /// Forgets forecasts of nights after this day (in days since 1970), which no service makes: they would keep all others
    /// out.
    pub fn forget_after(&mut self, day: i32) {
        self.newest.take_if(|held| held.night > day);
    }

    /// Adds a forecast. `now` is the newest observation's time, in seconds since 1970. Returns whether anything
    /// changed.
    pub fn take(&mut self, forecast: &Forecast, spot: Spot, now: Option<i64>) -> bool {
        let held = Held {
            source: forecast.source.clone(),
            issued: forecast.issued,
            night: forecast.night.days_since_1970(),
            lowest_c: forecast.lowest_c,
        };
        let is_older =
            |known: &Held| (known.night, known.issued) > (held.night, held.issued) || *known == held;
        if self.newest.as_ref().is_some_and(is_older) {
            return false;
        }
        let night = Night::of(forecast.night, spot.latitude, spot.longitude);
        if now.is_none_or(|now| now <= night.begins) {
            self.at_sunset.retain(|known| known.night != held.night);
            self.at_sunset.push(held.clone());
            if self.at_sunset.len() > UNSETTLED_MAX {
                self.at_sunset.remove(0);
            }
        }
        self.newest = Some(held);
        true
    }

    /// Learns from the outcome of a night. Returns whether anything changed.
    pub fn settle(&mut self, outcome: &Outcome) -> bool {
        let Some(night) = outcome.night.date().map(|date| date.days_since_1970()) else { return false };
        let judged = self.at_sunset.iter().find(|held| held.night == night).cloned();
        let before = self.at_sunset.len();
        self.at_sunset.retain(|held| held.night > night);
        let Some(judged) = judged.filter(|_| outcome.is_complete) else {
            return self.at_sunset.len() < before;
        };
        let weight = (1.0 / (f64::from(self.nights) + 1.0 + PRIOR_NIGHTS)).max(WEIGHT_MIN);
        let error = outcome.lowest_c - judged.lowest_c - self.bias_k;
        // Uses the deviation before and after the step, as in Welford's method.
        self.bias_k += weight * error;
        self.variance = (1.0 - weight) * (self.variance + weight * error * error);
        self.nights += 1;
        true
    }

    /// The distribution with the newest forecast, if it is for this night and not too old.
    pub fn guide(&self, expected: Expected, time: i64) -> Expected {
        let night = expected.night.date().map(|date| date.days_since_1970());
        let fits = |held: &&Held| Some(held.night) == night && time - held.issued <= AGE_MAX;
        let Some(held) = self.newest.as_ref().filter(fits) else { return expected };
        let model = &expected.distribution;
        let (middle, spread) = (model.place(0.5), (model.place(0.9) - model.place(0.1)) / WIDTH_80);
        // The bias itself is uncertain at first.
        let doubt = PRIOR_ERROR_K * PRIOR_ERROR_K / (f64::from(self.nights) + PRIOR_NIGHTS);
        let error = (self.variance + doubt).sqrt().max(ERROR_MIN_K);
        let (weight, combined) = combine(spread, error);
        let shift = weight * (held.lowest_c + self.bias_k - middle);
        let scale = if spread > 0.0 { combined / spread } else { 1.0 };
        let distribution = model.moved(shift, scale);
        let hundredths = |value: f64| (value * 100.0).round() / 100.0;
        let guide = Guide {
            source: held.source.clone(),
            issued: held.issued,
            lowest_c: held.lowest_c,
            bias_k: hundredths(self.bias_k),
            nights: self.nights,
            weight: hundredths(weight),
        };
        expected.guided(distribution, guide, time)
    }
}

/// The weight of a forecast relative to the model, and the error of both together. `model` and `forecast` are errors
/// in K.
fn combine(model: f64, forecast: f64) -> (f64, f64) {
    let common = CORRELATION * model * forecast;
    let weight =
        ((model * model - common) / (model * model + forecast * forecast - 2.0 * common)).clamp(0.0, 1.0);
    let variance = weight * weight * forecast * forecast
        + (1.0 - weight) * (1.0 - weight) * model * model
        + 2.0 * weight * (1.0 - weight) * common;
    (weight, variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hourly::Hour;
    use crate::noaa::{Date, StationId};
    use crate::outlook::{Lessons, Nights, Taken};

    const SPOT: Spot = Spot { latitude: 40.7, longitude: -74.2 };
    const NIGHTS: i64 = 120;

    /// A number between -1 and 1 that looks random, the same for the same number.
    fn noise(seed: i64) -> f64 {
        let mixed = (seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 40) as f64 / f64::from(1 << 23) - 1.0
    }

    /// Root mean square errors at 18:00 without and with forecasts, over nights whose fall the evening does not show.
    fn errors(forecast_error: impl Fn(i64) -> f64) -> (f64, f64) {
        let station = StationId::parse(b"USW00014734").unwrap();
        let (mut nights, mut lessons, mut guidance) =
            (Nights::default(), Lessons::default(), Guidance::default());
        let (mut squares, mut scored) = ((0.0, 0.0), 0.0);
        let mut said = None;
        for day in 0..NIGHTS {
            let date = Date::from_days_since_1970(16_000 + day as i32).unwrap();
            let midnight = Night::of(date, SPOT.latitude, SPOT.longitude).local(0);
            let lowest = 4.0 * noise(day);
            let forecast = Forecast {
                station,
                source: "nws".into(),
                issued: midnight + 14 * HOUR,
                night: date,
                lowest_c: lowest + forecast_error(day),
            };
            guidance.take(&forecast, SPOT, nights.newest());
            for hour in 9..33 {
                let part = ((hour - 18) as f64 / 12.0).clamp(0.0, 1.0);
                let celsius = 8.0 + (lowest - 8.0) * part;
                let hour = Hour::new(station, midnight + hour * HOUR, (celsius * 10.0).round() / 10.0);
                let Taken::Newest(news) = nights.observe(&mut lessons, SPOT, &hour) else { continue };
                if let Some(outcome) = &news.outcome {
                    guidance.settle(outcome);
                    if let Some((plain, guided)) = said.take().filter(|_| day > 30) {
                        let square = |said: f64| (said - outcome.lowest_c).powi(2);
                        squares = (squares.0 + square(plain), squares.1 + square(guided));
                        scored += 1.0;
                    }
                }
                if let Some(expected) = news.expected.filter(|_| hour.time == midnight + 18 * HOUR) {
                    let plain = expected.distribution.quantile(0.5);
                    let guided = guidance.guide(expected, hour.time);
                    assert!(
                        guided.forecast.is_some() && guided.inputs.iter().any(|input| input == "forecast")
                    );
                    said = Some((plain, guided.distribution.quantile(0.5)));
                }
            }
        }
        ((squares.0 / scored).sqrt(), (squares.1 / scored).sqrt())
    }

    #[test]
    fn good_forecasts_help_also_with_a_bias() {
        let (plain, guided) = errors(|day| 3.0 + 0.8 * noise(1_000 + day));
        assert!(guided < 0.6 * plain, "{guided:.2} K with forecasts, {plain:.2} K without");
    }

    #[test]
    fn bad_forecasts_do_little_harm() {
        let (plain, guided) = errors(|day| 12.0 * noise(1_000 + day));
        assert!(guided < 1.1 * plain, "{guided:.2} K with forecasts, {plain:.2} K without");
    }

    #[test]
    fn the_weight_follows_the_errors() {
        let (weight, error) = combine(2.0, 1.0);
        assert!(weight > 0.9 && error <= 1.0, "{weight} {error}");
        assert_eq!(combine(0.5, 3.0).0, 0.0, "late in the night the model is better");
        let (weight, error) = combine(2.0, 2.0);
        assert!((weight - 0.5).abs() < 1e-9 && error < 2.0, "{error}");
    }

    #[test]
    fn older_forecasts_and_those_after_sunset_are_not_judged() {
        let forecast = |issued, lowest_c| Forecast {
            station: StationId::parse(b"USW00014734").unwrap(),
            source: "nws".into(),
            issued,
            night: Date::from_days_since_1970(16_000).unwrap(),
            lowest_c,
        };
        let sunset =
            Night::of(Date::from_days_since_1970(16_000).unwrap(), SPOT.latitude, SPOT.longitude).begins;
        let mut guidance = Guidance::default();
        assert!(guidance.take(&forecast(200, -1.0), SPOT, Some(sunset - 60)));
        assert!(!guidance.take(&forecast(200, -1.0), SPOT, Some(sunset - 60)), "known");
        assert!(!guidance.take(&forecast(100, -4.0), SPOT, Some(sunset - 60)), "older");
        assert!(guidance.take(&forecast(300, -3.0), SPOT, Some(sunset + 60)));
        assert_eq!(guidance.at_sunset[0].lowest_c, -1.0);
        assert_eq!(guidance.newest.as_ref().unwrap().lowest_c, -3.0);
    }
}
