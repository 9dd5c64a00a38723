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
            Self::Us => format!("{:.0}", celsius * 9.0 / 5.0 + 32.0),
        };
        if text.chars().all(|c| matches!(c, '-' | '0' | '.')) { text.replace('-', "") } else { text }
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
