//! Prints scores, for people and for programs.

use serde::Serialize;

use super::super::output::{BOLD, DIM};
use super::super::{Common, Failed, output};
use crate::noaa::StationId;
use crate::outlook::{Score, ScoredNight};
use crate::rules::Units;

/// What to print, and how.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    /// The limit, in °C.
    pub(super) limit_c: f64,
    /// Nights with at least this chance count as warned of.
    pub(super) warn_from: f64,
    /// Whether to print each scored night.
    pub(super) nights: bool,
    /// Units of the printed values.
    pub(super) units: Units,
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
        output::line(&night_line(night, shown.units))?;
    }
    score_lines(station, &score, shown).iter().try_for_each(|line| output::line(line))?;
    for bin in &score.reliability {
        output::line(&format!(
            "  {DIM}chance about {:3.0} %: seen in {:3.0} % of {}{DIM:#}",
            bin.forecast * 100.0,
            bin.observed * 100.0,
            output::counted(bin.nights as u64, "night")
        ))?;
    }
    Ok(())
}

fn night_line(night: &ScoredNight, units: Units) -> String {
    let number = |celsius: f64| units.number(celsius);
    let (date, chance, lowest) = (night.night, night.chance * 100.0, units.degrees(night.p50));
    let (p10, p90, observed) = (number(night.p10), number(night.p90), number(night.observed));
    format!("{date}  chance {chance:3.0} %  lowest {lowest:>8} ({p10} to {p90})  observed {observed:>5}")
}

fn score_lines(station: StationId, score: &Score, shown: Shown) -> [String; 3] {
    let of = |value: Option<f64>, digits: usize| {
        value.map_or("–".to_owned(), |value| format!("{value:.digits$}"))
    };
    let kelvin = |value: Option<f64>| match shown.units {
        Units::Metric => format!("{} K", of(value, 2)),
        Units::Us => format!("{} °F", of(value.map(|kelvin| kelvin * 9.0 / 5.0), 2)),
    };
    [
        format!(
            "{BOLD}{station}{BOLD:#}  {}, {} at or below {}: {} warned of, {} missed, {}",
            output::counted(score.nights as u64, "night"),
            score.frosts,
            shown.units.degrees(shown.limit_c),
            score.hits,
            score.misses,
            output::counted(score.false_alarms as u64, "false warning")
        ),
        format!(
            "  lowest temperature: error {} (root mean square), bias {}",
            kelvin(score.rmse),
            kelvin(score.bias)
        ),
        format!(
            "  chance: Brier score {}; skill {} over the 14 nights before, {} over \"as last night\"",
            of(score.brier, 4),
            of(score.skill_climatology, 2),
            of(score.skill_persistence, 2)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noaa::Date;

    #[test]
    fn a_night_and_its_scores_are_in_the_units_that_were_asked_for() {
        let station = StationId::parse(b"USW00003192").unwrap();
        let night = ScoredNight {
            station,
            night: Date::new(2013, 1, 3).unwrap(),
            issued_at: 0,
            chance: 0.62,
            p10: -4.4,
            p50: -2.6,
            p90: -0.9,
            observed: -3.0,
            is_frost: true,
            climatology: 0.5,
            persistence: 1.0,
        };
        assert_eq!(
            night_line(&night, Units::Metric),
            "2013-01-03  chance  62 %  lowest  -2.6 °C (-4.4 to -0.9)  observed  -3.0"
        );
        assert_eq!(
            night_line(&night, Units::Us),
            "2013-01-03  chance  62 %  lowest    27 °F (24 to 30)  observed    27"
        );
        let nights = [night];
        let lines = |units| {
            let shown = Shown { limit_c: -2.0, warn_from: 0.3, nights: false, units };
            score_lines(station, &Score::of(nights.iter(), 0.3), shown).join("\n")
        };
        let (metric, us) = (lines(Units::Metric), lines(Units::Us));
        assert!(metric.contains("at or below -2.0 °C: 1 warned of"), "{metric}");
        assert!(metric.contains("error 0.40 K (root mean square), bias 0.40 K"), "{metric}");
        assert!(us.contains("at or below 28 °F: 1 warned of"), "{us}");
        assert!(us.contains("error 0.72 °F (root mean square), bias 0.72 °F"), "{us}");
    }
}
