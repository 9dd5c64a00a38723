//! Scores of warnings: the outcome of each one.

use std::collections::BTreeMap;

use serde::Serialize;

/// The warnings of one rule, by episode: a station's night.
#[derive(Default)]
pub struct WarningLog(BTreeMap<String, Night>);

#[derive(Default)]
struct Night {
    /// When it was first expected, in seconds since 1970.
    expected: Option<i64>,
    confirmed: Option<i64>,
    is_averted: bool,
    is_withdrawn: bool,
    is_unknown: bool,
}

/// The outcomes of warnings.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct WarningSums {
    /// Nights with a warning.
    pub nights: usize,
    /// Nights with a warning that reached the limit.
    pub came_true: usize,
    /// Nights with a warning that did not reach the limit, including withdrawn warnings.
    pub false_alarms: usize,
    /// Nights with a warning and an unknown outcome, because the station fell silent.
    pub unknown: usize,
    /// Nights with a warning that are not over.
    pub open: usize,
    /// Nights that reached the limit without a warning before.
    pub missed: usize,
    /// Time from the first warning to the limit, in hours: nine of ten warnings came at least this early.
    pub lead_hours_p10: Option<f64>,
    /// The same for half of the warnings, in hours.
    pub lead_hours_p50: Option<f64>,
}

impl WarningLog {
    /// Adds an alert of an episode, by its transition, at `time` in seconds since 1970.
    pub fn take(&mut self, episode: &str, transition: &str, time: i64) {
        let night = self.0.entry(episode.to_owned()).or_default();
        match transition {
            // After a confirmation: the observation that reached the limit was corrected.
            "expected" => {
                night.expected = Some(night.expected.map_or(time, |first| first.min(time)));
                night.confirmed = None;
            }
            "confirmed" => night.confirmed = Some(night.confirmed.map_or(time, |first| first.min(time))),
            "averted" => night.is_averted = true,
            "withdrawn" => (night.is_withdrawn, night.confirmed) = (true, None),
            "stale" => night.is_unknown = true,
            _ => {}
        }
    }

    /// Computes the summary.
    pub fn sums(&self) -> WarningSums {
        let (mut sums, mut leads) = (WarningSums::default(), Vec::new());
        for night in self.0.values() {
            let Some(expected) = night.expected else {
                sums.missed += usize::from(night.confirmed.is_some());
                continue;
            };
            sums.nights += 1;
            match night.confirmed {
                Some(confirmed) => {
                    sums.came_true += 1;
                    leads.push((confirmed - expected) as f64 / 3_600.0);
                }
                None if night.is_averted => sums.false_alarms += 1,
                None if night.is_unknown => sums.unknown += 1,
                None if night.is_withdrawn => sums.false_alarms += 1,
                None => sums.open += 1,
            }
        }
        leads.sort_by(f64::total_cmp);
        let at = |part: f64| {
            leads.get((part * leads.len() as f64) as usize).map(|lead| (lead * 10.0).round() / 10.0)
        };
        (sums.lead_hours_p10, sums.lead_hours_p50) = (at(0.1), at(0.5));
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_night_counts_once() {
        let mut log = WarningLog::default();
        for (episode, transition, hour) in [
            ("a", "expected", 18),
            ("a", "expected", 20),
            ("a", "confirmed", 28),
            ("b", "expected", 18),
            ("b", "averted", 33),
            ("c", "confirmed", 25),
            ("d", "expected", 19),
            ("d", "stale", 24),
            ("e", "expected", 19),
            ("e", "withdrawn", 24),
            ("f", "expected", 19),
        ] {
            log.take(episode, transition, hour * 3_600);
        }
        let sums = log.sums();
        assert_eq!(
            (sums.nights, sums.came_true, sums.false_alarms, sums.unknown, sums.open, sums.missed),
            (5, 1, 2, 1, 1, 1)
        );
        assert_eq!(sums.lead_hours_p50, Some(10.0));
    }

    #[test]
    fn what_was_taken_back_did_not_come_true_and_silence_decides_nothing() {
        let mut log = WarningLog::default();
        for (episode, transitions) in [
            ("corrected", ["expected", "confirmed", "expected", "averted"].as_slice()),
            ("never warned of", &["confirmed", "withdrawn"]),
            ("silent", &["expected", "stale", "withdrawn"]),
        ] {
            transitions.iter().zip(0..).for_each(|(transition, time)| log.take(episode, transition, time));
        }
        let sums = log.sums();
        assert_eq!((sums.came_true, sums.false_alarms, sums.unknown, sums.missed), (0, 1, 1, 0));
    }
}
