//! Whether an existing topic is as configured.

use frostline_engine::kafka::TopicDetails;

use crate::config::{Config, TopicPlan};

const DAY_MS: i64 = 86_400_000;

/// Findings about an existing topic.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fit {
    /// Faults: frostline cannot work with these, or would lose data.
    pub(super) faults: Vec<String>,
    /// Differences from the configuration: they are only shown.
    pub(super) differences: Vec<String>,
}

/// The source of a changelog: its plan, and its partitions in Kafka.
pub(super) struct Source {
    pub(super) plan: TopicPlan,
    pub(super) logical: String,
    pub(super) partitions: Option<i32>,
}

/// The source of the changelog with this name, if it is one; `partitions` asks Kafka.
pub(super) fn source_of_changelog<E>(
    config: &Config,
    changelog: &str,
    partitions: impl FnOnce(&str) -> Result<Option<i32>, E>,
) -> Result<Option<Source>, E> {
    let source = config.logical_name(changelog).and_then(|logical| config.source_of_changelog(logical));
    let Some(logical) = source else { return Ok(None) };
    let plan = config.topic(logical);
    let partitions = partitions(&plan.name)?;
    Ok(Some(Source { plan, logical: logical.to_owned(), partitions }))
}

impl Source {
    /// Why an existing changelog with this many partitions cannot belong to it.
    fn mismatch(&self, changelog: &TopicPlan, partitions: i32) -> Option<String> {
        let found = self.partitions.filter(|found| *found != partitions)?;
        let (source, name, first) = (&self.plan.name, &changelog.name, self.correction(found));
        Some(format!(
            "{partitions} partitions do not match the {found} of its source {source}: stop all daemons, {first}delete it \
             (kafka-topics --delete --topic {name}), and run `frostline topics create`; the stage's memory is lost"
        ))
    }

    /// Why a changelog must not be created as planned.
    pub(super) fn refusal(&self, changelog: &TopicPlan) -> Option<String> {
        let found = self.partitions.filter(|found| *found != changelog.partitions)?;
        let (source, first) = (&self.plan.name, self.correction(found));
        let partitions = changelog.partitions;
        Some(format!(
            "not created: it would have {partitions} partitions, and its source {source} has {found}: {first}and run \
             `frostline topics create` again"
        ))
    }

    /// What must be set before anything else.
    fn correction(&self, found: i32) -> String {
        if self.plan.partitions == found {
            return String::new();
        }
        format!("set topics.{}.partitions = {found}, ", self.logical)
    }
}

/// Compares a topic with its plan.
pub(super) fn fit(plan: &TopicPlan, found: &TopicDetails, source: Option<&Source>) -> Fit {
    let mut fit = Fit::default();
    let state = &found.state;
    match source.and_then(|source| source.mismatch(plan, state.partitions)) {
        Some(mismatch) => fit.faults.push(mismatch),
        None if state.partitions != plan.partitions => {
            fit.faults
                .push(format!("has {} partitions, but {} are configured", state.partitions, plan.partitions));
        }
        None => {}
    }
    match state.cleanup_policy.as_deref() {
        Some(policy) if plan.is_compacted && policy != "compact" => {
            fit.faults.push(format!("has cleanup.policy={policy}, but needs compact"));
        }
        _ => {}
    }
    fit.differences.extend(retention_difference(plan, found));
    if let Some(wanted) = plan.replication.filter(|wanted| *wanted != found.replication) {
        fit.differences.push(format!(
            "has {} replicas, but {wanted} are configured: change that with kafka-reassign-partitions",
            found.replication
        ));
    }
    fit
}

fn retention_difference(plan: &TopicPlan, found: &TopicDetails) -> Option<String> {
    let (wanted, found_ms) = (plan.retention_ms()?, found.retention_ms?);
    (wanted != found_ms).then(|| {
        format!(
            "keeps records for {}, but {} are configured: kafka-configs --alter --topic {} --add-config retention.ms={wanted}",
            in_days(found_ms),
            in_days(wanted),
            plan.name
        )
    })
}

