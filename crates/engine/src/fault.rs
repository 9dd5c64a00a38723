//! Faults that `frostline chaos` plants in the daemons that it starts: named points where the process dies, and
//! switches that break a protocol on purpose, which test the checker itself.
//!
//! Both are set by environment variables that nothing else sets. Without them a point costs one load.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// `after-commit:3`: die when the point is reached for the third time; `after-commit:3:hang`: hang there forever.
pub const POINT_VARIABLE: &str = "FROSTLINE_FAULT_POINT";
/// `no-fencing`, or several names separated by commas: see [`Sabotage`].
pub const SABOTAGE_VARIABLE: &str = "FROSTLINE_FAULT_SABOTAGE";
/// `15000`: from the first commit on, every commit fails for this many milliseconds.
pub const OUTAGE_VARIABLE: &str = "FROSTLINE_FAULT_OUTAGE";
/// `-86400000`: this process's clock differs from the machine's by this many milliseconds.
pub const CLOCK_VARIABLE: &str = "FROSTLINE_FAULT_CLOCK";
/// The path of a file that says where the process that polls a source must die, such as `numbers:after-commit`: see
/// [`poller_dies`].
pub const POLLER_VARIABLE: &str = "FROSTLINE_FAULT_POLLER";
/// Only daemons whose namespace begins with this can be sabotaged.
pub const NAMESPACE: &str = "chaos-";

/// A place in the protocols where a crash does most harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Outputs and changelog records have been sent; the transaction is open.
    AfterProduce,
    /// The offsets are in the transaction too.
    AfterOffsetsSent,
    /// The transaction is committed, but sled does not have the changes yet.
    AfterCommit,
    /// sled has the state, but nothing has been flushed.
    AfterSled,
    /// Part of a changelog has been read back.
    InRestore,
    /// Partitions are being given up: no records are taken any more, and nothing is committed yet.
    InRevoke,
}

impl Point {
    /// All points.
    pub const ALL: [Self; 6] = [
        Self::AfterProduce,
        Self::AfterOffsetsSent,
        Self::AfterCommit,
        Self::AfterSled,
        Self::InRestore,
        Self::InRevoke,
    ];

    /// The name in the variable and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::AfterProduce => "after-produce",
            Self::AfterOffsetsSent => "after-offsets-sent",
            Self::AfterCommit => "after-commit",
            Self::AfterSled => "after-sled",
            Self::InRestore => "in-restore",
            Self::InRevoke => "in-revoke",
        }
    }
}

/// A place in the protocol of sources (see [`Source`](crate::Source)) where a crash does most harm. A poll without
/// records reaches none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourcePoint {
    /// The service has answered, and nothing has been sent.
    BeforeSend,
    /// The records have been sent; the transaction is open.
    AfterProduce,
    /// The changes of the position are in the transaction too.
    AfterPositionSent,
    /// The transaction is committed, but this process does not know its new position yet.
    AfterCommit,
}

impl SourcePoint {
    /// All points, in the order in which a poll reaches them.
    pub const ALL: [Self; 4] =
        [Self::BeforeSend, Self::AfterProduce, Self::AfterPositionSent, Self::AfterCommit];

    /// The name in the file and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeSend => "before-send",
            Self::AfterProduce => "after-produce",
            Self::AfterPositionSent => "after-position-sent",
            Self::AfterCommit => "after-commit",
        }
    }
}

/// A protocol broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Input offsets are committed before the outputs.
    CommitBeforeProduce,
    /// State is written to sled before the transaction is committed.
    SledBeforeCommit,
    /// Neither the group's generation nor the lease prevents a former owner from committing.
    NoFencing,
    /// The age of a store is ignored, and changes written after it became too old are left out, as if compaction had
    /// removed their tombstones.
    OldState,
    /// A state directory keeps its name although another process has the same one.
    NoRenaming,
    /// The process reports that it is ready, however little works.
    BlindReadiness,
    /// Stores are trusted whatever topics they come from, as long as the topics' names are the same.
    EarlierTopics,
    /// Topics get more partitions, but the state of their keys stays where it was.
    GrowWithoutState,
    /// A process whose clock the brokers refuse keeps trying, and keeps its partitions.
    StubbornClock,
    /// The position of a source is committed separately from its records.
    PositionApart,
    /// A producer with unacknowledged records is used again after an abort.
    ReusedSequences,
    /// A bug in a processor, which the application knows by this name.
    Processor(&'static str),
}

/// The id of every topic while [`Sabotage::EarlierTopics`] is planted.
pub const ANY_TOPICS: &str = "any";

impl Sabotage {
    /// All that `frostline chaos` can show: not those of processors, and not [`ReusedSequences`](Self::ReusedSequences),
    /// which takes an answer that is lost just before an abort. The simulation shows that one.
    pub const ALL: [Self; 10] = [
        Self::CommitBeforeProduce,
        Self::SledBeforeCommit,
        Self::NoFencing,
        Self::OldState,
        Self::NoRenaming,
        Self::BlindReadiness,
        Self::EarlierTopics,
        Self::GrowWithoutState,
        Self::StubbornClock,
        Self::PositionApart,
    ];

    /// The name in the variable and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::CommitBeforeProduce => "commit-before-produce",
            Self::SledBeforeCommit => "sled-before-commit",
            Self::NoFencing => "no-fencing",
            Self::OldState => "old-state",
            Self::NoRenaming => "no-renaming",
            Self::BlindReadiness => "blind-readiness",
            Self::EarlierTopics => "earlier-topics",
            Self::GrowWithoutState => "grow-without-state",
            Self::StubbornClock => "stubborn-clock",
            Self::PositionApart => "position-apart",
            Self::ReusedSequences => "reused-sequences",
            Self::Processor(name) => name,
        }
    }
}

