//! The results of a run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::{Installation, Recovery};

/// Examples kept for each kind of violation.
const EXAMPLES_MAX: usize = 5;

/// A kind of violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Expected, but missing.
    Lost,
    /// More often than expected.
    Duplicated,
    /// Without a cause.
    Unexpected,
    /// Out of order within its key.
    OutOfOrder,
    /// A live reader of committed records saw it, but at the end it is missing or different.
    AbortedSeen,
    /// An alert id that was written more than once.
    AlertTwice,
    /// A committed offset that went back.
    OffsetBack,
    /// State that differs from the state that the input gives.
    State,
    /// A process that ended unexpectedly, or not in good order.
    Died,
    /// Lag that did not reach 0 after the faults had stopped.
    NotDrained,
    /// A process that reported that it was ready, but was not.
    Readiness,
    /// Two processes that kept the same name.
    NotParted,
    /// State that was made from topics which have been deleted since.
    EarlierTopics,
    /// State in another partition than the records of its key.
    Misplaced,
    /// A process whose clock brokers refuse, and that continues.
    Clock,
    /// A position of a source that does not match the answers of its service.
    Position,
    /// A message that did not arrive.
    MessageLost,
    /// A message with several outcomes. That it arrives several times is not a violation.
    MessageTwice,
    /// A message about an alert that was never committed.
    MessageUnfounded,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Lost,
        Self::Duplicated,
        Self::Unexpected,
        Self::OutOfOrder,
        Self::AbortedSeen,
        Self::AlertTwice,
        Self::OffsetBack,
        Self::State,
        Self::Died,
        Self::NotDrained,
        Self::Readiness,
        Self::NotParted,
        Self::EarlierTopics,
        Self::Misplaced,
        Self::Clock,
        Self::Position,
        Self::MessageLost,
        Self::MessageTwice,
        Self::MessageUnfounded,
    ];

    /// In words, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Duplicated => "duplicated",
            Self::Unexpected => "unexpected",
            Self::OutOfOrder => "out of order",
            Self::AbortedSeen => "aborted but seen",
            Self::AlertTwice => "repeated alert ids",
            Self::OffsetBack => "offsets moved back",
            Self::State => "state differences",
            Self::Died => "processes that died",
            Self::NotDrained => "partitions not drained",
            Self::Readiness => "ready but idle",
            Self::NotParted => "names still shared",
            Self::EarlierTopics => "from earlier topics",
            Self::Misplaced => "state misplaced",
            Self::Clock => "refused clocks kept",
            Self::Position => "wrong positions",
            Self::MessageLost => "messages lost",
            Self::MessageTwice => "messages concluded twice",
            Self::MessageUnfounded => "messages without alert",
        }
    }
}

/// Counts of violations, each kind with a few examples.
#[derive(Debug, Default)]
pub struct Violations {
    found: BTreeMap<Kind, (u64, Vec<String>)>,
}

impl Violations {
    /// Adds one.
    pub(super) fn add(&mut self, kind: Kind, example: String) {
        let (count, examples) = self.found.entry(kind).or_default();
        *count += 1;
        if examples.len() < EXAMPLES_MAX {
            examples.push(example);
        }
    }

    /// How many there are of a kind.
    pub fn count(&self, kind: Kind) -> u64 {
        self.found.get(&kind).map_or(0, |(count, _)| *count)
    }

    /// The examples of a kind.
    pub fn examples(&self, kind: Kind) -> &[String] {
        self.found.get(&kind).map(|(_, examples)| examples.as_slice()).unwrap_or_default()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }
}

/// The input of a source. Its records are among those that were compared.
#[derive(Debug, Serialize)]
pub struct FollowedSource {
    /// How many times its service had new data.
    pub steps: u64,
    /// Faults on the way to the service, by name.
    pub faults: BTreeMap<&'static str, u64>,
    /// Longest time until the daemons had everything that the service showed.
    pub longest_step_seconds: f64,
}

/// The results of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether there are no violations.
    pub ok: bool,
    /// The seed, which repeats the run as far as timing allows.
    pub seed: String,
    /// The guarantee of the daemons.
    pub guarantee: String,
    /// The planted bugs, separated by commas, if any.
    pub sabotage: Option<String>,
    /// Faults that were tried.
    pub rounds: u32,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
    /// Planted points that were not reached in time.
    pub points_not_reached: u64,
    /// Starts of processes.
    pub starts: u64,
    /// From the first start of a process to the end of the checks.
    pub seconds: f64,
    /// Records that were fed.
    pub records_in: u64,
    /// Fewest records that were fed during one fault; null without faults.
    pub records_in_round_min: Option<u64>,
    /// Faults during which no records were fed: they struck idle daemons, and prove little. A broker that restarts
    /// accepts no records for a while.
    pub idle_rounds: u64,
    /// Records that the model expects, by writer.
    pub compared: BTreeMap<&'static str, u64>,
    /// Alerts that the model expects, by transition.
    pub alerts: BTreeMap<String, u64>,
    /// Messages to people that arrived, by recipient and alert.
    pub messages: u64,
    /// How many of them came more than once: the answer to the first was lost.
    pub messages_repeated: u64,
    /// Messages that were not sent on purpose.
    pub messages_suppressed: u64,
    /// Store entries that were compared.
    pub state_entries: u64,
    /// The sources that the daemons followed, by name.
    pub sources: BTreeMap<&'static str, FollowedSource>,
    /// How long recoveries took, by kind of fault.
    pub recovery: BTreeMap<String, Recovery>,
    /// Violations by kind.
    #[serde(flatten)]
    pub violations: BTreeMap<Kind, u64>,
    /// Some examples, by kind.
    pub examples: BTreeMap<Kind, Vec<String>>,
    /// The directory of logs and state, if they were kept.
    pub kept: Option<PathBuf>,
}

impl Report {
    /// Nothing has happened yet.
    pub(super) fn new(installation: &Installation) -> Self {
        let options = &installation.options;
        Self {
            ok: false,
            seed: format!("{:x}", options.seed),
            guarantee: installation.config.runtime.guarantee.to_string(),
            sabotage: Some(options.broken()).filter(|broken| !broken.is_empty()),
            rounds: options.rounds,
            faults: BTreeMap::new(),
            points_not_reached: 0,
            starts: 0,
            seconds: 0.0,
            records_in: 0,
            records_in_round_min: None,
            idle_rounds: 0,
            compared: BTreeMap::new(),
            alerts: BTreeMap::new(),
            messages: 0,
            messages_repeated: 0,
            messages_suppressed: 0,
            state_entries: 0,
            sources: BTreeMap::new(),
            recovery: BTreeMap::new(),
            violations: BTreeMap::new(),
            examples: BTreeMap::new(),
            kept: None,
        }
    }

    /// Records how many records were fed during a fault.
    pub(super) fn fed_in_round(&mut self, records: u64) {
        let fewest = self.records_in_round_min.map_or(records, |fewest| fewest.min(records));
        self.records_in_round_min = Some(fewest);
        self.idle_rounds += u64::from(records == 0);
    }

    /// Adds violations.
    pub(super) fn judge(&mut self, violations: &Violations) {
        self.ok = violations.is_empty();
        for kind in Kind::ALL {
            self.violations.insert(kind, violations.count(kind));
            if violations.count(kind) > 0 {
                self.examples.insert(kind, violations.examples(kind).to_vec());
            }
        }
    }
}
