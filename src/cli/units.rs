//! `--units`: the units of a command's output for people. JSON stays metric.

use clap::{Args, ValueEnum};

use crate::rules::Units;

/// The option, for commands that show weather.
#[derive(Args)]
pub(super) struct UnitsArgument {
    /// Print values in these units; --json is always metric [default: those of the rule, otherwise metric]
    #[arg(long, value_enum)]
    units: Option<UnitsName>,
}

#[derive(Clone, Copy, ValueEnum)]
enum UnitsName {
    /// °C, mm, m/s
    Metric,
    /// °F, inches, mph
    Us,
}

impl UnitsArgument {
    /// The requested units, or metric ones.
    pub(super) fn units(&self) -> Units {
        self.requested().unwrap_or_default()
    }

    /// The requested units, or those of a condition.
    pub(super) fn of_rule(&self, when: &str) -> Units {
        self.requested().or_else(|| Units::of_condition(when)).unwrap_or_default()
    }

    fn requested(&self) -> Option<Units> {
        self.units.map(|name| match name {
            UnitsName::Metric => Units::Metric,
            UnitsName::Us => Units::Us,
        })
    }
}
