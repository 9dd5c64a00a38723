//! `--units`: the units of a command's output for people. JSON stays metric.

use clap::{Args, ValueEnum};

use crate::rules::Units;

/// The option, for commands that show weather.
#[derive(Args)]
pub(super) struct UnitsArgument {
    /// Print values in these units; --json is always metric
    #[arg(long, value_enum, default_value_t = UnitsName::Metric)]
    units: UnitsName,
}

#[derive(Clone, Copy, ValueEnum)]
enum UnitsName {
    /// °C, mm, m/s
    Metric,
    /// °F, inches, mph
    Us,
}

impl UnitsArgument {
    /// The requested units.
    pub(super) fn units(&self) -> Units {
        match self.units {
            UnitsName::Metric => Units::Metric,
            UnitsName::Us => Units::Us,
        }
    }
}
