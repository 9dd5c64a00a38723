//! `--units`: in which units a command speaks to people. What programs read stays metric.

use clap::{Args, ValueEnum};

use crate::rules::Units;

/// The option, for commands that show weather.
#[derive(Args)]
pub(super) struct UnitsArgument {
    /// Units for people; --json is metric all the same
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
    /// The units that were asked for.
    pub(super) fn units(&self) -> Units {
        match self.units {
            UnitsName::Metric => Units::Metric,
            UnitsName::Us => Units::Us,
        }
    }
}
