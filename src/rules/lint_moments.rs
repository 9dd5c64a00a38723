//! Rules about hours and nights that are valid but probably mistaken: limits that look like another unit, and
//! impossible chances.

use super::Problem;
use super::condition::{Compared, Condition, HourName, Threshold};

/// A limit of `chance` above this, in °C, looks like degrees Fahrenheit: 24 °F is a hard frost, 24 °C a tropical night.
const CHANCE_LIMIT_MAX_C: f64 = 22.0;
/// The same for a temperature that a rule waits to fall below.
const BELOW_MAX_C: f64 = 25.0;
/// Temperature thresholds outside of this range, in °C, do not distinguish hours.
const TEMPERATURE_C: std::ops::RangeInclusive<f64> = -70.0..=56.0;
/// The same for wind, in m/s.
const WIND_M_S: std::ops::RangeInclusive<f64> = 0.0..=110.0;

/// Warnings about a condition, which is the rule's `field`.
pub(super) fn lint(field: &'static str, condition: &Condition, problems: &mut Vec<Problem>) {
    let mut add = |offset, message: String| problems.push(Problem { field, offset, message });
    for (limit, offset) in condition.chance_limits() {
        if limit > CHANCE_LIMIT_MAX_C {
            let advice = "for degrees Fahrenheit write chance(c(28))";
            add(offset, format!("a limit of {limit:.1} °C looks like another unit: {advice}"));
        }
    }
    for threshold in condition.thresholds() {
        if let Some(message) = suspicion(field, threshold) {
            add(threshold.offset, message);
        }
    }
}

fn suspicion(field: &str, threshold: &Threshold) -> Option<String> {
    let Threshold { compared, value, is_below, .. } = *threshold;
    let name = match compared {
        Compared::Chance if (0.0..=1.0).contains(&value) => return None,
        Compared::Chance => {
            return Some(format!("a chance is between 0 and 1, not {value}: write 0.3 for 30 percent"));
        }
        Compared::Hour(name @ HourName::Wind) if !WIND_M_S.contains(&value) => {
            let advice = "for miles an hour write mph(WIND)";
            return Some(format!("{} at {value:.1} m/s looks like another unit: {advice}", name.as_str()));
        }
        Compared::Hour(HourName::Humidity) if !(0.0..=100.0).contains(&value) => {
            return Some(format!("RH is a percentage, 0 to 100, and cannot be compared with {value:.1}"));
        }
        Compared::Hour(HourName::Wind | HourName::Humidity) => return None,
        Compared::Hour(name) => name.as_str().to_owned(),
        Compared::Night(field) => format!("night.{}", field.as_str()),
    };
    // `clear` may compare in either direction.
    let is_too_warm = field == "when" && is_below && value > BELOW_MAX_C;
    (is_too_warm || !TEMPERATURE_C.contains(&value)).then(|| {
        let word = if is_below { "below" } else { "above" };
        format!("{name} {word} {value:.1} °C looks like another unit: for degrees Fahrenheit write f({name})")
    })
}

#[cfg(test)]
mod tests {
    use crate::rules::{Conditions, Definition, lint};

    fn lint_of(when: &str) -> Vec<(usize, String)> {
        let definition = Definition {
            id: "r".into(),
            station: Some("USW00003192".into()),
            when: when.into(),
            ..Definition::default()
        };
        let rule = definition.compile(1, None, &mut Conditions::default()).unwrap();
        lint(&rule).into_iter().map(|problem| (problem.offset, problem.message)).collect()
    }

    #[test]
    fn units_of_hours_and_nights() {
        for (wrong, offset, word) in [
            ("chance(28) >= 0.3", 0, "chance(c(28))"),
            ("station.id != '' && chance(-2.0) >= 30", 20, "0.3 for 30 percent"),
            ("T <= 30.0", 0, "f(T)"),
            ("30 >= WETBULB", 0, "f(WETBULB)"),
            ("night.min <= 30", 0, "f(night.min)"),
            ("T > 0.0 && WIND > 200", 11, "mph(WIND)"),
            ("RH > 101", 0, "percentage"),
        ] {
            let found = lint_of(wrong);
            assert!(
                found.len() == 1 && found[0].0 == offset && found[0].1.contains(word),
                "{wrong}: {found:?}"
            );
        }
        for right in [
            "chance(c(28)) >= 0.3",
            "f(night.min) <= 30.0",
            "T >= 40",
            "T <= c(30)",
            "WIND < 2.0 && RH > 90",
            "TMIN <= c(30)",
        ] {
            assert_eq!(lint_of(right), [], "{right}");
        }
        assert!(lint_of("TMIN <= c(100)")[0].1.contains("another unit"));
    }
}
