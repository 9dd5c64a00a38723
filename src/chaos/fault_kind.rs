//! The kinds of faults, and their order.

use frostline_engine::fault::{Point, SourcePoint};

use super::ChaosOptions;
use super::breaks::showing;

/// A fault of a process, of topics, or of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// SIGKILL, then a new start.
    Kill,
    /// SIGTERM, then a new start.
    Terminate,
    /// Stopped for longer than its group waits, then continued: a zombie.
    Pause,
    /// One more process.
    Add,
    /// One process less.
    Remove,
    /// SIGKILL, then a start without its state.
    DeleteState,
    /// SIGKILL, then a start on damaged state.
    FlipBytes,
    /// SIGKILL; some time later its old state directory is put back.
    OldState,
    /// Takes the name of another process's state directory, as a copy of it would have.
    SharedName,
    /// A new start, after which all its commits fail for a while.
    Outage,
    /// A new start with a clock that is a day ahead, which brokers refuse.
    ClockAhead,
    /// A new start with a clock that is a day behind.
    ClockBehind,
    /// Topics are deleted and created again while a process is away.
    TopicsRecreated,
    /// Topics get more partitions.
    PartitionsGrown,
    /// The process dies at a named point.
    Point(Point),
    /// SIGKILL of the process that polls a source, then a new start.
    KillPoller,
    /// The process that polls a source dies at a named point.
    PollerPoint(SourcePoint),
    /// The user's own command for the broker.
    RestartBroker,
}

impl FaultKind {
    /// Faults that can be chosen by name: all except restarts of the broker, which need a command.
    pub fn choices() -> impl Iterator<Item = Self> {
        let others = [Self::SharedName, Self::TopicsRecreated];
        let of_poller = SourcePoint::ALL.map(Self::PollerPoint);
        let of_poller = std::iter::once(Self::KillPoller).chain(of_poller);
        ORDINARY.into_iter().chain(others).chain(Point::ALL.map(Self::Point)).chain(of_poller)
    }

    /// Whether it needs daemons that follow weather services.
    pub(super) fn is_of_poller(self) -> bool {
        matches!(self, Self::KillPoller | Self::PollerPoint(_))
    }

    /// The name in reports and on the command line.
    pub fn name(self) -> String {
        match self {
            Self::Kill => "kill".into(),
            Self::Terminate => "terminate".into(),
            Self::Pause => "pause".into(),
            Self::Add => "add".into(),
            Self::Remove => "remove".into(),
            Self::DeleteState => "delete-state".into(),
            Self::FlipBytes => "flip-bytes".into(),
            Self::OldState => "old-state".into(),
            Self::SharedName => "shared-name".into(),
            Self::Outage => "outage".into(),
            Self::ClockAhead => "clock-ahead".into(),
            Self::ClockBehind => "clock-behind".into(),
            Self::TopicsRecreated => "topics-recreated".into(),
            Self::PartitionsGrown => "partitions-grown".into(),
            Self::Point(point) => format!("point:{}", point.name()),
            Self::KillPoller => "kill-poller".into(),
            Self::PollerPoint(point) => format!("poller:{}", point.name()),
            Self::RestartBroker => "restart-broker".into(),
        }
    }
}

/// The kinds that every run has.
const ORDINARY: [FaultKind; 12] = [
    FaultKind::Kill,
    FaultKind::Terminate,
    FaultKind::Pause,
    FaultKind::Add,
    FaultKind::Remove,
    FaultKind::DeleteState,
    FaultKind::FlipBytes,
    FaultKind::OldState,
    FaultKind::Outage,
    FaultKind::ClockAhead,
    FaultKind::ClockBehind,
    FaultKind::PartitionsGrown,
];

/// Faults in random order: each kind comes as often as the deck says before any is repeated.
pub(super) struct Deck {
    kinds: Vec<FaultKind>,
    left: Vec<FaultKind>,
    /// Comes first and once: records written before it cannot be compared.
    is_first_recreated: bool,
}

impl Deck {
    /// The requested kinds; if something is broken on purpose, the kinds that reveal it; otherwise all. A name shared
    /// by two processes does harm only `with_transactions`.
    pub(super) fn new(options: &ChaosOptions, with_transactions: bool) -> Self {
        let mut kinds = options.faults.clone();
        if kinds.is_empty() {
            kinds.extend(options.sabotage.iter().flat_map(|sabotage| showing(*sabotage)));
        }
        if kinds.is_empty() {
            kinds.extend(FaultKind::choices());
            kinds.retain(|kind| with_transactions || *kind != FaultKind::SharedName);
            kinds.retain(|kind| options.follows() || !kind.is_of_poller());
        }
        kinds.extend(options.restart_broker.is_some().then_some(FaultKind::RestartBroker));
        let is_first_recreated = kinds.contains(&FaultKind::TopicsRecreated);
        kinds.retain(|kind| *kind != FaultKind::TopicsRecreated);
        Self { kinds, left: Vec::new(), is_first_recreated }
    }

    /// The next fault.
    pub(super) fn draw(&mut self, rng: &mut fastrand::Rng) -> FaultKind {
        if std::mem::take(&mut self.is_first_recreated) {
            return FaultKind::TopicsRecreated;
        }
        if self.left.is_empty() {
            self.left.clone_from(&self.kinds);
            rng.shuffle(&mut self.left);
        }
        self.left.pop().unwrap_or(FaultKind::Kill)
    }
}

#[cfg(test)]
mod tests {
    use frostline_engine::fault::Sabotage;

    use super::*;

    #[test]
    fn a_run_of_the_usual_length_sees_every_kind_and_new_topics_first() {
        for (seed, follow) in (0..50).flat_map(|seed| [(seed, false), (seed, true)]) {
            let (rounds, restart_broker) = (ChaosOptions::usual_rounds(follow), Some("restart".into()));
            let options = ChaosOptions { follow, rounds, restart_broker, ..ChaosOptions::default() };
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut deck = Deck::new(&options, true);
            let drawn: Vec<FaultKind> = (0..options.rounds).map(|_| deck.draw(&mut rng)).collect();
            let all = FaultKind::choices().chain([FaultKind::RestartBroker]);
            let mut all = all.filter(|kind| follow || !kind.is_of_poller());
            assert!(all.all(|kind| drawn.contains(&kind)), "{drawn:?}");
            assert!(follow || drawn.iter().all(|kind| !kind.is_of_poller()), "{drawn:?}");
            let recreated = drawn.iter().rposition(|kind| *kind == FaultKind::TopicsRecreated);
            assert_eq!(recreated, Some(0));
        }
    }

    #[test]
    fn faults_that_were_asked_for_are_the_only_ones() {
        let faults = vec![FaultKind::PartitionsGrown];
        let mut deck = Deck::new(&ChaosOptions { faults, ..ChaosOptions::default() }, true);
        let mut rng = fastrand::Rng::with_seed(1);
        assert!((0..5).all(|_| deck.draw(&mut rng) == FaultKind::PartitionsGrown));
    }

    #[test]
    fn faults_of_pollers_need_something_to_follow() {
        let options = |faults| ChaosOptions { faults, ..ChaosOptions::default() };
        assert!(!options(vec![FaultKind::Kill]).follows());
        assert!(options(vec![FaultKind::Kill, FaultKind::KillPoller]).follows());
        let sabotage = vec![Sabotage::PositionApart];
        assert!(ChaosOptions { sabotage, ..ChaosOptions::default() }.follows());
    }
}
