//! Outlooks over history: the stage's own code, observation by observation, and what it said at one hour of each night.

use super::score::ScoredNight;
use super::{Expected, Lessons, Nights, Spot, Taken};
use crate::hourly::{HOUR, Hour, Night};
use crate::noaa::StationId;

/// The newest outlook may be this old at the time of issue, in seconds.
const AGE_MAX: i64 = 3 * HOUR;
/// How many nights before make the climatology.
const CLIMATOLOGY_NIGHTS: usize = 14;
/// The first nights are not scored.
const UNSCORED_NIGHTS: usize = 30;

/// What is asked of each night.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BacktestQuestion {
    /// When the outlook is issued: local standard time, in seconds after the midnight before the evening.
    pub issued: i64,
    /// The limit, in °C.
    pub limit_c: f64,
    /// How long after its time an observation is known, in seconds.
    pub lag: i64,
}

/// What was said of the present night at the time of issue.
struct Said {
    night: Night,
    expected: Expected,
    /// When it was known.
    at: i64,
}

/// The nights of one station that are scored, in order: from the 31st night on, those with an outlook in time and without a
/// long gap. `hours` are in the order of time.
pub fn scored_nights(
    station: StationId,
    spot: Spot,
    hours: &[Hour],
    question: BacktestQuestion,
) -> Vec<ScoredNight> {
    let (mut nights, mut lessons) = (Nights::default(), Lessons::default());
    let (mut said, mut lowest, mut scored) = (None::<Said>, Vec::<f64>::new(), Vec::new());
    for hour in hours {
        let Taken::Newest(news) = nights.observe(&mut lessons, spot, hour) else { continue };
        if let Some(outcome) = news.outcome.filter(|outcome| outcome.is_complete) {
            let said = said.take().filter(|said| said.night.date.to_string() == outcome.night.date);
            if let Some(said) = said.filter(|_| lowest.len() >= UNSCORED_NIGHTS) {
                scored.push(score(station, &said, outcome.lowest_c, &lowest, question));
            }
            lowest.push(outcome.lowest_c);
        }
        let (night, known_at) = (news.night, hour.time + question.lag);
        let issued_at = night.local(question.issued);
        if let Some(expected) = news.expected
            && known_at <= issued_at
            && issued_at - known_at <= AGE_MAX
        {
            said = Some(Said { night, expected, at: known_at });
        }
    }
    scored
}

fn score(
    station: StationId,
    said: &Said,
    observed_c: f64,
    before: &[f64],
    question: BacktestQuestion,
) -> ScoredNight {
    let distribution = &said.expected.distribution;
    let last = &before[before.len().saturating_sub(CLIMATOLOGY_NIGHTS)..];
    let persistence = before.last().is_some_and(|lowest| *lowest <= question.limit_c);
    ScoredNight {
        station,
        night: said.night.date,
        issued_at: said.at,
        chance: distribution.chance(question.limit_c),
        p10: distribution.quantile(0.1),
        p50: distribution.quantile(0.5),
        p90: distribution.quantile(0.9),
        observed: observed_c,
        is_frost: observed_c <= question.limit_c,
        climatology: normal_chance(last, question.limit_c),
        persistence: f64::from(u8::from(persistence)),
    }
}

/// The chance of a value at or below the limit, by a normal with mean and spread of these.
fn normal_chance(values: &[f64], limit: f64) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    let score = (limit - mean) / variance.sqrt().max(0.1);
    normal_cdf(score)
}

/// The standard normal distribution, to seven digits (Abramowitz and Stegun 1964, 26.2.17).
fn normal_cdf(score: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * score.abs());
    let polynomial = t
        * (0.319_381_530
            + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let tail = (-score * score / 2.0).exp() / std::f64::consts::TAU.sqrt() * polynomial;
    if score < 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_distribution_is_right_where_tables_have_it() {
        for (score, chance) in [(0.0, 0.5), (1.0, 0.841_344_7), (-1.96, 0.024_997_9), (3.0, 0.998_650_1)] {
            assert!((normal_cdf(score) - chance).abs() < 1e-6, "{score}");
        }
        assert!((normal_chance(&[-1.0, 0.0, 1.0], 0.0) - 0.5).abs() < 1e-9);
    }
}