struct Planted {
    point: Point,
    /// How many times the point will be passed before it happens.
    left: AtomicU32,
    /// The thread hangs instead of the process dying.
    hangs: bool,
}

/// Dies here without any clean-up, or hangs if the variable says so.
pub fn reach(point: Point) {
    #[cfg(test)]
    if crate::sim::host::reaches(crate::sim::host::Place::Task(point)) {
        return die();
    }
    static PLANTED: OnceLock<Option<Planted>> = OnceLock::new();
    let planted = PLANTED.get_or_init(|| {
        let wanted = std::env::var(POINT_VARIABLE).ok()?;
        let mut parts = wanted.split(':');
        let name = parts.next()?;
        let point = Point::ALL.into_iter().find(|point| point.name() == name)?;
        let left = AtomicU32::new(parts.next().unwrap_or("1").parse().ok()?);
        Some(Planted { point, left, hangs: parts.next() == Some("hang") })
    });
    if let Some(planted) = planted.as_ref().filter(|planted| planted.point == point)
        && planted.left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        if planted.hangs {
            tracing::warn!(point = point.name(), "hanging here, as planted");
            loop {
                std::thread::park();
            }
        }
        tracing::warn!(point = point.name(), "dying here, as planted");
        die();
    }
}

/// Ends this process at once, without any clean-up.
pub(crate) fn die() {
    #[cfg(test)]
    if crate::sim::host::die() {
        return;
    }
    std::process::abort();
}

/// Whether this process, which polls `source`, must die at `point`, according to the file of [`POLLER_VARIABLE`]. The
/// file is removed, so that only one process dies.
pub fn poller_dies(source: &str, point: SourcePoint) -> bool {
    #[cfg(test)]
    if crate::sim::host::reaches(crate::sim::host::Place::Poller(point)) {
        return true;
    }
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let file = FILE.get_or_init(|| std::env::var_os(POLLER_VARIABLE).map(PathBuf::from));
    file.as_deref().is_some_and(|file| takes(file, source, point))
}

fn takes(file: &Path, source: &str, point: SourcePoint) -> bool {
    let wanted = std::fs::read_to_string(file);
    wanted.is_ok_and(|wanted| wanted == planted_poller(source, point)) && std::fs::remove_file(file).is_ok()
}

/// The content of the file of [`POLLER_VARIABLE`].
pub fn planted_poller(source: &str, point: SourcePoint) -> String {
    format!("{source}:{}", point.name())
}

/// Whether this protocol is broken on purpose.
pub fn is_sabotaged(sabotage: Sabotage) -> bool {
    #[cfg(test)]
    if let Some(simulated) = crate::sim::host::is_sabotaged(sabotage) {
        return simulated;
    }
    planted_sabotage().iter().any(|name| name == sabotage.name())
}

/// The names of the planted bugs, if there are any.
pub fn planted_sabotage() -> &'static [String] {
    static PLANTED: OnceLock<Vec<String>> = OnceLock::new();
    PLANTED.get_or_init(|| {
        let wanted = std::env::var(SABOTAGE_VARIABLE).unwrap_or_default();
        wanted.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    })
}

/// Why faults must not be planted in this process, if any are set: only a test of the engine itself may plant them.
pub fn refusal(namespace: &str) -> Option<String> {
    let planted = planted_variables();
    (!planted.is_empty() && !namespace.starts_with(NAMESPACE)).then(|| {
        format!(
            "{} breaks the engine on purpose, and is for tests in namespaces that begin with {NAMESPACE:?} only",
            planted.join(", ")
        )
    })
}

/// Whether commits fail at the moment, as planted.
pub fn fails_commits() -> bool {
    static OUTAGE: OnceLock<Option<(Instant, Duration)>> = OnceLock::new();
    let outage = OUTAGE.get_or_init(|| milliseconds(OUTAGE_VARIABLE).map(|time| (Instant::now(), time)));
    outage.is_some_and(|(since, time)| since.elapsed() < time)
}

/// How far this process's clock is ahead of the machine's, in milliseconds.
pub fn clock_shift_ms() -> i64 {
    static SHIFT: OnceLock<i64> = OnceLock::new();
    *SHIFT.get_or_init(|| std::env::var(CLOCK_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// The variables of this module that are set and that change what the process does for longer than a moment.
fn planted_variables() -> Vec<&'static str> {
    let all = [SABOTAGE_VARIABLE, OUTAGE_VARIABLE, CLOCK_VARIABLE];
    all.into_iter().filter(|name| std::env::var_os(name).is_some()).collect()
}

fn milliseconds(variable: &str) -> Option<Duration> {
    std::env::var(variable).ok()?.parse().ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_dies_for_each_file_and_only_where_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("poller");
        let takes = |source, point| takes(&file, source, point);
        assert!(!takes("numbers", SourcePoint::AfterCommit), "there is no file");
        std::fs::write(&file, planted_poller("numbers", SourcePoint::AfterCommit)).unwrap();
        assert!(!takes("letters", SourcePoint::AfterCommit));
        assert!(!takes("numbers", SourcePoint::BeforeSend));
        assert!(takes("numbers", SourcePoint::AfterCommit));
        assert!(!takes("numbers", SourcePoint::AfterCommit), "it has been taken");
    }
}
