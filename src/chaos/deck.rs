//! The faults of a run, in their order.

use super::ChaosOptions;
use super::breaks::{has_tls, showing};
use super::fault_kind::FaultKind;
use crate::config::{Config, Guarantee};

/// Faults in random order: each kind comes as often as the deck says before any is repeated.
pub(super) struct Deck {
    kinds: Vec<FaultKind>,
    left: Vec<FaultKind>,
    /// Comes first and once: records written before it cannot be compared.
    is_first_recreated: bool,
}

impl Deck {
    /// With the [`kinds`] of a run.
    pub(super) fn new(options: &ChaosOptions, config: &Config) -> Self {
        let mut kinds = kinds(options, config);
        let is_first_recreated = kinds.contains(&FaultKind::TopicsRecreated);
        kinds.retain(|kind| *kind != FaultKind::TopicsRecreated);
        Self { kinds, left: Vec::new(), is_first_recreated }
    }

    /// Takes the top one; an empty deck is shuffled again.
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

/// The requested kinds; if something is broken on purpose, the kinds that reveal it; otherwise all that are possible
/// with these settings.
pub(super) fn kinds(options: &ChaosOptions, config: &Config) -> Vec<FaultKind> {
    let mut kinds = options.faults.clone();
    if kinds.is_empty() {
        kinds.extend(options.sabotage.iter().flat_map(|sabotage| showing(*sabotage)));
    }
    if kinds.is_empty() {
        let with_transactions = config.runtime.guarantee == Guarantee::ExactlyOnce;
        kinds.extend(FaultKind::choices());
        kinds.retain(|kind| with_transactions || !kind.is_of_transactions());
        kinds.retain(|kind| options.follows() || !kind.is_of_poller());
        kinds.retain(|kind| !has_tls(config) || !matches!(kind, FaultKind::Network(_)));
    }
    kinds.extend(options.restart_broker.is_some().then_some(FaultKind::RestartBroker));
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_the_usual_length_sees_every_kind_and_new_topics_first() {
        for (seed, follow) in (0..50).flat_map(|seed| [(seed, false), (seed, true)]) {
            let (rounds, restart_broker) = (ChaosOptions::usual_rounds(follow), Some("restart".into()));
            let options = ChaosOptions { follow, rounds, restart_broker, ..ChaosOptions::default() };
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut deck = Deck::new(&options, &Config::default());
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
    fn a_network_with_tls_and_transactions_that_are_not_used_have_no_faults() {
        let has = |config: &Config, text: &str| {
            let kinds = kinds(&ChaosOptions::default(), config);
            kinds.iter().any(|kind| kind.name().starts_with(text))
        };
        let mut config = Config::default();
        assert!(has(&config, "network:slow") && has(&config, "network:cut-at-end-txn"));
        config.runtime.guarantee = Guarantee::AtLeastOnce;
        assert!(has(&config, "network:cut-at-commit") && !has(&config, "network:cut-at-end-txn"));
        config.kafka.client.insert("security.protocol".to_owned(), "SASL_SSL".to_owned());
        assert!(has(&config, "kill") && !has(&config, "network:"));
    }

    #[test]
    fn faults_that_were_asked_for_are_the_only_ones() {
        let faults = vec![FaultKind::PartitionsGrown];
        let mut deck = Deck::new(&ChaosOptions { faults, ..ChaosOptions::default() }, &Config::default());
        let mut rng = fastrand::Rng::with_seed(1);
        assert!((0..5).all(|_| deck.draw(&mut rng) == FaultKind::PartitionsGrown));
    }
}
