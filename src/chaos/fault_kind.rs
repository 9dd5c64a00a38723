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
            Self::Point(point) => format!("point:{}", point.name()),
            Self::RestartBroker => "restart-broker".into(),
        }
    }
}

/// Faults in random order, each kind as often as the deck says before any comes again.
pub(super) struct Deck {
    kinds: Vec<FaultKind>,
    left: Vec<FaultKind>,
}

impl Deck {
    /// All kinds; with a protocol broken on purpose, those that show it.
    pub(super) fn new(sabotage: Option<Sabotage>, can_restart_broker: bool) -> Self {
        let point = FaultKind::Point;
        let kinds = match sabotage {
            Some(Sabotage::CommitBeforeProduce) => {
                vec![point(Point::AfterProduce), point(Point::AfterOffsetsSent), FaultKind::Kill]
            }
            Some(Sabotage::SledBeforeCommit) => {
                vec![point(Point::AfterProduce), point(Point::AfterOffsetsSent)]
            }
            Some(Sabotage::NoFencing) => vec![FaultKind::Pause],
            None => {
                let mut kinds = vec![
                    FaultKind::Kill,
                    FaultKind::Terminate,
                    FaultKind::Pause,
                    FaultKind::Add,
                    FaultKind::Remove,
                    FaultKind::DeleteState,
                    FaultKind::FlipBytes,
                ];
                kinds.extend(Point::ALL.map(point));
                kinds.extend(can_restart_broker.then_some(FaultKind::RestartBroker));
                kinds
            }
        };
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
            let mut deck = Deck::new(None, true);
            let drawn: Vec<FaultKind> = (0..20).map(|_| deck.draw(&mut rng)).collect();
            assert!(deck.kinds.iter().all(|kind| drawn.contains(kind)), "{drawn:?}");
        }
    }
}
