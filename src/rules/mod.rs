//! Rules: conditions over observations, with their subscribers and stations.
//!
//! Plain functions on plain values. A rule is written as a [`Definition`], in a file ([`RuleFile`]) or in a record of
//! the rules' topic ([`Published`]), and compiled into a [`Rule`]. [`RuleSet`] holds the rules in force.
//! [`Rule::judge`] judges a day, [`Rule::judge_moment`] an hour or a night; `lifecycle/` describes how alerts
//! follow from that.

mod active;
mod channel;
mod compile;
mod condition;
mod conditions;
mod crops;
mod definition;
mod file;
mod key;
mod lifecycle;
mod limit;
mod lint;
mod lint_moments;
mod message;
mod near;
mod nearest;
mod plain_words;
mod position;
mod problem;
mod published;
mod rule;
mod rule_log;
mod rule_set;
mod severity;
mod subscriber;
mod subscriber_check;
mod units;
mod written_condition;

pub use active::{Active, ActiveDefinition};
pub use channel::{AddressField, CHANNELS, Channel, ChannelDescriptor};
pub use condition::{
    Clause, Condition, ConditionError, EvaluationError, Evaluator, Feed, HourName, HourValues, MomentView,
    Scope, Unit, Verdict,
};
pub use conditions::Conditions;
pub use crops::Crop;
pub use definition::Definition;
pub use file::{MISTAKES_MAX, RuleFile};
pub use key::Key;
pub use lifecycle::{
    DayVerdict, Episodes, Event, HORIZON_DAYS, HourWatch, Identity, LoneDay, NightEvent, NightWatch, Settled,
    Sight, Taken, Terms, TrackRecord, Transition,
};
pub use limit::Limit;
pub use lint::lint;
pub use message::{Subject, Template};
pub use near::{Near, Nearest};
pub use nearest::{Needs, REPORTING_RECORDS, Reporting, far, km_between};
pub use position::{Mistake, Position};
pub use problem::Problem;
pub(crate) use published::RuleDocument;
pub use published::{Item, Published, PublishedRule, Quarantine};
pub use rule::{Judgement, Place, Rule};
pub use rule_log::RuleLog;
#[cfg(test)]
pub use rule_log::logged_by;
pub use rule_set::{QUARANTINED_METRIC, RuleSet};
pub use severity::Severity;
pub use subscriber::{Address, QuietHours, Subscriber};
pub use units::Units;

/// Longest rule file that is read, in bytes: about a million rules as JSON lines.
pub const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;