/// How long records are kept, in readable form.
pub(super) fn in_days(retention_ms: i64) -> String {
    match retention_ms {
        ..0 => "good".to_owned(),
        DAY_MS => "1 day".to_owned(),
        whole if whole % DAY_MS == 0 => format!("{} days", whole / DAY_MS),
        part => format!("{:.1} days", part as f64 / DAY_MS as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{TopicConfig, topic};
    use frostline_engine::kafka::TopicState;

    fn found(plan: &TopicPlan, partitions: i32, retention_ms: Option<i64>) -> TopicDetails {
        let policy = if plan.is_compacted { "compact" } else { "delete" };
        TopicDetails {
            state: TopicState {
                name: plan.name.clone(),
                partitions,
                cleanup_policy: Some(policy.into()),
                record_bytes_max: None,
                tombstones_kept: None,
            },
            replication: 1,
            retention_ms,
        }
    }

    #[test]
    fn a_changelog_must_match_its_source_as_it_is() {
        let config = Config::default();
        let plan = config.topic(topic::ASSEMBLE_CHANGELOG);
        let source = |partitions| {
            source_of_changelog::<()>(&config, &plan.name, |_| Ok(Some(partitions))).unwrap().unwrap()
        };
        let changelog = found(&plan, 5, None);
        assert_eq!(fit(&plan, &changelog, Some(&source(5))), Fit::default());
        // Both are configured with five: only the source says that it has become eight.
        let fault = fit(&plan, &changelog, Some(&source(8))).faults.remove(0);
        assert!(fault.contains("5 partitions do not match the 8 of its source noaa-csv-raw"), "{fault}");
        assert!(fault.contains("set topics.noaa-csv-raw.partitions = 8"), "{fault}");
        let refusal = source(8).refusal(&plan).unwrap();
        assert!(
            refusal.contains("not created") && refusal.contains("noaa-csv-raw.partitions = 8"),
            "{refusal}"
        );
        assert_eq!(source(5).refusal(&plan), None);
        assert!(source_of_changelog::<()>(&config, topic::JSON, |_| Err(())).unwrap().is_none());
    }

    #[test]
    fn another_retention_is_a_difference_and_no_fault() {
        let config = Config::default();
        let plan = config.topic(topic::ALERTS);
        let week = fit(&plan, &found(&plan, 5, Some(7 * DAY_MS)), None);
        assert!(week.faults.is_empty());
        let difference = &week.differences[0];
        assert!(difference.contains("keeps records for 7 days, but 400 days are configured"), "{difference}");
        assert!(difference.ends_with("--topic noaa-json-alerts --add-config retention.ms=34560000000"));
        assert_eq!(fit(&plan, &found(&plan, 5, Some(400 * DAY_MS)), None), Fit::default());
        // The broker does not report it; the topic has none.
        assert_eq!(fit(&plan, &found(&plan, 5, None), None), Fit::default());
        let rules = config.topic(topic::RULES);
        assert_eq!(fit(&rules, &found(&rules, 1, Some(7 * DAY_MS)), None), Fit::default());
        assert_eq!((in_days(-1), in_days(DAY_MS / 2)), ("good".into(), "0.5 days".into()));
    }

    #[test]
    fn other_partitions_are_a_fault_and_other_replicas_a_difference() {
        let mut config = Config::default();
        let own = TopicConfig { replication: Some(3), ..TopicConfig::default() };
        config.topics.insert(topic::JSON.into(), own);
        let plan = config.topic(topic::JSON);
        let fit = fit(&plan, &found(&plan, 8, None), None);
        assert_eq!(fit.faults, ["has 8 partitions, but 5 are configured"]);
        assert!(fit.differences[0].contains("has 1 replicas, but 3 are configured"));
    }
}
