//! Scores, for people and for programs.

use serde::Serialize;

use super::super::output::{BOLD, DIM};
use super::super::{Common, Failed, output};
use crate::noaa::StationId;
use crate::outlook::{Score, ScoredNight};

/// What is printed.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    /// The limit, in °C.
    pub(super) limit_c: f64,
    /// From which chance on a night is warned of.
    pub(super) warn_from: f64,
    /// Whether each scored night is printed.
    pub(super) nights: bool,
}

#[derive(Serialize)]
struct Line {
    station: StationId,
    #[serde(flatten)]
    score: Score,
}

/// Prints a station's scores.
pub(super) fn print(
    common: &Common,
    shown: Shown,
    station: StationId,
    nights: &[ScoredNight],
) -> Result<(), Failed> {
    let score = Score::of(nights.iter(), shown.warn_from);
    if common.json {
        for night in nights.iter().filter(|_| shown.nights) {
            output::json(night)?;
        }
        return Ok(output::json(&Line { station, score })?);
    }
    for night in nights.iter().filter(|_| shown.nights) {
        let (date, chance, p50) = (night.night, night.chance * 100.0, night.p50);
        let (p10, p90, observed) = (night.p10, night.p90, night.observed);
        output::line(&format!(
            "{date}  chance {chance:3.0} %  lowest {p50:5.1} °C ({p10:.1} to {p90:.1})  observed {observed:5.1}"
        ))?;
    }
    let of = |value: Option<f64>, digits: usize| {
        value.map_or("–".to_owned(), |value| format!("{value:.digits$}"))
    };
    output::line(&format!(
        "{BOLD}{station}{BOLD:#}  {} nights, {} at or below {} °C: {} warned of, {} missed, {} false warnings",
        score.nights, score.frosts, shown.limit_c, score.hits, score.misses, score.false_alarms
    ))?;
    output::line(&format!(
        "  lowest temperature: error {} K (root mean square), bias {} K",
        of(score.rmse, 2),
        of(score.bias, 2)
    ))?;
    output::line(&format!(
        "  chance: Brier score {}; skill {} over the 14 nights before, {} over \"as last night\"",
        of(score.brier, 4),
        of(score.skill_climatology, 2),
        of(score.skill_persistence, 2)
    ))?;
    for bin in &score.reliability {
        output::line(&format!(
            "  {DIM}chance about {:3.0} %: seen in {:3.0} % of {} nights{DIM:#}",
            bin.forecast * 100.0,
            bin.observed * 100.0,
            bin.nights
        ))?;
    }
    Ok(())
}
