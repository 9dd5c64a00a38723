//! The units that a person prefers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Unit;
use crate::noaa::Element;

/// Americans speak of a freeze from this limit down, in °C, and of a hard freeze from the next: 32 °F and 28 °F.
const FREEZE_C: f64 = 0.0;
const HARD_FREEZE_C: f64 = -2.2;
/// Up to this limit, in °C, a clear calm night may bring frost to the ground: 36 °F.
const FROST_C: f64 = 2.3;

/// The units of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Units {
    /// °C, m/s, and the 24-hour clock.
    #[default]
    Metric,
    /// °F, mph, and the 12-hour clock.
    Us,
}

impl Units {
    /// The units of a condition, if it converts to or from them: `f(TMIN) <= 28`, `chance(c(28)) >= 0.3`.
    pub fn of_condition(when: &str) -> Option<Self> {
        let mut names = when.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let is_us = |name: &str| Unit::of_function(name).is_some() && when.contains(&format!("{name}("));
        names.any(is_us).then_some(Self::Us)
    }

    /// A temperature with its unit.
    pub fn degrees(self, celsius: f64) -> String {
        match self {
            Self::Metric => format!("{} °C", self.number(celsius)),
            Self::Us => format!("{} °F", self.number(celsius)),
        }
    }

    /// A temperature without its unit.
    pub fn number(self, celsius: f64) -> String {
        let text = match self {
            Self::Metric => format!("{celsius:.1}"),
            Self::Us => format!("{:.0}", fahrenheit(celsius)),
        };
        if text.chars().all(|c| matches!(c, '-' | '0' | '.')) { text.replace('-', "") } else { text }
    }

    /// A limit with its unit: with a decimal if it is not a whole number of degrees Fahrenheit.
    pub fn limit(self, celsius: f64) -> String {
        match self {
            Self::Us if is_broken(fahrenheit(celsius)) => format!("{:.1} °F", fahrenheit(celsius)),
            _ => self.degrees(celsius),
        }
    }

    /// A temperature, and where it is next to a limit: `26 °F` and `2 °F below`, or `27.6 °F` and `0.4 °F below` if it
    /// would be rounded to the limit.
    pub fn beside(self, celsius: f64, limit_c: f64) -> (String, String) {
        let difference_c = celsius - limit_c;
        let side = if difference_c < 0.0 { "below" } else { "above" };
        let at = |value: String| (value, "at".to_owned());
        match self {
            _ if difference_c.abs() < 0.05 => at(self.limit(limit_c)),
            Self::Metric => (self.degrees(celsius), format!("{} {side}", self.difference(difference_c))),
            Self::Us => {
                let (value, limit) = (fahrenheit(celsius), fahrenheit(limit_c));
                let shown = if is_broken(limit) { limit } else { limit.round() };
                if is_broken(limit) || value.round() == shown {
                    return (format!("{value:.1} °F"), format!("{:.1} °F {side}", (value - shown).abs()));
                }
                (self.degrees(celsius), format!("{:.0} °F {side}", (value.round() - shown).abs()))
            }
        }
    }

    /// The metric value of an element, with its unit.
    pub fn amount(self, element: Element, value: f64) -> String {
        let converted = match (element.unit(), self) {
            (Some("°C"), _) => return self.degrees(value),
            (Some("mm"), Self::Us) => Some(Unit::Inches),
            (Some("m/s"), Self::Us) => Some(Unit::MilesPerHour),
            _ => None,
        };
        match (converted, element.unit()) {
            (Some(unit), _) => format!("{:.2} {}", unit.convert(value), unit.symbol()),
            (None, Some(unit)) => format!("{value} {unit}"),
            (None, None) => format!("{value}"),
        }
    }

    /// The same with a decimal of a degree Fahrenheit where there is one: as a measurement is shown next to a limit.
    pub fn measured(self, element: Element, value: f64) -> String {
        match element.unit() {
            Some("°C") => self.limit(value),
            _ => self.amount(element, value),
        }
    }

    /// A wind with its unit.
    pub fn wind(self, m_s: f64) -> String {
        match self {
            Self::Metric => format!("{m_s:.0} m/s"),
            Self::Us => format!("{:.0} mph", m_s / 0.44704),
        }
    }

    /// How much two temperatures differ, without a sign.
    pub fn difference(self, kelvin: f64) -> String {
        match self {
            Self::Metric => format!("{:.1} °C", kelvin.abs()),
            Self::Us => format!("{:.0} °F", (kelvin * 9.0 / 5.0).abs()),
        }
    }

    /// The word for a night as cold as the limit.
    pub fn term(self, limit_c: f64) -> &'static str {
        match self {
            Self::Us if limit_c <= HARD_FREEZE_C => "Hard freeze",
            Self::Us if limit_c <= FREEZE_C => "Freeze",
            _ if limit_c <= FROST_C => "Frost",
            _ => "A cold night",
        }
    }
}

fn fahrenheit(celsius: f64) -> f64 {
    celsius * 9.0 / 5.0 + 32.0
}

/// Whether a limit has a decimal worth showing: those in whole degrees Fahrenheit are kept to a tenth of a degree
/// Celsius, so they come back with an error of up to 0.09.
fn is_broken(degrees: f64) -> bool {
    (degrees - degrees.round()).abs() > 0.095
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temperature_is_not_rounded_to_the_limit_that_it_missed() {
        let beside = |fahrenheit: f64, limit: f64| {
            let celsius = |fahrenheit: f64| ((fahrenheit - 32.0) / 0.18).round() / 10.0;
            let (value, side) = Units::Us.beside(celsius(fahrenheit), celsius(limit));
            format!("{value}, {side} {}", Units::Us.limit(celsius(limit)))
        };
        assert_eq!(beside(27.6, 28.0), "27.7 °F, 0.3 °F below 28 °F");
        assert_eq!(beside(27.4, 28.0), "27 °F, 1 °F below 28 °F");
        assert_eq!(beside(28.4, 28.0), "28.4 °F, 0.4 °F above 28 °F");
        assert_eq!(beside(30.6, 31.0), "30.6 °F, 0.4 °F below 31 °F");
        assert_eq!(beside(28.0, 28.0), "28 °F, at 28 °F");
        assert_eq!(beside(28.2, 28.4), "28.2 °F, 0.2 °F below 28.4 °F");
        assert_eq!(Units::Metric.beside(-2.6, -2.0), ("-2.6 °C".into(), "0.6 °C below".into()));
    }
}
