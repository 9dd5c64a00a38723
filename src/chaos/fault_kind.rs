//! The kinds of faults, and in which order they come.

use frostline_engine::fault::{Point, Sabotage};

/// What is done to a process, or to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// SIGKILL, and a new start.
    Kill,
    /// SIGTERM, and a new start.
    Terminate,
    /// Stopped for longer than its group waits, then continued: a zombie.
    Pause,
    /// One process more.
    Add,
    /// One process less.
    Remove,
    /// SIGKILL, and a start without its state.
    DeleteState,
    /// SIGKILL, and a start on damaged state.
    FlipBytes,
    /// SIGKILL; some time later its state directory is again what it was.
    OldState,
    /// Takes the name of another process's state directory, as a copy of that has it.
    SharedName,
    /// A new start, after which all its commits fail for a while.
    Outage,
    /// A new start with a clock that is a day ahead, which brokers refuse.
    ClockAhead,
    /// A new start with a clock that is a day behind.
    ClockBehind,
    /// Dies by itself at a named point.
    Point(Point),
    /// The user's own command for the broker.
    RestartBroker,
}

impl FaultKind {
    /// The name in reports.
    pub(super) fn name(self) -> String {
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
            Self::Point(point) => format!("point:{}", point.name()),
            Self::RestartBroker => "restart-broker".into(),
        }
    }
}

/// The kinds that every run has.
const ORDINARY: [FaultKind; 11] = [
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
];

/// The faults that show a broken protocol.
fn showing(sabotage: Sabotage) -> &'static [FaultKind] {
    use FaultKind::{Kill, OldState, Outage, Pause, SharedName};
    const PRODUCED: FaultKind = FaultKind::Point(Point::AfterProduce);
    const OFFSETS_SENT: FaultKind = FaultKind::Point(Point::AfterOffsetsSent);
    match sabotage {
        Sabotage::CommitBeforeProduce => &[PRODUCED, OFFSETS_SENT, Kill],
        Sabotage::SledBeforeCommit => &[PRODUCED, OFFSETS_SENT],
        Sabotage::NoFencing => &[Pause],
        Sabotage::OldState => &[OldState],
        Sabotage::NoRenaming => &[SharedName],
        Sabotage::BlindReadiness => &[Outage],
    }
}

/// Faults in random order, each kind as often as the deck says before any comes again.
pub(super) struct Deck {
    kinds: Vec<FaultKind>,
    left: Vec<FaultKind>,
}

impl Deck {
    /// All kinds; with protocols broken on purpose, those that show them. Only `with_transactions` a name that two
    /// processes have does harm.
    pub(super) fn new(sabotage: &[Sabotage], can_restart_broker: bool, with_transactions: bool) -> Self {
        let mut kinds: Vec<FaultKind> =
            sabotage.iter().flat_map(|sabotage| showing(*sabotage)).copied().collect();
        if sabotage.is_empty() {
            kinds.extend(ORDINARY);
            kinds.extend(with_transactions.then_some(FaultKind::SharedName));
            kinds.extend(Point::ALL.map(FaultKind::Point));
        }
        kinds.extend(can_restart_broker.then_some(FaultKind::RestartBroker));
        Self { kinds, left: Vec::new() }
    }

    /// The next fault.
    pub(super) fn draw(&mut self, rng: &mut fastrand::Rng) -> FaultKind {
        if self.left.is_empty() {
            self.left.clone_from(&self.kinds);
            rng.shuffle(&mut self.left);
        }
        self.left.pop().unwrap_or(FaultKind::Kill)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_rounds_see_every_kind() {
        for seed in 0..50 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut deck = Deck::new(&[], true, true);
            let drawn: Vec<FaultKind> = (0..20).map(|_| deck.draw(&mut rng)).collect();
            assert!(deck.kinds.iter().all(|kind| drawn.contains(kind)), "{drawn:?}");
        }
    }
}
