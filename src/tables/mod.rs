//! The tables: compacted topics that every process reads completely before its first record, and then follows.

mod rule_table;
mod station_table;

pub use rule_table::RuleTable;
pub use station_table::StationTable;

/// Facts about stations, by id.
pub const STATIONS: &str = "stations";
/// Rules and subscribers.
pub const RULES: &str = "rules";
