//! The records that decide a rule: observations of days, of hours, or outlooks on nights.

use super::Condition;
use super::definition::{Definition, Problems};

/// The kind of record that a condition is decided by, according to the names that it uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feed {
    /// Daily observations: `TMIN`, `PRCP`. Also conditions that name only `station` or `date`.
    #[default]
    Day,
    /// Hourly observations: `T`, `WETBULB`.
    Hour,
    /// Outlooks on the coming night: `chance(-2.0)`, `night.min`.
    Night,
}

impl Feed {
    /// The feed of the stage that judges daily observations.
    pub const DAYS: &'static [Self] = &[Self::Day];
    /// The feeds of the stage that judges hours and nights.
    pub const MOMENTS: &'static [Self] = &[Self::Hour, Self::Night];

    /// Its name in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Night => "night",
        }
    }

    /// The same in a sentence.
    pub(super) fn with_article(self) -> &'static str {
        match self {
            Self::Day => "a day",
            Self::Hour => "an hour",
            Self::Night => "a night",
        }
    }

    /// A predicate about a name of this feed, for messages.
    fn about(self) -> &'static str {
        match self {
            Self::Day => "is reported once for a whole day",
            Self::Hour => "is measured now",
            Self::Night => "is about the coming night",
        }
    }
}

/// A name with its feed, and the place of its first use, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) feed: Feed,
    pub(super) offset: usize,
}

/// Why two names cannot decide one rule.
pub(super) fn mixed(one: &Asked, other: &Asked) -> String {
    format!(
        "`{}` {}, `{}` {}: write two rules, one for each",
        one.name,
        one.feed.about(),
        other.name,
        other.feed.about()
    )
}

/// Checks fields that a rule may have only with some feeds, and that its conditions are of one feed, which is
/// returned.
pub(super) fn check(
    definition: &Definition,
    when: &Condition,
    clear: Option<&Condition>,
    problems: &mut Problems,
) -> Feed {
    if let (Some(one), Some(other)) = (when.asked(), clear.and_then(Condition::asked))
        && one.feed != other.feed
    {
        problems.add("clear", other.offset, mixed(one, other));
    }
    let feed = of_rule(when, clear);
    if feed == Feed::Day {
        return feed;
    }
    for (field, days) in [("for_days", definition.for_days), ("repeat_days", definition.repeat_days)] {
        if days.is_some() {
            let kind = feed.with_article();
            let reason = format!("{field} counts reported days, and this is a rule about {kind}: remove it");
            problems.add(field, 0, reason);
        }
    }
    if feed == Feed::Night && when.night_limit().is_none() {
        let reason = "expected chance(-2.0) or a comparison such as night.min <= 0.0: without a limit it cannot \
                      be decided in the morning whether the warning was right";
        problems.add("when", when.asked().map_or(0, |asked| asked.offset), reason);
    }
    feed
}

/// The feed of a rule with these conditions. A condition with only `station` and `date` takes the feed of the other.
pub(super) fn of_rule(when: &Condition, clear: Option<&Condition>) -> Feed {
    let asked = when.asked().or_else(|| clear.and_then(Condition::asked));
    asked.map_or(Feed::Day, |asked| asked.feed)
}
