//! Outlooks over history: runs the stage's own code, observation by observation, and keeps the outlook at one hour of
//! each night.

use super::score::ScoredNight;
use super::{Distribution, Expected, Lessons, NightBounds, Nights, Outcome, Spot, Taken};
use crate::hourly::{HOUR, Hour};
use crate::noaa::{Date, StationId};

/// The newest outlook may be at most this old at the time of issue, in seconds.
const AGE_MAX: i64 = 3 * HOUR;
/// How many previous nights the climatology uses.
const CLIMATOLOGY_NIGHTS: usize = 14;
/// The first nights are not scored.
const UNSCORED_NIGHTS: usize = 30;

/// The outlook of each night that is scored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Issue {
    /// The time of issue: local standard time, in seconds after the midnight before the evening.
    pub issued: i64,
    /// How long after its time an observation becomes known, in seconds.
    pub lag: i64,
}

/// Collects one station's outlooks and the outcomes of its nights, and scores them for any limit.
pub struct Tally {
    station: StationId,
    issue: Issue,
    /// This many nights at the beginning are not scored.
    unscored: usize,
    said: Option<Said>,
    /// The lowest temperature of each complete night so far, in order.
    lowest_c: Vec<f64>,
    settled: Vec<Settled>,
}

/// A night with an outlook in time and a known lowest temperature.
struct Settled {
    night: Date,
    said: Said,
    /// Its place in [`Tally::lowest_c`].
    at: usize,
}

/// The outlook of a night at the time of issue.
struct Said {
    night: NightBounds,
    distribution: Distribution,
    /// The time at which it was known.
    at: i64,
}

impl Tally {
    /// Scores nights from the 31st on.
    pub fn new(station: StationId, issue: Issue) -> Self {
        Self {
            station,
            issue,
            unscored: UNSCORED_NIGHTS,
            said: None,
            lowest_c: Vec::new(),
            settled: Vec::new(),
        }
    }

    /// Scores nights from the third on: as soon as there are previous nights to compare with.
    pub fn from_the_third(station: StationId, issue: Issue) -> Self {
        Self { unscored: 2, ..Self::new(station, issue) }
    }

    /// Adds the outlook after the observation of `time`. The last one before the time of issue counts.
    pub fn expect(&mut self, expected: &Expected, time: i64) {
        let known_at = time + self.issue.lag;
        let issued_at = expected.night.midnight() + self.issue.issued;
        if known_at <= issued_at && issued_at - known_at <= AGE_MAX {
            let (night, distribution) = (expected.night.clone(), expected.distribution);
            self.said = Some(Said { night, distribution, at: known_at });
        }
    }

    /// Adds the outcome of a night. A night with a long gap is not scored.
    pub fn settle(&mut self, outcome: &Outcome) {
        if !outcome.is_complete {
            return;
        }
        let said = self.said.take().filter(|said| said.night.date == outcome.night.date);
        let is_scored = self.lowest_c.len() >= self.unscored;
        if let Some((said, night)) = said.zip(outcome.night.date()).filter(|_| is_scored) {
            self.settled.push(Settled { night, said, at: self.lowest_c.len() });
        }
        self.lowest_c.push(outcome.lowest_c);
    }

    /// The scored nights in order, for a limit in °C.
    pub fn nights(&self, limit_c: f64) -> impl Iterator<Item = ScoredNight> {
        self.settled.iter().map(move |settled| self.score(settled, limit_c))
    }

    fn score(&self, Settled { night, said, at }: &Settled, limit_c: f64) -> ScoredNight {
        let distribution = &said.distribution;
        let (before, observed) =
            (&self.lowest_c[at.saturating_sub(CLIMATOLOGY_NIGHTS)..*at], self.lowest_c[*at]);
        let persistence = before.last().is_some_and(|lowest| *lowest <= limit_c);
        ScoredNight {
            station: self.station,
            night: *night,
            issued_at: said.at,
            chance: distribution.chance(limit_c),
            p10: distribution.quantile(0.1),
            p50: distribution.quantile(0.5),
            p90: distribution.quantile(0.9),
            observed,
            is_frost: observed <= limit_c,
            climatology: normal_chance(before, limit_c),
            persistence: f64::from(u8::from(persistence)),
        }
    }
}

/// Runs the stage's code over one station's observations, in the order of time. Nights are scored from the 31st on,
/// if they have an outlook in time and no long gap.
pub fn tally(station: StationId, spot: Spot, hours: &[Hour], issue: Issue) -> Tally {
    let (mut nights, mut lessons) = (Nights::default(), Lessons::default());
    let mut tally = Tally::new(station, issue);
    for hour in hours {
        let Taken::Newest(news) = nights.observe(&mut lessons, spot, hour) else { continue };
        if let Some(outcome) = &news.outcome {
            tally.settle(outcome);
        }
        if let Some(expected) = &news.expected {
            tally.expect(expected, news.time);
        }
    }
    tally
}

/// The chance of a value at or below the limit, by a normal distribution with the mean and spread of these.
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
