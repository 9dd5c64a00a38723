//! `frostline rules apply` and `remove`: changes to the rules' topic, shown before they are made.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use frostline_engine::record::unix_ms;
use serde::Serialize;

use super::super::output::{BOLD, DIM, GREEN, RED, YELLOW};
use super::super::{Common, Failed, output};
use super::check::{Known, by_id, print, warnings};
use super::source::{self, Live};
use crate::config::Config;
use crate::rules::{
    Conditions, Definition, Item, Key, MISTAKES_MAX, Mistake, Position, Problem, Published, PublishedRule,
    Quarantine, RuleFile, Subscriber, far,
};

const APPLY_EXAMPLES: &str = "\
Examples:
  frostline rules apply rules.toml               shows the difference, asks, publishes
  frostline rules apply rules.toml --dry-run     shows the difference only
  frostline rules apply rules.toml --yes --json

The file is the whole truth about rules: those that are published and not in it are removed. Subscribers are
replaced and removed likewise, but a file without any [[subscriber]] leaves them alone.";

/// Publish a rule file to the topic noaa-rules; all processes follow within a second
#[derive(Args)]
#[command(after_help = APPLY_EXAMPLES)]
pub(super) struct ApplyArguments {
    /// The rule file: TOML, or JSON lines
    file: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Show the difference and change nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
}

const REMOVE_EXAMPLES: &str = "\
Examples:
  frostline rules remove scottsdale-frost phoenix-heat
  frostline rules remove --subscriber saguaro-farm --yes";

