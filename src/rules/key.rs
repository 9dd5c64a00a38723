//! The keys of the rules' topic.

use super::plain_words::{shown, unquoted};
use crate::printable::at_most;

/// The item that a record of the topic is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The rule with this id.
    Rule(String),
    /// The subscriber with this id.
    Subscriber(String),
}

/// Ids in a file are far shorter, but a key in the topic may have any length.
const SHOWN_CHARS_MAX: usize = 200;

impl Key {
    /// The record's key.
    pub fn encode(&self) -> String {
        match self {
            Self::Rule(id) => format!("rule/{id}"),
            Self::Subscriber(id) => format!("subscriber/{id}"),
        }
    }

    /// The key for a page or a log: a record made by hand may have an address as its id.
    pub fn shown(&self) -> String {
        let (kind, id) = match self {
            Self::Rule(id) => ("rule", id),
            Self::Subscriber(id) => ("subscriber", id),
        };
        // Whole, as it might be an address: the first part of one looks like a name.
        format!("{kind}/{}", at_most(unquoted(id), SHOWN_CHARS_MAX))
    }

    /// Parses the key of a record; `None` if it is of another kind.
    pub fn decode(key: &[u8]) -> Option<Self> {
        match std::str::from_utf8(key).ok()?.split_once('/')? {
            ("rule", id) => Some(Self::Rule(id.to_owned())),
            ("subscriber", id) => Some(Self::Subscriber(id.to_owned())),
            _ => None,
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rule(id) => write!(f, "rule {}", shown(id)),
            Self::Subscriber(id) => write!(f, "subscriber {}", shown(id)),
        }
    }
}
