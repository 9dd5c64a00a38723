//! The checks at the end: outputs, dead letters, alert ids, state, and the records seen while faults happened.

use std::collections::{BTreeMap, BTreeSet};

use frostline_engine::StageId;

use super::compare::{Item, compare};
use super::entries::Entries;
use super::followed::Followed;
use super::installation::checked_stages;
use super::live::Seen;
use super::model::{Expected, Model};
use super::report::{Kind, Violations};
use super::topic_log::{Kept, mark, read};
use super::{ChaosError, Installation, feed, truth};
use crate::config::topic;
use crate::stages::{self, CHANGE_HEADER};

/// The results of the checks.
#[derive(Default)]
pub(super) struct Verdict {
    /// Records that the model expects, by writer.
    pub(super) compared: BTreeMap<&'static str, u64>,
    /// Alerts that the model expects, by transition.
    pub(super) transitions: BTreeMap<String, u64>,
    /// The alerts that were committed.
    pub(super) alerts: Vec<Kept>,
    /// The expected content of each stage's changelog, by stage and partition.
    pub(super) stores: BTreeMap<(StageId, i32), Entries>,
}

/// Reads every topic and checks it. `seen`: the records that live readers saw, by topic; `followed`: the sources of
/// the daemons.
pub(super) fn check(
    installation: &Installation,
    seen: &BTreeMap<String, Seen>,
    followed: &[Followed],
    violations: &mut Violations,
) -> Result<Verdict, ChaosError> {
    let model = Model::new(installation)?;
    let mut logs: BTreeMap<String, Vec<Kept>> = BTreeMap::new();
    for logical in [
        topic::CSV_RAW,
        topic::RAW,
        topic::JSON,
        topic::JSON_US_AZ,
        topic::HOURLY,
        topic::OUTLOOKS,
        topic::ALERTS,
        topic::DEAD_LETTERS,
    ] {
        let name = installation.config.topic(logical).name;
        let mut log = read(installation, &name)?;
        let past = installation.past();
        log.sort_by_key(|kept| past.growths_before(&name, kept.partition, kept.offset));
        drop(past);
        logs.insert(name, log);
    }
    let mut verdict = Verdict::default();
    let mut dead_letters = Vec::new();
    for stage in checked_stages() {
        let (source, sink) = (installation.source(stage), installation.sink(stage));
        let growths = installation.past().growths_of(&source);
        let Expected { outputs, dead_letters: refused, transitions, stores } =
            model.run(stage, &source, &logs[&source], &growths)?;
        for (transition, count) in transitions {
            *verdict.transitions.entry(transition).or_default() += count;
        }
        let written: Vec<Item> = logs[&sink]
            .iter()
            .filter(|kept| wrote(stage, kept))
            .map(|kept| kept.item(&sink, kept.key_text()))
            .collect();
        compare(stage.as_str(), &outputs, &written, violations);
        verdict.compared.insert(stage.as_str(), outputs.len() as u64);
        verdict.stores.extend(stores.into_iter().map(|(partition, entries)| ((stage, partition), entries)));
        dead_letters.extend(refused);
    }
    let letters_topic = installation.config.topic(topic::DEAD_LETTERS).name;
    let letters: Vec<Item> = logs[&letters_topic]
        .iter()
        .map(|kept| kept.item(&letters_topic, super::topic_log::origin(&kept.headers.0)))
        .collect();
    compare("dead letters", &dead_letters, &letters, violations);
    verdict.compared.insert("dead letters", dead_letters.len() as u64);
    for source in followed {
        verdict.compared.insert(source.source.id.as_str(), source.expected.len() as u64);
        check_source(installation, source, &logs, violations);
    }
    check_alert_ids(&logs[&installation.sink(stages::ALERT)], violations);
    for (topic, seen) in seen {
        check_seen(topic, &logs[topic], seen, violations);
    }
    verdict.alerts = logs.remove(&installation.sink(stages::ALERT)).unwrap_or_default();
    Ok(verdict)
}

/// Whether a record of a stage's sink is the stage's own: assemble and enrich share one, and so do alert and watch.
fn wrote(stage: StageId, kept: &Kept) -> bool {
    let is_json = || feed::is_json_station(&kept.key_text());
    // The id begins with that of the rule.
    let is_of_moments = || ["night-", "hour-"].iter().any(|begin| kept.header("alert-id").starts_with(begin));
    match stage {
        stages::ASSEMBLE => !is_json(),
        stages::ENRICH => is_json(),
        stages::ALERT => !is_of_moments(),
        stages::WATCH => is_of_moments(),
        _ => true,
    }
}

/// Compares the records of a source with those of its model, and with the world that its service shows.
fn check_source(
    installation: &Installation,
    source: &Followed,
    logs: &BTreeMap<String, Vec<Kept>>,
    violations: &mut Violations,
) {
    let lines = installation.source(stages::ASSEMBLE);
    for (_, topic) in &source.source.sinks {
        // Lines are also fed, without this header; hourly observations are not.
        let is_followed = |kept: &&Kept| topic.name != lines || !kept.header(CHANGE_HEADER).is_empty();
        let found: Vec<&Kept> = logs[&topic.name].iter().filter(is_followed).collect();
        let items: Vec<Item> = found.iter().map(|kept| kept.item_of_any_time(&topic.name)).collect();
        let expected = source.expected.iter().filter(|(name, _)| *name == topic.name);
        let expected: Vec<Item> = expected.map(|(_, item)| item.clone()).collect();
        compare(source.source.id.as_str(), &expected, &items, violations);
        if let Some(services) = &installation.services {
            truth::check(services, source, &found, violations);
        }
    }
}

fn check_alert_ids(alerts: &[Kept], violations: &mut Violations) {
    let mut ids = BTreeSet::new();
    for alert in alerts {
        let id = alert.header("alert-id");
        if !ids.insert(id.clone()) {
            violations.add(Kind::AlertTwice, format!("{id} again at {}@{}", alert.partition, alert.offset));
        }
    }
}

/// A record that a reader of committed records has seen must stay.
fn check_seen(topic: &str, log: &[Kept], seen: &Seen, violations: &mut Violations) {
    let there: BTreeMap<(i32, i64), u64> = log
        .iter()
        .map(|kept| {
            ((kept.partition, kept.offset), mark(kept.key.as_deref(), kept.value.as_deref(), None, &[]))
        })
        .collect();
    for ((partition, offset), seen) in seen {
        if there.get(&(*partition, *offset)) != Some(seen) {
            violations.add(Kind::AbortedSeen, format!("{topic}/{partition}@{offset}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::topic_log::Headers;

    #[test]
    fn what_was_seen_and_is_gone_is_told() {
        let kept = |offset, value: &str| Kept {
            partition: 0,
            offset,
            timestamp_ms: 0,
            key: None,
            value: Some(value.into()),
            headers: Headers(Vec::new()),
        };
        let saw = |value: &str| mark(None, Some(value.as_bytes()), None, &[]);
        let seen = Seen::from([((0, 1), saw("a")), ((0, 2), saw("b")), ((0, 3), saw("c"))]);
        let mut violations = Violations::default();
        check_seen("t", &[kept(1, "a"), kept(2, "other"), kept(4, "d")], &seen, &mut violations);
        assert_eq!(violations.count(Kind::AbortedSeen), 2);
        assert_eq!(violations.examples(Kind::AbortedSeen).len(), 2);
    }
}
