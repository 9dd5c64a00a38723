//! The rules that a daemon starts with.

use frostline_engine::StageId;
use frostline_engine::kafka::KafkaError;

use super::super::Failed;
use super::source;
use crate::app::AppOptions;
use crate::config::Config;
use crate::publishing::placement::{self, Placement};
use crate::publishing::{Live, PublishError, by_id, unsent};
use crate::rules::{Conditions, Near, Published, Rule, RuleSet};
use crate::stages;

/// The rules of the file, if a stage needs them. The daemon itself reads rules that live in their topic; for these,
/// this only looks for the stations near them.
///
/// A station that is found here watches from the first record. The daemon looks for the others later.
pub(in super::super) async fn load(config: &Config, stages: &[StageId]) -> Result<RuleSet, Failed> {
    if !AppOptions::of_stages(stages.to_vec()).needs_rules() {
        return Ok(RuleSet::default());
    }
    match config.alert.rule_file() {
        Some(path) if path.exists() => of_file(config, Published::of_file(source::rule_file(path)?)).await,
        Some(path) => Err(Failed::Usage(anyhow::anyhow!(
            "{}: rule file not found (alert.rules names it). With alert.rules = \"topic\" the rules are those that \
             `frostline rules apply` has published",
            path.display()
        ))),
        None if [stages::ALERT, stages::WATCH].iter().any(|stage| stages.contains(stage)) => {
            of_topic(config).await
        }
        None => Ok(RuleSet::default()),
    }
}

async fn of_file(config: &Config, mut rules: Published) -> Result<RuleSet, Failed> {
    warn_about_channels(config, &rules);
    let mut conditions = Conditions::default();
    let is_filtered = placement::is_filtered(config) && !rules.rules.is_empty();
    if rules.asks_for_nearest() || is_filtered {
        let live = Live::connect(config).await?;
        if rules.asks_for_nearest() {
            let reporting = if_there(live.reporting())?.unwrap_or_default();
            rules.find_nearest(&reporting, &Published::default(), &mut conditions);
        }
        warn_about_places(config, &live, &rules)?;
    }
    Ok(rules.rule_set(&mut conditions))
}

/// Looks up the stations near rules that were published without one, and warns about places as `rules apply` does.
async fn of_topic(config: &Config) -> Result<RuleSet, Failed> {
    let (rules, mut conditions) = (RuleSet::default(), Conditions::default());
    let live = Live::connect(config).await?;
    let Some(mut published) = if_there(live.published())? else { return Ok(rules) };
    let sought = without_station(&published, &mut conditions);
    if !sought.is_empty()
        && let Some(reporting) = if_there(live.reporting())?
    {
        published.find_nearest(&reporting, &Published::default(), &mut conditions);
        for (rule, near) in sought {
            let nearest = published.rules.get(&*rule.id).and_then(|found| found.nearest.as_ref());
            nearest.into_iter().for_each(|nearest| rules.note_nearest(&rule, near, nearest.station));
        }
    }
    warn_about_channels(config, &published);
    warn_about_places(config, &live, &published)?;
    Ok(rules)
}

/// The rules that were published before a station near them was known. Broken ones are quarantined later.
fn without_station(published: &Published, conditions: &mut Conditions) -> Vec<(Rule, Near)> {
    let mut found = Vec::new();
    for rule in published.rules.values().filter(|rule| rule.nearest.is_none()) {
        if let Some(near) = rule.definition.near
            && let Ok(compiled) = rule.compile(conditions)
        {
            found.push((compiled, near));
        }
    }
    found
}

/// Warns once that no messages are sent although there are addresses.
fn warn_about_channels(config: &Config, rules: &Published) {
    let has_own = rules.rules.values().any(|rule| rule.definition.email.is_some());
    if let Some(reason) = unsent(config, rules.subscribers.values(), has_own) {
        tracing::warn!("{reason}");
    }
}

/// Warns about rules that cannot fire here, or that watch a distant station.
fn warn_about_places(config: &Config, live: &Live<'_>, rules: &Published) -> Result<(), Failed> {
    let is_filtered = placement::is_filtered(config) && !rules.rules.is_empty();
    let stations = if is_filtered { if_there(live.stations())? } else { None };
    let placement = stations.and_then(|stations| Placement::new(config, &by_id(stations)));
    placement::log(rules, placement.as_ref());
    Ok(())
}

/// When the stages start, they check that all topics exist, and wait for brokers that are being replaced.
fn if_there<T>(read: Result<T, PublishError>) -> Result<Option<T>, Failed> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(PublishError::NoTopic(_)) => Ok(None),
        Err(PublishError::Kafka(KafkaError::Retry(reason))) => {
            tracing::warn!(
                reason,
                "rules are not compared with stations yet; stations near them are looked for later"
            );
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
