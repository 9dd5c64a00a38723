//! A limit with its unit, because 32 is frost in one unit and a hot day in the other.

use std::str::FromStr;

use super::condition::Unit;
use super::units::Units;

/// Such a rule warns from this chance on.
const CHANCE: f64 = 0.3;

/// A temperature as people write it: `28F`, `-2 °C`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    value: f64,
    is_fahrenheit: bool,
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected a temperature with its unit, such as 28F or -2C".to_owned();
        let text = text.trim();
        let (number, unit) = match text.strip_suffix(['F', 'f', 'C', 'c']) {
            Some(number) => (number, text.chars().last()),
            None => (text, None),
        };
        let value: f64 = number.trim().trim_end_matches('°').trim_end().parse().map_err(|_| expected())?;
        let Some(unit) = unit else {
            return Err(format!(
                "{value} has no unit: write {value}F ({}) or {value}C ({})",
                Units::Metric.degrees(Unit::Fahrenheit.invert(value)),
                Units::Us.degrees(value)
            ));
        };
        let limit = Self { value, is_fahrenheit: unit.eq_ignore_ascii_case(&'F') };
        if (-60.0..=50.0).contains(&limit.celsius()) { Ok(limit) } else { Err(expected()) }
    }
}

impl Limit {
    /// To a tenth, as stations report.
    pub fn celsius(self) -> f64 {
        let celsius = if self.is_fahrenheit { Unit::Fahrenheit.invert(self.value) } else { self.value };
        (celsius * 10.0).round() / 10.0
    }

    /// In its own unit.
    pub fn shown(self) -> String {
        self.units().degrees(self.celsius())
    }

    /// The units of the person who wrote the limit.
    pub fn units(self) -> Units {
        if self.is_fahrenheit { Units::Us } else { Units::Metric }
    }

    /// A condition: chances of a night, or the lowest temperature of a day.
    pub fn condition(self, tonight: bool) -> String {
        match (tonight, self.is_fahrenheit) {
            (true, true) => format!("chance(c({})) >= {CHANCE}", self.value),
            (true, false) => format!("chance({:?}) >= {CHANCE}", self.value),
            (false, true) => format!("f(TMIN) <= {:?}", self.value),
            (false, false) => format!("TMIN <= {:?}", self.value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_people_write_them() {
        let limit = |text: &str| text.parse::<Limit>().map(Limit::celsius);
        assert_eq!(limit("28F"), Ok(-2.2));
        assert_eq!(limit("28 °F"), Ok(-2.2));
        assert_eq!(limit("-2C"), Ok(-2.0));
        for wrong in ["", "cold", "400F", "F"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
        let condition = |text: &str, tonight| text.parse::<Limit>().unwrap().condition(tonight);
        assert_eq!(condition("28F", true), "chance(c(28)) >= 0.3");
        assert_eq!(condition("-2C", true), "chance(-2.0) >= 0.3");
        assert_eq!(condition("32F", false), "f(TMIN) <= 32.0");
    }

    #[test]
    fn a_limit_without_a_unit_is_refused_with_both_readings() {
        let error = "32".parse::<Limit>().unwrap_err();
        assert_eq!(error, "32 has no unit: write 32F (0.0 °C) or 32C (90 °F)");
        assert!("-2".parse::<Limit>().unwrap_err().contains("-2F (-18.9 °C) or -2C (28 °F)"));
    }
}
