//! Protocols and processors that can be broken on purpose, the faults that reveal it, and when nothing can.

use frostline_engine::fault::{Point, Sabotage, SourcePoint};

use super::ChaosOptions;
use super::fault_kind::FaultKind;
use crate::config::{Config, Guarantee};
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
        Sabotage::ReusedSequences => &[],
        Sabotage::Processor(_) => &[Kill, DeleteState],
    }
}

/// Whether connections to brokers are encrypted.
pub(super) fn has_tls(config: &Config) -> bool {
    let protocol = config.kafka.client.get("security.protocol");
    protocol.is_some_and(|protocol| protocol.to_ascii_lowercase().contains("ssl"))
}

/// Why a run with these options would reveal nothing, in a sentence.
pub fn refusal(options: &ChaosOptions, config: &Config) -> Option<String> {
    let network = options.faults.iter().find(|kind| matches!(kind, FaultKind::Network(_)));
    if let Some(fault) = network.filter(|_| has_tls(config)) {
        return Some(format!(
            "--faults {}: encrypted connections cannot be spoiled: choose another fault, or connect to a listener \
             without TLS (kafka.client.\"security.protocol\")",
            fault.name()
        ));
    }
    if config.runtime.guarantee == Guarantee::ExactlyOnce {
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
        None => {
            let fault = options.faults.iter().find(|kind| kind.is_of_transactions())?;
            format!("--faults {}", fault.name())
        }
    };
    Some(format!(
        "{what} shows only in transactions, which runtime.guarantee = \"at_least_once\" does not use: choose another, or add \
         --set runtime.guarantee=exactly_once"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::network::NetworkFault;

    #[test]
    fn what_shows_only_in_transactions_is_refused_without_them() {
        let broken = |sabotage| ChaosOptions { sabotage: vec![sabotage], ..ChaosOptions::default() };
        let mut config = Config::default();
        assert_eq!(refusal(&broken(Sabotage::NoRenaming), &config), None);
        config.runtime.guarantee = Guarantee::AtLeastOnce;
        let refused = refusal(&broken(Sabotage::NoRenaming), &config).unwrap();
        assert!(refused.starts_with("--break no-renaming shows only in transactions"), "{refused}");
        assert_eq!(refusal(&broken(Sabotage::OldState), &config), None);
        let shared = ChaosOptions { faults: vec![FaultKind::SharedName], ..ChaosOptions::default() };
        assert!(refusal(&shared, &config).is_some());
    }

    #[test]
    fn faults_of_a_network_are_refused_with_tls() {
        let faults = vec![FaultKind::Network(NetworkFault::Slow)];
        let options = ChaosOptions { faults, ..ChaosOptions::default() };
        let mut config = Config::default();
        assert_eq!(refusal(&options, &config), None);
        config.kafka.client.insert("security.protocol".to_owned(), "ssl".to_owned());
        assert!(refusal(&options, &config).unwrap().starts_with("--faults network:slow: encrypted"));
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
