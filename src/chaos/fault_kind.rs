//! The kinds of faults.

use frostline_engine::fault::{Point, SourcePoint};

use super::network::{CutAt, NetworkFault};

/// A fault of a process, of its network, of topics, or of the broker.
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
    /// The network between the process and the brokers is bad for a while.
    Network(NetworkFault),
    /// The user's own command for the broker.
    RestartBroker,
}

impl FaultKind {
    /// Faults that can be chosen by name: all except restarts of the broker, which need a command.
    pub fn choices() -> impl Iterator<Item = Self> {
        let others = [Self::SharedName, Self::TopicsRecreated];
        let of_poller = SourcePoint::ALL.map(Self::PollerPoint);
        let of_poller = std::iter::once(Self::KillPoller).chain(of_poller);
        let of_network = NetworkFault::ALL.map(Self::Network);
        let of_processes = ORDINARY.into_iter().chain(others).chain(Point::ALL.map(Self::Point));
        of_processes.chain(of_network).chain(of_poller)
    }

    /// Whether it needs daemons that follow weather services.
    pub(super) fn is_of_poller(self) -> bool {
        matches!(self, Self::KillPoller | Self::PollerPoint(_))
    }

    /// Whether it needs transactions to do any harm, or to happen at all.
    pub(super) fn is_of_transactions(self) -> bool {
        matches!(
            self,
            Self::SharedName | Self::Network(NetworkFault::CutAt(CutAt::EndTxn | CutAt::AddOffsets))
        )
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
            Self::Network(fault) => format!("network:{}", fault.name()),
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

#[cfg(test)]
mod tests {
    use frostline_engine::fault::Sabotage;

    use super::*;
    use crate::chaos::ChaosOptions;

    #[test]
    fn faults_of_pollers_need_something_to_follow() {
        let options = |faults| ChaosOptions { faults, ..ChaosOptions::default() };
        assert!(!options(vec![FaultKind::Kill]).follows());
        assert!(options(vec![FaultKind::Kill, FaultKind::KillPoller]).follows());
        let sabotage = vec![Sabotage::PositionApart];
        assert!(ChaosOptions { sabotage, ..ChaosOptions::default() }.follows());
    }
}
