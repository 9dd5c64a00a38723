//! Publishes rules for the command line and for HTTP: reads the published ones, plans the changes, and makes them.
//!
//! Each of them maps [`PublishError`] in its own way. Calls block, except [`Live::connect`].
//!
//! A change takes its [`Turn`] before it reads what is published, and is one transaction: all of it counts, or
//! nothing. If another process takes a turn in between, the transaction fails, so a change is never planned on rules
//! that somebody else has replaced.

mod difference;
mod live;
pub mod placement;
mod plan;
mod sole;
mod warnings;

use frostline_engine::kafka::KafkaError;
use serde_json::{Value, json};

pub use difference::{Change, place};
pub use live::{Live, Turn};
pub use plan::{Outcome, Plan, plan, plan_removal};
pub use sole::{settle, sole_producer};
pub use warnings::{Known, by_id, unreachable_by, unsent, warnings};

use crate::printable::counted;
use crate::rules::{Key, Mistake};

/// Said of a change to the topic if the configuration names a rule file.
pub const READS_A_FILE: &str = "a daemon with this configuration reads its rules from a file: set alert.rules = \"topic\" to make it follow the topic";

/// Why rules are not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The rule file has mistakes.
    #[error("{} in the rules; nothing was published", counted(.0.len() as u64, "mistake"))]
    Mistakes(Vec<Mistake>),
    /// The rule file is empty, perhaps because it was truncated.
    #[error(
        "the file has no rules, so all {0} published ones would be removed: to remove rules, name them in \
         `frostline rules remove`"
    )]
    RemovesAll(usize),
    /// A newer version has published a rule or subscriber of the file, with fields that this one would drop.
    #[error(
        "a newer version has published {0}, with fields that this version does not know: update this program, or remove it \
         first with `frostline rules remove`. Nothing was published"
    )]
    Newer(Key),
    /// A rule names a subscriber that the file does not have.
    #[error(
        "rule `{rule}` names subscriber `{subscriber}`, who would be removed: add a [[subscriber]] with that id. Nothing \
         was published"
    )]
    NamesRemoved {
        /// The rule's id.
        rule: String,
        /// The subscriber's id.
        subscriber: String,
    },
    /// The rule or subscriber to remove does not exist.
    #[error("no published {0}: see `frostline rules list`")]
    Unknown(Key),
    /// A rule that stays names the subscriber to remove.
    #[error("rule `{rule}` still names {key}: remove it there first")]
    StillNamed {
        /// The rule's id.
        rule: String,
        /// The subscriber.
        key: Key,
    },
    /// Another process has begun a change since this one read the rules.
    #[error(
        "somebody else is changing the rules at the same time: nothing was published. See what is published now \
         (`frostline rules list`), and try again"
    )]
    Overtaken,
    /// A topic of the installation is missing.
    #[error("no such topic: {0}: create the topics with `frostline topics create`")]
    NoTopic(String),
    /// The brokers or the client failed.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

impl PublishError {
    /// Whether the same request will fail again until it, or the installation, is changed.
    pub fn is_for_people(&self) -> bool {
        match self {
            Self::Kafka(error) => {
                matches!(error, KafkaError::Settings(_) | KafkaError::Topic(_) | KafkaError::Denied { .. })
            }
            Self::Mistakes(_)
            | Self::RemovesAll(_)
            | Self::Newer(_)
            | Self::NamesRemoved { .. }
            | Self::Unknown(_)
            | Self::StillNamed { .. }
            | Self::Overtaken
            | Self::NoTopic(_) => true,
        }
    }
}

/// A mistake with its place, for programs.
pub fn mistake_json(mistake: &Mistake) -> Value {
    let (line, column) = (mistake.position.line, mistake.position.column);
    json!({ "line": line, "column": column, "message": mistake.message })
}