/// Remove published rules, or subscribers that no rule names
#[derive(Args)]
#[command(after_help = REMOVE_EXAMPLES)]
pub(super) struct RemoveArguments {
    /// Ids of rules
    #[arg(required_unless_present = "subscriber")]
    rules: Vec<String>,
    /// A subscriber (may be repeated)
    #[arg(long, value_name = "ID")]
    subscriber: Vec<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// One change.
struct Change {
    key: Key,
    /// `None` removes.
    item: Option<Item>,
    /// Whether something is replaced.
    is_new: bool,
    /// What is different, in a few words.
    details: Vec<String>,
}

#[derive(Default, Serialize)]
struct Outcome {
    added: usize,
    changed: usize,
    removed: usize,
    unchanged: usize,
    published: bool,
}

/// What a file, or a removal, would change.
pub(in super::super) struct Plan {
    changes: Vec<Change>,
    unchanged: usize,
    warnings: Vec<Mistake>,
    /// What another version has written.
    left_alone: Vec<String>,
}

/// Why nothing can be changed.
pub(in super::super) enum Unfit {
    /// Mistakes in the file.
    Mistakes(Vec<Mistake>),
    /// Another reason.
    Failed(Failed),
}

impl<E: Into<Failed>> From<E> for Unfit {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

pub(super) async fn apply(common: &Common, arguments: &ApplyArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    let (text, name) = (source::read_rule_file(&arguments.file)?, arguments.file.display());
    let live = Live::connect(&config).await?;
    let plan = match plan(&config, &live, &text) {
        Ok(plan) => plan,
        Err(Unfit::Failed(failed)) => return Err(failed),
        Err(Unfit::Mistakes(mistakes)) => {
            mistakes.iter().try_for_each(|mistake| print(common, &arguments.file, mistake, true))?;
            let count = mistakes.len();
            return Err(Failed::Usage(anyhow::anyhow!(
                "{count} mistakes in the rules, nothing was published"
            )));
        }
    };
    for warning in &plan.warnings {
        output::note(&format!("{YELLOW}warning{YELLOW:#}  {name}:{warning}"));
    }
    for left_alone in &plan.left_alone {
        output::note(&format!("{YELLOW}left alone{YELLOW:#}  {left_alone}"));
    }
    if config.alert.rule_file().is_some() {
        let advice =
            "a daemon with this configuration reads a file: set alert.rules = \"topic\" to have it follow";
        output::note(&format!("{YELLOW}note{YELLOW:#}  {advice}"));
    }
    make(common, &live, &plan, arguments.yes, arguments.dry_run)
}

/// What must change for the text of a rule file to be in force.
pub(in super::super) fn plan(config: &Config, live: &Live<'_>, text: &str) -> Result<Plan, Unfit> {
    let before = live.published()?;
    let mut conditions = Conditions::default();
    let is_known = |id: &str| before.subscribers.contains_key(id);
    let file = RuleFile::parse(text, &mut conditions, &is_known).map_err(Unfit::Mistakes)?;
    if file.rules.is_empty() && !before.rules.is_empty() {
        let count = before.rules.len();
        let advice = "to remove rules, name them to `frostline rules remove`";
        let reason = format!("no rule in it, so all {count} published ones would be removed: {advice}");
        return Err(Unfit::Failed(Failed::Usage(anyhow::anyhow!(reason))));
    }
    let names_subscribers = !file.subscribers.is_empty();
    let known = if file.rules.is_empty() {
        Known::default()
    } else {
        Known { table: Some(by_id(live.stations()?)), ..Known::default() }
    };
    let mut warnings = warnings(&file, &known.with_config(config));
    let places = near_places(&file);
    let mut wanted = Published::of_file(file);
    warnings.extend(find_nearest(config, live, &before, &mut wanted, &places)?);
    warnings.extend(far_warnings(&wanted, &places));
    if !names_subscribers {
        wanted.subscribers = before.subscribers.clone();
    }
    check_subscribers(&wanted)?;
    let not_understood = |(key, quarantine): (&Key, &Quarantine)| match quarantine {
        Quarantine::NotUnderstood(reason) => Some(format!("{key}: {reason}")),
        Quarantine::Broken(_) => None,
    };
    let left_alone = before.quarantined.iter().filter_map(not_understood).collect();
    let (changes, unchanged) = difference(&before, wanted, unix_ms());
    Ok(Plan { changes, unchanged, warnings, left_alone })
}

/// Where in the file rules ask for the nearest station.
fn near_places(file: &RuleFile) -> BTreeMap<String, Position> {
    let problem = || Problem { field: "near", offset: 0, message: String::new() };
    let rules = file.rules.iter().enumerate().filter(|(_, (written, _))| written.near.is_some());
    rules
        .map(|(index, (written, _))| (written.id.clone(), file.locate(index, &problem())))
        .take(MISTAKES_MAX)
        .collect()
}

/// Stations that were found, but far away.
fn far_warnings(wanted: &Published, places: &BTreeMap<String, Position>) -> Vec<Mistake> {
    let warning = |(id, position): (&String, &Position)| {
        let reason = far(wanted.rules.get(id)?.nearest.as_ref()?)?;
        Some(Mistake { position: *position, message: format!("rule `{id}`: {reason}") })
    };
    places.iter().filter_map(warning).collect()
}

/// Finds the stations of rules that ask for the nearest, and warns about those for which there is none yet.
fn find_nearest(
    config: &Config,
    live: &Live<'_>,
    before: &Published,
    wanted: &mut Published,
    places: &BTreeMap<String, Position>,
) -> Result<Vec<Mistake>, Failed> {
    if !wanted.asks_for_nearest() {
        return Ok(Vec::new());
    }
    let reporting = live.reporting()?;
    let without = wanted.find_nearest(&reporting, before, &mut Conditions::default());
    let (topic, stations) = (config.topic(&config.alert.source).name, reporting.len());
    let warning = |id: String| {
        let message = format!(
            "rule `{id}`: no station near enough reports what it asks for (the newest records of {topic} are of \
             {stations} stations): it cannot fire until one does. Running daemons look again as observations come; if \
             none is found, raise max_km or name a station"
        );
        Some(Mistake { position: *places.get(&id)?, message })
    };
    Ok(without.into_iter().filter_map(warning).collect())
}

/// Nobody may be removed whom a rule still names.
fn check_subscribers(wanted: &Published) -> Result<(), Failed> {
    for (id, rule) in &wanted.rules {
        if let Some(missing) =
            rule.definition.subscribers.iter().find(|id| !wanted.subscribers.contains_key(*id))
        {
            return Err(Failed::Usage(anyhow::anyhow!(
                "rule `{id}` names subscriber `{missing}`, who would be removed: add a [[subscriber]] with that id. \
                 Nothing was published"
            )));
        }
    }
    Ok(())
}

/// What must change to come from `before` to `wanted`, and how many items stay as they are.
fn difference(before: &Published, wanted: Published, now_ms: i64) -> (Vec<Change>, usize) {
    let removed = removed(before, &wanted);
    let (mut changes, mut unchanged) = (Vec::new(), 0);
    for (id, subscriber) in wanted.subscribers {
        let known = before.subscribers.get(&id);
        if known == Some(&subscriber) {
            unchanged += 1;
            continue;
        }
        let details = known.map(|known| changed_fields(known, &subscriber)).unwrap_or_default();
        let (key, is_new) = (Key::Subscriber(id), known.is_none());
        changes.push(Change { key, item: Some(Item::Subscriber(subscriber)), is_new, details });
    }
    for (id, mut rule) in wanted.rules {
        let known = before.rules.get(&id);
        match known {
            Some(known) if known.definition == rule.definition && known.nearest == rule.nearest => {
                unchanged += 1;
                continue;
            }
            Some(known) => {
                (rule.version, rule.created_ms) = (known.version.saturating_add(1), known.created_ms);
            }
            None => (rule.version, rule.created_ms) = (1, now_ms),
        }
        let details = known.map_or_else(|| described(&rule), |known| differences(known, &rule));
        let (key, is_new) = (Key::Rule(id), known.is_none());
        changes.push(Change { key, item: Some(Item::Rule(Box::new(rule))), is_new, details });
    }
    changes.extend(removed.into_iter().map(removal));
    (changes, unchanged)
}

/// The fields of a subscriber that differ. Their values are addresses, and not shown.
fn changed_fields(before: &Subscriber, now: &Subscriber) -> Vec<String> {
    let fields = |subscriber: &Subscriber| serde_json::to_value(subscriber).unwrap_or_default();
    let (old, new) = (fields(before), fields(now));
    let names = ["name", "email", "phone", "webhook", "timezone", "quiet", "per_hour"];
    names.iter().filter(|name| old[**name] != new[**name]).map(|name| format!("{name} changed")).collect()
}

/// What is published, or broken, and not wanted. What another version wrote is left alone.
fn removed(before: &Published, wanted: &Published) -> Vec<Key> {
    let broken = |quarantine: &&Quarantine| matches!(quarantine, Quarantine::Broken(_));
    let is_wanted = |key: &Key| match key {
        Key::Rule(id) => wanted.rules.contains_key(id),
        Key::Subscriber(id) => wanted.subscribers.contains_key(id),
    };
    let rules = before.rules.keys().map(|id| Key::Rule(id.clone()));
    let subscribers = before.subscribers.keys().map(|id| Key::Subscriber(id.clone()));
    let quarantined = before.quarantined.iter().filter(|(_, quarantine)| broken(quarantine));
    let all = rules.chain(subscribers).chain(quarantined.map(|(key, _)| key.clone()));
    all.filter(|key| !is_wanted(key)).collect()
}

fn removal(key: Key) -> Change {
    Change { key, item: None, is_new: false, details: Vec::new() }
}

/// A rule in a few words.
pub(super) fn described(rule: &PublishedRule) -> Vec<String> {
    vec![place(rule), rule.definition.when.clone()]
}

/// Where a rule watches, for people.
pub(in super::super) fn place(rule: &PublishedRule) -> String {
    let Definition { station, near, stations, .. } = &rule.definition;
    match (station, near, &rule.nearest) {
        (Some(station), ..) => station.clone(),
        (_, Some(_), Some(nearest)) => {
            let name = nearest.name.as_deref().unwrap_or_default();
            let higher = match nearest.higher_by_m {
                Some(metres) if metres < 0.0 => format!(", {} m lower", -metres),
                Some(metres) => format!(", {metres} m higher"),
                None => String::new(),
            };
            format!("nearest: {} {name} ({} km{higher})", nearest.station, nearest.km)
        }
        (_, Some(near), None) => format!("near {}, {}: no station known when published", near.lat, near.lon),
        _ => format!("where {}", stations.as_deref().unwrap_or_default()),
    }
}

/// The fields that differ, with both values.
fn differences(before: &PublishedRule, now: &PublishedRule) -> Vec<String> {
    let fields = |rule: &PublishedRule| {
        let mut fields = match serde_json::to_value(&rule.definition) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        // An address is not shown.
        fields.remove("email");
        if let Some(nearest) = &rule.nearest {
            fields.insert("nearest station".into(), nearest.station.to_string().into());
        }
        fields
    };
    let (old, new) = (fields(before), fields(now));
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let shown = |value: Option<&serde_json::Value>| match value {
        None => "–".to_owned(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let mut found: Vec<String> = names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|name| format!("{name}: {} → {}", shown(old.get(name)), shown(new.get(name))))
        .collect();
    if before.definition.email != now.definition.email {
        found.push("email changed".into());
    }
    found
}

pub(super) async fn remove(common: &Common, arguments: &RemoveArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    let live = Live::connect(&config).await?;
    let rules = arguments.rules.iter().map(|id| Key::Rule(id.clone()));
    let keys = rules.chain(arguments.subscriber.iter().map(|id| Key::Subscriber(id.clone())));
    let plan = plan_removal(&live, keys.collect())?;
    make(common, &live, &plan, arguments.yes, false)
}

/// What must change for these to be gone.
pub(in super::super) fn plan_removal(live: &Live<'_>, mut keys: Vec<Key>) -> Result<Plan, Failed> {
    let before = live.published()?;
    keys.sort();
    keys.dedup();
    for key in &keys {
        let is_there = match key {
            Key::Rule(id) => before.rules.contains_key(id),
            Key::Subscriber(id) => before.subscribers.contains_key(id),
        };
        if !is_there && !before.quarantined.contains_key(key) {
            return Err(Failed::Usage(anyhow::anyhow!("there is no {key}: see `frostline rules list`")));
        }
        if let Key::Subscriber(id) = key {
            let naming = |(rule, published): (&String, &PublishedRule)| {
                let stays = !keys.contains(&Key::Rule(rule.clone()));
                (stays && published.definition.subscribers.contains(id)).then(|| rule.clone())
            };
            if let Some(rule) = before.rules.iter().find_map(naming) {
                return Err(Failed::Usage(anyhow::anyhow!(
                    "rule `{rule}` still names {key}: remove it there first"
                )));
            }
        }
    }
    let unchanged = before.rules.len() + before.subscribers.len()
        - keys.len().min(before.rules.len() + before.subscribers.len());
    let changes: Vec<Change> = keys.into_iter().map(removal).collect();
    Ok(Plan { changes, unchanged, warnings: Vec::new(), left_alone: Vec::new() })
}

impl Plan {
    /// How much it changes; nothing is published yet.
    fn outcome(&self) -> Outcome {
        let mut outcome = Outcome { unchanged: self.unchanged, ..Outcome::default() };
        for change in &self.changes {
            let count = match &change.item {
                None => &mut outcome.removed,
                Some(_) if change.is_new => &mut outcome.added,
                Some(_) => &mut outcome.changed,
            };
            *count += 1;
        }
        outcome
    }

    /// Makes the changes.
    pub(in super::super) fn publish(&self, live: &Live<'_>) -> Result<(), Failed> {
        let record = |change: &Change| (change.key.encode(), change.item.as_ref().map(Item::encode));
        live.write(self.changes.iter().map(record).collect())
    }

    /// All of it, for programs.
    pub(in super::super) fn as_json(&self, is_published: bool) -> serde_json::Value {
        let outcome = Outcome { published: is_published, ..self.outcome() };
        let mut all = serde_json::json!(outcome);
        all["changes"] = self.changes.iter().map(Change::as_json).collect();
        all["warnings"] = self.warnings.iter().map(mistake_json).collect();
        all
    }
}

/// A mistake with its place, for programs.
pub(in super::super) fn mistake_json(mistake: &Mistake) -> serde_json::Value {
    let (line, column) = (mistake.position.line, mistake.position.column);
    serde_json::json!({ "line": line, "column": column, "message": mistake.message })
}

impl Change {
    fn word(&self) -> &'static str {
        match (&self.item, self.is_new) {
            (None, _) => "removed",
            (Some(_), true) => "added",
            (Some(_), false) => "changed",
        }
    }

    fn version(&self) -> Option<u32> {
        match &self.item {
            Some(Item::Rule(rule)) => Some(rule.version),
            _ => None,
        }
    }

    fn as_json(&self) -> serde_json::Value {
        let (kind, id) = match &self.key {
            Key::Rule(id) => ("rule", id),
            Key::Subscriber(id) => ("subscriber", id),
        };
        serde_json::json!({
            "change": self.word(), "kind": kind, "id": id, "version": self.version(), "details": self.details
        })
    }
}

/// Shows changes, asks, and publishes them.
fn make(common: &Common, live: &Live<'_>, plan: &Plan, yes: bool, dry_run: bool) -> Result<(), Failed> {
    let (mut outcome, changes) = (plan.outcome(), &plan.changes);
    changes.iter().try_for_each(|change| show(common, change))?;
    if !dry_run && !changes.is_empty() {
        if !yes && !confirmed(changes.len())? && std::io::stdin().is_terminal() {
            return Ok(output::line("nothing was published")?);
        }
        if !yes && !std::io::stdin().is_terminal() {
            let advice = "nothing was published: say --yes to publish without a question";
            return Err(Failed::Usage(anyhow::anyhow!(advice)));
        }
        plan.publish(live)?;
        outcome.published = true;
    }
    if common.json {
        return Ok(output::json(&outcome)?);
    }
    let Outcome { added, changed, removed, unchanged, published } = outcome;
    let end = match (published, changes.is_empty()) {
        (true, _) => ", published",
        (false, true) => ": nothing to do",
        (false, false) => ", nothing was published",
    };
    Ok(output::line(&format!(
        "{added} added, {changed} changed, {removed} removed, {unchanged} unchanged{end}"
    ))?)
}

fn show(common: &Common, change: &Change) -> Result<(), Failed> {
    if common.json {
        return Ok(output::json(&change.as_json())?);
    }
    let (sign, colour) = match change.word() {
        "removed" => ('-', RED),
        "added" => ('+', GREEN),
        _ => ('~', YELLOW),
    };
    let version = change.version().map_or_else(String::new, |version| format!(" {DIM}v{version}{DIM:#}"));
    let details = change.details.join("  ");
    Ok(output::line(&format!("{colour}{sign} {}{colour:#}{version}  {BOLD}{details}{BOLD:#}", change.key))?)
}

fn confirmed(count: usize) -> Result<bool, Failed> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    output::note(&format!("Publish {count} changes? [y/N]"));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
