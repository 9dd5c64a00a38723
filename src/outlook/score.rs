//! Scores of outlooks over nights whose lowest temperature is known.

use serde::Serialize;

use crate::hourly::iso_time;
use crate::noaa::{Date, StationId};

/// Bins of the reliability table.
const BINS: usize = 10;

/// One night: its outlook, and its outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredNight {
    /// The station.
    pub station: StationId,
    /// The night.
    pub night: Date,
    /// The time of the outlook, in seconds since 1970.
    pub issued_at: i64,
    /// The chance of the limit, 0 to 1.
    pub chance: f64,
    /// Quantiles of the lowest, in °C.
    pub p10: f64,
    /// The median.
    pub p50: f64,
    /// The warm side.
    pub p90: f64,
    /// The lowest reported temperature, in °C.
    pub observed: f64,
    /// Whether that is at or below the limit.
    pub is_frost: bool,
    /// The chance by mean and spread of the previous 14 nights.
    pub climatology: f64,
    /// 1 if the previous night was at or below the limit, otherwise 0.
    pub persistence: f64,
}

impl Serialize for ScoredNight {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Line<'a> {
            station: &'a str,
            night: String,
            issued_at: String,
            chance: f64,
            p10: f64,
            p50: f64,
            p90: f64,
            observed: f64,
        }
        Line {
            station: self.station.as_str(),
            night: self.night.to_string(),
            issued_at: iso_time(self.issued_at),
            chance: rounded(self.chance, 4),
            p10: rounded(self.p10, 2),
            p50: rounded(self.p50, 2),
            p90: rounded(self.p90, 2),
            observed: self.observed,
        }
        .serialize(serializer)
    }
}

/// One line of the reliability table: how many of the nights with about this chance reached the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// The bin's lower bound; its width is a tenth.
    pub from: f64,
    /// Nights in it.
    pub nights: usize,
    /// Their mean chance.
    pub forecast: f64,
    /// The share of them that reached the limit.
    pub observed: f64,
}

/// Scores over nights. Rates are `None` if there is nothing to divide by.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Nights scored.
    pub nights: usize,
    /// Nights that reached the limit.
    pub frosts: usize,
    /// Nights that reached the limit, with a warning.
    pub hits: usize,
    /// Nights that reached the limit, without a warning.
    pub misses: usize,
    /// Warnings for nights that did not reach it.
    pub false_alarms: usize,
    /// Root mean square error of the median, in K.
    pub rmse: Option<f64>,
    /// Mean of median minus observed, in K.
    pub bias: Option<f64>,
    /// Mean square error of the chance.
    pub brier: Option<f64>,
    /// The same for mean and spread of the previous 14 nights.
    pub brier_climatology: Option<f64>,
    /// The same for "as last night".
    pub brier_persistence: Option<f64>,
    /// Skill of `brier` against climatology: 0 is no better, 1 is perfect.
    pub skill_climatology: Option<f64>,
    /// The same against persistence.
    pub skill_persistence: Option<f64>,
    /// The reliability table, without empty bins.
    pub reliability: Vec<ReliabilityBin>,
}

impl Score {
    /// Scores nights; a warning is a chance of at least `warn_from`.
    pub fn of<'a>(nights: impl Iterator<Item = &'a ScoredNight> + Clone, warn_from: f64) -> Self {
        let count = nights.clone().count();
        let mean = |value: &dyn Fn(&ScoredNight) -> f64| {
            (count > 0).then(|| nights.clone().map(value).sum::<f64>() / count as f64)
        };
        let outcome = |night: &ScoredNight| f64::from(u8::from(night.is_frost));
        let brier = mean(&|night| (night.chance - outcome(night)).powi(2));
        let brier_climatology = mean(&|night| (night.climatology - outcome(night)).powi(2));
        let brier_persistence = mean(&|night| (night.persistence - outcome(night)).powi(2));
        let skill = |reference: Option<f64>| {
            brier
                .zip(reference)
                .filter(|(_, reference)| *reference > 0.0)
                .map(|(brier, reference)| 1.0 - brier / reference)
        };
        let number = |is: &dyn Fn(&ScoredNight) -> bool| nights.clone().filter(|night| is(night)).count();
        let warned = |night: &ScoredNight| night.chance >= warn_from;
        let four = |value: Option<f64>| value.map(|value| rounded(value, 4));
        Self {
            nights: count,
            frosts: number(&|night| night.is_frost),
            hits: number(&|night| night.is_frost && warned(night)),
            misses: number(&|night| night.is_frost && !warned(night)),
            false_alarms: number(&|night| !night.is_frost && warned(night)),
            rmse: four(mean(&|night| (night.p50 - night.observed).powi(2)).map(f64::sqrt)),
            bias: four(mean(&|night| night.p50 - night.observed)),
            brier: four(brier),
            brier_climatology: four(brier_climatology),
            brier_persistence: four(brier_persistence),
            skill_climatology: four(skill(brier_climatology)),
            skill_persistence: four(skill(brier_persistence)),
            reliability: reliability(nights),
        }
    }
}

fn reliability<'a>(nights: impl Iterator<Item = &'a ScoredNight>) -> Vec<ReliabilityBin> {
    let mut bins = [(0_usize, 0.0, 0_usize); BINS];
    for night in nights {
        let bin = ((night.chance * BINS as f64) as usize).min(BINS - 1);
        bins[bin].0 += 1;
        bins[bin].1 += night.chance;
        bins[bin].2 += usize::from(night.is_frost);
    }
    let filled = bins.iter().enumerate().filter(|(_, (count, ..))| *count > 0);
    filled
        .map(|(bin, (count, chances, frosts))| ReliabilityBin {
            from: bin as f64 / BINS as f64,
            nights: *count,
            forecast: rounded(chances / *count as f64, 4),
            observed: rounded(*frosts as f64 / *count as f64, 4),
        })
        .collect()
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn night(chance: f64, observed: f64) -> ScoredNight {
        ScoredNight {
            station: StationId::parse(b"USW00003192").unwrap(),
            night: Date::new(2026, 11, 28).unwrap(),
            issued_at: 0,
            chance,
            p10: -1.0,
            p50: 0.0,
            p90: 1.0,
            observed,
            is_frost: observed <= 0.0,
            climatology: 0.5,
            persistence: 1.0,
        }
    }

    #[test]
    fn scores_of_four_nights() {
        let nights = [night(0.9, -1.0), night(0.2, -2.0), night(0.3, 1.0), night(0.0, 4.0)];
        let score = Score::of(nights.iter(), 0.3);
        assert_eq!((score.frosts, score.hits, score.misses, score.false_alarms), (2, 1, 1, 1));
        assert_eq!(score.brier, Some(0.185));
        assert_eq!((score.brier_climatology, score.brier_persistence), (Some(0.25), Some(0.5)));
        assert_eq!(score.skill_climatology, Some(0.26));
        assert_eq!((score.bias, score.rmse), (Some(-0.5), Some(2.3452)));
        assert_eq!(score.reliability.len(), 4);
        let none = Score::of([].iter(), 0.3);
        assert_eq!((none.nights, none.brier), (0, None));
    }
}
