//! The tables: compacted topics that every process reads whole before its first record, and follows from then on.

mod rule_table;
mod station_table;

pub use rule_table::RuleTable;
pub use station_table::StationTable;

/// What is known of stations, by their id.
pub const STATIONS: &str = "stations";
/// Rules and subscribers.
pub const RULES: &str = "rules";
