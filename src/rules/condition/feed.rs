//! The records that decide a rule: observations of days, of hours, or outlooks on nights.

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
    pub(in crate::rules) fn with_article(self) -> &'static str {
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
pub(in crate::rules) struct Asked {
    pub(in crate::rules) name: String,
    pub(in crate::rules) feed: Feed,
    pub(in crate::rules) offset: usize,
}

/// Why two names cannot decide one rule.
pub(in crate::rules) fn mixed(one: &Asked, other: &Asked) -> String {
    format!(
        "`{}` {}, `{}` {}: write two rules, one for each",
        one.name,
        one.feed.about(),
        other.name,
        other.feed.about()
    )
}
