//! Protocols and processors that can be broken on purpose, the faults that reveal it, and when nothing can.

use frostline_engine::fault::{Point, Sabotage, SourcePoint};

use super::ChaosOptions;
use super::fault_kind::FaultKind;
use crate::config::Guarantee;
use crate::stages;

/// Everything that can be broken.
pub fn breaks() -> impl Iterator<Item = Sabotage> {
    Sabotage::ALL.into_iter().chain([stages::FORGOTTEN_NIGHTS])
}

/// The faults that reveal it.
pub(super) fn showing(sabotage: Sabotage) -> &'static [FaultKind] {
    use FaultKind::{
        ClockAhead, DeleteState, Kill, OldState, Outage, PartitionsGrown, Pause, SharedName, TopicsRecreated,
    };
    const PRODUCED: FaultKind = FaultKind::Point(Point::AfterProduce);
    const OFFSETS_SENT: FaultKind = FaultKind::Point(Point::AfterOffsetsSent);
    match sabotage {
        Sabotage::CommitBeforeProduce => &[PRODUCED, OFFSETS_SENT, Kill],
        Sabotage::SledBeforeCommit => &[PRODUCED, OFFSETS_SENT],
        Sabotage::NoFencing => &[Pause],
        Sabotage::OldState => &[OldState],
        Sabotage::NoRenaming => &[SharedName],
        Sabotage::BlindReadiness => &[Outage],
        Sabotage::EarlierTopics => &[TopicsRecreated],
        Sabotage::GrowWithoutState => &[PartitionsGrown],
        Sabotage::StubbornClock => &[ClockAhead],
        Sabotage::PositionApart => &[FaultKind::PollerPoint(SourcePoint::AfterProduce)],
        Sabotage::Processor(_) => &[Kill, DeleteState],
    }
}

/// Why a run with these options would reveal nothing, in a sentence.
pub fn refusal(options: &ChaosOptions, guarantee: Guarantee) -> Option<String> {
    if guarantee == Guarantee::ExactlyOnce {
        return None;
    }
    let needs_transactions = |sabotage: &&Sabotage| {
        matches!(
            sabotage,
            Sabotage::CommitBeforeProduce
                | Sabotage::SledBeforeCommit
                | Sabotage::NoFencing
                | Sabotage::NoRenaming
                | Sabotage::PositionApart
        )
    };
    let what = match options.sabotage.iter().find(needs_transactions) {
        Some(sabotage) => format!("--break {}", sabotage.name()),
        None if options.faults.contains(&FaultKind::SharedName) => "--faults shared-name".to_owned(),
        None => return None,
    };
    Some(format!(
        "{what} shows only in transactions, which runtime.guarantee = \"at_least_once\" does not use: choose another, or add \
         --set runtime.guarantee=exactly_once"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_only_in_transactions_is_refused_without_them() {
        let broken = |sabotage| ChaosOptions { sabotage: vec![sabotage], ..ChaosOptions::default() };
        let refused = refusal(&broken(Sabotage::NoRenaming), Guarantee::AtLeastOnce).unwrap();
        assert!(refused.starts_with("--break no-renaming shows only in transactions"), "{refused}");
        assert_eq!(refusal(&broken(Sabotage::NoRenaming), Guarantee::ExactlyOnce), None);
        assert_eq!(refusal(&broken(Sabotage::OldState), Guarantee::AtLeastOnce), None);
        let shared = ChaosOptions { faults: vec![FaultKind::SharedName], ..ChaosOptions::default() };
        assert!(refusal(&shared, Guarantee::AtLeastOnce).is_some());
    }

    #[test]
    fn names_differ_and_each_has_a_fault_that_shows_it() {
        let mut names: Vec<&str> = breaks().map(Sabotage::name).collect();
        assert!(breaks().all(|sabotage| !showing(sabotage).is_empty()));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
