//! Rules: conditions over observations, with their subscribers and stations.
//!
//! Plain functions on plain values. A rule is written as a [`Definition`], in a file ([`RuleFile`]) or in a record of
//! the rules' topic ([`Published`]), and compiled into a [`Rule`]. [`RuleSet`] holds the rules in force.
//! [`Rule::judge`] judges a day, [`Rule::judge_moment`] an hour or a night; `lifecycle.rs` describes how alerts
//! follow from that.

mod active;
mod chances;
mod channel;
mod clauses;
mod condition;
mod cost;
mod crops;
mod days;
mod definition;
mod execution;
mod feed;
mod file;
mod hour_watch;
mod input;
mod lifecycle;
mod lint;
mod lint_moments;
mod lone_day;
mod message;
mod moment;
mod native;
mod nearest;
mod night_watch;
mod outline;
mod plain_words;
mod position;
mod published;
mod rule;
mod rule_log;
mod rule_set;
mod sample;
mod subscriber;
mod syntax;
mod thresholds;
mod transition;
mod unit;
mod units;
mod variables;
mod walk;

pub use active::{Active, ActiveDefinition};
pub use channel::{AddressField, CHANNELS, Channel, ChannelDescriptor};
pub use clauses::Clause;
pub use condition::{Condition, ConditionError, Evaluator, Scope, Verdict};
pub use crops::Crop;
pub use definition::{Conditions, Definition, Near, Problem};
pub use execution::EvaluationError;
pub use feed::Feed;
pub use file::{MISTAKES_MAX, RuleFile};
pub use hour_watch::HourWatch;
pub use lifecycle::{Episodes, Event, HORIZON_DAYS, Identity, Taken, Terms};
pub use lint::lint;
pub use lone_day::LoneDay;
pub use message::{Subject, Template};
pub use moment::{HourValues, MomentView};
pub use nearest::{Needs, REPORTING_RECORDS, Reporting, far, km_between};
pub use night_watch::{NightEvent, NightWatch, Settled, Sight, TrackRecord};
pub use position::{Mistake, Position};
pub(crate) use published::RuleDocument;
pub use published::{Item, Key, Nearest, Published, PublishedRule, Quarantine};
pub use rule::{DayVerdict, Judgement, Place, Rule, Severity};
pub use rule_log::RuleLog;
#[cfg(test)]
pub use rule_log::logged_by;
pub use rule_set::{QUARANTINED_METRIC, RuleSet};
pub use subscriber::{Address, QuietHours, Subscriber};
pub use transition::Transition;
pub use unit::Unit;
pub use units::Units;

/// Longest rule file that is read, in bytes: about a million rules as JSON lines.
pub const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;
